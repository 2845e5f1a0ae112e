"""The law of shapes and names: sizes, plates, forbidden names, and a test that mirrors each file."""

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.architecture.tree import Source, Tree

FILE_LINES = 400
FUNCTION_LINES = 50
LINES_OF = {"worker/wall/": 1200, "worker/cell/": 300, "worker/user/": 1000}
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common"}
ENDINGS_THAT_SAY_NOTHING = ("Util", "Utils", "Helper", "Manager")


def file_size(tree: Tree) -> Iterator[str]:
    """A file has at most 400 lines."""
    for source in tree.sources:
        if (count := source.text.count("\n")) > FILE_LINES:
            yield f"{source.path}: {count} lines, {FILE_LINES} are allowed"


def function_size(tree: Tree) -> Iterator[str]:
    """A function has at most 50 lines."""
    for source in tree.sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION_LINES:
                    yield f"{source.path}:{node.lineno}: {node.name} has {count} lines, {FUNCTION_LINES} are allowed"


def wall_size(tree: Tree) -> Iterator[str]:
    """The wall and what runs behind it can be read in one sitting."""
    for folder, allowed in LINES_OF.items():
        count = sum(source.text.count("\n") for source in tree.product if source.path.startswith(folder))
        if count > allowed:
            yield f"{folder}: {count} lines, {allowed} are allowed"


def plates(tree: Tree) -> Iterator[str]:
    """Every package of the product has an `__init__.py` with a docstring and nothing else; aaos has its version too."""
    for folder in sorted({str(PurePosixPath(source.path).parent) for source in tree.product}):
        path = f"{folder}/__init__.py"
        if path not in tree.texts:
            yield f"{path}: missing"
            continue
        module = Source(path, tree.texts[path]).tree
        if not ast.get_docstring(module):
            yield f"{path}: no docstring"
        extra = [ast.unparse(node) for node in module.body if not _is_docstring(node)]
        if path == "aaos/__init__.py":
            extra = [text for text in extra if not text.startswith("__version__ = ")]
        if extra:
            yield f"{path}: holds code: {extra[0][:60]}"


def names(tree: Tree) -> Iterator[str]:
    """No file, folder or class is named after nothing in particular."""
    for source in tree.sources:
        if NAMES_THAT_SAY_NOTHING & set(source.module.split(".")[-1].split("_")):
            yield f"{source.path}: the name says nothing"
        for node in ast.walk(source.tree) if source.is_product else ():
            if isinstance(node, ast.ClassDef) and node.name.endswith(ENDINGS_THAT_SAY_NOTHING):
                yield f"{source.path}:{node.lineno}: {node.name}: the name says nothing"


def mirrors(tree: Tree) -> Iterator[str]:
    """Each file that does something has its test file: test_<file>.py in its room of unit/, in kernel/ or provider/."""
    for source in tree.product:
        if not source.is_plate and _does_something(source) and not any(_mirrors(path, source) for path in tree.texts):
            yield f"{source.path}: no tests/unit/{source.room}/test_{_stem(source.path)}.py"


def tests_have_a_subject(tree: Tree) -> Iterator[str]:
    """Each file under tests/unit/<room>/ is named after a file of that room."""
    for path in tree.texts:
        parts = path.split("/")
        is_of_a_room = path.startswith("tests/unit/") and len(parts) > 3 and parts[-1].startswith("test_")
        if is_of_a_room and not any(_mirrors(path, source) for source in tree.product):
            yield f"{path}: no such file in {parts[2]}"


def _mirrors(path: str, source: Source) -> bool:
    test = PurePosixPath(path)
    stem = f"test_{_stem(source.path)}"
    if not (test.stem == stem or test.stem.startswith(f"{stem}_")) or test.suffix != ".py":
        return False
    return path.startswith((f"tests/unit/{source.room}/", "tests/kernel/", "tests/provider/"))


def _stem(path: str) -> str:
    return PurePosixPath(path).stem.strip("_")


def _does_something(source: Source) -> bool:
    """Whether a function has a body: files of Protocols, enums and plain values have nothing to test."""
    functions = (n for n in ast.walk(source.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(not (_is_docstring(node) or _is_ellipsis(node)) for function in functions for node in function.body)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
