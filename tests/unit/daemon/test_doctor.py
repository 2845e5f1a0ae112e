"""Findings of the doctor."""

import os
from pathlib import Path

import pytest

from aaos.core.config import DaemonSettings, EgressSettings, ModelSettings, Settings
from aaos.core.errors import SettingsError, StorageError
from aaos.core.layers import Layer
from aaos.core.rolefile import RoleSet
from aaos.daemon.doctor import (
    MIN_FREE_BYTES,
    Doctor,
    disk,
    egress_user,
    tier_findings,
    workspaces,
    wrapper_findings,
)
from aaos.llm.keys import KeyPlaces
from aaos.sandbox.probe import Finding
from aaos.tools.wrapper import Wrapper
from aaos.tools.wrapperfile import WrapperSet

WRAPPERS = WrapperSet({})


def test_a_full_disk_is_a_finding_with_a_remedy() -> None:
    assert disk(Path("/var"), MIN_FREE_BYTES, is_read_only=False).is_ok
    assert "du -xh /var" in disk(Path("/var"), 0, is_read_only=False).remedy


def test_a_read_only_disk_is_a_finding_with_a_remedy() -> None:
    """OPS-4: however much is free."""
    found = disk(Path("/var/lib/aaos"), MIN_FREE_BYTES, is_read_only=True)
    assert not found.is_ok
    assert "it is read-only" in found.detail
    assert "mount -o remount,rw" in found.remedy


def test_the_user_of_the_egress_is_looked_for() -> None:
    """OPS-4"""
    settings = Settings()
    last = settings.worker.uid_first + settings.worker.uid_count - 1
    assert egress_user(settings).detail == f"pages are fetched as nobody else (uid {last})"
    for name, said in (("root", "root is root"), ("no-such-user", "there is no user no-such-user")):
        found = egress_user(Settings(egress=EgressSettings(user=name)))
        assert (found.is_ok, found.detail) == (False, f"egress.user: {said}")
        assert found.remedy


def test_what_workspaces_lack_is_told_and_is_no_fault() -> None:
    """OPS-4, RUN-9: nobody has to have them."""
    lacking = workspaces("mkfs.ext4 is not there: apt-get install e2fsprogs")
    assert lacking.is_ok
    assert lacking.detail == "not to be had: mkfs.ext4 is not there: apt-get install e2fsprogs"
    assert workspaces("").detail == "ext4 images on loop devices"


def test_every_bad_finding_has_a_remedy_and_the_wall_comes_first(tmp_path: Path) -> None:
    """OPS-4"""
    wall = Finding("landlock", Layer.LANDLOCK, ok=False, detail="ABI 0", remedy="boot a newer kernel")
    roles = RoleSet({}, (SettingsError("x.yaml: bad", "correct x.yaml"),))
    doctor = Doctor(
        Settings(), roles, WRAPPERS, state_dir=tmp_path, probe=lambda: (wall,), notes=["a marker was missing"]
    )
    findings = doctor.examine()
    assert (findings[0].name, findings[0].is_ok, findings[0].remedy) == ("landlock", False, "boot a newer kernel")
    assert all(finding.remedy for finding in findings if not finding.is_ok)
    assert {"name", "ok", "detail", "remedy"} == set(findings[0].view())


def test_what_is_wrong_with_workspaces_is_told_with_its_remedy(tmp_path: Path) -> None:
    """OPS-4, RUN-9"""
    broken = StorageError("images: Not a directory", "look at it: ls -la /var/lib/aaos")
    roles = RoleSet({}, (SettingsError("x.yaml: bad", "correct x.yaml"),))
    doctor = Doctor(Settings(), roles, WRAPPERS, state_dir=tmp_path, probe=tuple, faults=lambda: (broken,))
    (told,) = [one for one in doctor.examine() if one.name == "workspaces" and not one.is_ok]
    assert (told.detail, told.remedy) == (broken.message, broken.remedy)


@pytest.mark.parametrize(("uid", "who"), [(0, "only root"), (1000, "only uid 1000 and root")])
def test_without_the_group_it_is_told_who_may_submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, who: str
) -> None:
    """OPS-4: root is named once."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    settings = Settings(daemon=DaemonSettings(socket_group="no-such-group"))
    found = Doctor(settings, RoleSet({}), WRAPPERS, state_dir=tmp_path, probe=tuple).examine()
    assert [one.detail for one in found if one.name == "group"] == [
        f"there is no group no-such-group: {who} may submit"
    ]


def test_roles_that_were_refused_are_told(tmp_path: Path) -> None:
    """H-FUZZ-03"""
    roles = RoleSet({}, (SettingsError("x.yaml: bad", "correct x.yaml"),))
    findings = Doctor(Settings(), roles, WRAPPERS, state_dir=tmp_path, probe=tuple).examine()
    assert [finding.name for finding in findings if not finding.is_ok] == ["roles"]


PLACES = KeyPlaces(Path("/nowhere"), owner=os.geteuid())
TABLE = """
providers: {local: {kind: ollama}, cloud: {kind: openai, key: cloud}}
models:
  small: {provider: local, model: s, tier: T1, price_usd: {input: 0, output: 0}}
  big: {provider: cloud, model: b, tier: T2, price_usd: {input: 1, output: 2}}
"""


def test_a_program_that_is_not_there_is_told_with_its_package_and_is_no_fault() -> None:
    """TOL-4, OPS-4"""
    gone, there = Wrapper("ripgrep", "s", "/none/rg", "ripgrep"), Wrapper("true", "s", "/bin/true", "coreutils")
    wrappers = WrapperSet({"ripgrep": gone, "true": there}, (SettingsError("x.yaml: bad", "mend it"),))
    found = wrapper_findings(wrappers, most_wall_s=60)
    assert [finding.detail for finding in found] == [
        "1 wrapped programs: true",
        "not there: ripgrep (/none/rg); to have them: apt-get install ripgrep",
        "x.yaml: bad",
    ]
    assert [finding.is_ok for finding in found] == [True, True, False]


def test_a_tier_without_a_model_is_no_fault() -> None:
    findings = tier_findings(ModelSettings(), PLACES)
    assert [finding.name for finding in findings] == ["tier T0", "tier T1", "tier T2", "tier T3"]
    assert all(finding.is_ok for finding in findings)
    assert "sudo agentd configure --tier T1" in findings[1].detail


def test_tiers_say_their_model_and_whether_its_key_is_there(tmp_path: Path) -> None:
    """LLM-6, OPS-4: never the key itself."""
    table = tmp_path / "models.yaml"
    table.write_text(TABLE)
    settings = ModelSettings(table=table, T1="small", T2="big")
    places = KeyPlaces(tmp_path, owner=os.geteuid())
    _, small, big, _ = tier_findings(settings, places)
    assert (small.is_ok, big.is_ok) == (True, False)
    assert "small: s at http://127.0.0.1:11434/v1" in small.detail
    assert "give key cloud with: sudo agentd configure" in big.remedy
    (tmp_path / "cloud").write_text("sk-0123456789")
    (tmp_path / "cloud").chmod(0o644)
    assert tier_findings(settings, places)[2].remedy == f"chmod 600 {tmp_path / 'cloud'}"
    (tmp_path / "cloud").chmod(0o600)
    big = tier_findings(settings, places)[2]
    assert (big.is_ok, f"key cloud in {tmp_path / 'cloud'}" in big.detail) == (True, True)
    assert "sk-0123456789" not in repr(big)


def test_a_key_that_systemd_keeps_is_seen_by_who_is_not_the_service(tmp_path: Path) -> None:
    """LLM-6: it can't be opened from there, and needn't be."""
    table = tmp_path / "models.yaml"
    table.write_text(TABLE)
    settings = ModelSettings(table=table, T2="big")
    places = KeyPlaces(tmp_path / "keys", owner=os.geteuid(), stores=(tmp_path / "none", tmp_path))
    assert not tier_findings(settings, places)[2].is_ok
    (tmp_path / "aaos-key-cloud").write_text("sealed")
    big = tier_findings(settings, places)[2]
    assert (big.is_ok, f"key cloud in {tmp_path}/aaos-key-cloud" in big.detail) == (True, True)


def test_a_wrong_table_is_told(tmp_path: Path) -> None:
    table = tmp_path / "models.yaml"
    table.write_text("modles: {}")
    bad = tier_findings(ModelSettings(table=table, T1="small"), PLACES)[1]
    assert (bad.is_ok, bad.remedy) == (False, "did you mean 'models'?")
