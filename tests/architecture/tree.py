"""The source tree as values that rules can look at: parsed modules, their imports, and every text file.

Invariant: reading a tree runs nothing of it, so a rule can be shown deliberate breaches in a temporary directory.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PRODUCT = ("aaos", "worker")
CODE = (*PRODUCT, "tests", "qa")
SKIPPED = {".git", ".venv", ".cache", ".hypothesis", ".mypy_cache", ".ruff_cache", "__pycache__", "build", "dist"}
MAX_TEXT_BYTES = 1_000_000


@dataclass(frozen=True)
class Import:
    """One imported module; `is_star` and `is_relative` as written, `is_nested` when it is not at module level."""

    module: str
    line: int
    is_star: bool
    is_relative: bool
    is_nested: bool


@dataclass(frozen=True)
class Source:
    """One Python file: `path` is relative to the tree, `module` its dotted name (a plate has its package's)."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines; line n is at n - 1."""
        return self.text.split("\n")

    @property
    def module(self) -> str:
        """The dotted name under which it is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_plate(self) -> bool:
        """Whether it is the `__init__.py` of a package."""
        return self.path.endswith("/__init__.py")

    @property
    def is_product(self) -> bool:
        """Whether it ships, as opposed to tests and benchmarks."""
        return self.path.split("/")[0] in PRODUCT

    @property
    def room(self) -> str:
        """`core` for aaos/core/x.py, `aaos` and `worker` for what lies on top."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "aaos" and len(parts) > 1 else parts[0]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import statement, wherever it stands; `from a import b` yields both `a` and `a.b`."""
        top = set(map(id, self.tree.body))
        return tuple(
            Import(module, node.lineno, is_star, is_relative, id(node) not in top)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for module, is_star, is_relative in _imported(node)
        )


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, bool, bool]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, False, False
    else:
        base = node.module or ""
        yield base, any(alias.name == "*" for alias in node.names), node.level > 0
        for alias in node.names:
            yield f"{base}.{alias.name}", False, node.level > 0


@dataclass(frozen=True)
class Tree:
    """Everything below `root` that is text, by relative path."""

    root: Path
    texts: dict[str, str]

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The Python files of the product, the tests and the benchmarks."""
        return tuple(
            Source(path, text)
            for path, text in self.texts.items()
            if path.endswith(".py") and path.split("/")[0] in CODE
        )

    @cached_property
    def product(self) -> tuple[Source, ...]:
        """The Python files that ship."""
        return tuple(source for source in self.sources if source.is_product)

    @cached_property
    def modules(self) -> frozenset[str]:
        """Dotted names of the files that ship."""
        return frozenset(source.module for source in self.product)


def read_tree(root: Path) -> Tree:
    """Every text file below `root` without caches and version control."""
    return Tree(root, {str(path.relative_to(root)): text for path in sorted(_files(root)) if (text := _text(path))})


def _files(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name in SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file() and path.stat().st_size <= MAX_TEXT_BYTES:
            yield path


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") or "\n"
    except UnicodeDecodeError:
        return None
