"""What methods take: wrong requests are named."""

import pytest

from aaos.core.errors import InputError
from aaos.core.rpc import Json
from aaos.daemon.params import GOAL_BYTES, AgentOrRunParams, ListParams, SubmitParams, read_params

GOOD: dict[str, Json] = {"goal": "count /data/x", "cwd": "/home"}


def test_a_goal_with_grants_is_read() -> None:
    params = read_params(SubmitParams, {**GOOD, "read": ["/a"], "tool": ["grep"], "wall_s": 5}, "submit")
    assert (params.goal, params.read, params.tool, params.wall_s) == ("count /data/x", ("/a",), ("grep",), 5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"gaol": "x"}, "gaol"),
        ({"goal": ""}, "goal"),
        ({"goal": 1}, "goal"),
        ({"goal": "a\0b"}, "goal"),
        ({"goal": "ä" * GOAL_BYTES}, "goal"),
        ({"cwd": "home"}, "cwd"),
        ({"read": "/a"}, "read"),
        ({"read": [1]}, "read"),
        ({"read": ["/a"] * 1000}, "read"),
        ({"read": [""]}, "read"),
        ({"tool": {"a": 1}}, "tool"),
        ({"wall_s": 0}, "wall_s"),
        ({"wall_s": True}, "wall_s"),
        ({"wall_s": 1.5}, "wall_s"),
        ({"wall_s": 2**60}, "wall_s"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"max_tokens": 1.0}, "max_tokens"),
        ({"max_usd": 0}, "max_usd"),
        ({"max_usd": -0.5}, "max_usd"),
        ({"max_usd": True}, "max_usd"),
        ({"max_usd": 1e300}, "max_usd"),
        ({"max_usd": "5"}, "max_usd"),
        ({"program": ""}, "program"),
        ({"program": "x" * 300_000}, "program"),
        ({"role": ""}, "role"),
        ({"orchestration": "plans"}, "orchestration"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Json], named: str) -> None:
    """H-BRK-04, H-FUZZ-02, H-FUZZ-05, H-API-11"""
    with pytest.raises(InputError, match=named) as caught:
        read_params(SubmitParams, {**GOOD, **change}, "submit")
    assert caught.value.remedy


def test_a_misspelt_key_gets_the_nearest_name() -> None:
    with pytest.raises(InputError) as caught:
        read_params(ListParams, {"limt": 5}, "list")
    assert "limit" in caught.value.remedy


@pytest.mark.parametrize("run", ["", "../../etc", "R-1", "r 1", "r" * 65, "r-\n"])
def test_an_id_has_the_one_charset(run: str) -> None:
    """H-FUZZ-07"""
    with pytest.raises(InputError):
        read_params(AgentOrRunParams, {"run": run}, "attest")


def test_a_flood_of_keys_is_refused_before_it_is_looked_through() -> None:
    """H-API-11, H-RES-06"""
    with pytest.raises(InputError, match="100000 keys are too many") as caught:
        read_params(ListParams, {f"k{n}": 1 for n in range(100_000)}, "list")
    assert caught.value.remedy == "known: limit"
