import json
import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import StorageError
from aaos.core.events import Event, EventKind, Recorded, Scalar
from aaos.core.ids import AgentId, RunId, SubtaskId
from aaos.store.eventtext import FIELDS_CHARS, fields_to_json, recorded_from_row

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates, too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT


@given(st.dictionaries(ANY_TEXT, SCALARS))
def test_whatever_the_fields_hold_is_bounded_ascii_json(fields: dict[str, Scalar]) -> None:
    text = fields_to_json(fields)
    assert text.isascii()
    assert "\n" not in text
    assert len(text) <= FIELDS_CHARS
    assert isinstance(json.loads(text), dict)


@given(st.dictionaries(ANY_TEXT, st.none() | st.booleans() | st.integers() | ANY_TEXT, max_size=5))
def test_ordinary_fields_come_back_as_they_were(fields: dict[str, Scalar]) -> None:
    row = (1, 2.0, "tool.done", "r-1", "s", "a-1", fields_to_json(MappingProxyType(fields)))
    event = Event(EventKind.TOOL_DONE, RunId("r-1"), SubtaskId("s"), AgentId("a-1"), fields)
    assert recorded_from_row(row) == Recorded(1, 2.0, event)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 10**5000, "x" * 10**7, "\udcff" * 10**6],
    ids=["NaN", "infinity", "digits", "long", "surrogates"],
)
def test_a_value_that_json_cannot_say_is_shown_and_the_others_stay(value: Scalar) -> None:
    """H-FUZZ-02, H-SEC-08"""
    fields = json.loads(fields_to_json({"tool": "grep", "value": value}))
    assert fields["tool"] == "grep"
    assert len(str(fields["value"])) < 30_000


def test_very_many_fields_are_cut_and_say_so() -> None:
    fields = json.loads(fields_to_json({f"k{n}": "\udcff" * 4096 for n in range(200)}))
    assert list(fields) == ["cut"]


def test_an_event_of_an_unknown_kind_is_told() -> None:
    """H-DUR-13: a newer agentd wrote it."""
    with pytest.raises(StorageError, match=r"event 7 \('tool\.flown'\) cannot be read"):
        recorded_from_row((7, 0.0, "tool.flown", None, None, None, "{}"))
