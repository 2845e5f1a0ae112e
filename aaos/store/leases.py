"""What the daemon holds in the machine and must give back, even when it died: written before it is taken.

Invariant: one holder for each kind and key. A lease of an earlier start of the daemon is stale, and only its release,
after the clean-up by the recorded identity, makes the key free again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from aaos.core.errors import ConflictError
from aaos.store.database import Database, Row

Detail = Mapping[str, str | int | float | bool | None]


class LeaseKind(StrEnum):
    """What is held; the key names it."""

    HOST_UID = "host_uid"  # key: the uid
    PROCESS = "process"  # key: the pid; detail: its start time, since pids come again
    TEMP_FILE = "temp_file"  # key: the absolute path; detail: device and inode
    CGROUP = "cgroup"  # key: the leaf


@dataclass(frozen=True, slots=True)
class Lease:
    """One thing held since the `epoch`-th start of the daemon."""

    kind: LeaseKind
    key: str
    detail: Detail
    epoch: int


class Leases:
    """The table `leases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, kind: LeaseKind, key: str, detail: Detail | None = None) -> None:
        """Write that this daemon holds it, before it is taken. Raises ConflictError when it is held."""
        try:
            self._database.insert(
                "INSERT INTO leases (kind, key, detail, epoch) VALUES (?, ?, ?, ?)",
                (kind, key, json.dumps(dict(detail or {})), self._database.epoch),
            )
        except ConflictError as error:
            raise ConflictError(f"{kind} {key} is held already", "restart agentd, which cleans up") from error

    def release(self, kind: LeaseKind, key: str) -> bool:
        """Write that it was given back; False when nobody held it."""
        return bool(self._database.change("DELETE FROM leases WHERE kind = ? AND key = ?", (kind, key)))

    def stale(self) -> tuple[Lease, ...]:
        """What earlier starts of the daemon have left, in the order of kind and key."""
        sql = "SELECT kind, key, detail, epoch FROM leases WHERE epoch <> ?"
        return tuple(_lease(row) for row in self._database.rows(sql, (self._database.epoch,)))

    def held(self, kind: LeaseKind) -> tuple[Lease, ...]:
        """All leases of a kind, stale ones too."""
        sql = "SELECT kind, key, detail, epoch FROM leases WHERE kind = ?"
        return tuple(_lease(row) for row in self._database.rows(sql, (kind,)))


def _lease(row: Row) -> Lease:
    kind, key, detail, epoch = row
    return Lease(LeaseKind(kind), key, json.loads(detail), epoch)
