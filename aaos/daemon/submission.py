"""A goal becomes a run: what it may touch is found and echoed, its plan is made, both are committed, then it starts.

Invariant: nothing starts that is not committed, and nothing is granted that the operator did not name; a goal that is
refused leaves an event and nothing else. It must not open a path with the daemon's own rights.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from aaos.agent.registry import Registry
from aaos.agent.runner import run_holder
from aaos.core.capability import Capability, Kind, narrow, path_resource
from aaos.core.config import LimitSettings
from aaos.core.envelope import Envelope, Limits
from aaos.core.errors import AaosError, BusyError, CancelledError, InputError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.graph import Plan, RunState
from aaos.core.ids import Gid, RoleName, RunId, Uid, new_run_id
from aaos.core.pace import Bucket, Pace
from aaos.core.text import clip
from aaos.core.threads import in_thread
from aaos.core.token import TokenBox
from aaos.daemon.grants import Paths, asked_first, connect_capability, granted, host_capability, page_capability
from aaos.daemon.params import SubmitParams
from aaos.daemon.peers import Peer
from aaos.daemon.runs import LiveRuns
from aaos.daemon.workspaces import PLACEHOLDER, Keeping
from aaos.llm.budget import Accounts
from aaos.plan.executor import Executor, RunOrder
from aaos.plan.growing import PlanningTerms
from aaos.plan.orchestrate import Asked, Clauses, Orchestration, free_tools, plan_free, plan_shaped, shape_of
from aaos.plan.planner import PROGRAM, goal_paths, plan_program
from aaos.plan.planning import is_planning
from aaos.plan.shapes import Places
from aaos.store.audit import Audit
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs
from aaos.tools.desk import ApprovalDesk
from aaos.tools.held import echo_lines
from aaos.tools.spec import CellTool, Tool

PACE = Pace(per_s=20, burst=200)
_SHOWN_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that was accepted and has begun."""

    run: RunId
    envelope: Envelope
    plan: Plan
    workspace: str | None  # its path


@dataclass(frozen=True, slots=True)
class _Understood:
    envelope: Envelope
    plan: Plan


@dataclass(frozen=True, slots=True)
class Desk:
    """What submissions need."""

    database: Database
    runs: Runs
    audit: Audit
    live: LiveRuns
    agents: Registry
    tokens: TokenBox
    accounts: Accounts
    approvals: ApprovalDesk
    executor: Executor
    planning: PlanningTerms
    catalog: Mapping[str, Tool]
    limits: LimitSettings
    keeping: Keeping


class Submissions:
    """Takes goals."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._paces: dict[Uid, Bucket] = {}

    def resume(self, uid: Uid, order: RunOrder, *, calls: int) -> None:
        """Go on with a run of an earlier daemon, which has made so many tool calls, when runs may start."""
        self._desk.agents.restore_calls(order.run, calls)
        pauses = self._desk.agents.pauses
        for agent in order.paused:
            pauses.of_agent(order.run, agent).pause()
        if order.is_paused:
            pauses.of_run(order.run).pause()
        self._desk.live.resume(order.run, uid, lambda: self._execute(order))

    async def submit(self, peer: Peer, params: SubmitParams) -> Submitted:
        """Raises InputError, DeniedError, BusyError, NotFoundError; the goal is then in the audit as refused."""
        self._check_pace(peer)
        run = new_run_id()
        try:
            self._desk.live.check_room(peer.uid)
            params, made = await in_thread(partial(self._with_workspace, peer, params, run))
            understood = await asyncio.to_thread(self._understand, peer, params, made)
            self._begin(run, peer, params, understood)
        except BaseException as error:  # also of a client that is gone: nobody else knows of its workspace
            try:
                await in_thread(partial(self._desk.keeping.unmake, run))
            finally:
                self._tell_refused(peer, params, error)
            raise
        await self._desk.database.durable()
        workspace = self._desk.keeping.workspaces.path_of(run) if made else None
        return Submitted(run=run, envelope=understood.envelope, plan=understood.plan, workspace=workspace)

    def _tell_refused(self, peer: Peer, params: SubmitParams, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            error = CancelledError("its client was gone before it was a run", "submit the goal again")
        elif not isinstance(error, AaosError):
            error = AaosError("the submission failed inside agentd", "see `journalctl -t agentd`, and report it")
        fields: dict[str, Scalar] = {"uid": peer.uid, "goal": _shown(params.goal), "code": error.code}
        fields |= {"message": error.message, "remedy": error.remedy}
        self._desk.audit.record(Event(EventKind.RUN_REFUSED, fields=fields))

    def _check_pace(self, peer: Peer) -> None:
        """Before anything is recorded, so that a flood of goals is no flood of events. Raises BusyError."""
        now_s = time.monotonic()
        bucket = self._paces.setdefault(peer.uid, Bucket(PACE, now_s=now_s))
        if not bucket.take(now_s):
            raise BusyError(f"uid {peer.uid} submits too fast", f"at most {PACE.per_s:g} goals a second")

    def _with_workspace(
        self, peer: Peer, params: SubmitParams, run: RunId
    ) -> tuple[SubmitParams, tuple[Capability, ...]]:
        """The goal with the path of the workspace that it is given, and the grants of it."""
        keeping = self._desk.keeping
        if params.workspace is None:
            if PLACEHOLDER in params.goal:
                raise InputError(f"the goal names {PLACEHOLDER}, and the run has none", "give it one: --workspace 1G")
            return params, ()
        group = Paths(peer.submitter, cwd=params.cwd).group_of((*params.write, *params.read))
        made = keeping.make(run, replace(peer.submitter, gid=Gid(group)), params.workspace)
        goal = params.goal.replace(PLACEHOLDER, keeping.workspaces.path_of(run))
        return params.model_copy(update={"goal": goal}), made

    def _understand(self, peer: Peer, params: SubmitParams, made: tuple[Capability, ...] = ()) -> _Understood:
        """Pure but for looking at the named paths as the submitter; `made` are the grants of the run's workspace."""
        paths = Paths(peer.submitter, cwd=params.cwd)
        clauses = None if _is_program(params) else shape_of(_asked(params), self._desk.planning)
        envelope = Envelope(
            submitter=peer.submitter,
            capabilities=self._capabilities(paths, params, clauses, made),
            limits=self._limits(params),
        )
        return _Understood(envelope=envelope, plan=self._plan(paths, params, clauses=clauses, envelope=envelope))

    def _capabilities(
        self, paths: Paths, params: SubmitParams, clauses: Clauses | None, made: tuple[Capability, ...]
    ) -> tuple[Capability, ...]:
        """The flags; where no flag of a kind is given, the goal's own words: a flag narrows and never adds to them."""
        found = [*made, *(paths.capability(Kind.FILE_READ, flag) for flag in params.read)]
        found += [paths.capability(Kind.FILE_WRITE, flag) for flag in params.write]
        found += map(host_capability, params.net)
        found += map(connect_capability, params.connect)
        found += (Capability(Kind.SECRET, name) for name in params.secret)
        tools = tuple(
            name for name, tool in self._desk.catalog.items() if not isinstance(tool, CellTool)
        )  # by name only
        if not _is_program(params):
            named = goal_paths(params.goal, cwd=params.cwd)
            reads = () if params.read else named.reads
            writes = () if params.write else named.writes
            found += [granted(Kind.FILE_READ, paths.existing(path)) for path in reads]
            found += [granted(Kind.FILE_WRITE, paths.find(path)) for path in writes]
            found += map(page_capability, () if params.net else named.urls)
            tools = free_tools(found) if clauses is None else named.tools
        found += asked_first(params.tool or tools, params.ask, self._desk.catalog)
        return tuple(dict.fromkeys(found))

    def _plan(self, paths: Paths, params: SubmitParams, *, clauses: Clauses | None, envelope: Envelope) -> Plan:
        roles, now_s = self._desk.planning.roles, time.time()
        if _is_program(params):
            if params.program is None:
                raise InputError("role program runs a program and none was given", "add it: --program FILE")
            return plan_program(roles=roles, envelope=envelope, now_s=now_s)
        if clauses is None:
            asked = replace(_asked(params), outputs=_outputs(paths, params, envelope))
            return plan_free(asked, envelope=envelope, terms=self._desk.planning, now_s=now_s)
        places = Places(
            resolve=lambda path: paths.find(path).path,
            is_dir=lambda path: paths.find(path).is_dir,
            hosts=tuple(host_capability(flag).resource for flag in params.net),
        )
        return plan_shaped(
            clauses, _asked(params), places=places, envelope=envelope, terms=self._desk.planning, now_s=now_s
        )

    def _limits(self, params: SubmitParams) -> Limits:
        settings = self._desk.limits
        _check_asked("--wall", params.wall_s, settings.run_wall_s, setting="run_wall_s", unit="s")
        _check_asked("--max-tokens", params.max_tokens, settings.run_tokens, setting="run_tokens", unit="tokens")
        _check_asked("--max-usd", params.max_usd, settings.run_usd, setting="run_usd", unit="USD")
        default = Limits()
        return Limits(
            wall_s=params.wall_s or settings.run_wall_s,
            subtask_wall_s=settings.subtask_wall_s,
            max_agents=settings.run_agents,
            max_calls=settings.run_calls,
            max_parallel=settings.max_parallel,
            max_turns=settings.max_turns,
            call_timeout_s=settings.call_timeout_s,
            max_tokens=params.max_tokens or min(default.max_tokens, settings.run_tokens),
            max_cost_usd=params.max_usd or min(default.max_cost_usd, settings.run_usd),
        )

    def _begin(self, run: RunId, peer: Peer, params: SubmitParams, understood: _Understood) -> None:
        """Commits the run with its envelope and plan, then starts it."""
        desk = self._desk
        envelope, plan = understood.envelope, understood.plan
        program = params.program.encode() if params.program is not None else None
        desk.live.check_room(peer.uid)
        with desk.database.transaction():
            desk.runs.create(
                RunRow(
                    id=run,
                    uid=peer.uid,
                    gid=peer.gid,
                    goal=params.goal,
                    envelope=envelope.to_json(),
                    plan=None,
                    state=RunState.PENDING,
                    created_s=time.time(),
                )
            )
            desk.runs.add_plan(run, plan)
            if program is not None:
                desk.runs.keep_program(run, program)
            self._tell(run, EventKind.RUN_SUBMITTED, uid=peer.uid, pid=peer.pid, goal=_shown(params.goal))
            self._tell(run, EventKind.RUN_ENVELOPE, envelope=_shown("\n".join(echo_lines(envelope, desk.catalog))))
            desk.keeping.made(run)
            if not is_planning(plan.subtasks[0]):  # what a planner makes is told when it is made
                self._tell(run, EventKind.RUN_PLANNED, shape=plan.shape, subtasks=len(plan.subtasks))
        order = RunOrder(run=run, goal=params.goal, plan=plan, envelope=envelope, program=program)
        desk.live.start(run, peer.uid, lambda: self._execute(order))
        desk.keeping.begun(run)

    async def _execute(self, order: RunOrder) -> None:
        try:
            await self._desk.keeping.begin(order.run)
            await self._desk.executor.execute(order)
        finally:
            self._desk.agents.forget(order.run)
            self._desk.accounts.forget(order.run)
            self._desk.tokens.drop(run_holder(order.run))
            with suppress(AaosError):  # on a full disk they wait until their time is over
                self._desk.approvals.withdraw_of(order.run)
            await self._desk.keeping.end(order.run)

    def _tell(self, run: RunId, kind: EventKind, **fields: Scalar) -> None:
        self._desk.audit.record(Event(kind, run, fields=fields))


def _check_asked(flag: str, asked: float | None, most: float, *, setting: str, unit: str) -> None:
    """Raises InputError for more than the settings let one run have."""
    if asked is not None and asked > most:
        message = f"{flag} {asked:g}: a run may take {most:g} {unit}"
        raise InputError(message, f"ask for less, or raise limits.{setting} in agentd.toml")


def _is_program(params: SubmitParams) -> bool:
    return params.program is not None or params.role == PROGRAM


def _outputs(paths: Paths, params: SubmitParams, envelope: Envelope) -> tuple[str, ...]:
    """The files that the goal's words ask for. Raises DeniedError for one that the flags do not grant."""
    named = [paths.find(path) for path in goal_paths(params.goal, cwd=params.cwd).writes]
    files = tuple(dict.fromkeys(one.path for one in named if not one.is_dir))
    for file in files:
        narrow(envelope.capabilities, Capability(Kind.FILE_WRITE, path_resource(file)))
    return files


def _asked(params: SubmitParams) -> Asked:
    orchestration = Orchestration(params.orchestration) if params.orchestration else None
    return Asked(params.goal, orchestration, RoleName(params.role) if params.role else None)


def _shown(text: str) -> str:
    return clip(text, _SHOWN_BYTES, hint="the whole is in the run")[0]
