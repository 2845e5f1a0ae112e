"""Workspaces as files: an ext4 image for each, made, checked, reserved and mounted by agentd alone.

Invariant: only a plain file of agentd's own, with one name and the label of its run, is ever mounted; who works in it
reaches files through the kernel and never the image. While it is mounted for a run its whole size is allocated on the
host, so that nothing in it can fail for want of space outside, nor take the space that agentd itself needs; the lock on
it lasts until the kernel has let go of it, so that it is never mounted twice.
"""

import errno
import fcntl
import os
import shlex
import shutil
import stat
import struct
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from aaos.core.errors import ConfinementError, ConflictError, StorageError
from aaos.core.ids import Gid, RunId, Uid
from worker.wall import syscalls

MIN_BYTES = 16 * 2**20
BLOCK_BYTES = 4096
LOOP_CONTROL = Path("/dev/loop-control")
MKFS_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
INODE_BYTES = 16_384  # of the size for each file that it may hold
_MAX_INODES = 2**18
_MKFS_S = 120.0
_LOCK_S = 10.0
_LOOK_S = 0.02
_DEVICES = 64  # others may take the free loop device first
_UMOUNT_S = 5.0

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16  # the kernel does without where the host's file system cannot
_LOOP_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_LOOP_CONFIG = struct.Struct(f"=II{_LOOP_INFO.size}s64x")

_MS_RDONLY, _MS_NOATIME = 1, 1024  # linux/mount.h
_FITRIM = 0xC018_5879  # linux/fs.h
_FITRIM_RANGE = struct.Struct("=3Q")
_SUPER_BYTES, _SUPER_AT = 264, 1024  # linux/fs/ext4/ext4.h, struct ext4_super_block
_MAGIC, _MAGIC_AT = b"\x53\xef", 56
_LABEL_AT, _LABEL_BYTES = 120, 16
_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"
    "extra_isize,metadata_csum"
)
_OPTIONS = "errors=remount-ro,noinit_itable,nodiscard"  # a discard would give back what is reserved
_DAMAGED = {errno.EINVAL, errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA}


def make_image(path: Path, size_bytes: int, *, run: RunId, owner: tuple[Uid, Gid]) -> None:
    """An image whose whole size is allocated, with an empty root directory of `owner`'s. Raises StorageError."""
    fresh = path.with_suffix(".new")
    with ExitStack() as unless_whole:
        unless_whole.callback(_forget, fresh)
        try:
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(fd, size_bytes)
                os.posix_fallocate(fd, 0, size_bytes)
                _format(fd, size_bytes, run=run, owner=owner)
                os.fsync(fd)
            finally:
                os.close(fd)
            fresh.replace(path)
        except OSError as error:
            raise fault(error, path) from error
        unless_whole.pop_all()


def open_image(path: Path, run: RunId) -> int:
    """The image, locked for one mount; the caller closes it. Raises StorageError, ConflictError."""
    with ExitStack() as unless_returned:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            unless_returned.callback(os.close, fd)
            _check_ours(fd, path)
            _await_lock(fd, path)
            _check_super(fd, path, run)
        except OSError as error:
            raise fault(error, path) from error
        unless_returned.pop_all()
        return fd


def reserve(fd: int, path: Path) -> None:
    """Allocate on the host what the image may come to need. Raises StorageError: there is no space for it."""
    try:
        os.posix_fallocate(fd, 0, os.fstat(fd).st_size)
    except OSError as error:
        raise fault(error, path) from error


def mount_image(fd: int, path: Path, target: Path, *, is_writable: bool) -> None:
    """Mount the locked image at `target`, nosuid and nodev; its loop device goes when the mount does.

    Raises StorageError for an image that is damaged, ConfinementError where there are no loop devices.
    """
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | _MS_NOATIME | (0 if is_writable else _MS_RDONLY)
    loop, device = _attach(fd)
    try:
        syscalls.mount(device, str(target), "ext4", flags=flags, options=_OPTIONS)
    except OSError as error:
        if error.errno in _DAMAGED:
            raise _damaged(path, error.strerror or "") from error
        raise fault(error, path) from error
    finally:
        os.close(loop)


def trim(target: Path) -> None:
    """Give back to the host what the files in a mounted image do not use.

    Raises StorageError where the kernel does not: it stays allocated then.
    """
    try:
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _FITRIM, _FITRIM_RANGE.pack(0, 2**64 - 1, 0))
        finally:
            os.close(fd)
    except OSError as error:
        message = f"{target}: the disk of its image takes nothing back ({error.strerror}): it keeps its whole size"
        remedy = "remove what nobody needs: agentd workspace list, then agentd workspace rm RUN"
        raise StorageError(message, remedy) from error


def unmount(target: Path) -> None:
    """Take the mount away: at once, or when what keeps it open for longer than seconds is closed."""
    until_s = time.monotonic() + _UMOUNT_S
    while True:
        try:
            syscalls.umount(str(target))
            return
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):  # it is no mount point, or not there
                return
            if error.errno != errno.EBUSY or time.monotonic() > until_s:
                syscalls.umount(str(target), flags=syscalls.MNT_DETACH)
                return
        time.sleep(_LOOK_S)


def missing() -> str:
    """What this machine lacks for workspaces, in words; nothing when all is there."""
    if mkfs() is None:
        return "mkfs.ext4 is not there: apt-get install e2fsprogs"
    return "" if LOOP_CONTROL.exists() else f"{LOOP_CONTROL} is not there: modprobe loop"


def mkfs() -> str | None:
    """Where mkfs.ext4 is."""
    return shutil.which("mkfs.ext4", path=MKFS_PATH)


def fault(error: OSError, path: Path) -> StorageError:
    """What went wrong with a file of agentd's, as an error with a remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"{path}: the disk has no space for it", f"free space, see: df -h {path.parent}")
    if error.errno == errno.ELOOP:
        return _foreign(path)
    return StorageError(f"{path}: {error.strerror}", f"look at it: ls -la {path.parent}")


def _forget(fresh: Path) -> None:
    with suppress(OSError):
        fresh.unlink()


def _format(fd: int, size_bytes: int, *, run: RunId, owner: tuple[Uid, Gid]) -> None:
    program = mkfs()
    if program is None:
        raise ConfinementError("a workspace needs mkfs.ext4, which is not there", "apt-get install e2fsprogs")
    inodes = min(max(size_bytes // INODE_BYTES, 256), _MAX_INODES)
    journal_mib = 4 if size_bytes < 2**28 else 16
    extended = f"nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner={owner[0]}:{owner[1]}"
    words = [program, "-q", "-F", "-b", str(BLOCK_BYTES), "-I", "256", "-m", "0", "-N", str(inodes)]
    words += ["-J", f"size={journal_mib}", "-O", _FEATURES, "-E", extended, "-L", run, f"/proc/self/fd/{fd}"]
    try:
        done = subprocess.run(  # fixed argv of our own
            words,
            pass_fds=(fd,),
            env={"LC_ALL": "C", "MKE2FS_CONFIG": "/dev/null"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MKFS_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"mkfs.ext4 was not done in {_MKFS_S:g} s"
        raise StorageError(message, "look at the load of the disk: iostat -x 1") from error
    if done.returncode:
        said = done.stderr.decode("ascii", "replace").strip()[-200:]
        raise StorageError(f"mkfs.ext4 could not make a workspace: {said}", "see what it lacks: agentd doctor")


def _check_ours(fd: int, path: Path) -> None:
    info = os.fstat(fd)
    is_ours = info.st_uid == os.geteuid() and not info.st_mode & 0o077 and info.st_nlink == 1
    if not (stat.S_ISREG(info.st_mode) and is_ours):
        raise _foreign(path)


def _check_super(fd: int, path: Path, run: RunId) -> None:
    block = os.pread(fd, _SUPER_BYTES, _SUPER_AT)
    if block[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        raise _damaged(path, "it has no superblock")
    if block[_LABEL_AT : _LABEL_AT + _LABEL_BYTES].rstrip(b"\0") != run.encode()[:_LABEL_BYTES]:
        raise _foreign(path)


def _await_lock(fd: int, path: Path) -> None:
    """An earlier mount of it may still be going: the kernel holds the lock until then."""
    until_s = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until_s:
                remedy = f"see who has it: fuser -v {shlex.quote(str(path))}; losetup -j {shlex.quote(str(path))}"
                raise ConflictError(f"{path}: it is mounted already", remedy) from error
        time.sleep(_LOOK_S)


def _attach(image_fd: int) -> tuple[int, str]:
    """A free loop device on the image: its fd, which keeps it until it is mounted, and its path."""
    info = _LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO, b"", b"", b"", 0, 0)
    config = _LOOP_CONFIG.pack(image_fd, BLOCK_BYTES, info)
    try:
        control = os.open(LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _no_loop(error) from error
    try:
        for _ in range(_DEVICES):
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _LOOP_CONFIGURE, config)
                return loop, device
            except OSError as error:
                os.close(loop)
                if error.errno != errno.EBUSY:
                    raise
    except OSError as error:
        raise _no_loop(error) from error
    finally:
        os.close(control)
    raise ConflictError("every free loop device was taken by somebody else", "try again; see: losetup -a")


def _damaged(path: Path, detail: str) -> StorageError:
    remedy = (
        f"see what can be saved: e2fsck -n {path}; then remove it: agentd workspace rm {path.name.partition('.')[0]}"
    )
    return StorageError(f"{path}: the workspace is damaged ({detail})", remedy)


def _foreign(path: Path) -> StorageError:
    return StorageError(f"{path}: not an image that agentd made for this run", f"look at it: ls -la {path.parent}")


def _no_loop(error: OSError) -> ConfinementError:
    return ConfinementError(f"a workspace needs a loop device: {error.strerror}", "modprobe loop; then: agentd doctor")
