"""Goals that a model plans and carries out, from the operator's socket to the file, over both wire formats."""

from pathlib import Path

import pytest

from aaos.core.config import LimitSettings
from aaos.core.events import EventKind
from aaos.devprovider.script import Step, When
from tests.fakes import ScriptedWeb, page
from tests.provider.daemon import (
    WIRES,
    Json,
    World,
    asks,
    node,
    place,
    plan_of,
    plans,
    says,
    says_plan,
    with_models,
)

__all__ = ["place"]  # the fixture

GOAL = "find out how the moods of ./a.txt and ./b.txt differ, and write what you find to ./out.md"
FOUND = "# Moods\n\nAlpha is glad, Beta is sad.\n"


def three(place: Path, suffix: str = "") -> list[Json]:
    """Two that read, side by side, and one that writes."""
    return [
        node(f"read-a{suffix}", "analyzer", paths=[f"{place}/a.txt"]),
        node(f"read-b{suffix}", "analyzer", paths=[f"{place}/b.txt"]),
        node(f"write{suffix}", "writer", f"read-a{suffix}", f"read-b{suffix}", output=f"{place}/out.md"),
    ]


def reads(place: Path, name: str, file: str, said: str) -> list[Step]:
    return [
        asks(name, ("file_read", {"path": f"{place}/{file}"}), delay_s=0.1),
        says(name, said, turn=2, delay_s=0.1),
    ]


def writes(place: Path, name: str = "write") -> list[Step]:
    call = ("file_write", {"path": f"{place}/out.md", "content": FOUND})
    return [asks(name, call), says(name, "Written.", turn=2)]


def good(place: Path, suffix: str = "") -> list[Step]:
    return [
        *reads(place, f"read-a{suffix}", "a.txt", "Alpha: glad"),
        *reads(place, f"read-b{suffix}", "b.txt", "Beta: sad"),
        *writes(place, f"write{suffix}"),
    ]


@pytest.mark.parametrize("wire", WIRES)
def test_a_goal_is_planned_read_side_by_side_and_written(place: Path, wire: str) -> None:
    """RUN-1, RUN-3, CAP-0, LLM-2: planner, two analyzers at the same time, a writer; all driven by the model."""

    async def check(world: World) -> None:
        accepted = await world.submit(GOAL)
        assert accepted["plan"]["subtasks"] == [{"id": "planning-1", "role": "planner", "inputs": []}]
        envelope = "\n".join(accepted["envelope"])
        for grant in (f"file_read: {place}/a.txt", f"file_read: {place}/b.txt", f"file_write: {place}/out.md"):
            assert grant in envelope
        assert "web_fetch" not in envelope
        run = await world.watch(accepted["run"])
        assert (run["state"], run["result"]) == ("completed", "Written."), run["error"]
        assert (place / "out.md").read_text() == FOUND
        assert [(one["subtask"], one["role"], one["state"]) for one in run["subtasks"]] == [
            ("planning-1", "planner", "completed"),
            ("read-a", "analyzer", "completed"),
            ("read-b", "analyzer", "completed"),
            ("write", "writer", "completed"),
        ]
        told = world.events(run, EventKind.RUN_PLANNED, EventKind.SUBTASK_STARTED, EventKind.SUBTASK_COMPLETED)
        assert [(one.event.kind.value, one.event.subtask) for one in told][:5] == [
            ("subtask.started", "planning-1"),
            ("run.planned", None),
            ("subtask.completed", "planning-1"),
            ("subtask.started", "read-a"),
            ("subtask.started", "read-b"),
        ]
        prompts = [asked.goal for asked in world.model.requests if "This is write." in asked.goal]
        assert "[read-a]\nAlpha: glad" in prompts[0]
        answered = world.events(run, EventKind.MODEL_ANSWERED)
        assert {one.event.fields["tier"] for one in answered} == {"T1"}
        assert len(answered) == 7

    with_models(place, [plans(*three(place)), *good(place)], check, wire=wire)


NEWS = (
    "fetch https://one.example/news and https://two.example/news, judge which of their top three stories matter most to"
    " a sailor, and write your judgement to ./out.md"
)


@pytest.mark.parametrize("wire", WIRES)
def test_the_canonical_goal_with_a_model_that_judges(place: Path, wire: str) -> None:
    """RUN-1, TOL-8, CAP-0: two fetchers of code side by side, an analyzer and a writer that the model drives."""
    web = ScriptedWeb(
        {
            "https://one.example/news": page("# One\n\n## [Storm ahead](/s)\n"),
            "https://two.example/news": page("# Two\n\n## [Cake recipe](/c)\n"),
        }
    )

    async def check(world: World) -> None:
        accepted = await world.submit(NEWS)
        envelope = "\n".join(accepted["envelope"])
        assert "network: one.example:443/** (GET, HEAD)" in envelope
        assert "tool: web_fetch" in envelope
        run = await world.watch(accepted["run"])
        assert run["state"] == "completed", run["error"]
        assert (place / "out.md").read_text() == FOUND
        assert sorted(asked.url.host for asked in web.asked) == ["one.example", "two.example"]  # side by side
        told = next(asked.goal for asked in world.model.requests if "This is judge." in asked.goal)
        assert "Storm ahead" in told
        assert "Cake recipe" in told
        started = world.events(run, EventKind.SUBTASK_STARTED, EventKind.SUBTASK_COMPLETED)
        assert [one.event.kind.value for one in started][2:4] == ["subtask.started"] * 2

    fetchers = [
        {"id": f"fetch-{name}", "role": "fetcher", "params": {"url": f"https://{name}.example/news"}}
        for name in ("one", "two")
    ]
    steps = [
        plans(
            *fetchers,
            node("judge", "analyzer", "fetch-one", "fetch-two"),
            node("write", "writer", "judge", output=f"{place}/out.md"),
        ),
        says("judge", "The storm."),
        *writes(place),
    ]
    with_models(place, steps, check, wire=wire, web=web)


def test_a_page_beside_the_named_hosts_is_not_fetched(place: Path) -> None:
    """CAP-0, H-CAP-16: a planner names another host, an agent asks for one; neither gets it."""
    web = ScriptedWeb({"https://evil.example/": page("evil")})

    async def check(world: World) -> None:
        run = await world.run(NEWS)
        assert run["state"] == "failed"
        assert web.asked == []
        (refused,) = world.events(run, EventKind.PLAN_REFUSED)
        assert "evil.example" in str(refused.event.fields["message"])
        assert world.events(run, EventKind.TOOL_DENIED)[0].event.fields["tool"] == "web_fetch"

    evil = {"id": "evil", "role": "fetcher", "params": {"url": "https://evil.example/"}}
    honest = node("look", "generalist", hosts=["one.example"], outputs=[f"{place}/out.md"])
    steps = [
        plans(honest, when="evil.example"),
        plans(evil),
        asks("look", ("web_fetch", {"url": "https://evil.example/"})),
        says("look", "I was not let.", turn=2),
    ]
    with_models(place, steps, check, web=web, limits=LimitSettings(max_replans=0))


def test_a_shape_of_tier_t0_asks_no_model(place: Path) -> None:
    """RUN-1: unless the operator says so."""

    async def check(world: World) -> None:
        run = await world.run("count the lines in ./a.txt")
        assert run["state"] == "completed"
        assert not world.model.requests
        run = await world.run("count the lines in ./a.txt", orchestration="direct")
        assert (run["result"], [one["role"] for one in run["subtasks"]]) == ("One line.", ["generalist"])

    with_models(place, [Step(text="One line.")], check)


def test_one_agent_alone_is_held_to_the_file_that_the_goal_asks_for(place: Path) -> None:
    """RUN-3, H-LLM-10: its word is worth nothing."""
    goal = "think about ./a.txt and save your thoughts to ./out.md"

    async def lies(world: World) -> None:
        run = await world.run(goal, orchestration="direct")
        assert (run["state"], run["error"]["code"]) == ("failed", "contract")
        assert not (place / "out.md").exists()

    with_models(place, [Step(text="I have written /out.md. Done!", times=9)], lies)


@pytest.mark.parametrize("wire", WIRES)
def test_a_wrong_plan_is_repaired(place: Path, wire: str) -> None:
    """RUN-1: what is wrong goes back as it was found."""
    wrong = node("x", "analyser", paths=["/etc/shadow"])

    async def check(world: World) -> None:
        run = await world.run(GOAL)
        assert run["state"] == "completed", run["error"]
        assert (run["subtasks"][0]["subtask"], run["subtasks"][0]["attempt"]) == ("planning-1", 2)
        (refused,) = world.events(run, EventKind.PLAN_REFUSED)
        assert "did you mean 'analyzer'" in str(refused.event.fields["remedy"])

    steps = [plans(*three(place), when="did you mean 'analyzer'"), plans(wrong), *good(place)]
    with_models(place, steps, check, wire=wire)


def test_a_failed_subtask_is_planned_around(place: Path) -> None:
    """RUN-4"""
    rest = [node("again", "analyzer", paths=[f"{place}/b.txt"]), three(place)[2] | {"id": "last"}]
    rest[1]["inputs"] = ["read-a", "again"]

    async def check(world: World) -> None:
        run = await world.run(GOAL)
        assert run["state"] == "completed", run["error"]
        states = {one["subtask"]: one["state"] for one in run["subtasks"]}
        assert (states["read-a"], states["read-b"], states["write"]) == ("completed", "failed", "skipped")
        assert (states["planning-2"], states["again"], states["last"]) == ("completed",) * 3
        (told,) = world.events(run, EventKind.RUN_REPLANNED)
        assert told.event.fields["failed"] == "read-b"
        planner = [asked.goal for asked in world.model.requests if "What became of the earlier plan" in asked.goal]
        assert '"subtask": "read-b"' in planner[0]

    steps = [
        plans(*rest, when="What became of the earlier plan"),
        plans(*three(place)),
        Step(when=When(goal="This is read-b."), status=400, message="no"),
        *reads(place, "again", "b.txt", "Beta: sad"),
        *good(place),
    ]
    with_models(place, steps, check)


def test_replans_are_bounded_and_what_there_is_is_kept(place: Path) -> None:
    """RUN-4: limits.max_replans; partial results have names."""

    async def check(world: World) -> None:
        run = await world.run(GOAL)
        assert run["state"] == "failed"
        assert "[fine-1]\nkept" in run["result"]
        assert len(world.events(run, EventKind.RUN_REPLANNED)) == 1

    def bad(number: int) -> list[Json]:
        return [
            node(f"fine-{number}", "analyzer"),
            node(f"bad-{number}", "writer", f"fine-{number}", output=f"{place}/out.md"),
        ]

    steps = [plans(*bad(2), when="What became"), plans(*bad(1))]
    steps += [says(f"fine-{at}", "kept") for at in (1, 2)] + [says(f"bad-{at}", "I wrote it.") for at in (1, 2)]
    with_models(place, steps, check, limits=LimitSettings(max_replans=1))


@pytest.mark.parametrize(
    "answer",
    [
        "I would rather not.",
        '{"kind": "plan", "subtasks": NaN, "final": "a"}',
        plan_of(node("a", "analyzer", "b"), node("b", "analyzer", "a")),
        plan_of(node("a", "root")),
        plan_of(node("a", "analyzer", paths=["/etc/shadow"])),
        plan_of(node("a", "writer", output="/etc/cron.d/x")),
        plan_of(node("a", "generalist", tools=["web_fetch"])),
        plan_of(node("a", "analyzer", count=-1, task="x")),
        plan_of(*(node(f"n{at}", "analyzer") for at in range(900))),
    ],
    ids=["refusal", "nan", "cycle", "role", "read", "write", "tool", "value", "many"],
)
def test_a_plan_that_cannot_be_is_never_begun(place: Path, answer: str) -> None:
    """H-CAP-16, H-LLM-04, H-FUZZ-02: three answers, no agent but the planner, a reason and what to do."""

    async def check(world: World) -> None:
        run = await world.run(GOAL)
        assert (run["state"], run["error"]["code"]) == ("failed", "plan")
        assert run["error"]["remedy"]
        assert [one["subtask"] for one in run["subtasks"]] == ["planning-1"]
        assert len(world.model.requests) == 3
        assert run["tokens"] > 0
        assert not world.events(run, EventKind.RUN_PLANNED, EventKind.TOOL_PERMITTED)

    with_models(place, [says_plan(answer)], check)


def test_a_hundred_thousand_subtasks_end_in_a_reason(place: Path) -> None:
    """H-LLM-04: refused by size, and nothing of it is begun."""
    many = plan_of(*(node(f"n{at}", "analyzer") for at in range(100_000)))

    async def check(world: World) -> None:
        run = await world.run(GOAL)
        assert run["state"] == "failed"
        assert run["error"]["code"] in ("plan", "provider", "limit")
        assert len(run["subtasks"]) == 1

    with_models(place, [says_plan(many)], check)


def test_planning_counts_against_the_run(place: Path) -> None:
    """LLM-4: a budget that is too small for the planner ends the run with a reason, and nothing is asked."""

    async def check(world: World) -> None:
        run = await world.run(GOAL, max_tokens=300)
        assert (run["state"], run["error"]["code"]) == ("failed", "limit")
        assert run["error"]["remedy"]
        assert not world.model.requests

    with_models(place, [plans(*three(place))], check)
