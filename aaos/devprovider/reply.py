"""A step's answer, or its fault, as an HTTP response: status, headers, pieces of the body, and where it goes wrong.

Invariant: everything is decided here; the server sends what it is told and decides nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from aaos.devprovider import chat, messages
from aaos.devprovider.answer import Answer, compose
from aaos.devprovider.asked import Asked, Wire
from aaos.devprovider.script import Hang, Step

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
HTML = b"<!doctype html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
MAX_NOTES = 10
FAULTS = {
    "bad_arguments",
    "cut",
    "delay_s",
    "duplicate_ids",
    "echo_key",
    "error_body_200",
    "error_event",
    "hang",
    "html",
    "no_usage",
    "redirect",
    "status",
    "trickle",
    "wrong_content_type",
    "wrong_json",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: chunked when `is_stream`, else of known length. `cut` and the middle count bytes of the body; `note`
    says for people what it is."""

    status: int
    pieces: tuple[bytes, ...]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    is_stream: bool = False
    delay_s: float = 0.0
    hang: Hang | None = None
    trickle: float | None = None
    cut: int | None = None
    note: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it can be sent at once."""
        return self.hang is None and self.trickle is None and self.cut is None

    def head(self) -> bytes:
        """Status line and headers."""
        length = "transfer-encoding: chunked" if self.is_stream else f"content-length: {sum(map(len, self.pieces))}"
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", f"content-type: {self.content_type}", length]
        lines += (f"{name}: {value}" for name, value in self.headers.items())
        return "\r\n".join((*lines, "", "")).encode("latin-1", "replace")

    def framed(self, piece: bytes) -> bytes:
        """A piece as it goes over the wire."""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.is_stream and piece else piece

    def end(self) -> bytes:
        """What follows the last piece."""
        return b"0\r\n\r\n" if self.is_stream else b""


def reply(step: Step, asked: Asked, *, number: int, now_s: int) -> Reply:
    """What the step makes of the server's request `number`."""
    answer = compose(step, asked, number=number)
    status, pieces, is_stream = _body(step, asked, answer, now_s)
    content_type = HTML_TYPE if step.html else EVENTS if is_stream else JSON
    if step.wrong_content_type is not None:
        content_type = "text/plain" if step.wrong_content_type is True else step.wrong_content_type
    return Reply(
        status=status,
        pieces=tuple(pieces),
        content_type=_one_line(content_type),
        headers=dict(_headers(step, asked, answer)),
        is_stream=is_stream,
        delay_s=step.delay_s,
        hang=step.hang,
        trickle=step.trickle,
        cut=step.cut,
        note=_note(step, answer),
    )


def refusal(status: int, message: str, *, wire: Wire | None) -> Reply:
    """An error of the server's own: a request that the format does not allow, or that the script has no step for."""
    return Reply(status, (_error(wire, status, message),), note=message)


def listing(names: tuple[str, ...]) -> Reply:
    """The answer to GET /v1/models."""
    return Reply(200, (chat.models(names),))


def _body(step: Step, asked: Asked, answer: Answer, now_s: int) -> tuple[int, Iterator[bytes], bool]:
    """Status, pieces, and whether they are events."""
    if step.echo_key:
        return 401, iter((_error(asked.wire, 401, f"Incorrect API key provided: {asked.key}"),)), False
    if step.status is not None:
        return step.status, iter((_error(asked.wire, step.status, step.message or _phrase(step.status)),)), False
    if step.redirect is not None:
        return 307, iter((b"",)), False
    if step.html:
        return 200, iter((HTML,)), False
    if step.error_body_200 or (step.error_event and not asked.is_stream):
        return 200, iter((_error(asked.wire, 500, step.message or "the model is overloaded"),)), False
    if asked.is_stream:
        return 200, _stream(step, asked, answer, now_s), True
    body = chat.whole(answer, now_s=now_s) if asked.wire is Wire.CHAT else messages.whole(answer)
    return 200, iter((body[: len(body) // 2] if step.wrong_json else body,)), False


def _stream(step: Step, asked: Asked, answer: Answer, now_s: int) -> Iterator[bytes]:
    is_chat = asked.wire is Wire.CHAT
    events = list(
        chat.events(answer, now_s=now_s, with_usage=asked.wants_usage) if is_chat else messages.events(answer)
    )
    middle = len(events) // 2
    if step.wrong_json:
        broken = events[middle].rstrip(b"\n")
        yield from events[:middle]
        yield broken[: -len(broken) // 4] + b"\n\n"
    elif step.error_event:
        message = step.message or "the model is overloaded"
        yield from events[:middle]
        yield chat.error_event(message) if is_chat else messages.error_event(message)
    else:
        yield from events


def _note(step: Step, answer: Answer) -> str:
    """The faults by the names that the script gives them, or else what the answer holds."""
    said = [name for name in step.model_fields_set & FAULTS if getattr(step, name) not in (None, False)]
    calls = Counter(call.tool for call in answer.calls)
    if not step.is_fault:
        said += ["text"] if answer.text else []
        said += [f"{tool} x{count}" if count > 1 else tool for tool, count in calls.items()]
    return ", ".join(sorted(said[:MAX_NOTES]))


def _headers(step: Step, asked: Asked, answer: Answer) -> Iterator[tuple[str, str]]:
    yield "x-request-id" if asked.wire is Wire.CHAT else "request-id", f"req_{answer.id}"
    if step.retry_after is not None:
        yield "retry-after", _one_line(str(step.retry_after))
    if step.redirect is not None:
        yield "location", _one_line(step.redirect)


def _error(wire: Wire | None, status: int, message: str) -> bytes:
    return messages.error(status, message) if wire is Wire.MESSAGES else chat.error(status, message)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"


def _one_line(text: str) -> str:
    """A script cannot begin another header."""
    return " ".join(text.split())
