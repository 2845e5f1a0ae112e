"""From a seed to a wrong input that still looks like one: a document is changed as a tree, a text by its tokens.

Invariant: the same random generator gives the same inputs. Sizes stay bounded, so a slow input is the parser's doing.
"""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

Json = Any  # a JSON value

ODD: tuple[Json, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 1.5, 1e308, "", " ", "..", "/", "\x00",
    "\ud800", "\u202e", "\u2028", "é", "x" * 300, "-", "--", "a/b", "/etc/passwd", "**", "[", "{", "}", "{x}", "{{",
    "%00", "%2e%2e", [], {}, [[]], {"": ""}, [None] * 20, "no", "on", "1e3", "0o7", "12:30:45", "NaN",
    "http://[::1]/", "\x1b[2J",
)  # fmt: skip
PIECES: tuple[bytes, ...] = (
    b'"', b":", b",", b"{", b"}", b"[", b"]", b"true", b"null", b"NaN", b"-", b"1e5", b"\\", b"\\u0000", b"\\ud800",
    b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"99999999999999999999", b"\n", b"\r\n", b"\t", b" ",
    b"#", b"&a", b"*a", b"<<: ", b"!!python/object:os.system ", b"|", b">", b"- ", b"? ", b"'", b"'''", b'"""', b"=",
    b"%", b"@", b"/../", b"//", b"/**", b"[!a]", b"[z-a]", b"**", b"\\*", b"?", b"://", b"[::ffff:7f00:1]", b"0x7f.1",
    b"\xe2\x91\xa0", b"xn--", b".",
)  # fmt: skip
_TOKEN = re.compile(rb"\w+|\s+|[^\w\s]")
MAX_BYTES = 20_000


def mutated(seed: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """One wrong input."""
    match chance.randrange(10):
        case 0 | 1 | 2 | 3:
            data = _tree(seed, chance)
        case 4 | 5 | 6:
            data = _tokens(seed, chance, others)
        case 7 | 8:
            data = _bytes(seed, chance)
        case _:
            data = _bytes(_tree(seed, chance), chance)
    return data[:MAX_BYTES]


def changed(document: Json, chance: random.Random) -> Json:
    """A document with one place changed."""
    return _changed(document, chance, 0)


def blurred(text: bytes, chance: random.Random) -> bytes:
    """A text with some of its words or bytes changed."""
    data = _tokens(text, chance, (text,)) if chance.random() < 0.5 else _bytes(text, chance)
    return data[:MAX_BYTES]


def _tree(seed: bytes, chance: random.Random) -> bytes:
    """Of a JSON document: one to three places changed. Of anything else: its tokens."""
    try:
        document = json.loads(seed)
    except ValueError:
        return _tokens(seed, chance, (seed,))
    for _ in range(chance.randint(1, 3)):
        document = _changed(document, chance, 0)
    text = json.dumps(document, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.05:
        text = re.sub(r'("\w+": ?[^,{}\[\]]+)', r"\1, \1", text, count=1)  # a key twice
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Json, chance: random.Random, depth: int) -> Json:
    if not isinstance(value, list | dict) or not value or chance.random() < 0.15 or depth > 6:
        return _odd(value, chance)
    if isinstance(value, list):
        return _changed_list(value, chance, depth)
    items = dict(value)
    key = chance.choice(list(items))
    match chance.randrange(6):
        case 0:
            del items[key]
        case 1:
            items[str(chance.choice(ODD))[:40]] = items[key]
        case 2:
            items[key.upper() if chance.random() < 0.5 else key[:-1]] = items.pop(key)
        case _:
            items[key] = _changed(items[key], chance, depth + 1)
    return items


def _changed_list(value: list[Json], chance: random.Random, depth: int) -> Json:
    items = list(value)
    at = chance.randrange(len(items))
    match chance.randrange(5):
        case 0:
            del items[at]
        case 1:
            items.insert(at, items[at])
        case 2:
            items *= chance.choice((2, 50))
        case _:
            items[at] = _changed(items[at], chance, depth + 1)
    return items


def _odd(value: Json, chance: random.Random) -> Json:
    match chance.randrange(6):
        case 0:
            return [value]
        case 1:
            return {"x": value}
        case 2 if isinstance(value, str):
            at = chance.randrange(len(value) + 1)
            return f"{value[:at]}{chance.choice(ODD)}{value[at:]}"
        case 3:
            nested = value
            for _ in range(chance.choice((3, 40, 200))):
                nested = [nested]
            return nested
    return chance.choice(ODD)


def _tokens(seed: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Words and signs removed, doubled, exchanged, or taken from another seed."""
    tokens = _TOKEN.findall(seed) or [b""]
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(tokens))
        match chance.randrange(6):
            case 0:
                tokens[at] = b""
            case 1:
                tokens.insert(at, chance.choice(PIECES))
            case 2:
                other = chance.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at] = (tokens[at] * chance.choice((2, 3, 100)))[:MAX_BYTES]  # as often as five times
            case 4:
                theirs = _TOKEN.findall(chance.choice(list(others))) or [b""]
                start = chance.randrange(len(theirs))
                tokens[at : at + 2] = theirs[start : start + chance.randint(1, 12)]
            case _:
                tokens[at] = chance.choice(PIECES)
        tokens = tokens or [b""]
    return b"".join(tokens)


def _bytes(seed: bytes, chance: random.Random) -> bytes:
    """Bits, bytes and pieces anywhere."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + chance.randrange(8)]
            case 2:
                data[at:at] = data[: chance.randrange(30)]
            case 3:
                del data[at:]
            case _:
                data[at:at] = chance.choice(PIECES)
    return bytes(data)
