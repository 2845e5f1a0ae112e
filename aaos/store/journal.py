"""The copy of the audit in the journal, by journald's native protocol.

Invariant: the names of fields are those in this file and nothing else: every value is sent with its length, so that no
newline in it can begin a field; values are capped, so that a datagram always fits. A stopped journald costs `_WAIT_S`
once in `_REST_S`, and the events in between.

The package `systemd` is not used for sending: its `sendv` holds the interpreter's lock in a blocking sendmsg, so that a
stopped journald would stop the whole daemon, and it tells nobody when there is no journal.
Source: systemd.io/JOURNAL_NATIVE_PROTOCOL, systemd.journal-fields(7).
"""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aaos.core.events import Event, EventKind, Scalar, message_id
from aaos.core.text import escape_for_terminal
from aaos.store.copies import Copied, Lost, losable
from aaos.store.eventtext import bounded

SOCKET: Final = Path("/run/systemd/journal/socket")
VALUE_BYTES: Final = 4096
IDENTIFIER: Final = "agentd"
_WAIT_S = 0.25
_REST_S = 1.0
_WARNING, _NOTICE, _INFO = "4", "5", "6"  # sys/syslog.h
_WARNINGS: Final = frozenset(
    {
        EventKind.ABI_BROKEN,
        EventKind.AGENT_DRIFTED,
        EventKind.AGENT_LOST,
        EventKind.AGENT_OOM,
        EventKind.AGENT_REFUSED,
        EventKind.AUDIT_DROPPED,
        EventKind.AUDIT_SUPPRESSED,
        EventKind.CONFINEMENT_REDUCED,
        EventKind.CONTRACT_BROKEN,
        EventKind.EGRESS_LOST,
        EventKind.EGRESS_REFUSED,
        EventKind.FILE_CONFLICT,
        EventKind.FILE_UNREPORTED,
        EventKind.OUTCOME_UNKNOWN,
        EventKind.REQUEST_FAILED,
        EventKind.ROLE_REFUSED,
        EventKind.RUN_FAILED,
        EventKind.SUBTASK_FAILED,
        EventKind.ZYGOTE_LOST,
    }
)
_NOTICES: Final = frozenset(
    {
        EventKind.ABI_BUSY,
        EventKind.CLIENT_REFUSED,
        EventKind.LIMIT_REACHED,
        EventKind.RUN_REFUSED,
        EventKind.RUN_TRUST_LOWERED,
        EventKind.TOOL_DENIED,
    }
)
_OWN: Final = {  # fields of events that have a field of the journal for themselves; all are in AAOS_FIELDS, too
    name: f"AAOS_{name.upper()}"
    for name in (
        "call", "capability", "code", "count", "decision", "digest", "duration_ms", "host_uid", "layer", "parent",
        "path", "permit", "pid", "reason", "remedy", "role", "surface", "tier", "tool", "turn", "uid",
    )
}  # fmt: skip


class JournalCopy:
    """Sends each event as one datagram."""

    name = "journal"

    def __init__(self, path: Path = SOCKET, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic_s = monotonic_s
        self._socket: socket.socket | None = None
        self._rest_until_s = 0.0
        self._reason = ""

    def write(self, batch: Sequence[Copied]) -> Lost | None:
        """Send them; what was lost. Waits for a full queue at most once a batch."""
        for index, copied in enumerate(batch):
            if not self._send(entry(copied)):
                count = losable(batch[index:])
                return Lost(self.name, count, self._reason) if count else None
        return None

    def close(self) -> None:
        """Close the socket; idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, data: bytes) -> bool:
        if self._monotonic_s() < self._rest_until_s:
            return False
        try:
            self._connected().send(data)
        except TimeoutError:
            self._reason = f"{self._path}: nobody reads"
        except OSError as error:
            self._reason = f"{self._path}: {error.strerror or error}"
        else:
            return True
        self.close()
        self._rest_until_s = self._monotonic_s() + _REST_S
        return False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            try:
                fresh.settimeout(_WAIT_S)
                fresh.connect(str(self._path))
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket


def entry(copied: Copied) -> bytes:
    """The event as the payload of a datagram."""
    recorded, event = copied.recorded, copied.recorded.event
    fields: dict[str, Scalar] = {
        "MESSAGE": _message(event),
        "MESSAGE_ID": message_id(event.kind),
        "PRIORITY": _priority(event.kind),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "AAOS_EVENT": event.kind,
        "AAOS_SEQ": recorded.seq,
        "AAOS_TIME_S": recorded.time_s,
        "AAOS_RUN_ID": event.run,
        "AAOS_SUBTASK_ID": event.subtask,
        "AAOS_AGENT_ID": event.agent,
        "AAOS_FIELDS": copied.fields,
    }
    for name, value in event.fields.items():
        if name in _OWN:
            fields[_OWN[name]] = value
    return b"".join(_field(name, value) for name, value in fields.items() if value is not None)


def _field(name: str, value: Scalar) -> bytes:
    """NAME, newline, the length as 64-bit little-endian, the value, newline."""
    data = str(bounded(value))[:VALUE_BYTES].encode("utf-8", "backslashreplace")[:VALUE_BYTES]
    return b"%s\n%s%s\n" % (name.encode("ascii"), len(data).to_bytes(8, "little"), data)


def _message(event: Event) -> str:
    """One line for people: the event's own message, or its kind with its fields; nothing in it moves a cursor."""
    said = event.fields.get("message")
    if isinstance(said, str) and said:
        return escape_for_terminal(f"{event.kind}: {said[:VALUE_BYTES]}")
    pairs = (f"{name}={str(bounded(value))[:256]}" for name, value in event.fields.items() if value is not None)
    return escape_for_terminal(" ".join((event.kind, *pairs))[:VALUE_BYTES])


def _priority(kind: EventKind) -> str:
    if kind in _WARNINGS:
        return _WARNING
    return _NOTICE if kind in _NOTICES else _INFO
