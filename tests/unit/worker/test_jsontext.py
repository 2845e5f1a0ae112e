"""JSON text: what the standard library writes, whatever the value and the options."""

import json
from collections.abc import Mapping
from json import encoder
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.jsontext import json_encoder, may_be_ascii

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES, st.booleans(), st.booleans())
def test_the_text_is_that_of_the_standard_library(value: object, ensure_ascii: bool, sort_keys: bool) -> None:
    wanted = json.dumps(value, ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=(",", ":"))
    assert json_encoder(ensure_ascii=ensure_ascii, sort_keys=sort_keys)(value) == wanted


@given(VALUES)
def test_without_the_c_module_it_is_the_same(value: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "c_make_encoder", None)
        plain = json_encoder(ensure_ascii=False)
    assert plain(value) == json_encoder(ensure_ascii=False)(value)


def test_a_default_is_asked_and_without_one_it_is_an_error() -> None:
    value: Mapping[str, object] = MappingProxyType({"b": 1, "a": (1, 2)})
    assert json_encoder(default=dict, sort_keys=True)([value]) == '[{"a":[1,2],"b":1}]'
    with pytest.raises(TypeError, match="a mappingproxy is no JSON"):
        json_encoder()(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_refused_unless_allowed(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_encoder()({"n": number})
    assert json_encoder(allow_nan=True)([number]) == json.dumps([number])


def test_a_circle_and_great_depth_are_errors() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(RecursionError):
        json_encoder()(circle)


def test_a_text_that_is_not_ascii_is_seen_in_an_object_and_in_objects_of_it() -> None:
    assert may_be_ascii({"a": "b", "c": 1, "d": None, "e": {"f": {"g": "h"}}})
    assert not may_be_ascii({"a": "b", "c": "ж"})
    assert not may_be_ascii({"a": {"b": {"c": "ж"}}})
    assert may_be_ascii({"a": ["ж"]})
