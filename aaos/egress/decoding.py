"""Undoes a Content-Encoding piece by piece, so that what was small on the wire is never large in memory.

Invariant: no piece is longer than PIECE_BYTES, whatever the data says; who takes the pieces decides when it is enough.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

from aaos.egress.wire import FetchError

PIECE_BYTES = 65_536
ACCEPTED = "gzip, deflate"
_GZIP = zlib.MAX_WBITS | 16
_GZIP_MAGIC = 0x1F
_RAW = -zlib.MAX_WBITS


class Decoder(Protocol):
    """Bytes of the wire in, bytes of the body out."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing at the end."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` stands for. Raises FetchError for what is not of this encoding."""


def decoder(encoding: str) -> Decoder:
    """The decoder for a Content-Encoding header. Raises FetchError for one that was not asked for."""
    match encoding.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Inflated(_GZIP)
        case "deflate":
            return _Inflated(0)
        case other:
            raise FetchError("content", f"the page is encoded as {other[:40]!r}, which was not asked for")


class _Identity:
    is_complete = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Inflated:
    """gzip, or with `bits` 0 deflate: zlib's form as the standard says, or the bare one as some servers do."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._inflate: zlib._Decompress | None = None  # None where another member may begin
        self._members = 0

    @property
    def is_complete(self) -> bool:
        return self._inflate is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate is None and not self._may_begin(data):
                return
            inflate = self._inflate = self._inflate or zlib.decompressobj(self._bits or _form(data))
            try:
                piece = inflate.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise FetchError("content", f"the page's compression is broken: {error}") from error
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if inflate.eof:
                self._inflate, self._members = None, self._members + 1
            yield piece

    def _may_begin(self, data: bytes) -> bool:
        """The first member does; after it, in gzip, another one or padding, which is dropped with all that follows."""
        return not self._members or (self._bits == _GZIP and data[0] == _GZIP_MAGIC)


def _form(data: bytes) -> int:
    """zlib's form begins with its method; the bare one hardly ever does. Source: RFC 1950, 2.2."""
    return zlib.MAX_WBITS if data[0] & 0x0F == 8 else _RAW
