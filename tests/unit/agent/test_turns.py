"""The model's turns: committed before they are asked, ended by the model's recorded answer alone."""

import asyncio
from collections.abc import Callable

import pytest

from aaos.agent.asked import AskedCalls
from aaos.agent.context import Context
from aaos.agent.turns import MAX_CALLS_PER_ANSWER, MAX_VAIN_TURNS, TOO_MANY, Turns, TurnTerms
from aaos.core.errors import AaosError, DeniedError, LimitError, ProviderError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId, RoleName, RunId, SubtaskId
from aaos.core.role import Tier
from aaos.llm import types as llm
from aaos.llm.budget import Account
from aaos.llm.schedule import Answered
from tests.fakes import MemoryAudit, ScriptedModel, account

AGENT = AgentId("a-one")
WAITS_AT = 2  # the third turn waits for a place


class Store:
    """Counts what was committed."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def append(self, agent: AgentId, role: str, body: bytes) -> int:
        assert (agent, bool(role)) == (AGENT, True)
        self.bodies.append(body)
        return len(self.bodies)


class Model(ScriptedModel):
    """Remembers what was committed when it was asked, and how long it may take."""

    def __init__(self, store: Store, *answers: llm.ModelAnswer | AaosError | None) -> None:
        super().__init__(*answers)
        self.committed: list[int] = []
        self.deadlines_s: list[float] = []
        self._store = store

    async def complete(
        self,
        request: llm.ModelRequest,
        ladder: tuple[Tier, ...],
        *,
        account: Account,
        deadline_s: float,
        on_text: llm.OnText | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> Answered:
        self.committed.append(len(self._store.bodies))
        self.deadlines_s.append(deadline_s)
        if on_wait is not None and len(self.seen) == WAITS_AT:
            on_wait("8 turns are under way")
        return await super().complete(
            request, ladder, account=account, deadline_s=deadline_s, on_text=on_text, on_wait=on_wait
        )


def turns_of(
    *answers: llm.ModelAnswer | AaosError | None,
    ladder: tuple[Tier, ...] = (Tier.T0,),
    max_turns: int = 3,
) -> tuple[Turns, Model, MemoryAudit, Context]:
    store, audit, asked = Store(), MemoryAudit(), AskedCalls(AGENT)
    model = Model(store, *answers)
    context = Context(AGENT, store, system="s", message="m")
    request = llm.ModelRequest(AGENT, RoleName("analyzer"), {}, "s", (), ())
    terms = TurnTerms(RunId("r"), SubtaskId("t"), request, ladder, account(), max_turns, timeout_s=0.05)
    return Turns(terms, context, asked=asked, models=model, audit=audit, note=audit.note), model, audit, context


def calls(count: int) -> llm.ModelAnswer:
    asked = tuple(llm.AskedCall(id="same", tool="echo", args={"text": str(n)}) for n in range(count))
    return llm.ModelAnswer("", asked, stop=llm.Stop.CALLS)


def turn(turns: Turns) -> dict[str, object]:
    return dict(asyncio.run(turns.complete(turns.begin())))


def test_everything_is_committed_before_the_model_is_asked() -> None:
    """BRK-3"""
    turns, model, audit, _ = turns_of(calls(1), llm.ModelAnswer("done"))
    turn(turns)
    turn(turns)
    assert model.committed == [2, 4]
    assert [len(request.messages) for request in model.seen] == [1, 3]
    assert audit.kinds() == [EventKind.MODEL_REQUESTED, EventKind.MODEL_ANSWERED] * 2


def test_calls_are_handed_out_with_durable_ids() -> None:
    """BRK-8, H-LLM-06"""
    turns, *_ = turns_of(calls(2))
    asked = [{"call": f"a-one-1-{n}", "tool": "echo", "args": {"text": str(n)}} for n in range(2)]
    assert turn(turns) == {"text": "", "calls": asked, "done": False}
    assert turns.answer is None


def test_a_final_answer_ends_the_turns_well() -> None:
    turns, *_ = turns_of(llm.ModelAnswer("the summary"))
    assert turn(turns) == {"text": "the summary", "calls": [], "done": True}
    assert (turns.answer, turns.error) == ("the summary", None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (llm.ModelAnswer("I can't", stop=llm.Stop.REFUSED, remedy="say it so"), ProviderError),
        (llm.ModelAnswer("too", stop=llm.Stop.LIMIT), LimitError),
        (llm.ModelAnswer("none named", stop=llm.Stop.CALLS), ProviderError),
    ],
)
def test_an_answer_that_is_no_answer_is_an_error(answer: llm.ModelAnswer, error: type[AaosError]) -> None:
    """H-LLM-10: what the worker says afterwards does not matter."""
    turns, *_ = turns_of(answer)
    assert turn(turns)["done"] is True
    assert isinstance(turns.error, error)
    assert turns.answer is None


def test_calls_beside_a_final_answer_are_not_handed_out() -> None:
    turns, *_ = turns_of(llm.ModelAnswer("done", calls(1).calls, stop=llm.Stop.ANSWER))
    assert turn(turns)["calls"] == []


def test_too_many_calls_of_one_answer_are_refused_and_told() -> None:
    """H-LLM-06: 1,000 parallel calls."""
    turns, model, _, _ = turns_of(calls(1_000), llm.ModelAnswer("done"))
    handed = turn(turns)["calls"]
    assert isinstance(handed, list)
    assert len(handed) == MAX_CALLS_PER_ANSWER
    turn(turns)
    results = [message for message in model.seen[1].messages if isinstance(message, llm.ToolResultMessage)]
    assert sum(result.text == TOO_MANY for result in results) == 1_000 - MAX_CALLS_PER_ANSWER


def test_the_turn_limit_holds_whatever_the_loop_does() -> None:
    """BRK-9, H-LLM-07"""
    turns, _, audit, _ = turns_of(calls(1), calls(1), calls(1), max_turns=2)
    turn(turns)
    turn(turns)
    for _ in range(2):
        with pytest.raises(LimitError, match="2 turns"):
            turns.begin()
    assert len(audit.of(EventKind.LIMIT_REACHED)) == 1


def test_after_a_limit_elsewhere_there_is_no_further_turn() -> None:
    """TOL-7"""
    turns, *_ = turns_of(calls(1), calls(1))
    turn(turns)
    turns.stop(LimitError("six identical calls", ""))
    turns.stop(LimitError("later", ""))
    with pytest.raises(LimitError, match="six"):
        turns.begin()


def test_a_role_without_a_model_is_refused_one() -> None:
    turns, model, _, _ = turns_of(ladder=())
    with pytest.raises(DeniedError):
        turns.begin()
    assert model.seen == []


def test_a_model_that_never_answers_is_a_typed_error() -> None:
    """H-LLM-02"""
    turns, _, audit, _ = turns_of(None)
    with pytest.raises(LimitError, match="no answer"):
        turn(turns)
    assert EventKind.MODEL_FAILED in audit.kinds()


def test_a_provider_error_is_kept_as_the_reason() -> None:
    turns, *_ = turns_of(ProviderError("503", "wait"))
    with pytest.raises(ProviderError):
        turn(turns)
    assert isinstance(turns.error, ProviderError)


def test_what_a_turn_took_and_who_answered_is_on_record() -> None:
    """LLM-4, AUD-1"""
    turns, _, audit, _ = turns_of(llm.ModelAnswer("done", usage=llm.Usage(120, 30, 100)))
    turn(turns)
    fields = audit.of(EventKind.MODEL_ANSWERED)[0].fields
    told = {name: fields[name] for name in ("model", "tier", "input_tokens", "output_tokens", "cached_tokens")}
    assert told == {"model": "scripted", "tier": "T0", "input_tokens": 120, "output_tokens": 30, "cached_tokens": 100}
    assert fields["cost_usd"] == 0


def test_a_request_says_how_large_it_is_and_grows_by_what_is_new() -> None:
    """H-LLM-15: what a turn may cost is known before it is sent."""
    turns, model, _, context = turns_of(calls(1), llm.ModelAnswer("done"))
    turn(turns)
    context.result("a-one-1-0", "x" * 10_000, is_ok=True)
    turn(turns)
    first, second = (request.size_bytes for request in model.seen)
    assert 0 < first < 200
    assert 10_000 < second < 10_600


def test_all_turns_of_an_agent_have_one_deadline() -> None:
    """LLM-3: who has little time left goes first."""
    turns, model, *_ = turns_of(calls(1), llm.ModelAnswer("done"))
    turn(turns)
    turn(turns)
    assert model.deadlines_s[0] == model.deadlines_s[1]


def test_a_turn_that_waits_for_a_place_is_on_record() -> None:
    """LLM-3"""
    turns, _, audit, _ = turns_of(calls(1), calls(1), llm.ModelAnswer("done"))
    for _ in range(3):
        turn(turns)
    assert [event.fields["turn"] for event in audit.of(EventKind.MODEL_WAITING)] == [3]


def test_an_answer_is_told_to_who_watches_as_it_comes_and_not_recorded() -> None:
    """BRK-3: a stream goes to the operator, not through the worker."""
    turns, _, audit, _ = turns_of(llm.ModelAnswer("the summary"))
    turn(turns)
    assert [(note.kind, note.agent, note.fields) for note in audit.notes] == [
        (EventKind.MODEL_TEXT, AGENT, {"text": "the summary"})
    ]
    assert EventKind.MODEL_TEXT not in audit.kinds()


def test_a_call_whose_arguments_could_not_be_read_is_told_and_nobody_can_make_it() -> None:
    """H-LLM-04: the model hears why; a worker that guesses the id is refused."""
    bad = llm.AskedCall(id="x", tool="echo", args={}, error="This call was not made: not JSON")
    answer = llm.ModelAnswer("", (bad, *calls(1).calls), stop=llm.Stop.CALLS, carried="kept")
    turns, model, audit, _ = turns_of(answer, llm.ModelAnswer("done"))
    reply = turn(turns)
    assert reply["calls"] == [{"call": "a-one-1-1", "tool": "echo", "args": {"text": "0"}}]
    with pytest.raises(DeniedError, match="not one that the model asked for"):
        turns._asked.use("a-one-1-0", tool="echo", args={})
    (denied,) = audit.of(EventKind.TOOL_DENIED)
    assert denied.fields["message"] == bad.error
    turn(turns)
    _, asked, refused, _ = model.seen[1].messages
    assert isinstance(asked, llm.AssistantMessage)
    assert asked.carried == "kept"
    assert isinstance(refused, llm.ToolResultMessage)
    assert (refused.call, refused.text, refused.ok) == ("a-one-1-0", bad.error, False)


def test_an_answer_of_unreadable_calls_alone_goes_on_to_another_turn() -> None:
    """H-LLM-04"""
    bad = llm.AskedCall(id="x", tool="echo", args={}, error="not made")
    turns, *_ = turns_of(llm.ModelAnswer("", (bad,), stop=llm.Stop.CALLS))
    assert turn(turns) == {"text": "", "calls": [], "done": False}
    assert turns.error is None


def test_calls_beyond_the_bound_cannot_be_made_by_a_worker_that_knows_their_ids() -> None:
    """H-LLM-06, BRK-4"""
    turns, *_ = turns_of(calls(MAX_CALLS_PER_ANSWER + 1))
    turn(turns)
    with pytest.raises(DeniedError):
        turns._asked.use(f"a-one-1-{MAX_CALLS_PER_ANSWER}", tool="echo", args={"text": str(MAX_CALLS_PER_ANSWER)})


def test_a_model_that_never_writes_readable_arguments_is_ended() -> None:
    """H-LLM-04, H-LLM-07"""
    bad = llm.ModelAnswer("", (llm.AskedCall(id="x", tool="echo", args={}, error="not made"),), stop=llm.Stop.CALLS)
    turns, *_ = turns_of(*[bad] * MAX_VAIN_TURNS, max_turns=99)
    for _ in range(MAX_VAIN_TURNS):
        turn(turns)
    with pytest.raises(LimitError, match="asked only for what was refused"):
        turns.begin()
