"""Every errno becomes a typed error with something to do about it."""

import errno
import os

import pytest

from aaos.broker.faults import MissingError, fault
from aaos.core.errors import AaosError, DeniedError, StorageError, ToolError


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, MissingError),
        (errno.EISDIR, ToolError),
        (errno.EAGAIN, ToolError),
        (errno.EACCES, DeniedError),
        (errno.ELOOP, DeniedError),
        (errno.EXDEV, DeniedError),
        (errno.EROFS, DeniedError),
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EIO, StorageError),
    ],
)
def test_the_kind_says_whose_matter_it_is(number: int, kind: type[AaosError]) -> None:
    assert type(fault(OSError(number, "x"), "/data/f")) is kind


@pytest.mark.parametrize("number", [*sorted(errno.errorcode), 9_999])
def test_every_errno_names_the_path_and_a_remedy(number: int) -> None:
    error = fault(OSError(number, os.strerror(number)), "/data/\x1b[31mf")
    assert "/data/\\" in error.message
    assert "\x1b" not in error.message
    assert error.remedy


def test_an_os_error_without_errno_is_an_error_too() -> None:
    assert isinstance(fault(OSError("odd"), "/f"), StorageError)
