"""agentd's end of a session against workers that flood, stall, lie, die, or never read."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from aaos.core.errors import AaosError, InputError, WorkerLostError
from aaos.core.pace import Pace
from aaos.sandbox import session as session_module
from aaos.sandbox.session import QUEUE_FRAMES, WorkerSession
from tests.kernel.harness import DEADLINE_S, Stand, children, exit_of, inside, request, serve, start_frame
from worker import abi

RAW = """
import array, os, socket, time
agentd = socket.socket(fileno=3)
agentd.recv(65536)
"""


def _launched(stand: Stand, program: str | None = None) -> WorkerSession:
    return stand.run(stand.launcher.launch(request(program)))


def _ends_with(stand: Stand, program: str, error: type[AaosError], *, match: str) -> None:
    """The program makes `serve` raise; the session is closed and nothing of it is left."""
    session = _launched(stand, RAW + program)
    with pytest.raises(error, match=match):
        stand.run(serve(session))
    stand.run(session.close("it failed"))
    assert children() == [stand.zygote()]


def test_frames_arrive_in_order_and_the_end_is_told(stand: Stand) -> None:
    """BRK-1"""
    ended = stand.run(serve(_launched(stand, inside("for number in range(500):\n    say(number)"))))
    assert ended.said == [str(number) for number in range(500)]
    assert ended.reason == "the worker ended"


BREACHES = {
    "not JSON": "agentd.send(b'{')",
    "no frame": "agentd.send(b'[]')",
    "empty": "agentd.send(b'')\ntime.sleep(60)",
    "a frame of agentd's": 'agentd.send(b\'{"t":"stop","reason":"x"}\')',
    "a frame of the zygote's": 'agentd.send(b\'{"t":"spawned","id":1,"pid":1}\')',
    "an unknown field": 'agentd.send(b\'{"t":"log","text":"x","agent":"a-2"}\')',
    "a bool for a number": 'agentd.send(b\'{"t":"ready","v":true,"layers":[],"canaries":{},"steps":{}}\')',
    "too long": "agentd.send(b'x' * 65537)",
    "invalid UTF-8": 'agentd.send(b\'{"t":"log","text":"\\xff"}\')',
    "two documents": 'agentd.send(b\'{"t":"log","text":"x"}\' * 2)',
    "large without its memfd": 'agentd.send(b\'{"t":"large","size":9}\')',
    "fds": (
        'agentd.sendmsg([b\'{"t":"log","text":"x"}\'], '
        "[(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 3]))])"
    ),
    "large with more fds": (
        'agentd.sendmsg([b\'{"t":"large","size":0}\'], '
        "[(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [os.memfd_create('m'), 3]))])"
    ),
    "an unsealed memfd": (
        "m = os.memfd_create('m')\nos.write(m, b'{}')\nagentd.sendmsg([b'{\"t\":\"large\",\"size\":2}'], "
        "[(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [m]))])"
    ),
}


@pytest.mark.parametrize("breach", [name for name in BREACHES if name != "empty"])
def test_a_worker_that_breaks_the_wire_format_loses_its_session(stand: Stand, breach: str) -> None:
    """H-BRK-01, H-BRK-02, H-BRK-04, H-BRK-06, BRK-10: whatever it sent, and no fd of it stays in agentd."""
    before = len(os.listdir("/proc/self/fd"))
    _ends_with(stand, BREACHES[breach], WorkerLostError, match="broke the ABI")
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_empty_message_ends_the_session(stand: Stand) -> None:
    """H-BRK-01: it looks like the end of the socket, and is taken for it."""
    session = _launched(stand, RAW + BREACHES["empty"])

    async def ends() -> str:
        async with asyncio.timeout(DEADLINE_S):
            return await session.serve(start_frame(), lambda frame: None)

    assert stand.run(ends()) == "the worker ended"
    stand.run(session.close("it ended"))


def test_what_the_handler_refuses_ends_the_session(stand: Stand) -> None:
    """BRK-1: the same for what only the ABI's service can judge."""
    session = _launched(stand, inside("say('hello')"))

    def refuse(frame: abi.FromWorker) -> None:
        raise InputError("not this", "another")

    with pytest.raises(InputError, match="not this"):
        stand.run(session.serve(start_frame(), refuse))
    stand.run(session.close("refused"))


def test_a_worker_that_never_reads_loses_its_session_and_agentd_does_not_wait(stand: Stand) -> None:
    """H-BRK-09, BRK-9: the queue has a bound; fds that were queued are closed."""
    session = _launched(stand, RAW + "time.sleep(600)")
    frame = abi.Reply(1, {"text": "x" * 60_000})
    before = len(os.listdir("/proc/self/fd"))

    async def flood() -> None:
        serving = asyncio.create_task(session.serve(start_frame(), lambda frame: None))
        await asyncio.sleep(0)
        for _ in range(QUEUE_FRAMES + 100):
            session.send(frame, [0])
        async with asyncio.timeout(DEADLINE_S):
            await serving

    with pytest.raises(WorkerLostError, match="does not read"):
        stand.run(flood())
    stand.run(session.close("it stalled"))
    assert len(os.listdir("/proc/self/fd")) <= before - 2  # its socket and its pidfd went, too


def test_a_worker_that_reads_late_gets_every_frame_in_order(stand: Stand) -> None:
    """BRK-9: what did not fit is queued, with its fds."""
    program = """
total = []
for _ in range(40):
    data, control, _, _ = agentd.recvmsg(65536, 64)
    fds = array.array('i', control[0][2])
    total.append((data[:30].decode().split('"id":')[1].split(',')[0], os.read(fds[0], 10).decode()))
    os.close(fds[0])
agentd.send(b'{"t":"log","text":"%s"}' % repr(total).replace('"', "'").encode())
"""
    session = _launched(stand, RAW + program)
    read_end, write_end = os.pipe()
    said: list[str] = []

    def hear(frame: abi.FromWorker) -> None:
        if isinstance(frame, abi.Log):
            said.append(frame.text)

    async def send_all() -> None:
        serving = asyncio.create_task(session.serve(start_frame(), hear))
        await asyncio.sleep(0)
        for number in range(40):
            file = os.memfd_create("file")
            os.pwrite(file, f"file {number}".encode(), 0)
            session.send(abi.Reply(number, {"text": "x" * 20_000}), [file])
            os.close(file)
        async with asyncio.timeout(DEADLINE_S):
            await serving

    stand.run(send_all())
    stand.run(session.close("done"))
    os.close(read_end)
    os.close(write_end)
    assert said == [repr([(str(number), f"file {number}") for number in range(40)])]


def test_a_flood_of_one_worker_does_not_starve_another(stand: Stand) -> None:
    """H-BRK-10: sessions take turns."""
    flood = _launched(stand, inside("while True:\n    say('x')"))
    quiet = _launched(stand, inside("for n in range(20):\n    say(n)"))

    async def both() -> list[str]:
        flooding = asyncio.create_task(flood.serve(start_frame(), lambda frame: None))
        ended = await serve(quiet)
        await flood.close("enough")
        await flooding
        return ended.said

    assert stand.run(both()) == [str(n) for n in range(20)]


def test_frames_that_are_dear_to_answer_leave_others_their_turn(stand: Stand) -> None:
    """H-BRK-09: a turn ends by time as well as by number."""
    session = _launched(stand, inside("for n in range(20):\n    say(n)\ntime.sleep(600)"))
    seen: list[int] = []
    turns = 0

    def hear(frame: abi.FromWorker) -> None:
        time.sleep(0.01)
        seen.append(turns)

    async def both() -> None:
        nonlocal turns
        serving = asyncio.create_task(session.serve(start_frame(), hear))
        async with asyncio.timeout(DEADLINE_S):
            while len(seen) < 20:
                await asyncio.sleep(0)
                turns += 1
        await session.close("enough")
        await serving

    stand.run(both())
    assert len(set(seen)) == 20


DEATHS = {
    signal.SIGKILL: "import time\nsay('dying')\ntime.sleep(600)",
    signal.SIGSEGV: "say('dying')\nctypes.string_at(0)",
    signal.SIGSYS: "say('dying')\nCALLS['x32'] = 1 << 30\ncall('x32')",
}


@pytest.mark.parametrize("end", DEATHS, ids=lambda end: end.name)
def test_a_worker_that_dies_ends_its_session_at_once(stand: Stand, end: signal.Signals) -> None:
    """H-BRK-11, BRK-10: and what is sent afterwards is lost without an error."""
    session = _launched(stand, inside(DEATHS[end]))

    def hear(frame: abi.FromWorker) -> None:
        if end is signal.SIGKILL:
            os.kill(session.attestation.pid, end)

    async def die() -> tuple[int, int]:
        async with asyncio.timeout(DEADLINE_S):
            assert await session.serve(start_frame(), hear) == "the worker ended"
        session.send(abi.Stop("too late"))
        code, status = await asyncio.to_thread(exit_of, session)
        await session.close("it died")
        session.send(abi.Stop("later still"))
        return code, status

    code, status = stand.run(die())
    assert code in (os.CLD_KILLED, os.CLD_DUMPED)
    assert status == end
    assert children() == [stand.zygote()]


@pytest.mark.parametrize("state", ["waiting", "stopped", "busy", "sleeping"])
def test_a_worker_in_any_state_is_gone_when_its_session_is_closed(stand: Stand, state: str) -> None:
    """H-SBX-18, H-BRK-11: PID 1 of its namespace ignores SIGTERM; it is killed."""
    programs = {"busy": "while True: pass", "sleeping": "import time\nwhile True: time.sleep(600)"}
    session = _launched(stand, programs.get(state))
    pid = session.attestation.pid

    async def close() -> None:
        serving = asyncio.create_task(session.serve(start_frame(), lambda frame: None))
        await asyncio.sleep(0)
        if state == "stopped":
            os.kill(pid, signal.SIGSTOP)
        async with asyncio.timeout(DEADLINE_S):
            await session.close("stopped by the operator")
            assert await serving == "stopped by the operator"

    stand.run(close())
    assert not Path(f"/proc/{pid}").exists()


def test_closing_twice_is_closing_once(stand: Stand) -> None:
    """ISO-11: an id is given back once."""
    session = _launched(stand)

    async def close_all() -> None:
        await asyncio.gather(*(session.close(f"reason {n}") for n in range(3)))
        await session.close("again")

    stand.run(close_all())
    assert stand.launcher._yard._ids.leased == 0
    assert Counter(stand.launcher._yard._ids._free).most_common(1)[0][1] == 1


def test_a_worker_ends_when_agentd_closes_its_socket(stand: Stand) -> None:
    """ISO-13: also without a kill."""
    session = _launched(stand)
    session._confined.sock.close()
    ended = os.waitid(os.P_PID, session.attestation.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert ended.si_code == os.CLD_EXITED
    stand.run(session.close("it ended"))


def test_a_close_that_is_cancelled_still_leaves_nothing(stand: Stand) -> None:
    """ISO-11: the id is given back, and the process is collected when it ends."""
    session = _launched(stand)

    async def cancelled() -> None:
        closing = asyncio.create_task(session.close("stopped"))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert stand.launcher._yard._ids.leased == 0
        async with asyncio.timeout(DEADLINE_S):
            while stand.workers():  # noqa: ASYNC110  # the kernel's event
                await asyncio.sleep(0.001)

    before = len(os.listdir("/proc/self/fd"))
    stand.run(cancelled())
    assert len(os.listdir("/proc/self/fd")) == before - 2  # socket and pidfd


LARGE_FRAMES = """
import fcntl, json
def large(text):
    data = json.dumps({"t": "log", "text": text}).encode()
    memfd = os.memfd_create("m", os.MFD_ALLOW_SEALING)
    os.write(memfd, data)
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, 15)
    message = json.dumps({"t": "large", "size": len(data)}).encode()
    agentd.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memfd]))])
    os.close(memfd)
for number in range(8):
    large(str(number) + "x" * 100_000)
agentd.send(b'{"t":"finish","ok":true,"text":""}')
"""


def test_who_sends_large_frames_waits_and_loses_none(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """BRK-9, H-BRK-10: bytes count, not only frames; the loop is free for the others meanwhile."""
    monkeypatch.setattr(session_module, "LARGE", Pace(per_s=500_000, burst=200_000))
    session = _launched(stand, RAW + LARGE_FRAMES)
    began_s = time.monotonic()
    ended = stand.run(serve(session))
    assert [text[0] for text in ended.said] == list("01234567")
    assert time.monotonic() - began_s >= (7 * 100_000 - 200_000) / 500_000


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_worker_that_is_halted_does_nothing_until_the_last_of_them_ends(stand: Stand) -> None:
    """BRK-6: it is the kernel's stop, seen before anything relies on it, whatever the worker is at."""
    session = _launched(stand, RAW + "while True:\n    pass\n")
    pid = session.attestation.pid

    async def halted() -> None:
        session.send(start_frame())
        for _ in range(20):
            async with session.halted():
                assert _state(pid) == "T"
                async with session.halted():
                    assert _state(pid) == "T"
                await asyncio.sleep(0.001)
                assert _state(pid) == "T"
            assert _state(pid) != "T"

    stand.run(halted())
    stand.run(session.close("done"))
    assert children() == [stand.zygote()]


@pytest.mark.parametrize("ends_how", ["killed", "closed"])
def test_a_worker_that_ends_while_it_is_halted_is_collected(stand: Stand, ends_how: str) -> None:
    """A stop keeps nobody from being killed, and no signal goes to whoever gets the number next."""
    session = _launched(stand, RAW + "while True:\n    pass\n")

    async def halted() -> None:
        session.send(start_frame())
        async with session.halted():
            if ends_how == "killed":
                os.kill(session.attestation.pid, signal.SIGKILL)
                async with session.halted():  # one that is gone writes nothing
                    pass
            else:
                await session.close("stopped")

    stand.run(halted())
    stand.run(session.close("done"))
    assert children() == [stand.zygote()]
