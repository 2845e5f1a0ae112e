"""A call that a program carries out in a cell: what the cell is asked to be, what is told while it runs, what is seen.

Invariant: the cell gets the trees that were opened for the charged paths, the places that were charged, and what its
wrapper names, and nothing else; what it changed is looked for by agentd itself, before and after.
"""

import codecs
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from aaos.broker.changes import Difference, Snapshot, Window, difference, now_ns, snapshot
from aaos.broker.files import FileBroker
from aaos.broker.secrets import Secret, SecretStore
from aaos.core.cell import CellLimits, CellRequest, CellResult, CellRunner, HostPort, Stream
from aaos.core.envelope import Submitter
from aaos.core.errors import AaosError, ToolError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.paths import is_control_path
from aaos.core.ports import BrokerResult, Label, Root
from aaos.core.text import escape_for_terminal
from aaos.core.threads import in_thread
from aaos.core.url import parse_url
from aaos.tools.aside import NOTHING, Aside, new_control_files, rewritten, set_aside
from aaos.tools.celltext import cell_text, exit_facts
from aaos.tools.opencall import OpenCall
from aaos.tools.pieces import Pieces
from aaos.tools.records import Records
from aaos.tools.rendering import Rendered, render
from aaos.tools.spec import CellTool
from aaos.tools.wrapper import Limits, ParameterKind, Wrapper
from aaos.tools.writers import Claim, Turn, inodes_of

ENV: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108  # the cell's own
DOOR = "http://127.0.0.1:3128"  # of a cell that may connect, on its own loopback
PROXIES: Mapping[str, str] = {"https_proxy": DOOR, "HTTPS_PROXY": DOOR}
SHOWN_PATHS = 20
_SHOWN_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Cells:
    """The way to a cell. `note` tells those who follow a run, and nobody else; `secrets` are what may be placed."""

    runner: CellRunner
    note: Callable[[Event], None]
    secrets: SecretStore | None = None


@dataclass(frozen=True, slots=True)
class CellCall:
    """One call, admitted: `prepare` refuses what no program may be started with, `run` carries it out."""

    tool: CellTool
    opened: OpenCall
    cells: Cells
    records: Records
    files: FileBroker
    turn: Turn
    submitter: Submitter

    def prepare(self) -> CellRequest:
        """What the cell is asked to be; nothing is started. Raises InputError, ToolError."""
        rendered = render(self.tool.wrapper, self.opened.args)
        return cell_request(self.opened, self.tool.wrapper, rendered, trees=tuple(self.opened.handout.trees))

    async def run(self) -> BrokerResult:
        """Raises AaosError; nothing of the cell is left then."""
        secret, request = await self._secret(), self.prepare()
        if secret is not None:
            secret.check_places(request.egress)
            request = replace(request, secret=secret.placed(self.tool.wrapper.asks))
        writable = [tree for tree in request.roots if tree.writable]
        async with self.turn([tree.path for tree in writable], inodes_of(writable)) as claim:
            return await self._run(request, writable, claim, secret)

    async def _run(
        self, request: CellRequest, writable: list[Root], claim: Claim, secret: Secret | None
    ) -> BrokerResult:
        seen = await in_thread(partial(snapshot, writable)) if writable else None
        if seen and not seen.is_complete and not request.control_writable:
            raise _too_large(self.tool.name, writable)
        before = _Before(writable, seen, now_ns(), claim, secret) if seen else None
        live = _Live(self.opened, self.cells.note, secret)
        try:
            result = await self.cells.runner.run_cell(request, live)
        except BaseException as error:
            if before is not None:
                await self._tell_lost(before, error)
            raise
        finally:
            live.flush()
        if secret is not None:
            result = _without(secret, result)
        changed, aside = await self._changed(before) if before is not None else (None, NOTHING)
        told = cell_text(self.tool.wrapper, result, max_bytes=self.opened.limit_bytes)
        label = Label.OUTSIDE if self.tool.wrapper.connects else Label.NONE
        facts = dict(exit_facts(result)) | ({} if changed is None else {"changed": changed.count})
        text = f"{told.text}\n{before.shown(aside.text)}" if before and aside.text else told.text
        return BrokerResult(text, told.is_cut, label, is_ok=told.is_ok and aside.is_all, facts=facts)

    async def _tell_lost(self, before: "_Before", error: BaseException) -> None:
        """What a cell had changed that was lost or stopped: nothing of it runs any more, what it did is there."""
        with suppress(AaosError):  # a full disk does not hide why it ended
            found, aside = await self._changed(before)
            count = f"; it had changed {found.count} files" if found.count else ""
            self.opened.told = f"{count}\n{before.shown(aside.text)}" if aside.text else count
        if isinstance(error, AaosError):
            error.message += self.opened.told

    async def _secret(self) -> Secret | None:
        """The one that the call names. Raises NotFoundError, DeniedError, ToolError; none of them shows it."""
        name = self.opened.args.get(self.tool.wrapper.secret or "")
        if name is None:
            return None
        if self.cells.secrets is None:
            raise ToolError(f"{self.tool.name}: this agentd has no secrets", "call it without the secret")
        who = self.submitter
        return await self.cells.secrets.find(name, uid=who.uid, groups=(who.gid, *who.groups))

    async def _changed(self, before: "_Before") -> tuple[Difference, Aside]:
        """Look at what changed, set control files aside, and write both down."""
        trees, aside = before.trees, NOTHING
        after = await in_thread(partial(snapshot, trees))
        control = () if self.tool.wrapper.control_writable else new_control_files(before.seen, after)
        is_cut = not after.is_complete
        left = () if self.tool.wrapper.control_writable else rewritten(before.seen, after)
        if control and before.claim.met_controls:  # they may be git's, which another call was running there
            aside = Aside({}, control)
        elif control:
            put = partial(set_aside, control, trees, self.files, call=self.opened.draft.record.call)
            aside = await in_thread(put)
            after = await in_thread(partial(snapshot, trees))
        aside = replace(aside, left=(*aside.left, *left))
        if not self.tool.wrapper.control_writable and (is_cut or not after.is_complete):
            aside = replace(aside, is_whole=False)
        found = difference(before.seen, after)
        self.opened.left = {path: after.sizes.get(path, 0) for path in (*found.made, *found.changed, *found.removed)}
        until_ns = time.time_ns()  # never earlier than what a change was stamped with
        self.opened.windows = tuple(Window(tree.path, before.from_ns, until_ns) for tree in trees)
        if found.count or aside.text or not found.is_complete:
            fields = _fields(found, aside, is_git=self.tool.wrapper.control_writable)
            fields = {key: before.shown(text) if isinstance(text, str) else text for key, text in fields.items()}
            self.records.note(self.opened.draft, EventKind.FILE_CHANGED, fields)
        return found, aside


@dataclass(frozen=True, slots=True)
class _Before:
    """What there was before the cell in what it may write, and when; `claim` is its turn there."""

    trees: list[Root]
    seen: Snapshot
    from_ns: int
    claim: Claim
    secret: Secret | None

    def shown(self, text: str) -> str:
        """Words of the program, names of files among them, without the secret."""
        return text if self.secret is None else self.secret.redacted(text)


def _too_large(tool: str, trees: Iterable[Root]) -> ToolError:
    """Without knowing what there was before, nobody could tell which control files the program made."""
    places = " and ".join(tree.path for tree in trees)
    return ToolError(f"{tool}: {places} cannot be searched whole for control files", "name a smaller directory")


def cell_request(opened: OpenCall, wrapper: Wrapper, rendered: Rendered, *, trees: tuple[Root, ...]) -> CellRequest:
    """All that the cell of a call is to be."""
    row, places = opened.draft.record, places_of(wrapper, opened.args)
    if not rendered.cwd.startswith("/"):
        raise ToolError(f"{wrapper.name}: it has no directory to work in", "name the directory")
    return CellRequest(
        run=row.run,
        subtask=row.subtask,
        agent=row.agent,
        call=row.call,
        program=wrapper.program,
        argv=rendered.argv,
        env={**ENV, **(_proxies(wrapper, opened.args) if places else {}), **wrapper.env},
        cwd=rendered.cwd,
        stdin=rendered.stdin,
        roots=trees,
        readable=wrapper.readable,
        exec_paths=wrapper.exec_paths,
        exec_writable=wrapper.exec_writable,
        egress=places,
        limits=_limits(wrapper.limits),
        control_writable=wrapper.control_writable,
    )


def places_of(wrapper: Wrapper, args: Mapping[str, object]) -> tuple[HostPort, ...]:
    """Where a call may connect to: what the wrapper names, and the hosts of its addresses."""
    found = list(wrapper.egress)
    for name, parameter in wrapper.parameters.items():
        value = args.get(name)
        if parameter.kind is ParameterKind.URL and isinstance(value, str):
            url = parse_url(value)
            found.append(HostPort(url.host.strip("[]"), url.port))
    return tuple(dict.fromkeys(found))


def _proxies(wrapper: Wrapper, args: Mapping[str, object]) -> Mapping[str, str]:
    """A call with a secret asks in plain HTTP, a call without never."""
    return PROXIES if args.get(wrapper.secret or "") is None else {**PROXIES, "http_proxy": DOOR}


def _without(secret: Secret, result: CellResult) -> CellResult:
    """What a program said, without what its server may have told it in a form of its own."""
    stdout, stderr = (secret.redacted(data.decode("utf-8", "replace")) for data in (result.stdout, result.stderr))
    return replace(result, stdout=stdout.encode(), stderr=stderr.encode())


class _Live:
    """The output as it comes, for the operator who watches; nothing is decided by it, and it is not recorded."""

    def __init__(self, opened: OpenCall, note: Callable[[Event], None], secret: Secret | None) -> None:
        self._row = opened.draft.record
        self._note = note
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {stream: make("replace") for stream in Stream}
        self._pieces = {stream: Pieces(self._teller(stream)) for stream in Stream}
        self._redacted = {stream: secret.redacted_stream() for stream in Stream} if secret else {}

    def __call__(self, stream: Stream, piece: bytes) -> None:
        text = self._decoders[stream].decode(piece)
        if text := self._redacted[stream].feed(text) if self._redacted else text:
            self._pieces[stream](text)

    def flush(self) -> None:
        """The rest, when the program has ended."""
        for stream, pieces in self._pieces.items():
            if self._redacted and (rest := self._redacted[stream].end()):
                pieces(rest)
            pieces.flush()

    def _teller(self, stream: Stream) -> Callable[[str], None]:
        row = self._row

        def tell(text: str) -> None:
            fields: dict[str, Scalar] = {"call": row.call, "tool": row.tool, "stream": stream.value, "text": text}
            self._note(Event(EventKind.TOOL_OUTPUT, row.run, row.subtask, row.agent, fields))

        return tell


def _limits(limits: Limits) -> CellLimits:
    return CellLimits(
        wall_s=limits.wall_s,
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        pids=limits.pids,
        nofile=limits.nofile,
        fsize_bytes=limits.fsize_bytes,
        output_bytes=limits.output_bytes,
        tmpfs_bytes=limits.tmpfs_bytes,
        address_bytes=limits.address_bytes,
    )


def _fields(found: Difference, aside: Aside, *, is_git: bool) -> dict[str, Scalar]:
    """`control_paths` are files that other programs take orders from, made by a program whose work they are not."""
    fields: dict[str, Scalar] = {"evidence": "observed"}
    for name, paths in (("made", found.made), ("changed", found.changed), ("removed", found.removed)):
        fields[name] = len(paths)
        if paths:
            fields[f"{name}_paths"] = _as_lines(paths)
    if aside.moved:
        fields["aside_paths"] = _as_lines(aside.moved)
    changed = [] if is_git else [path for path in (*found.made, *found.changed) if is_control_path(path)]
    control = [*aside.left, *changed]
    if control:
        fields["control_paths"] = _as_lines(control)
    if not found.is_complete:
        fields["message"] = "the walk over the writable roots met a bound"
    return fields


def _as_lines(paths: Iterable[str]) -> str:
    """The first paths, one on each line: no name makes a second line, and none but the first is cut."""
    shown = [escape_for_terminal(path) for path in islice(paths, SHOWN_PATHS)]
    while len(shown) > 1 and sum(map(len, shown)) + len(shown) > _SHOWN_CHARS:
        shown.pop()
    return "\n".join(shown)[:_SHOWN_CHARS]
