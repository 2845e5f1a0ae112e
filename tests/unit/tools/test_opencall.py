"""A call in between."""

from aaos.core.ids import AgentId, CallId, RunId, SubtaskId
from aaos.core.ports import BrokerResult, CallRecord, CallState, Origin
from aaos.tools.catalog import CATALOG
from aaos.tools.opencall import OpenCall
from aaos.tools.records import Draft
from aaos.tools.spec import RESULT_BYTES, BrokerTool
from worker.abi import Json


def opened(name: str, args: dict[str, Json]) -> OpenCall:
    record = CallRecord(
        CallId("c"), RunId("r"), SubtaskId("s"), AgentId("a"), 1, name, Origin.CODE, "{}", "", CallState.PERMITTED
    )
    return OpenCall(Draft(record, "worker", None), CATALOG[name], args, 0.0)


def test_the_bound_of_a_result_is_that_of_its_call() -> None:
    assert opened("file_read", {"max_bytes": 64}).limit_bytes == 64
    assert opened("grep", {}).limit_bytes == RESULT_BYTES


def test_what_writes_is_checked() -> None:
    assert opened("file_write", {}).check is not None
    assert opened("file_read", {}).check is None

    async def run(_args: object, _call: object) -> BrokerResult:
        return BrokerResult("")

    call = opened("echo", {})
    call.tool = BrokerTool("b", "B.", CATALOG["echo"].input, run)
    assert call.check is None
