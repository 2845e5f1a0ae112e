"""One agent from its role to its outcome; its worker is a thread that runs the product's own loop."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.agent.registry import Registry
from aaos.agent.replay import Past, read_past
from aaos.agent.runner import AgentRunner, Parts
from aaos.broker.changes import now_ns
from aaos.broker.files import FileBroker
from aaos.core.capability import Capability, Kind
from aaos.core.constraint import Constraints
from aaos.core.envelope import Envelope, Submitter
from aaos.core.errors import AaosError, BusyError, DeniedError, InputError, LimitError, ToolError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.ids import AgentId, Gid, RoleName, RunId, SubtaskId, Uid
from aaos.core.ports import AgentOutcome, AgentTask, LaunchRequest
from aaos.core.role import Parameter, ParameterType, Role, RoleLimits, Tier
from aaos.core.token import TokenBox
from aaos.daemon.clock import SystemClock
from aaos.llm import types as llm
from aaos.llm.budget import Accounts
from aaos.tools.catalog import CATALOG
from aaos.tools.gate import Gate
from tests.fakes import (
    Agent,
    AtOnce,
    MemoryAudit,
    MemoryConversations,
    MemoryLedger,
    MemorySpends,
    ScriptedModel,
    ThreadLauncher,
)
from worker import abi, transport
from worker.user import entry
from worker.user.client import Abi

PATH = Parameter(ParameterType.PATH, required=True, default=None)
READER = Role(
    name=RoleName("reader"),
    summary="reads",
    entry="loop",
    parameters={"path": PATH},
    capabilities=({"tool": "file_read"}, {"file_read": "{path}"}),
    system="be exact",
    message="read {path}",
    tiers=(Tier.T0,),
)
WRITER = replace(
    READER,
    name=RoleName("writer"),
    entry="program",
    code_calls=True,
    capabilities=({"tool": "file_write"}, {"file_write": "{path}"}),
)


@contextlib.contextmanager
def nobody_else(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Acts as the one who runs the tests."""
    del uid, gid, groups
    yield


Answer = llm.ModelAnswer | AaosError | None


class Bench:
    """A runner with everything but a wall and a database."""

    def __init__(
        self,
        *answers: Answer,
        agent: Agent | None = None,
        places: int = 4,
        rows: tuple[MemoryLedger, MemoryConversations] | None = None,
        model: ScriptedModel | None = None,
    ) -> None:
        self.audit = MemoryAudit()
        self.ledger, self.conversations = rows or (MemoryLedger(), MemoryConversations())
        self.launcher = ThreadLauncher(lambda request: agent or product(request))
        self.model = model or ScriptedModel(*answers)
        self.registry = Registry(places)
        self.tokens = TokenBox(SystemClock())
        lock = threading.Lock()

        def files(submitter: Submitter) -> FileBroker:
            return FileBroker(submitter, publishing_lock=lock, act=nobody_else)

        gate = Gate(CATALOG, tokens=self.tokens, ledger=self.ledger, audit=self.audit, files=files, clock=SystemClock())
        self.runner = AgentRunner(
            Parts(
                launcher=self.launcher,
                gate=gate,
                tokens=self.tokens,
                models=self.model,
                accounts=Accounts(MemorySpends()),
                conversations=self.conversations,
                steps=AtOnce(),
                audit=self.audit,
                note=self.audit.note,
                registry=self.registry,
                files=files,
                past=self.past,
                catalog=CATALOG,
                clock=SystemClock(),
            )
        )

    def past(self, agent: AgentId) -> Past:
        """What the rows have of an agent."""
        rows = [(role, body) for owner, role, body in self.conversations.rows if owner == agent]
        return read_past(rows, self.ledger.of_agent(agent))

    def run(self, task: AgentTask, *, is_clean: bool = True) -> AgentOutcome:
        """The outcome, with nothing left behind; an open call stays open only when the rows were lost."""
        open_before = len(os.listdir("/proc/self/fd"))

        async def main() -> AgentOutcome:
            async with asyncio.timeout(20):
                return await self.runner.run_agent(task)

        outcome = asyncio.run(main())
        assert self.tokens.capabilities(outcome.agent) == ()
        assert len(self.registry) == 0
        assert not is_clean or set(self.ledger.opened) == set(self.ledger.settled)
        assert len(os.listdir("/proc/self/fd")) <= open_before
        assert all(session.closed for session in self.launcher.sessions)
        return outcome


def product(request: LaunchRequest) -> Agent:
    return lambda sock: entry.run(sock, request.entry, b"")


def task(role: Role, path: Path, *granted: Capability, program: bytes | None = None) -> AgentTask:
    me = Submitter(Uid(os.geteuid()), Gid(os.getegid()))
    return AgentTask(
        run=RunId("r"),
        subtask=SubtaskId("t"),
        attempt=1,
        role=role,
        params={"path": str(path)},
        inputs={},
        goal="a goal",
        envelope=Envelope(me, granted),
        began_s=time.time(),
        program=program,
    )


def reading(path: Path, role: Role = READER) -> AgentTask:
    return task(role, path, Capability(Kind.TOOL, "file_read"), Capability(Kind.FILE_READ, str(path)))


def writing(path: Path) -> AgentTask:
    granted = (Capability(Kind.TOOL, "file_write"), Capability(Kind.FILE_WRITE, str(path)))
    return task(WRITER, path, *granted, program=b"")


def asks(path: Path, tool: str = "file_read", **args: object) -> llm.ModelAnswer:
    call = llm.AskedCall("x", tool, {"path": str(path), **args})
    return llm.ModelAnswer("", (call,), stop=llm.Stop.CALLS)


def client(program: Callable[[Abi, abi.Start], None]) -> Agent:
    def run(sock: socket.socket) -> None:
        session = Abi(sock)
        program(session, session.start())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that everybody may read."""
    path = tmp_path / "data.txt"
    path.write_text("first line\nsecond line\n")
    return path


def test_a_model_driven_agent_reads_and_answers(file: Path) -> None:
    """BRK-2, BRK-3: with the real loop, the real gate and real files."""
    bench = Bench(asks(file), llm.ModelAnswer("two lines"))
    outcome = bench.run(reading(file))
    assert (outcome.error, outcome.text, outcome.written) == (None, "two lines", ())
    result = bench.model.seen[1].messages[-1]
    assert isinstance(result, llm.ToolResultMessage)
    assert "second line" in result.text
    assert [schema.name for schema in bench.model.seen[0].tools] == ["file_read"]
    assert bench.model.seen[0].system == "be exact"
    kinds = bench.audit.kinds()
    assert kinds[0] is EventKind.AGENT_STARTING
    assert kinds[-1] is EventKind.AGENT_FINISHED
    assert [event.fields["capability"] for event in bench.audit.of(EventKind.TOKEN_GRANTED)] == [
        "tool: file_read",
        f"file_read: {file}",
    ]


def test_the_envelope_narrows_what_the_role_asks_for(file: Path) -> None:
    """CAP-0: the refusal says which flag of submit would allow it, and no worker was started."""
    bench = Bench()
    outcome = bench.run(task(READER, file, Capability(Kind.TOOL, "file_read")))
    assert isinstance(outcome.error, DeniedError)
    assert f"--read {file}" in outcome.error.remedy
    assert bench.launcher.requests == []
    assert bench.audit.kinds()[-1] is EventKind.AGENT_REFUSED


def test_the_agents_of_a_run_share_its_limits(file: Path) -> None:
    """CAP-3, H-CAP-06: a budget of the envelope is one for the whole run, not one for each agent."""
    once = Constraints(max_calls=1)
    budget = (Capability(Kind.TOOL, "file_read"), Capability(Kind.FILE_READ, str(file), once))
    bench = Bench(asks(file), llm.ModelAnswer("read"), asks(file), llm.ModelAnswer("could not"))
    bench.run(task(READER, file, *budget))
    bench.run(task(READER, file, *budget))
    assert len(bench.audit.of(EventKind.TOOL_DONE)) == 1
    assert len(bench.audit.of(EventKind.TOOL_DENIED)) == 1


def test_a_file_outside_is_refused_to_the_model_and_the_agent_goes_on(file: Path, tmp_path: Path) -> None:
    """CAP-1"""
    (tmp_path / "secret").write_text("canary")
    bench = Bench(asks(tmp_path / "secret"), llm.ModelAnswer("could not"))
    outcome = bench.run(reading(file))
    assert outcome.text == "could not"
    assert "canary" not in repr(bench.conversations.rows)
    assert len(bench.audit.of(EventKind.TOOL_DENIED)) == 1


def test_what_agentd_published_is_the_evidence(tmp_path: Path) -> None:
    """BRK-7, RUN-3"""

    def program(session: Abi, start: abi.Start) -> None:
        path = start.params["path"]
        session.call("file_write", {"path": path, "content": "report\n"})
        session.finish("I wrote /etc/passwd")

    target = tmp_path / "report.md"
    bench = Bench(agent=client(program))
    outcome = bench.run(writing(target))
    assert outcome.error is None
    assert [(one.path, one.size_bytes) for one in outcome.written] == [(str(target), 7)]
    assert target.read_text() == "report\n"


def test_words_without_deeds_leave_no_evidence(tmp_path: Path) -> None:
    """H-LLM-10"""

    def program(session: Abi, start: abi.Start) -> None:
        del start
        session.finish("done, the file is written")

    outcome = Bench(agent=client(program)).run(writing(tmp_path / "report.md"))
    assert outcome.written == ()


def test_a_program_that_gives_up_is_an_error(tmp_path: Path) -> None:
    def program(session: Abi, start: abi.Start) -> None:
        del start
        session.finish("no idea", ok=False)

    outcome = Bench(agent=client(program)).run(writing(tmp_path / "x"))
    assert isinstance(outcome.error, ToolError)
    assert outcome.text == "no idea"


def test_a_model_driven_worker_cannot_answer_for_the_model(file: Path) -> None:
    """BRK-3: it finishes with words of its own before the model has answered."""

    def program(session: Abi, start: abi.Start) -> None:
        del start
        session.finish("the model said yes")

    outcome = Bench(agent=client(program)).run(reading(file))
    assert isinstance(outcome.error, WorkerLostError)
    assert outcome.text == ""


def test_a_model_that_refuses_is_the_outcome_whatever_the_worker_says(file: Path) -> None:
    bench = Bench(llm.ModelAnswer("not a text file", stop=llm.Stop.REFUSED, remedy="name another"))
    outcome = bench.run(reading(file))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.remedy) == ("provider", "name another")


def dies(sock: socket.socket) -> None:
    transport.receive(sock, abi.TO_WORKER)


def lies(sock: socket.socket) -> None:
    transport.receive(sock, abi.TO_WORKER)
    transport.send(sock, abi.ToolDone(1, "a-other-0-0", True, "x"))
    transport.receive(sock, abi.TO_WORKER)


def babbles(sock: socket.socket) -> None:
    transport.receive(sock, abi.TO_WORKER)
    sock.send(b'{"t":"nonsense"}')
    transport.receive(sock, abi.TO_WORKER)


def stalls(sock: socket.socket) -> None:
    while True:
        transport.receive(sock, abi.TO_WORKER)


@pytest.mark.parametrize(("agent", "is_breach"), [(dies, False), (lies, True), (babbles, True)])
def test_a_worker_that_dies_or_breaks_the_abi_is_lost(file: Path, agent: Agent, *, is_breach: bool) -> None:
    """H-BRK-02, H-BRK-05, H-BRK-11"""
    bench = Bench(agent=agent)
    outcome = bench.run(reading(file))
    assert isinstance(outcome.error, WorkerLostError)
    assert bench.audit.kinds()[-1] is EventKind.AGENT_LOST
    assert bool(bench.audit.of(EventKind.ABI_BROKEN)) is is_breach


def test_a_worker_that_stalls_meets_the_wall_time(file: Path) -> None:
    """BRK-9, H-BRK-09, H-RES-13"""
    role = replace(READER, limits=RoleLimits(iterations=1, wall_s=1))
    bench = Bench(agent=stalls)
    outcome = bench.run(reading(file, role))
    assert isinstance(outcome.error, LimitError)
    assert bench.audit.of(EventKind.LIMIT_REACHED)[0].fields["limit"] == "wall_s"


def test_a_cancelled_agent_leaves_nothing(file: Path) -> None:
    """ISO-11, H-DUR-16"""
    bench = Bench(None)
    seen: list[Mapping[str, object]] = []

    async def main() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            running = group.create_task(bench.runner.run_agent(reading(file)))
            await bench.model.asked.wait()
            seen.append({"state": bench.registry.of_run(RunId("r"))[0].state})
            running.cancel()

    asyncio.run(main())
    assert seen == [{"state": "running"}]
    assert len(bench.registry) == 0
    assert all(session.closed for session in bench.launcher.sessions)
    assert bench.audit.kinds()[-1] is EventKind.AGENT_STOPPED


def test_the_bound_of_agents_is_in_the_outcome(file: Path) -> None:
    outcome = Bench(places=0).run(reading(file))
    assert isinstance(outcome.error, BusyError)


def test_a_program_role_without_a_program_is_refused(tmp_path: Path) -> None:
    outcome = Bench().run(replace(writing(tmp_path / "x"), program=None))
    assert isinstance(outcome.error, InputError)
    assert "--program" in outcome.error.remedy


def test_a_missing_directory_is_in_the_outcome(tmp_path: Path) -> None:
    """A file that vanished between submit and start."""
    outcome = Bench().run(reading(tmp_path / "gone" / "x"))
    assert outcome.error is not None
    assert outcome.error.remedy


def test_changes_that_nobody_reported_are_told(tmp_path: Path) -> None:
    """BRK-7: a program writes in place into its mounted root, beside the calls on record and after one of them."""
    (tmp_path / "log").write_text("")
    if not os.geteuid():
        os.chown(tmp_path, 1234, 1234)  # a root of uid 0 is never mounted writable

    def program(session: Abi, start: abi.Start) -> None:
        del start
        (tmp_path / "log").write_text("silent")
        for name in ("told", "later"):
            session.call("file_write", {"path": f"{tmp_path}/{name}", "content": "x"})
        published_ns = time.time_ns()
        while now_ns() <= published_ns:  # the clock that stamps files goes in steps of some ms
            pass
        (tmp_path / "later").write_text("not what was told")
        session.finish("")

    role = replace(WRITER, capabilities=({"tool": "file_write"}, {"file_write": "{path}"}))
    granted = (Capability(Kind.TOOL, "file_write"), Capability(Kind.FILE_WRITE, f"{tmp_path}/**"))
    bench = Bench(agent=client(program))
    wanted = replace(task(role, tmp_path, *granted, program=b""), params={"path": f"{tmp_path}/**"})
    assert bench.run(wanted).error is None
    paths = {event.fields["path"] for event in bench.audit.of(EventKind.FILE_UNREPORTED)}
    assert paths == {f"{tmp_path}/log", f"{tmp_path}/later"}
