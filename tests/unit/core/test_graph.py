"""Plans are checked whole; what is ready and what is lost follows from the states alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.core.graph import MAX_DEPTH, Plan, RunState, Subtask, SubtaskState, causes, check_plan, doomed, ready
from aaos.core.ids import RoleName, SubtaskId

State = SubtaskState


def _plan(edges: dict[str, str], final: str | None = None) -> Plan:
    tasks = tuple(
        Subtask(SubtaskId(name), RoleName("analyzer"), {}, tuple(SubtaskId(n) for n in needs.split()))
        for name, needs in edges.items()
    )
    return Plan(tasks, SubtaskId(final or list(edges)[-1]), "test")


DIAMOND = {"a": "", "b": "a", "c": "a", "d": "b c"}


def _states(**states: State) -> dict[SubtaskId, State]:
    return {SubtaskId(name): state for name, state in states.items()}


def test_a_good_plan_passes() -> None:
    check_plan(_plan(DIAMOND))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan((), SubtaskId("a"), ""), "0 subtasks"),
        (_plan({f"t{i}": "" for i in range(257)}), "257 subtasks"),
        (_plan({"a": "a"}), "cycle: a -> a"),
        (_plan({"a": "c", "b": "a", "c": "b"}), "cycle: a -> c -> b -> a"),
        (_plan({"x": "y", "y": "z", "z": "y"}), "cycle: y -> z -> y"),
        (_plan({"a": "", "b": "aa"}), "needs 'aa', which does not exist"),
        (_plan({"a": "", "b": "a a"}), "an input is named twice"),
        (_plan({"a": ""}, final="b"), "final subtask 'b' does not exist"),
        (_plan({f"t{i}": f"t{i - 1}" if i else "" for i in range(MAX_DEPTH + 1)}), f"a chain of {MAX_DEPTH + 1}"),
        (_plan({"a/b": ""}), "is not a name"),
        (Plan((*_plan(DIAMOND).subtasks, *_plan({"a": ""}).subtasks), SubtaskId("a"), ""), "a exists twice"),
        (Plan((Subtask(SubtaskId("a"), RoleName("../x"), {}),), SubtaskId("a"), ""), "role: '../x' is not a name"),
        (Plan((Subtask(SubtaskId("a"), RoleName("r"), {"p": "x" * 70_000}),), SubtaskId("a"), ""), "'p' is too long"),
        (Plan((Subtask(SubtaskId("a"), RoleName("r"), {"p": ("/x",) * 300}),), SubtaskId("a"), ""), "'p' is too long"),
        (
            Plan((Subtask(SubtaskId("a"), RoleName("r"), {f"p{i}": 1 for i in range(65)}),), SubtaskId("a"), ""),
            "65 param",
        ),
    ],
)
def test_a_bad_plan_is_refused_by_name(plan: Plan, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_plan(plan)
    assert message in caught.value.message
    assert caught.value.remedy


def test_an_unknown_input_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        check_plan(_plan({"summary-one": "", "b": "summary-on"}))
    assert caught.value.remedy == "did you mean 'summary-one'?"


def test_what_needs_nothing_is_ready_and_the_rest_waits() -> None:
    plan = _plan(DIAMOND)
    assert ready(plan, {}) == ("a",)
    assert ready(plan, _states(a=State.RUNNING)) == ()
    assert ready(plan, _states(a=State.COMPLETED)) == ("b", "c")
    assert ready(plan, _states(a=State.COMPLETED, b=State.COMPLETED, c=State.RUNNING)) == ()
    assert ready(plan, _states(a=State.COMPLETED, b=State.COMPLETED, c=State.COMPLETED)) == ("d",)


@pytest.mark.parametrize("lost", [State.FAILED, State.SKIPPED, State.CANCELLED])
def test_what_waits_for_a_lost_one_is_doomed_at_any_distance(lost: State) -> None:
    """RUN-4"""
    plan = _plan({"d": "b c", "b": "a", "c": "", "a": "", "e": ""}, final="d")
    assert doomed(plan, _states(a=lost)) == ("d", "b")
    assert causes(plan, _states(a=lost)) == {"d": "a", "b": "a"}
    assert doomed(plan, _states(a=lost, b=State.SKIPPED, d=State.SKIPPED)) == ()
    assert doomed(plan, {}) == ()


_EDGES = st.integers(1, 8).flatmap(
    lambda size: st.tuples(*(st.frozensets(st.integers(0, max(i - 1, 0)), max_size=3) for i in range(size)))
)


@given(_EDGES, st.data())
def test_a_run_always_ends(edges: tuple[frozenset[int], ...], data: st.DataObject) -> None:
    """Whatever fails, each subtask is started once with all its inputs or doomed, and nothing is left over."""
    names = [f"t{i}" for i in range(len(edges))]
    plan = _plan(
        {name: " ".join(names[j] for j in needs if i) for i, (name, needs) in enumerate(zip(names, edges, strict=True))}
    )
    check_plan(plan)
    states: dict[SubtaskId, State] = {}
    while pending := ready(plan, states):
        assert not set(pending) & set(doomed(plan, states))
        states[pending[0]] = data.draw(st.sampled_from([State.COMPLETED, State.FAILED]))
    rest = {task.id for task in plan.subtasks} - set(states)
    assert set(doomed(plan, states)) == rest


def test_final_states_are_known() -> None:
    assert {s for s in State if s.is_final} == {State.COMPLETED, State.FAILED, State.SKIPPED, State.CANCELLED}
    assert {s for s in RunState if s.is_final} == {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
