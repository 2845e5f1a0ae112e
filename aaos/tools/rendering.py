"""A wrapper and the values of one call become the exact arguments, standard input and directory of a cell.

Invariant: one template becomes one argument (a list: one for each of its texts) and is never looked at again; a value
can begin an argument with '-' only behind an argument that ends the options. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aaos.core.errors import InputError
from aaos.core.template import Placeholder, parse_template
from aaos.core.text import quoted
from aaos.tools.wrapper import END_OF_OPTIONS, Argument, Wrapper
from worker.abi import Json

MAX_ARGUMENT_BYTES = 100_000  # below MAX_ARG_STRLEN, linux/binfmts.h
MAX_ARGUMENTS_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a program is started with; `argv` begins with its name."""

    argv: tuple[str, ...]
    stdin: bytes
    cwd: str


def render(wrapper: Wrapper, args: Mapping[str, Json]) -> Rendered:
    """`args` are the typed values of one call. Raises InputError for a value that would be read as an option."""
    argv = [wrapper.program.rpartition("/")[2]]
    for text, may_begin_with_dash in _rendered(wrapper, args):
        if text.startswith("-") and not may_begin_with_dash:
            message = f"{wrapper.name}: {quoted(text)} begins with '-' and would be read as an option"
            raise InputError(message, "give a value that does not begin with '-'")
        argv.append(text)
    _check_sizes(wrapper, argv)
    return Rendered(tuple(argv), _filled(wrapper.stdin, args).encode(), _filled(wrapper.cwd, args))


def _rendered(wrapper: Wrapper, args: Mapping[str, Json]) -> Iterator[tuple[str, bool]]:
    """Each argument, and whether it may begin with '-'."""
    has_ended = False
    for argument in wrapper.arguments:
        if not _is_given(argument, args):
            continue
        for template in argument.templates:
            pieces = parse_template(template)
            is_own = not pieces or isinstance(pieces[0], str)
            for text in _texts(template, args):
                yield text, is_own or has_ended
            has_ended = has_ended or template in END_OF_OPTIONS


def _is_given(argument: Argument, args: Mapping[str, Json]) -> bool:
    if argument.if_given is None:
        return True
    value = args[argument.if_given]
    return value is not None and value is not False and value != [] and value != ()


def _texts(template: str, args: Mapping[str, Json]) -> Iterator[str]:
    pieces = parse_template(template)
    if len(pieces) == 1 and isinstance(pieces[0], Placeholder):
        value = args[pieces[0].name]
        if isinstance(value, list | tuple):
            yield from value
            return
    yield _filled(template, args)


def _filled(template: str, args: Mapping[str, Json]) -> str:
    pieces = parse_template(template)
    return "".join(piece if isinstance(piece, str) else _text(args[piece.name]) for piece in pieces)


def _text(value: Json) -> str:
    return "" if value is None else str(value)


def _check_sizes(wrapper: Wrapper, argv: list[str]) -> None:
    sizes = [len(argument.encode()) for argument in argv]
    if max(sizes) > MAX_ARGUMENT_BYTES or sum(sizes) > MAX_ARGUMENTS_BYTES:
        message = f"{wrapper.name}: an argument of {max(sizes)} bytes, {sum(sizes)} in all, is too long"
        raise InputError(message, f"at most {MAX_ARGUMENT_BYTES} each and {MAX_ARGUMENTS_BYTES} in all are possible")
