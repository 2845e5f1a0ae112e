import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError, InputError, NotFoundError
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId, call_id
from aaos.core.ports import CallOutcome, CallRecord, CallState, Evidence, Ledger, Origin
from aaos.store.calls import Calls
from aaos.store.database import Database

AGENT, OTHER, INNER = AgentId("a-1"), AgentId("a-12"), AgentId("a-1-2")
OUTCOME = CallOutcome(
    CallState.DONE, "text", truncated=True, evidence=Evidence.OBSERVED, duration_ms=0.4, post_hash="b"
)


def _record(call: CallId, agent: AgentId = AGENT, turn: int = 1) -> CallRecord:
    return CallRecord(
        call, RunId("r-1"), SubtaskId("s"), agent, turn, "file_read", Origin.MODEL, "{}", "d", CallState.PERMITTED, "a"
    )


@pytest.fixture
def calls(database: Database) -> Calls:
    return Calls(database)


def test_the_table_is_a_ledger(calls: Calls) -> None:
    ledger: Ledger = calls
    ledger.open_call(_record(call_id(AGENT, 1, 0)))
    assert calls.get(call_id(AGENT, 1, 0)).outcome is None


def test_a_call_comes_back_with_its_outcome(calls: Calls, database: Database) -> None:
    """BRK-8"""
    record = _record(call_id(AGENT, 1, 0))
    calls.open_call(record)
    calls.settle_call(record.call, OUTCOME)
    row = calls.get(record.call)
    assert (row.record, row.outcome, row.epoch) == (record, OUTCOME, database.epoch)


def test_a_call_is_opened_once_and_has_one_outcome(calls: Calls) -> None:
    """BRK-8: what was done is not done again under the same id."""
    record = _record(call_id(AGENT, 1, 0))
    calls.open_call(record)
    with pytest.raises(ConflictError, match="exists already"):
        calls.open_call(record)
    calls.settle_call(record.call, OUTCOME)
    with pytest.raises(ConflictError, match="has an outcome already"):
        calls.settle_call(record.call, OUTCOME)


def test_an_id_that_had_its_outcome_is_refused_within_a_step_as_well(calls: Calls, database: Database) -> None:
    """BRK-8: and nothing is left for later that SQLite would not take."""

    async def main() -> None:
        record = _record(call_id(AGENT, 1, 0))
        with database.step():
            calls.open_call(record)
            calls.settle_call(record.call, OUTCOME)
        with database.step(), pytest.raises(ConflictError, match="has an outcome already"):
            calls.settle_call(record.call, OUTCOME)
        with database.step(), pytest.raises(ConflictError, match="exists already"):
            calls.open_call(record)
        await database.durable()

    asyncio.run(main())


def test_a_call_that_was_taken_back_is_not_on_record(calls: Calls, database: Database) -> None:
    """BRK-8: an outcome without a call is an error, not silence; and the call can be opened again."""
    record = _record(call_id(AGENT, 1, 0))

    def fail() -> None:
        with database.transaction():
            calls.open_call(record)
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            fail()
        with pytest.raises(NotFoundError):
            calls.settle_call(record.call, OUTCOME)
    calls.open_call(record)
    calls.settle_call(record.call, OUTCOME)
    assert calls.get(record.call).outcome == OUTCOME


def test_an_unknown_call_is_told(calls: Calls) -> None:
    with pytest.raises(NotFoundError):
        calls.settle_call(call_id(AGENT, 1, 0), OUTCOME)
    with pytest.raises(NotFoundError):
        calls.get(call_id(AGENT, 1, 0))


@pytest.mark.parametrize("call", ["x", "a-1", "a-12-1-0", ""])
def test_a_call_that_is_not_of_its_agent_is_refused(calls: Calls, call: str) -> None:
    with pytest.raises(InputError, match="is not of agent"):
        calls.open_call(_record(CallId(call)))


def test_the_calls_of_an_agent_come_in_their_order_and_no_others(calls: Calls) -> None:
    """BRK-8: scaffolds replay the n-th call."""
    for turn in (9, 10, 2):
        calls.open_call(_record(call_id(AGENT, turn, 0), turn=turn))
        calls.open_call(_record(call_id(OTHER, turn, 0), OTHER, turn))
        calls.open_call(_record(call_id(INNER, turn, 0), INNER, turn))
    assert [row.record.turn for row in calls.of_agent(AGENT)] == [9, 10, 2]
    assert [row.record.agent for row in calls.of_agent(OTHER)] == [OTHER] * 3
    assert calls.of_agent(AgentId("a-")) == ()


def test_what_has_no_outcome_is_found(calls: Calls) -> None:
    """BRK-8, H-DUR-01"""
    names = [call_id(AGENT, 1, index) for index in range(3)]
    for name in names:
        calls.open_call(_record(name))
    calls.settle_call(names[1], OUTCOME)
    assert [row.record.call for row in calls.unsettled()] == [names[0], names[2]]


def test_the_calls_that_a_run_has_used_up_are_counted(calls: Calls) -> None:
    """BRK-8: a restart gives no call anew, and takes none for one that is still open."""
    for index in range(3):
        calls.open_call(_record(call_id(AGENT, 1, index)))
    for index in range(2):
        calls.settle_call(call_id(AGENT, 1, index), OUTCOME)
    assert calls.settled([RunId("r-1"), RunId("r-2")]) == {"r-1": 2}
    assert calls.settled([]) == {}


def test_a_call_that_an_earlier_daemon_left_open_is_opened_again_once(state_dir: Path) -> None:
    """BRK-8, H-BRK-07: in its own row, by the same arguments, under the new epoch."""
    first = Database.open(state_dir)
    Calls(first).open_call(_record(call_id(AGENT, 1, 0)))
    Calls(first).open_call(_record(call_id(AGENT, 1, 1)))
    Calls(first).settle_call(call_id(AGENT, 1, 1), OUTCOME)
    first.close()
    second = Database.open(state_dir)
    calls, again = Calls(second), replace(_record(call_id(AGENT, 1, 0)), pre_hash="another")
    with pytest.raises(ConflictError):
        calls.open_call(replace(again, digest="of other arguments"))
    calls.open_call(again)
    assert (calls.get(again.call).epoch, calls.get(again.call).record.pre_hash) == (2, "another")
    for record in (again, _record(call_id(AGENT, 1, 1))):
        with pytest.raises(ConflictError, match="exists already"):
            calls.open_call(record)
    second.close()


def test_what_no_row_can_hold_is_refused_before_it_is_acted_on(calls: Calls) -> None:
    """FS, BRK: a lone surrogate in what a worker says; it would be found out when the permit has left."""
    record = replace(_record(call_id(AGENT, 1, 0)), arguments='{"path":"/\ud800"}')
    with pytest.raises(InputError, match="cannot be stored"):
        calls.open_call(record)
    good = replace(record, arguments="{}")
    calls.open_call(good)
    with pytest.raises(InputError, match="cannot be stored"):
        calls.settle_call(good.call, replace(OUTCOME, result="\ud800"))
    calls.settle_call(good.call, OUTCOME)
    assert calls.get(good.call).outcome == OUTCOME


def test_calls_of_a_resumed_agent_are_written_before_they_are_acted_on(state_dir: Path) -> None:
    """BRK-8: which of them are there already is known only to the database."""
    for round_ in range(2):
        database = Database.open(state_dir)
        calls = Calls(database)
        with database.step():
            calls.open_call(_record(call_id(AGENT, 1, round_)))
            assert database._connection.execute("SELECT count(*) FROM calls").fetchone() == (2 * round_,)
        with pytest.raises(ConflictError):
            calls.open_call(replace(_record(call_id(AGENT, 1, 0)), digest="another"))
        database.close()


def test_of_many_agents_the_last_are_known_and_of_the_others_it_is_asked_again(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aaos.store.calls.FRESH_AGENTS", 2)
    for turn in range(2):
        for agent in (AGENT, OTHER, INNER):
            record = _record(call_id(agent, turn, 0), agent)
            calls.open_call(record)
            calls.settle_call(record.call, OUTCOME)
    assert [len(calls.of_agent(agent)) for agent in (AGENT, OTHER, INNER)] == [2, 2, 2]
    assert len(calls._fresh) == 2
