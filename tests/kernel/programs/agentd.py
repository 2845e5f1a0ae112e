"""A process that stands for agentd: a launcher with live workers, to be killed or looked at. It prints what it has.

argv: `idle` launches workers and sleeps; `terminal` takes its stdin for its controlling terminal, which a worker then
attacks.
"""

import asyncio
import fcntl
import json
import sys
import termios
from pathlib import Path

from tests.kernel.harness import inside, launcher, request, serve, start_frame

BUSY = "while True: pass"  # it neither reads its socket nor sleeps
PUSH_INTO_TERMINAL = """
import os
for fd in range(4):
    say(os.isatty(fd))
for request in (0x5412, 0x1_0000_5412):
    attempt(lambda: call("ioctl", 0, request, b"x"))
attempt(lambda: os.open("/dev/tty", os.O_RDWR))
"""


def tell(**facts: object) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def terminal_of(pid: int | str) -> int:
    """The device number of a process's controlling terminal, 0 for none. Source: proc_pid_stat(5), tty_nr."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4])


async def idle() -> None:
    """Six workers: two that wait, one that is busy, one that was launched and never started, two that are parked."""
    async with launcher(parked=2) as made:
        sessions = [
            await made.launch(request(program, agent=f"a-{n}")) for n, program in enumerate((None, None, BUSY, BUSY))
        ]
        for session in sessions[:3]:
            session.send(start_frame())
        assert made._zygote is not None
        while made.parked < 2:  # noqa: ASYNC110  # the launcher tells nobody
            await asyncio.sleep(0.002)
        parked = [worker.pid for worker in made._yard._parked]
        tell(zygote=made._zygote.pid, workers=[session.attestation.pid for session in sessions] + parked)
        await asyncio.sleep(600)


async def terminal() -> None:
    """A worker of a daemon that was started from a terminal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    async with launcher() as made:
        assert made._zygote is not None
        session = await made.launch(request(inside(PUSH_INTO_TERMINAL)))
        terminals = [terminal_of(pid) for pid in ("self", made._zygote.pid, session.attestation.pid)]
        tell(terminals=terminals, said=(await serve(session)).said)


if __name__ == "__main__":
    asyncio.run({"idle": idle, "terminal": terminal}[sys.argv[1]]())
