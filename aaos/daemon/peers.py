"""Who is at the other end of an operator connection, and what they may ask.

Invariant: identity is what the kernel says of the connected socket, taken once when it was accepted, never what a
request says. Pure but for reading the two socket options.
"""

import errno
import os
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum

from aaos.core.envelope import Submitter
from aaos.core.ids import Gid, Uid

_UCRED = struct.Struct("3i")
_SO_PEERGROUPS = 59  # asm-generic/socket.h; unix(7) names it since Linux 4.13
_GROUPS_BYTES = 1024  # the most that Python's getsockopt takes: 256 groups


class Access(StrEnum):
    """What a method asks of a peer; a peer has a set of them. Who submits has READ and SUBMIT, for runs of their own;
    who administers has all, for everybody's."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected client. `pid` is for the record only: it may be reused."""

    uid: Uid
    gid: Gid
    groups: tuple[int, ...]
    pid: int

    @property
    def submitter(self) -> Submitter:
        """The rights with which this peer's paths are opened."""
        return Submitter(uid=self.uid, gid=self.gid, groups=self.groups)

    def is_member(self, group: Gid | None) -> bool:
        """Whether the peer is in the group; nobody is in one that there is not."""
        return group is not None and (self.gid == group or group in self.groups)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may speak: root always, the socket's group and the administrators' when there are such, the daemon's own uid
    on a private socket."""

    group: Gid | None
    own_uid: Uid | None
    admin_group: Gid | None = None

    def of(self, peer: Peer) -> frozenset[Access]:
        """What `peer` may ask; empty for strangers."""
        if peer.uid in (0, self.own_uid) or peer.is_member(self.admin_group):
            return frozenset(Access)
        if peer.is_member(self.group):
            return frozenset({Access.READ, Access.SUBMIT})
        return frozenset()

    def sight(self, peer: Peer) -> Uid:
        """The uid whose runs exist for `peer`; 0: everybody's."""
        return Uid(0) if Access.ADMIN in self.of(peer) else peer.uid


def peer_of(sock: socket.socket) -> Peer:
    """The credentials of the process that connected. Raises OSError. Source: unix(7), SO_PEERCRED and SO_PEERGROUPS."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(uid=Uid(uid), gid=Gid(gid), groups=_groups(sock), pid=pid)


def terminal_of(pid: int) -> str:
    """The controlling terminal of a process, such as `pts/3`; "" without one. Source: proc_pid_stat(5), field 7."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            number = int(file.read().rpartition(b")")[2].split()[4])
    except (OSError, ValueError, IndexError):
        return ""
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:  # devices.txt: the Unix98 terminals
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "" if not number else f"{major}:{minor}"


def _groups(sock: socket.socket) -> tuple[int, ...]:
    """The supplementary groups; none for a user of more than 256, who so has less rights here, never more."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        if error.errno == errno.ERANGE:
            return ()
        raise
    return struct.unpack(f"{len(raw) // 4}I", raw)


def own_uid() -> Uid:
    """The uid that this daemon runs as."""
    return Uid(os.geteuid())
