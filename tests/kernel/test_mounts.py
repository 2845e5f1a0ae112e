"""What a worker can do with files: nothing that was not granted, and nothing but reading and writing in place."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.errors import ConfinementError
from tests.kernel.harness import OWNER, STRANGER, Stand, granted

SECRET = "out of reach"


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """A directory of OWNER with a private file, a stranger's private file, and everybody's file."""
    root = tmp_path / "owned"
    root.mkdir(mode=0o750)
    os.chown(root, OWNER, OWNER)
    _file(root / "mine", "mine", owner=OWNER, mode=0o600)
    _file(root / "theirs", SECRET, owner=STRANGER, mode=0o600)
    _file(root / "roots", SECRET, owner=0, mode=0o600)
    _file(root / "open", "for all", owner=STRANGER, mode=0o666)
    return root


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory of root that everybody may read and write."""
    root = tmp_path / "shared"
    root.mkdir()
    root.chmod(0o777)
    _file(root / "file", "content", owner=0, mode=0o666)
    return root


def _file(path: Path, text: str, *, owner: int, mode: int) -> None:
    path.write_text(text)
    os.chown(path, owner, owner)
    path.chmod(mode)


def _read(path: Path) -> str:
    return f"open({str(path)!r}).read()"


def test_the_owners_private_file_is_read_and_written_in_place_and_stays_the_owners(stand: Stand, owned: Path) -> None:
    """ISO-2: an id-mapped mount shows the owner's files as the worker's own, and on disk nothing changes hands."""
    program = f"""
import os
say({_read(owned / "mine")})
fd = os.open({str(owned / "mine")!r}, os.O_RDWR)
say(os.fstat(fd).st_uid)
say(os.getuid())
os.write(fd, b"MINE, and longer")
"""
    with granted(owned, writable=True, as_owner=True) as root:
        assert stand.attack(program, root).said == ["mine", str(OWNER), str(OWNER)]
    status = (owned / "mine").stat()
    assert (owned / "mine").read_text() == "MINE, and longer"
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (OWNER, OWNER, 0o600)


@pytest.mark.parametrize("name", ["theirs", "roots"])
def test_another_owners_private_file_is_not_read(stand: Stand, owned: Path, name: str) -> None:
    """ISO-2: others' files are seen as everybody sees them."""
    with granted(owned, writable=True, as_owner=True) as root:
        said = stand.attack(
            f"import os\nattempt(lambda: {_read(owned / name)})\nsay({_read(owned / 'open')})", root
        ).said
    assert said == ["EACCES", "for all"]


def test_another_owners_file_is_not_written_even_if_everybody_may(stand: Stand, owned: Path) -> None:
    """ISO-2: its owner has no id behind the wall."""
    with granted(owned, writable=True, as_owner=True) as root:
        assert stand.attack(f"attempt(lambda: open({str(owned / 'open')!r}, 'r+b'))", root).said == ["EACCES"]


def test_a_read_grant_shows_what_everybody_may_read(stand: Stand, owned: Path) -> None:
    """ISO-2: and `as_owner` what its owner may."""
    owned.chmod(0o755)
    program = f"attempt(lambda: {_read(owned / 'mine')})\nsay({_read(owned / 'open')})"
    with granted(owned) as root:
        assert stand.attack(program, root).said == ["EACCES", "for all"]
    with granted(owned, as_owner=True) as root:
        assert stand.attack(program, root).said == ["allowed: 'mine'", "for all"]


def test_as_owner_of_root_shows_what_everybody_may_read(stand: Stand, shared: Path) -> None:
    """ISO-2: id 0 is never mapped, not for reading either."""
    _file(shared / "private", SECRET, owner=0, mode=0o600)
    program = (
        f"import os\nattempt(lambda: {_read(shared / 'private')})\nsay({_read(shared / 'file')})\nsay(os.getuid())"
    )
    with granted(shared, as_owner=True) as root:
        assert stand.attack(program, root).said == ["EACCES", "content", "1000"]


def test_a_write_grant_of_root_is_refused(stand: Stand, shared: Path) -> None:
    """ISO-2: id 0 is never mapped."""
    with granted(shared, writable=True) as root, pytest.raises(ConfinementError, match="belongs to id 0") as caught:
        stand.attack("say('ran')", root)
    assert caught.value.remedy


def test_write_grants_of_two_owners_are_refused(stand: Stand, owned: Path, tmp_path: Path) -> None:
    """ISO-2: one map has one id."""
    other = tmp_path / "other"
    other.mkdir()
    os.chown(other, STRANGER, STRANGER)
    with granted(owned, writable=True) as one, granted(other, writable=True) as two:
        with pytest.raises(ConfinementError, match="different owners"):
            stand.attack("say('ran')", one, two)


WAYS_TO_CHANGE = (
    ("os.open(FILE, os.O_WRONLY)", "EROFS"),
    ("os.open(FILE, os.O_WRONLY | os.O_TRUNC)", "EROFS"),
    ("os.open(FILE, os.O_RDONLY | os.O_TRUNC)", "EROFS"),
    ("os.open(FILE, os.O_RDWR | os.O_APPEND)", "EROFS"),
    ("os.ftruncate(os.open(FILE, os.O_RDONLY), 0)", "EINVAL"),
    ("os.write(os.open(FILE, os.O_RDONLY), b'x')", "EBADF"),
    ("os.rename(FILE, FILE + '2')", "EPERM"),
    ("os.replace(FILE + '2', FILE)", "EPERM"),
    ("os.unlink(FILE)", "EPERM"),
    ("os.open(FILE + '2', os.O_WRONLY | os.O_CREAT)", "EPERM"),
    ("os.chmod(FILE, 0o777)", "EPERM"),
    ("os.fchmod(os.open(FILE, os.O_RDONLY), 0o777)", "EPERM"),
    ("os.chown(FILE, os.getuid(), -1)", "EPERM"),
    ("os.utime(FILE, (0, 0))", "EPERM"),
    ("os.setxattr(FILE, 'user.a', b'b')", "EPERM"),
    ("os.link(FILE, FILE + '2')", "EPERM"),
    ("os.symlink('/etc/passwd', FILE + '2')", "EPERM"),
    ("os.mkdir(FILE + '2')", "EPERM"),
    ("os.mkfifo(FILE + '2')", "EPERM"),
    ("os.truncate(FILE, 0)", "EPERM"),
    ("mmap.mmap(os.open(FILE, os.O_RDONLY), 4, mmap.MAP_SHARED, mmap.PROT_WRITE)", "EACCES"),
)


@pytest.mark.parametrize(("act", "refusal"), WAYS_TO_CHANGE, ids=[act for act, _ in WAYS_TO_CHANGE])
def test_a_read_grant_cannot_be_changed(stand: Stand, shared: Path, act: str, refusal: str) -> None:
    """H-FS-13: by any call, though by its mode the file is everybody's to write."""
    before = _facts(shared / "file")
    program = f"import mmap, os\nFILE = {str(shared / 'file')!r}\nattempt(lambda: {act})"
    with granted(shared) as root:
        assert stand.attack(program, root).said == [refusal]
    assert _facts(shared / "file") == before
    assert os.listdir(shared) == ["file"]


def _facts(path: Path) -> tuple[object, ...]:
    status = path.stat()
    return path.read_bytes(), status.st_mode, status.st_uid, status.st_mtime_ns, status.st_nlink, os.listxattr(path)


WAYS_TO_CREATE = (
    "os.open(NEW, os.O_WRONLY | os.O_CREAT)",
    "os.open(NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o4755)",
    "os.mkdir(NEW)",
    "os.mkfifo(NEW)",
    "os.mknod(NEW, 0o100644)",
    "os.symlink('mine', NEW)",
    "os.link(MINE, NEW)",
    "os.rename(MINE, NEW)",
    "os.unlink(MINE)",
    "os.chmod(MINE, 0o4755)",
    "os.setxattr(MINE, 'user.a', b'b')",
)


@pytest.mark.parametrize("act", WAYS_TO_CREATE)
def test_a_write_grant_lets_nothing_be_made_renamed_removed_or_given_a_mode(
    stand: Stand, owned: Path, act: str
) -> None:
    """ISO-3, H-FS-14, H-SBX-06: existing files are written in place, and that is all."""
    before = sorted(os.listdir(owned)), _facts(owned / "mine")
    program = f"import os\nMINE, NEW = {str(owned / 'mine')!r}, {str(owned / 'new')!r}\nattempt(lambda: {act})"
    with granted(owned, writable=True, as_owner=True) as root:
        assert stand.attack(program, root).said == ["EPERM"]
    assert (sorted(os.listdir(owned)), _facts(owned / "mine")) == before


def test_writing_a_setuid_file_takes_the_bit_away(stand: Stand, owned: Path) -> None:
    """H-FS-14: the worker is its owner, and still cannot keep a program that runs as the owner."""
    (owned / "mine").chmod(0o6755)
    with granted(owned, writable=True, as_owner=True) as root:
        said = stand.attack(f"import os\nsay(os.write(os.open({str(owned / 'mine')!r}, os.O_WRONLY), b'x'))", root).said
    assert said == ["1"]
    assert (owned / "mine").stat().st_mode & 0o7777 == 0o755


@pytest.fixture
def repository(owned: Path) -> Path:
    """A git workspace of OWNER, with a nested one."""
    for path in (owned / ".git", owned / ".git" / "hooks", owned / "deep", owned / "deep" / ".git"):
        path.mkdir()
        os.chown(path, OWNER, OWNER)
    for name in (
        ".git/config",
        ".git/hooks/pre-commit",
        ".gitmodules",
        ".gitattributes",
        "deep/.git/config",
        "deep/code",
    ):
        _file(owned / name, "trusted", owner=OWNER, mode=0o644)
    return owned


CONTROL_FILES = (".git/config", ".git/hooks/pre-commit", ".gitmodules", ".gitattributes", "deep/.git/config")


@pytest.mark.parametrize("name", CONTROL_FILES)
def test_control_files_are_read_and_never_written(stand: Stand, repository: Path, name: str) -> None:
    """H-FS-15"""
    path = repository / name
    program = f"import os\nsay({_read(path)})\nattempt(lambda: os.open({str(path)!r}, os.O_WRONLY))"
    with granted(repository, writable=True, as_owner=True) as root:
        assert stand.attack(program, root).said == ["trusted", "EROFS"]


def test_beside_control_files_the_workspace_is_written(stand: Stand, repository: Path) -> None:
    """H-FS-15: what is covered is no more than what must be."""
    with granted(repository, writable=True, as_owner=True) as root:
        program = f"import os\nsay(os.write(os.open({str(repository / 'deep' / 'code')!r}, os.O_WRONLY), b'mended!'))"
        assert stand.attack(program, root).said == ["7"]
    assert (repository / "deep" / "code").read_text() == "mended!"


@pytest.mark.parametrize("act", ["os.rename(GIT, GIT + 'x')", "os.unlink(GIT + '/config')", "os.mkdir(GIT + 'x')"])
def test_a_git_directory_cannot_be_moved_away_and_planted_anew(stand: Stand, repository: Path, act: str) -> None:
    """H-FS-15"""
    program = f"import os\nGIT = {str(repository / '.git')!r}\nattempt(lambda: {act})"
    with granted(repository, writable=True, as_owner=True) as root:
        assert stand.attack(program, root).said == ["EPERM"]


def test_what_is_not_granted_is_not_there(stand: Stand, owned: Path, shared: Path) -> None:
    """ISO-3, H-FS-02, H-FS-03: the root holds what the policy names; a sibling of a granted one does not exist."""
    program = f"""
import os
SHARED = {str(shared)!r}
for path in ({str(owned)!r}, SHARED + "-evil", SHARED + "/../owned/open", "/etc/passwd", "/usr", "/home"):
    attempt(lambda: os.open(path, os.O_RDONLY))
attempt(lambda: os.listdir({str(shared)!r}))
"""
    with granted(shared) as root:
        said = stand.attack(program, root).said
    assert said == ["ENOENT"] * 6 + ["allowed: ['file']"]


def test_a_link_leads_nowhere_outside(stand: Stand, shared: Path) -> None:
    """H-FS-04: of a leaf, and of a directory on the way; neither the machine's file nor the template's is found."""
    (shared / "leaf").symlink_to("/etc/passwd")
    (shared / "way").symlink_to("/etc")
    (shared / "up").symlink_to("../owned/open")
    program = f"""
import os
for name in ("leaf", "way/passwd", "up"):
    attempt(lambda: os.open({str(shared)!r} + "/" + name, os.O_RDONLY))
"""
    with granted(shared) as root:
        assert stand.attack(program, root).said == ["ENOENT"] * 3


def test_devices_and_pipes_in_a_granted_directory_do_nothing(stand: Stand, shared: Path) -> None:
    """H-SBX-06, ISO-3: nodev; and a pipe of the host cannot be written, read-only mount or not."""
    os.mknod(shared / "disk", 0o60666, os.makedev(1, 0))
    os.mknod(shared / "null", 0o20666, os.makedev(1, 3))
    os.mkfifo(shared / "pipe")
    for name in ("disk", "null", "pipe"):
        (shared / name).chmod(0o666)
    program = f"""
import os
for name, flags in (("disk", os.O_RDONLY), ("null", os.O_RDONLY), ("pipe", os.O_WRONLY), ("pipe", os.O_RDWR)):
    attempt(lambda: os.open({str(shared)!r} + "/" + name, flags | os.O_NONBLOCK))
"""
    with granted(shared) as root:
        assert stand.attack(program, root).said == ["EACCES"] * 4


def test_a_nested_root_keeps_its_own_rights(stand: Stand, owned: Path) -> None:
    """ISO-3: writable below read-only, and read-only below writable."""
    inner = owned / "inner"
    inner.mkdir()
    os.chown(inner, OWNER, OWNER)
    _file(inner / "file", "inner", owner=OWNER, mode=0o600)
    program = f"""
import os
for path in ({str(owned / "mine")!r}, {str(inner / "file")!r}):
    attempt(lambda: os.close(os.open(path, os.O_WRONLY)))
"""
    with granted(owned, as_owner=True) as outer, granted(inner, writable=True, as_owner=True) as writable:
        assert stand.attack(program, outer, writable).said == ["EROFS", "allowed: None"]
    with granted(owned, writable=True, as_owner=True) as outer, granted(inner, as_owner=True) as read_only:
        assert stand.attack(program, outer, read_only).said == ["allowed: None", "EROFS"]


def test_mounts_below_a_granted_directory_are_not_granted(stand: Stand, shared: Path) -> None:
    """ISO-3: what is mounted there on the machine stays outside; the directory beneath is shown."""
    below = shared / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(below)], check=True)
    try:
        (below / "secret").write_text(SECRET)
        with granted(shared) as root:
            assert stand.attack(f"import os\nsay(os.listdir({str(below)!r}))", root).said == ["[]"]
    finally:
        subprocess.run(["umount", str(below)], check=True)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A directory of OWNER on overlayfs."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("below")
    merged = tmp_path / "merged"
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "none", "-o", options, str(merged)], check=True)
    os.chown(merged, OWNER, OWNER)
    yield merged
    subprocess.run(["umount", str(merged)], check=True)


def test_overlayfs_is_refused_for_writing_by_name(stand: Stand, overlay: Path) -> None:
    """ISO-2: it cannot be id-mapped; the error says which root it is."""
    with (
        granted(overlay, writable=True) as root,
        pytest.raises(ConfinementError, match="cannot show its owner") as caught,
    ):
        stand.attack("say('ran')", root)
    assert caught.value.message.startswith(f"{overlay}: ")


def test_overlayfs_is_read(stand: Stand, overlay: Path) -> None:
    """ISO-2: a read grant needs no map."""
    with granted(overlay) as root:
        assert stand.attack(f"say({_read(overlay / 'file')})", root).said == ["below"]


@pytest.mark.parametrize("path", ["/", "/proc", "/dev/shm"])
def test_a_root_that_would_hide_the_walls_own_mounts_is_refused(stand: Stand, path: str) -> None:
    """ISO-3: the machine's /proc and devices are never seen."""
    with granted(Path(path)) as root, pytest.raises(ConfinementError, match="cannot be mounted for a worker"):
        stand.attack("say('ran')", root)


def test_a_single_file_is_no_root(stand: Stand, shared: Path) -> None:
    """BRK-5: a grant of one file is held by the gate."""
    with granted(shared / "file") as root, pytest.raises(ConfinementError, match="not one directory"):
        stand.attack("say('ran')", root)


def test_paths_of_any_spelling_are_mounted_and_attested(stand: Stand, tmp_path: Path) -> None:
    """H-FS-10: spaces, newlines, backslashes, bytes that are not ASCII."""
    for name in ("with space", "new\nline", "back\\slash", "octal\\040", "ümlaut", "a'b\"c", "-dash", "~", "x" * 250):
        root = tmp_path / name
        root.mkdir()
        root.chmod(0o755)
        _file(root / "file", name, owner=0, mode=0o644)
        with granted(root) as opened:
            assert stand.attack(f"say({_read(root / 'file')})", opened).said == [name]


def test_a_root_whose_name_is_not_utf_8_is_refused(stand: Stand, tmp_path: Path) -> None:
    """H-FS-10: it has no form on the wire."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    root.mkdir()
    with granted(root) as opened, pytest.raises(ConfinementError, match="cannot be sent"):
        stand.attack("say('ran')", opened)
