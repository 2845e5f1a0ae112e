"""The documents keep their word: what they tell to type can be typed, and what they name exists."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from aaos.cli.parser import COMMANDS, parse
from aaos.core.errors import InputError
from aaos.core.events import EventKind, message_id

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "SPECIFICATION.md")
PAGES = tuple(sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
OTHER_PROGRAMS = set("adduser apt cat cd cp git install journalctl ls systemctl tail uname".split())
# The last number of each group.
LAST = {"APR": 3, "ISO": 14, "BRK": 10, "CAP": 8, "TOL": 9, "RUN": 9, "LLM": 8, "AUD": 5, "OPS": 7, "DEB": 4}
HOSTILE = set("SBX FS PROC RES NET BRK CAP SUB API MCP WEB SEC DUR FUZZ LLM PKG".split())
NO_IDS = {"UTF-8", "SHA-256", "GPL-3", "APACHE-2"}

_ID = re.compile(r"\b(?:H-)?[A-Z]+-\d+\b")
_HOSTILE_ID = re.compile(r"\bH-[A-Z]+-\d+\b")
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")
_TEST = re.compile(r"^(tests/[\w/]+\.py|qa/vm/checks\.py)::(\w+)$")
_PATH = re.compile(r"^\.?(?:tests|qa|aaos|worker|docs|etc|examples|ci)/[\w./-]*$|^[A-Z]+\.md$|^LICENSE$|^dev$")
_OF_A_MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|work)/(?=[\w.])|/\.pyenv/")
_ROW = re.compile(r"^\| (H-[A-Z]+-\d+) \|(.*)\|$", re.MULTILINE)
_KEPT = re.compile(r"^\*\*([A-Z]+-\d+)\.\*\* (?:.+\n)+\n((?:- .*\n)*)", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS + PAGES)
def test_what_is_told_to_type_can_be_typed(document: str) -> None:
    wrong = [line for line in commands_of(text_of(document)) if not is_understood(line)]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "agentd sumbit x",
        "agentd submit --raed /x y",
        "agentd submit",
        "sudo .venv/bin/agentd list --all",
        "./dev dmeo",
        "frobnicate",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert not is_understood(line)


def test_the_readme_shows_the_two_commands_first() -> None:
    assert commands_of(text_of("README.md"))[0] == "./dev demo"
    assert "./dev test" in commands_of(text_of("README.md"))


def test_every_page_is_named_in_the_readme() -> None:
    assert [page for page in PAGES if page not in _LINK.findall(text_of("README.md"))] == []


def test_commands_are_found_in_console_blocks_only() -> None:
    text = "```console\n$ agentd list\n  $ no\noutput\n```\n```\n$ other\n```\n"
    assert commands_of(text) == ["agentd list"]


@pytest.mark.parametrize("document", DOCUMENTS + PAGES)
def test_every_file_and_test_that_is_named_exists(document: str) -> None:
    text = text_of(document)
    assert [name for name in names_in(text) if not is_there(name)] == []
    assert [link for link in _LINK.findall(text) if not (ROOT / document).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_documents.py::test_that_nobody_wrote",
        "tests/unit/core/test_nothing.py::test_it",
        "qa/vm/checks.py::flies",
        "qa/bench/nothing.py",
        "docs/nothing.md",
        "NOTICE.md",
    ],
)
def test_a_name_of_nothing_is_noticed(name: str) -> None:
    assert list(names_in(f"see `{name}`.")) == [name]
    assert not is_there(name)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_path_of_a_machine_and_no_long_line(document: str) -> None:
    lines = text_of(document).split("\n")
    assert [line for line in lines if _OF_A_MACHINE.search(line)] == []
    is_code = False
    for number, line in enumerate(lines, 1):
        is_code ^= line.startswith("```")
        assert is_code or len(line) <= 120 or line.startswith(("|", "- `")), f"{document}:{number}: {line[:60]}"


def test_every_id_is_a_known_one() -> None:
    unknown = {found for found in _ID.findall(text_of("SPECIFICATION.md")) if not is_known(found)}
    assert unknown == set()
    assert not any(map(is_known, ("ISO-15", "ISO-0", "BRK-11", "FOO-1", "H-FOO-01", "H-SBX-1")))


def test_every_promise_names_what_shows_it() -> None:
    kept = _KEPT.findall(text_of("SPECIFICATION.md"))
    assert len(kept) > 40
    for promise, shown in kept:
        named = list(names_in(shown))
        assert named, promise
        assert all(name.startswith(("tests/", "qa/bench/", "qa/vm/")) for name in named), promise


def test_every_hostile_case_is_named_by_the_tests_that_are_said_to_show_it() -> None:
    rows = _ROW.findall(text_of("SPECIFICATION.md").partition("## Not kept yet")[0])
    assert len(rows) > 80
    for case, row in rows:
        tests = [found for name in names_in(row) if (found := _TEST.match(name))]
        assert tests, case
        assert [test.group() for test in tests if case not in text_of(test[1])] == []


def test_every_hostile_case_that_a_test_names_is_in_the_specification() -> None:
    specified = set(_HOSTILE_ID.findall(text_of("SPECIFICATION.md")))
    tested = {case for path in (ROOT / "tests").rglob("test_*.py") for case in _HOSTILE_ID.findall(path.read_text())}
    assert {case for case in tested if is_known(case)} - specified == set()


def commands_of(text: str) -> list[str]:
    """What stands behind `$ ` in console blocks."""
    blocks = _CONSOLE.findall(text)
    return [line.removeprefix("$ ") for block in blocks for line in block.split("\n") if line.startswith("$ ")]


def is_understood(line: str) -> bool:
    """Whether the program knows the command, as far as it is ours."""
    words = shlex.split(line.removesuffix("&"))
    words = words[1:] if words[0] == "sudo" else words
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "agentd":
        return is_parsed(arguments)
    if program == "./dev":
        return len(arguments) >= 1 and f"\n  {arguments[0]} " in text_of("dev")
    return program in OTHER_PROGRAMS


def is_parsed(arguments: list[str]) -> bool:
    """Whether `agentd` takes the arguments."""
    try:
        return parse(arguments).command in COMMANDS
    except InputError:
        return False


def names_in(text: str) -> Iterator[str]:
    """Files and tests that stand in the text as code."""
    for name in _CODE.findall(text):
        if _TEST.match(name) or _PATH.match(name):
            yield name


def is_there(name: str) -> bool:
    """Whether the file, or the function in the file, exists."""
    test = _TEST.match(name)
    if test is None:
        return (ROOT / name).exists()
    return (ROOT / test[1]).is_file() and test[2] in functions_of(test[1])


def is_known(name: str) -> bool:
    """Whether it is an id of a requirement or a hostile case, or something that only looks like one."""
    group, _, number = name.removeprefix("H-").rpartition("-")
    if name.startswith("H-"):
        return group in HOSTILE and len(number) == 2
    first = 0 if group == "CAP" else 1
    return name in NO_IDS or (group in LAST and first <= int(number) <= LAST[group])


@cache
def functions_of(path: str) -> frozenset[str]:
    """The names of the test functions of a file."""
    return frozenset(node.name for node in ast.parse(text_of(path)).body if isinstance(node, ast.FunctionDef))


@cache
def text_of(path: str) -> str:
    """A file of the tree."""
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_journal_explains_every_kind_of_event() -> None:
    """AUD-2: the catalog is made of docs/events.md, which leaves none out and has none too many."""
    catalog = _generated("catalog")
    for kind in EventKind:
        assert f"-- {message_id(kind)}\nSubject: {kind.value}\n" in catalog


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell: str) -> None:
    """DEB-2"""
    script = _generated(shell)
    assert [name for name in COMMANDS if name not in script] == []
    assert "--detach" in script or "-l detach" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def _generated(what: str) -> str:
    command = [sys.executable, "-I", str(ROOT / "packaging/generate.py"), what]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout
