"""What a conversation has come to: calls made so far with their results, and files read page by page.

Invariant: a function of the messages alone, so that any turn can be asked again with the same answer; a file's text is
joined from whole lines, each exactly once. Reading stops at MAX_FILE_BYTES of one file, or at its part of
MAX_TOTAL_BYTES when there are several, and says so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count as counted

from aaos.llm.rules_file import FileText
from aaos.llm.types import AskedCall, AssistantMessage, Json, Message, ModelAnswer, Stop, ToolResultMessage

PAGE_BYTES = 262_144
MAX_FILE_BYTES = 8_388_608
MAX_TOTAL_BYTES = 16_777_216
MAX_PAGES = 200
MAX_LINES = 1_000_000

_MARKER = re.compile(r"\[[^\n]*\]\Z")
_NEXT_LINE = re.compile(r"continue with offset=(\d{1,15})\]\Z")
_PLACE = re.compile(r"byte \d{1,15} of (\d{1,15})[;,]")
_PAST_END = "there is no line"  # how file_read answers an offset behind the last line


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was asked for, and its result."""

    call: AskedCall
    result: ToolResultMessage


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that failed or was refused: for what, and the words of the refusal."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How far reading some files has come: those read to an end, what to ask for next, and what can't be read."""

    files: tuple[FileText, ...]
    wanted: tuple[AskedCall, ...]
    troubles: tuple[Trouble, ...]


def calls_made(messages: Sequence[Message]) -> tuple[Made, ...]:
    """Every call of the conversation that has a result, in order."""
    results = {message.call: message for message in messages if isinstance(message, ToolResultMessage)}
    asked = [call for message in messages if isinstance(message, AssistantMessage) for call in message.calls]
    return tuple(Made(call, results[call.id]) for call in asked if call.id in results)


def calls_of(made: Sequence[Made], tool: str, path: str) -> tuple[Made, ...]:
    """The calls of one tool on one path."""
    return tuple(one for one in made if one.call.tool == tool and one.call.args.get("path") == path)


def ask(calls: Sequence[AskedCall], made: Sequence[Made]) -> ModelAnswer:
    """The answer that asks for these calls; their ids count on from the calls made before."""
    numbered = (AskedCall(f"c{at}", call.tool, call.args) for at, call in zip(counted(len(made)), calls, strict=False))
    return ModelAnswer("", tuple(numbered), stop=Stop.CALLS)


def wanted(tool: str, args: Mapping[str, Json]) -> AskedCall:
    """A call to ask for; `ask` gives it its id."""
    return AskedCall("", tool, args)


def read_files(made: Sequence[Made], paths: Sequence[str]) -> Reading:
    """What is known of the files' texts, and the calls that bring the next part of each."""
    files: list[FileText] = []
    calls: list[AskedCall] = []
    troubles: list[Trouble] = []
    budget = min(MAX_FILE_BYTES, max(PAGE_BYTES, MAX_TOTAL_BYTES // max(len(paths), 1)))
    for path in paths:
        match _read(calls_of(made, "file_read", path), path, budget):
            case FileText() as file:
                files.append(file)
            case AskedCall() as call:
                calls.append(call)
            case Trouble() as trouble:
                troubles.append(trouble)
    return Reading(tuple(files), tuple(calls), tuple(troubles))


def lines_of(result: ToolResultMessage) -> tuple[list[str], bool]:
    """The lines of a result without the marker of a cut one; and whether the text ends with a line feed."""
    text = _MARKER.sub("", result.text) if result.truncated else result.text
    if not text:
        return [], True
    ends = text.endswith("\n")
    return text.removesuffix("\n").split("\n"), ends


def _read(pages: Sequence[Made], path: str, budget: int) -> FileText | AskedCall | Trouble:
    lines: list[str] = []
    clipped = size = total = 0
    for page in pages:
        result = page.result
        if not result.ok:
            if clipped and _PAST_END in result.text:
                return FileText(path, tuple(lines), clipped=clipped)
            return Trouble(path, result.text)
        found, ends = lines_of(result)
        if not result.truncated:
            return FileText(path, (*lines, *found), clipped=clipped, ends_with_newline=ends)
        place = _PLACE.search(result.text, max(0, len(result.text) - 200))
        total = int(place[1]) if place else total
        clipped += _settle_cut(found, result.text, len(lines) + 1)
        lines += found
        size += len(result.text)
        if not found or size >= budget:
            return FileText(path, tuple(lines), is_whole=False, clipped=clipped, total_bytes=total)
    if len(pages) >= MAX_PAGES:
        return FileText(path, tuple(lines), is_whole=False, clipped=clipped, total_bytes=total)
    args = {"path": path, "offset": len(lines) + 1, "limit": MAX_LINES, "max_bytes": PAGE_BYTES}
    return wanted("file_read", args)


def _settle_cut(found: list[str], text: str, first: int) -> int:
    """Whether the page ends within a line that fills it; else half a line at its end is left to the next page."""
    following = _NEXT_LINE.search(text, max(0, len(text) - 200))
    if following and int(following[1]) == first + len(found):
        return 0
    if len(found) > 1:
        found.pop()
        return 0
    return len(found)
