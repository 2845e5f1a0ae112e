"""What the egress sees of the machine: a few copies, as new as what they are copies of."""

import os
from pathlib import Path

import pytest

from aaos.broker.nameservice import MAX_BYTES, NameService
from aaos.core.errors import SettingsError, StorageError


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Settings of name resolution as a machine has them."""
    made = tmp_path / "machine"
    made.mkdir()
    (made / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (made / "authorities").write_text("certificates")
    return made


def service(machine: Path) -> NameService:
    return NameService(
        machine.parent / "copies" / "etc",
        machine / "authorities",
        owner=lambda: (os.getuid(), os.getgid()),
        resolver={"resolv.conf": machine / "resolv.conf", "hosts": machine / "hosts"},
    )


def copies(made: NameService) -> dict[str, str]:
    return {path.name: path.read_text() for path in made.directory.iterdir()}


def test_there_is_what_resolving_and_trusting_needs_and_no_more(machine: Path) -> None:
    made = service(machine)
    made.prepare()
    assert copies(made) == {
        "resolv.conf": "nameserver 192.0.2.53\n",
        "hosts": "",
        "nsswitch.conf": "hosts: files dns\n",
        "ca-certificates.crt": "certificates",
    }


def test_it_is_for_the_egress_alone(machine: Path) -> None:
    """H-SEC-10: whatever the umask."""
    before = os.umask(0)
    try:
        made = service(machine)
        made.prepare()
    finally:
        os.umask(before)
    assert not any(path.stat().st_mode & 0o077 for path in (made.directory, *made.directory.iterdir()))


def test_what_changes_is_copied_again(machine: Path) -> None:
    made = service(machine)
    made.prepare()
    assert not made.refresh()
    (machine / "new").write_text("nameserver 192.0.2.54\n")
    (machine / "new").rename(machine / "resolv.conf")  # as most programs change it
    (machine / "hosts").write_text("192.0.2.1 a\n")
    assert not made.refresh(), "the authorities are the same"
    assert copies(made)["resolv.conf"] == "nameserver 192.0.2.54\n"
    assert copies(made)["hosts"] == "192.0.2.1 a\n"
    (machine / "hosts").unlink()
    made.refresh()
    assert copies(made)["hosts"] == ""


def test_new_authorities_are_told(machine: Path) -> None:
    made = service(machine)
    made.prepare()
    (machine / "authorities").write_text("others")
    assert made.refresh()
    assert copies(made)["ca-certificates.crt"] == "others"


def test_a_huge_file_is_cut(machine: Path) -> None:
    os.truncate(machine / "authorities", 2 * MAX_BYTES)
    made = service(machine)
    made.prepare()
    assert (made.directory / "ca-certificates.crt").stat().st_size == MAX_BYTES


def test_a_draft_of_an_earlier_life_is_no_obstacle(machine: Path) -> None:
    made = service(machine)
    made.prepare()
    (made.directory / ".hosts.new").symlink_to(machine / "authorities")
    made.prepare()
    assert (machine / "authorities").read_text() == "certificates"


def test_what_cannot_be_written_is_an_error_with_its_path(machine: Path) -> None:
    (machine.parent / "copies").write_text("a file")
    with pytest.raises(StorageError, match="copies"):
        service(machine).prepare()


def test_what_cannot_be_read_is_an_error_with_its_path(machine: Path) -> None:
    (machine / "resolv.conf").unlink()
    (machine / "resolv.conf").mkdir()
    with pytest.raises(StorageError, match=r"resolv\.conf"):
        service(machine).prepare()


def test_without_an_owner_there_are_no_copies(machine: Path) -> None:
    def nobody() -> tuple[int, int]:
        raise SettingsError("egress.user: there is no user x", "adduser x")

    made = NameService(machine / "c", machine / "authorities", owner=nobody)
    with pytest.raises(SettingsError):
        made.prepare()
    assert not made.directory.exists()
