"""How a call is written down."""

from pathlib import Path

from aaos.core.ids import CallId
from aaos.core.ports import CallState, Origin
from aaos.tools.admit import NAME_CHARS
from aaos.tools.caller import CallRequest, draft_of
from aaos.tools.catalog import CATALOG
from tests.unit.tools.scene import AGENT, Scene


def test_a_call_is_written_down_with_its_route_and_a_name_of_bounded_length(tmp_path: Path) -> None:
    caller = Scene(tmp_path).caller
    asked = CallRequest(CallId("c"), "echo", {}, Origin.MODEL, 3)
    draft = draft_of(caller, asked, CATALOG["echo"], "{}", path="/x")
    row = draft.record
    assert (row.agent, row.turn, row.tool, row.state) == (AGENT, 3, "echo", CallState.PERMITTED)
    assert (draft.route, draft.path) == ("worker", "/x")
    long = CallRequest(CallId("c"), "x" * 10_000, {}, Origin.MODEL, 3)
    assert draft_of(caller, long, None, "{}", path=None).record.tool == "x" * NAME_CHARS
