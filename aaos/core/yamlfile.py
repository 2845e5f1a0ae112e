"""YAML without surprises, for files that operators write.

Invariant: the result holds only dict (with str keys), list, str, int, float, bool and None, is a tree, and is bounded
in bytes, depth and nodes. Plain scalars are typed by the YAML 1.2 core schema alone, so that `no`, `on`, `12:30:45`,
`0o7` and dates stay text. Aliases, tags, merge keys, duplicate keys and a second document are refused.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

import yaml

from aaos.core.errors import SettingsError
from aaos.core.text import quoted

MAX_BYTES = 65_536
MAX_DEPTH = 32
MAX_NODES = 10_000
MAX_DIGITS = 18

_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)


class Places:
    """Where each value of a document stands: filled by `load_yaml`, for errors that are found later."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, ...], _Mark] = {}

    def add(self, at: tuple[str, ...], mark: "_Mark | None") -> None:
        """Of the value with this path of keys and positions."""
        if mark is not None:
            self._marks[at] = mark

    def named(self, source: str, at: Sequence[str | int]) -> str:
        """`FILE, line L, column C` of the value, or of the nearest one around it that is known."""
        path = tuple(map(str, at))
        while path and path not in self._marks:
            path = path[:-1]
        mark = self._marks.get(path)
        return source if mark is None else f"{source}{_shown(mark)}"


def load_yaml(data: bytes, source: str, *, max_bytes: int = MAX_BYTES, places: Places | None = None) -> object:
    """The one document in `data`; an empty file is None. `source` names the file in errors; `places` is filled.

    Raises:
        SettingsError: with file, line and column.
    """
    if len(data) > max_bytes:
        raise SettingsError(f"{source}: {len(data)} bytes are over the limit of {max_bytes}", "make the file smaller")
    text = _decoded(data, source)
    try:
        return _Reader(source, places or Places()).read(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        raise _wrong(source, error.problem_mark, str(error.problem)) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML 6.0 lets an escape beyond U+10FFFF through
        raise SettingsError(f"{source}: not YAML: {quoted(str(error))}", "correct the file") from error


class _Mark(Protocol):
    """A place in the file, counted from 0; PyYAML has two classes of it."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class _Reader:
    """Builds the document from PyYAML's events; nothing of PyYAML's composer, resolver and constructors is used."""

    def __init__(self, source: str, places: Places) -> None:
        self._source = source
        self._places = places
        self._nodes = 0

    def read(self, events: Iterator[yaml.Event]) -> object:
        document: object = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1 or event.tags or event.version:
                    raise self._refused(event, "a second document or a directive is not accepted")
                document = self._node(next(events), events, ())
        return document

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], at: tuple[str, ...]) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(at) > MAX_DEPTH:
            raise self._refused(event, f"more than {MAX_NODES} values, or deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._refused(event, "anchors and aliases are not accepted")
        if (tag := getattr(event, "tag", None)) is not None:
            raise self._refused(event, f"the tag {quoted(tag)} is not accepted")
        self._places.add(at, event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, at)
        return self._mapping(events, at)

    def _sequence(self, events: Iterator[yaml.Event], at: tuple[str, ...]) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, (*at, str(len(items)))))
        return items

    def _mapping(self, events: Iterator[yaml.Event], at: tuple[str, ...]) -> dict[str, object]:
        items: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, (*at, "?"))
            if not isinstance(key, str) or (key == "<<" and not getattr(event, "style", None)):
                raise self._refused(event, f"{quoted(key)} is not accepted as a key; a key is text")
            if key in items:
                raise self._refused(event, f"the key {quoted(key)} is there twice")
            items[key] = self._node(next(events), events, (*at, key))
        return items

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        text = event.value
        if "\0" in text or not _is_encodable(text):
            raise self._refused(event, "NUL and lone surrogates are not accepted")
        if not event.implicit[0]:  # quoted, literal or folded
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text):
            return self._integer(event, text)
        if _FLOAT.fullmatch(text):
            return self._number(event, text)
        if _NOT_FINITE.fullmatch(text):
            raise self._refused(event, f"{text} is not accepted as a number; put quotes around text")
        return text

    def _integer(self, event: yaml.Event, text: str) -> int:
        digits = text.lstrip("+-")
        if len(digits) > MAX_DIGITS or (digits[0] == "0" and digits != "0"):
            raise self._refused(event, f"{quoted(text)} is too long or begins with 0; put quotes around text")
        return int(text)

    def _number(self, event: yaml.Event, text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise self._refused(event, f"{quoted(text)} is beyond the range of numbers")
        return number

    def _refused(self, event: yaml.Event, why: str) -> SettingsError:
        return _wrong(self._source, event.start_mark, why)


def _decoded(data: bytes, source: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{source}, line {line}: not UTF-8", "save the file as UTF-8") from error
    if text.startswith("\ufeff"):
        raise SettingsError(f"{source}, line 1: begins with a byte order mark", "save the file as UTF-8 without BOM")
    return text


def _is_encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _wrong(source: str, mark: _Mark | None, why: str) -> SettingsError:
    return SettingsError(f"{source}{_shown(mark) if mark is not None else ''}: {why}", "correct the file")


def _shown(mark: _Mark) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}"
