"""The files of the Debian package agree with each other and with the program: unit, profile, dependencies, users."""

import re
from pathlib import Path

from aaos.core.config import Settings
from aaos.daemon.configure_host import UNIT, Host
from aaos.daemon.systemd import WATCHDOG_S
from aaos.llm.keys import CREDENTIAL

ROOT = Path(__file__).parent.parent
DEBIAN = ROOT / "packaging/debian"
SERVICE = dict(re.findall(r"^([A-Z]\w+)=(.*)$", (DEBIAN / "aaos.agentd.service").read_text("utf-8"), re.MULTILINE))
PROFILE = (DEBIAN / "aaos-agentd.apparmor").read_text(encoding="utf-8")
RULES = re.sub(r"^\s*#.*$", "", PROFILE, flags=re.MULTILINE)


def test_configure_seals_a_key_as_what_the_unit_imports() -> None:
    """LLM-6: the name and both places; source: systemd.exec(5) ImportCredential=."""
    assert SERVICE["ImportCredential"] == f"{CREDENTIAL}*"
    assert Host().places("k") == (
        Path(f"/etc/credstore.encrypted/{CREDENTIAL}k"),
        Path(f"/etc/credstore/{CREDENTIAL}k"),
    )
    assert (DEBIAN / f"aaos.{UNIT}").exists()


def test_a_purge_takes_every_place_of_keys() -> None:
    """H-PKG-02, LLM-6: what is kept of keys belongs to the settings."""
    script = (DEBIAN / "aaos.postrm").read_text(encoding="utf-8")
    for path in Host().places(""):
        assert f"{path}*" in script
    assert str(Settings().models.keys_dir.parent) in script


def test_the_watchdog_is_fed_often_enough() -> None:
    """DEB-2"""
    assert int(SERVICE["WatchdogSec"]) >= 2 * WATCHDOG_S


def test_the_unit_runs_under_the_profile_that_is_shipped() -> None:
    """DEB-2: optional, since every layer of the wall is there without it."""
    name = SERVICE["AppArmorProfile"].removeprefix("-")
    assert SERVICE["AppArmorProfile"] == f"-{name}"
    assert re.findall(r"^profile (\S+)", RULES, re.MULTILINE) == [name]
    assert f"--profile-name={name}" in (DEBIAN / "rules").read_text(encoding="utf-8")


def test_the_profile_permits_what_the_unit_leaves() -> None:
    """DEB-2: every capability of the daemon; what else is there is of user namespaces alone."""
    kept = {name.removeprefix("CAP_").lower() for name in SERVICE["CapabilityBoundingSet"].split()}
    permitted = set(re.findall(r"^  capability (\w+),$", RULES, re.MULTILINE))
    assert permitted - kept == {"fsetid", "net_admin", "setfcap", "sys_chroot"}
    assert kept <= permitted


def test_nothing_leads_out_of_the_profile() -> None:
    """DEB-2: no change of profile, no program without one, no unconfined mode."""
    assert not re.search(r"change_profile|unconfined|complain|[ ,][rwlkm]*[uUpPcC]+x\b", RULES)


def test_workspaces_have_what_they_take() -> None:
    """RUN-9, DEB-2: mkfs.ext4 and loop devices, where the unit permits no others."""
    unit = (DEBIAN / "aaos.agentd.service").read_text(encoding="utf-8")
    assert SERVICE["DevicePolicy"] == "closed"
    assert re.findall(r"^DeviceAllow=(.*)$", unit, re.MULTILINE) == ["/dev/loop-control rw", "block-7 rw"]
    assert re.search(r"^ e2fsprogs,$", (DEBIAN / "control").read_text(encoding="utf-8"), re.MULTILINE)
    assert not re.search(r"deny /dev/[^\n]*loop", RULES)


def test_the_chroot_has_what_the_package_depends_on() -> None:
    """DEB-1"""
    control = (DEBIAN / "control").read_text(encoding="utf-8")
    depends = control.partition("\nPackage:")[2].partition("\nDepends:")[2].partition("\nDescription:")[0]
    needed = set(re.findall(r"^ ([\w.+-]+)", depends, re.MULTILINE))
    chroot = (ROOT / "packaging/chroot.sh").read_text(encoding="utf-8")
    product = re.search(r"^product=(.*)$", chroot, re.MULTILINE)
    assert product
    assert set(product[1].split(",")) == needed


BUNDLED = re.findall(r"^(\w+)==(\S+)(.*)$", (ROOT / "packaging/bundled.txt").read_text("utf-8"), re.MULTILINE)


def test_what_is_bundled_has_its_licence() -> None:
    """DEB-1"""
    copyright_text = (DEBIAN / "copyright").read_text(encoding="utf-8")
    assert len(BUNDLED) == 2
    for name, _, _ in BUNDLED:
        assert f"Files: bundled/{name}" in copyright_text


def test_what_is_bundled_is_known_by_its_digest() -> None:
    """H-PKG-04: what goes into the package is the file that was looked at, at the version that the tests run with."""
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for name, version, digest in BUNDLED:
        assert re.fullmatch(r" --hash=sha256:[0-9a-f]{64}", digest)
        assert f"{name}=={version}" in pins
    assert "--require-hashes" in (ROOT / "packaging/chroot.sh").read_text(encoding="utf-8")


def test_every_dependency_has_one_version() -> None:
    """H-PKG-04"""
    files = sorted(ROOT.glob("requirements*.txt"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    free = [line for line in lines if line and line[0] != "#" and not re.match(r"[\w.\[\]-]+==[\w.+!]+( |;|$)", line)]
    assert len(files) >= 4
    assert free == []
