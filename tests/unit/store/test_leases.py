from pathlib import Path

import pytest

from aaos.core.errors import ConflictError
from aaos.store.database import Database
from aaos.store.leases import Lease, LeaseKind, Leases


def test_what_is_held_is_held_once(database: Database) -> None:
    """H-DUR-09"""
    leases = Leases(database)
    leases.record(LeaseKind.HOST_UID, "1900000000")
    with pytest.raises(ConflictError, match="host_uid 1900000000 is held already"):
        leases.record(LeaseKind.HOST_UID, "1900000000")
    leases.record(LeaseKind.PROCESS, "1900000000")
    assert leases.release(LeaseKind.HOST_UID, "1900000000")
    assert not leases.release(LeaseKind.HOST_UID, "1900000000")
    leases.record(LeaseKind.HOST_UID, "1900000000")


def test_what_this_daemon_holds_is_not_stale(database: Database) -> None:
    leases = Leases(database)
    leases.record(LeaseKind.PROCESS, "77", {"start_ticks": 123})
    assert leases.stale() == ()
    assert leases.held(LeaseKind.PROCESS) == (Lease(LeaseKind.PROCESS, "77", {"start_ticks": 123}, database.epoch),)


def test_the_next_start_finds_what_was_left_by_its_recorded_identity(state_dir: Path) -> None:
    """H-DUR-11"""
    database = Database.open(state_dir)
    Leases(database).record(LeaseKind.PROCESS, "77", {"start_ticks": 123})
    Leases(database).record(LeaseKind.TEMP_FILE, "/srv/x/.aaos-p1.tmp", {"device": 1, "inode": 2})
    database.close()
    again = Database.open(state_dir)
    leases = Leases(again)
    assert leases.stale() == (
        Lease(LeaseKind.PROCESS, "77", {"start_ticks": 123}, 1),
        Lease(LeaseKind.TEMP_FILE, "/srv/x/.aaos-p1.tmp", {"device": 1, "inode": 2}, 1),
    )
    with pytest.raises(ConflictError):
        leases.record(LeaseKind.PROCESS, "77")
    leases.release(LeaseKind.PROCESS, "77")
    leases.record(LeaseKind.PROCESS, "77", {"start_ticks": 456})
    assert [lease.kind for lease in leases.stale()] == [LeaseKind.TEMP_FILE]
    again.close()
