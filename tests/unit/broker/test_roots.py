"""Who holds a grant, and as what it is opened (BRK-5, CAP-0)."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.broker.roots import Owner, choose_held, close_roots, open_roots, resolve
from aaos.core.capability import Capability, Kind
from aaos.core.constraint import Constraints
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, DeniedError, InputError
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root
from tests.unit.broker.scene import ME, as_myself

LIMITED = Constraints(max_calls=3)
READ, WRITE = Kind.FILE_READ, Kind.FILE_WRITE


def opened(*capabilities: Capability, submitter: Submitter = ME) -> tuple[Root, ...]:
    found = open_roots(capabilities, submitter, act=as_myself)
    close_roots(found)
    return found


def status(uid: int, gid: int) -> os.stat_result:
    return os.stat_result((0o40755, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("capability", "uid", "gid", "file_system", "owner", "held"),
    [
        (Capability(READ, "/d/**"), 0, 0, "overlay", None, Held.KERNEL),
        (Capability(READ, "/d/**"), 1000, 1000, "ext4", Owner(1, 1), Held.KERNEL),
        (Capability(READ, "/d/**", as_owner=True), 1000, 1000, "ext4", None, Held.KERNEL),
        (Capability(WRITE, "/d/**"), 1000, 1000, "ext4", None, Held.KERNEL),
        (Capability(WRITE, "/d/**"), 1000, 1000, "ext4", Owner(1000, 1000), Held.KERNEL),
        (Capability(WRITE, "/d/**"), 1000, 1000, "ext4", Owner(1001, 1000), Held.GATE),
        (Capability(WRITE, "/d/**"), 1000, 1000, "ext4", Owner(1000, 1001), Held.GATE),
        (Capability(WRITE, "/d/**"), 0, 1000, "ext4", None, Held.GATE),
        (Capability(WRITE, "/d/**"), 1000, 0, "ext4", None, Held.GATE),
        (Capability(READ, "/d/**", as_owner=True), 0, 0, "ext4", None, Held.GATE),
        (Capability(WRITE, "/d/**"), 1000, 1000, "overlay", None, Held.GATE),
        (Capability(WRITE, "/d/**"), 1000, 1000, "nfs4", None, Held.GATE),
        (Capability(READ, "/d/**", LIMITED), 1000, 1000, "ext4", None, Held.GATE),
        (Capability(WRITE, "/d/**", LIMITED), 1000, 1000, "ext4", None, Held.GATE),
        (Capability(READ, "/d/*.md"), 1000, 1000, "ext4", None, Held.GATE),
        (Capability(READ, "/d/*/x/**"), 1000, 1000, "ext4", None, Held.GATE),
        (Capability(READ, "/d/f"), 1000, 1000, "ext4", None, Held.GATE),
    ],
)
def test_the_kernel_holds_whole_trees_that_it_can_show(
    capability: Capability, uid: int, gid: int, file_system: str, owner: Owner | None, held: Held
) -> None:
    """ISO-2, BRK-5"""
    assert choose_held(capability, status(uid, gid), file_system=file_system, owner=owner) is held


@given(
    st.integers(0, 3), st.integers(0, 3), st.booleans(), st.sampled_from(["ext4", "overlay", "tmpfs"]), st.booleans()
)
def test_id_0_and_a_second_owner_are_never_mapped(
    uid: int, gid: int, as_owner: bool, file_system: str, has_owner: bool
) -> None:
    """ISO-2"""
    owner = Owner(2, 2) if has_owner else None
    for capability in (Capability(WRITE, "/d/**"), Capability(READ, "/d/**", as_owner=as_owner)):
        held = choose_held(capability, status(uid, gid), file_system=file_system, owner=owner)
        is_mapped = held is Held.KERNEL and (capability.kind is WRITE or capability.as_owner)
        assert not is_mapped or (uid and gid and owner in (None, Owner(uid, gid)) and file_system != "overlay")


def test_a_file_is_looked_up_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    for resource in ("f", "*.md", "none", "f*/**"):
        [found] = opened(Capability(READ, f"{tmp_path}/{resource}"))
        assert (found.path, found.held, found.is_dir, found.writable) == (str(tmp_path), Held.GATE, True, False)


def test_grants_of_one_directory_share_a_root(tmp_path: Path) -> None:
    whole = f"{tmp_path}/**"
    found = opened(
        Capability(Kind.TOOL, "echo"),
        Capability(READ, whole),
        Capability(READ, whole),
        Capability(READ, f"{tmp_path}/a"),
        Capability(WRITE, f"{tmp_path}/b"),
    )
    assert [(r.held, r.writable) for r in found] == [(Held.KERNEL, False), (Held.GATE, True)]


def test_a_missing_root_is_an_error_that_says_so(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    good = Capability(READ, f"{tmp_path}/**")
    with pytest.raises(InputError, match="does not exist"):
        opened(good, Capability(READ, f"{tmp_path}/none/**"))
    with pytest.raises(InputError, match="does not exist"):
        opened(good, Capability(WRITE, f"{tmp_path}/none/f"))
    (tmp_path / "f").touch()
    with pytest.raises(InputError, match="is not a directory"):
        opened(good, Capability(READ, f"{tmp_path}/f/**"))
    assert len(os.listdir("/proc/self/fd")) == before, "an fd was left open"


def test_a_root_behind_a_link_is_refused(tmp_path: Path) -> None:
    """H-FS-04: links are followed once, before the grant is made and shown, never here."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for resource in ("link/**", "link/f", "link/*.md"):
        with pytest.raises(DeniedError, match="symbolic link"):
            opened(Capability(READ, f"{tmp_path}/{resource}"))


def test_the_kernels_own_file_systems_hold_no_files() -> None:
    """H-FS-08"""
    for resource in ("/proc/**", "/proc/self/environ", "/sys/**", "/proc/1/root/etc/**"):
        with pytest.raises((DeniedError, InputError)):
            opened(Capability(READ, resource))


def test_as_owner_is_for_ones_own_files(tmp_path: Path) -> None:
    """CAP-0"""
    (tmp_path / "f").touch()
    stranger = Submitter(Uid(ME.uid + 1), Gid(ME.gid + 1))
    for resource in (f"{tmp_path}/**", f"{tmp_path}/f"):
        assert opened(Capability(READ, resource, as_owner=True))[0].as_owner
        with pytest.raises(DeniedError, match="as_owner"):
            opened(Capability(READ, resource, as_owner=True), submitter=stranger)


def test_a_path_of_the_operator_is_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").touch()
    (tmp_path / "link").symlink_to("real")
    for path, real in (("link", "real"), ("link/f", "real/f"), ("link/new", "real/new"), ("real/f", "real/f")):
        assert resolve(f"{tmp_path}/{path}", ME, act=as_myself) == f"{tmp_path}/{real}"
    with pytest.raises(AaosError, match="does not exist"):
        resolve(f"{tmp_path}/none/f", ME, act=as_myself)


@pytest.mark.parametrize("inside", ["cwd", "exe", "root/etc/passwd", "fd/0"])
def test_a_path_never_leads_through_a_process(tmp_path: Path, inside: str) -> None:
    """H-PROC-01, H-FS-04: agentd may follow such links of every process, and the submitter may not."""
    (tmp_path / "link").symlink_to("/proc/self")
    for path in (f"/proc/{os.getpid()}/{inside}", f"/proc/self/{inside}", f"{tmp_path}/link/{inside}", "/dev/fd/0"):
        with pytest.raises(DeniedError, match="symbolic link"):
            resolve(path, ME, act=as_myself)
