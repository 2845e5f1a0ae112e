"""Loads, while there still are files, everything that a fetch may need later: codecs, and what libraries load late.

Invariant: nothing foreign is read here, no thread is left behind, and no name is looked up: the C library would keep
the settings of outside for ever.
"""

import asyncio
import codecs
import encodings.aliases
import ssl

import webencodings
from webencodings.labels import LABELS

from aaos.egress import charset, decoding
from aaos.egress.readable import readable

_PAGE = b"<!doctype html><title>t</title><base href='/b'><p><a href='x'>a</a><img alt=x><pre>x</pre><td>"


def warm() -> tuple[str, ...]:
    """Load it all; the labels of the character sets that can be read from now on."""
    kind = charset.kind_of("text/html; charset=shift_jis", _PAGE)
    readable(charset.decode(_PAGE, kind), "http://example.invalid/")
    for encoding in ("gzip", "deflate", ""):
        decoding.decoder(encoding)
    ssl.create_default_context()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    for codec in {*encodings.aliases.aliases.values(), "idna", "punycode"}:
        _load(codec)
    return tuple(label for label in LABELS if webencodings.lookup(label))


def _load(codec: str) -> None:
    try:
        codecs.lookup(codec)
    except LookupError:  # of another platform
        return
