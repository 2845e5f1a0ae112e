"""The document of a report over records: a table, its sums, and how it was found.

Invariant: every number comes from the records that were read; when not all was read, the first lines say so.
"""

from collections.abc import Sequence

from aaos.llm.rules_file import FileText
from aaos.llm.rules_markdown import amount, bullets, code, document, inert, number, one_line, size, table
from aaos.llm.rules_records import Records, Row, field_key
from aaos.llm.rules_select import MAX_ROWS, Order, Query, Selection
from aaos.llm.rules_values import BYTES_IN, Unit

_NAME_FIELDS = (
    "package", "name", "login", "user", "username", "title", "id", "key", "group", "host", "path", "file", "filename",
    "product", "item", "label",
)  # fmt: skip
_EXTRA_FIELDS = (
    "version", "section", "category", "type", "date", "uid", "home", "shell", "description", "summary", "title",
    "comment", "gecos", "message", "msg",
)  # fmt: skip
_CELL = 60
_MAX_EXTRAS = 3
_ORDER_WORDS = {
    Order.LARGEST: "largest",
    Order.SMALLEST: "smallest",
    Order.NEWEST: "newest",
    Order.OLDEST: "oldest",
    Order.TOP: "top",
    Order.FIRST: "first",
    Order.LAST: "last",
    Order.ALL: "",
}


def report(file: FileText, records: Records, query: Query, selection: Selection) -> str:
    """The whole document, in Markdown."""
    return document(
        f"# {_title(query, len(selection.rows))}",
        _lead(file, selection),
        _rows(records, selection),
        _sums(selection),
        "## How this was found",
        bullets(_method(file, records, query, selection)),
    )


def _title(query: Query, count: int) -> str:
    noun = inert(" ".join((*query.words, query.noun)), 120)
    order = _ORDER_WORDS[query.order]
    if query.order is Order.ALL:
        return f"All {number(count)} {noun}"
    return f"The {number(count)} {order} {noun}" if count != 1 else f"The {order} of the {noun}"


def _lead(file: FileText, selection: Selection) -> str:
    if not selection.rows:
        return f"No record of {code(file.path)} is among these.{file.caveat}"
    return f"From {code(file.path)}.{file.caveat}"


# --- the table ----------------------------------------------------------------------------------------------------


def _rows(records: Records, selection: Selection) -> str:
    if not selection.rows:
        return ""
    name = name_field(records)
    extras = _extras(records, selection, name)
    header = ["#", _head(name)]
    right = {0}
    if selection.field and selection.field != name:
        right.add(len(header))
        header.append(_head(selection.field) + _unit_suffix(selection))
        if _is_size(selection):
            right.add(len(header))
            header.append("that is")
    header += [_head(field) for field in extras]
    rows = [_cells(at, row, selection, [name, *extras]) for at, row in enumerate(selection.rows, start=1)]
    return table(header, rows, right=frozenset(right))


def _cells(at: int, row: Row, selection: Selection, fields: Sequence[str]) -> list[str]:
    name, *extras = fields
    cells = [str(at), _shown(row.get(name, ""))]
    if selection.field and selection.field != name:
        cells.append(_value(selection, row))
        if _is_size(selection):
            cells.append(size(selection.value(row) * _scale(selection)))
    return cells + [_shown(row.get(field, "")) for field in extras]


def _value(selection: Selection, row: Row) -> str:
    text = row.get(selection.field, "")
    if selection.ordering and selection.ordering.unit is Unit.DATE:
        return inert(text, 40)
    is_plain = text.strip().lstrip("+-").replace(".", "", 1).isdigit()
    return number(selection.value(row)) if is_plain and _adds_up(selection) else inert(text, 40)


def _shown(value: str) -> str:
    return inert(value.split("\n", 1)[0], _CELL)


def _head(field: str) -> str:
    return inert(field, 40)


def name_field(records: Records) -> str:
    """The field that tells records apart for a person."""
    by_key = {field_key(field): field for field in reversed(records.fields)}
    known = next((by_key[key] for key in _NAME_FIELDS if key in by_key), None)
    return known or next(iter(records.fields), "")


def _extras(records: Records, selection: Selection, name: str) -> list[str]:
    """Up to three more fields that say something: known ones first, then in the order of the file."""
    known = {key: at for at, key in enumerate(_EXTRA_FIELDS)}
    used = {name, selection.field, *(kept.field for kept in selection.filters)}
    order = sorted(
        (field for field in records.fields if field not in used),
        key=lambda field: known.get(field_key(field), len(known)),
    )
    good: list[str] = []
    for field in order:
        values = [row.get(field, "") for row in selection.rows]
        filled = sum(1 for value in values if value)
        is_short = sum(len(value.split("\n", 1)[0]) for value in values) <= 2 * _CELL * max(filled, 1)
        if filled >= 0.5 * len(values) and is_short and "password" not in field.casefold():
            good.append(field)
    return good[:_MAX_EXTRAS]


# --- sums and method ----------------------------------------------------------------------------------------------


def _sums(selection: Selection) -> str:
    """What the chosen rows add up to, for fields that can be added."""
    how = selection.ordering
    if how is None or not selection.rows or how.unit in (Unit.DATE, Unit.PERCENT) or not _adds_up(selection):
        return ""
    part = sum(map(selection.value, selection.rows))
    whole = sum(map(selection.value, selection.considered)) or 1.0
    scale = _scale(selection)
    told = (lambda value: size(value * scale)) if _is_size(selection) else number
    percent = f"{100 * part / whole:.0f} %" if 100 * part >= whole else "less than 1 %"
    share = f", {percent} of the {told(whole)} of all {number(len(selection.considered))}" if whole > part >= 0 else ""
    unit = "" if _is_size(selection) else _unit_suffix(selection)
    return f"Together: **{told(part)}**{unit}{share}."


def _adds_up(selection: Selection) -> bool:
    """Sizes do, and what its name calls an amount; a sum of ids or years would be nonsense."""
    key = field_key(selection.field)
    return _is_size(selection) or any(
        word in key for word in ("count", "total", "amount", "price", "cost", "population")
    )


def _method(file: FileText, records: Records, query: Query, selection: Selection) -> list[str]:
    read = amount(len(records.rows), "record")
    steps = [f"Source: {code(file.path)}, {file.measure}, read as {records.format.value}: {read}."]
    if records.malformed:
        steps.append(
            f"{amount(records.malformed, 'line or record', 'lines or records')} could not be read and were left out."
        )
    for kept in selection.filters:
        field, word = code(kept.field), code("yes" if field_key(kept.field) == field_key(kept.word) else kept.word)
        steps.append(f"Filter: kept {kept.after:,} of {kept.before:,} records, those whose {field} says {word}.")
    steps.append(_order_step(query, selection))
    if selection.without_value:
        missing = amount(selection.without_value, "record")
        steps.append(f"{missing} without a readable {code(selection.field)} are not in the order and left out.")
    if len(selection.rows) == MAX_ROWS:
        steps.append(f"A report lists at most {MAX_ROWS:,} records.")
    return steps


def _order_step(query: Query, selection: Selection) -> str:
    if query.order is Order.ALL and not selection.field:
        return "Order: as in the file."
    if not selection.field or selection.ordering is None:
        which = "last" if query.order is Order.LAST else "first"
        reason = "no field was named to order by; " if query.order is Order.TOP else ""
        return f"Order: as in the file ({reason}the {which} come{'' if query.count != 1 else 's'} from there)."
    direction = "descending" if selection.is_descending else "ascending"
    unit = one_line(selection.ordering.unit.value, 40)
    given = "" if query.field else "; the goal named no field, this one fits"
    return f"Order: by {code(selection.field)} ({unit}), {direction}; equal ones as in the file{given}."


def _is_size(selection: Selection) -> bool:
    return selection.ordering is not None and selection.ordering.unit in BYTES_IN


def _scale(selection: Selection) -> int:
    return BYTES_IN.get(selection.ordering.unit, 1) if selection.ordering else 1


def _unit_suffix(selection: Selection) -> str:
    how = selection.ordering
    return "" if how is None or how.unit in (Unit.UNKNOWN, Unit.DATE) else f" ({how.unit.value})"
