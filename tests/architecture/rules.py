"""All rules by name: each takes a tree and says, line by line, where it is broken."""

from collections.abc import Callable, Iterator

from tests.architecture import code, imports, shape
from tests.architecture.tree import Tree

Rule = Callable[[Tree], Iterator[str]]

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        imports.ranks,
        imports.worker_is_apart,
        imports.cli_is_a_client,
        imports.cycles,
        imports.third_party,
        imports.dependencies,
        imports.statements,
        shape.file_size,
        shape.function_size,
        shape.wall_size,
        shape.plates,
        shape.names,
        shape.mirrors,
        shape.tests_have_a_subject,
        code.ctypes_in_one_file,
        code.environment_in_one_file,
        code.tasks_in_groups,
        code.no_imports_by_name,
        code.any_has_a_reason,
        code.exceptions_have_a_reason,
        code.finished,
        code.no_machine,
    )
}
