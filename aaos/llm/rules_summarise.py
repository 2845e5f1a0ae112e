"""The document of a summary: of one file, or of several.

Invariant: one heading of level 1, sections of level 2, so that a summary can be a part of another document.
"""

from collections.abc import Sequence

from aaos.llm.rules_describe import Description, describe
from aaos.llm.rules_file import FileText
from aaos.llm.rules_kind import TextKind
from aaos.llm.rules_markdown import amount, bullets, code, document, inert, listed, size

_METHODS = {
    TextKind.PROSE: "The points are sentences of the file, chosen by the frequency and place of their words.",
    TextKind.CODE: "Definitions and imports are found by their form; nothing was executed.",
    TextKind.LOG: "Messages that differ only in numbers are counted as one.",
    TextKind.CONFIG: "The points are sentences of the file's own comments.",
    TextKind.RECORDS: "Counts and ranges are of the records as they stand in the file.",
    TextKind.EMPTY: "",
}


def summary(file: FileText) -> str:
    """The summary of one file."""
    found = describe(file)
    return document(
        f"# Summary of {inert(file.name, 120)}",
        f"{code(file.path)}: {found.kind.value}, {found.measure}.{file.caveat}",
        f"> {found.gist}",
        *(f"## {title}\n\n{body}" for title, body in found.sections),
        f"*{_METHODS[found.kind]}*" if _METHODS[found.kind] else "",
    )


def summaries(where: str, files: Sequence[FileText], left_out: Sequence[str]) -> str:
    """The summaries of several files in one document; `left_out` says what of `where` was not summarised, and why."""
    total = sum(file.size_bytes for file in files)
    names = [inert(file.name, 60) for file in files]
    return document(
        f"# Summary of {inert(where, 120)}",
        f"{amount(len(files), 'text file')}, {size(total)} together: {listed(names)}.",
        "" if not left_out else f"Left out:\n\n{bullets(left_out)}",
        *(_part(describe(file, points=3)) for file in files),
    )


def _part(found: Description) -> str:
    file = found.file
    title, body = next(((title, body) for title, body in found.sections), ("", ""))
    lines = body.splitlines()
    shown = "\n".join(lines if title in ("Main points", "Errors and refusals", "Commonest messages") else [])
    return document(
        f"## {inert(file.name, 120)}",
        f"{code(file.path)}: {found.kind.value}, {found.measure}.{file.caveat}",
        f"> {found.gist}",
        shown,
    )
