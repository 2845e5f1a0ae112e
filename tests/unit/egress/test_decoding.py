"""Content-Encoding, undone in bounded pieces (H-NET-10)."""

import gzip
import zlib

import pytest

from aaos.egress.decoding import PIECE_BYTES, decoder
from aaos.egress.wire import FetchError

TEXT = b"some words of a page, again and again; " * 500


def decoded(encoding: str, data: bytes, *, step: int = 1_000) -> bytes:
    chosen = decoder(encoding)
    pieces = [piece for at in range(0, len(data), step) for piece in chosen.feed(data[at : at + step])]
    assert max(map(len, pieces), default=0) <= max(PIECE_BYTES, step)
    assert chosen.is_complete or not data
    return b"".join(pieces)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        (" gzip ", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("gzip", gzip.compress(TEXT) + b"\0" * 50),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_each_encoding_gives_the_text_back(encoding: str, data: bytes, step: int) -> None:
    assert decoded(encoding, data, step=step) == TEXT


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "x" * 1_000])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(FetchError, match="not asked for"):
        decoder(encoding)


def test_a_bomb_comes_in_pieces_and_can_be_left() -> None:
    """H-NET-10: 200 MiB in 200 KiB; nothing of it is made before it is taken."""
    bomb = zlib.compressobj(wbits=31)
    data = b"".join([bomb.compress(bytes(2**20)) for _ in range(200)]) + bomb.flush()
    assert len(data) < 2**18
    taken = 0
    for piece in decoder("gzip").feed(data):
        assert len(piece) <= PIECE_BYTES
        taken += len(piece)
        if taken > 2**20:
            break
    assert taken < 2**20 + 2 * PIECE_BYTES


@pytest.mark.parametrize("data", [b"not gzip at all", gzip.compress(TEXT)[:-8] + bytes(8)])
def test_broken_data_is_an_error(data: bytes) -> None:
    with pytest.raises(FetchError, match="broken"):
        list(decoder("gzip").feed(data))


def test_data_that_breaks_off_is_not_complete() -> None:
    chosen = decoder("gzip")
    assert b"".join(chosen.feed(gzip.compress(TEXT)[:-10]))
    assert not chosen.is_complete
