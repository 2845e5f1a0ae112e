"""Errors carry a stable code, an exit status and a remedy."""

import pytest

from aaos.core import errors
from aaos.core.errors import AaosError, ExitCode


def _all() -> list[type[AaosError]]:
    return [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, AaosError)]


def test_each_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in _all()]
    assert len(codes) == len(set(codes)) >= 15


def test_exit_statuses_never_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "RUN_FAILED": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "NOT_FOUND": 4,
        "UNREACHABLE": 5,
        "UNCONFINED": 6,
        "CANCELLED": 7,
        "INTERNAL": 8,
    }


@pytest.mark.parametrize("error_class", _all())
def test_no_error_ends_a_command_with_success(error_class: type[AaosError]) -> None:
    assert error_class.exit_code is not ExitCode.OK


def test_the_wire_form_holds_what_happened_and_what_to_do() -> None:
    error = errors.DeniedError("file_read: /x is not granted", "--read /x")
    assert error.to_wire() == {"code": "denied", "message": "file_read: /x is not granted", "remedy": "--read /x"}
    assert str(error) == error.message
