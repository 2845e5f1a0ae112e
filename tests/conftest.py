"""What holds for every test: unit tests run between tripwires, kernel tests run as root."""

import os
import resource
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.tripwires import armed

TESTS = Path(__file__).parent

# No deadline: times belong to benchmarks. No database, no chance: a run on one machine finds what it finds on another.
settings.register_profile("here", deadline=None, database=None, derandomize=True, print_blob=True)
settings.load_profile("here")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Everything of a unit test, its fixtures too, runs armed."""
    if not item.path.is_relative_to(TESTS / "unit"):
        return (yield)
    with armed():
        return (yield)


@pytest.fixture(autouse=True)
def _leaves_the_process_as_it_was() -> Iterator[None]:
    """A daemon's own hardening, called within this process, would change what all later tests see.

    Not asked: whether it is dumpable, which ends with each file that is opened as a submitter (prctl(2), fsuid).
    """
    before = _hardening()
    yield
    after = _hardening()
    os.umask(before[0])
    assert after == before, "umask and core files of the process that runs the tests"


def _hardening() -> tuple[int, tuple[int, int]]:
    umask = os.umask(0)
    os.umask(umask)
    return umask, resource.getrlimit(resource.RLIMIT_CORE)


def pytest_configure() -> None:
    """What a shell starts in the background ignores these two, and so would all that the tests start: signal(7)."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Kernel tests without root would all fail for the same reason: say it once."""
    if os.geteuid() != 0 and any(item.path.is_relative_to(TESTS / "kernel") for item in items):
        raise pytest.UsageError("the tests in tests/kernel need root; try: sudo ./dev test")
