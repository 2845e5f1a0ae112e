"""A model's words become a plan that can be executed within the envelope, or faults: never anything else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.capability import narrow
from aaos.core.envelope import Envelope, Limits
from aaos.core.errors import AaosError, DeniedError, InputError
from aaos.core.graph import Plan, Subtask, check_plan
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.role import Tier, expand
from aaos.plan.drafting import MAX_ANSWER_BYTES, MAX_FAULTS, Faults, Terms, drafted, read_answer
from aaos.plan.offer import offer_of
from aaos.plan.planning import first_plan
from tests.unit.plan.pretend import READING, ROLES, envelope_of

WRITING = (*READING, "file_write", "file_edit")
ENVELOPE = envelope_of("file_read: /a.txt", "file_read: /d/**", "file_write: /out.md", tools=WRITING)


def terms(envelope: Envelope = ENVELOPE, *, completed: tuple[str, ...] = (), outputs: tuple[str, ...] = ()) -> Terms:
    offer = offer_of(ROLES, tiers=(Tier.T0, Tier.T1), envelope=envelope, now_s=0.0)
    return Terms("the goal", offer, envelope, frozenset(map(SubtaskId, completed)), outputs)


BEFORE = first_plan(terms(), Tier.T1)


def draft(answer: object, *, the_terms: Terms | None = None, before: Plan = BEFORE) -> Plan | Faults:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return drafted(text, before, the_terms or terms())


def node(name: str, role: str = "analyzer", *inputs: str, **params: object) -> dict[str, Any]:
    return {"id": name, "role": role, "params": {"instruction": "look", **params}, "inputs": list(inputs)}


def answer(*subtasks: dict[str, Any], final: str | None = None) -> dict[str, Any]:
    return {"kind": "plan", "subtasks": list(subtasks), "final": final or subtasks[-1]["id"]}


GOOD = answer(
    node("one", paths=["/a.txt"]),
    node("two", paths=["/d/**"]),
    node("out", "writer", "one", "two", output="/out.md"),
)


def fault(answer: object, **options: Any) -> AaosError:
    found = draft(answer, **options)
    assert not isinstance(found, Plan)
    return found[0]


def test_a_good_answer_is_the_plan_after_its_planner() -> None:
    """RUN-1: typed, with the tier that drives each subtask."""
    made = draft(GOOD)
    assert isinstance(made, Plan)
    assert made.subtasks == (
        *BEFORE.subtasks,
        Subtask(SubtaskId("one"), RoleName("analyzer"), {"instruction": "look", "paths": ("/a.txt",)}, (), Tier.T1),
        Subtask(SubtaskId("two"), RoleName("analyzer"), {"instruction": "look", "paths": ("/d/**",)}, (), Tier.T1),
        Subtask(
            SubtaskId("out"), RoleName("writer"), {"instruction": "look", "output": "/out.md"},
            (SubtaskId("one"), SubtaskId("two")), Tier.T1,
        ),
    )  # fmt: skip
    assert (made.final, made.shape) == ("out", "model")


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "```json\n{}\n```",
        "Here is my plan:\n\n```\n{}\n```\nGood luck!",
        "  ~~~json\n{}\n~~~",
        "Sure: {} That's it.",
    ],
)
def test_an_answer_may_come_in_a_fence_or_among_words(wrapped: str) -> None:
    assert draft(wrapped.replace("{}", json.dumps(GOOD, indent=2))) == draft(GOOD)


def test_direct_is_one_generalist_with_all_that_the_run_may_use() -> None:
    made = draft({"kind": "direct"})
    assert isinstance(made, Plan)
    (subtask,) = made.subtasks[1:]
    assert (subtask.id, subtask.role, subtask.tier, made.final) == ("direct-2", "generalist", Tier.T1, "direct-2")
    assert subtask.params == {
        "instruction": "the goal",
        "reads": ("/a.txt", "/d/**"),
        "writes": ("/out.md",),
        "tools": WRITING,
    }


def test_a_generalist_gets_the_granted_tools_unless_it_names_its_own() -> None:
    made = draft(answer(node("a", "generalist"), node("b", "generalist", tools=["grep"])))
    assert isinstance(made, Plan)
    assert [subtask.params["tools"] for subtask in made.subtasks[1:]] == [WRITING, ("grep",)]


# --- what is wrong, and what the planner is told of it ------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message", "remedy"),
    [
        ("", "not one JSON object", '{"kind": "direct"}'),
        ("I cannot do that.", "not one JSON object", '{"kind": "direct"}'),
        ("```\n{}\n```\n```\n{}\n```", "2 code blocks", "nothing else"),
        ("[1, 2]", "not one JSON object", ""),
        ("{" * 50_000 + "}" * 50_000, "not one JSON object", ""),
        ('{"a": ' * 15_000 + "1" + "}" * 15_000, "not one JSON object", ""),
        ("x" * (MAX_ANSWER_BYTES + 1), "bytes", "plan less"),
        ('{"kind": "plan", "kind": "direct"}', "twice", "once"),
        ('{"kind": "plan", "subtasks": NaN, "final": "a"}', "NaN is not JSON", "whole numbers"),
        ('{"kind": "plan", "subtasks": [], "final": -Infinity}', "-Infinity is not JSON", ""),
        ('{"kind": "\\ud800"}', "the answer", ""),
        ({}, "kind", ""),
        ({"kind": "plan"}, "subtasks", ""),
        ({"kind": "plan", "subtasks": [], "final": "a"}, "subtasks", ""),
        ({"kind": "nothing"}, "kind", ""),
        ({"kind": "direct", "goal": "x"}, "goal", ""),
        ({**answer(node("a")), "finale": "a"}, "finale: unknown key", "did you mean 'final'"),
        (answer(node("a") | {"params": "x"}), "params", ""),
        (answer(node("a") | {"depends": []}), "depends: unknown key", ""),
        ({"kind": "plan", **{f"k{at}": 1 for at in range(100)}}, "101 keys", ""),
        (answer(node("a", "analyser")), "no role 'analyser'", "did you mean 'analyzer'?"),
        (answer(node("a", "planner")), "no role 'planner'", "known: analyzer, generalist, writer"),
        (answer(node("a", "program")), "no role 'program'", ""),
        (answer(node("a", path="/a.txt")), "subtask a: role analyzer has no parameter 'path'", "did you mean 'paths'?"),
        (answer(node("a") | {"params": {}}), "instruction is missing", "instruction"),
        (answer(node("a", instruction="")), "instruction is missing", ""),
        (answer(node("a", paths=["a.txt"])), "'a.txt' is not an absolute path", ""),
        (answer(node("a", paths=["/d/../etc/shadow"])), "..", ""),
        (answer(node("a", paths=["/d"])), "'/d' is a directory", "write /d/**"),
        (answer(node("a", paths=[])), "paths", ""),
        (answer(node("a", paths=[1])), "something else than texts", "a list of texts"),
        (answer(node("a", count=1.5)), "1.5 cannot be a value", "a whole number"),
        (answer(node("a", count=True)), "True cannot be a value", ""),
        (answer(node("a", count={"x": 1})), "cannot be a value", ""),
        (answer(node("a", count=10**400)), "count", ""),
        (answer(node("a", "writer")), "output is missing", "give output"),
        (answer(node("Bad Name")), "'Bad Name' is not a name", "a-z, 0-9 and -"),
        (answer(node("planning-9")), "agentd's own", "another id"),
        (answer(node("direct-1")), "agentd's own", "another id"),
        (answer(node("a"), node("a")), "a exists twice", "its own id"),
        (answer(node("a"), final="b"), "final subtask 'b' does not exist", ""),
        (answer(node("a", "analyzer", "b")), "needs 'b', which does not exist", ""),
        (answer(node("a", "analyzer", "a")), "cycle: a -> a", "remove one"),
        (answer(node("a", "writer", "c"), node("b", "writer", "a"), node("c", "writer", "b")), "cycle: a -> c", ""),
        (answer(node("a", "analyzer", "planning-1")), "planning-1, which has no result", "none"),
        (answer(*(node(f"n{at}") for at in range(70))), "71 subtasks, and the run may have 64", ""),
        (answer(*(node(f"n{at}") for at in range(257))), "subtasks", ""),
    ],
    ids=range(47),
)  # fmt: skip
def test_a_wrong_answer_says_what_is_wrong(wrong: object, message: str, remedy: str) -> None:
    """RUN-1, H-FUZZ-02, H-FUZZ-05, H-LLM-04"""
    found = fault(wrong)
    assert isinstance(found, InputError)
    assert message in found.message
    assert remedy in found.remedy
    assert found.remedy
    assert len(found.message) < 2_000


@pytest.mark.parametrize(
    "subtask",
    [
        node("a", paths=["/etc/shadow"]),
        node("a", paths=["/a.txt", "/a.txtx"]),
        node("a", paths=["/**"]),
        node("a", "writer", output="/etc/passwd"),
        node("a", "writer", output="/a.txt"),
        node("a", "generalist", writes=["/d/x"]),
        node("a", "generalist", tools=["web_fetch"]),
        node("a", "generalist", hosts=["evil.example"]),
    ],
)
def test_a_plan_beyond_the_envelope_is_refused_with_the_grant_that_is_missing(subtask: dict[str, Any]) -> None:
    """CAP-0, H-CAP-16: whatever the plan says, only code grants."""
    found = fault(answer(subtask))
    assert isinstance(found, DeniedError)
    assert found.message.startswith("subtask a ")
    assert found.remedy


def test_all_wrong_subtasks_are_told_at_once_within_a_bound() -> None:
    found = draft(answer(*(node(f"n{at}", paths=["/etc/shadow"]) for at in range(40))))
    assert not isinstance(found, Plan)
    assert len(found) == MAX_FAULTS
    assert all(isinstance(one, DeniedError) for one in found)


def test_a_hundred_thousand_subtasks_are_refused_by_their_size() -> None:
    """H-LLM-04: before anything is parsed."""
    found = fault(answer(*(node(f"n{at}") for at in range(100_000))))
    assert "bytes" in found.message


def test_what_an_optional_parameter_is_not_given_may_be_said_as_null() -> None:
    made = draft(answer(node("a", paths=None)))
    assert isinstance(made, Plan)
    assert "paths" not in made.subtasks[1].params


# --- the rest of a plan -------------------------------------------------------------------------------------------


def test_the_rest_may_use_completed_results_and_no_others() -> None:
    """RUN-4"""
    before = draft(GOOD)
    assert isinstance(before, Plan)
    rest = terms(completed=("one",))
    made = draft(answer(node("three", "analyzer", "one")), the_terms=rest, before=before)
    assert isinstance(made, Plan)
    assert made.subtasks[: len(before.subtasks)] == before.subtasks
    assert (
        "two, which has no result" in fault(answer(node("x", "analyzer", "two")), the_terms=rest, before=before).message
    )
    assert "since an earlier plan" in fault(answer(node("two")), the_terms=rest, before=before).message
    assert "not one of this plan" in fault(answer(node("x"), final="one"), the_terms=rest, before=before).message
    direct = draft({"kind": "direct"}, the_terms=rest, before=before)
    assert isinstance(direct, Plan)
    assert (direct.subtasks[-1].id, direct.subtasks[-1].inputs) == ("direct-5", ("one",))


# --- properties ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "planning-1", "direct-2", "", "A", "é", "x" * 65])
PATHS = st.sampled_from(
    ["/a.txt", "/d/**", "/d/x", "/d", "/out.md", "/etc/shadow", "/d/../a.txt", "a.txt", "/", "/*", "\0"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | PATHS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARAMS = st.dictionaries(
    st.sampled_from(["instruction", "paths", "output", "reads", "writes", "tools", "hosts", "task", "x"]),
    JSON | st.lists(PATHS, max_size=3) | PATHS,
    max_size=4,
)
ROLE = st.sampled_from(["analyzer", "writer", "generalist", "planner", "program", "nobody"])
SUBTASK = st.fixed_dictionaries(
    {"id": NAMES, "role": ROLE, "params": PARAMS.map(lambda params: {"instruction": "do", **params})},
    optional={"inputs": st.lists(NAMES, max_size=3), "extra": JSON},
)
ANSWER = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["plan", "direct", "other"]) | JSON,
        "subtasks": st.lists(SUBTASK, max_size=4),
        "final": NAMES,
    }
)


def check(found: Plan | Faults) -> None:
    """The promise of the module."""
    if not isinstance(found, Plan):
        assert found
        assert all(isinstance(one, AaosError) for one in found)
        return
    check_plan(found)
    assert found.subtasks[:1] == BEFORE.subtasks
    for subtask in found.subtasks:
        asked = expand(ROLES.get(subtask.role), subtask.params, inputs=dict.fromkeys(subtask.inputs, ""), now_s=0.0)
        for capability in asked.capabilities:
            narrow(ENVELOPE.capabilities, capability)


@settings(max_examples=400, deadline=None)
@given(ANSWER)
def test_any_document_is_a_plan_within_the_envelope_or_faults(document: dict[str, Any]) -> None:
    """H-LLM-04, H-CAP-16"""
    check(draft(json.dumps(document)))


@settings(max_examples=300, deadline=None)
@given(st.text() | JSON.map(json.dumps) | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_text_is_a_plan_or_faults(text: str) -> None:
    check(draft(text))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["{", "}", "```", "\n", '"kind"', ":", '"direct"', "json", " ", ","]), max_size=30))
def test_any_mixture_of_fences_is_a_plan_or_faults(pieces: list[str]) -> None:
    check(draft("".join(pieces)))


@pytest.mark.parametrize(
    "piece", ["```json\n", "```\n", "~~~ \n", " ", "{", '{"a":', "[", '"', "\\", "{}\n", "\n```", "\ud800"]
)
def test_the_largest_answer_is_judged_whatever_it_repeats(piece: str) -> None:
    """H-LLM-04: in time that is linear in its size."""
    check(draft((piece * MAX_ANSWER_BYTES)[: MAX_ANSWER_BYTES // 3]))


def test_a_small_run_has_small_plans() -> None:
    small = terms(envelope_of("file_read: /a.txt", limits=Limits(max_agents=2)))
    assert isinstance(draft(answer(node("a")), the_terms=small), Plan)
    assert "may have 2 agents" in fault(answer(node("a"), node("b")), the_terms=small).message


def test_an_answer_is_read_as_what_it_is() -> None:
    assert read_answer('{"kind":"direct"}').kind == "direct"
    assert read_answer(json.dumps(GOOD)).kind == "plan"


# --- files that the goal asks for ---------------------------------------------------------------------------------


def test_a_file_that_the_goal_asks_for_must_be_somebodys_to_write() -> None:
    """RUN-3, H-LLM-10: a plan without it would end well without its effect."""
    asked = terms(outputs=("/out.md",))
    found = fault(answer(node("a")), the_terms=asked)
    assert "the goal asks for '/out.md', and no subtask has to write it" in found.message
    assert "no subtask" in fault(answer(node("a", "generalist", writes=["/out.md"])), the_terms=asked).message
    assert isinstance(draft(GOOD, the_terms=asked), Plan)
    assert isinstance(draft(answer(node("a", "generalist", outputs=["/out.md"])), the_terms=asked), Plan)
    made = draft({"kind": "direct"}, the_terms=asked)
    assert isinstance(made, Plan)
    assert made.subtasks[-1].params["outputs"] == ("/out.md",)


def test_a_file_is_written_by_one_subtask() -> None:
    found = fault(answer(node("a", "writer", output="/out.md"), node("b", "generalist", outputs=["/out.md"])))
    assert "is the output of a, b" in found.message


def test_what_a_completed_subtask_wrote_is_not_asked_for_again() -> None:
    before = draft(GOOD, the_terms=terms(outputs=("/out.md",)))
    assert isinstance(before, Plan)
    rest = answer(node("z", "analyzer", "one"))
    assert isinstance(draft(rest, before=before, the_terms=terms(completed=("one", "out"), outputs=("/out.md",))), Plan)
    missing = fault(rest, before=before, the_terms=terms(completed=("one",), outputs=("/out.md",)))
    assert "no subtask has to write it" in missing.message
