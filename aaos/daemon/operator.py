"""What an operator can ask: one table of methods, each with the access it needs; nothing is answered beside it.

Invariant: a method without a row does not exist; a peer without the row's access is refused before its params are read;
runs and agents of other uids exist for nobody but those who administer. It asks the rooms below and decides nothing of
its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aaos import __version__
from aaos.agent.registry import LiveAgent, Registry
from aaos.core import rpc
from aaos.core.approval import ApprovalState
from aaos.core.errors import DeniedError, InputError, StorageError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.ids import RunId
from aaos.core.layers import Layer
from aaos.core.rolefile import RoleSet
from aaos.core.text import suggestion
from aaos.daemon import views
from aaos.daemon.approving import Approving
from aaos.daemon.attesting import Attesting
from aaos.daemon.connection import Send
from aaos.daemon.doctor import Doctor
from aaos.daemon.params import (
    AgentOrRunParams,
    ApprovalParams,
    ApprovalsParams,
    ListParams,
    LogsParams,
    NoParams,
    Params,
    RunParams,
    SettleParams,
    SubmitParams,
    TailParams,
    WatchParams,
    read_params,
)
from aaos.daemon.pausing import Pausing
from aaos.daemon.peers import Access, AccessRule, Peer, own_uid
from aaos.daemon.runs import LiveRuns
from aaos.daemon.selftest import SelfTest
from aaos.daemon.submission import Submissions
from aaos.daemon.workspaces import Keeping
from aaos.store.audit import Audit
from aaos.store.plans import plan_from_json
from aaos.store.runs import RunRow, Runs
from aaos.store.spends import Spends
from aaos.store.subscription import Subscription
from aaos.tools.held import echo_lines
from aaos.tools.spec import Tool
from worker import abi

_ENDS = frozenset({EventKind.RUN_COMPLETED, EventKind.RUN_FAILED, EventKind.RUN_CANCELLED})
_PAGE = 256
_LOOK_S = 1.0

P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True)
class Method(Generic[P]):
    """A row of the table; `command` is what an operator types for it."""

    command: str
    access: Access
    params: type[P]
    run: Callable[[Peer, P, Send], Awaitable[rpc.Json]]
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the methods ask."""

    runs: Runs
    spends: Spends
    audit: Audit
    live: LiveRuns
    agents: Registry
    submissions: Submissions
    pausing: Pausing
    approving: Approving
    keeping: Keeping
    roles: RoleSet
    catalog: Mapping[str, Tool]
    doctor: Doctor
    selftest: SelfTest
    missing_layers: frozenset[Layer]
    started_seq: int  # of this daemon's first event


class Operator:
    """Implements `connection.Dispatch`."""

    def __init__(self, rooms: Rooms, *, rule: AccessRule) -> None:
        self._rooms = rooms
        self._rule = rule
        self._attesting = Attesting(rooms.audit)
        # Any: each row pairs its own params with the method that takes them
        self.methods: Mapping[str, Method[Any]] = {  # Any: see above
            "submit": Method("submit GOAL", Access.SUBMIT, SubmitParams, self._submit),
            "pause": Method("pause RUN", Access.SUBMIT, AgentOrRunParams, self._pause),
            "resume": Method("resume RUN", Access.SUBMIT, AgentOrRunParams, self._resume),
            "stop": Method("stop RUN", Access.SUBMIT, RunParams, self._stop),
            "watch": Method("logs -f RUN", Access.READ, WatchParams, self._watch, is_stream=True),
            "tail": Method("logs -f", Access.ADMIN, TailParams, self._tail, is_stream=True),
            "list": Method("list", Access.READ, ListParams, self._list),
            "status": Method("status RUN", Access.READ, RunParams, self._status),
            "logs": Method("logs RUN", Access.READ, LogsParams, self._logs),
            "approvals": Method("approvals", Access.READ, ApprovalsParams, self._approvals),
            "approval": Method("approvals show ID", Access.READ, ApprovalParams, self._approval),
            "approve": Method("approvals approve ID", Access.ADMIN, SettleParams, self._approve),
            "deny": Method("approvals deny ID", Access.ADMIN, SettleParams, self._deny),
            "workspaces": Method("workspace", Access.READ, NoParams, self._workspaces),
            "workspace": Method("workspace show RUN", Access.READ, RunParams, self._workspace),
            "workspace_export": Method(
                "workspace export RUN", Access.READ, RunParams, self._workspace_export, is_stream=True
            ),
            "workspace_remove": Method("workspace rm RUN", Access.SUBMIT, RunParams, self._workspace_remove),
            "roles": Method("roles", Access.READ, NoParams, self._roles),
            "tools": Method("tools", Access.READ, NoParams, self._tools),
            "attest": Method("attest RUN", Access.READ, AgentOrRunParams, self._attest),
            "doctor": Method("doctor", Access.READ, NoParams, self._doctor),
            "selftest": Method("selftest", Access.ADMIN, NoParams, self._selftest),
            "version": Method("version", Access.READ, NoParams, self._version),
        }

    def is_stream(self, method: str) -> bool:
        """Whether the method's answer comes at the end of a stream."""
        found = self.methods.get(method)
        return found is not None and found.is_stream

    async def call(self, peer: Peer, request: rpc.Request, send: Send) -> rpc.Json:
        """Raises RpcError for an unknown method, AaosError for whatever else is wrong with the request."""
        method = self.methods.get(request.method)
        if method is None:
            hint = suggestion(request.method, self.methods)
            raise rpc.RpcError(
                rpc.METHOD_NOT_FOUND, f"no method {request.method[:80]!a}: {hint}", request_id=request.id
            )
        if method.access not in self._rule.of(peer):
            remedy = f"run it as root, or as a member of the administrators' group: sudo agentd {method.command}"
            message = f"agentd {method.command} needs {method.access} access, which uid {peer.uid} has not"
            raise DeniedError(message, remedy)
        return await method.run(peer, read_params(method.params, request.params, request.method), send)

    # --- runs -----------------------------------------------------------------------------------------------------

    async def _submit(self, peer: Peer, params: SubmitParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        submitted = await self._rooms.submissions.submit(peer, params)
        return {
            "run": submitted.run,
            "envelope": list(echo_lines(submitted.envelope, self._rooms.catalog)),
            "plan": views.plan_view(submitted.plan),
            "workspace": submitted.workspace,
        }

    async def _stop(self, peer: Peer, params: RunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        run = self._find(peer, params.run)
        if not run.state.is_final:
            self._rooms.audit.record(Event(EventKind.RUN_STOPPING, run.id, fields={"uid": peer.uid, "pid": peer.pid}))
        await self._rooms.live.stop(run.id)
        return self._run_state(run.id)

    async def _pause(self, peer: Peer, params: AgentOrRunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        match self._one(peer, params, "pause"):
            case RunRow() as run:
                await self._rooms.pausing.pause_run(run.id, peer.uid)
                return self._run_state(run.id)
            case LiveAgent() as agent:
                await self._rooms.pausing.pause_agent(agent, peer.uid)
                return self._agent_state(agent)

    async def _resume(self, peer: Peer, params: AgentOrRunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        match self._one(peer, params, "resume"):
            case RunRow() as run:
                self._rooms.pausing.resume_run(run.id, peer.uid)
                return self._run_state(run.id)
            case LiveAgent() as agent:
                self._rooms.pausing.resume_agent(agent, peer.uid)
                return self._agent_state(agent)

    def _one(self, peer: Peer, params: AgentOrRunParams, method: str) -> RunRow | LiveAgent:
        match params.agent, params.run:
            case str(agent), None:
                return self._rooms.agents.find(agent, uid=self._rule.sight(peer))
            case None, str(run):
                return self._find(peer, run)
            case _:
                raise InputError(f"{method}: name an agent or a run", f"agentd {method} RUN")

    def _run_state(self, run: RunId) -> rpc.Json:
        return {"run": run, "state": self._rooms.runs.get(run).state.value}

    def _agent_state(self, agent: LiveAgent) -> rpc.Json:
        return {"agent": agent.agent, "run": agent.run, "state": agent.shown.value}

    async def _list(self, peer: Peer, params: ListParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        rows = self._rooms.runs.list(self._rule.sight(peer) or None, params.limit)
        return {"runs": [views.run_view(row, is_whole=False) for row in rows]}

    async def _status(self, peer: Peer, params: RunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return self._status_of(self._find(peer, params.run).id)

    async def _logs(self, peer: Peer, params: LogsParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        run = self._find(peer, params.run)
        events = self._rooms.audit.query(run.id, params.after_seq, limit=params.limit)
        return {"events": views.page_view(events)}

    async def _watch(self, peer: Peer, params: WatchParams, send: Send) -> rpc.Json:
        run = self._find(peer, params.run).id
        if self._rooms.runs.get(run).state.is_final:
            await self._replay(run, params.after_seq, send)
            return self._status_of(run)
        subscription = self._rooms.audit.subscribe(run, params.after_seq)
        try:
            while (recorded := await self._next(run, subscription)) is not None:
                await send(views.event_view(recorded))
                if recorded.event.kind in _ENDS:
                    break
        finally:
            subscription.close()
        return self._status_of(run)

    async def _next(self, run: RunId, subscription: Subscription) -> Recorded | None:
        """None when the run is over and nothing more comes: on a full disk its last event may not have been written.

        Raises StorageError when its end cannot be written yet.
        """
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    return await anext(subscription, None)
            except TimeoutError:
                if self._rooms.runs.get(run).state.is_final:
                    return None
                if run not in self._rooms.live:
                    message = f"run {run} has ended, and its end cannot be written"
                    raise StorageError(message, "free space: see agentd doctor") from None

    async def _replay(self, run: RunId, after_seq: int, send: Send) -> None:
        while page := self._rooms.audit.query(run, after_seq, limit=_PAGE):
            for recorded in page:
                await send(views.event_view(recorded))
            after_seq = page[-1].seq

    async def _tail(self, peer: Peer, params: TailParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        after_seq = self._rooms.started_seq if params.after_seq is None else params.after_seq
        subscription = self._rooms.audit.subscribe(None, after_seq)
        try:
            async for recorded in subscription:
                await send(views.event_view(recorded))
        finally:
            subscription.close()
        return {}

    # --- approvals ------------------------------------------------------------------------------------------------

    async def _approvals(self, peer: Peer, params: ApprovalsParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return self._rooms.approving.list(self._rule.sight(peer), params)

    async def _approval(self, peer: Peer, params: ApprovalParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return self._rooms.approving.show(self._rule.sight(peer), params.approval)

    async def _approve(self, peer: Peer, params: SettleParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return await self._rooms.approving.settle(peer, self._rule.sight(peer), params, ApprovalState.APPROVED)

    async def _deny(self, peer: Peer, params: SettleParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return await self._rooms.approving.settle(peer, self._rule.sight(peer), params, ApprovalState.DENIED)

    # --- workspaces -----------------------------------------------------------------------------------------------

    async def _workspaces(self, peer: Peer, params: NoParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return self._rooms.keeping.list(self._rule.sight(peer))

    async def _workspace(self, peer: Peer, params: RunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return await self._rooms.keeping.show(self._find(peer, params.run), peer.uid)

    async def _workspace_export(self, peer: Peer, params: RunParams, send: Send) -> rpc.Json:
        return await self._rooms.keeping.export(self._find(peer, params.run), peer.uid, send)

    async def _workspace_remove(self, peer: Peer, params: RunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return await self._rooms.keeping.remove(self._find(peer, params.run), peer.uid)

    # --- the machine ----------------------------------------------------------------------------------------------

    async def _roles(self, peer: Peer, params: NoParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        roles = self._rooms.roles
        return {
            "roles": [views.role_view(role) for role in roles.roles.values()],
            "refused": [views.error_view(error) for error in roles.refused],
        }

    async def _tools(self, peer: Peer, params: NoParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        return {"tools": [views.tool_view(tool) for tool in self._rooms.catalog.values()]}

    async def _attest(self, peer: Peer, params: AgentOrRunParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        again = f"agentd attest {params.run or params.agent}"
        return await self._attesting.attest(peer.uid, self._agents(peer, params), again=again)

    def _agents(self, peer: Peer, params: AgentOrRunParams) -> tuple[LiveAgent, ...]:
        found = self._one(peer, params, "attest")
        return self._rooms.agents.of_run(found.id) if isinstance(found, RunRow) else (found,)

    async def _doctor(self, peer: Peer, params: NoParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        findings = await asyncio.to_thread(self._rooms.doctor.examine)
        return {"findings": [finding.view() for finding in findings]}

    async def _selftest(self, peer: Peer, params: NoParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        found = await self._rooms.selftest.run()
        missing: list[rpc.Json] = [layer.value for layer in sorted(self._rooms.missing_layers)]
        return {**found, "missing_layers": missing}

    async def _version(self, peer: Peer, params: NoParams, send: Send) -> rpc.Json:  # noqa: ARG002  # a row's shape
        missing: list[rpc.Json] = [layer.value for layer in sorted(self._rooms.missing_layers)]
        return {"version": __version__, "abi": abi.VERSION, "uid": own_uid(), "missing_layers": missing}

    # --- shared ---------------------------------------------------------------------------------------------------

    def _find(self, peer: Peer, prefix: str) -> RunRow:
        return self._rooms.runs.find(prefix, uid=self._rule.sight(peer))

    def _status_of(self, run: RunId) -> rpc.Json:
        row = self._rooms.runs.get(run)
        plan = plan_from_json(row.plan) if row.plan else None
        shown = views.status_view(row, self._rooms.runs.subtasks(run), plan=plan, agents=self._rooms.agents.of_run(run))
        return {**shown, **views.spend_view(self._rooms.spends.spent(run))}
