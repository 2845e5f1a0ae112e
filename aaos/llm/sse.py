"""Server-sent events out of bytes, however they were cut on their way. Does no input or output.

Invariant: what is kept is bounded; an event is handed on only when its blank line has come; comments are counted as
nothing. A line ends with LF or CRLF; a lone CR, which the standard allows and no model server sends, ends none.
Source: WHATWG HTML, section 9.2 (server-sent events).
"""

from dataclasses import dataclass

from aaos.core.errors import LimitError, ProviderError

MAX_EVENT_BYTES = 12 * 2**20


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `name` is "" when the server gave none."""

    name: str
    data: str


class EventReader:
    """Feed it what comes; it gives the events that are complete."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._line = bytearray()
        self._looked = 0
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0
        self._is_first = True

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that end in `data`. Raises LimitError for one that is too large, ProviderError for no UTF-8."""
        self._line += data
        events: list[ServerEvent] = []
        start = 0
        while (end := self._line.find(b"\n", max(start, self._looked))) >= 0:
            line = bytes(self._line[start : end - 1 if end > start and self._line[end - 1] == 0x0D else end])
            start = end + 1
            event = self._take(line)
            if event is not None:
                events.append(event)
        del self._line[:start]
        self._looked = len(self._line)
        if self._looked + self._size > self._max_bytes:
            raise LimitError(f"the provider sent an event of more than {self._max_bytes} bytes", "ask for less at once")
        return events

    def _take(self, line: bytes) -> ServerEvent | None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._complete()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value) + 1  # an empty line is kept too
        elif field == b"event":
            self._name = value
        return None

    def _complete(self) -> ServerEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = b"", [], 0
        if not data:
            return None
        try:
            return ServerEvent(name.decode(), b"\n".join(data).decode())
        except UnicodeDecodeError as error:
            raise ProviderError("the provider sent bytes that are not UTF-8", "submit the goal again") from error
