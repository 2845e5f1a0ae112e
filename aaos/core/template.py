"""Text with placeholders `{name}`, `{inputs.*}` and `{inputs.ID}`; `{{` and `}}` stand for braces.

Invariant: substitution is a single pass over the template; what is put in is never looked at again, so that text from
a model or a file can neither name a placeholder nor reach an attribute.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aaos.core.errors import InputError
from aaos.core.text import quoted

ALL_INPUTS = "inputs.*"

_PIECE = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]{0,63}|inputs\.(?:\*|[a-z0-9-]{1,64}))\}|[{}]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place to fill: the name of a parameter, `inputs.*` or `inputs.ID`."""

    name: str


Piece = str | Placeholder


@lru_cache(maxsize=1024)
def parse_template(text: str) -> tuple[Piece, ...]:
    """The literal texts and placeholders of `text`, in order. Raises InputError for a brace that is neither."""
    pieces: list[Piece] = []
    end = 0
    for match in _PIECE.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        if match[1]:
            pieces.append(Placeholder(match[1]))
        elif match[0] in ("{", "}"):
            line = text.count("\n", 0, match.start()) + 1
            found = text[match.start() : match.start() + 40]
            remedy = "write {name}, or {{ for a brace itself"
            raise InputError(f"line {line}: {quoted(found)} is not a placeholder", remedy)
        else:
            pieces.append(match[0][0])
    pieces.append(text[end:])
    return tuple(piece for piece in pieces if piece)


def placeholders(text: str) -> tuple[str, ...]:
    """The names that `text` refers to, each once, in order. Raises InputError."""
    return tuple(dict.fromkeys(piece.name for piece in parse_template(text) if isinstance(piece, Placeholder)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each placeholder replaced by its value. Raises InputError for a placeholder without value."""
    return "".join(piece if isinstance(piece, str) else _value(piece, values) for piece in parse_template(text))


def fill_lines(text: str, values: Mapping[str, str], *, absent: Collection[str]) -> str:
    """As `fill`, without the lines whose placeholders are all in `absent`: a label has no sense without its value."""
    lines = text.splitlines(keepends=True)
    return "".join(fill(line, values) for line in lines if not _is_absent(placeholders(line), absent))


def _is_absent(names: Sequence[str], absent: Collection[str]) -> bool:
    return bool(names) and all(name in absent for name in names)


def _value(piece: Placeholder, values: Mapping[str, str]) -> str:
    try:
        return values[piece.name]
    except KeyError:
        raise InputError(f"nothing to put in place of {{{piece.name}}}", f"give {piece.name} a value") from None
