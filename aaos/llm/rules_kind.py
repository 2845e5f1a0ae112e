"""What kind of text a file holds: prose, code, a log or records; decides how tier T0 describes it.

Invariant: decided from the name and a sample of bounded size; every text has exactly one kind.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from aaos.llm.rules_file import FileText
from aaos.llm.rules_records import detect

SAMPLE = 200


class TextKind(StrEnum):
    """The kinds, by the names that documents use."""

    EMPTY = "empty file"
    PROSE = "text"
    CODE = "code"
    LOG = "log"
    CONFIG = "settings"
    RECORDS = "records"


@dataclass(frozen=True, slots=True)
class Language:
    """A programming language: how its lines are told apart. `definition` captures a name in group `name`."""

    name: str
    comment: str
    definition: re.Pattern[str]
    imports: re.Pattern[str]


# What begins a line of a log: ISO 8601, syslog (RFC 3164), a bare time, the kernel's seconds, the common log format.
TIMESTAMP = re.compile(
    r"(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ,]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
    r"|\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]?"
    r"|\[ *\d{1,9}\.\d{6}\]"
    r"|\S{1,80} \S{1,40} \S{1,40} \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\])"
)


def _language(name: str, comment: str, definition: str, imports: str) -> Language:
    return Language(name, comment, re.compile(definition), re.compile(imports))


_C_LIKE = r"\s*#\s*include\s+(?P<name>\S+)"
_SHELL = _language("shell", "#", r"(?:function\s+)?(?P<name>[\w-]+)\s*\(\)\s*\{?", r"\s*(?:\.|source)\s+(?P<name>\S+)")
_PYTHON = _language(
    "Python", "#", r"\s*(?:async\s+)?(?:def|class)\s+(?P<name>\w+)", r"(?:from\s+|import\s+)(?P<name>[\w.]+)"
)
_PERL = _language("Perl", "#", r"\s*(?:sub|package)\s+(?P<name>[\w:]+)", r"\s*(?:use|require)\s+(?P<name>[\w:]+)")
_SCRIPT = _language(
    "JavaScript",
    "//",
    r"\s*(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:function\*?|class|interface|enum)\s+(?P<name>[\w$]+)",
    r"""\s*(?:import\b.*\bfrom|import|.*\brequire\()\s*["'](?P<name>[^"']+)["']""",
)
_C = _language("C", "//", r"(?:[A-Za-z_][\w*&:<>,]*\s+)+\**(?P<name>[\w:~]+)\s*\([^;]*$", _C_LIKE)
_LANGUAGES: Mapping[str, Language] = {
    "py": _PYTHON,
    "sh": _SHELL,
    "bash": _SHELL,
    "pl": _PERL,
    "pm": _PERL,
    "js": _SCRIPT,
    "mjs": _SCRIPT,
    "ts": _SCRIPT,
    "c": _C,
    "h": _C,
    "cc": _C,
    "cpp": _C,
    "hpp": _C,
    "go": _language(
        "Go", "//", r"(?:func(?:\s*\([^)]*\))?|type)\s+(?P<name>\w+)", r"""\s*(?:import\s+)?"(?P<name>[^"]+)"$"""
    ),
    "rs": _language(
        "Rust",
        "//",
        r"\s*(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:async\s+)?(?:fn|struct|enum|trait|mod|impl)\s+(?P<name>\w+)",
        r"\s*(?:pub\s+)?use\s+(?P<name>[\w:]+)",
    ),
    "java": _language(
        "Java",
        "//",
        r"\s*(?:public|private|protected|static|final|abstract|\s)*(?:class|interface|enum|record)\s+(?P<name>\w+)",
        r"import\s+(?:static\s+)?(?P<name>[\w.]+)",
    ),
    "rb": _language("Ruby", "#", r"\s*(?:def|class|module)\s+(?P<name>[\w.?!:]+)", r"\s*require\S*\s+(?P<name>\S+)"),
}
_SHEBANGS = (("python", "py"), ("bash", "sh"), ("perl", "pl"), ("node", "js"), ("ruby", "rb"), ("sh", "sh"))
_CONFIG_NAMES = ("conf", "cfg", "cnf", "ini", "toml", "yaml", "yml", "rules", "service", "socket", "timer", "desktop")
_PROSE_NAMES = ("md", "rst", "adoc", "markdown")


def kind_of(file: FileText) -> TextKind:
    """The kind of a file's text."""
    sample = list(islice((line for line in file.lines if line.strip()), SAMPLE))
    if not sample:
        return TextKind.EMPTY
    if file.is_prose:
        return TextKind.PROSE
    if language_of(file) is not None:
        return TextKind.CODE
    if _extension(file) in _PROSE_NAMES:
        return TextKind.PROSE
    if is_log(sample):
        return TextKind.LOG
    if detect(sample[:60]) is not None:
        return TextKind.RECORDS
    return TextKind.CONFIG if _is_config(file, sample) else TextKind.PROSE


def language_of(file: FileText) -> Language | None:
    """The programming language, by the name's extension or the first line's `#!`."""
    known = _LANGUAGES.get(_extension(file))
    first = file.lines[0][:200] if file.lines else ""
    if known or not first.startswith("#!"):
        return known
    return next((_LANGUAGES[key] for word, key in _SHEBANGS if word in first), None)


def is_log(sample: Sequence[str]) -> bool:
    """Whether most lines begin with a time."""
    return len(sample) >= 3 and sum(1 for line in sample if TIMESTAMP.match(line)) >= 0.6 * len(sample)


def _is_config(file: FileText, sample: Sequence[str]) -> bool:
    commented = sum(1 for line in sample if line.lstrip()[:1] in ("#", ";"))
    return _extension(file) in _CONFIG_NAMES or commented >= 0.2 * len(sample)


def _extension(file: FileText) -> str:
    return file.name.rpartition(".")[2].casefold() if "." in file.name else ""
