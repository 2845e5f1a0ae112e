"""The operator's socket in the file system: made with the right mode and owner from its first moment, never stolen, or
taken over from the service manager, which made it so.

Invariant: the name appears at its place only when the socket behind it listens with its final mode and group; a live
socket is never unlinked; a path that is not our own stale socket is refused, not replaced (H-API-02, H-API-03).
"""

import grp
import os
import secrets
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import ConflictError, SettingsError
from aaos.core.ids import Gid
from worker.wall import syscalls

_BACKLOG = 128
_SUN_PATH_BYTES = 108  # sys/un.h, with the terminating NUL


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and the inode by which its name is known again; None when the name is somebody else's."""

    sock: socket.socket
    path: Path
    inode: int | None

    def close(self) -> None:
        """Stop listening and remove the name, when it is still ours."""
        self.sock.close()
        with suppress(OSError):
            if self.inode is not None and os.lstat(self.path).st_ino == self.inode:
                self.path.unlink()


def group_id(name: str) -> Gid | None:
    """The group's id; None when this machine has no such group."""
    try:
        return Gid(grp.getgrnam(name).gr_gid)
    except KeyError:
        return None


def listen(path: Path, *, group: Gid | None) -> Listener:
    """A socket that listens at `path`: 0660 for root and `group`, or 0600 for this uid alone.

    Raises ConflictError when another daemon listens there, SettingsError when the place is not safe.
    """
    if len(os.fsencode(path)) >= _SUN_PATH_BYTES - 24:
        raise SettingsError(f"daemon.socket: {path} is too long for a Unix socket", "choose a path of at most 80 bytes")
    directory = _safe_directory(path.parent, group=group)
    _remove_stale(path)
    private = directory / f".agentd-{secrets.token_hex(4)}"
    private.mkdir(mode=0o700)
    try:
        return _bind_and_place(private / "s", path, group=group)
    finally:
        with suppress(OSError):
            (private / "s").unlink()
        private.rmdir()


def adopt(fds: Sequence[int], path: Path) -> Listener | None:
    """The socket that the service manager passed, if it passed one. Raises SettingsError: it is not the one to serve.

    Its name, its owner and its mode are the manager's (agentd.socket). Source: sd_listen_fds(3).
    """
    if not fds:
        return None
    sock = socket.socket(fileno=fds[0])
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    if len(fds) > 1 or sock.family != socket.AF_UNIX or not listens or sock.getsockname() != os.fspath(path):
        name = sock.getsockname()
        sock.detach()
        remedy = "let ListenStream= of agentd.socket be the one path of daemon.socket"
        raise SettingsError(
            f"daemon.socket: {len(fds)} sockets were passed ({name}), and {path} is to be served", remedy
        )
    sock.setblocking(False)
    return Listener(sock=sock, path=path, inode=None)


def _bind_and_place(private: Path, path: Path, *, group: Gid | None) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.bind(os.fspath(private))
        if group is not None:
            os.chown(private, -1, group)
        private.chmod(0o600 if group is None else 0o660)
        sock.listen(_BACKLOG)
        inode = os.lstat(private).st_ino
        syscalls.renameat2(-100, os.fspath(private), -100, os.fspath(path), flags=syscalls.RENAME_NOREPLACE)
    except FileExistsError as error:
        sock.close()
        raise _taken(path) from error
    except OSError as error:
        sock.close()
        raise SettingsError(f"daemon.socket: {path}: {error.strerror}", f"check `ls -ld {path.parent}`") from error
    return Listener(sock=sock, path=path, inode=inode)


def _safe_directory(directory: Path, *, group: Gid | None) -> Path:
    try:
        made = not directory.exists()
        directory.mkdir(mode=0o700, exist_ok=True)
        if made and group is not None:
            os.chown(directory, -1, group)
            directory.chmod(0o750)
        status = directory.stat()
    except OSError as error:
        remedy = f"make it: `install -d -m 0750 {directory}`"
        raise SettingsError(f"daemon.socket: {directory}: {error.strerror}", remedy) from error
    if status.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"daemon.socket: {directory} belongs to uid {status.st_uid}", f"chown root {directory}")
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise SettingsError(f"daemon.socket: others may write in {directory}", f"chmod go-w {directory}")
    return directory


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid not in (0, os.geteuid()):
        raise ConflictError(f"{path} exists and is not a socket of this daemon", f"look at it: ls -l {path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise _taken(path) from error
    raise _taken(path)


def _taken(path: Path) -> ConflictError:
    remedy = f"stop it (`systemctl stop agentd`, or end its process: `ss -xlp | grep {path}`), or give another --socket"
    return ConflictError(f"another daemon listens at {path}", remedy)
