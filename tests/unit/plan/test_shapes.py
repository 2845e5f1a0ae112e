"""What becomes of clauses: who reads what, who waits for whom, what is written where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import InputError
from aaos.core.graph import Plan, Subtask, check_plan
from aaos.core.paths import normalise
from aaos.plan.clauses import Clause, Compare, Count, Parsed, Pattern, Report, Search, Summarise, Thing, Unit, Write
from aaos.plan.phrases import parse_goal
from aaos.plan.shapes import Places, build

PLACES = Places(resolve=lambda path: normalise(path, "/cwd"), is_dir=lambda path: path.startswith("/dir"))


def plan_of(goal: str) -> Plan:
    made = build(parse_goal(goal), PLACES)
    check_plan(made)
    return made


def by_id(made: Plan) -> dict[str, Subtask]:
    return {one.id: one for one in made.subtasks}


A, B = "https://a.example/", "http://b.example/x"


def test_the_canonical_goal_fetches_side_by_side_compares_and_writes() -> None:
    """RUN-1: the fetchers wait for nobody, the comparison for both, the writer for the comparison."""
    made = plan_of(f"fetch {A} and {B}, compare their top three stories, and write the comparison to c.md")
    assert [(one.id, one.role, one.inputs) for one in made.subtasks] == [
        ("fetch-1", "fetcher", ()),
        ("fetch-2", "fetcher", ()),
        ("compare-stories-1", "analyzer", ("fetch-1", "fetch-2")),
        ("write-1", "writer", ("compare-stories-1",)),
    ]
    found = by_id(made)
    assert [found[name].params["url"] for name in ("fetch-1", "fetch-2")] == [A, B]
    assert found["compare-stories-1"].params == {"task": "compare-stories", "count": 3}
    assert (made.final, made.shape) == ("write-1", "fetch + compare-stories + write")


@pytest.mark.parametrize(
    ("goal", "edges"),
    [
        (f"fetch {A}", {"fetch-1": ()}),
        (f"fetch {A} and {B}", {"fetch-1": (), "fetch-2": (), "combine-1": ("fetch-1", "fetch-2")}),
        (f"fetch {A} to /x", {"fetch-1": (), "write-1": ("fetch-1",)}),
        (f"fetch {A}, fetch {A} again" .replace(" again", ""), {"fetch-1": ()}),
        (f"fetch {A}, list the top 3 stories and write it to /x",
         {"fetch-1": (), "stories-1": ("fetch-1",), "write-1": ("stories-1",)}),
        (f"fetch {A} and {B}, compare them, and write the result to /x",
         {"fetch-1": (), "fetch-2": (), "compare-1": ("fetch-1", "fetch-2"), "write-1": ("compare-1",)}),
        (f"fetch {A} and {B} and write the comparison to /x",
         {"fetch-1": (), "fetch-2": (), "compare-1": ("fetch-1", "fetch-2"), "write-1": ("compare-1",)}),
        (f"fetch {A}, summarise it, and write the pages to /x",
         {"fetch-1": (), "summarise-1": ("fetch-1",), "write-1": ("summarise-1",)}),
        (f"summarise {A} and {B}, and write the comparison to /x",
         {"fetch-1": (), "fetch-2": (), "summarise-1": ("fetch-1",), "summarise-2": ("fetch-2",),
          "compare-1": ("fetch-1", "fetch-2", "summarise-1", "summarise-2"), "write-1": ("compare-1",)}),
        (f"compare {A} with /old", {"fetch-1": (), "compare-1": ("fetch-1",)}),
        ("summarise /a, summarise /b, and compare them",
         {"summarise-1": (), "summarise-2": (), "compare-1": ("summarise-1", "summarise-2")}),
    ],
)  # fmt: skip
def test_what_is_made_of_pages_waits_for_them(goal: str, edges: dict[str, tuple[str, ...]]) -> None:
    assert {one.id: one.inputs for one in plan_of(goal).subtasks} == edges


def test_hosts_that_the_operator_granted_go_to_every_fetcher() -> None:
    """CAP-0: a redirect to them is followed."""
    places = Places(resolve=PLACES.resolve, is_dir=PLACES.is_dir, hosts=("c.example:443/**",))
    made = build(parse_goal(f"fetch {A} and {B}"), places)
    assert [one.params.get("hosts") for one in made.subtasks] == [("c.example:443/**",), ("c.example:443/**",), None]


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        (f"fetch {A} and compare their top 3 stories", "two different pages"),
        (f"fetch {A}, {A} and compare the top 3 stories", "two different pages"),
        (f"compare the top 3 stories, then fetch {A} and {B}", "before it names one"),
        ("summarise it", "before it names one"),
        (f"fetch {A} and write the comparison to /x", "no comparison to write"),
        (f"fetch {A} and compare it", "two different"),
    ],
)
def test_pages_that_are_not_named_are_refused(goal: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        plan_of(goal)
    assert caught.value.remedy


def test_two_summaries_side_by_side_a_comparison_and_a_writer() -> None:
    """RUN-1: the analyzers wait for nobody, the comparison for both, the writer for the comparison."""
    made = plan_of("summarise /a, summarise b.txt, and write the comparison to out/c.md")
    found = by_id(made)
    assert [(one.id, one.role, one.inputs) for one in made.subtasks] == [
        ("summarise-1", "analyzer", ()),
        ("summarise-2", "analyzer", ()),
        ("compare-1", "analyzer", ("summarise-1", "summarise-2")),
        ("write-1", "writer", ("compare-1",)),
    ]
    assert found["compare-1"].params["paths"] == ("/a", "/cwd/b.txt")
    assert found["write-1"].params == {"task": "write", "output": "/cwd/out/c.md"}
    assert made.final == "write-1"
    assert made.shape == "summarise + compare + write"


def test_a_report_has_its_query_as_parameters() -> None:
    made = plan_of("report the largest 20 installed packages by Installed-Size from /s to /o")
    assert by_id(made)["report-1"].params == {
        "task": "report", "paths": ("/s",), "order": "largest", "count": 20, "field": "Installed-Size",
        "noun": "packages", "words": "installed",
    }  # fmt: skip


def test_what_nobody_writes_is_combined() -> None:
    made = plan_of("summarise /a and /b; count the lines in /a")
    assert made.final == "combine-1"
    assert by_id(made)["combine-1"].inputs == ("summarise-1", "summarise-2", "count-1")


def test_one_result_needs_no_combining_and_no_writer() -> None:
    made = plan_of("summarise /a")
    assert [one.id for one in made.subtasks] == [made.final] == ["summarise-1"]


def test_two_files_of_results() -> None:
    made = plan_of("summarise /a and write the summary to /x, then compare /a with /b and write the comparison to /y")
    found = by_id(made)
    assert found["write-1"].inputs == ("summarise-1",)
    assert found["write-2"].inputs == ("compare-1",)
    assert found["compare-1"].inputs == ("summarise-1",)
    assert found[made.final].params == {"task": "combine"}


def test_results_written_before_are_not_written_again() -> None:
    made = plan_of("summarise /a to /x, count the lines in /b, and write the result to /y")
    assert by_id(made)["write-2"].inputs == ("count-1",)


def test_a_directory_is_read_as_a_tree() -> None:
    made = plan_of("summarise /dir/docs; search for 'x' in /dir and /a")
    assert by_id(made)["summarise-1"].params["paths"] == ("/dir/docs/**",)
    assert by_id(made)["search-1"].params["paths"] == ("/dir/**", "/a")


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("summarise /a and write the comparison to /c", "needs two files"),
        ("compare /a and /a", "two different files"),
        ("compare /a and /dir", "is a directory"),
        ("report the largest 5 rows from /dir", "is a directory"),
        ("count the lines in /dir", "is a directory"),
        ("write the summary to /c", "no summary to write"),
        ("write the result to /c", "no result to write"),
        ("count the lines in /a and write the summary to /c", "no summary to write"),
        ("summarise /a and write it to /a", "would overwrite"),
        ("summarise /a and write it to /b, then count the lines in /b", "would overwrite"),
        ("summarise /a to /x, summarise /b to /x", "two results would go"),
        ("summarise /a and write it to /dir", "is a directory"),
        ("summarise ~/a", "~ is not expanded"),
        ("summarise /a/../b", "contains '..'"),
        ("summarise " + ", ".join(f"/{at}" for at in range(40)), "too many"),
    ],
)
def test_goals_that_make_no_plan_say_what_to_do(goal: str, said: str) -> None:
    """H-FS-12, H-FS-22."""
    with pytest.raises(InputError) as caught:
        plan_of(goal)
    assert said in caught.value.message
    assert caught.value.remedy


NAMES = st.sampled_from(["/a", "/b", "/c", "d.txt", "/dir/x"])
FILES = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
PATTERNS = st.builds(Pattern, st.text(min_size=1, max_size=5), st.booleans(), st.booleans())
OUTPUTS = st.sampled_from(["", "/o1", "/o2", "/o3", "/a"])
WORKS = st.one_of(
    st.builds(Summarise, FILES),
    st.builds(Compare, FILES),
    st.builds(Report, NAMES, st.just("first"), st.integers(0, 5), st.just(""), st.just("rows"), st.just(())),
    st.builds(Search, FILES, PATTERNS),
    st.builds(Count, FILES, st.sampled_from(Unit), PATTERNS),
)
CLAUSES: st.SearchStrategy[list[Parsed]] = st.lists(
    st.one_of(st.builds(Clause, WORKS, OUTPUTS), st.builds(Write, st.sampled_from(Thing), OUTPUTS.filter(bool))),
    min_size=1,
    max_size=6,
)


@given(CLAUSES)
def test_whatever_the_clauses_a_plan_is_sound(clauses: list[Parsed]) -> None:
    """Every subtask leads to the final one, and nothing is read and written at once; or the goal is refused."""
    try:
        made = build(clauses, PLACES)
    except InputError as error:
        assert error.remedy  # noqa: PT017 - a refusal is as good as a plan
        return
    check_plan(made)
    needed = {made.final}
    for one in reversed(made.subtasks):
        assert one.id in needed
        needed.update(one.inputs)
    outputs = {one.params["output"] for one in made.subtasks if one.role == "writer"}
    given_paths = [one.params.get("paths", ()) for one in made.subtasks]
    reads = {path.removesuffix("/**") for paths in given_paths if isinstance(paths, tuple) for path in paths}
    assert not outputs & reads
