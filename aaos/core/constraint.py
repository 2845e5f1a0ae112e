"""Limits on a capability: how they are written, which of two is narrower, and what both together allow.

Invariant: `None` means unconstrained and is within nothing but `None`; `a.meet(b)` is within `a` and within `b`.
Every number is finite, positive and bounded, so that no limit can be spelt that limits nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from aaos.core.errors import DeniedError, InputError
from aaos.core.text import quoted, suggestion

MAX_NUMBER = 2**53 - 1  # what JSON keeps exact
MAX_DURATION_S = 10 * 366 * 86_400
MIN_DURATION_S = 0.001
MAX_RATE_COUNT = 100_000  # each use within the window is remembered
MAX_CHOICES = 256

KEYS = ("expires", "expires_at", "timeout", "max", "rate", "bytes", "action", "arguments", "approval_required")

Arguments = tuple[tuple[str, tuple[str, ...]], ...]  # argument name -> its allowed values, both sorted

_UNITS_S = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400}
_SIZES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_QUANTITY = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,20})?)([A-Za-z]*)", re.ASCII)
_RATE = re.compile(r"([0-9]{1,16})/([0-9]{0,16})([a-z]+)", re.ASCII)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` uses in any `window_s` seconds."""

    count: int
    window_s: int

    def __post_init__(self) -> None:
        _whole("rate", self.count, MAX_RATE_COUNT)
        _whole("rate", self.window_s, MAX_DURATION_S)

    def is_within(self, other: "Rate") -> bool:
        """Whether these uses are never more than `other` allows."""
        return self.count <= other.count and self.window_s >= other.window_s


@dataclass(frozen=True, slots=True)
class Constraints:
    """What limits the use of a capability; `None` is unconstrained. `expires_at_s` is UTC, seconds since the epoch.
    `is_approved_first`: each use waits for an approval.
    """

    expires_at_s: float | None = None
    timeout_s: float | None = None
    max_calls: int | None = None
    rate: Rate | None = None
    max_bytes: int | None = None
    methods: frozenset[str] | None = None
    arguments: Arguments | None = None
    is_approved_first: bool = False

    def __post_init__(self) -> None:
        if self.expires_at_s is not None:
            _real("expires_at", self.expires_at_s, MAX_NUMBER)
        if self.timeout_s is not None:
            _real("timeout", self.timeout_s, MAX_DURATION_S)
        if self.max_calls is not None:
            _whole("max", self.max_calls, MAX_NUMBER)
        if self.max_bytes is not None:
            _whole("bytes", self.max_bytes, MAX_NUMBER)
        if self.methods is not None and not self.methods:
            raise _wrong("action", (), "names no method")
        if self.arguments is not None and not (self.arguments and all(values for _, values in self.arguments)):
            raise _wrong("arguments", (), "allows no value")

    @property
    def is_metered(self) -> bool:
        """Whether uses have to be counted."""
        return self.max_calls is not None or self.rate is not None or self.max_bytes is not None

    def is_within(self, other: "Constraints") -> bool:
        """Whether these limits allow nothing that `other` forbids."""
        return self == other or (
            _at_most(self.expires_at_s, other.expires_at_s)
            and _at_most(self.timeout_s, other.timeout_s)
            and _at_most(self.max_calls, other.max_calls)
            and _at_most(self.max_bytes, other.max_bytes)
            and (other.rate is None or (self.rate is not None and self.rate.is_within(other.rate)))
            and (other.methods is None or (self.methods is not None and self.methods <= other.methods))
            and (self.is_approved_first or not other.is_approved_first)
            and _arguments_within(dict(self.arguments or ()), dict(other.arguments or ()))
        )

    def meet(self, other: "Constraints") -> "Constraints":
        """The limits within both. Raises DeniedError when they allow nothing together."""
        return Constraints(
            expires_at_s=_least(self.expires_at_s, other.expires_at_s),
            timeout_s=_least(self.timeout_s, other.timeout_s),
            max_calls=_least(self.max_calls, other.max_calls),
            rate=_meet_rates(self.rate, other.rate),
            max_bytes=_least(self.max_bytes, other.max_bytes),
            methods=_meet_sets("action", self.methods, other.methods),
            arguments=_meet_arguments(self.arguments, other.arguments),
            is_approved_first=self.is_approved_first or other.is_approved_first,
        )

    def items(self) -> tuple[tuple[str, str], ...]:
        """The limits as (key, value) pairs; `parse_constraints` makes the same limits of them."""
        pairs: list[tuple[str, str]] = []
        if self.expires_at_s is not None:
            pairs.append(("expires_at", repr(float(self.expires_at_s))))
        if self.timeout_s is not None:
            pairs.append(("timeout", f"{float(self.timeout_s)!r}s"))
        if self.max_calls is not None:
            pairs.append(("max", str(self.max_calls)))
        if self.rate is not None:
            pairs.append(("rate", f"{self.rate.count}/{self.rate.window_s}s"))
        if self.max_bytes is not None:
            pairs.append(("bytes", str(self.max_bytes)))
        pairs += [("action", method) for method in sorted(self.methods or ())]
        pairs += [(f"arg.{name}", value) for name, values in self.arguments or () for value in values]
        pairs += [("approval_required", "true")] if self.is_approved_first else []
        return tuple(pairs)


NONE = Constraints()


def parse_constraints(document: Mapping[str, object], *, now_s: float) -> Constraints:
    """Limits as a grant writes them, such as `{"max": 50, "rate": "100/min", "expires": "2h", "action": ["get"]}`.

    `now_s` is UTC in seconds since the epoch; a relative `expires` counts from it.

    Raises:
        InputError: names the key, and the nearest known one for an unknown key.
    """
    for key in document:
        if key not in KEYS:
            raise InputError(f"{quoted(key)} is not a constraint", suggestion(str(key), KEYS))
    if "expires" in document and "expires_at" in document:
        raise InputError("expires and expires_at are both given", "write one of them")
    if not document:
        return NONE
    return Constraints(
        expires_at_s=_expiry(document, now_s),
        timeout_s=_duration("timeout", document["timeout"]) if "timeout" in document else None,
        max_calls=_count("max", document["max"]) if "max" in document else None,
        rate=_rate("rate", document["rate"]) if "rate" in document else None,
        max_bytes=_size("bytes", document["bytes"]) if "bytes" in document else None,
        methods=frozenset(m.lower() for m in _words("action", document["action"])) if "action" in document else None,
        arguments=_arguments(document["arguments"]) if "arguments" in document else None,
        is_approved_first=_is_yes("approval_required", document.get("approval_required", False)),
    )


# --- numbers and words --------------------------------------------------------------------------------------------


def _wrong(field: str, value: object, why: str) -> InputError:
    return InputError(f"{field}: {quoted(value)} {why}", f"write it like {_LIKE[field]}")


_LIKE = {
    "expires": "expires: 2h",
    "expires_at": "expires_at: 1767225600",
    "timeout": "timeout: 30s",
    "max": "max: 50",
    "rate": "rate: 100/min",
    "bytes": "bytes: 10MiB",
    "action": "action: [get]",
    "arguments": "arguments: {format: [json, csv]}",
    "approval_required": "approval_required: true",
}


def _whole(field: str, number: object, at_most: int) -> int:
    if type(number) is not int or not 1 <= number <= at_most:
        raise _wrong(field, number, f"is not a whole number from 1 to {at_most}")
    return number


def _real(field: str, number: object, at_most: int) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _wrong(field, number, "is not a number")
    if not MIN_DURATION_S <= number <= at_most:  # NaN and the infinities are not
        raise _wrong(field, number, f"is not from {MIN_DURATION_S} to {at_most}")
    return float(number)


def _expiry(document: Mapping[str, object], now_s: float) -> float | None:
    if "expires" in document:
        return now_s + _duration("expires", document["expires"])
    if "expires_at" not in document:
        return None
    return _scaled("expires_at", document["expires_at"], units={"": 1}, at_most=MAX_NUMBER)


def _duration(field: str, value: object) -> float:
    return _scaled(field, value, units={"": 1, **_UNITS_S}, at_most=MAX_DURATION_S)


def _scaled(field: str, value: object, *, units: Mapping[str, float], at_most: int) -> float:
    number: object = value
    if isinstance(value, str):
        found = _QUANTITY.fullmatch(value)
        if found is None or found[2] not in units:
            raise _wrong(field, value, "has no known unit" if found else "is not a quantity")
        number = float(found[1]) * units[found[2]]
    return _real(field, number, at_most)


def _count(field: str, value: object, at_most: int = MAX_NUMBER) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 18 else value
    return _whole(field, number, at_most)


def _size(field: str, value: object) -> int:
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None or "." in found[1]:
        return _count(field, value)
    if found[2] not in _SIZES:
        raise _wrong(field, value, f"has no known unit ({', '.join(filter(None, _SIZES))})")
    return _count(field, int(found[1]) * _SIZES[found[2]])


def _rate(field: str, value: object) -> Rate:
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[3] not in _UNITS_S or found[3] == "ms":
        raise _wrong(field, value, "is not a count per time")
    return Rate(int(found[1]), int(found[2] or 1) * int(_UNITS_S[found[3]]))


def _is_yes(field: str, value: object) -> bool:
    known = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(known, bool):
        raise _wrong(field, value, "is neither true nor false")
    return known


def _words(field: str, value: object) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not 1 <= len(words) <= MAX_CHOICES:
        raise _wrong(field, value, f"is not a word or a list of 1 to {MAX_CHOICES} words")
    for word in words:
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise _wrong(field, word, "is not a word")
    return tuple(words)


def _arguments(value: object) -> Arguments:
    if not isinstance(value, Mapping) or not 1 <= len(value) <= MAX_CHOICES:
        raise _wrong("arguments", value, "is not a mapping of argument names to allowed values")
    _words("arguments", list(value))
    return tuple(sorted((name, _allowed(values)) for name, values in value.items()))


def _allowed(value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_CHOICES:
        raise _wrong("arguments", value, f"is not a text or a list of 1 to {MAX_CHOICES} texts")
    for text in values:
        if not isinstance(text, str):
            raise _wrong("arguments", text, "is not text")
    return tuple(sorted(set(values)))


# --- narrower and both ----------------------------------------------------------------------------------------------


def _at_most(child: float | None, parent: float | None) -> bool:
    return parent is None or (child is not None and child <= parent)


def _arguments_within(child: Mapping[str, tuple[str, ...]], parent: Mapping[str, tuple[str, ...]]) -> bool:
    return all(name in child and set(child[name]) <= set(values) for name, values in parent.items())


N = TypeVar("N", int, float)


def _least(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _meet_rates(one: Rate | None, other: Rate | None) -> Rate | None:
    if one is None or other is None:
        return other if one is None else one
    return Rate(min(one.count, other.count), max(one.window_s, other.window_s))


def _meet_sets(field: str, one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    if one.isdisjoint(other):
        raise DeniedError(f"{field}: {', '.join(sorted(one))} is not granted", f"granted: {', '.join(sorted(other))}")
    return one & other


def _meet_arguments(one: Arguments | None, other: Arguments | None) -> Arguments | None:
    if one is None or other is None:
        return other if one is None else one
    met = {name: frozenset(values) for name, values in one}
    for name, values in other:
        met[name] = _meet_sets(f"argument {name}", met.get(name), frozenset(values)) or frozenset()
    return tuple((name, tuple(sorted(met[name]))) for name in sorted(met))
