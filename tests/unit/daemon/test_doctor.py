"""Findings of the doctor."""

from pathlib import Path

from aaos.core.config import Settings
from aaos.core.errors import SettingsError
from aaos.core.layers import Layer
from aaos.core.rolefile import RoleSet
from aaos.daemon.doctor import MIN_FREE_BYTES, Doctor, disk
from aaos.sandbox.probe import Finding


def test_a_full_disk_is_a_finding_with_a_remedy() -> None:
    assert disk(Path("/var"), MIN_FREE_BYTES).is_ok
    assert "du -xh /var" in disk(Path("/var"), 0).remedy


def test_every_bad_finding_has_a_remedy_and_the_wall_comes_first(tmp_path: Path) -> None:
    """OPS-4"""
    wall = Finding("landlock", Layer.LANDLOCK, ok=False, detail="ABI 0", remedy="boot a newer kernel")
    roles = RoleSet({}, (SettingsError("x.yaml: bad", "correct x.yaml"),))
    doctor = Doctor(Settings(), roles, state_dir=tmp_path, probe=lambda: (wall,), notes=["a marker was missing"])
    findings = doctor.examine()
    assert (findings[0].name, findings[0].is_ok, findings[0].remedy) == ("landlock", False, "boot a newer kernel")
    assert all(finding.remedy for finding in findings if not finding.is_ok)
    assert {"name", "ok", "detail", "remedy"} == set(findings[0].view())


def test_roles_that_were_refused_are_told(tmp_path: Path) -> None:
    """H-FUZZ-03"""
    roles = RoleSet({}, (SettingsError("x.yaml: bad", "correct x.yaml"),))
    findings = Doctor(Settings(), roles, state_dir=tmp_path, probe=tuple).examine()
    assert [finding.name for finding in findings if not finding.is_ok] == ["roles"]
