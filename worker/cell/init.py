"""PID 1 of a cell: starts the one program, collects whatever dies, and says how the program ended.

It is forked, not exec'ed, and keeps no secret: it has the zygote's empty environment and one socket, which the program
does not inherit. Invariant: when it returns, which it does when the program has ended or agentd's end of the socket has
closed, the kernel kills all that is left of the cell.
"""

import os
import resource
import select
import signal
import socket
from collections.abc import Sequence

from worker import transport
from worker.cell.frames import TO_CONFIRMED, Ended, Exec, NotStarted, Report

_KIB = 1024
_WAKE_BYTES = 4096
_ORDINARY = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}  # who started agentd may ignore any of them


def run(sock: socket.socket) -> None:
    """Wait for agentd's word, run its program to the end, report. Returns early when agentd goes away."""
    try:
        order, fds = transport.receive(sock, TO_CONFIRMED)
        report = _run(sock, order, fds)
        if report is not None:
            transport.send(sock, report)
    except (transport.ClosedError, BrokenPipeError, ConnectionResetError):
        return


def _run(sock: socket.socket, order: Exec, fds: Sequence[int]) -> Report | None:
    woken, wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        pid = _start(order, *fds)
    except (OSError, ValueError) as error:
        return NotStarted(getattr(error, "strerror", None) or str(error))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of PID 1 the kernel ignores those without a handler
    transport.close_all(fds)
    return _wait(sock, pid, woken)


def _start(order: Exec, program: int, stdout: int, stderr: int, stdin: int = 0) -> int:
    """Its pid. It gets three standard streams and nothing else, since every other fd is closed by the exec, and
    ordinary signals; nothing of this process is copied for it. Raises OSError, ValueError. Source: posix_spawn(3)."""
    os.chdir(order.cwd)
    return os.posix_spawn(
        f"/proc/self/fd/{program}",
        order.argv,
        order.env,
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((stdin, stdout, stderr))],
        setsid=True,
        setsigmask=(),
        setsigdef=_ORDINARY,
    )


def _wait(sock: socket.socket, pid: int, woken: int) -> Report | None:
    """Collect until `pid` is among the dead; None when agentd closed its end first, or spoke out of turn."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        status = _collect(pid)
        if status is not None:
            return _report(status)
        ready = {fd for fd, _ in poll.poll()}
        if sock.fileno() in ready:
            return None
        os.read(woken, _WAKE_BYTES)


def _collect(pid: int) -> int | None:
    """Every zombie there is; the wait status of `pid` if it was one."""
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if found == 0:
            return None
        if found == pid:
            return status


def _report(status: int) -> Ended:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        cpu_us=int((used.ru_utime + used.ru_stime) * 1e6),
        peak_bytes=used.ru_maxrss * _KIB,
    )
