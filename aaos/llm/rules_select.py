"""Which records a report is about: the filter, the field to order by, the choice. Every guess is told in the result.

Invariant: a field or a word that the file does not have is an error that lists what it has; nothing is silently left
out, and ties keep the order of the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from aaos.core.errors import ProviderError
from aaos.core.text import nearest, quoted
from aaos.llm.rules_markdown import listed
from aaos.llm.rules_records import Records, Row, field_key
from aaos.llm.rules_values import Ordering, Unit, ordering

MAX_ROWS = 1_000
DEFAULT_ROWS = 10
_STATUS_FIELDS = ("status", "state")
_TRUE = frozenset({"yes", "true", "1", "y", "on"})


class Order(StrEnum):
    """The orders a report can be in; `top` is `largest` where a field is named or plain, else the file's own."""

    LARGEST = "largest"
    SMALLEST = "smallest"
    NEWEST = "newest"
    OLDEST = "oldest"
    TOP = "top"
    FIRST = "first"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Query:
    """What to report. `count` 0 means the order's default, `field` "" means find it, `words` filter."""

    order: Order
    count: int
    field: str
    noun: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """One filter as it was applied: `field` has `word` among its words."""

    word: str
    field: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen rows and how they were chosen. `field` is "" when the order is the file's own."""

    rows: tuple[Row, ...]
    field: str
    ordering: Ordering | None
    filters: tuple[Kept, ...]
    considered: tuple[Row, ...]
    without_value: int
    is_descending: bool

    def value(self, row: Row) -> float:
        """The number that a row is ordered by; 0.0 when there is none."""
        return (self.ordering.read(row.get(self.field, "")) if self.ordering else None) or 0.0


def select(records: Records, query: Query) -> Selection:
    """The records that the query asks for. Raises ProviderError with the fields the file has."""
    rows: Sequence[Row] = records.rows
    filters: list[Kept] = []
    for word in query.words:
        field = _filter_field(records, rows, word)
        after = [row for row in rows if _has_word(row, field, word)]
        filters.append(Kept(word, field, len(rows), len(after)))
        rows = after
    field, how = _order_field(records, rows, query)
    descending = query.order in (Order.LARGEST, Order.NEWEST, Order.TOP)
    ordered, without = _ordered(rows, field, how, descending=descending)
    count = _count(query, len(ordered))
    chosen = ordered[-count:] if query.order is Order.LAST and count else ordered[:count]
    return Selection(tuple(chosen), field, how, tuple(filters), tuple(rows), without, descending)


def _count(query: Query, available: int) -> int:
    if query.count:
        return min(query.count, MAX_ROWS, available)
    return min(MAX_ROWS if query.order is Order.ALL else DEFAULT_ROWS, available)


def _ordered(rows: Sequence[Row], field: str, how: Ordering | None, *, descending: bool) -> tuple[Sequence[Row], int]:
    if how is None:
        return rows, 0
    valued = [(value, row) for row in rows if (value := how.read(row.get(field, ""))) is not None]
    valued.sort(key=lambda pair: -pair[0] if descending else pair[0])
    return [row for _, row in valued], len(rows) - len(valued)


# --- the filter ---------------------------------------------------------------------------------------------------


def _filter_field(records: Records, rows: Sequence[Row], word: str) -> str:
    """The field in which `word` is said: a status first, then the field with the fewest different values."""
    candidates: list[tuple[bool, int, int, str]] = []
    for at, name in enumerate(records.fields):
        if any(_has_word(row, name, word) for row in rows):
            values = {row.get(name, "")[:80] for row in rows}
            candidates.append((field_key(name) not in _STATUS_FIELDS, len(values), at, name))
    if not candidates:
        fields = _some(records.fields)
        raise ProviderError(
            f"no field of the {len(rows):,} records says {quoted(word)}; the fields are {fields}",
            f"leave out {quoted(word)}, or name a value that a field has",
        )
    return min(candidates)[3]


def _has_word(row: Row, field: str, word: str) -> bool:
    value = row.get(field, "")
    if not value or len(value) > 80 or "\n" in value:
        return False
    folded = word.casefold()
    if field_key(field) == field_key(word):
        return value.strip().casefold() in _TRUE
    return folded in value.casefold().replace(",", " ").replace("/", " ").split()


# --- the field to order by ----------------------------------------------------------------------------------------


def _order_field(records: Records, rows: Sequence[Row], query: Query) -> tuple[str, Ordering | None]:
    wants_date = query.order in (Order.NEWEST, Order.OLDEST)
    if query.field:
        return _named_field(records, rows, query)
    match query.order:
        case Order.FIRST | Order.LAST | Order.ALL:
            return "", None
        case Order.TOP | Order.LARGEST | Order.SMALLEST | Order.NEWEST | Order.OLDEST:
            known = _orderable(records, rows)
            fitting = {name: how for name, how in known.items() if (how.unit is Unit.DATE) == wants_date}
            return _best_field(fitting, query)
        case _:
            assert_never(query.order)


def _named_field(records: Records, rows: Sequence[Row], query: Query) -> tuple[str, Ordering]:
    by_key = {field_key(name): name for name in records.fields}
    wanted = field_key(query.field)
    name = by_key.get(wanted) or by_key.get(wanted.removesuffix("s")) or _by_part(by_key, wanted)
    if name is None:
        near = nearest(query.field, records.fields)
        remedy = f"did you mean by {near}?" if near else "name one of these fields"
        raise ProviderError(f"no field {quoted(query.field)}; the fields are {_some(records.fields)}", remedy)
    how = _ordering_of(records, rows, name)
    if how is None:
        numeric = tuple(_orderable(records, rows))
        remedy = f"order by {listed(numeric)}" if numeric else "this file has no field of numbers, sizes or dates"
        raise ProviderError(f"field {name} does not hold numbers, sizes or dates, so it gives no order", remedy)
    return name, how


def _by_part(by_key: dict[str, str], wanted: str) -> str | None:
    """The only field whose name holds the wanted word: `size` finds `Installed-Size`."""
    found = [name for key, name in by_key.items() if len(wanted) >= 3 and wanted in key]
    return found[0] if len(found) == 1 else None


def _best_field(fitting: dict[str, Ordering], query: Query) -> tuple[str, Ordering | None]:
    """A field of sizes first, then one that counts or scores, then the only one there is."""
    for names in (_SIZE_NAMES, _SCORE_NAMES):
        for wanted in names:
            for name, how in fitting.items():
                if field_key(name) == wanted:
                    return name, how
    sized = [name for name, how in fitting.items() if how.unit in (Unit.BYTES, Unit.KIB, Unit.MIB)]
    only = sized if len(sized) == 1 else list(fitting)
    if len(only) == 1:
        return only[0], fitting[only[0]]
    if query.order is Order.TOP:
        return "", None
    if not fitting:
        kind = "dates" if query.order in (Order.NEWEST, Order.OLDEST) else "numbers or sizes"
        raise ProviderError(
            f"no field of this file holds {kind}, so none is the {query.order}", "ask for the first N instead"
        )
    raise ProviderError(
        f"which field makes a record the {query.order}? It could be {listed(tuple(fitting))}",
        f"add the field: … the {query.order} {query.noun} by {next(iter(fitting))}",
    )


_SIZE_NAMES = ("installedsize", "size", "sizebytes", "bytes", "length", "filesize", "disk", "memory", "rss")
_SCORE_NAMES = (
    "score",
    "count",
    "total",
    "amount",
    "value",
    "points",
    "population",
    "price",
    "date",
    "time",
    "timestamp",
)


def _orderable(records: Records, rows: Sequence[Row]) -> dict[str, Ordering]:
    """The fields that most rows have and that give an order."""
    found: dict[str, Ordering] = {}
    for name in records.fields:
        how = _ordering_of(records, rows, name)
        if how is not None and sum(1 for row in rows if row.get(name)) >= 0.5 * len(rows):
            found[name] = how
    return found


def _ordering_of(records: Records, rows: Sequence[Row], name: str) -> Ordering | None:
    return ordering(name, [value for row in rows if (value := row.get(name, ""))], records.format)


def _some(names: Sequence[str]) -> str:
    shown = [quoted(name, max_chars=40) for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
