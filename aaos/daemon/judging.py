"""What an earlier daemon left of one call and of one agent, from its rows and its files.

Invariant: nothing is carried out here; what cannot be told is unknown, and never keeps the daemon from starting.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from aaos.agent.replay import Past, read_past
from aaos.broker.files import FileBroker
from aaos.core.envelope import Submitter, from_json
from aaos.core.errors import AaosError
from aaos.core.ids import AgentId, RunId
from aaos.core.ports import CallOutcome, CallRecord
from aaos.daemon.resume import Rows
from aaos.store.runs import Runs
from aaos.tools.settle import outcome_after_crash, unknown_outcome
from aaos.tools.spec import Tool


def judged(
    runs: Runs,
    files: Callable[[Submitter], FileBroker],
    catalog: Mapping[str, Tool],
    at_hand: Callable[[RunId], AbstractContextManager[None]],
    record: CallRecord,
) -> CallOutcome | None:
    """What became of a call of an earlier daemon, found with the rights of its run's submitter."""
    try:
        envelope = from_json(runs.get(record.run).envelope)
        tool = catalog.get(record.tool)
        with at_hand(record.run):
            return outcome_after_crash(record, files(envelope.submitter), is_effect=tool is None or tool.is_effect)
    except (AaosError, OSError):  # what cannot be read must not keep the daemon from starting
        return unknown_outcome(record)


def past_of(rows: Rows, agent: AgentId) -> Past:
    """What an agent did under earlier daemons."""
    return read_past(rows.conversations.rows(agent), rows.calls.of_agent(agent))
