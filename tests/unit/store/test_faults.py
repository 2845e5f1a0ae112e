import errno
import os
import sqlite3
from pathlib import Path

import pytest

from aaos.store.faults import Fault, damaged, storage_error

DATABASE = Path("/var/lib/aaos/aaos.db")


@pytest.mark.parametrize(
    ("number", "fault", "command"),
    [
        (errno.ENOSPC, Fault.FULL, "df -h /var/lib/aaos"),
        (errno.EDQUOT, Fault.FULL, "df -h /var/lib/aaos"),
        (errno.EROFS, Fault.READ_ONLY, "mount -o remount,rw"),
        (errno.EIO, Fault.DISK, "dmesg"),
        (errno.EACCES, Fault.NO_ACCESS, "chmod 700 /var/lib/aaos"),
        (errno.ENAMETOOLONG, Fault.OTHER, "ls -la /var/lib/aaos"),
    ],
)
def test_each_fault_of_the_file_system_says_what_to_type(number: int, fault: Fault, command: str) -> None:
    error = storage_error(OSError(number, os.strerror(number)), DATABASE)
    assert fault in error.message
    assert os.strerror(number) in error.message
    assert command in error.remedy


def test_an_extended_code_of_sqlite_is_read_by_its_primary_code() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert Fault.DISK in storage_error(error, DATABASE).message


def test_an_error_without_a_code_still_names_the_file() -> None:
    assert str(DATABASE) in storage_error(sqlite3.OperationalError("odd"), DATABASE).message


def test_a_remedy_can_be_typed_when_the_path_has_spaces_and_braces() -> None:
    error = damaged(Path("/srv/my {state}/aaos.db"), "no tables")
    assert "sqlite3 '/srv/my {state}/aaos.db' .recover" in error.remedy


def test_every_fault_has_a_remedy() -> None:
    for number in (*errno.errorcode, 0):
        assert storage_error(OSError(number, "x"), DATABASE).remedy
