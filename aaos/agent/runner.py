"""One agent from its role to its outcome: expand, narrow, grant, open, launch, serve, clean up.

Invariant: what an agent may do is what its role asks for narrowed by the run's envelope, never more; whatever happens,
its worker is gone, its tokens are dropped, its fds are closed and its open calls are settled when `run_agent` returns;
what it wrote is told from what agentd itself published. It must not retry and must not judge results: that is plan's.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from aaos.agent.asked import AskedCalls
from aaos.agent.context import Context, ConversationStore
from aaos.agent.deeds import Deeds
from aaos.agent.onrecord import OnRecord
from aaos.agent.order import AbiBrokenError
from aaos.agent.pause import Pause
from aaos.agent.registry import AgentState, LiveAgent, Registry
from aaos.agent.replay import NOTHING, Past, Replay
from aaos.agent.service import AgentService, Doors, Terms
from aaos.agent.spawning import spawner
from aaos.agent.turns import ModelDoor, Turns, TurnTerms
from aaos.agent.verdict import verdict
from aaos.broker.changes import now_ns
from aaos.broker.files import FileBroker
from aaos.broker.roots import close_roots
from aaos.core.capability import Capability, Kind
from aaos.core.envelope import Submitter
from aaos.core.errors import (
    AaosError,
    CancelledError,
    ConfinementError,
    InputError,
    LimitError,
    WorkerLostError,
)
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import AgentId, RunId
from aaos.core.ports import (
    AgentOutcome,
    AgentTask,
    AuditSink,
    Evidence,
    Held,
    Launcher,
    LaunchRequest,
    Root,
    Session,
    Spend,
    Steps,
)
from aaos.core.role import Expanded, expand
from aaos.core.token import Clock, TokenBox
from aaos.llm import types as llm
from aaos.llm.budget import Accounts
from aaos.tools.admit import Charger, budgeted_kinds, call_digest
from aaos.tools.caller import Caller
from aaos.tools.gate import Gate
from aaos.tools.held import with_held_writes
from aaos.tools.recall import charge_again, repeats
from aaos.tools.spec import Tool
from aaos.tools.writers import Worker
from worker import abi

_CLEAN_UP_S = 8.0
_SETTLE_S = 5.0
_log = logging.getLogger("agentd")


@dataclass(frozen=True, slots=True)
class Parts:
    """What agents are made of; joined once by the daemon."""

    launcher: Launcher
    gate: Gate
    tokens: TokenBox
    models: ModelDoor
    accounts: Accounts
    conversations: ConversationStore
    steps: Steps
    audit: AuditSink
    note: Callable[[Event], None]
    registry: Registry
    files: Callable[[Submitter], FileBroker]
    past: Callable[[AgentId], Past]
    catalog: Mapping[str, Tool]
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Asks:
    """What this agent is, before it has a worker; `past` are its earlier sessions."""

    agent: AgentId
    task: AgentTask
    expanded: Expanded
    granted: tuple[Capability, ...]
    past: Past

    @property
    def tools(self) -> tuple[str, ...]:
        return tuple(capability.resource for capability in self.granted if capability.kind is Kind.TOOL)


def run_holder(run: RunId) -> AgentId:
    """The holder of a run's envelope as tokens; whoever ends the run drops it."""
    return AgentId(f"a-{run}")


class AgentRunner:
    """Implements `ports.Spawner`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._on_record = OnRecord()

    async def run_agent(self, task: AgentTask) -> AgentOutcome:
        """One attempt at one subtask. Its errors are in the outcome; cancellation alone is raised."""
        agent = task.agent
        try:
            return await self._admitted(agent, task)
        except AaosError as error:
            self._record(
                EventKind.AGENT_REFUSED, agent, task, code=error.code, message=error.message, remedy=error.remedy
            )
            return AgentOutcome(agent=agent, text="", written=(), error=error)
        except asyncio.CancelledError:
            self._record(EventKind.AGENT_STOPPED, agent, task, message="stopped before its end")
            raise

    async def _admitted(self, agent: AgentId, task: AgentTask) -> AgentOutcome:
        """Raises AaosError for whatever keeps the agent from starting."""
        entry = LiveAgent(
            agent=agent,
            run=task.run,
            subtask=task.subtask,
            role=task.role.name,
            uid=task.envelope.submitter.uid,
            started_s=self._parts.clock.monotonic_s(),
            pause=self._parts.registry.pauses.of_agent(task.run, agent),
        )
        with self._parts.registry.admitted(entry):
            self._record(EventKind.AGENT_STARTING, agent, task, role=task.role.name, attempt=task.attempt)
            expanded = expand(task.role, task.params, inputs=task.inputs, now_s=task.began_s)
            try:
                granted = self._narrowed(agent, task, expanded)
                past = self._parts.past(agent) if task.is_resumed else NOTHING
                return await self._with_roots(_Asks(agent, task, expanded, granted, past), entry)
            finally:
                self._parts.tokens.drop(agent)

    def _narrowed(self, agent: AgentId, task: AgentTask, expanded: Expanded) -> tuple[Capability, ...]:
        """Tokens narrowed from those of the run, whose agents so share its limits.

        Raises DeniedError with the flag of `agentd submit` that would allow it.
        """
        tokens, holder = self._parts.tokens, run_holder(task.run)
        if not tokens.capabilities(holder):
            tokens.grant(holder, task.envelope.capabilities)
        wanted = with_held_writes(expanded.capabilities, task.envelope.capabilities, self._parts.catalog)
        tokens.grant(agent, wanted, parent=holder, record=self._granted(task))
        return tokens.capabilities(agent)

    async def _with_roots(self, asks: _Asks, entry: LiveAgent) -> AgentOutcome:
        """A file system may be slow, so roots are opened in a thread; its fsuid is that of the submitter meanwhile."""
        broker = self._parts.files(asks.task.envelope.submitter)
        opening = partial(broker.open_roots, asks.granted)
        pending = asyncio.get_running_loop().run_in_executor(None, opening)
        try:
            roots = await asyncio.shield(pending)
        except asyncio.CancelledError:
            pending.add_done_callback(_close_late)
            raise
        try:
            return await self._launched(asks, roots, entry)
        finally:
            close_roots(roots)

    async def _launched(self, asks: _Asks, roots: tuple[Root, ...], entry: LiveAgent) -> AgentOutcome:
        task = asks.task
        if task.role.entry == "program" and task.program is None:
            raise InputError(f"role {task.role.name} runs a program and none was given", "add it: --program FILE")
        since_ns = now_ns()
        request = LaunchRequest(
            run=task.run,
            subtask=task.subtask,
            agent=asks.agent,
            entry=task.role.entry,
            roots=roots,
            program=task.program,
        )
        session = await self._parts.launcher.launch(request)
        try:
            work = self._work(asks, roots, entry.pause)
        except AaosError:
            await session.close("the agent could not begin")
            raise
        try:
            entry.confined(session)
            await self._parts.gate.writers.join(asks.agent, Worker.of(roots, entry.pause.held, session.halted))
            await self._serve(work, session)
        finally:
            entry.state = AgentState.STOPPING
            await self._clean_up(work, session)
        await self._tell_changes(work, roots, since_ns)
        return self._outcome(work, entry)

    def _work(self, asks: _Asks, roots: tuple[Root, ...], pause: Pause) -> "_Work":
        task, parts = asks.task, self._parts
        caller = Caller(
            run=task.run,
            subtask=task.subtask,
            agent=asks.agent,
            submitter=task.envelope.submitter,
            roots=roots,
            hold=pause.held,
            going=pause.going,
        )
        self._recall(asks, caller)
        asked, context = AskedCalls(asks.agent), self._context(asks)
        kept = asks.past.checkpoint
        calls = context.skip(kept.turn)
        asked.go_on(kept.turn, kept.index, [(call.id, call.tool, call.args) for call in calls if not call.error])
        turn_terms = self._turn_terms(asks, context.system, pause)
        turns = Turns(turn_terms, context, asked=asked, models=parts.models, audit=parts.audit, note=parts.note)
        terms = Terms(
            caller=caller,
            may_code_call=task.role.code_calls,
            credits=abi.MAX_OUTSTANDING,
            call_timeout_s=task.envelope.limits.call_timeout_s,
            deeds=Deeds(asks.expanded.output_files, self._on_record.publish),
            charge_call=lambda: parts.registry.charge_call(task.run, task.envelope.limits.max_calls),
            replay=Replay(asks.past, digest=partial(call_digest, parts.catalog)),
            pause=pause,
        )
        doors = Doors(parts.gate, parts.audit, parts.conversations, parts.steps)
        service = AgentService(terms, turns, context=context, asked=asked, doors=doors)
        return _Work(asks=asks, caller=caller, turns=turns, service=service, pause=pause)

    def _context(self, asks: _Asks) -> Context:
        words, rows = asks.expanded, self._parts.conversations
        return Context(asks.agent, rows, system=words.system, message=words.message, past=asks.past)

    def _recall(self, asks: _Asks, caller: Caller) -> None:
        """What was used up in earlier sessions stays used up."""
        if not asks.past.calls:
            return
        parts, calls = self._parts, asks.past.calls
        budgeted = budgeted_kinds(parts.tokens, asks.agent)
        charger = Charger(parts.tokens, asks.agent, caller.roots, parts.files(caller.submitter), budgeted)
        charge_again(charger, parts.catalog, calls)
        parts.gate.recall(caller, repeats(parts.catalog, calls))

    def _turn_terms(self, asks: _Asks, system: str, pause: Pause) -> TurnTerms:
        task, limits = asks.task, asks.task.envelope.limits
        tools = (self._parts.catalog[name] for name in asks.tools if name in self._parts.catalog)
        request = llm.ModelRequest(
            agent=asks.agent,
            role=task.role.name,
            params=task.params,
            system=system,
            messages=(),
            tools=tuple(llm.ToolSchema(tool.name, tool.summary, tool.schema) for tool in tools),
            inputs=task.inputs,
        )
        return TurnTerms(
            run=task.run,
            subtask=task.subtask,
            request=request,
            ladder=task.role.tiers,
            account=self._parts.accounts.of(task.run, Spend(limits.max_tokens, limits.max_cost_usd)),
            max_turns=min(task.role.limits.iterations, limits.max_turns),
            timeout_s=_wall_s(task),
            pause=pause,
        )

    async def _serve(self, work: "_Work", session: Session) -> None:
        """Until the agent ends, or its time does."""
        wall_s = _wall_s(work.asks.task)
        try:
            async with work.pause.timeout(wall_s), asyncio.TaskGroup() as group:
                work.service.attach(session, spawner(group))
                group.create_task(self._listen(work, session))
                await work.service.ended.wait()
                await work.service.settle(_SETTLE_S)
                await session.close("the agent ended")
        except TimeoutError:
            self._record(EventKind.LIMIT_REACHED, work.asks.agent, work.asks.task, limit="wall_s", value=wall_s)
            remedy = "submit with a longer --wall, or raise limits.wall_s of the role"
            work.service.end(LimitError(f"the agent was not done in {wall_s} s", remedy))

    async def _listen(self, work: "_Work", session: Session) -> None:
        await work.pause.going()  # a worker without its `start` has run nothing
        try:
            reason = await session.serve(work.start(), work.service.handle)
        except (AbiBrokenError, ConfinementError, LimitError) as error:
            work.service.end(error)
        except AaosError as error:
            self._record(EventKind.ABI_BROKEN, work.asks.agent, work.asks.task, message=error.message)
            work.service.end(error)
        else:
            work.service.end(WorkerLostError(f"the worker was lost: {reason}", "submit again; see `agentd logs RUN`"))

    async def _clean_up(self, work: "_Work", session: Session) -> None:
        """Cancelled again, it leaves no worker half reaped: `asyncio.wait` is a deadline then, and ends no closing."""
        work.service.end(CancelledError("the run was stopped", "submit the goal again"))
        closing = asyncio.shield(session.close("the agent ended"))
        try:
            done, _ = await asyncio.wait({closing}, timeout=_CLEAN_UP_S)
            if not done:
                _log.error("agent %s: its worker could not be ended in %g s", work.asks.agent, _CLEAN_UP_S)
            for ended in done:
                ended.result()
        finally:
            self._parts.gate.writers.leave(work.asks.agent)
            self._parts.gate.abandon(work.caller)

    async def _tell_changes(self, work: "_Work", roots: tuple[Root, ...], since_ns: int) -> None:
        """BRK-7: what changed in the worker's own writable mounts beside the calls on record."""
        self._on_record.programs(work.service.deeds.windows)
        if not (mounted := [root for root in roots if root.writable and root.held is Held.KERNEL]):
            return
        changes = await asyncio.to_thread(self._on_record.beside(mounted, since_ns=since_ns))
        asks = work.asks
        for path in changes.paths:
            self._record(EventKind.FILE_UNREPORTED, asks.agent, asks.task, path=path, evidence=Evidence.OBSERVED)
        if not changes.is_complete:
            message = "the walk over the writable roots met a bound"
            self._record(EventKind.FILE_UNREPORTED, asks.agent, asks.task, message=message)

    def _outcome(self, work: "_Work", entry: LiveAgent) -> AgentOutcome:
        text, error = verdict(work.service, work.turns, entry=work.asks.task.role.entry)
        fields: dict[str, Scalar] = {
            "ok": error is None,
            "turns": work.turns.count,
            "written": len(work.service.deeds.written),
            "duration_ms": round((self._parts.clock.monotonic_s() - entry.started_s) * 1000, 3),
        }
        if error is not None:
            fields |= {"code": error.code, "message": error.message, "remedy": error.remedy}
        kind = EventKind.AGENT_LOST if isinstance(error, WorkerLostError) else EventKind.AGENT_FINISHED
        self._record(kind, work.asks.agent, work.asks.task, **fields)
        return AgentOutcome(work.asks.agent, text, tuple(work.service.deeds.written), error, work.service.deeds.made)

    def _granted(self, task: AgentTask) -> Callable[[AgentId, Capability], None]:
        def record(agent: AgentId, capability: Capability) -> None:
            self._record(EventKind.TOKEN_GRANTED, agent, task, capability=capability.text())

        return record

    def _record(self, kind: EventKind, agent: AgentId, task: AgentTask, **fields: Scalar) -> None:
        self._parts.audit.record(Event(kind, task.run, task.subtask, agent, fields))


@dataclass(frozen=True, slots=True)
class _Work:
    """An agent with its worker."""

    asks: _Asks
    caller: Caller
    turns: Turns
    service: AgentService
    pause: Pause

    def start(self) -> abi.Start:
        """The worker's first frame."""
        asks, task = self.asks, self.asks.task
        return abi.Start(
            v=abi.VERSION,
            agent=asks.agent,
            goal=asks.expanded.message or task.goal,
            params=dict(task.params),
            tools=asks.tools,
            grants=tuple(capability.text() for capability in asks.granted),
            credits=abi.MAX_OUTSTANDING,
            checkpoint=asks.past.checkpoint.data,
            unresolved=asks.past.unresolved,
        )


def _close_late(pending: "asyncio.Future[tuple[Root, ...]]") -> None:
    """Roots that were opened after their agent was cancelled."""
    if not pending.cancelled() and pending.exception() is None:
        close_roots(pending.result())


def _wall_s(task: AgentTask) -> int:
    return min(task.role.limits.wall_s, task.envelope.limits.subtask_wall_s)
