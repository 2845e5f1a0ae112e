"""Limits are read strictly, and both together are never wider than one."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.constraint import MAX_NUMBER, NONE, Constraints, Rate, parse_constraints
from aaos.core.errors import DeniedError, InputError

NOW_S = 1_760_000_000.125

_WORDS = st.frozensets(st.sampled_from(["get", "post", "put"]), min_size=1)
_VALUES = st.frozensets(st.sampled_from(["json", "csv", "a&b=c", ""]), min_size=1).map(lambda v: tuple(sorted(v)))
_ARGUMENTS = st.dictionaries(st.sampled_from(["format", "mode"]), _VALUES, min_size=1).map(
    lambda d: tuple(sorted(d.items()))
)
CONSTRAINTS = st.builds(
    Constraints,
    expires_at_s=st.none() | st.floats(1.0, 4e9),
    timeout_s=st.none() | st.floats(0.001, 1e5),
    max_calls=st.none() | st.integers(1, MAX_NUMBER),
    rate=st.none() | st.builds(Rate, st.integers(1, 1000), st.integers(1, 86_400)),
    max_bytes=st.none() | st.integers(1, MAX_NUMBER),
    methods=st.none() | _WORDS,
    arguments=st.none() | _ARGUMENTS,
    is_approved_first=st.booleans(),
)


@given(CONSTRAINTS, CONSTRAINTS)
def test_the_meet_is_within_both(one: Constraints, other: Constraints) -> None:
    """CAP-4, H-CAP-04"""
    try:
        met = one.meet(other)
    except DeniedError:
        return
    assert met.is_within(one)
    assert met.is_within(other)
    assert met == other.meet(one)
    assert met.meet(one) == met


@given(CONSTRAINTS, CONSTRAINTS, CONSTRAINTS)
def test_within_is_reflexive_and_transitive(one: Constraints, two: Constraints, three: Constraints) -> None:
    assert one.is_within(one)
    assert one.is_within(NONE)
    assert not (one.is_within(two) and two.is_within(three)) or one.is_within(three)


@given(CONSTRAINTS)
def test_unconstrained_is_within_nothing_else(one: Constraints) -> None:
    """H-CAP-04: an absent limit is the widest"""
    assert NONE.is_within(one) == (one == NONE)


def test_all_constraints_are_read() -> None:
    """CAP-3"""
    document = {
        "expires": "2h", "timeout": "30s", "max": 50, "rate": "100/min", "bytes": "10MiB", "action": ["GET", "post"],
        "arguments": {"format": ["json", "csv"], "mode": "fast"}, "approval_required": True,
    }  # fmt: skip
    assert parse_constraints(document, now_s=NOW_S) == Constraints(
        expires_at_s=NOW_S + 7200,
        timeout_s=30.0,
        max_calls=50,
        rate=Rate(100, 60),
        max_bytes=10 * 2**20,
        methods=frozenset({"get", "post"}),
        arguments=(("format", ("csv", "json")), ("mode", ("fast",))),
        is_approved_first=True,
    )


@pytest.mark.parametrize("value", [1, 0, "yes", None, "True", [], 1.0])
def test_an_approval_is_asked_for_or_not(value: object) -> None:
    """APR-1: nothing half-way, so that no slip leaves it out."""
    with pytest.raises(InputError) as caught:
        parse_constraints({"approval_required": value}, now_s=NOW_S)
    assert "approval_required: true" in caught.value.remedy


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("500ms", 0.5), ("1.5h", 5400.0), (7, 7.0), ("7", 7.0), ("2d", 172_800.0), (0.25, 0.25), ("3min", 180.0)],
)
def test_durations_have_units(value: object, seconds: float) -> None:
    assert parse_constraints({"timeout": value}, now_s=NOW_S).timeout_s == seconds


BAD_NUMBERS: tuple[object, ...] = (
    0, -1, 2**53, 2**63, 2**64, -(2**63), 10**5000, True, False, None, math.nan, math.inf, -math.inf, 1e309, "", "0",
    "-1", "nan",
    "inf", "1e9", "0x10", "9" * 100, "\u0661", " 1", "1 ", [], [1], {},
)  # fmt: skip


@pytest.mark.parametrize("key", ["max", "bytes", "timeout", "expires", "expires_at", "rate"])
@pytest.mark.parametrize("index", range(len(BAD_NUMBERS)))
def test_no_number_that_limits_nothing_is_accepted(key: str, index: int) -> None:
    """H-FUZZ-02, H-CAP-04"""
    with pytest.raises(InputError, match=f"^{key}: ") as caught:
        parse_constraints({key: BAD_NUMBERS[index]}, now_s=NOW_S)
    assert caught.value.remedy
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max", 1.5), ("max", "1.5"), ("max", "5 calls"), ("bytes", "10MB"), ("bytes", "1.5MiB"), ("bytes", "10mib"),
        ("bytes", "99999999999TiB"), ("timeout", "5 parsecs"), ("timeout", "5y"), ("timeout", "11000d"),
        ("timeout", 0.0001),
        ("rate", "100"), ("rate", 100), ("rate", "100/"), ("rate", "0/min"), ("rate", "5/0s"), ("rate", "5/ms"),
        ("rate", "5/y"),
        ("rate", "1000001/s"), ("action", []), ("action", ["a b"]), ("action", [1]), ("action", "get\n"),
        ("action", {}),
        ("arguments", {}), ("arguments", []), ("arguments", {"a": []}), ("arguments", {"a": [1]}),
        ("arguments", {"a b": ["x"]}),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_with_an_example(key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{key}: ") as caught:
        parse_constraints({key: value}, now_s=NOW_S)
    assert caught.value.remedy.startswith(f"write it like {key}: ")


@pytest.mark.parametrize(
    ("key", "near"), [("expire", "expires"), ("actoin", "action"), ("time_out", "timeout"), ("Max", "max")]
)
def test_an_unknown_key_names_the_nearest(key: str, near: str) -> None:
    """H-FUZZ-05: a typo must not drop a limit"""
    with pytest.raises(InputError, match="is not a constraint") as caught:
        parse_constraints({key: 1}, now_s=NOW_S)
    assert caught.value.remedy == f"did you mean {near!r}?"


def test_only_one_expiry_may_be_given() -> None:
    with pytest.raises(InputError, match="both given"):
        parse_constraints({"expires": "1h", "expires_at": 5}, now_s=NOW_S)


def test_every_example_in_a_remedy_is_accepted() -> None:
    remedies = []
    for key in ("expires", "expires_at", "timeout", "max", "rate", "bytes"):
        with pytest.raises(InputError) as caught:
            parse_constraints({key: None}, now_s=NOW_S)
        remedies.append(caught.value.remedy.removeprefix("write it like "))
    for name, value in (remedy.split(": ") for remedy in remedies):
        assert parse_constraints({name: value}, now_s=NOW_S) != NONE


@pytest.mark.parametrize("field", ["expires_at_s", "timeout_s", "max_calls", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1, True, math.nan, math.inf, sys.maxsize])
def test_limits_made_in_code_are_checked_too(field: str, value: float) -> None:
    with pytest.raises(InputError):
        Constraints(**{field: value})  # type: ignore[arg-type]  # one test for fields of both number types


def test_limits_that_allow_nothing_together_are_refused() -> None:
    with pytest.raises(DeniedError, match="put is not granted") as caught:
        Constraints(methods=frozenset({"put"})).meet(Constraints(methods=frozenset({"get"})))
    assert caught.value.remedy == "granted: get"
    with pytest.raises(DeniedError, match="argument format"):
        Constraints(arguments=(("format", ("x",)),)).meet(Constraints(arguments=(("format", ("y",)),)))


@pytest.mark.parametrize("field", ["max_calls", "rate", "max_bytes"])
def test_what_has_to_be_counted_is_metered(field: str) -> None:
    values = {
        "max_calls": Constraints(max_calls=1),
        "rate": Constraints(rate=Rate(1, 1)),
        "max_bytes": Constraints(max_bytes=1),
    }
    assert values[field].is_metered
    assert not Constraints(timeout_s=1.0, expires_at_s=1.0).is_metered
