"""Clauses become a plan: which subtasks, with which roles and parameters, and who waits for whom.

Every page gets its own fetcher, every path or page that is summarised its own analyzer: these run side by side. A
comparison of what was summarised waits for the summaries and reads the files itself; a file that is to be written gets
a writer. Loose ends are combined.

Invariant: deterministic; ids name what a subtask does; a file is never both read and written by one goal.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from aaos.core.errors import InputError
from aaos.core.graph import Plan, Subtask
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.text import quoted
from aaos.plan.clauses import (
    Clause,
    Compare,
    CompareStories,
    Count,
    Fetch,
    ListStories,
    Parsed,
    Pattern,
    Report,
    Search,
    Summarise,
    Thing,
    Work,
    Write,
)

ANALYZER = RoleName("analyzer")
FETCHER = RoleName("fetcher")
WRITER = RoleName("writer")
MAX_PATHS = 32

Resolve = Callable[[str], str]  # a path of the goal as an absolute one
Param = str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """How the goal's paths are to be understood: `resolve` makes them absolute (it raises InputError for what is no
    path), `is_dir` knows the directories. `hosts` are network resources that the operator granted by name."""

    resolve: Resolve
    is_dir: Callable[[str], bool]
    hosts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """The plan as it grows."""

    places: Places
    analyzer: RoleName
    subtasks: list[Subtask] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    pages: dict[str, SubtaskId] = field(default_factory=dict)  # address -> what fetches it
    summaries: dict[str, SubtaskId] = field(default_factory=dict)  # file, directory or address -> its summary
    comparisons: list[SubtaskId] = field(default_factory=list)
    works: list[SubtaskId] = field(default_factory=list)
    written: set[SubtaskId] = field(default_factory=set)
    read_paths: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)

    def add(self, role: RoleName, task: str, params: dict[str, Param], inputs: Sequence[SubtaskId] = ()) -> SubtaskId:
        """A further subtask; its id is the task and a number."""
        self.made[task] += 1
        subtask = SubtaskId(f"{task}-{self.made[task]}")
        self.subtasks.append(Subtask(subtask, role, {"task": task, **params}, tuple(inputs)))
        return subtask

    def paths(self, given: Sequence[str]) -> tuple[str, ...]:
        """The paths as parameters: absolute, a directory with `/**` at its end."""
        if len(given) > MAX_PATHS:
            raise InputError(
                f"{len(given)} paths are too many for one clause", f"name at most {MAX_PATHS}, or their directory"
            )
        found = tuple(dict.fromkeys(self.places.resolve(path) for path in given))
        self.read_paths.update(found)
        return tuple(f"{path.rstrip('/')}/**" if self.places.is_dir(path) else path for path in found)

    def fetched(self, urls: Sequence[str]) -> dict[str, SubtaskId]:
        """What fetches the pages, each once; the pages of the whole goal so far when none is named."""
        if len(urls) > MAX_PATHS:
            raise InputError(f"{len(urls)} pages are too many for one clause", f"name at most {MAX_PATHS}")
        for url in urls:
            if url not in self.pages:
                hosts: dict[str, Param] = {"hosts": self.places.hosts} if self.places.hosts else {}
                self.pages[url] = self.add(FETCHER, "fetch", {"url": url, **hosts})
        return {url: self.pages[url] for url in urls or tuple(self.pages)}

    def files(self, given: Sequence[str], what: str) -> tuple[str, ...]:
        """As `paths`, and none of them is a directory."""
        found = self.paths(given)
        for path in found:
            if path.endswith("/**"):
                raise InputError(f"{quoted(path[:-3])} is a directory, and {what} reads files", "name the files in it")
        return found


def build(clauses: Sequence[Parsed], places: Places, *, analyzer: RoleName = ANALYZER) -> Plan:
    """The plan of a goal's clauses. `analyzer` is the role that reads. Raises InputError with what to say instead."""
    draft = _Draft(places, analyzer)
    for clause in clauses:
        match clause:
            case Clause(work, output):
                added = _add_work(work, draft)
                if output:
                    _add_writer(output, added, draft)
            case Write(what, output):
                _add_writer(output, _sources(what, draft), draft)
            case _:
                assert_never(clause)
    _check_apart(draft)
    final = _final(draft)
    return Plan(tuple(draft.subtasks), final, " + ".join(dict.fromkeys(str(s.params["task"]) for s in draft.subtasks)))


# --- work ---------------------------------------------------------------------------------------------------------


def _add_work(work: Work, draft: _Draft) -> tuple[SubtaskId, ...]:
    match work:
        case Fetch(urls):
            added = tuple(draft.fetched(urls).values())
        case Summarise():
            added = _add_summaries(work, draft)
        case Compare():
            added = (_add_comparison_of(work, draft),)
        case ListStories(urls, count):
            added = (_add_stories("stories", count, _known(draft.fetched(urls)), draft),)
        case CompareStories(urls, count):
            added = (_add_story_comparison(count, _known(draft.fetched(urls)), draft),)
        case Report():
            added = (_add_report(work, draft),)
        case Search(paths, pattern):
            added = (draft.add(draft.analyzer, "search", {"paths": draft.paths(paths), **_looked_for(pattern)}),)
        case Count():
            added = (_add_count(work, draft),)
        case _:
            assert_never(work)
    draft.works += [subtask for subtask in added if subtask not in draft.works]
    return added


def _add_summaries(work: Summarise, draft: _Draft) -> tuple[SubtaskId, ...]:
    for path in draft.paths(work.paths):
        if path not in draft.summaries:
            draft.summaries[path] = draft.add(draft.analyzer, "summarise", {"paths": (path,)})
    named = draft.paths(work.paths)
    pages = draft.fetched(work.urls) if work.urls or not work.paths else {}
    if not named:
        _known(pages)
    for url, page in pages.items():
        if url not in draft.summaries:
            draft.summaries[url] = draft.add(draft.analyzer, "summarise", {}, (page,))
    return tuple(draft.summaries[one] for one in (*named, *pages))


def _add_comparison_of(work: Compare, draft: _Draft) -> SubtaskId:
    """The comparison of what the clause names; `compare them` means the pages, or else what was summarised."""
    if work.paths or work.urls or draft.pages:
        return _add_comparison(draft.files(work.paths, "a comparison"), work.urls, draft)
    return _add_comparison(_summarised_files(draft), (), draft)


def _add_comparison(paths: tuple[str, ...], urls: tuple[str, ...], draft: _Draft) -> SubtaskId:
    pages = draft.fetched(urls) if urls or not paths else {}
    if len(paths) + len(pages) < 2:
        raise InputError("a comparison needs two different files", "name another: compare FILE and FILE")
    inputs = [*pages.values(), *(draft.summaries[one] for one in (*pages, *paths) if one in draft.summaries)]
    comparison = draft.add(draft.analyzer, "compare", {"paths": paths} if paths else {}, inputs)
    draft.comparisons.append(comparison)
    return comparison


def _add_stories(task: str, count: int, pages: dict[str, SubtaskId], draft: _Draft) -> SubtaskId:
    return draft.add(draft.analyzer, task, {"count": count}, tuple(pages.values()))


def _add_story_comparison(count: int, pages: dict[str, SubtaskId], draft: _Draft) -> SubtaskId:
    if len(pages) < 2:
        raise InputError("a comparison of stories needs two different pages", "name another: fetch URL and URL")
    comparison = _add_stories("compare-stories", count, pages, draft)
    draft.comparisons.append(comparison)
    return comparison


def _known(pages: dict[str, SubtaskId]) -> dict[str, SubtaskId]:
    if not pages:
        raise InputError("the goal speaks of pages before it names one", "say first: fetch URL and URL")
    return pages


def _summarised_files(draft: _Draft) -> tuple[str, ...]:
    return tuple(one for one in draft.summaries if not one.endswith("/**") and one not in draft.pages)


def _add_report(work: Report, draft: _Draft) -> SubtaskId:
    params: dict[str, Param] = {
        "paths": draft.files((work.path,), "a report"),
        "order": work.order,
        "count": work.count,
        "field": work.field,
        "noun": work.noun,
        "words": " ".join(work.words),
    }
    return draft.add(draft.analyzer, "report", params)


def _add_count(work: Count, draft: _Draft) -> SubtaskId:
    params: dict[str, Param] = {
        "paths": draft.files(work.paths, "a count"),
        "unit": work.unit.value,
        "noun": work.noun,
        "words": " ".join(work.words),
    }
    return draft.add(draft.analyzer, "count", params | (_looked_for(work.pattern) if work.pattern else {}))


def _looked_for(pattern: Pattern) -> dict[str, Param]:
    return {
        "pattern": pattern.text,
        "match": "pattern" if pattern.is_regex else "text",
        "case": "ignored" if pattern.ignore_case else "exact",
    }


# --- what is written ----------------------------------------------------------------------------------------------


def _add_writer(output: str, sources: Sequence[SubtaskId], draft: _Draft) -> None:
    path = draft.places.resolve(output)
    if draft.places.is_dir(path):
        raise InputError(
            f"{quoted(path)} is a directory", f"name the file to write, for example {path.rstrip('/')}/report.md"
        )
    if path in draft.outputs:
        raise InputError(f"two results would go to {quoted(path)}", "name a file for each of them")
    draft.outputs.add(path)
    draft.written.update(sources)
    draft.add(WRITER, "write", {"output": path}, sources)


def _sources(what: Thing, draft: _Draft) -> tuple[SubtaskId, ...]:
    """The subtasks whose results `the comparison`, `the summary` or `the result` stand for."""
    match what:
        case Thing.COMPARISON:
            if draft.comparisons:
                return (draft.comparisons[-1],)
            paths, urls = _summarised_files(draft), tuple(draft.pages)
            if len(paths) + len(urls) < 2:
                raise InputError(
                    "there is no comparison to write: it needs two files", "name both: compare FILE and FILE"
                )
            return (_add_comparison(paths, urls, draft),)
        case Thing.SUMMARY:
            found = _not_written(list(draft.summaries.values()), draft)
        case Thing.RESULT:
            found = _not_written([one for one in draft.works if not _is_material(one, draft)], draft)
        case _:
            assert_never(what)
    if not found:
        raise InputError(
            f"there is no {what.value} to write", "say first what to do: summarise FILE, and write the summary to FILE"
        )
    return found


def _not_written(works: Sequence[SubtaskId], draft: _Draft) -> tuple[SubtaskId, ...]:
    fresh = tuple(subtask for subtask in works if subtask not in draft.written)
    return fresh or tuple(works)


def _is_material(work: SubtaskId, draft: _Draft) -> bool:
    """Whether it is a page that something was made of: then that is the result, and not the page."""
    return work in draft.pages.values() and any(work in subtask.inputs for subtask in draft.subtasks)


def _check_apart(draft: _Draft) -> None:
    both = sorted(draft.outputs & draft.read_paths)
    if both:
        raise InputError(
            f"the goal would overwrite {quoted(both[0])}, which it reads", "write the result to another file"
        )


def _final(draft: _Draft) -> SubtaskId:
    """The one subtask that nobody waits for; several are combined."""
    used = {needed for subtask in draft.subtasks for needed in subtask.inputs}
    ends = [subtask.id for subtask in draft.subtasks if subtask.id not in used]
    return ends[0] if len(ends) == 1 else draft.add(draft.analyzer, "combine", {}, ends)
