"""Real workers for the kernel tests: a launcher on a real zygote, hostile programs and what became of them.

Invariant: a program runs only in a session that `launch` confirmed, so no attack is tried on an unconfined process;
every wait has a deadline. The layer that build machines lack (cgroup v2) is left out by name, as an operator would.
"""

import asyncio
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyseccomp

from aaos.core.config import Settings, WorkerSettings
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import AgentId, Gid, RunId, SubtaskId, Uid
from aaos.core.layers import Layer
from aaos.core.ports import Held, LaunchRequest, Root
from aaos.sandbox.launch import ZygoteLauncher
from aaos.sandbox.session import WorkerSession
from worker import abi
from worker.wall import syscalls

HERE = Path(__file__).parent
TREE = HERE.parent.parent
REDUCED = frozenset({Layer.CGROUP})
OWNER = 1234
STRANGER = 4321
DEADLINE_S = 20.0
EXITED, KILLED = os.CLD_EXITED, os.CLD_KILLED

T = TypeVar("T")
Program = str | bytes


@dataclass(slots=True)
class Audit:
    """An audit that keeps its events."""

    events: list[Event] = field(default_factory=list)

    def record(self, event: Event) -> Recorded:
        self.events.append(event)
        return Recorded(len(self.events), 0.0, event)

    def record_all(self, events: Sequence[Event]) -> list[Recorded]:
        return [self.record(event) for event in events]

    def count(self, kind: EventKind) -> int:
        return sum(event.kind is kind for event in self.events)


@dataclass(slots=True)
class Ended:
    """What became of a program: its lines, why its session ended, and its process's end as waitid(2) tells it."""

    said: list[str]
    reason: str
    code: int
    status: int

    @property
    def was_killed_by(self) -> int:
        """The signal that ended it; 0 when it exited."""
        return 0 if self.code == EXITED else self.status


def loaded_filters(pid: int) -> tuple[bytes, ...]:
    """The seccomp filters of a process, which is stopped for a moment."""
    syscalls.seize(pid)
    deadline_s = time.monotonic() + DEADLINE_S
    while not syscalls.has_stopped(pid):
        assert time.monotonic() < deadline_s, "it did not stop"
        time.sleep(0.001)
    try:
        return syscalls.dump_filters(pid)
    finally:
        syscalls.let_go(pid)


def settings(**worker: int) -> Settings:
    """Default settings with these numbers in section [worker]; nothing is parked unless it is said."""
    return Settings(worker=WorkerSettings(**{"parked": 0, **worker}))


@asynccontextmanager
async def launcher(
    without: frozenset[Layer] = REDUCED, *, audit: Audit | None = None, boot: Path | None = None, **worker: int
) -> AsyncIterator[ZygoteLauncher]:
    """A started launcher under supervision, on the zygote that `boot` boots."""
    with tempfile.TemporaryDirectory(prefix="aaos-kernel-") as name:
        options = {} if boot is None else {"boot": boot}
        made = ZygoteLauncher(
            settings(**worker), audit or Audit(), without=without, template_dir=Path(name, "template"), **options
        )
        try:
            await made.start()
            supervision = asyncio.create_task(made.supervise())
            try:
                yield made
            finally:
                supervision.cancel()
                await asyncio.wait((supervision,))
        finally:
            await made.stop()


def request(program: Program | None = None, roots: Sequence[Root] = (), *, agent: str = "a-1") -> LaunchRequest:
    """A worker that runs `program`, or the idle turn loop."""
    source = program.encode() if isinstance(program, str) else program
    entry = "loop" if source is None else "program"
    return LaunchRequest(RunId("r-1"), SubtaskId("s"), AgentId(agent), entry, tuple(roots), source)


@contextmanager
def granted(path: Path, *, writable: bool = False, as_owner: bool = False) -> Iterator[Root]:
    """A directory as a kernel-held root."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    status = os.fstat(fd)
    owner = Uid(status.st_uid), Gid(status.st_gid)
    try:
        yield Root(str(path), fd, stat.S_ISDIR(status.st_mode), writable, as_owner, *owner, Held.KERNEL)
    finally:
        os.close(fd)


def boot_script(directory: Path, before: str) -> Path:
    """A boot of the zygote that runs `before` ahead of serving; all modules of the wall are at hand in it."""
    script = directory / "boot.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(TREE)!r})\n"
        "from worker.wall import confine, mounts, rules, syscalls, zygote\n"
        f"{before}\nzygote.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])\n"
    )
    return script


def start_frame(goal: str = "") -> abi.Start:
    """The first frame to a worker."""
    return abi.Start(v=abi.VERSION, agent="a-1", goal=goal, params={}, tools=(), grants=(), credits=1)


async def serve(session: WorkerSession) -> Ended:
    """Run a launched program to its end."""
    said: list[str] = []

    def hear(frame: abi.FromWorker) -> None:
        if isinstance(frame, abi.Log):
            said.append(frame.text)

    async with asyncio.timeout(DEADLINE_S):
        reason = await session.serve(start_frame(), hear)
        code, status = await asyncio.to_thread(exit_of, session)
        await session.close("the test is over")
    return Ended(said, reason, code, status)


def exit_of(session: WorkerSession) -> tuple[int, int]:
    """How the worker's process ended; it stays to be reaped."""
    ended = os.waitid(os.P_PIDFD, session._confined.pidfd, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_code, ended.si_status


async def until_said(session: WorkerSession) -> str:
    """Start a program and wait for its first line; it goes on without anybody who listens."""
    line: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hear(frame: abi.FromWorker) -> None:
        if isinstance(frame, abi.Log) and not line.done():
            line.set_result(frame.text)

    serving = asyncio.create_task(session.serve(start_frame(), hear))
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait((line, serving), return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    return line.result()


async def run_on(made: ZygoteLauncher, program: Program, *roots: Root) -> Ended:
    """Launch one program and run it to its end."""
    return await serve(await made.launch(request(program, roots)))


def run_program(source: str, *, roots: Sequence[Root] = (), without: frozenset[Layer] = REDUCED) -> list[str]:
    """What the program says in a worker of its own, from a zygote of its own."""

    async def run() -> list[str]:
        async with launcher(without) as made:
            return (await run_on(made, source, *roots)).said

    return asyncio.run(run())


class Stand:
    """One launcher for all tests of a module, on an event loop that lives as long."""

    def __init__(self, without: frozenset[Layer] = REDUCED, *, boot: Path | None = None, **worker: int) -> None:
        self.audit = Audit()
        self._runner = asyncio.Runner()
        self._context = launcher(without, audit=self.audit, boot=boot, **worker)
        try:
            self.launcher = self.run(self._context.__aenter__())
        except BaseException:
            self._runner.close()
            raise

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` on the stand's loop."""
        return self._runner.run(work)

    def attack(self, source: str, *roots: Root) -> Ended:
        """Run an attack, which finds the functions of programs/inside.py."""
        return self.run(run_on(self.launcher, inside(source), *roots))

    def zygote(self) -> int:
        """The pid of the living zygote."""
        living = self.launcher._zygote
        assert living is not None
        return living.pid

    def workers(self) -> list[int]:
        """Children of this process that are in a pid namespace of their own, zombies included."""
        return [pid for pid in children() if is_confined(pid)]

    def close(self) -> None:
        """End the zygote and the loop."""
        self.run(self._context.__aexit__(None, None, None))
        self._runner.close()


def children() -> list[int]:
    """All children of this process."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def is_confined(pid: int) -> bool:
    """Whether a process, or a zombie, has an id in a pid namespace below this one."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(line.startswith("NSpid:") and len(line.split()) > 2 for line in lines)


def inside(source: str) -> str:
    """A program with the functions of programs/inside.py at hand."""
    prelude = (HERE / "programs" / "inside.py").read_text()
    return f"{prelude}\nCALLS.update({_numbers(source)!r})\n{source}\n"


def _numbers(source: str) -> dict[str, int]:
    """The numbers of the system calls that a program names in call("…")."""
    names = {part.split('"')[0] for part in source.split('call("')[1:]}
    return {name: pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in names}
