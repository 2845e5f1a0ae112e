"""The law of imports: ranks, siblings, no cycles, third-party packages per room, nothing relative, lazy or by star."""

import re
import sys
import tomllib
from collections.abc import Iterator

from tests.architecture.tree import Import, Source, Tree

RANKS = {
    "core": 1,
    "egress": 1,
    "devprovider": 2,
    "llm": 2,
    "sandbox": 2,
    "selftest": 2,
    "store": 2,
    "broker": 3,
    "tools": 4,
    "agent": 5,
    "plan": 6,
    "daemon": 8,
    "cli": 8,
}
SEEN_OF_WORKER = {"worker.abi", "worker.cell.frames", "worker.transport", "worker.wall.syscalls"}
SEEN_BY_ROOM = {
    "daemon": {"worker.linger"},  # both sides wait alike
    "egress": {"worker.wall"},  # a program of its own, which builds the same wall around itself
    "store": {"worker.jsontext"},  # and both sides write the same JSON
    "tools": {"worker.jsontext"},
}
SEEN_BY_CLI = {"aaos.__version__", "aaos.cli", "aaos.core.errors", "aaos.core.rpc", "aaos.core.text"}
SEEN_BY_ONE_COMMAND = {"aaos.cli.devprovider": {"aaos.devprovider"}}
THIRD_PARTY = {
    "core": {"idna", "pydantic", "yaml"},
    "devprovider": {"pydantic", "yaml"},
    "egress": {"h11", "lxml", "webencodings"},
    "llm": {"certifi", "httpx", "pydantic"},
    "store": {"systemd"},
    "sandbox": {"landlock", "pyseccomp"},
    "tools": {"pydantic"},
    "plan": {"pydantic"},
    "daemon": {"prctl", "pydantic", "systemd"},
    "worker.wall": {"landlock", "prctl"},
}
DISTRIBUTIONS = {"python-prctl": "prctl", "systemd-python": "systemd", "PyYAML": "yaml"}


def ranks(tree: Tree) -> Iterator[str]:
    """A room imports only rooms of a lower rank, and itself."""
    for source, item in _internal(tree):
        if not source.module.startswith("aaos."):
            continue
        room, target = source.room, item.module.split(".")
        if room not in RANKS:
            yield f"{source.path}:{item.line}: {room!r} is not a room of the house"
        elif target[0] == "aaos" and len(target) > 1 and target[1] != room and RANKS.get(target[1], 0) >= RANKS[room]:
            yield f"{source.path}:{item.line}: {room} (rank {RANKS[room]}) imports {item.module}"


def worker_is_apart(tree: Tree) -> Iterator[str]:
    """worker/ imports nothing of aaos, worker.user nothing of the wall, and aaos sees three modules of worker."""
    for source, item in _internal(tree):
        if source.module.startswith("worker"):
            if item.module.split(".")[0] == "aaos":
                yield f"{source.path}:{item.line}: the worker imports {item.module}"
            elif source.module.startswith("worker.user") and item.module.startswith("worker.wall"):
                yield f"{source.path}:{item.line}: what runs behind the wall imports {item.module}"
        elif item.module.startswith("worker.") and not _is_seen(
            item.module, SEEN_OF_WORKER | SEEN_BY_ROOM.get(source.room, set())
        ):
            yield f"{source.path}:{item.line}: {item.module} is on the other side of the wall"


def cli_is_a_client(tree: Tree) -> Iterator[str]:
    """The command line knows the operator socket and nothing behind it; one command is no client but a server."""
    for source, item in _internal(tree):
        seen = SEEN_BY_CLI | SEEN_BY_ONE_COMMAND.get(source.module, set())
        if source.room == "cli" and not _is_seen(item.module, seen):
            yield f"{source.path}:{item.line}: the command line imports {item.module}"


def cycles(tree: Tree) -> Iterator[str]:
    """No module imports itself, however far the way round."""
    graph = {
        source.module: {
            target
            for item in source.imports
            if (target := _module_of(item.module, tree)) and target != source.module and not source.is_plate
        }
        for source in tree.product
    }
    done: set[str] = set()
    for start in sorted(graph):
        yield from _cycles_from(start, graph, [], done)


def _cycles_from(module: str, graph: dict[str, set[str]], path: list[str], done: set[str]) -> Iterator[str]:
    if module in path:
        yield " -> ".join([*path[path.index(module) :], module])
    elif module not in done:
        for target in sorted(graph.get(module, ())):
            yield from _cycles_from(target, graph, [*path, module], done)
        done.add(module)


def third_party(tree: Tree) -> Iterator[str]:
    """A room imports only the packages that are named for it."""
    for source in tree.product:
        room = "worker.wall" if source.module.startswith("worker.wall") else source.room
        for line, package in dict.fromkeys((item.line, item.module.split(".")[0]) for item in source.imports):
            if _is_foreign(package) and package not in THIRD_PARTY.get(room, set()):
                yield f"{source.path}:{line}: {room} may not import {package}"


def dependencies(tree: Tree) -> Iterator[str]:
    """pyproject.toml declares what the product imports, no more and no less, and requirements pin each exactly."""
    project = tomllib.loads(tree.texts.get("pyproject.toml", "[project]"))["project"]
    declared = [re.split(r"[<>=!~ ]", text)[0] for text in project.get("dependencies", ())]
    imported = {
        package
        for source in tree.product
        for item in source.imports
        if _is_foreign(package := item.module.split(".")[0])
    }
    names = {DISTRIBUTIONS.get(name, name): name for name in declared}
    for package in sorted(imported - set(names)):
        yield f"pyproject.toml: {package} is imported and not declared"
    for package in sorted(set(names) - imported):
        yield f"pyproject.toml: {names[package]} is declared and never imported"
    pinned = tree.texts.get("requirements.txt", "")
    for name in declared:
        if not re.search(rf"^{re.escape(name)}==\S+$", pinned, re.MULTILINE):
            yield f"requirements.txt: {name} is not pinned"


def statements(tree: Tree) -> Iterator[str]:
    """Imports are absolute, at module level and by name; only the command line loads its command modules late."""
    for source in tree.sources:
        for item in source.imports:
            where = f"{source.path}:{item.line}"
            if item.is_relative:
                yield f"{where}: a relative import"
            if item.is_star:
                yield f"{where}: a star import"
            is_command = source.room == "cli" and item.module.startswith("aaos.cli")
            if item.is_nested and source.is_product and not is_command:
                yield f"{where}: {item.module} is imported late"


def _internal(tree: Tree) -> Iterator[tuple[Source, Import]]:
    for source in tree.product:
        for item in source.imports:
            if item.module.split(".")[0] in ("aaos", "worker"):
                yield source, item


def _is_seen(module: str, seen: set[str]) -> bool:
    """Whether `module` is one of `seen`, a name in it, or a package on the way to it."""
    return any(f"{module}.".startswith(f"{name}.") or name.startswith(f"{module}.") for name in seen)


def _module_of(name: str, tree: Tree) -> str | None:
    """The file that `name` comes from: itself, or the module that holds it; plates hold no code and are left out."""
    if name in tree.modules:
        return name if f"{name.replace('.', '/')}/__init__.py" not in tree.texts else None
    parent = name.rpartition(".")[0]
    return parent if parent in tree.modules and f"{parent.replace('.', '/')}/__init__.py" not in tree.texts else None


def _is_foreign(package: str) -> bool:
    return package not in sys.stdlib_module_names and package not in ("", "aaos", "worker", "tests", "qa")
