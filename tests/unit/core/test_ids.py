"""Ids have one charset and enough random bits."""

import re

import pytest

from aaos.core.errors import InputError
from aaos.core.ids import AgentId, call_id, check_name, new_agent_id, new_run_id


def test_new_ids_are_names_and_differ() -> None:
    found = {new_run_id() for _ in range(200)} | {new_agent_id() for _ in range(200)}
    assert len(found) == 400
    assert all(check_name(name, "id") == name for name in found)


def test_a_call_id_says_agent_turn_and_index() -> None:
    assert call_id(AgentId("a-x"), 3, 1) == "a-x-3-1"


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "a\n", "é", "A", "a_b", "x" * 65, "x" * 300, "a b", "\x00", "\u0661", "a\u200b"]
)
def test_anything_else_is_refused_with_the_field(name: str) -> None:
    """H-FUZZ-07"""
    with pytest.raises(InputError, match=re.escape("role: ")) as caught:
        check_name(name, "role")
    assert caught.value.remedy
