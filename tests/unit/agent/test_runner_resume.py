"""An agent whose daemon dies at any moment goes on under the next one: nothing is lost, nothing is done twice (BRK-8).

A daemon dies here by losing its rows: from the n-th write on nothing is stored, and so nothing further is permitted,
as after kill -9. What became of its open calls is then judged as recovery does.
"""

import contextlib
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.errors import AaosError, StorageError
from aaos.core.ids import AgentId, CallId
from aaos.core.ports import AgentOutcome, AgentTask, CallOutcome, CallRecord, CallState
from aaos.core.role import Tier
from aaos.llm import types as llm
from aaos.llm.schedule import Answered
from aaos.tools.settle import outcome_after_crash
from tests.fakes import Agent, MemoryConversations, MemoryLedger, ScriptedModel
from tests.unit.agent.test_runner import READER, WRITER, Bench, task
from tests.unit.tools.scene import broker
from worker import abi
from worker.user.client import Abi, RefusedError, Result, StoppedError


class Disk:
    """What outlives a daemon; after `writes_left` it takes nothing more."""

    def __init__(self) -> None:
        self.writes_left = 10_000
        self.ledger, self.conversations = Ledger(self), Conversations(self)
        self.published: list[str] = []

    def write(self) -> None:
        if self.writes_left <= 0:
            raise StorageError("the daemon is dead", "")
        self.writes_left -= 1


class Ledger(MemoryLedger):
    """A ledger on a disk."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk

    def open_call(self, record: CallRecord) -> None:
        self._disk.write()
        super().open_call(record)

    def settle_call(self, call: CallId, outcome: CallOutcome) -> None:
        self._disk.write()
        super().settle_call(call, outcome)


class Conversations(MemoryConversations):
    """Conversations on a disk."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk

    def append(self, agent: AgentId, role: str, body: bytes) -> int:
        self._disk.write()
        return super().append(agent, role, body)


class Model(ScriptedModel):
    """Answers by what the conversation says, as a model does; counts how often each turn was asked."""

    def __init__(self, answers: list[llm.ModelAnswer]) -> None:
        super().__init__()
        self._all = answers

    async def complete(self, request: llm.ModelRequest, ladder: tuple[Tier, ...], **how: Any) -> Answered:  # Any: as is
        turn = sum(isinstance(one, llm.AssistantMessage) for one in request.messages)
        self.answers = [self._all[turn]]
        return await super().complete(request, ladder, **how)


class Lives:
    """One agent under one daemon after another, all on one disk."""

    def __init__(self, the_task: AgentTask, answers: list[llm.ModelAnswer], agent: Agent | None = None) -> None:
        self.disk, self.model = Disk(), Model(answers)
        self._task, self._agent = the_task, agent
        self.lives = 0
        self.starts: list[abi.Start] = []

    def live(self, writes: int = 10_000) -> AgentOutcome:
        """Under a daemon that dies after so many writes, if it comes to them."""
        self._judge()
        self.disk.writes_left = writes
        bench = Bench(agent=self._agent, rows=(self.disk.ledger, self.disk.conversations), model=self.model)
        self.lives += 1
        self.disk.ledger.epoch = self.lives
        return bench.run(replace(self._task, is_resumed=self.lives > 1), is_clean=False)

    def _judge(self) -> None:
        ledger, self.disk.writes_left = self.disk.ledger, 10_000
        for call in [one for one in ledger.opened if one not in ledger.settled]:
            record = ledger.opened[call]
            outcome = outcome_after_crash(record, broker(), is_effect=record.tool.startswith("file_w"))
            if outcome is not None:
                ledger.settle_call(call, outcome)

    @property
    def done(self) -> list[str]:
        """The tools of the calls that were carried out, in order."""
        settled = self.disk.ledger.settled
        return [self.disk.ledger.opened[call].tool for call in sorted(settled) if settled[call].state is CallState.DONE]


def calls(*asked: tuple[str, dict[str, object]]) -> llm.ModelAnswer:
    made = tuple(llm.AskedCall(f"x{at}", tool, args) for at, (tool, args) in enumerate(asked))
    return llm.ModelAnswer("", made, stop=llm.Stop.CALLS)


def granting(path: Path, role: str = "model") -> AgentTask:
    """All tools on one directory."""
    capabilities = ({"tool": "*"}, {"file_read": "{path}/**"}, {"file_write": "{path}/**"})
    base = replace(READER if role == "model" else WRITER, capabilities=capabilities)
    grants = [Capability(Kind.TOOL, name) for name in ("file_read", "file_write", "file_edit")]
    base = replace(base, capabilities=(*({"tool": one.resource} for one in grants), *capabilities[1:]))
    files = [Capability(kind, f"{path}/**") for kind in (Kind.FILE_READ, Kind.FILE_WRITE)]
    return task(base, path, *grants, *files, program=b"" if role == "program" else None)


def edit(path: Path, old: str, new: str) -> tuple[str, dict[str, object]]:
    return "file_edit", {"path": str(path), "old": old, "new": new}


def counting(path: Path) -> list[llm.ModelAnswer]:
    """A number that is raised by one in each of three answers, then copied: calls of one answer run together."""
    counter = path / "n"
    return [
        calls(("file_read", {"path": str(counter)}), edit(counter, "n=0", "n=1")),
        calls(edit(counter, "n=1", "n=2")),
        calls(edit(counter, "n=2", "n=3"), ("file_write", {"path": f"{path}/out", "content": "n=3"})),
        llm.ModelAnswer("three"),
    ]


def step(session: Abi, tool: str, **args: object) -> Result:
    """A call; no program lives on under a daemon that is dead."""
    result = session.call(tool, args)
    if result.code == "storage":
        raise StoppedError("the daemon is dead")
    return result


def program(session: Abi, start: abi.Start) -> None:
    path = start.params["path"]
    first = step(session, "file_read", path=f"{path}/n")
    for at in range(3):
        step(session, "file_edit", path=f"{path}/n", old=f"n={at}", new=f"n={at + 1}")
    refused = step(session, "file_read", path="/etc/shadow")
    written = step(session, "file_write", path=f"{path}/out", content="n=3")
    session.finish(f"{first.text!r} {refused.code} {refused.text} {written.ok}")


def with_checkpoints(session: Abi, start: abi.Start) -> None:
    """As `program`, and keeps its place after each step."""
    path = start.params["path"]
    at = int(start.checkpoint or "0")
    while at < 3:
        step(session, "file_edit", path=f"{path}/n", old=f"n={at}", new=f"n={at + 1}")
        at += 1
        session.checkpoint(str(at))
    step(session, "file_write", path=f"{path}/out", content="n=3")
    session.finish("three")


def client(run: Callable[[Abi, abi.Start], None]) -> Agent:
    def agent(sock: socket.socket) -> None:
        with contextlib.suppress(StoppedError, RefusedError):
            session = Abi(sock)
            run(session, session.start())

    return agent


Make = Callable[[Path], Lives]
KINDS: dict[str, Make] = {
    "model": lambda path: Lives(granting(path), counting(path)),
    "program": lambda path: Lives(granting(path, "program"), [], client(program)),
    "checkpoints": lambda path: Lives(granting(path, "program"), [], client(with_checkpoints)),
}


def prepared(path: Path, make: Make) -> Lives:
    path.mkdir(exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    (path / "n").write_text("n=0")
    return make(path)


def check(lives: Lives, outcome: AgentOutcome, expected: AgentOutcome, path: Path) -> None:
    assert (outcome.text, outcome.error) == (expected.text, None)
    assert {one.path: one.sha256 for one in outcome.written}.items() >= {
        one.path: one.sha256 for one in expected.written[-1:]
    }.items()
    assert ((path / "n").read_text(), (path / "out").read_text()) == ("n=3", "n=3")
    assert lives.done.count("file_edit") == 3
    assert sorted(entry.name for entry in path.iterdir()) == ["n", "out"]
    assert set(lives.disk.ledger.opened) == set(lives.disk.ledger.settled)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_write_it_ends_as_if_nothing_had_happened(tmp_path: Path, kind: str) -> None:
    """H-DUR-01: every acknowledged result once, no effect twice, at each point of an agent's life."""
    path, make = tmp_path / "d", KINDS[kind]
    whole = prepared(path, make)
    expected = whole.live()
    assert expected.error is None, expected.error
    needed = 10_000 - whole.disk.writes_left
    for writes in range(needed):
        lives = prepared(path, make)
        assert lives.live(writes).error is not None
        check(lives, lives.live(), expected, path)
        turns = [sum(isinstance(one, llm.AssistantMessage) for one in seen.messages) for seen in lives.model.seen]
        assert len(turns) <= len(set(turns)) + 1  # the one whose answer was not stored yet


@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again_it_comes_to_its_end(tmp_path: Path, kind: str) -> None:
    """RUN-8: three writes in each life are enough."""
    path, make = tmp_path / "d", KINDS[kind]
    expected = prepared(path, make).live()
    lives = prepared(path, make)
    for _ in range(30):
        outcome = lives.live(3)
        if outcome.error is None:
            break
    check(lives, outcome, expected, path)


def test_a_program_that_takes_another_way_is_stopped(tmp_path: Path) -> None:
    """BRK-8: a recorded result is given only to the call that it was of."""
    (tmp_path / "n").write_text("n=0")
    ways = iter(["n", "m", "n"])

    def wanders(session: Abi, start: abi.Start) -> None:
        step(session, "file_read", path=f"{start.params['path']}/{next(ways)}")
        step(session, "file_write", path=f"{tmp_path}/out", content="x")
        session.finish("done")

    lives = Lives(granting(tmp_path, "program"), [], client(wanders))
    assert lives.live(3).error is not None
    outcome = lives.live()
    assert outcome.error is not None
    assert outcome.error.code == "replay"
    assert "checkpoint" in outcome.error.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("again", [0, 1])
def test_a_program_that_leaves_a_call_out_is_stopped(tmp_path: Path, again: int) -> None:
    """BRK-8: it made two calls before."""
    (tmp_path / "n").write_text("n=0")
    calls_made = iter([2, again])

    def forgets(session: Abi, start: abi.Start) -> None:
        for _ in range(next(calls_made)):
            step(session, "file_read", path=f"{start.params['path']}/n")
        session.finish("done")

    lives = Lives(granting(tmp_path, "program"), [], client(forgets))
    assert lives.live(5).error is not None
    outcome = lives.live()
    assert outcome.error is not None
    assert outcome.error.code == "replay"


def test_an_unknown_outcome_is_told_and_not_repeated(tmp_path: Path) -> None:
    """H-DUR-02: to the program in `start` and as the call's answer, and to the model as its result."""
    starts: list[abi.Start] = []

    def writes(session: Abi, start: abi.Start) -> None:
        starts.append(start)
        result = step(session, "file_write", path=f"{tmp_path}/out", content="mine")
        session.finish(f"{result.ok} {result.code}")

    lives = Lives(granting(tmp_path, "program"), [], client(writes))
    assert lives.live(3).error is not None  # the permit is in the ledger, its outcome is not
    (tmp_path / "out").write_text("somebody else's")
    outcome = lives.live()
    assert outcome.error is None
    assert outcome.text == "False outcome_unknown"
    assert (tmp_path / "out").read_text() == "somebody else's"
    assert starts[-1].unresolved == (f"{outcome.agent}-0-0",)


def test_a_model_that_refused_has_refused_for_good(tmp_path: Path) -> None:
    """BRK-3: how an agent ends is what the recorded answer says."""
    answers = [llm.ModelAnswer("not a text", stop=llm.Stop.REFUSED, remedy="name another")]
    lives = Lives(granting(tmp_path), answers)
    lives.live()
    outcome = lives.live()
    assert isinstance(outcome.error, AaosError)
    assert (outcome.error.code, outcome.error.message, outcome.error.remedy) == (
        "provider",
        "not a text",
        "name another",
    )
    assert len(lives.model.seen) == 1


def test_a_conversation_that_cannot_be_read_ends_the_agent(tmp_path: Path) -> None:
    lives = Lives(granting(tmp_path), [llm.ModelAnswer("x")])
    outcome = lives.live()
    lives.disk.conversations.rows.append((outcome.agent, "assistant", b"\xff"))
    error = lives.live().error
    assert error is not None
    assert (error.code, "cannot be read" in error.message) == ("storage", True)


def test_the_words_of_the_first_session_stay_the_agents_words(tmp_path: Path) -> None:
    """BRK-3: a role that was edited meanwhile does not change a conversation that has begun."""
    lives = Lives(granting(tmp_path), counting(tmp_path))
    (tmp_path / "n").write_text("n=0")
    assert lives.live(4).error is not None
    lives._task = replace(lives._task, role=replace(lives._task.role, system="be wild"))
    assert lives.live().error is None
    assert {request.system for request in lives.model.seen} == {"be exact"}
    stored = [json.loads(body) for _, role, body in lives.disk.conversations.rows if role == "system"]
    assert [one["text"] for one in stored] == ["be exact"]
