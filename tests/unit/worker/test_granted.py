"""How names are shown: on one line, and so that they can be written again (H-FS-10)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.user.granted import shown


@pytest.mark.parametrize("name", ["a", "/data/ä b/-rf", "back\\slash", "'single'", "日本"])
def test_a_plain_name_is_shown_as_it_is(name: str) -> None:
    assert shown(name) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_name_that_is_utf8_can_be_read_back(name: str) -> None:
    text = shown(name)
    assert text.isprintable()
    assert (json.loads(text) if text.startswith('"') else text) == name


def test_a_name_that_is_not_utf8_says_so() -> None:
    assert shown("bad\udcff") == '"bad\\udcff" (not UTF-8: cannot be named in a call)'
