"""Who plans a goal: code where a shape fits, a model where one is set up, and the operator's word above both."""

import pytest

from aaos.core.capability import parse_capabilities
from aaos.core.errors import DeniedError, InputError, NotFoundError
from aaos.core.ids import RoleName
from aaos.core.role import Tier
from aaos.core.rolefile import RoleSet
from aaos.plan.growing import PlanningTerms
from aaos.plan.offer import first_tier
from aaos.plan.orchestrate import Asked, Orchestration, free_tools, plan_free, plan_shaped, shape_of
from aaos.plan.shapes import Places
from tests.unit.plan.pretend import READING, ROLES, envelope_of

SHAPED, FREE = "count the lines in /a.txt", "translate /a.txt into French"
T0, MODEL = PlanningTerms(ROLES, (Tier.T0,)), PlanningTerms(ROLES, (Tier.T0, Tier.T2))
TERMS = MODEL
ENVELOPE = envelope_of("file_read: /a.txt")


def test_a_shape_is_planned_by_code_and_everything_else_by_a_model() -> None:
    """RUN-1"""
    assert shape_of(Asked(SHAPED), T0) is not None
    assert shape_of(Asked(SHAPED), MODEL) is not None
    assert shape_of(Asked(FREE), MODEL) is None
    for wanted in Orchestration:
        assert shape_of(Asked(SHAPED, wanted), MODEL) is None


def test_without_a_model_a_free_goal_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        shape_of(Asked(FREE), T0)
    assert "[models] in /etc/aaos/agentd.toml" in caught.value.remedy
    for wanted in Orchestration:
        with pytest.raises(InputError, match=f"--orchestration {wanted} needs a language model") as caught:
            shape_of(Asked(SHAPED, wanted), T0)
        assert caught.value.remedy


@pytest.mark.parametrize("goal", ["fetch htp://example.com/x", "summarise http://localhost:99999/"])
def test_a_mistyped_address_is_no_matter_of_models(goal: str) -> None:
    with pytest.raises(InputError) as caught:
        shape_of(Asked(goal), T0)
    assert "model" not in f"{caught.value.message} {caught.value.remedy}"
    assert "write" in caught.value.remedy


def test_a_free_goal_begins_with_a_planner() -> None:
    plan = plan_free(Asked(FREE), envelope=ENVELOPE, terms=TERMS, now_s=0.0)
    assert [(one.id, one.role, one.tier) for one in plan.subtasks] == [("planning-1", "planner", Tier.T2)]


def test_direct_is_one_agent_without_a_planner() -> None:
    plan = plan_free(Asked(FREE, Orchestration.DIRECT), envelope=ENVELOPE, terms=TERMS, now_s=0.0)
    (only,) = plan.subtasks
    assert (only.id, only.role, only.tier, only.params["reads"]) == ("direct-1", "generalist", Tier.T2, ("/a.txt",))


def test_a_named_role_does_a_free_goal_alone() -> None:
    plan = plan_free(Asked(FREE, role=RoleName("analyzer")), envelope=ENVELOPE, terms=TERMS, now_s=0.0)
    assert [one.role for one in plan.subtasks] == ["analyzer"]
    with pytest.raises(InputError, match="output is missing"):
        plan_free(
            Asked(FREE, role=RoleName("writer")),
            envelope=envelope_of("file_write: /b", tools=("file_write",)),
            terms=TERMS,
            now_s=0.0,
        )
    with pytest.raises(InputError, match="a planner chooses the roles") as caught:
        plan_free(Asked(FREE, Orchestration.PLAN, RoleName("analyzer")), envelope=ENVELOPE, terms=TERMS, now_s=0.0)
    assert "leave one of them out" in caught.value.remedy


def test_without_a_planner_there_is_no_plan() -> None:
    with pytest.raises(NotFoundError):
        plan_free(Asked(FREE), envelope=ENVELOPE, terms=PlanningTerms(RoleSet({}), MODEL.tiers), now_s=0.0)


def test_a_pattern_can_not_be_handed_to_one_agent() -> None:
    with pytest.raises((InputError, DeniedError)) as caught:
        plan_free(Asked(FREE, Orchestration.DIRECT), envelope=envelope_of("file_read: /d/*.md"), terms=TERMS, now_s=0.0)
    assert "--read" in caught.value.remedy


@pytest.mark.parametrize(
    ("capabilities", "tools"),
    [
        ([], READING),
        (["file_read: /a"], READING),
        (["file_write: /a"], (*READING, "file_write", "file_edit")),
        (["network: example.com"], (*READING, "web_fetch")),
    ],
)
def test_tools_follow_from_what_may_be_used(capabilities: list[str], tools: tuple[str, ...]) -> None:
    """CAP-0"""
    assert free_tools(parse_capabilities(capabilities, now_s=0.0)) == tools


def test_a_shape_is_carried_out_by_the_first_step_of_each_ladder() -> None:
    """LLM-2: T0 answers what T0 planned, also where a model is set up; and its refusals are not tried again."""
    goal = Asked("summarise /a.txt, and write the summary to /out.md")
    places = Places(resolve=lambda path: path, is_dir=lambda path: False)
    envelope = envelope_of("file_read: /a.txt", "file_write: /out.md", tools=(*READING, "file_write"))
    clauses = shape_of(goal, MODEL)
    assert clauses is not None
    plan = plan_shaped(clauses, goal, places=places, envelope=envelope, terms=MODEL, now_s=0.0)
    assert [(one.role, one.tier) for one in plan.subtasks] == [("analyzer", Tier.T0), ("writer", Tier.T0)]


def test_a_role_that_takes_words_gets_them() -> None:
    assert shape_of(Asked(SHAPED, role=RoleName("generalist")), MODEL) is None
    assert shape_of(Asked(SHAPED, role=RoleName("analyzer")), MODEL) is not None
    with pytest.raises(NotFoundError, match="no role 'analyser'") as caught:
        shape_of(Asked(SHAPED, role=RoleName("analyser")), MODEL)
    assert "analyzer" in caught.value.remedy


def test_a_role_of_code_has_no_tier() -> None:
    assert first_tier(ROLES.get("fetcher"), MODEL.tiers) is None
    assert first_tier(ROLES.get("generalist"), MODEL.tiers) is Tier.T2
    assert first_tier(ROLES.get("generalist"), T0.tiers) is None


def test_a_writer_alone_gets_the_file_that_is_asked_for() -> None:
    envelope = envelope_of("file_write: /out.md", tools=(*READING, "file_write"))
    asked = Asked("write a haiku to /out.md", role=RoleName("writer"), outputs=("/out.md",))
    (only,) = plan_free(asked, envelope=envelope, terms=TERMS, now_s=0.0).subtasks
    assert only.params == {"instruction": asked.goal, "output": "/out.md"}
