"""The operator's protocol: JSON-RPC 2.0, one document on each line. Sans-I/O; the daemon and the command line share it.

Invariant: what is decoded has the declared types; a line that does not is an `RpcError` with its code, never another
exception. It must import only the standard library and `core.errors`: the command line starts with it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aaos.core.errors import AaosError, ExitCode

MAX_LINE_BYTES = 1_048_576
MAX_ID = 2**53 - 1
MAX_NAME_CHARS = 128

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
AAOS_ERROR = -32000

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Id = int | str


class RpcError(Exception):
    """A line that breaks the protocol; `code` is one of JSON-RPC, `id` that of the request where known."""

    def __init__(self, code: int, message: str, *, request_id: Id | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = request_id


@dataclass(frozen=True, slots=True)
class Request:
    """Asks for one `Response` with the same id."""

    id: Id
    method: str
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Notification:
    """Is not answered; the daemon streams events as these."""

    method: str
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a response. `data` of an AAOS_ERROR holds code, message, remedy and exit_code."""

    code: int
    message: str
    data: Mapping[str, Json]

    def to_error(self) -> AaosError:
        """The error as the daemon raised it: the class of its stable code, AaosError for an unknown one."""
        code, remedy = self.data.get("code"), self.data.get("remedy")
        error_class = _classes().get(code, AaosError) if isinstance(code, str) else AaosError
        return error_class(self.message, remedy if isinstance(remedy, str) else "")

    @property
    def exit_code(self) -> ExitCode:
        """The exit status that the command ends with."""
        number = self.data.get("exit_code")
        return next((code for code in ExitCode if code == number), self.to_error().exit_code)


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request: `result`, or `failure`. `id` is None when the request's id could not be read."""

    id: Id | None
    result: Json = None
    failure: Failure | None = None


Message = Request | Notification | Response


class LineBuffer:
    """Cuts a byte stream into lines; holds at most one line of `max_bytes`."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their line feeds; empty lines are left out.

        Raises:
            RpcError: a line is over the limit; the connection cannot be used any more.
        """
        *whole, rest = data.split(b"\n")
        lines: list[bytes] = []
        for piece in whole:
            self._add(piece)
            line = bytes(self._partial).strip(b" \t\r")
            self._partial.clear()
            if line:
                lines.append(line)
        self._add(rest)
        return lines

    def _add(self, piece: bytes) -> None:
        if len(self._partial) + len(piece) > self._max_bytes:
            self._partial.clear()
            raise RpcError(INVALID_REQUEST, f"a line is over the limit of {self._max_bytes} bytes")
        self._partial += piece


def encode_request(request: Request) -> bytes:
    """The request as one line."""
    return _line({"id": request.id, "method": request.method, "params": request.params})


def encode_notification(notification: Notification) -> bytes:
    """The notification as one line."""
    return _line({"method": notification.method, "params": notification.params})


def encode_result(request_id: Id, result: Json) -> bytes:
    """A successful response as one line."""
    return _line({"id": request_id, "result": result})


def encode_error(request_id: Id | None, error: AaosError | RpcError) -> bytes:
    """A failed response as one line."""
    body: dict[str, object] = {"code": AAOS_ERROR, "message": error.message}
    if isinstance(error, RpcError):
        body["code"] = error.code
    else:
        body["data"] = {**error.to_wire(), "exit_code": int(error.exit_code)}
    return _line({"id": request_id, "error": body})


def decode_request(line: bytes) -> Request | Notification:
    """What a client may send. Raises RpcError."""
    message = decode_message(line)
    if isinstance(message, Response):
        raise RpcError(INVALID_REQUEST, "method: missing", request_id=message.id)
    return message


def decode_reply(line: bytes) -> Response | Notification:
    """What the daemon may send. Raises RpcError."""
    message = decode_message(line)
    if isinstance(message, Request):
        raise RpcError(INVALID_REQUEST, "a request was not expected", request_id=message.id)
    return message


def decode_message(line: bytes) -> Message:
    """One line as one message. Batches are refused. Raises RpcError."""
    document = _parsed(line)
    if not isinstance(document, dict):
        raise RpcError(INVALID_REQUEST, "a message must be one JSON object; batches are not accepted")
    number = _checked_id(document)
    if document.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'jsonrpc: must be "2.0"', request_id=number)
    if "method" in document:
        return _decode_call(document, number)
    return _decode_response(document, number)


def _decode_call(document: dict[str, Json], number: Id | None) -> Request | Notification:
    _refuse_unknown(document, ("jsonrpc", "id", "method", "params"), number)
    method, params = document["method"], document.get("params", {})
    if not isinstance(method, str) or not 1 <= len(method) <= MAX_NAME_CHARS:
        raise RpcError(INVALID_REQUEST, "method: must be a name", request_id=number)
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params: must be an object", request_id=number)
    if "id" not in document:
        return Notification(method, params)
    if number is None:
        raise RpcError(INVALID_REQUEST, "id: must be a number or text in a request")
    return Request(number, method, params)


def _decode_response(document: dict[str, Json], number: Id | None) -> Response:
    _refuse_unknown(document, ("jsonrpc", "id", "result", "error"), number)
    if "id" not in document or ("result" in document) == ("error" in document):
        raise RpcError(INVALID_REQUEST, "method: missing, and it is no response either", request_id=number)
    if "result" in document:
        return Response(number, result=document["result"])
    error = document["error"]
    if not isinstance(error, dict):
        raise RpcError(INVALID_REQUEST, "error: must be an object", request_id=number)
    code, message, data = error.get("code"), error.get("message"), error.get("data", {})
    if type(code) is not int or not isinstance(message, str) or not isinstance(data, dict):
        raise RpcError(INVALID_REQUEST, "error: must have code, message and optional data", request_id=number)
    return Response(number, failure=Failure(code, message, data))


def _checked_id(document: dict[str, Json]) -> Id | None:
    number = document.get("id")
    if number is None or (isinstance(number, str) and len(number) <= MAX_NAME_CHARS):
        return number
    if type(number) is int and 0 <= number <= MAX_ID:
        return number
    raise RpcError(INVALID_REQUEST, f"id: must be text or a whole number from 0 to {MAX_ID}")


def _refuse_unknown(document: dict[str, Json], known: tuple[str, ...], number: Id | None) -> None:
    for key in document:
        if key not in known:
            raise RpcError(INVALID_REQUEST, f"{key[:MAX_NAME_CHARS]!a}: unknown field", request_id=number)


def _line(document: Mapping[str, object]) -> bytes:
    whole = {"jsonrpc": "2.0", **document}
    return json.dumps(whole, ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=dict).encode() + b"\n"


def _parsed(line: bytes) -> Json:
    try:
        document: Json = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:
            json.dumps(document, ensure_ascii=False).encode("utf-8")  # a lone surrogate raises UnicodeEncodeError
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"not a JSON document: {str(error)[:200]}") from error
    return document


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("duplicate key in an object")
    return document


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond the range of a double")
    return number


def _classes() -> Mapping[str, type[AaosError]]:
    found: dict[str, type[AaosError]] = {AaosError.code: AaosError}
    todo = AaosError.__subclasses__()
    while todo:
        error_class = todo.pop()
        found.setdefault(error_class.code, error_class)
        todo += error_class.__subclasses__()
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_refuse_constant, parse_float=_finite)
