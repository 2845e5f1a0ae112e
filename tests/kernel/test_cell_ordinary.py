"""Ordinary programs of Debian in cells: under the filter that is shipped they do their work and complain of nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.ports import Root
from aaos.sandbox import filters
from aaos.sandbox.filters import Profile, Refusal, compile_filter
from tests.kernel.cells import PYTHON, cell, run
from tests.kernel.harness import OWNER, Stand, granted

PROGRAMS = ("/usr/bin",)
WORK = {
    "copies": "echo a > a; cp a b; cp -a a c; mv b d; install -m 750 a e; ln a f; ln -s a g; test -L g; cat c d e",
    "modes and times": "echo a > a; chmod 640 a; touch -d 2020-01-01 a; stat -c %a a; truncate -s 9 a; mkfifo /tmp/p",
    "directories": "mkdir -p x/y/z; echo a > x/y/z/a; mv x/y/z x/b; find x -type f; du -s x; rm -r x; mktemp -d",
    "text": "printf '2\\n1\\n' | sort | tee t; sed -i s/1/3/ t; grep -c 3 t; wc -l t; head -n 1 t; md5sum t",
    "archives": "echo a > a; tar cf t.tar a; gzip t.tar; tar xzf t.tar.gz; dd if=/dev/zero of=z bs=1k count=4 2> e",
    "processes": "sleep 0.01 & wait; timeout 5 true; nice true; echo 1 2 | xargs -n 1 -P 2 echo; kill -0 $$",
    "questions": "date; id; nproc; uname -a; env; readlink /proc/self/exe; test -t 0 || echo none",
}
MEMORY = 2**29  # as wrappers have; of it, where there are no cgroups, glibc reserves 64 MiB for each thread at work
PYTHON_WORK = """
import asyncio, concurrent.futures, fcntl, mmap, os, resource, select, shutil, signal, socket, sqlite3, subprocess
import tempfile, threading
print(subprocess.run(["/usr/bin/echo", "sub"], capture_output=True, check=True).stdout)
async def start():
    process = await asyncio.create_subprocess_exec("/usr/bin/true")
    print(await process.wait())
asyncio.run(start())
together = threading.Barrier(4, timeout=10)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(lambda number: together.wait() * 0 + number, range(8))))
base = sqlite3.connect("/tmp/base")
base.execute("pragma journal_mode=wal")
base.execute("create table t (x)")
base.commit()
with tempfile.NamedTemporaryFile() as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX)
    os.posix_fallocate(file.fileno(), 0, 4096)
    mmap.mmap(file.fileno(), 4096).close()
    shutil.copy2(file.name, "/tmp/copy")
mmap.mmap(-1, 4096, prot=7).close()
signal.setitimer(signal.ITIMER_REAL, 60)
os.sched_setaffinity(0, os.sched_getaffinity(0))
left, right = socket.socketpair()
select.select([], [left], [], 1)
os.pidfd_open(os.getpid())
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 60))
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A workspace of OWNER, granted for writing."""
    os.chown(tmp_path, OWNER, OWNER)
    with granted(tmp_path, writable=True, as_owner=True) as opened:
        yield opened


@pytest.mark.parametrize("work", WORK.values(), ids=list(WORK))
def test_programs_do_their_work(stand: Stand, root: Root, work: str) -> None:
    """H-SBX-22: nothing that they need is refused, and what is refused they do without."""
    result = run(stand, cell("/bin/sh", "-ec", work, roots=[root], cwd=root.path, exec_paths=PROGRAMS))
    assert (result.end.value, result.exit_code, result.stderr) == ("exited", 0, b""), result


def test_python_does_its_work_and_meets_no_refusal_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SBX-22: under the filter whose refusals kill, so that none goes unseen."""
    program = compile_filter(Profile.CELL, refusal=Refusal.TRAP)
    monkeypatch.setattr(filters, "cell_filter", lambda profile: program)
    stand = Stand()
    try:
        work = cell(PYTHON, "-I", "-c", PYTHON_WORK, exec_paths=PROGRAMS, memory_bytes=MEMORY)
        result = run(stand, work)
    finally:
        stand.close()
    assert (result.end.value, result.exit_code) == ("exited", 0), result
    assert result.stdout == b"b'sub\\n'\n0\n28\n"
