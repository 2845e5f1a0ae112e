"""The envelope of a run: strict ids and limits, the echo, and its form in the database."""

import json
import math
from dataclasses import replace

import pytest

from aaos.core.capability import Kind, parse_capabilities
from aaos.core.envelope import Envelope, Limits, Submitter, from_json
from aaos.core.errors import InputError, StorageError
from aaos.core.ids import Gid, Uid

OPERATOR = Submitter(Uid(1000), Gid(1000), (27, 1000))
CAPABILITIES = parse_capabilities(
    ["file_read: /data/**", "capability://file_write/out/a%3F.md?max=3&expires=1h&as_owner=true", "tool: grep"],
    now_s=1.5,
)


def test_an_envelope_survives_the_database() -> None:
    """RUN-8"""
    envelope = Envelope(OPERATOR, CAPABILITIES, Limits(wall_s=60, max_agents=2))
    assert from_json(envelope.to_json()) == envelope
    assert from_json(Envelope(OPERATOR, ()).to_json()) == Envelope(OPERATOR, ())


def test_the_echo_names_every_grant_and_the_limits() -> None:
    """CAP-0"""
    lines = Envelope(OPERATOR, CAPABILITIES, Limits(wall_s=60)).lines()
    as_owner = replace(CAPABILITIES[1], as_owner=False).text()
    assert lines[:3] == (CAPABILITIES[0].text(), f"{as_owner} (as its owner)", CAPABILITIES[2].text())
    assert lines[3] == "at most 60 s, 64 agents, 4096 tool calls"
    assert lines[4] == "at most 2000000 tokens of models, $5"
    assert Envelope(OPERATOR, ()).lines()[0] == "nothing is granted"


def test_reading_from_the_web_is_told_in_plain_words() -> None:
    """CAP-0"""
    found = parse_capabilities(
        [
            {"network": "a.example:80", "action": ["get", "head"]},
            {"network": "b.example", "action": "get", "max": 3},
            "network: c.example",
        ],
        now_s=0.0,
    )
    assert Envelope(OPERATOR, found).lines()[:3] == (
        "network: a.example:80/** (GET, HEAD)",
        found[1].text(),
        "network: c.example:443/**",
    )


def test_capabilities_are_found_by_kind() -> None:
    envelope = Envelope(OPERATOR, CAPABILITIES)
    assert envelope.of_kind(Kind.TOOL) == CAPABILITIES[2:]
    assert envelope.of_kind(Kind.NETWORK) == ()


@pytest.mark.parametrize("number", [0, -1, True, 2**31, 2**63, math.nan, math.inf, 1.0, "5", None])
@pytest.mark.parametrize("field", ["wall_s", "subtask_wall_s", "max_agents", "max_parallel", "max_turns", "max_tokens"])
def test_a_limit_is_a_whole_positive_number(field: str, number: object) -> None:
    """H-FUZZ-02"""
    with pytest.raises(InputError, match=f"^{field}: "):
        Limits(**{field: number})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("amount", [0, -1, -0.01, True, 1e300, 10**400, math.nan, math.inf, "5", None])
def test_money_is_an_amount_that_can_be_spent(amount: object) -> None:
    """H-FUZZ-02, LLM-4"""
    with pytest.raises(InputError, match=r"^max_cost_usd: "):
        Limits(max_cost_usd=amount)  # type: ignore[arg-type]  # wrong on purpose
    assert Limits(max_cost_usd=0.01).max_cost_usd == 0.01


@pytest.mark.parametrize("number", [-1, 2**32 - 1, 2**32, True, 1.0, "0"])
def test_an_id_that_the_kernel_cannot_mean_is_refused(number: object) -> None:
    for ids in ((number, 1, ()), (1, number, ()), (1, 1, (number,))):
        with pytest.raises(InputError, match=r"^submitter: "):
            Submitter(*ids)


def _damaged() -> list[str]:
    good = json.loads(Envelope(OPERATOR, CAPABILITIES).to_json())
    without = [{k: v for k, v in good.items() if k != gone} for gone in good]
    wrong = [{**good, key: value} for key in good for value in (None, 5, "x", [5], {"uid": 1}, {"more": 1})]
    return ["", "{", "[]", "null", "5", "[" * 100_000, *map(json.dumps, [*without, *wrong])]


@pytest.mark.parametrize("text", _damaged(), ids=range(len(_damaged())))
def test_a_damaged_row_is_a_storage_error(text: str) -> None:
    with pytest.raises(StorageError) as caught:
        from_json(text)
    assert caught.value.remedy
