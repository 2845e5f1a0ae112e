"""What is left in the zygote's memory is in every later worker's: nothing of one agent is found there by another."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.kernel.harness import Stand, granted, inside, request, serve

PROGRAM, AGENT, DIRECTORY, OWN_TEXT = "text-of-a-program", "a-name-of-an-agent", "name-of-a-directory", "planted-text"

# WANTED holds the texts with every bit turned, and pages are turned before they are searched, so that what is looked
# for is not found in the list of what is looked for. write(2) tells a page that is there from one that is not.
SCAN = """
import gc, os
PAGE, MIB = 4096, 1 << 20
CALLS["brk"] = 12
turn = bytes(255 - byte for byte in range(256))
turned = [bytes.fromhex(text) for text in WANTED]
copy = os.memfd_create("page")
def page(address):
    os.lseek(copy, 0, os.SEEK_SET)
    there = libc.write(copy, ctypes.c_void_p(address), ctypes.c_size_t(PAGE)) == PAGE
    return os.pread(copy, PAGE, 0) if there else b""
end = call("brk", 0)
heap = range((end - 64 * MIB) & -PAGE, end, PAGE)
arenas = (range(at, at + MIB, PAGE) for at in sorted({id(thing) // MIB * MIB for thing in gc.get_objects()}))
found, before = set(), b""
for places in (heap, *arenas):
    for address in places:
        data = page(address)
        found |= {text for text in turned if text in (before[-256:] + data).translate(turn)}
        before = data
say(sorted(turned.index(text) for text in found))
"""


def _scan(*wanted: str, planted: str) -> str:
    turned = [bytes(255 - byte for byte in text.encode()).hex() for text in wanted]
    return inside(f"WANTED = {turned!r}\nplanted = 'this is ' + {planted!r} + '!'\n{SCAN}")


@pytest.mark.parametrize("times", [1, 20])
def test_a_worker_finds_nothing_of_another_agent_in_its_memory(tmp_path: Path, times: int) -> None:
    """ISO-13, H-CAP-14: neither its program nor its name nor what it was granted; what it has itself it finds."""
    directory = tmp_path / DIRECTORY
    directory.mkdir(mode=0o755)
    program = inside(f"kept = {PROGRAM!r} * 200\nsay('ran')")
    with closing(Stand()) as stand, granted(directory) as root:
        for _ in range(times):
            session = stand.run(stand.launcher.launch(request(program, (root,), agent=AGENT)))
            assert stand.run(serve(session)).said == ["ran"]
        scan = _scan(PROGRAM, AGENT, DIRECTORY, OWN_TEXT, planted=OWN_TEXT)
        assert stand.run(serve(stand.run(stand.launcher.launch(request(scan))))).said == ["[3]"]
