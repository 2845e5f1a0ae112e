"""The outside half of attestation: what the kernel says of a worker, compared with its policy.

Invariant: nothing here asks the worker. A check that finds a difference raises; a check that the kernel cannot answer
says so in words and is never counted as confirmed by this half.

What lasts (namespaces that are not agentd's, id maps, hard limits: the kernel lets no worker undo them) may be looked
at while a worker is parked. All else is looked at once it is confined, with all that it was granted.
"""

import asyncio
import errno
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.core.layers import Layer
from worker import abi
from worker.cell import frames
from worker.wall import syscalls

READ_BYTES = 65_536
CONFIRMED = "confirmed"
SCRATCH = "/tmp"  # noqa: S108  # of a cell, and its own
INSIDE_ONLY = "verified inside at start; cannot be undone since"
NAMESPACES = {
    Layer.USERNS: "user",
    Layer.MOUNTNS: "mnt",
    Layer.PIDNS: "pid",
    Layer.NETNS: "net",
    Layer.IPCNS: "ipc",
    Layer.UTSNS: "uts",
    Layer.CGROUP: "cgroup",
}
STOP_TRIES, STOP_TURNS, STOP_WAIT_S = 1_000, 64, 0.001  # it stops within some 20 µs, or 200 where a processor sleeps
_OWN = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES.values()}
# Not in this kernel; or agentd has filters of its own, or no CAP_SYS_ADMIN. Source: kernel/seccomp.c.
_NO_DUMP = frozenset({errno.EINVAL, errno.EIO, errno.EPERM, errno.EACCES})
_FILTERS = re.compile(r"^Seccomp_filters:\s+(\d+)$", re.MULTILINE)
# Of agentd itself, from before its first instruction: what it starts inherits them and adds to them. Source: proc(5).
_OWN_FILTERS = sum(map(int, _FILTERS.findall(Path("/proc/self/status").read_text())))
_SAID = {
    **dict.fromkeys((*NAMESPACES, Layer.CAPABILITIES, Layer.NO_NEW_PRIVS, Layer.RLIMITS), CONFIRMED),
    **dict.fromkeys((Layer.LANDLOCK, Layer.MDWE), INSIDE_ONLY),
}
_PF_EXITING = 0x4  # linux/sched.h
_FDS = 4  # three empty ones and its socket
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_REMEDY = "this is a breach of the wall: run agentd doctor and keep the audit"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a worker must look like from outside."""

    policy: abi.Policy
    filters: tuple[bytes, ...]  # oldest first: the zygote's, then the worker's own
    leaf: Path | None = None


async def agree(
    who: str, pid: int, ready: abi.Ready, expected: Expected, *, is_settled: bool = False
) -> Mapping[str, str]:
    """Both halves of who has just been confined, layer by layer; the outside one.

    What lasts is not looked at again when it `is_settled`. Raises ConfinementError when they do not agree,
    WorkerLostError; then the caller ends it.
    """
    layers = expected.policy.layers
    undenied = sorted(layer for layer in layers if ready.canaries.get(layer) != "denied")
    if undenied or set(ready.layers) != set(layers):
        raise ConfinementError(f"{who}: not confirmed from inside: {', '.join(undenied)}", "run agentd doctor")
    outside = await attest_new(pid, expected, is_settled=is_settled)
    if unseen := sorted(set(layers) - set(outside)):
        raise ConfinementError(f"{who}: not confirmed from outside: {', '.join(unseen)}", "run agentd doctor")
    return outside


async def attest_new(pid: int, expected: Expected, *, is_settled: bool = False) -> Mapping[str, str]:
    """As `attest_outside`, of one that has opened nothing yet; others have their turn until it stands still."""
    proc = f"/proc/{pid}"
    with _inspected(proc), _stopping(pid, expected) as unseen:
        if not is_settled:
            _check_lasting(proc, expected.policy)
        _check_fds(proc)
        status = _check_status(proc, expected)
        for wait_s in () if unseen else _waits_s(pid):
            await asyncio.sleep(wait_s)
        return _seen(expected.policy, _check_filters(pid, status, expected, unseen))


def attest_outside(pid: int, expected: Expected) -> Mapping[str, str]:
    """Each layer of the policy with what was confirmed of a process at work.

    Raises ConfinementError at the first difference, WorkerLostError when there is nothing left to look at.
    """
    proc = f"/proc/{pid}"
    with _inspected(proc):
        _check_lasting(proc, expected.policy)
        status = _check_status(proc, expected)
        with _stopping(pid, expected) as unseen:
            for wait_s in () if unseen else _waits_s(pid):
                time.sleep(wait_s)
            return _seen(expected.policy, _check_filters(pid, status, expected, unseen))


def attest_parked(pid: int, policy: abi.Policy) -> None:
    """What lasts, of one that waits for an agent, and what can be said already: to look again is cheap then, since the
    kernel has its entries at hand. Raises as `attest_outside`, also for one that is on its way."""
    proc = f"/proc/{pid}"
    with _inspected(proc):
        _check_lasting(proc, policy)
        _check_ids(_status(proc), policy)
        _check_files(proc)


def attest_started(pid: int, init: int, expected: Expected) -> None:
    """A process that the program of a confirmed cell started: each of its threads has what PID 1 has, and can lose none
    of it; its first one may have ended before the others.

    Raises ConfinementError; what has ended meanwhile is passed over.
    """
    tasks = f"/proc/{pid}/task"
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(tasks):
            _check_started(f"{tasks}/{task}", f"/proc/{init}", expected)


def _check_started(proc: str, of_init: str, expected: Expected) -> None:
    with suppress(WorkerLostError), _inspected(proc):
        status = _status(proc)
        if status["State"][0] in "ZX":
            return
        with _inspected(of_init):  # it loses its namespaces before its children are killed
            wanted = {name: os.readlink(f"{of_init}/ns/{name}") for name in _OWN}
        if other := [name for name in _OWN if os.readlink(f"{proc}/ns/{name}") != wanted[name]]:
            raise _breach(f"started a process in other namespaces: {', '.join(other)}")
        _check_owner(status, expected.policy)
        _check_privileges(status)
        if Layer.SECCOMP in expected.policy.layers:
            _check_count(status, len(expected.filters))


@contextmanager
def _inspected(proc: str) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        pid = proc.rpartition("/")[2]
        if _has_ended(proc):
            raise WorkerLostError(f"the worker {pid} ended while it was inspected", "try again") from error
        raise ConfinementError(f"the worker {pid} cannot be inspected: {error}", _REMEDY) from error


@contextmanager
def _stopping(pid: int, expected: Expected) -> Iterator[str]:
    """The process is told to stand still, and goes on at the end; or why that would show nothing.

    One that does not stop in time stays held: it cannot be confirmed, and is ended.
    """
    unseen = "agentd has filters too" if _OWN_FILTERS else ""
    if unseen or Layer.SECCOMP not in expected.policy.layers:
        yield unseen or "left out"
        return
    try:
        syscalls.seize(pid)
    except OSError as error:
        if error.errno not in _NO_DUMP:
            raise
        yield os.strerror(error.errno)
        return
    try:
        yield ""
    finally:
        with suppress(ProcessLookupError):
            syscalls.let_go(pid)


def _has_ended(proc: str) -> bool:
    """Or is about to: its namespaces go before it is a zombie. Source: proc_pid_stat(5), (3) and (9)."""
    try:
        fields = _read(proc, "stat").rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX" or bool(int(fields[6]) & _PF_EXITING)


def _waits_s(pid: int) -> Iterator[float]:
    """How long to wait, until the process stands still. Raises TimeoutError, ProcessLookupError when it ended."""
    for attempt in range(STOP_TRIES):
        if syscalls.has_stopped(pid):
            return
        os.sched_yield()  # it may wait for this very processor
        yield 0.0 if attempt < STOP_TURNS else STOP_WAIT_S
    raise TimeoutError(f"process {pid} did not stop")


def _check_lasting(proc: str, policy: abi.Policy) -> None:
    _check_namespaces(proc, policy)
    ids = ("uid_map", policy.inside_uid, policy.host_uid), ("gid_map", policy.inside_gid, policy.host_gid)
    for name, inside, outside in ids:
        mapped = _read(proc, name).split()
        _require(mapped == [str(inside), str(outside), "1"], f"{name} is {' '.join(mapped)}")
    if Layer.RLIMITS in policy.layers:
        _check_limits(_read(proc, "limits"), _limits(policy))


def _check_namespaces(proc: str, policy: abi.Policy) -> None:
    names = [name for layer, name in NAMESPACES.items() if layer in policy.layers]
    if shared := [name for name in names if os.readlink(f"{proc}/ns/{name}") == _OWN[name]]:
        raise _breach(f"shares the namespaces {', '.join(shared)}")


def _check_status(proc: str, expected: Expected) -> Mapping[str, str]:
    """What may change while it is confined, but for its filters; its status."""
    policy, status = expected.policy, _status(proc)
    _check_ids(status, policy)
    _check_mounts(_read(proc, "mountinfo"), policy)
    _check_privileges(status)
    _require(status["Threads"] == "1", f"has {status['Threads']} threads")
    if Layer.CGROUP in policy.layers:
        _check_cgroup(proc, expected.leaf)
    return status


def _check_privileges(status: Mapping[str, str]) -> None:
    held = {name: status[name] for name in _CAPABILITIES if int(status[name], 16)}
    _require(not held, f"holds capabilities {held}")
    _require(status["NoNewPrivs"] == "1", "no_new_privs is not set")


def _check_ids(status: Mapping[str, str], policy: abi.Policy) -> None:
    _check_owner(status, policy)
    _require(status["NSpid"].split()[-1] == "1", f"is not PID 1 of its namespace: {status['NSpid']}")


def _check_owner(status: Mapping[str, str], policy: abi.Policy) -> None:
    uid, gid = str(policy.host_uid), str(policy.host_gid)
    _require(status["Uid"].split() == [uid] * 4, f"runs as uid {status['Uid']}, not {uid}")
    _require(status["Gid"].split() == [gid] * 4, f"runs as gid {status['Gid']}, not {gid}")
    _require(status["Groups"].split() == [], f"has the groups {status['Groups']}")


def _check_mounts(mountinfo: str, policy: abi.Policy) -> None:
    lines = [line.split(" ", 6) for line in mountinfo.splitlines()]
    seen = {_unescaped(line[4]): _options(line[5]) for line in lines}
    wanted, executable = _wanted_mounts(policy)
    if seen.keys() != wanted.keys():
        raise _breach(f"has the mounts {sorted(set(seen) ^ set(wanted))[:4]} against its policy")
    _require(len(lines) == len(wanted), f"has {len(lines)} mounts on {len(wanted)} places")
    for path, writable in wanted.items():
        options = seen[path]
        _require("nosuid" in options, f"{path} is mounted without nosuid")
        _require("noexec" in options or path in executable, f"{path} is mounted without noexec")
        _require("nodev" in options or path == "/dev", f"{path} is mounted without nodev")
        if writable is not None and writable != ("rw" in options):
            raise _breach(f"{path} is mounted {sorted(options)}")
    for mount in policy.mounts:
        _require(("idmapped" in seen[mount.path]) == mount.idmapped, f"{mount.path} shows the wrong owners")


def _wanted_mounts(policy: abi.Policy) -> tuple[Mapping[str, bool | None], set[str]]:
    """Each place with whether it is writable, if that matters; those that may be without noexec."""
    wanted = {"/": False, "/dev": False, "/proc": None} | {m.path: m.writable for m in policy.mounts}
    wanted |= {f"{m.path}/{covered}": False for m in policy.mounts for covered in m.covered}
    executable = {m.path for m in policy.mounts if m.executable}
    if policy.profile in frames.PROFILES:
        wanted[SCRATCH] = True
        executable |= {SCRATCH} if policy.exec_writable else set()
    return wanted, executable


def _unescaped(path: str) -> str:
    """A path as mountinfo shows it: blanks and backslashes in octal. Source: proc_pid_mountinfo(5)."""
    if "\\" not in path:
        return path
    return path.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")


@lru_cache(maxsize=64)
def _options(text: str) -> frozenset[str]:
    return frozenset(text.split(","))


def _check_fds(proc: str) -> None:
    count = os.stat(f"{proc}/fd").st_size  # how many are open. Source: proc_pid_fd(5), Linux 6.2
    with suppress(FileNotFoundError):
        _check_files(proc)
        if count == _FDS:
            return
    raise _breach(f"has the open fds {sorted(map(int, os.listdir(f'{proc}/fd')))}")


def _check_files(proc: str) -> None:
    files = [os.readlink(f"{proc}/fd/{fd}") for fd in range(_FDS)]
    if files[:3] != ["/dev/null"] * 3 or not files[3].startswith("socket:"):
        raise _breach(f"has the open files {files}")


def _seen(policy: abi.Policy, filters: str) -> Mapping[str, str]:
    """Each layer that there is a check for with what these checks, which all passed, confirm of it."""
    said = _SAID | {Layer.SECCOMP: filters}
    return {layer: said[Layer(layer)] for layer in policy.layers if layer in said}


def _check_filters(pid: int, status: Mapping[str, str], expected: Expected, unseen: str) -> str:
    if Layer.SECCOMP not in expected.policy.layers:
        return unseen
    wanted = len(expected.filters)
    _check_count(status, wanted)
    if not unseen:
        try:
            loaded = syscalls.dump_filters(pid)
        except OSError as error:
            if error.errno not in _NO_DUMP:
                raise
            unseen = os.strerror(error.errno)
        else:
            _require(loaded == expected.filters, "its seccomp filters are not those that were given")
            return CONFIRMED
    return f"filtered, {wanted} beside agentd's {_OWN_FILTERS}; the kernel does not show them ({unseen})"


def _check_count(status: Mapping[str, str], wanted: int) -> None:
    count, own = int(status["Seccomp_filters"]), _OWN_FILTERS
    _require(status["Seccomp"] == "2", f"seccomp mode is {status['Seccomp']}")
    _require(count == own + wanted, f"has {count} seccomp filters, not the {own} of agentd and {wanted} more")


@lru_cache(maxsize=16)
def _check_limits(limits: str, wanted: tuple[tuple[str, int], ...]) -> None:
    """Remembered by the whole text: that of all workers is the same."""
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
    for name, value in wanted:
        soft, hard = rows[name]
        _require(soft == hard == str(value), f"{name} is {soft}/{hard}")


def _limits(policy: abi.Policy) -> tuple[tuple[str, int], ...]:
    wanted = {
        "Max open files": policy.nofile,
        "Max processes": policy.pids,
        "Max file size": policy.fsize_bytes,
        **_memory_limits(policy),
        "Max core file size": 0,
        "Max locked memory": 0,
    }
    return tuple(wanted.items())


def _memory_limits(policy: abi.Policy) -> Mapping[str, int]:
    if policy.profile not in frames.PROFILES:
        return {"Max address space": policy.memory_bytes}
    bounds = {"Max data size": policy.memory_bytes, "Max cpu time": policy.cpu_s}
    return bounds if Layer.CGROUP in policy.layers else {**bounds, "Max address space": policy.address_bytes}


def _check_cgroup(proc: str, leaf: Path | None) -> None:
    lines = _read(proc, "cgroup").splitlines()
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    _require(leaf is not None and str(leaf).endswith(path) and path != "/", f"is in the cgroup {path}, not {leaf}")


def _status(proc: str) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in _read(proc, "status").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _read(proc: str, name: str) -> str:
    fd = os.open(f"{proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)  # half the time of open(), while somebody waits
    try:
        text = b"".join(iter(lambda: os.read(fd, READ_BYTES), b""))
    finally:
        os.close(fd)
    return text.decode("utf-8", "surrogateescape")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _breach(otherwise)


def _breach(otherwise: str) -> ConfinementError:
    return ConfinementError(f"the worker {otherwise}", _REMEDY)
