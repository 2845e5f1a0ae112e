"""HTTP/1.1 requests from a stream of bytes: head, then a body of known length or in chunks.

Invariant: memory is bounded by the limits below; what is not a request raises InputError.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aaos.core.errors import InputError
from aaos.core.text import quoted

MAX_HEAD_BYTES = 65_536
BUFFER_BYTES = 2**20  # of a connection's reader: a long conversation comes in few pieces
MAX_BODY_BYTES = 67_108_864

_LINE = re.compile(rb"([A-Z]{1,16}) (/[^ ]*) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")
_REMEDY = "send an HTTP/1.1 request"


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body; names of headers are in lower case, `path` is without the query."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def is_last(self) -> bool:
        """Whether the client wants the connection closed afterwards."""
        return self.headers.get("connection", "").lower() == "close"


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next request's head; None when the client is done. Raises InputError."""
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise InputError("the request ends within its head", _REMEDY) from error
        return None
    except asyncio.LimitOverrunError as error:
        raise _head_too_large() from error
    if len(data) > MAX_HEAD_BYTES:
        raise _head_too_large()
    return parse_head(data)


def parse_head(data: bytes) -> Head:
    """Raises InputError."""
    first, *lines = data.strip(b"\r\n").split(b"\r\n")
    if not (line := _LINE.fullmatch(first)):
        raise InputError(f"not a request: {quoted(first)}", _REMEDY)
    headers: dict[str, str] = {}
    for text in lines:
        if not (header := _HEADER.fullmatch(text)):
            raise InputError(f"not a header: {quoted(text)}", _REMEDY)
        headers[header[1].decode("latin-1").lower()] = header[2].decode("latin-1")
    return Head(line[1].decode(), line[2].decode("latin-1").partition("?")[0], headers)


async def read_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    """The body that belongs to `head`. Raises InputError."""
    try:
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return await _chunks(reader)
        length = head.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and int(length[:12]) <= MAX_BODY_BYTES):
            raise InputError(f"a body of {quoted(length)} bytes is not accepted", _REMEDY)
        return await reader.readexactly(int(length)) if length != "0" else b""
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise InputError("the request ends within its body", _REMEDY) from error


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := _chunk_size(await reader.readuntil(b"\r\n")):
        if len(body) + size > MAX_BODY_BYTES:
            raise InputError(f"the body is over {MAX_BODY_BYTES} bytes", _REMEDY)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", digits):
        raise InputError(f"not the size of a chunk: {quoted(line)}", _REMEDY)
    return int(digits, 16)


def _head_too_large() -> InputError:
    return InputError(f"the head is over {MAX_HEAD_BYTES} bytes", _REMEDY)
