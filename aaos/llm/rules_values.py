"""Values of records as something to order by: numbers, sizes, dates; and the unit that a field is in.

Invariant: a text that is not wholly a number, size or date is none (there are no partial readings, NaN or infinity).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from aaos.llm.rules_records import Format, field_key

Reader = Callable[[str], float | None]


class Unit(StrEnum):
    """What a number counts, as far as it is known."""

    BYTES = "bytes"
    KIB = "KiB"
    MIB = "MiB"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    PERCENT = "percent"
    DATE = "date"
    UNKNOWN = "as in the file"


BYTES_IN: dict[Unit, int] = {Unit.BYTES: 1, Unit.KIB: 1024, Unit.MIB: 1024 * 1024}

# Source: deb-control(5) for Installed-Size ("the estimated total in KiB"), Debian repository format for Size.
_DEB822_UNITS = {"installedsize": Unit.KIB, "size": Unit.BYTES}
_UNIT_SUFFIXES = (
    ("bytes", Unit.BYTES),
    ("byte", Unit.BYTES),
    ("kib", Unit.KIB),
    ("mib", Unit.MIB),
    ("seconds", Unit.SECONDS),
    ("secs", Unit.SECONDS),
    ("ms", Unit.MILLISECONDS),
    ("percent", Unit.PERCENT),
    ("pct", Unit.PERCENT),
)

_NUMBER = re.compile(
    r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}|\d{1,3}(?:,\d{3}){1,9}(?:\.\d{0,30})?)(?:[eE][+-]?\d{1,2})?"
)
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s?([KMGTP]i?B?|kB|B)")
_POWERS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_MONEY = re.compile(r"[$€£¥]\s?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")


@dataclass(frozen=True, slots=True)
class Ordering:
    """How a field is ordered: how its values are read, and in which unit."""

    read: Reader
    unit: Unit


def ordering(name: str, values: Sequence[str], found: Format) -> Ordering | None:
    """How to order by a field with these non-empty values, or None unless nine in ten of them can be read."""
    if not values:
        return None
    for read, unit in ((to_number, unit_of(name, found)), (to_size, Unit.BYTES), (to_date, Unit.DATE)):
        if sum(read(value) is not None for value in values) >= 0.9 * len(values):
            return Ordering(read, unit)
    return None


def unit_of(name: str, found: Format) -> Unit:
    """The unit of a numeric field: from the format's manual, or from the field's own name."""
    key = field_key(name)
    if found is Format.DEB822 and key in _DEB822_UNITS:
        return _DEB822_UNITS[key]
    tail = re.split(r"[\W_]+", name.casefold().rstrip(")] "))[-1]
    return next((unit for suffix, unit in _UNIT_SUFFIXES if tail == suffix), Unit.UNKNOWN)


def to_number(text: str) -> float | None:
    """A number: `12`, `-3.5`, `1,234.5`, `2e6`, `$12.50`, `45%`."""
    bare = _MONEY.sub("", text.strip(), count=1).removesuffix("%").strip()
    if len(bare) > 64 or not _NUMBER.fullmatch(bare):
        return None
    return float(bare.replace(",", ""))


def to_size(text: str) -> float | None:
    """A size with its unit, in bytes: `12K`, `3.4 MiB`, `7 GB`. Powers of 1024, as ls(1) and du(1) print them."""
    match = _SIZE.fullmatch(text.strip()[:64])
    if not match:
        return None
    return float(match[1]) * 1024.0 ** _POWERS[match[2][0].upper()]


def to_date(text: str) -> float | None:
    """An ISO 8601 date or time as seconds since 1970; without a zone it is taken as UTC."""
    bare = text.strip()[:40]
    if not _DATE.fullmatch(bare):
        return None
    try:
        moment = datetime.fromisoformat(bare)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
