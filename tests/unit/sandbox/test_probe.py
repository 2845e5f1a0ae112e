"""What this machine offers, as findings: each missing thing is named with what to do about it."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import landlock
import pytest

from aaos.core.config import ConfinementSettings, Settings
from aaos.core.errors import ConfinementError
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.sandbox import cgroup, filters, probe
from aaos.sandbox.cgroup import CgroupTree
from aaos.sandbox.ids import IdRange
from aaos.sandbox.probe import require_machine

SETTINGS = Settings()


@pytest.fixture(autouse=True)
def _sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has everything."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "release", lambda: "6.12.38+deb13-amd64")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(IdRange, "check_unused", lambda self: None)
    monkeypatch.setattr(landlock, "landlock_abi_version", lambda: 6)
    monkeypatch.setattr(CgroupTree, "delegated", classmethod(lambda cls: cls(tmp_path)))
    (tmp_path / "cgroup.controllers").write_text(" ".join(cgroup.CONTROLLERS))


def _finding(name: str) -> probe.Finding:
    return next(finding for finding in probe.probe(SETTINGS) if finding.name == name)


def test_a_sound_machine_has_everything() -> None:
    """ISO-8"""
    assert [finding for finding in probe.probe(SETTINGS) if not finding.ok] == []
    require_machine(SETTINGS, frozenset())


def test_every_layer_that_a_machine_may_lack_is_looked_at() -> None:
    """ISO-8: the others are of every kernel that is new enough."""
    looked_at = {finding.layer for finding in probe.probe(SETTINGS)} - {None}
    assert looked_at == ALL_LAYERS - {Layer.CAPABILITIES, Layer.NO_NEW_PRIVS, Layer.MDWE, Layer.RLIMITS}


@pytest.mark.parametrize(("release", "ok"), [
    ("6.12.38+deb13-amd64", True), ("6.12", True), ("6.12+rpt-rpi", True), ("6.13-rc1", True), ("7.0.1", True),
    ("6.11.11", False), ("6.1.0-38-amd64", False), ("5.15.0", False), ("strange", False), ("", False),
])  # fmt: skip
def test_the_kernel_must_be_new_enough(monkeypatch: pytest.MonkeyPatch, release: str, ok: bool) -> None:
    """ISO-4: any spelling of a release has an answer."""
    monkeypatch.setattr(platform, "release", lambda: release)
    assert _finding("kernel").ok is ok
    if not ok:
        with pytest.raises(ConfinementError, match=r"^kernel: ") as caught:
            require_machine(SETTINGS, ALL_LAYERS)
        assert "linux-image-amd64" in caught.value.remedy


Break = Callable[[pytest.MonkeyPatch, Path], None]


def _raise(error: BaseException) -> Callable[..., object]:
    def raising(*args: object) -> object:
        raise error

    return raising


def _no_controllers(patch: pytest.MonkeyPatch, directory: Path) -> None:
    (directory / "cgroup.controllers").write_text("cpu\n")


BREAKS: dict[str, tuple[Layer | None, str, Break]] = {
    "machine": (None, "aarch64", lambda patch, _: patch.setattr(platform, "machine", lambda: "aarch64")),
    "root": (None, "uid 1000", lambda patch, _: patch.setattr(os, "geteuid", lambda: 1000)),
    "worker ids": (
        None,
        "belong to build",
        lambda patch, _: patch.setattr(IdRange, "check_unused", _raise(ConfinementError("belong to build", "change"))),
    ),
    "Landlock": (
        Layer.LANDLOCK,
        "ABI 5, needed 6",
        lambda patch, _: patch.setattr(landlock, "landlock_abi_version", lambda: 5),
    ),
    "seccomp": (
        Layer.SECCOMP,
        "no libseccomp",
        lambda patch, _: patch.setattr(filters, "worker_filter", _raise(OSError("no libseccomp"))),
    ),
    "cgroup v2": (Layer.CGROUP, "lacks the cgroup controllers memory, pids", _no_controllers),
    "net namespaces": (Layer.NETNS, "limit 0", lambda patch, _: patch.setattr(probe, "_number", _zero_for_net)),
}


def _zero_for_net(path: Path) -> int:
    return 0 if "max_net_" in path.name else 15_000


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_missing_is_named_and_missed_only_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """H-SBX-00, ISO-8: refused by default, with a remedy; accepted when the layer is left out, if it is a layer."""
    layer, detail, break_it = BREAKS[name]
    break_it(monkeypatch, tmp_path)
    found = _finding(name)
    assert (found.layer, found.ok) == (layer, False)
    assert found.remedy
    with pytest.raises(ConfinementError, match=f"^{name}: .*{detail}"):
        require_machine(SETTINGS, ALL_LAYERS - {layer} if layer else ALL_LAYERS)
    if layer:
        require_machine(SETTINGS, frozenset({layer}))


def test_a_kernel_without_landlock_has_abi_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SBX-00"""
    monkeypatch.setattr(landlock, "landlock_abi_version", _raise(landlock.SyscallError(95, "not supported")))
    assert _finding("Landlock").detail == "ABI 0, needed 6"


def test_the_settings_may_want_a_newer_landlock() -> None:
    """ISO-4"""
    wanted = Settings(confinement=ConfinementSettings(landlock_abi=7))
    with pytest.raises(ConfinementError, match="ABI 6, needed 7"):
        require_machine(wanted, frozenset())
