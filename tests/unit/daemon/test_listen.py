"""Places where the operator's socket must not be made. What needs a bound socket is tested in tests/kernel."""

from pathlib import Path

import pytest

from aaos.core.errors import AaosError, ConflictError, SettingsError
from aaos.daemon.listen import group_id, listen


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """H-API-02"""
    tmp_path.chmod(0o777)
    with pytest.raises(SettingsError, match="others may write"):
        listen(tmp_path / "s", group=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_stale_socket_of_ours_is_never_replaced(tmp_path: Path, kind: str) -> None:
    """H-API-02: also a symbolic link at the socket's path."""
    tmp_path.chmod(0o700)
    path = tmp_path / "s"
    match kind:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError):
        listen(path, group=None)
    assert path.lstat()


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="too long"):
        listen(tmp_path / ("x" * 100), group=None)


def test_a_missing_place_has_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(AaosError) as caught:
        listen(tmp_path / "no" / "such" / "s", group=None)
    assert "install -d" in caught.value.remedy


def test_a_group_that_does_not_exist_is_none() -> None:
    assert group_id("root") == 0
    assert group_id("no-such-group-here") is None
