"""Host ids for workers: each live worker has one that nobody else has.

Invariant: an id is leased to one worker at a time and comes from the reserved range; a collision with an account of the
machine is found before the first lease.
"""

import grp
import pwd
from collections import deque
from pathlib import Path

from aaos.core.config import Settings, WorkerSettings
from aaos.core.errors import BusyError, ConfinementError, SettingsError


class IdRange:
    """Leases of the reserved range, first in, first out, so that an id rests before it is used again.

    The last id is never leased: it is that of an egress without a user of its own.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._first = settings.uid_first
        self._count = settings.uid_count - 1
        self._free = deque(range(settings.uid_first, settings.uid_first + self._count))

    def check_unused(self, subid_files: tuple[Path, ...] = (Path("/etc/subuid"), Path("/etc/subgid"))) -> None:
        """Raises ConfinementError when an account, a group or a subordinate range lies in the reserved range."""
        last = self._first + self._count
        taken = [user.pw_name for user in pwd.getpwall() if self._first <= user.pw_uid <= last]
        taken += [group.gr_name for group in grp.getgrall() if self._first <= group.gr_gid <= last]
        taken += [name for file in subid_files for name, a, n in _sub_ids(file) if a <= last and a + n > self._first]
        if taken:
            raise ConfinementError(
                f"ids {self._first} to {last} are reserved for workers but belong to {', '.join(sorted(set(taken)))}",
                "choose another range: uid_first in section [worker] of /etc/aaos/agentd.toml",
            )

    def lease(self) -> int:
        """An id that no live worker has. Raises BusyError when all are taken."""
        if not self._free:
            raise BusyError(f"all {self._count} worker ids are in use", "wait for an agent to end: agentd list")
        return self._free.popleft()

    def release(self, host_id: int) -> None:
        """The worker with this id is gone."""
        self._free.append(host_id)

    @property
    def leased(self) -> int:
        """How many ids are in use."""
        return self._count - len(self._free)


def egress_ids(settings: Settings) -> tuple[int, int]:
    """User and group of the egress: those of the named user, or the last id of the workers' range."""
    name = settings.egress.user
    if name is None:
        last = settings.worker.uid_first + settings.worker.uid_count - 1
        return last, last
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise SettingsError(
            f"egress.user: there is no user {name}", f"adduser --system --group --no-create-home {name}"
        ) from error
    if user.pw_uid == 0 or user.pw_gid == 0:
        raise SettingsError(f"egress.user: {name} is root", "name a user that owns nothing, such as aaos-egress")
    return user.pw_uid, user.pw_gid


def _sub_ids(file: Path) -> list[tuple[str, int, int]]:
    if not file.is_file():
        return []
    rows = (line.split(":") for line in file.read_text().splitlines() if line.count(":") == 2)
    return [(name, int(first), int(count)) for name, first, count in rows if first.isdigit() and count.isdigit()]
