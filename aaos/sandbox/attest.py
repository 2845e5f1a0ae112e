"""The outside half of attestation: what the kernel says of a worker, compared with its policy.

Invariant: nothing here asks the worker. A check that finds a difference raises; a check that the kernel cannot answer
says so in words and is never counted as confirmed by this half.
"""

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
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
_OWN = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in NAMESPACES.values()}
# Not in this kernel; or agentd has filters of its own, or no CAP_SYS_ADMIN. Source: kernel/seccomp.c.
_NO_DUMP = frozenset({errno.EINVAL, errno.EIO, errno.EPERM, errno.EACCES})
_FILTERS = re.compile(r"^Seccomp_filters:\s+(\d+)$", re.MULTILINE)
# Of agentd itself, from before its first instruction: what it starts inherits them and adds to them. Source: proc(5).
_OWN_FILTERS = sum(map(int, _FILTERS.findall(Path("/proc/self/status").read_text())))
_REMEDY = "this is a breach of the wall: run agentd doctor and keep the audit"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a worker must look like from outside."""

    policy: abi.Policy
    filters: tuple[bytes, ...]  # oldest first: the zygote's, then the worker's own
    leaf: Path | None = None


def agree(who: str, pid: int, ready: abi.Ready, expected: Expected) -> Mapping[str, str]:
    """Both halves, layer by layer; the outside one. Raises ConfinementError when they do not agree, WorkerLostError."""
    layers = expected.policy.layers
    undenied = sorted(layer for layer in layers if ready.canaries.get(layer) != "denied")
    if undenied or set(ready.layers) != set(layers):
        raise ConfinementError(f"{who}: not confirmed from inside: {', '.join(undenied)}", "run agentd doctor")
    outside = attest_outside(pid, expected, is_new=True)
    if unseen := sorted(set(layers) - set(outside)):
        raise ConfinementError(f"{who}: not confirmed from outside: {', '.join(unseen)}", "run agentd doctor")
    return outside


def attest_outside(pid: int, expected: Expected, *, is_new: bool) -> Mapping[str, str]:
    """Each layer of the policy with what was confirmed. A worker that `is_new` has opened nothing yet.

    Raises ConfinementError at the first difference, WorkerLostError when there is nothing left to look at.
    """
    proc = f"/proc/{pid}"
    try:
        status = _status(proc)
        seen = {str(layer): CONFIRMED for layer in _check_namespaces(proc, expected.policy)}
        _check_ids(proc, status, expected.policy)
        _check_mounts(proc, expected.policy)
        if is_new:
            _check_fds(proc)
        seen |= _check_process(pid, status, expected)
    except (OSError, KeyError, ValueError) as error:
        if _has_ended(proc):
            raise WorkerLostError(f"the worker {pid} ended while it was inspected", "try again") from error
        raise ConfinementError(f"the worker {pid} cannot be inspected: {error}", _REMEDY) from error
    return seen


def _has_ended(proc: str) -> bool:
    try:
        return _status(proc)["State"][0] in "ZX"
    except OSError:
        return True


def _check_namespaces(proc: str, policy: abi.Policy) -> list[Layer]:
    shared = []
    present = [layer for layer in NAMESPACES if layer in policy.layers]
    for layer in present:
        name = NAMESPACES[layer]
        if os.stat(f"{proc}/ns/{name}").st_ino == _OWN[name]:
            shared.append(name)
    _require(not shared, f"shares the namespaces {', '.join(shared)}")
    return present


def _check_ids(proc: str, status: Mapping[str, str], policy: abi.Policy) -> None:
    uid, gid = str(policy.host_uid), str(policy.host_gid)
    _require(status["Uid"].split() == [uid] * 4, f"runs as uid {status['Uid']}, not {uid}")
    _require(status["Gid"].split() == [gid] * 4, f"runs as gid {status['Gid']}, not {gid}")
    _require(status["Groups"].split() == [], f"has the groups {status['Groups']}")
    _require(status["NSpid"].split()[-1] == "1", f"is not PID 1 of its namespace: {status['NSpid']}")
    for name, inside, outside in (("uid_map", policy.inside_uid, uid), ("gid_map", policy.inside_gid, gid)):
        mapped = _read(proc, name).split()
        _require(mapped == [str(inside), outside, "1"], f"{name} is {' '.join(mapped)}")


def _check_mounts(proc: str, policy: abi.Policy) -> None:
    lines = _read(proc, "mountinfo").splitlines()
    seen = {_mount_point(line): set(line.split()[5].split(",")) for line in lines}
    wanted = {"/": False, "/dev": False, "/proc": None} | {m.path: m.writable for m in policy.mounts}
    wanted |= {f"{m.path}/{covered}": False for m in policy.mounts for covered in m.covered}
    executable = {m.path for m in policy.mounts if m.executable}
    if policy.profile in frames.PROFILES:
        wanted[SCRATCH] = True
        executable |= {SCRATCH} if policy.exec_writable else set()
    _require(set(seen) == set(wanted), f"has the mounts {sorted(set(seen) ^ set(wanted))[:4]} against its policy")
    _require(len(lines) == len(wanted), f"has {len(lines)} mounts on {len(wanted)} places")
    for path, writable in wanted.items():
        options = seen[path]
        _require("nosuid" in options, f"{path} is mounted without nosuid")
        _require(path in executable or "noexec" in options, f"{path} is mounted without noexec")
        _require(writable is None or ("rw" in options) == writable, f"{path} is mounted {sorted(options)}")
        _require(path == "/dev" or "nodev" in options, f"{path} is mounted without nodev")
    for mount in policy.mounts:
        _require(("idmapped" in seen[mount.path]) == mount.idmapped, f"{mount.path} shows the wrong owners")


def _mount_point(line: str) -> str:
    return line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")


def _check_fds(proc: str) -> None:
    fds = {int(name): os.readlink(f"{proc}/fd/{name}") for name in os.listdir(f"{proc}/fd")}
    _require(set(fds) == {0, 1, 2, 3}, f"has the open fds {sorted(fds)}")
    _require({fds[0], fds[1], fds[2]} == {"/dev/null"} and fds[3].startswith("socket:"), f"has the open files {fds}")


def _check_process(pid: int, status: Mapping[str, str], expected: Expected) -> dict[str, str]:
    policy, proc, seen = expected.policy, f"/proc/{pid}", {}
    held = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)}
    _require(not held, f"holds capabilities {held}")
    seen[str(Layer.CAPABILITIES)] = CONFIRMED
    _require(status["NoNewPrivs"] == "1", "no_new_privs is not set")
    seen[str(Layer.NO_NEW_PRIVS)] = CONFIRMED
    _require(status["Threads"] == "1", f"has {status['Threads']} threads")
    if Layer.SECCOMP in policy.layers:
        seen[str(Layer.SECCOMP)] = _check_filters(pid, status, expected)
    if Layer.RLIMITS in policy.layers:
        _check_limits(proc, policy)
        seen[str(Layer.RLIMITS)] = CONFIRMED
    if Layer.CGROUP in policy.layers:
        _check_cgroup(proc, expected.leaf)
    seen |= {str(layer): INSIDE_ONLY for layer in (Layer.LANDLOCK, Layer.MDWE) if layer in policy.layers}
    return seen


def _check_filters(pid: int, status: Mapping[str, str], expected: Expected) -> str:
    _require(status["Seccomp"] == "2", f"seccomp mode is {status['Seccomp']}")
    count, wanted = int(status["Seccomp_filters"]), len(expected.filters)
    own = _OWN_FILTERS
    _require(count == own + wanted, f"has {count} seccomp filters, not the {own} of agentd and {wanted} more")
    try:
        loaded = syscalls.dump_filters(pid)
    except OSError as error:
        if error.errno not in _NO_DUMP:
            raise
        return f"filtered, {wanted} beside agentd's {own}; the kernel does not show them ({error.strerror})"
    _require(loaded == expected.filters, "its seccomp filters are not those that were given")
    return CONFIRMED


def _check_limits(proc: str, policy: abi.Policy) -> None:
    wanted = {
        "Max open files": policy.nofile,
        "Max processes": policy.pids,
        "Max file size": policy.fsize_bytes,
        **_memory_limits(policy),
        "Max core file size": 0,
        "Max locked memory": 0,
    }
    for line in _read(proc, "limits").splitlines()[1:]:
        name = line[:26].strip()
        if name in wanted:
            soft, hard = line[26:].split()[:2]
            _require(soft == hard == str(wanted[name]), f"{name} is {soft}/{hard}")


def _memory_limits(policy: abi.Policy) -> Mapping[str, int]:
    if policy.profile not in frames.PROFILES:
        return {"Max address space": policy.memory_bytes}
    bounds = {"Max data size": policy.memory_bytes, "Max cpu time": policy.cpu_s}
    return bounds if Layer.CGROUP in policy.layers else {**bounds, "Max address space": policy.memory_bytes}


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
        raise ConfinementError(f"the worker {otherwise}", _REMEDY)
