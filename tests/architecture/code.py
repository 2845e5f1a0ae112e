"""The law of code: what stands in one file only, tasks in groups, reasons beside exceptions, nothing unfinished."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import Tree

CTYPES_FILE = "worker/wall/syscalls.py"
CTYPES_BEHIND_THE_WALL = "aaos/selftest/program.py"  # an attacker's program: text that runs in workers
ENVIRONMENT_FILES = ("aaos/core/config.py", CTYPES_BEHIND_THE_WALL)  # the program looks for one
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
TEMPLATE_FILE = "worker/user/entry.py"
LOOSE_TASKS = {"create_task", "ensure_future", "gather", "wait_for", "run_coroutine_threadsafe"}
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b")  # spelt so that it does not find itself
OF_A_MACHINE = re.compile(r"(?<![\w.~-])/(?:root|work)/(?=[\w.])|/\.pyenv/")
WITHOUT_REASON = re.compile(
    r"#\s*(?:type:\s*ignore|noqa)(?!(?:\[[\w-]+(?:,\s*[\w-]+)*\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)\s+[#-]\s*\S)"
)


def ctypes_in_one_file(tree: Tree) -> Iterator[str]:
    """ctypes stands in worker/wall/syscalls.py only, and in the program of the self-test, which nothing imports."""
    for source in tree.product:
        for item in source.imports:
            if item.module.split(".")[0] in ("ctypes", "_ctypes", "cffi"):
                if source.path not in (CTYPES_FILE, CTYPES_BEHIND_THE_WALL):
                    yield f"{source.path}:{item.line}: {item.module} outside {CTYPES_FILE}"
            elif item.module == CTYPES_BEHIND_THE_WALL.removesuffix(".py").replace("/", "."):
                yield f"{source.path}:{item.line}: {item.module} is a program for workers"


def environment_in_one_file(tree: Tree) -> Iterator[str]:
    """The environment is read in aaos/core/config.py only; the program of the self-test looks for what must not be."""
    for source in tree.product:
        for node in ast.walk(source.tree):
            name = node.attr if isinstance(node, ast.Attribute) else node.name if isinstance(node, ast.alias) else ""
            if name in ENVIRONMENT and source.path not in ENVIRONMENT_FILES:
                yield f"{source.path}:{getattr(node, 'lineno', 0)}: os.{name} outside {ENVIRONMENT_FILES[0]}"


def tasks_in_groups(tree: Tree) -> Iterator[str]:
    """A task has a TaskGroup for its owner, a deadline comes from asyncio.timeout."""
    for source in tree.product:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOSE_TASKS:
                owner = ast.unparse(node.func.value)
                if owner == "asyncio" or "loop" in owner.lower():
                    yield f"{source.path}:{node.lineno}: {owner}.{node.func.attr} has no TaskGroup"


def no_imports_by_name(tree: Tree) -> Iterator[str]:
    """No module is imported by name; the template of the workers loads there what programs may use."""
    for source in tree.product:
        if source.path == TEMPLATE_FILE:
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
                yield f"{source.path}:{node.lineno}: an import that no reader can follow"


def any_has_a_reason(tree: Tree) -> Iterator[str]:
    """Any and cast have a reason beside them."""
    for source in tree.product:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name) and node.id in ("Any", "cast") and "#" not in source.lines[node.lineno - 1]:
                yield f"{source.path}:{node.lineno}: {node.id} without a reason beside it"


def exceptions_have_a_reason(tree: Tree) -> Iterator[str]:
    """What silences a checker names the rule and, after a second #, the reason."""
    for source in tree.product:
        for number, line in enumerate(source.lines, 1):
            if WITHOUT_REASON.search(line):
                yield f"{source.path}:{number}: silences a checker without a rule and a reason"


def finished(tree: Tree) -> Iterator[str]:
    """Nothing is marked as unfinished."""
    for path, text in tree.texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: a marker of unfinished work"


def no_machine(tree: Tree) -> Iterator[str]:
    """No file names a path of the machine it was written on."""
    for path, text in tree.texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            if OF_A_MACHINE.search(line):
                yield f"{path}:{number}: a path of one machine"
