"""What the daemon answered, as typed values: a missing or mistyped field reads as empty, never as an exception.

The daemon is trusted; this only keeps a newer or older one from breaking the client. It must not judge or print.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aaos.core.rpc import Json

Document = Mapping[str, Json]
EMPTY: Document = {}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream; `fields` hold what belongs to its kind."""

    seq: int
    time_s: float
    kind: str
    run: str
    subtask: str
    agent: str
    fields: Document


def event(document: Document) -> Event:
    """The event that a notification carries."""
    return Event(
        seq=int(number(document, "seq")),
        time_s=number(document, "time_s"),
        kind=text(document, "kind"),
        run=text(document, "run"),
        subtask=text(document, "subtask"),
        agent=text(document, "agent"),
        fields=inner(document, "fields"),
    )


def document(value: Json) -> Document:
    """`value` when it is an object."""
    return value if isinstance(value, dict) else EMPTY


def inner(document: Document, key: str) -> Document:
    """The object below `key`."""
    value = document.get(key)
    return value if isinstance(value, dict) else EMPTY


def text(document: Document, key: str) -> str:
    """The text below `key`; numbers as text, everything else as nothing."""
    value = document.get(key)
    return str(value) if isinstance(value, str | int | float) else ""


def number(document: Document, key: str) -> float:
    """The number below `key`, or 0."""
    value = document.get(key)
    return value if isinstance(value, int | float) else 0.0


def texts(document: Document, key: str) -> tuple[str, ...]:
    """The list of texts below `key`."""
    value = document.get(key)
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def rows(document: Document, key: str) -> tuple[Document, ...]:
    """The list of objects below `key`."""
    value = document.get(key)
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
