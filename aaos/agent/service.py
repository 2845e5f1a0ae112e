"""Answers the frames of one worker: the agent ABI from the daemon's side (BRK-1 to BRK-10).

Invariant: nothing happens that the order of frames, the provenance of the call, the gate and the limits did not all
allow, whatever the worker says; every open call gets exactly one final answer. `handle` is synchronous and runs on the
event loop; what must wait (a model, the publishing of a file, a broker's tool) runs as a task of the agent's own group.
It runs no agent logic: which call comes next is the worker's business.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, assert_never

from aaos.agent.asked import AskedCalls
from aaos.agent.context import Context, ConversationStore
from aaos.agent.deeds import Deeds
from aaos.agent.order import AbiBrokenError, Order
from aaos.agent.pace import CHECKPOINTS, LOGS, REQUESTS, Throttle
from aaos.agent.pause import Pause
from aaos.agent.replay import CHECKPOINT, Checkpoint, Replay
from aaos.agent.told import late, told
from aaos.agent.turns import Turns
from aaos.core.errors import AaosError, BusyError, DeniedError, InputError, LimitError, WorkerLostError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import CallId
from aaos.core.ports import AuditSink, Evidence, Origin, Session, Steps
from aaos.tools.brokered import BrokerWork, Reported, ToolResult
from aaos.tools.caller import Caller, CallRequest
from aaos.tools.gate import Gate, Permit
from aaos.tools.held import HeldCall
from aaos.tools.publish import Publish
from worker import abi

_LOOK_S = 1.0  # how often a deadline is looked at that stands still
_log = logging.getLogger("agentd")
R = TypeVar("R", abi.ModelComplete, abi.ToolCall, abi.ToolDone, abi.Checkpoint)


@dataclass(frozen=True, slots=True)
class Doors:
    """The rooms below that a session needs."""

    gate: Gate
    audit: AuditSink
    conversations: ConversationStore
    steps: Steps


@dataclass(frozen=True, slots=True)
class Terms:
    """What this one agent may do beside its capabilities. `charge_call` counts a call of the run; raises LimitError.
    `replay` has the calls of its earlier sessions."""

    caller: Caller
    may_code_call: bool
    credits: int
    call_timeout_s: float
    charge_call: Callable[[], None]
    deeds: Deeds = field(default_factory=Deeds)
    replay: Replay = field(default_factory=Replay)
    pause: Pause = field(default_factory=Pause)


@dataclass(frozen=True, slots=True)
class _OpenPermit:
    call: CallId
    tool: str


class AgentService:
    """One per agent. `ended` is set when nothing more will come; `error` says why unless `finish` came."""

    def __init__(self, terms: Terms, turns: Turns, *, context: Context, asked: AskedCalls, doors: Doors) -> None:
        self._terms = terms
        self._caller = terms.caller
        self._turns = turns
        self._context = context
        self._asked = asked
        self._gate, self._audit = doors.gate, doors.audit
        self._conversations = doors.conversations
        self._steps = doors.steps
        self._order = Order(terms.credits)
        self._throttle = Throttle(time.monotonic())
        self._permits: dict[str, _OpenPermit] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Future[None] | None = None
        self._working: set[asyncio.Future[None]] = set()
        self.deeds = terms.deeds
        self.ended = asyncio.Event()
        self.error: AaosError | None = None
        self.last_failure: AaosError | None = None  # of a call
        self.finish: abi.Finish | None = None

    def attach(self, session: Session, spawn: Callable[[Coroutine[None, None, None]], asyncio.Future[None]]) -> None:
        """Where answers go, and how work that waits is started; before the first frame."""
        self._session = session
        self._spawn = spawn

    async def settle(self, timeout_s: float) -> None:
        """After the end: what is being published may finish, a model's turn is given up."""
        if self._turn is not None:
            self._turn.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=timeout_s)
        for task in self._working:
            task.cancel()

    def end(self, error: AaosError | None) -> None:
        """Nothing more is answered. The first reason stands."""
        if self.ended.is_set():
            return
        self.error = error
        if self._timer is not None:
            self._timer.cancel()
        self.ended.set()

    # --- frames ---------------------------------------------------------------------------------------------------

    def handle(self, frame: abi.FromWorker) -> None:
        """One frame. Raises AbiBrokenError, audited, or another AaosError: either ends the session."""
        try:
            if self.ended.is_set():
                raise AbiBrokenError(f"{frame.t} after the end")
            self._dispatch(frame)
        except AbiBrokenError as error:
            self._record(EventKind.ABI_BROKEN, message=error.message, frame=frame.t)
            self.end(error)
            raise
        except AaosError as error:
            self.end(error)
            raise
        except Exception as error:  # the boundary of a frame: logged and audited here
            raise self._unforeseen(frame.t, error) from error

    def _dispatch(self, frame: abi.FromWorker) -> None:
        match frame:
            case abi.ToolCall():
                self._when_in_time(frame, self._on_call)
            case abi.ToolDone():
                self._when_in_time(frame, self._on_done)
            case abi.ModelComplete():
                self._when_in_time(frame, self._on_model)
            case abi.Checkpoint():
                self._when_in_time(frame, self._on_checkpoint)
            case abi.Log():
                self._on_log(frame)
            case abi.Finish():
                self._on_finish(frame)
            case abi.Ready():
                raise AbiBrokenError("ready was said already")
            case _ as impossible:
                assert_never(impossible)

    def _when_in_time(self, frame: R, act: Callable[[R], None]) -> None:
        if self._throttle.may_request(time.monotonic()):
            act(frame)
            return
        self._order.busy(frame.id)
        if self._throttle.refused_requests == 1:
            self._record(EventKind.ABI_BUSY, frame=frame.t, per_s=REQUESTS.per_s)
        self._send_failure(frame.id, BusyError("too many requests", f"at most {REQUESTS.per_s:g} requests a second"))

    # --- tools ----------------------------------------------------------------------------------------------------

    def _on_call(self, frame: abi.ToolCall) -> None:
        self._order.call(frame.id)
        try:
            call, origin = self._provenance(frame)
        except DeniedError as error:
            self._record(EventKind.TOOL_DENIED, tool=frame.tool[:80], decision="provenance", message=error.message)
            self._fail(frame.id, error)
            return
        asked = CallRequest(call, frame.tool, frame.args, origin, self._asked.turn)
        made = self._terms.replay.result(asked, is_passed=self._context.is_passed(call))
        granted = made or self._granted(asked)
        if not isinstance(granted, DeniedError | InputError):
            self._turns.reached()
        match granted:
            case ToolResult():
                self._answer(frame.id, granted, call=call)
            case AaosError():
                if isinstance(granted, LimitError):
                    self._turns.stop(granted)
                self._fail(frame.id, granted, call=call)
            case Permit():
                self._permit(frame.id, granted, call=call)
            case BrokerWork() | HeldCall():
                act = partial(self._durably, granted.run) if granted.is_effect else granted.run
                self._work(frame.id, act, call=call, job=granted)
            case _ as impossible:
                assert_never(impossible)

    def _granted(self, request: CallRequest) -> Permit | BrokerWork | HeldCall | AaosError:
        """One step, one transaction; a refusal is committed as well."""
        with self._steps.step():
            try:
                self._terms.charge_call()
                return self._gate.request(self._caller, request)
            except AaosError as error:
                return error

    def _provenance(self, frame: abi.ToolCall) -> tuple[CallId, Origin]:
        """Who asked. Raises DeniedError (BRK-4)."""
        if frame.call is not None:
            return self._asked.use(frame.call, tool=frame.tool, args=frame.args), Origin.MODEL
        if self._terms.may_code_call:
            return self._asked.code_call(), Origin.CODE
        remedy = "pass on a call of the model with its id, or give the role `code_calls: true`"
        raise DeniedError(f"{frame.tool[:80]}: this role makes no calls of its own", remedy)

    def _permit(self, request: int, permit: Permit, *, call: CallId) -> None:
        """What can be done while the worker works comes after it was told."""
        self._session.send(abi.Reply(request, permit.value), permit.fds)
        deadline_s = self._terms.pause.time_s() + self._terms.call_timeout_s
        self._order.permitted(request, permit.permit, deadline_s=deadline_s)
        self._permits[permit.permit] = _OpenPermit(call=call, tool=permit.tool)
        if self._timer is None:
            self._arm(deadline_s)
        self._steps.proceed()

    def _on_done(self, frame: abi.ToolDone) -> None:
        self._order.done(frame.id, frame.permit)
        open_permit = self._permits.pop(frame.permit)
        match self._gate.done(self._caller, frame):
            case Reported() as done:
                self._reported(frame, done, call=open_permit.call)
            case Publish() as done:
                self._work(frame.id, partial(self._durably, done.finish), call=open_permit.call)
            case _ as impossible:
                assert_never(impossible)

    def _reported(self, frame: abi.ToolDone, done: Reported, *, call: CallId) -> None:
        """The worker goes on while its words are written down: what comes of them is committed with or after them."""
        if isinstance(done.result, AaosError):
            self._fail(frame.id, done.result, call=call, is_quiet=frame.quiet)
        else:
            self._answer(frame.id, done.result, call=call, is_quiet=frame.quiet)
        with self._steps.trailing():
            done.record()

    async def _durably(self, act: Callable[[], Awaitable[ToolResult]]) -> ToolResult:
        """An effect: its intent is on disk before it happens, its result before anybody is told."""
        await self._steps.durable()
        result = await act()
        await self._steps.durable()
        return result

    def _answer(self, request: int, result: ToolResult, *, call: CallId, is_quiet: bool = False) -> None:
        self._order.settled(request)
        if result.written is not None:
            self.deeds.published(result.written)
        self._context.result(call, result.text, is_ok=result.ok, is_truncated=result.truncated)
        if not is_quiet:
            value = {"text": result.text, "ok": result.ok, "truncated": result.truncated}
            self._session.send(abi.Reply(request, value))

    def _work(
        self,
        request: int,
        work: Callable[[], Awaitable[ToolResult]],
        *,
        call: CallId,
        job: BrokerWork | HeldCall | None = None,
    ) -> None:
        async def settle() -> None:
            timeout_s = self._terms.call_timeout_s + (job.opened.program_s if job else 0)
            try:
                async with self._terms.pause.timeout(timeout_s):
                    result = await work()
            except TimeoutError:
                self._fail(request, late(call, timeout_s), call=call)
            except AaosError as error:
                self._fail(request, error, call=call)
            else:
                self._answer(request, result, call=call)

        task = self._spawn(self._guarded(request, settle))
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        task.add_done_callback(lambda _: self.deeds.over(job) if job else None)  # also of one that never began

    # --- the model, state, words, the end -----------------------------------------------------------------------------

    def _on_model(self, frame: abi.ModelComplete) -> None:
        self._order.model_call(frame.id)
        self._terms.replay.pass_turn(self._asked.turn)
        if (again := self._turns.again()) is not None:
            self._order.settled(frame.id)
            self._session.send(abi.Reply(frame.id, again))
            return
        try:
            request = self._turns.begin()
        except AaosError as error:
            self._fail(frame.id, error)
            return

        async def settle() -> None:
            try:
                value = await self._turns.complete(request)
            except AaosError as error:
                self._fail(frame.id, error)
            else:
                self._order.settled(frame.id)
                self._session.send(abi.Reply(frame.id, value))

        self._turn = self._spawn(self._guarded(frame.id, settle))

    def _on_checkpoint(self, frame: abi.Checkpoint) -> None:
        self._order.call(frame.id)
        _bounded(frame.data, abi.CHECKPOINT_BYTES, frame.t)
        if not self._throttle.may_checkpoint(time.monotonic()):
            self._fail(frame.id, BusyError("too many checkpoints", f"at most {CHECKPOINTS.per_s:g} a second"))
            return
        try:
            kept = Checkpoint(frame.data, self._asked.turn, self._asked.index).to_bytes()
            self._conversations.append(self._caller.agent, CHECKPOINT, kept)
        except AaosError as error:
            self._fail(frame.id, error)
            return
        self._record(EventKind.AGENT_CHECKPOINT, size_bytes=len(kept))
        self._order.settled(frame.id)
        self._session.send(abi.Reply(frame.id, {}))

    def _on_log(self, frame: abi.Log) -> None:
        self._order.not_finished(frame.t)
        _bounded(frame.text, abi.LOG_BYTES, frame.t)
        if self._throttle.may_log(time.monotonic()):
            self._record(EventKind.AGENT_LOG, message=frame.text, evidence=Evidence.REPORTED)
        elif self._throttle.refused_logs == 1:
            self._record(EventKind.ABI_BUSY, frame=frame.t, per_s=LOGS.per_s)

    def _on_finish(self, frame: abi.Finish) -> None:
        self._order.finish()
        self._terms.replay.pass_turn(self._asked.turn)
        self.finish = frame
        self.end(None)

    # --- answers and deadlines ------------------------------------------------------------------------------------

    def _fail(self, request: int, error: AaosError, *, call: CallId | None = None, is_quiet: bool = False) -> None:
        self._order.settled(request)
        if call is not None:
            self.last_failure = error
            self._context.result(call, told(error), is_ok=False)
        if not is_quiet:
            self._send_failure(request, error)

    def _send_failure(self, request: int, error: AaosError) -> None:
        self._session.send(abi.Failure(request, error.code, error.message, error.remedy))

    async def _guarded(self, request: int, work: Callable[[], Awaitable[None]]) -> None:
        """The boundary of one request: what nobody foresaw ends this agent with a record, and nothing else."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # the boundary of a request: logged and audited here
            self._unforeseen(f"request {request}", error)

    def _unforeseen(self, what: str, error: Exception) -> WorkerLostError:
        _log.error("%s of agent %s", what, self._caller.agent, exc_info=error)
        self._record(EventKind.REQUEST_FAILED, request=what, message=f"{type(error).__name__}: {error}"[:200])
        lost = WorkerLostError("agentd could not answer a request of this agent", "see `journalctl -t agentd`")
        self.end(lost)
        return lost

    def _arm(self, deadline_s: float) -> None:
        pause = self._terms.pause
        delay_s = max(_LOOK_S if pause.is_standing else 0.0, deadline_s - pause.time_s())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        deadline_s = self._order.first_deadline_s()
        if deadline_s is None or self.ended.is_set():
            return
        if deadline_s > self._terms.pause.time_s():
            self._arm(deadline_s)
            return
        slow = next(iter(self._permits.values()))
        self._record(EventKind.LIMIT_REACHED, limit="call_timeout_s", value=self._terms.call_timeout_s, tool=slow.tool)
        self.end(late(slow.call, self._terms.call_timeout_s))

    def _record(self, kind: EventKind, **fields: Scalar) -> None:
        caller = self._caller
        self._audit.record(Event(kind, caller.run, caller.subtask, caller.agent, fields))


def _bounded(text: str, limit: int, frame: str) -> bytes:
    data = text.encode()
    if len(data) > limit:
        raise AbiBrokenError(f"{frame}: {len(data)} bytes are over the limit of {limit}")
    return data
