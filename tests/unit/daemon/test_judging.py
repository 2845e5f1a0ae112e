"""What became of calls of an earlier daemon, with the workspace of their run at hand (RUN-9, BRK-8)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aaos.broker.files import FileBroker
from aaos.core.envelope import Submitter
from aaos.core.errors import StorageError
from aaos.core.ids import RunId
from aaos.core.ports import CallState
from aaos.daemon.judging import judged, past_of
from aaos.daemon.resume import Rows
from aaos.store.calls import Calls
from aaos.store.conversations import Conversations
from aaos.store.database import Database
from aaos.store.runs import Runs
from tests.unit.daemon.test_recovery import AGENT, RUN, call, left_behind


def files(submitter: Submitter) -> FileBroker:
    return FileBroker(submitter, publishing_lock=threading.Lock())


@contextmanager
def database(path: Path, envelope: str | None = None) -> Iterator[Database]:
    left_behind(path / "state", envelope)
    opened = Database.open(path / "state")
    try:
        yield opened
    finally:
        opened.close()


def test_the_workspace_is_there_while_a_call_is_judged(tmp_path: Path) -> None:
    held: list[RunId | None] = []

    @contextmanager
    def at_hand(run: RunId) -> Iterator[None]:
        held.append(run)
        yield
        held.append(None)

    with database(tmp_path) as opened:
        assert judged(Runs(opened), files, {}, at_hand, call(0, "git_commit")) is not None
    assert held == [RUN, None]


@pytest.mark.parametrize("error", [StorageError(f"{RUN}: damaged", "look at it"), OSError("read error")])
def test_a_workspace_that_cannot_be_had_leaves_the_outcome_unknown(tmp_path: Path, error: Exception) -> None:
    """It must not keep the daemon from starting."""

    @contextmanager
    def at_hand(run: RunId) -> Iterator[None]:
        del run
        raise error
        yield

    with database(tmp_path) as opened:
        outcome = judged(Runs(opened), files, {}, at_hand, call(1, "file_write"))
    assert outcome is not None
    assert outcome.state is CallState.OUTCOME_UNKNOWN


def test_an_envelope_that_cannot_be_read_leaves_it_unknown(tmp_path: Path) -> None:
    @contextmanager
    def at_hand(run: RunId) -> Iterator[None]:
        raise AssertionError(run)
        yield

    with database(tmp_path, "{") as opened:
        outcome = judged(Runs(opened), files, {}, at_hand, call(1, "file_write"))
    assert outcome is not None
    assert outcome.state is CallState.OUTCOME_UNKNOWN


def test_the_past_of_an_agent_has_its_calls(tmp_path: Path) -> None:
    with database(tmp_path) as opened:
        past = past_of(Rows(Runs(opened), Calls(opened), Conversations(opened)), AGENT)
    assert len(past.calls) == 2
