"""Joins the rooms to one daemon: what is constructed from what. It constructs and never decides.

Invariant: each object is made once, here, and handed to whoever needs it; what was opened is closed in reverse.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from aaos.agent.registry import Registry
from aaos.agent.runner import AgentRunner, Parts
from aaos.broker.binding import BindLimits
from aaos.broker.egress import Egress
from aaos.broker.files import FileBroker
from aaos.broker.nameservice import NameService
from aaos.broker.secrets import SecretStore
from aaos.broker.workspaces import Workspaces
from aaos.core.cell import CellNetwork, CellRunner
from aaos.core.config import Settings, credentials_dir
from aaos.core.envelope import Submitter
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ids import Uid
from aaos.core.layers import Layer
from aaos.core.ports import AuditSink, BatchAudit, Fetcher, Launcher
from aaos.core.rolefile import RoleSet, load_roles
from aaos.core.token import TokenBox
from aaos.daemon.approving import Approving
from aaos.daemon.clock import SystemClock
from aaos.daemon.connection import Bounds
from aaos.daemon.doctor import Doctor
from aaos.daemon.judging import judged, past_of
from aaos.daemon.listen import adopt, group_id, listen
from aaos.daemon.operator import Operator, Rooms
from aaos.daemon.pausing import Pausing
from aaos.daemon.peers import AccessRule, own_uid
from aaos.daemon.recovery import Judge, Recovered, Recovery
from aaos.daemon.resume import Rows
from aaos.daemon.runs import LiveRuns
from aaos.daemon.selftest import SelfTest
from aaos.daemon.server import Server
from aaos.daemon.submission import Desk, Submissions
from aaos.daemon.workspaces import Keeping
from aaos.llm.budget import Accounts
from aaos.llm.keys import KeyPlaces, load_keys
from aaos.llm.providers import OnWait, Waiting, chosen, providers_from
from aaos.llm.rules import Rules
from aaos.llm.schedule import Models
from aaos.llm.table import ModelEntry
from aaos.llm.types import ModelRequest, Provider
from aaos.plan.executor import Executor
from aaos.plan.growing import PlanningTerms
from aaos.sandbox.egress import launch_egress
from aaos.sandbox.ids import egress_ids
from aaos.sandbox.launch import ZygoteLauncher
from aaos.sandbox.probe import probe
from aaos.selftest.places import forget
from aaos.store.approvals import Approvals
from aaos.store.audit import Audit
from aaos.store.calls import Calls
from aaos.store.conversations import Conversations
from aaos.store.copies import Copies, Copy
from aaos.store.database import Database
from aaos.store.journal import JournalCopy
from aaos.store.jsonl import JsonlCopy
from aaos.store.runs import Runs
from aaos.store.spends import Spends
from aaos.tools.catalog import CATALOG
from aaos.tools.celled import Cells
from aaos.tools.desk import ApprovalDesk
from aaos.tools.gate import Gate
from aaos.tools.offered import offer
from aaos.tools.spec import Tool
from aaos.tools.web import NAME as WEB_FETCH
from aaos.tools.web import web_fetch
from aaos.tools.wrapperfile import WrapperSet, load_wrappers

_log = logging.getLogger("agentd")


class NetworkedCells(CellRunner, Protocol):
    """The way to cells, which get their network from `network`."""

    network: CellNetwork | None


class StartedLauncher(Launcher, Protocol):
    """A launcher with a life of its own."""

    @property
    def cells(self) -> NetworkedCells: ...
    async def start(self) -> None: ...
    async def supervise(self) -> None: ...
    async def stop(self) -> None: ...


class StartedFetcher(Fetcher, CellNetwork, Protocol):
    """A door to the web with a life of its own."""

    async def start(self) -> None: ...
    async def supervise(self) -> None: ...
    async def stop(self) -> None: ...


Files = Callable[[Submitter], FileBroker]
MakeLauncher = Callable[[Settings, BatchAudit, frozenset[Layer], Path], StartedLauncher]
MakeEgress = Callable[[Settings, AuditSink, Path], StartedFetcher]


def zygote_launcher(
    settings: Settings, audit: BatchAudit, without: frozenset[Layer], state_dir: Path
) -> StartedLauncher:
    """The launcher of the product."""
    return ZygoteLauncher(settings, audit, without=without, template_dir=state_dir / "template")


def confined_egress(settings: Settings, audit: AuditSink, state_dir: Path) -> StartedFetcher:
    """The egress of the product."""
    owner = partial(egress_ids, settings)
    files = NameService(state_dir / "egress" / "etc", settings.egress.authorities, owner=owner)
    launch = partial(launch_egress, settings, state_dir / "egress" / "template", files.directory)
    return Egress(settings.egress, audit, files=files, launch=launch)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said, over the settings."""

    settings: Settings
    state_dir: Path
    socket: Path
    is_private: bool  # the socket's path was named: its daemon serves its own uid too
    without: frozenset[Layer] = frozenset()
    make_launcher: MakeLauncher = zygote_launcher
    make_egress: MakeEgress = confined_egress
    bounds: Bounds | None = None
    passed: tuple[int, ...] = ()  # sockets of the service manager


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that serves."""

    audit: Audit
    live: LiveRuns
    server: Server
    operator: Operator
    launcher: StartedLauncher
    egress: StartedFetcher
    keeping: Keeping


@dataclass(frozen=True, slots=True)
class _Base:
    """What the rooms above the store stand on; `closing` is set when runs are left to the next daemon."""

    database: Database
    audit: Audit
    rows: Rows
    files: Files
    closing: asyncio.Event
    desk: ApprovalDesk
    secrets: SecretStore


@asynccontextmanager
async def assembled(options: Options) -> AsyncIterator[Daemon]:
    """Open the state, recover, start the launcher, listen; at the end all of it in reverse.

    Raises ConflictError for a second daemon, StorageError, SettingsError, ConfinementError.
    """
    settings, entries = options.settings, chosen(options.settings.models)
    async with AsyncExitStack() as stack:
        database = Database.open(options.state_dir)
        stack.callback(database.close)
        audit = _audit(settings, database, stack)
        started_seq = _announced(audit, database.epoch, without=options.without)
        roles = _roles(settings, audit)
        runs, files, secrets = Runs(database), _files(), SecretStore.of(settings)
        rows, keeping = Rows(runs, Calls(database), Conversations(database)), _keeping(options, runs, audit, stack)
        egress, closing = options.make_egress(settings, audit, options.state_dir), asyncio.Event()
        (catalog, wrappers), held = _tools(settings, audit, egress), Approvals(database)
        desk = _approval_desk(held, settings, audit, database, closing)
        recovered = _recovered(rows, audit, partial(judged, runs, files, catalog, keeping.at_hand), desk)
        await database.durable()
        launcher, agents = _launcher(options, audit, egress), Registry(settings.limits.max_agents)
        for process in (launcher, egress):  # before anything that they must not see is loaded
            await process.start()
            stack.push_async_callback(process.stop)
        providers = _providers(entries, settings, audit, agents=agents, stack=stack)
        base, models = _Base(database, audit, rows, files, closing, desk, secrets), Models([Rules(), *providers])
        parts = _parts(base, launcher, catalog, models=models, agents=agents)
        terms = PlanningTerms(roles, models.tiers, settings.limits.max_replans)
        executor = Executor(AgentRunner(parts), runs=runs, audit=audit, terms=terms, pauses=agents.pauses)
        live = LiveRuns(runs, audit, max_runs=settings.limits.max_runs, suspend=executor.suspend, closing=closing)
        boxes = (parts.tokens, parts.accounts, desk)
        used = Desk(database, runs, audit, live, agents, *boxes, executor, terms, catalog, settings.limits, keeping)
        rooms = Rooms(
            runs=runs,
            spends=Spends(database),
            audit=audit,
            live=live,
            agents=agents,
            submissions=_resumed(Submissions(used), recovered, rows),
            pausing=Pausing(runs, audit, live, agents, has_leaves=Layer.CGROUP not in options.without),
            approving=Approving(held, desk, runs),
            keeping=keeping,
            roles=roles,
            catalog=catalog,
            doctor=_doctor(options, roles, wrappers, database, keeping),
            selftest=_selftest(options, launcher, audit),
            missing_layers=options.without,
            started_seq=started_seq,
        )
        server, operator = await _listening(options, rooms, stack)
        yield Daemon(audit, live, server, operator, launcher, egress, keeping)


def _approval_desk(
    rows: Approvals, settings: Settings, audit: Audit, database: Database, closing: asyncio.Event
) -> ApprovalDesk:
    limits, step, durable = settings.limits, database.transaction, database.durable
    bound = BindLimits(limits.bound_entries, limits.bound_bytes)
    return ApprovalDesk(rows, audit, step, durable, limits.approval_s, is_suspended=closing.is_set, bind_limits=bound)


def _recovered(rows: Rows, audit: Audit, judge: Judge, desk: ApprovalDesk) -> Recovered:
    """What runs wait for that do not go on is withdrawn."""
    waiting = {one.asked.run for one in desk.rows.waiting()}
    recovered = Recovery(rows, audit=audit, judge=judge, waits=waiting.__contains__).recover()
    desk.withdraw_but({order.run for order in recovered.resumed})
    return recovered


def _keeping(options: Options, runs: Runs, audit: Audit, stack: AsyncExitStack) -> Keeping:
    """Workspaces are mounted beside the socket: who may submit can reach them there."""
    settings = options.settings.workspaces
    workspaces = Workspaces(options.state_dir / "workspaces", options.socket.parent / "workspaces", settings)
    workspaces.open()
    stack.callback(workspaces.close)
    return Keeping(workspaces, runs, audit, settings)


def _launcher(options: Options, audit: Audit, egress: CellNetwork) -> StartedLauncher:
    """Its cells have their network by the egress."""
    launcher = options.make_launcher(options.settings, audit, options.without, options.state_dir)
    launcher.cells.network = egress
    return launcher


def _doctor(options: Options, roles: RoleSet, wrappers: WrapperSet, database: Database, keeping: Keeping) -> Doctor:
    settings, look, found = options.settings, partial(probe, options.settings), keeping.workspaces.faults
    notes = database.findings
    return Doctor(settings, roles, wrappers, state_dir=options.state_dir, probe=look, notes=notes, faults=found)


def _selftest(options: Options, launcher: StartedLauncher, audit: Audit) -> SelfTest:
    """What is there of one that was cut off is taken away."""
    forget(options.state_dir)
    owner = partial(egress_ids, options.settings)
    return SelfTest(launcher, launcher.cells, audit, state_dir=options.state_dir, socket=options.socket, owner=owner)


def _resumed(submissions: Submissions, recovered: Recovered, rows: Rows) -> Submissions:
    """With the runs of earlier daemons, which go on when runs may start."""
    used = rows.calls.settled([order.run for order in recovered.resumed])  # an open call counts when it is made again
    for order in recovered.resumed:
        submissions.resume(order.envelope.submitter.uid, order, calls=used.get(order.run, 0))
    return submissions


def _audit(settings: Settings, database: Database, stack: AsyncExitStack) -> Audit:
    copies: list[Copy] = [JournalCopy()] if settings.audit.journal else []
    if settings.audit.jsonl:
        copies.append(JsonlCopy(database.directory / "audit.jsonl"))
    carrier = Copies(copies)
    stack.push_async_callback(asyncio.to_thread, carrier.close)
    audit = Audit(database, carrier)
    stack.callback(audit.close)
    return audit


def _announced(audit: Audit, epoch: int, *, without: frozenset[Layer]) -> int:
    """The place of this daemon's first event; layers that it does without are told right after it."""
    started = audit.record(Event(EventKind.DAEMON_STARTED, fields={"epoch": epoch, "uid": own_uid()}))
    if without:
        audit.record(Event(EventKind.CONFINEMENT_REDUCED, fields={"missing": " ".join(sorted(without))}))
    return started.seq


def _roles(settings: Settings, audit: Audit) -> RoleSet:
    roles = load_roles(settings.roles.dirs)
    for error in roles.refused:
        audit.record(Event(EventKind.ROLE_REFUSED, fields={"message": error.message, "remedy": error.remedy}))
    return roles


def _tools(settings: Settings, audit: Audit, egress: Fetcher) -> tuple[Mapping[str, Tool], WrapperSet]:
    """All tools: our own, and the wrapped programs that are there."""
    own: dict[str, Tool] = {**CATALOG, WEB_FETCH: web_fetch(egress, SecretStore.of(settings))}
    wrappers = load_wrappers(settings.wrappers.dirs, taken=own)
    for error in wrappers.refused:
        audit.record(Event(EventKind.WRAPPER_REFUSED, fields={"message": error.message, "remedy": error.remedy}))
    return {**own, **offer(wrappers.wrappers.values(), most_wall_s=settings.limits.program_wall_s).tools}, wrappers


def _files() -> Files:
    """Brokers share one lock, so that no two of them replace a file at once."""
    lock = threading.Lock()
    return lambda submitter: FileBroker(submitter, publishing_lock=lock)


def _providers(
    entries: tuple[ModelEntry, ...], settings: Settings, audit: Audit, *, agents: Registry, stack: AsyncExitStack
) -> Sequence[Provider]:
    """Keys are read here: call it when every process that must not know them was started."""
    places = KeyPlaces(settings.models.keys_dir, credentials_dir())
    keys = load_keys((entry.provider.key for entry in entries if entry.provider.key), places)
    for error in keys.errors.values():
        _log.warning("%s; %s", error.message, error.remedy)
    providers = providers_from(entries, keys, on_wait=_told(audit, agents))
    for provider in providers:
        stack.push_async_callback(provider.close)
    return providers


def _told(audit: Audit, agents: Registry) -> OnWait:
    """A turn that waits for its provider is seen in the run's events."""

    def tell(request: ModelRequest, waiting: Waiting) -> None:
        agent = agents.find(request.agent, uid=Uid(0))
        fields: dict[str, Scalar] = {"provider": waiting.provider, "message": waiting.reason}
        fields["wait_s"], fields["attempt"] = waiting.wait_s, waiting.attempt
        audit.record(Event(EventKind.MODEL_WAITING, agent.run, agent.subtask, agent.agent, fields))

    return tell


def _parts(
    base: _Base, launcher: StartedLauncher, catalog: Mapping[str, Tool], *, models: Models, agents: Registry
) -> Parts:
    clock = SystemClock()
    tokens = TokenBox(clock)
    return Parts(
        launcher=launcher,
        gate=Gate(
            catalog,
            tokens=tokens,
            ledger=base.rows.calls,
            audit=base.audit,
            files=base.files,
            clock=clock,
            cells=Cells(launcher.cells, base.audit.note, base.secrets),
            desk=base.desk,
            is_suspended=base.closing.is_set,
            may_act=base.database.is_ours,
        ),
        tokens=tokens,
        models=models,
        accounts=Accounts(Spends(base.database)),
        conversations=base.rows.conversations,
        steps=base.database,
        audit=base.audit,
        note=base.audit.note,
        registry=agents,
        files=base.files,
        past=partial(past_of, base.rows),
        catalog=catalog,
        clock=clock,
    )


async def _listening(options: Options, rooms: Rooms, stack: AsyncExitStack) -> tuple[Server, Operator]:
    group = group_id(options.settings.daemon.socket_group)
    if group is None:
        name = options.settings.daemon.socket_group
        _log.warning("there is no group %s: only root may submit; make it: groupadd --system %s", name, name)
    admins = group_id(options.settings.daemon.admin_group)
    rule = AccessRule(group, own_uid() if options.is_private else None, admins)
    listener = adopt(options.passed, options.socket) or listen(options.socket, group=group)
    stack.callback(listener.close)
    operator = Operator(rooms, rule=rule)
    server = Server(listener, rule=rule, dispatch=operator, audit=rooms.audit, bounds=options.bounds)
    await server.start()
    stack.push_async_callback(server.close)
    return server, operator
