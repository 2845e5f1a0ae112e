"""The one wire format between an agent's worker and agentd, and between agentd and the zygote.

Sans-I/O: this module turns bytes into typed frames and back, and both sides of the wall import it. Invariant: `decode`
returns a frame whose every field has the declared type, or raises `FrameError`; nothing downstream checks again. It
imports the standard library, `worker.fields` and `worker.jsontext` only.

One SOCK_SEQPACKET message is one frame: a UTF-8 JSON object of at most `INLINE_BYTES`. A longer frame travels as a
sealed memfd that holds the JSON object; the message itself is then `{"t":"large","size":N}` and the memfd is its first
fd. Documented for other languages in aaos-abi(7).
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from worker import fields
from worker.jsontext import json_encoder, may_be_ascii

VERSION = 1
INLINE_BYTES = 65_536
LARGE_BYTES = 4_194_304
CHECKPOINT_BYTES = 65_536
LOG_BYTES = 4_096
FRAME_FDS = 64
MAX_OUTSTANDING = 16
MAX_DEPTH = 32
MAX_INT = fields.MAX_INT

Json = Any  # a decoded JSON value: checked by the tool's own schema, not by the wire format


class FrameError(Exception):
    """A frame that breaks the wire format; it ends the session. The message names the field."""


# --- worker -> agentd ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The wall stands; `canaries` is what each layer's canary saw (`denied`, or what was wrong), `steps` are in µs."""

    t: ClassVar[str] = "ready"
    v: int
    layers: tuple[str, ...]
    canaries: Mapping[str, str]
    steps: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ModelComplete:
    """Ask for the next answer of the model; agentd composes what the model sees."""

    t: ClassVar[str] = "model.complete"
    id: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Ask for a tool. `call` is the model's call id, or None for a call that the worker's own code makes."""

    t: ClassVar[str] = "tool.call"
    id: int
    tool: str
    args: Mapping[str, Json]
    call: str | None = None


@dataclass(frozen=True, slots=True)
class ToolDone:
    """What `permit` allowed was carried out; `text` is the result or the error. A `quiet` report is not answered."""

    t: ClassVar[str] = "tool.done"
    id: int
    permit: str
    ok: bool
    text: str
    truncated: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Up to CHECKPOINT_BYTES of the worker's own state, handed back in `start` after a restart."""

    t: ClassVar[str] = "checkpoint"
    id: int
    data: str


@dataclass(frozen=True, slots=True)
class Log:
    """A line of the worker's own words; recorded as reported, answered by nothing."""

    t: ClassVar[str] = "log"
    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The agent is done; after it the worker sends nothing."""

    t: ClassVar[str] = "finish"
    ok: bool
    text: str


# --- agentd -> worker ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """What the agent is for; the first frame after `ready`. `tools` are the names it was granted."""

    t: ClassVar[str] = "start"
    v: int
    agent: str
    goal: str
    params: Mapping[str, Json]
    tools: tuple[str, ...]
    grants: tuple[str, ...]
    credits: int
    checkpoint: str = ""
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request `id`; `value` has a shape per request, given in aaos-abi(7)."""

    t: ClassVar[str] = "reply"
    id: int
    value: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Failure:
    """The request `id` was refused or failed; `code` is stable, `remedy` says what would allow it."""

    t: ClassVar[str] = "failure"
    id: int
    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """End now; the worker is killed shortly after."""

    t: ClassVar[str] = "stop"
    reason: str


# --- agentd <-> zygote, and agentd -> a worker that has no agent yet -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork one worker, which parks. Its policy has nothing of an agent: what the zygote reads, all later workers hold.
    fds: the session's socket; the filter's memfd; cgroup.procs of its leaf, with the cgroup layer."""

    t: ClassVar[str] = "spawn"
    id: int
    policy: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker was cloned and its ids are mapped; one fd: its pidfd. It is agentd's own child (CLONE_PARENT)."""

    t: ClassVar[str] = "spawned"
    id: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """Nothing was made. One fd, if there is a child, killed already: its pidfd."""

    t: ClassVar[str] = "spawn.failed"
    id: int
    message: str


@dataclass(frozen=True, slots=True)
class Assign:
    """To a parked worker, on its socket: what it is for. fds: a detached tree for each mount; the program, if any."""

    t: ClassVar[str] = "assign"
    entry: str
    mounts: tuple[Mapping[str, Json], ...]
    program: bool


FromWorker = Ready | ModelComplete | ToolCall | ToolDone | Checkpoint | Log | Finish
ToWorker = Start | Reply | Failure | Stop
FromZygote = Spawned | SpawnFailed
Frame = FromWorker | ToWorker | Spawn | FromZygote | Assign

FROM_WORKER: tuple[type[FromWorker], ...] = (Ready, ModelComplete, ToolCall, ToolDone, Checkpoint, Log, Finish)
TO_WORKER: tuple[type[ToWorker], ...] = (Start, Reply, Failure, Stop)
TO_ZYGOTE: tuple[type[Spawn], ...] = (Spawn,)
FROM_ZYGOTE: tuple[type[FromZygote], ...] = (Spawned, SpawnFailed)
TO_PARKED: tuple[type[Assign], ...] = (Assign,)


@dataclass(frozen=True, slots=True)
class Mount:
    """One granted root, at the same absolute path behind the wall as outside it."""

    path: str
    is_dir: bool
    writable: bool
    idmapped: bool
    covered: tuple[str, ...] = ()  # paths below `path` that are mounted read-only again (control files)
    executable: bool = False  # in a cell: mounted without noexec


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that one confined process may do; what is not named is denied.

    `inside_uid` is the owner of the id-mapped roots, `host_uid` the leased id that the kernel sees; neither is ever 0.
    """

    agent: str
    profile: str  # "worker", "cell", "cell.net" (a cell with a door to the egress) or "egress"
    entry: str  # "loop", "scaffold:NAME" or "program"; in a cell the program's path
    layers: tuple[str, ...]
    host_uid: int
    host_gid: int
    inside_uid: int
    inside_gid: int
    mounts: tuple[Mount, ...]
    landlock_abi: int
    nofile: int
    fsize_bytes: int
    memory_bytes: int
    pids: int
    tmpfs_bytes: int
    cpu_s: int = 0  # this and what follows: of a cell
    execute: tuple[str, ...] = ()  # what may be executed, files and directories
    exec_writable: bool = False  # and whatever it writes itself
    address_bytes: int = 0  # of each process, where it is not in a cgroup
    readable: tuple[str, ...] = ()  # all that may be read of a mount that holds some of it; of the rest names are shown


# --- bytes <-> frames ---------------------------------------------------------------------------------------------

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Large:
    """The message's document is in its first fd, a sealed memfd of `size` bytes."""

    t: ClassVar[str] = "large"
    size: int


class Framed(Protocol):
    """A frame of this module, or of one that has let it `learn`."""

    t: ClassVar[str]


def encode(frame: Framed) -> bytes:
    """The frame as one JSON document. Raises FrameError when it is over LARGE_BYTES."""
    document = {"t": frame.t} | {name: getattr(frame, name) for name in _FIELDS[type(frame)]}
    try:
        # the encoder of ASCII is twice as fast, and where all is ASCII its text is the same and has no such escape
        is_ascii = may_be_ascii(document) and "\\u" not in (text := _ascii_text(document))
        data = (text if is_ascii else _text(document)).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise FrameError(f"{frame.t}: cannot be sent: {error}") from error
    if len(data) > LARGE_BYTES:
        raise FrameError(f"{frame.t}: a frame of {len(data)} bytes is over the limit of {LARGE_BYTES}")
    return data


def decode(data: bytes, allowed: tuple[type[F], ...]) -> F:
    """The one frame in `data`, which must be of an `allowed` type. Raises FrameError."""
    document = parse(data)
    if not isinstance(document, dict):
        raise FrameError("a frame must be a JSON object")
    kind = document.pop("t", None)
    for frame_type in allowed:
        if frame_type.t == kind:  # type: ignore[attr-defined]  # every frame type has `t`
            return build(frame_type, document)
    raise FrameError(f"t: {_show(kind)} is not a frame that may arrive here")


def build(value_type: type[F], document: Mapping[str, Json]) -> F:
    """A frozen dataclass from a decoded object: no unknown, missing or mistyped field. Raises FrameError."""
    checkers = _FIELDS[value_type]
    for name, value in document.items():
        checker = checkers.get(name)
        if checker is None:
            raise FrameError(f"{_show(name)}: unknown field")
        if not checker(value):
            raise FrameError(f"{name}: {_show(value)} has the wrong type or is out of range")
    try:
        return value_type(**{k: tuple(v) if type(v) is list else v for k, v in document.items()})
    except TypeError as error:
        needed = (f.name for f in dataclasses.fields(value_type) if f.default is dataclasses.MISSING)  # type: ignore[arg-type]  # F is a dataclass
        raise FrameError(f"{', '.join(name for name in needed if name not in document)}: missing field") from error


def parse(data: bytes) -> Json:
    """Strict JSON: UTF-8; no BOM, NUL, repeated key, NaN, infinity, lone surrogate or depth. Raises FrameError."""
    if len(data) > LARGE_BYTES:
        raise FrameError(f"{len(data)} bytes are over the limit of {LARGE_BYTES}")
    try:
        text = data.decode("utf-8")
        document, end = _DECODER.raw_decode(text) if text[:1] == "{" else (None, -1)
        if end != len(text):  # space around it, or it is none
            document = _DECODER.decode(text)
        if "\\" in text and "\\u" in text:  # to look for one character costs a thirtieth
            _refuse_unsendable(text, document)
        if ("[" in text or text.find("{", 1) > 0) and text.count("[") + text.count("{") > MAX_DEPTH:
            _refuse_deep(document)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"not a JSON document: {str(error)[:200]}") from error
    return document


def policy_to_json(policy: Policy) -> Mapping[str, Json]:
    """The policy as it travels to the zygote, to the worker and into the digest of the audit."""
    return {name: getattr(policy, name) for name in _FIELDS[Policy]} | {"mounts": mounts_to_json(policy.mounts)}


def mounts_to_json(mounts: tuple[Mount, ...]) -> tuple[Mapping[str, Json], ...]:
    """The mounts of a policy as they travel."""
    return tuple({name: getattr(mount, name) for name in _FIELDS[Mount]} for mount in mounts)


def policy_from_json(document: Mapping[str, Json]) -> Policy:
    """The inverse of policy_to_json. Raises FrameError."""
    mounts = document.get("mounts")
    if not isinstance(mounts, list) or not all(isinstance(m, dict) for m in mounts):
        raise FrameError("mounts: must be a list of objects")
    plain = {name: value for name, value in document.items() if name != "mounts"}
    return build(Policy, {**plain, "mounts": tuple(build(Mount, m) for m in mounts)})


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("duplicate key in an object")
    return document


def _refuse_unsendable(text: str, document: Json) -> None:
    if _ESCAPED_NUL.search(text):
        raise ValueError("NUL in a string")
    if _ESCAPED_SURROGATE.search(text):
        _text(document).encode("utf-8")  # a lone one raises UnicodeEncodeError, a ValueError


def _refuse_deep(document: Json) -> None:
    level: list[Json] = [[document]]
    for _ in range(MAX_DEPTH + 1):
        inner = (item for value in level for item in (value.values() if type(value) is dict else value))
        level = [item for item in inner if type(item) is dict or type(item) is list]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("NaN, infinity or a number beyond the range of a double")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_finite, parse_float=_finite)
_text = json_encoder(ensure_ascii=False, default=dict)
_ascii_text = json_encoder(default=dict)
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # after an even number of backslashes it is an escape
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _show(value: object) -> str:
    return text if len(text := repr(value)) <= 80 else f"{text[:77]}..."


_ALL: tuple[type, ...] = (*FROM_WORKER, *TO_WORKER, *TO_ZYGOTE, *FROM_ZYGOTE, *TO_PARKED, Large, Mount, Policy)
_FIELDS: dict[type, dict[str, fields.Checker]] = {cls: fields.checkers(cls) for cls in _ALL}


def learn(*values: type) -> None:
    """Let these be encoded and decoded too: frames of another module, once, when it is imported."""
    _FIELDS.update({cls: fields.checkers(cls) for cls in values})
