"""Fuzzing of what we write about foreign things, read back by others: archives of hostile trees by tarfile, JSON text
of any value by the json module.

Invariant: a tree is made in a directory of this process alone and is removed before the next.
"""

import io
import json
import marshal
import os
import random
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aaos.broker.archive import Told, _header, _info, archive, list_entries
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root
from qa.fuzz.leftovers import scene
from qa.fuzz.mutators import ODD, Json
from worker import abi
from worker.jsontext import json_encoder

_NAMES: Final = (
    b"a", b"\n", b"\x1b[2J", b"\xff\xfe", b"-rf", b"\xe2\x80\xae", b"=", b"12 path=x\n", b" ", b"\\", b"\xc3\xa9",
    b"..a", b"GNU.sparse.name", b"%s", b"n" * 90, b"\xed\xa0\x80", b"e\xcc\x81",
)  # fmt: skip
_NUMBERS: Final = (0, 1, 0o777, 8**7 - 1, 8**7, 8**11 - 1, 8**11, 2**32 - 1, 2**53, 2**63 - 1)
_HOLE_BYTES: Final = 40_000
Value = Json | tuple["Value", ...]


def heads(chance: random.Random) -> bytes:
    """The name, a link's target and the numbers of an entry, as nobody would choose them."""
    name, target = (b"".join(chance.choices(_NAMES, k=chance.randint(1, 4))) for _ in range(2))
    return marshal.dumps((name, target, chance.choices(_NUMBERS, k=4), chance.choice((-(2**62), -1, 0, 1, 2**40))))


def archive_head(data: bytes) -> bool:
    """The head of an entry: tarfile reads the same name, target and numbers, and finds the next entry; taken are those
    whose head is one block."""
    name, target, numbers, changed_s = marshal.loads(data)  # noqa: S302  # made here
    mode, owner, group, size = numbers[0] & 0xFFFF, numbers[1] & 0xFFFFFFFF, numbers[2] & 0xFFFFFFFF, numbers[3]
    status = os.stat_result((mode, 1, 1, 1, owner, group, size, 0, changed_s, 0))
    info = _info(f"r/{os.fsdecode(name)}", status)
    info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(target)
    text = _header(info)
    end = _header(_info("end", os.stat_result((0,) * 10)))
    with tarfile.open(fileobj=io.BytesIO(text + end + bytes(1_024))) as file:
        found, last = file.getmembers()
    assert last.name == "end"
    assert (os.fsencode(found.name), os.fsencode(found.linkname)) == (b"r/" + name.rstrip(b"/"), target)
    assert (found.uid, found.gid, found.mtime) == (owner, group, max(0, changed_s))
    assert found.mode == mode & 0o777
    return len(text) == tarfile.BLOCKSIZE


def trees(chance: random.Random) -> bytes:
    """A few entries: kind, name, and a number that its kind makes something of."""
    kinds = "file file holes link pipe hard dir device".split()
    made = []
    for _ in range(chance.randint(1, 6)):
        name = b"".join(chance.choices(_NAMES, k=chance.randint(1, 2)))
        made.append((chance.choice(kinds), name, chance.choice((0, 1, 511, 512, 513, 4_096, _HOLE_BYTES))))
    return marshal.dumps(made)


def archived_tree(data: bytes) -> bool:
    """An archive of a tree: each file whole, each link as it is, and nothing else; taken are trees of which nothing had
    to be left out."""
    place = scene() / "tree"
    place.mkdir()
    try:
        content, left_out = _made(place, marshal.loads(data))  # noqa: S302  # made here
        fd, told = os.open(place, os.O_PATH | os.O_DIRECTORY), Told()
        try:
            root = Root(str(place), fd, True, False, False, Uid(0), Gid(0), Held.GATE)
            pieces = b"".join(archive(root, "r", told))
            entries, is_all = list_entries(root, 100)
        finally:
            os.close(fd)
    finally:
        shutil.rmtree(place)
    with tarfile.open(fileobj=io.BytesIO(pieces)) as file:
        found = {os.fsencode(one.name)[2:]: _content_of(file, one) for one in file}
    assert found == content, (found, content)
    assert (told.entries, told.skipped) == (len(content), left_out)
    assert is_all
    assert len(entries) == len(content) + left_out
    return not left_out


def _content_of(file: tarfile.TarFile, one: tarfile.TarInfo) -> bytes | None:
    if one.issym():
        return os.fsencode(one.linkname)
    opened = file.extractfile(one) if one.isreg() or one.islnk() else None
    return opened.read() if opened else None


def _made(place: Path, wanted: list[tuple[str, bytes, int]]) -> tuple[dict[bytes, bytes | None], int]:
    """Makes the entries; what an archive must have by name, and how many cannot be in it."""
    content: dict[bytes, bytes | None] = {}
    left_out: set[bytes] = set()
    for kind, name, number in wanted:
        if name in content or name in left_out:
            continue
        path, files = os.fsencode(place) + b"/" + name, [one for one, text in content.items() if text]
        if kind in ("pipe", "device"):
            os.mkfifo(path) if kind == "pipe" or os.geteuid() else os.mknod(
                path, stat.S_IFCHR | 0o600, os.makedev(1, 5)
            )
            left_out.add(name)
        elif kind == "dir":
            os.mkdir(path)
            content[name] = None
        elif kind == "link":
            content[name] = name * (number % 3 + 1)
            os.symlink(content[name] or b"", path)
        elif kind == "hard" and files and stat.S_ISREG(os.lstat(os.fsencode(place) + b"/" + files[0]).st_mode):
            os.link(os.fsencode(place) + b"/" + files[0], path)
            content[name] = content[files[0]]
        else:
            content[name] = _written(path, number, has_holes=kind == "holes")
    return content, len(left_out)


def _written(path: bytes, size: int, *, has_holes: bool) -> bytes:
    """Writes a file; its content."""
    with open(path, "wb") as file:
        if has_holes:
            file.seek(size * 3)
        file.write(b"x" * size)
        if has_holes:
            file.truncate(size * 9 + 5)
    return bytes(size * 3) + b"x" * size + bytes(size * 5 + 5) if has_holes else b"x" * size


def values(chance: random.Random) -> bytes:
    """A value with what JSON has no word for, now and then."""
    return marshal.dumps(_value(chance, 0))


def _value(chance: random.Random, depth: int) -> Value:
    match chance.randrange(7 if depth < 4 else 3):
        case 0:
            return chance.choice((*ODD, float("nan"), float("inf"), -0.0, 5e-324, 10**400, "\ud83d", "\x7f\x80\uffff"))
        case 1:
            return "".join(
                chr(chance.choice((chance.randrange(128), chance.randrange(0xD7FF), 0x1F600))) for _ in "abc"
            )
        case 2:
            return chance.choice((chance.getrandbits(64), chance.random(), chance.getrandbits(52) * 10.0**-20))
        case 3 | 4:
            keys = chance.choices(
                ("a", "b", "", "\u2028", 1, None, True, 1.5, b"x", "t", "\ud800"), (*[9] * 4, *[1] * 7), k=3
            )
            return {key: _value(chance, depth + 1) for key in keys}
        case 5:
            return tuple(_value(chance, depth + 1) for _ in range(chance.randrange(4)))
    return [_value(chance, depth + 1) for _ in range(chance.randrange(4))]


_OPTIONS: Final = tuple(
    {"ensure_ascii": ascii_only, "sort_keys": is_sorted, "allow_nan": with_nan}
    for ascii_only in (True, False)
    for is_sorted in (True, False)
    for with_nan in (True, False)
)
_ENCODERS: Final = tuple((json_encoder(**options), options) for options in _OPTIONS)  # type: ignore[arg-type]  # no default


def json_text(data: bytes) -> bool:
    """A value as JSON text: what json.dumps gives or raises; as a frame: what json.dumps gives, or a refusal; taken are
    those that JSON has words for."""
    value = marshal.loads(data)  # noqa: S302  # made here
    for encode, options in _ENCODERS:
        expected = _outcome(lambda: json.dumps(value, separators=(",", ":"), **options))  # type: ignore[arg-type]  # noqa: B023  # called at once
        assert _outcome(lambda: encode(value)) == expected, options  # noqa: B023  # called at once
    frame = abi.Reply(1, {"value": value})
    plain = _outcome(lambda: json.dumps({"t": "reply", "id": 1, "value": {"value": value}}, separators=(",", ":"),
                                        ensure_ascii=False, allow_nan=False).encode())  # fmt: skip
    try:
        sent = abi.encode(frame)
    except abi.FrameError:
        assert isinstance(plain, type), plain
        return False
    assert sent == plain
    return True


def _outcome(act: Callable[[], object]) -> object:
    """What it gives, or the kind of what it raises."""
    try:
        return act()
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        return type(error)


HEADS = (marshal.dumps((b"a", b"b", [0o644, 0, 0, 1], 1)),)
TREES = (marshal.dumps([("file", b"a", 513), ("holes", b"b", 4_096), ("hard", b"c", 0), ("dir", b"d", 0)]),)
VALUES = (marshal.dumps({"a": [1, 2.5, None, True, "\u00e9\u2028"], "b": {}}),)
