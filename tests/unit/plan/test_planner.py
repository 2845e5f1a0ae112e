"""What a goal names, and plans against roles and envelope, with the shipped roles."""

from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.capability import parse_capabilities
from aaos.core.envelope import Envelope, Limits, Submitter
from aaos.core.errors import DeniedError, InputError, NotFoundError
from aaos.core.graph import Plan, Subtask
from aaos.core.ids import Gid, RoleName, SubtaskId, Uid
from aaos.core.paths import normalise
from aaos.core.role import expand
from aaos.core.rolefile import RoleSet, load_roles
from aaos.llm.rules_tasks import TaskName
from aaos.plan.phrases import parse_goal
from aaos.plan.planner import READING_TOOLS, GoalPaths, check_within, goal_paths, plan_program
from aaos.plan.shapes import Places, build
from aaos.tools.catalog import CATALOG

ROLES = load_roles([Path(__file__).parents[3] / "etc" / "aaos" / "roles"])
TOOLS = tuple(f"tool: {name}" for name in CATALOG)


def envelope(*capabilities: str, limits: Limits | None = None) -> Envelope:
    return Envelope(
        Submitter(Uid(1000), Gid(1000)), parse_capabilities(list(capabilities), now_s=0.0), limits or Limits()
    )


def plan_of(goal: str) -> Plan:
    places = Places(resolve=lambda path: normalise(path, "/cwd"), is_dir=lambda path: path == "/dir")
    return build(parse_goal(goal), places)


@pytest.mark.parametrize(
    ("goal", "reads", "writes"),
    [
        ("summarise /a, summarise b.md, and write the comparison to out/c.md", ("/a", "/cwd/b.md"), ("/cwd/out/c.md",)),
        ("report the 5 largest rows from /a to /b", ("/a",), ("/b",)),
        ("search for '/etc/shadow' in /a", ("/a",), ()),
        ("compare /a with /b", ("/a", "/b"), ()),
        ("count 'x' in '/a b' and write it to `/c d`", ("/a b",), ("/c d",)),
    ],
)
def test_the_goal_names_what_is_read_and_written(goal: str, reads: tuple[str, ...], writes: tuple[str, ...]) -> None:
    """CAP-0: by code; a text to look for is not a path."""
    found = goal_paths(goal, cwd="/cwd")
    assert (found.reads, found.writes) == (reads, writes)
    assert ("file_write" in found.tools) == bool(writes)


def test_a_goal_that_no_shape_fits_is_read_by_its_words() -> None:
    found = goal_paths("translate /a and ./b into French and put that into /out.md; mind https://x.y/z", cwd="/cwd")
    tools = (*READING_TOOLS, "file_write", "web_fetch")
    assert found == GoalPaths(("/a", "/cwd/b"), ("/out.md",), tools, ("https://x.y/z",))


@pytest.mark.parametrize(
    "goal", ["summarise ~/x", "summarise ../x", "dance with $HOME/x", "dance at http://127.1/", "fetch http://u@a.b/"]
)
def test_a_path_without_one_meaning_is_refused(goal: str) -> None:
    with pytest.raises(InputError) as caught:
        goal_paths(goal, cwd="/cwd")
    assert caught.value.remedy


# --- the envelope -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal",
    [
        "summarise /a, summarise /b, and write the comparison to /c",
        "report the 5 largest rows from /a to /c",
        "search for 'x' in /a and /dir",
        "count the lines in /a and /b",
        "summarise /dir and write the summary to /c",
        "summarise /a and count the words in /b",
    ],
)
def test_what_the_goal_names_is_all_that_its_plan_needs(goal: str) -> None:
    """CAP-0, CAP-4: the envelope of the goal's own names is enough, and each part of it is used."""
    named = goal_paths(goal, cwd="/cwd")
    reads = tuple(f"file_read: {path}{'/**' if path == '/dir' else ''}" for path in named.reads)
    grants = (*reads, *(f"file_write: {path}" for path in named.writes), *(f"tool: {tool}" for tool in named.tools))
    made = check_within(plan_of(goal), roles=ROLES, envelope=envelope(*grants), now_s=0.0)
    for missing in grants:
        rest = tuple(grant for grant in grants if grant != missing)
        with pytest.raises(DeniedError) as caught:
            check_within(made, roles=ROLES, envelope=envelope(*rest), now_s=0.0)
        flag, resource = missing.split(": ")
        assert resource.removesuffix("/**") in caught.value.remedy
        assert {"file_read": "--read", "file_write": "--write", "tool": "--tool"}[flag] in caught.value.remedy
        assert "subtask" in caught.value.message


def test_a_goal_about_pages_needs_their_hosts_and_no_others() -> None:
    """CAP-0, CAP-4, H-NET-07"""
    goal = "fetch http://a.example/x and https://b.example:8443/, compare their top 3 stories, and write it to /c"
    named = goal_paths(goal, cwd="/cwd")
    assert named.urls == ("http://a.example/x", "https://b.example:8443/")
    hosts = tuple(f"capability://network/{host}/**?action=GET,HEAD" for host in ("a.example:80", "b.example:8443"))
    grants = (*hosts, "file_write: /c", *(f"tool: {tool}" for tool in named.tools))
    assert "tool: web_fetch" in grants
    made = check_within(plan_of(goal), roles=ROLES, envelope=envelope(*grants), now_s=0.0)
    assert made.shape == "fetch + compare-stories + write"
    for missing in (*hosts, "tool: web_fetch"):
        rest = tuple(grant for grant in grants if grant != missing)
        with pytest.raises(DeniedError, match="role fetcher"):
            check_within(made, roles=ROLES, envelope=envelope(*rest), now_s=0.0)
    for other in ("a.example:443/**", "a.example.evil:80/**", "b.example:80/**"):
        beside = envelope(f"network: {other}", *grants[1:])
        with pytest.raises(DeniedError):
            check_within(made, roles=ROLES, envelope=beside, now_s=0.0)
    parts = envelope("network: a.example:80/x/**", "network: *.example:8443/**", *grants[2:])
    assert check_within(made, roles=ROLES, envelope=parts, now_s=0.0) == made


@pytest.mark.parametrize("path", ["/data-evil/x", "/database", "/etc/passwd"])
def test_a_grant_beside_the_path_is_no_grant(path: str) -> None:
    """H-FS-02."""
    with pytest.raises(DeniedError):
        check_within(
            plan_of(f"summarise {path}"), roles=ROLES, envelope=envelope("file_read: /data/**", *TOOLS), now_s=0.0
        )


def test_a_wider_grant_is_narrowed_to_what_is_named() -> None:
    made = check_within(
        plan_of("summarise /data/x"), roles=ROLES, envelope=envelope("file_read: /data/**", *TOOLS), now_s=0.0
    )
    asked = expand(ROLES.get("analyzer"), made.subtasks[0].params, inputs={}, now_s=0.0)
    assert [one.resource for one in asked.capabilities if one.kind == "file_read"] == ["/data/x"]


def test_plans_are_checked_whole() -> None:
    """A cycle, an unknown role, an unknown parameter and too many agents are refused, whoever made the plan."""
    grants = envelope("file_read: /a", *TOOLS, limits=Limits(max_agents=2))
    one = Subtask(SubtaskId("a"), RoleName("analyzer"), {"task": "summarise", "paths": ("/a",)})

    def check(*subtasks: Subtask) -> Plan:
        return check_within(Plan(subtasks, SubtaskId("a"), "x"), roles=ROLES, envelope=grants, now_s=0.0)

    assert check(one).subtasks == (one,)
    with pytest.raises(InputError, match="cycle"):
        check(replace(one, inputs=(SubtaskId("b"),)), replace(one, id=SubtaskId("b"), inputs=(SubtaskId("a"),)))
    with pytest.raises(NotFoundError, match="no role"):
        check(replace(one, role=RoleName("analyser")))
    with pytest.raises(InputError, match="no parameter"):
        check(replace(one, params={"task": "summarise", "path": "/a"}))
    with pytest.raises(InputError, match="not a choice"):
        check(replace(one, params={"task": "destroy"}))
    with pytest.raises(InputError, match="may have 2 agents"):
        check(one, replace(one, id=SubtaskId("b")), replace(one, id=SubtaskId("c")))


# --- programs -----------------------------------------------------------------------------------------------------


def test_a_program_asks_for_exactly_what_the_envelope_grants() -> None:
    grants = ("file_read: /data/**", "file_read: /a", "file_write: /out.md", "tool: file_read", "tool: grep")
    made = plan_program(roles=ROLES, envelope=envelope(*grants), now_s=0.0)
    asked = expand(ROLES.get("program"), made.subtasks[0].params, inputs={}, now_s=0.0)
    assert {(one.kind.value, one.resource) for one in asked.capabilities} == {
        (kind, resource) for kind, resource in (grant.split(": ") for grant in grants)
    }


def test_a_program_can_use_every_tool_there_is() -> None:
    made = plan_program(roles=ROLES, envelope=envelope(*TOOLS), now_s=0.0)
    asked = expand(ROLES.get("program"), made.subtasks[0].params, inputs={}, now_s=0.0)
    assert {one.resource for one in asked.capabilities} == set(CATALOG)


def test_a_pattern_cannot_be_granted_to_a_program() -> None:
    with pytest.raises(InputError) as caught:
        plan_program(roles=ROLES, envelope=envelope("file_read: /data/*.csv"), now_s=0.0)
    assert "--read '/data/**'" in caught.value.remedy


# --- the shipped roles --------------------------------------------------------------------------------------------


def test_the_shipped_roles_are_sound() -> None:
    """RUN-2."""
    assert ROLES.refused == ()
    assert set(ROLES.roles) >= {"analyzer", "writer", "program"}
    tasks = {*ROLES.get("analyzer").parameters["task"].choices, *ROLES.get("writer").parameters["task"].choices}
    assert tasks == {task.value for task in TaskName}
    asked = expand(ROLES.get("analyzer"), {"task": "combine"}, inputs={}, now_s=0.0)
    assert {one.resource for one in asked.capabilities} == set(READING_TOOLS)


def test_without_its_roles_no_goal_has_a_plan() -> None:
    with pytest.raises(NotFoundError):
        check_within(plan_of("summarise /a"), roles=RoleSet({}), envelope=envelope("file_read: /a"), now_s=0.0)
