"""Live agents and their cells looked at from outside again: in a thread, one agent at a time, while others go on.

Invariant: an agent of which something has changed is ended, and that is on record; one that has ended meanwhile has not
changed.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from aaos.agent.registry import LiveAgent
from aaos.core import rpc
from aaos.core.errors import ConfinementError, NotFoundError, WorkerLostError
from aaos.core.events import Event, EventKind
from aaos.core.ids import Uid
from aaos.core.ports import Attestation, AuditSink, Session
from aaos.core.threads import in_thread
from aaos.daemon import views
from aaos.daemon.atonce import AtOnce

OF_ONE, IN_ALL = 4, 16  # requests that wait or work


class Attesting:
    """Answers `agentd attest`."""

    def __init__(self, audit: AuditSink) -> None:
        self._audit = audit
        self._asked = AtOnce(OF_ONE, IN_ALL)
        self._turn = asyncio.Lock()  # two that look at one process hinder each other: ptrace(2)

    async def attest(self, uid: Uid, agents: Sequence[LiveAgent], *, again: str) -> rpc.Json:
        """What confines each now; of several, those that have ended are left out. `again` is the operator's command.

        Raises ConfinementError on drift, NotFoundError, WorkerLostError, BusyError.
        """
        found: list[rpc.Json] = []
        lost: WorkerLostError | None = None
        with self._asked.place(uid, "attest", again=again):
            for agent in agents:
                try:
                    found += await self._look(agent)
                except WorkerLostError as error:
                    lost = error
        if lost is not None and not found:
            raise lost
        return {"attestations": found}

    async def _look(self, agent: LiveAgent) -> list[rpc.Json]:
        if agent.session is None:
            raise NotFoundError(f"agent {agent.agent} has no worker yet", f"try again: agentd attest {agent.agent}")
        async with self._turn:
            found = await in_thread(partial(self._seen, agent, agent.session, asyncio.get_running_loop()))
        self._note(EventKind.ATTESTED, agent, "")
        return [views.attestation_view(attestation) for attestation in found]

    def _seen(self, agent: LiveAgent, session: Session, loop: asyncio.AbstractEventLoop) -> tuple[Attestation, ...]:
        """In a thread: what is seen counts also when nobody waits for it any more."""
        try:
            return session.attest_again(), *session.attest_cells()
        except ConfinementError as error:
            loop.call_soon_threadsafe(self._drifted, agent, session, error)
            raise

    def _drifted(self, agent: LiveAgent, session: Session, error: ConfinementError) -> None:
        try:
            self._note(EventKind.AGENT_DRIFTED, agent, error.message)
        finally:
            session.fail(error)

    def _note(self, kind: EventKind, agent: LiveAgent, message: str) -> None:
        fields = {"message": message} if message else {}
        self._audit.record(Event(kind, agent.run, agent.subtask, agent.agent, fields))
