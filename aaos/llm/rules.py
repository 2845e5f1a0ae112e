"""The embedded provider, tier T0: answers the turns of analyzer and writer by code.

A turn is a function of the request: from the structured task and the results so far follows either what to read next,
or the answer. So it needs no state, any turn can be asked again, and a resumed agent goes on where it was. What can't
be done ends with Stop.REFUSED: a tool that failed or was denied, a format that is not known, a field that is not there.

Invariant: deterministic; file contents and results are data: nothing in them can change what is asked for, only what
the documents say. Reading is bounded by `rules_talk` and `rules_directory`, work by the size of what was read.
"""

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence

from aaos.core.errors import ProviderError
from aaos.core.role import Tier
from aaos.llm.rules_compare import comparison
from aaos.llm.rules_count import Counting, Unit, count, count_document
from aaos.llm.rules_directory import Listing, listing
from aaos.llm.rules_file import FileText
from aaos.llm.rules_found import Found, Wanted, matches, search_document
from aaos.llm.rules_kind import TextKind, kind_of
from aaos.llm.rules_markdown import amount, code, document, size
from aaos.llm.rules_pages import others_of, page_text
from aaos.llm.rules_records import Format, find_records, parse
from aaos.llm.rules_report import report
from aaos.llm.rules_select import Order, Query, select
from aaos.llm.rules_stories_documents import fronts, stories_comparison, stories_document
from aaos.llm.rules_summarise import summaries, summary
from aaos.llm.rules_talk import Trouble, ask, calls_of, read_files, wanted
from aaos.llm.rules_tasks import Task, TaskName, bare, is_tree, read_task, told
from aaos.llm.types import AskedCall, ModelAnswer, ModelRequest, ModelTerms, OnText, Stop, ToolResultMessage

INLINE_CHARS = 65_536  # above this much text the work is done in a thread, so that the event loop goes on
MAX_DOCUMENT_BYTES = 240_000  # a result that the runner keeps whole

_LINE_NOUNS = frozenset({"line", "lines"})


class Rules:
    """Implements `types.Provider`."""

    name = "rules"
    tier = Tier.T0
    terms = ModelTerms()

    async def complete(self, request: ModelRequest, *, on_text: OnText | None = None) -> ModelAnswer:  # noqa: ARG002  # an answer by code comes whole
        """The turn's answer; never raises for what the task or the files are like."""
        results = sum(len(one.text) for one in request.messages if isinstance(one, ToolResultMessage))
        if results + sum(map(len, request.inputs.values())) <= INLINE_CHARS:
            return answer(request)
        return await asyncio.to_thread(answer, request)


def answer(request: ModelRequest) -> ModelAnswer:
    """The answer to a turn, by computation alone."""
    try:
        task = read_task(request)
        return _WORK[task.name](task)
    except ProviderError as error:
        return ModelAnswer(error.message, stop=Stop.REFUSED, remedy=error.remedy)


# --- what every task does: read -----------------------------------------------------------------------------------


def _read(task: Task, paths: Sequence[str]) -> tuple[FileText, ...] | ModelAnswer:
    """The files, or the answer that asks for more of them. Raises ProviderError when one can't be read."""
    reading = read_files(task.made, paths)
    if reading.troubles:
        raise told(reading.troubles)
    return ask(reading.wanted, task.made) if reading.wanted else reading.files


def _texts(task: Task) -> tuple[FileText, ...] | ModelAnswer:
    """The pages and the files of the task, or the answer that asks for more. Raises ProviderError."""
    files = _read(task, _files_only(task))
    return files if isinstance(files, ModelAnswer) else (*(page.prose for page in task.pages), *files)


def _files_only(task: Task) -> tuple[str, ...]:
    trees = [bare(path) for path in task.paths() if is_tree(path)]
    if trees:
        raise ProviderError(f"{trees[0]} is a directory, and this task reads files", "name the files in it")
    return task.paths()


def _answer(text: str) -> ModelAnswer:
    whole = len(text.encode("utf-8", "replace"))
    if whole > MAX_DOCUMENT_BYTES:
        kept = text.encode("utf-8", "replace")[:MAX_DOCUMENT_BYTES].decode("utf-8", "ignore").rpartition("\n")[0]
        text = f"{kept}\n\n**The document was cut here: all of it is {size(whole)}.**\n"
    return ModelAnswer(text)


# --- the tasks ----------------------------------------------------------------------------------------------------


def _summarise(task: Task) -> ModelAnswer:
    paths = task.paths()
    if len(paths) == 1 and is_tree(paths[0]):
        return _summarise_directory(task, bare(paths[0]))
    texts = _texts(task)
    if isinstance(texts, ModelAnswer):
        return texts
    return _answer(summary(texts[0]) if len(texts) == 1 else summaries(f"{len(texts)} files", texts, ()))


def _summarise_directory(task: Task, directory: str) -> ModelAnswer:
    found = listing(task.made, directory)
    match found:
        case AskedCall():
            return ask([found], task.made)
        case Trouble():
            raise told([found])
        case Listing(paths, left_out):
            reading = read_files(task.made, paths)
    if reading.wanted:
        return ask(reading.wanted, task.made)
    left = [*left_out, *(f"{code(one.path)}: {code(one.text, 160)}" for one in reading.troubles)]
    if not reading.files:
        why = f": {left[0]}" if left else ""
        raise ProviderError(
            f"{directory} has no file that could be read as text{why}", f"look at it: ls -l {shlex.quote(directory)}"
        )
    return _answer(summaries(directory, reading.files, left))


def _compare(task: Task) -> ModelAnswer:
    texts = _texts(task)
    if isinstance(texts, ModelAnswer):
        return texts
    if len(texts) < 2:
        raise ProviderError("a comparison needs two files or more", "name another file")
    return _answer(comparison(texts, others_of(task.inputs)))


def _report(task: Task) -> ModelAnswer:
    files = _read(task, _files_only(task)[:1])
    if isinstance(files, ModelAnswer):
        return files
    file = files[0]
    noun = task.text("noun") or "records"
    query = Query(
        order=task.choice("order", Order, Order.ALL),
        count=max(0, task.number("count")),
        field=task.text("field"),
        noun=noun,
        words=tuple(task.text("words").split()),
    )
    records = parse(file.lines, Format.LINES) if noun.casefold() in _LINE_NOUNS else find_records(file.lines)
    if records is None or not records.rows:
        what = "is empty" if kind_of(file) is TextKind.EMPTY else "has no format of records that tier T0 knows"
        known = ", ".join(one.value for one in Format if one is not Format.LINES)
        raise ProviderError(
            f"{file.path} {what} (it knows {known})", f"ask for its lines: report the first 10 lines from {file.path}"
        )
    return _answer(report(file, records, query, select(records, query)))


def _looked_for(task: Task) -> Wanted:
    text = task.text("pattern")
    if not text:
        raise ProviderError("there is nothing to look for", "give the text: search for 'TEXT' in FILE")
    return Wanted(text, task.text("match", "text") == "pattern", task.text("case", "exact") == "ignored")


def _search(task: Task) -> ModelAnswer:
    looked_for = _looked_for(task)
    found = _found(task, looked_for)
    if isinstance(found, ModelAnswer):
        return found
    return _answer(search_document([bare(path) for path in task.paths()], looked_for, found))


def _found(task: Task, looked_for: Wanted) -> tuple[Found, ...] | ModelAnswer:
    """What the grep tool finds in each path, or the answer that asks for more."""
    results = [matches(task.made, bare(path), looked_for) for path in task.paths()]
    troubles = [one for one in results if isinstance(one, Trouble)]
    if troubles:
        raise told(troubles)
    calls = [one for one in results if isinstance(one, AskedCall)]
    return ask(calls, task.made) if calls else tuple(one for one in results if isinstance(one, Found))


def _count(task: Task) -> ModelAnswer:
    unit = task.choice("unit", Unit, Unit.LINES)
    is_about_text = unit in (Unit.MATCHES, Unit.MATCHING_LINES)
    looked_for = _looked_for(task) if is_about_text else Wanted("", is_regex=False, ignore_case=False)
    if looked_for.is_regex:
        found = _found(task, looked_for)
        return found if isinstance(found, ModelAnswer) else _answer(_count_of_pattern(task, looked_for, found))
    files = _read(task, _files_only(task))
    if isinstance(files, ModelAnswer):
        return files
    words = tuple(task.text("words").split())
    counting = Counting(unit, looked_for.text, looked_for.ignore_case, task.text("noun"), words)
    return _answer(count_document(counting, [count(file, counting) for file in files]))


def _count_of_pattern(task: Task, looked_for: Wanted, found: Sequence[Found]) -> str:
    total = sum(len(one.matches) for one in found)
    is_whole = all(one.is_whole for one in found)
    where = ", ".join(code(bare(path)) for path in task.paths())
    more = "" if is_whole else " **The search stopped at its limit: there may be more.**"
    title = f"# {'' if is_whole else 'At least '}{amount(total, 'line')} with {looked_for.told}"
    return document(title, f"Counted in {where}; a line with several matches counts once.{more}")


def _stories(task: Task) -> ModelAnswer:
    count = _count_of_stories(task)
    return _answer(stories_document(fronts(task.pages, count), count))


def _compare_stories(task: Task) -> ModelAnswer:
    count = _count_of_stories(task)
    if len(task.pages) < 2:
        raise ProviderError("a comparison of stories needs two pages or more", "name another: fetch URL and URL")
    return _answer(stories_comparison(fronts(task.pages, count), count))


def _count_of_stories(task: Task) -> int:
    if not task.pages:
        raise ProviderError("there is no page to find stories on", "name one: fetch URL, and list its top stories")
    return max(1, task.number("count"))


def _combine(task: Task) -> ModelAnswer:
    return _answer(_joined(task))


def _joined(task: Task) -> str:
    parts = [part for text in task.inputs.values() if (part := _without_head(text).strip("\n")).strip()]
    if not parts:
        raise ProviderError("there are no results to put together", "submit the goal again")
    return "\n\n---\n\n".join(parts) + "\n" if len(parts) > 1 else f"{parts[0]}\n"


def _without_head(text: str) -> str:
    """A page as it is to be kept: its own text; anything else as it is."""
    page = page_text(text)
    return text if page is None else page


def _write(task: Task) -> ModelAnswer:
    output = task.text("output")
    if not output:
        raise ProviderError("there is no file to write to", "name it: … and write the result to FILE")
    text = _joined(task)
    done = calls_of(task.made, "file_write", output)
    if not done:
        return ask([wanted("file_write", {"path": output, "content": text})], task.made)
    result = done[-1].result
    if not result.ok:
        why = " ".join(result.text.split())[:500]
        raise ProviderError(
            f"could not write {output}: {why}", f"look whether you may write to it: ls -ld {shlex.quote(output)}"
        )
    title = next((line.lstrip("# ") for line in text.splitlines() if line.strip()), "the result")
    return _answer(f"Wrote “{title[:120]}” to {code(output)} ({size(len(text.encode('utf-8', 'replace')))}).\n")


_WORK: Mapping[TaskName, Callable[[Task], ModelAnswer]] = {
    TaskName.SUMMARISE: _summarise,
    TaskName.COMPARE: _compare,
    TaskName.REPORT: _report,
    TaskName.SEARCH: _search,
    TaskName.COUNT: _count,
    TaskName.STORIES: _stories,
    TaskName.COMPARE_STORIES: _compare_stories,
    TaskName.COMBINE: _combine,
    TaskName.WRITE: _write,
}
