"""Runs whose plan a model makes: committed before it is carried out, repaired, planned anew, and ended with names."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from aaos.core.errors import (
    AaosError,
    ConfinementError,
    ContractError,
    DeniedError,
    PlanError,
    ProviderError,
    ToolError,
    WorkerLostError,
)
from aaos.core.events import EventKind
from aaos.core.graph import RunState, SubtaskState
from aaos.core.ids import AgentId, SubtaskId
from aaos.core.ports import AgentOutcome, AgentTask, WrittenFile
from aaos.core.role import Tier, expand
from aaos.plan.drafting import Terms
from aaos.plan.executor import RunOrder
from aaos.plan.growing import PlanningTerms
from aaos.plan.offer import offer_of
from aaos.plan.planning import first_plan
from aaos.plan.ports import SubtaskEnd, Underway
from tests.unit.plan.pretend import READING, ROLES, RUN, Ran, envelope_of, execute, outcome

ENVELOPE = envelope_of("file_read: /a", "file_read: /b", "file_write: /out.md", tools=(*READING, "file_write"))
TIERS = (Tier.T0, Tier.T1)
TERMS = Terms("the goal", offer_of(ROLES, tiers=TIERS, envelope=ENVELOPE, now_s=0.0), ENVELOPE)


def node(name: str, role: str = "analyzer", *inputs: str, **params: object) -> dict[str, object]:
    return {"id": name, "role": role, "params": {"instruction": f"do {name}", **params}, "inputs": list(inputs)}


def answer(*subtasks: dict[str, object]) -> str:
    return json.dumps({"kind": "plan", "subtasks": subtasks, "final": subtasks[-1]["id"]})


GOOD = answer(node("a", paths=["/a"]), node("b", paths=["/b"]), node("out", "writer", "a", "b", output="/out.md"))
BAD = answer(node("a", paths=["/etc/shadow"]))
FILE = (WrittenFile("/out.md", "0" * 64, 5),)

Act = AgentOutcome | AaosError


@dataclass
class Script:
    """A planner that gives prepared answers, and agents that fail as they are told, as often as they are told."""

    answers: list[str | AaosError]
    failing: Mapping[str, Sequence[AaosError]] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)

    async def act(self, task: AgentTask) -> AgentOutcome:
        if task.role.name == "planner":
            self.prompts.append(expand(task.role, task.params, inputs=task.inputs, now_s=0.0).message)
            said = self.answers.pop(0)
            return outcome(task, error=said) if isinstance(said, AaosError) else replace(outcome(task), text=said)
        await asyncio.sleep(0)
        errors = self.failing.get(task.subtask, ())[task.attempt - 1 : task.attempt]
        return outcome(task, error=errors[0] if errors else None, written=FILE if "out" in task.subtask else ())


def planned(script: Script, *, max_replans: int = 2, ends: Mapping[SubtaskId, SubtaskEnd] | None = None) -> Ran:
    order = RunOrder(RUN, "the goal", first_plan(TERMS, Tier.T1), ENVELOPE, None, ends or {})
    return execute(order, script.act, terms=PlanningTerms(ROLES, TIERS, max_replans))


def test_a_plan_is_committed_and_told_before_it_is_carried_out() -> None:
    """RUN-1, RUN-8: pending, planning, planned, running."""
    ran = planned(Script([GOOD]))
    assert ran.outcome.state is RunState.COMPLETED
    assert ran.outcome.result == "result of out"
    assert ran.store.run == [RunState.PLANNING, RunState.RUNNING, RunState.COMPLETED]
    assert [task.subtask for task in ran.spawner.seen] == ["planning-1", "a", "b", "out"]
    (grown,) = ran.store.plans
    assert [one.id for one in grown.subtasks] == ["planning-1", "a", "b", "out"]
    (told,) = ran.audit.of(EventKind.RUN_PLANNED)
    assert told.fields == {"shape": "model", "subtasks": 3, "plan": "a  analyzer\nb  analyzer\nout  writer  after a, b"}
    kinds = ran.audit.kinds()
    assert kinds.index(EventKind.RUN_PLANNED) < kinds.index(
        EventKind.SUBTASK_STARTED, kinds.index(EventKind.RUN_PLANNED)
    )
    assert ran.spawner.most == 2


def test_agents_of_a_models_plan_are_driven_by_the_tier_that_the_plan_names() -> None:
    """LLM-2"""
    ran = planned(Script([GOOD]))
    assert {task.role.tiers for task in ran.spawner.seen} == {(Tier.T1,)}


def test_a_wrong_plan_goes_back_with_what_is_wrong_with_it() -> None:
    script = Script([BAD, GOOD])
    ran = planned(script)
    assert ran.outcome.state is RunState.COMPLETED
    assert [task.attempt for task in ran.spawner.seen if task.subtask == "planning-1"] == [1, 2]
    assert "What is wrong with it" not in script.prompts[0]
    assert "file_read: /etc/shadow is not granted" in script.prompts[1]
    assert BAD in script.prompts[1]
    (refused,) = ran.audit.of(EventKind.PLAN_REFUSED)
    assert refused.fields["code"] == "denied"
    assert len(ran.audit.of(EventKind.SUBTASK_RETRIED)) == 1
    assert len(ran.store.plans) == 1


def test_a_plan_that_stays_wrong_fails_the_run_and_nothing_is_started() -> None:
    """RUN-1, CAP-0: never cut to fit, never widened; the remedy is the grant."""
    ran = planned(Script([BAD, "no JSON", BAD]))
    assert ran.outcome.state is RunState.FAILED
    assert isinstance(ran.outcome.error, PlanError)
    assert ran.outcome.error.remedy.endswith("only if the goal needs it, grant it with: --read /etc/shadow")
    assert {task.role.name for task in ran.spawner.seen} == {"planner"}
    assert len(ran.spawner.seen) == 3
    assert ran.store.plans == []
    assert ran.outcome.result == ""


def test_a_planner_that_cannot_be_asked_fails_the_run() -> None:
    ran = planned(Script([ProviderError("down", "try later")] * 3))
    assert isinstance(ran.outcome.error, ProviderError)
    assert ran.store.states == {"planning-1": SubtaskState.FAILED}


def test_a_failed_subtask_is_planned_around_with_what_is_there() -> None:
    """RUN-4: after its retries; completed results are inputs of the rest; dependents are skipped and say so."""
    lost = [ToolError("/b is not text", "name another")] * 2
    rest = answer(node("b2", paths=["/b"]), node("out2", "writer", "a", "b2", output="/out.md"))
    script = Script([GOOD, rest], {"b": lost})
    ran = planned(script)
    assert ran.outcome.state is RunState.COMPLETED
    assert ran.outcome.result == "result of out2"
    assert ran.store.states["out"] is SubtaskState.SKIPPED
    assert sum(task.subtask == "a" for task in ran.spawner.seen) == 1
    assert ran.spawner.seen[-1].inputs == {"a": "result of a", "b2": "result of b2"}
    (told,) = ran.audit.of(EventKind.RUN_REPLANNED)
    assert (told.fields["failed"], told.fields["code"]) == ("b", "tool")
    assert '"subtask": "b"' in script.prompts[1]
    assert "/b is not text" in script.prompts[1]
    assert '"state": "completed"' in script.prompts[1]
    assert '"state": "skipped"' in script.prompts[1]
    assert ran.store.run == [
        RunState.PLANNING, RunState.RUNNING, RunState.PLANNING, RunState.RUNNING, RunState.COMPLETED,
    ]  # fmt: skip


@pytest.mark.parametrize("max_replans", [0, 1, 2])
def test_replans_end_and_partial_results_are_kept_with_their_names(max_replans: int) -> None:
    """RUN-4"""
    answers = [answer(node(f"good{at}"), node(f"bad{at}")) for at in range(4)]
    failing = {f"bad{at}": [DeniedError("no", "grant it with: --read /x")] for at in range(4)}
    ran = planned(Script(list(answers), failing), max_replans=max_replans)
    assert ran.outcome.state is RunState.FAILED
    assert isinstance(ran.outcome.error, DeniedError)
    assert f"subtask bad{max_replans}" in ran.outcome.error.message
    assert len(ran.audit.of(EventKind.RUN_REPLANNED)) == max_replans
    for at in range(max_replans + 1):
        assert f"[good{at}]\nresult of good{at}" in ran.outcome.result
    assert "kind" not in ran.outcome.result


@pytest.mark.parametrize("error", [ConfinementError("no wall"), AaosError("inside")])
def test_what_no_plan_can_cure_is_not_planned_around(error: AaosError) -> None:
    ran = planned(Script([GOOD], {"a": [error]}))
    assert ran.audit.of(EventKind.RUN_REPLANNED) == []
    assert ran.outcome.state is RunState.FAILED


def test_a_replan_that_is_wrong_is_repaired_and_then_fails() -> None:
    """The envelope never widens, whatever failed."""
    denied = [DeniedError("no", "grant it with: --read /etc/shadow")]
    ran = planned(Script([answer(node("a")), BAD, BAD, BAD], {"a": denied}))
    assert isinstance(ran.outcome.error, PlanError)
    assert [task.subtask for task in ran.spawner.seen] == ["planning-1", "a", *["planning-2"] * 3]


def test_an_agent_that_says_done_without_its_file_is_planned_around() -> None:
    """RUN-3, H-LLM-10"""

    async def act(task: AgentTask) -> AgentOutcome:
        if task.role.name == "planner":
            return replace(outcome(task), text=answers.pop(0))
        return outcome(task, written=FILE if task.subtask == "again" else ())

    answers = [answer(node("w", "writer", output="/out.md")), answer(node("again", "writer", output="/out.md"))]
    order = RunOrder(RUN, "the goal", first_plan(TERMS, Tier.T1), ENVELOPE)
    ran = execute(order, act, terms=PlanningTerms(ROLES, TIERS))
    assert ran.outcome.state is RunState.COMPLETED
    (told,) = ran.audit.of(EventKind.RUN_REPLANNED)
    assert told.fields["code"] == ContractError.code


def test_a_run_that_is_resumed_after_a_replan_goes_on_with_the_last_plan() -> None:
    """RUN-8: what failed before the replan does not count any more."""
    first = planned(Script([GOOD, GOOD.replace('"a"', '"a2"').replace('"b"', '"b2"').replace('"out"', '"out2"')],
                           {"b": [WorkerLostError("gone")] * 2}))  # fmt: skip
    assert first.outcome.state is RunState.COMPLETED
    plan = first.store.plans[-1]
    ends = {name: end for name, end in first.outcome.ends.items() if name not in ("b2", "out2")}
    order = RunOrder(RUN, "the goal", plan, ENVELOPE, None, ends)
    ran = execute(order, Script([]).act, terms=PlanningTerms(ROLES, TIERS))
    assert [task.subtask for task in ran.spawner.seen] == ["b2", "out2"]
    assert ran.outcome.state is RunState.COMPLETED
    assert ran.store.run == [RunState.RUNNING, RunState.COMPLETED]


def test_a_run_that_is_resumed_before_its_replan_makes_it() -> None:
    ends = {
        SubtaskId("planning-1"): SubtaskEnd(SubtaskState.COMPLETED, GOOD, 1),
        SubtaskId("a"): SubtaskEnd(SubtaskState.COMPLETED, "kept", 1),
        SubtaskId("b"): SubtaskEnd(SubtaskState.FAILED, "", 2, ToolError("no")),
        SubtaskId("out"): SubtaskEnd(SubtaskState.SKIPPED, "", 0, AaosError("skipped")),
    }
    plan = planned(Script([GOOD])).store.plans[-1]
    order = RunOrder(RUN, "the goal", plan, ENVELOPE, None, ends)
    ran = execute(order, Script([answer(node("c", "analyzer", "a"))]).act, terms=PlanningTerms(ROLES, TIERS))
    assert [task.subtask for task in ran.spawner.seen] == ["planning-2", "c"]
    assert ran.spawner.seen[-1].inputs == {"a": "kept"}
    assert ran.outcome.state is RunState.COMPLETED


def test_a_planner_that_was_under_way_goes_on_with_its_agent() -> None:
    """BRK-8, RUN-8: a restart while a model plans."""
    begun = {SubtaskId("planning-1"): Underway(AgentId("a-before"), attempt=1, failures=0, began_s=5.0)}
    order = replace(RunOrder(RUN, "the goal", first_plan(TERMS, Tier.T1), ENVELOPE), underway=begun, resumes=1)
    ran = execute(order, Script([GOOD]).act, terms=PlanningTerms(ROLES, TIERS))
    assert [(task.subtask, task.is_resumed) for task in ran.spawner.seen][:2] == [("planning-1", True), ("a", False)]
    assert ran.spawner.seen[0].agent == "a-before"
    assert ran.outcome.state is RunState.COMPLETED
