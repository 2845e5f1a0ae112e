"""What a planner is told of: roles that a model can drive and that fit, and nothing else."""

import json
from dataclasses import replace

import pytest

from aaos.core.ids import RoleName
from aaos.core.role import Tier
from aaos.core.rolefile import RoleSet
from aaos.plan.offer import describe, grant_lines, model_tier, offer_of, offered_parameters
from tests.unit.plan.pretend import PLAIN, READING, ROLES, envelope_of


def names(
    *capabilities: str, tools: tuple[str, ...] = READING, tiers: tuple[Tier, ...] = (Tier.T0, Tier.T2)
) -> set[str]:
    return set(offer_of(ROLES, tiers=tiers, envelope=envelope_of(*capabilities, tools=tools), now_s=0.0))


def test_a_role_is_offered_when_a_model_can_drive_it_and_its_grants_fit() -> None:
    """RUN-1: never a planner or a program, nor what the run may not use in any case."""
    assert names("file_read: /a") == {"analyzer", "generalist"}
    assert names("file_write: /a", tools=(*READING, "file_write")) == {"analyzer", "generalist", "writer"}
    assert names(tools=("file_write",)) == {"generalist", "writer"}
    assert names(tiers=(Tier.T0,)) <= {"fetcher"}


def test_the_tier_is_the_first_model_of_the_ladder_that_is_set_up() -> None:
    """LLM-2"""
    role = replace(PLAIN, tiers=(Tier.T0, Tier.T3, Tier.T1))
    assert model_tier(role, (Tier.T0, Tier.T1, Tier.T3)) is Tier.T3
    assert model_tier(role, (Tier.T0, Tier.T1)) is Tier.T1
    assert model_tier(role, (Tier.T0, Tier.T2)) is None
    offer = offer_of(RoleSet({role.name: role}), tiers=(Tier.T0, Tier.T1), envelope=envelope_of("tool: echo"), now_s=0)
    assert offer[PLAIN.name].tier is Tier.T1


def test_a_role_of_code_needs_no_model() -> None:
    role = replace(PLAIN, entry="scaffold:echo", tiers=(Tier.T0,))
    offer = offer_of(RoleSet({role.name: role}), tiers=(Tier.T0, Tier.T1), envelope=envelope_of("tool: echo"), now_s=0)
    assert offer[PLAIN.name].tier is None


@pytest.mark.parametrize(
    ("role", "parameters"),
    [
        ("analyzer", ("instruction", "paths")),
        ("writer", ("instruction", "output")),
        ("generalist", ("instruction", "reads", "writes", "outputs", "hosts", "tools")),
    ],
)
def test_structured_parameters_are_left_to_code(role: str, parameters: tuple[str, ...]) -> None:
    assert offered_parameters(ROLES.get(role)) == parameters


def test_the_offer_is_one_json_object_on_each_line() -> None:
    envelope = envelope_of("file_read: /a", "capability://file_read/b?as_owner=true&max=3")
    offer = offer_of(ROLES, tiers=(Tier.T1,), envelope=envelope, now_s=0.0)
    shown = [json.loads(line) for line in describe(offer).splitlines()]
    assert [one["role"] for one in shown] == list(offer)
    assert shown[0]["parameters"]["paths"] == {
        "type": "list of paths", "required": False, "about": ROLES.get("analyzer").parameters["paths"].summary,
    }  # fmt: skip
    assert shown[0]["parameters"]["instruction"]["required"] is True
    assert grant_lines(envelope).splitlines()[:2] == ["file_read: /a", "file_read: /b"]
    assert grant_lines(envelope_of(tools=())) == "nothing"


def test_a_planner_of_the_operators_own_is_not_offered_either() -> None:
    role = replace(PLAIN, name=RoleName("planner"))
    assert offer_of(RoleSet({role.name: role}), tiers=(Tier.T1,), envelope=envelope_of("tool: echo"), now_s=0) == {}
