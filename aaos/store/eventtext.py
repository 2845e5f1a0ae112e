"""An event's fields as text, and back: the form in the database and in the JSONL copy.

Invariant: whatever the fields hold, the text is bounded ASCII JSON: no lone surrogate, NaN or huge number stops it.
"""

import json
import math
from collections.abc import Mapping

from aaos.core.errors import StorageError
from aaos.core.events import Event, EventKind, Recorded, Scalar
from aaos.store.levels import Row
from worker.jsontext import json_encoder

FIELDS_CHARS = 65_536
_VALUE_CHARS = 4_096
_NUMBER_BITS = 256
_encode = json_encoder()


def fields_to_json(fields: Mapping[str, Scalar]) -> str:
    """The fields as one line of ASCII, at most `FIELDS_CHARS`: longer values are cut, what JSON cannot say is shown."""
    try:
        text = _encode(fields if type(fields) is dict else dict(fields))
    except ValueError:  # NaN, an infinity, or a number of more than 4,300 digits
        text = ""
    if text and len(text) <= FIELDS_CHARS:
        return text
    shown = {name[:64]: bounded(value) for name, value in list(fields.items())[:64]}
    text = _encode(shown)
    return text if len(text) <= FIELDS_CHARS else _encode({"cut": text[: FIELDS_CHARS // 2]})


def recorded_from_row(row: Row) -> Recorded:
    """The inverse, for a row of `seq, time_s, kind, run, subtask, agent, fields`. Raises StorageError."""
    seq, time_s, kind, run, subtask, agent, fields = row
    try:
        return Recorded(seq, time_s, Event(EventKind(kind), run, subtask, agent, json.loads(fields)))
    except ValueError as error:
        message = f"event {seq} ({str(kind)[:64]!r}) cannot be read: {error}"
        raise StorageError(message, "read it with the agentd that wrote it: agentd version") from error


def bounded(value: Scalar) -> Scalar:
    """The value, or what can be shown of it: 4,096 characters, a finite number, a number that can be printed."""
    match value:
        case str():
            return value if len(value) <= _VALUE_CHARS else f"{value[:_VALUE_CHARS]}[cut: {len(value)} characters]"
        case float():
            return value if math.isfinite(value) else str(value)
        case int():
            return value if value.bit_length() <= _NUMBER_BITS else f"a number of {value.bit_length()} bits"
        case _:
            return value
