import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import StorageError
from aaos.core.graph import Plan, Subtask
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.role import Tier
from aaos.store.plans import plan_from_json, plan_to_json

PARAMS = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()).map(tuple), max_size=3)
SUBTASKS = st.builds(
    Subtask,
    id=st.text().map(SubtaskId),
    role=st.text().map(RoleName),
    params=PARAMS,
    inputs=st.lists(st.text().map(SubtaskId), max_size=3).map(tuple),
    tier=st.none() | st.sampled_from(Tier),
)
PLANS = st.builds(
    Plan, subtasks=st.lists(SUBTASKS, max_size=3).map(tuple), final=st.text().map(SubtaskId), shape=st.text()
)


@given(PLANS)
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    text = plan_to_json(plan)
    assert text.isascii()
    assert plan_from_json(text) == plan


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"subtasks": [1], "final": "a", "shape": ""}', '{"subtasks": [{"id": "a"}]}', "null",
     '{"subtasks": [{"id": "a", "role": "b", "params": [], "inputs": []}], "final": "a", "shape": ""}',
     '{"subtasks": [{"id": "a", "role": "b", "params": {}, "inputs": [], "tier": "T9"}], "final": "a", "shape": ""}'],
)  # fmt: skip
def test_a_damaged_plan_is_told(text: str) -> None:
    with pytest.raises(StorageError, match="a stored plan cannot be read"):
        plan_from_json(text)


def test_a_plan_of_an_earlier_version_has_no_tier() -> None:
    text = '{"subtasks":[{"id":"a","role":"b","params":{},"inputs":[]}],"final":"a","shape":""}'
    assert plan_from_json(text).subtasks[0].tier is None
