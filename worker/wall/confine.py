"""The fixed order in which a forked process loses everything, and the canaries that prove each loss from inside.

Two halves. `park` does all that needs no agent: ids, namespaces, an own root, limits, locks; none of it can be undone.
`confine` does the rest once agentd has said whose worker it is: mounts, capabilities, Landlock, the filter.

Invariant: `confine` returns only when every layer of the policy is in force and has refused its canary, or it raises.
A canary runs right after its own layer and before the layers that would deny the same act, so that it passes because of
that layer alone. No byte from the agent's side is read before the end.
"""

import mmap
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import prctl

from worker.abi import Mount, Policy
from worker.cell import door
from worker.cell.frames import PROFILES, PROXY_PORT, WITH_DOOR
from worker.wall import mounts, rules, syscalls

SOCKET_FD = 3
DENIED = "denied"
HOST_NAME = "worker"
CONNECTS = "egress"  # the one profile that opens connections
_FILES_LEFT = "files are not restricted"
_NAMESPACES = {"ipcns": "ipc", "utsns": "uts"}


class UnconfinedError(Exception):
    """A canary was not denied, or a layer could not be built."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the zygote found out for all its children: the inodes of namespaces to have left, and Landlock's ABI."""

    namespaces: Mapping[str, int]
    landlock_abi: int


@dataclass(slots=True)
class Materials:
    """What the second half needs: what was granted, a tree for each of these mounts, and the worker's filter."""

    granted: Sequence[Mount]
    trees: Sequence[int]
    filter_program: bytes


@dataclass(slots=True)
class Canaries:
    """What each layer's canary saw, and how long each step took in microseconds."""

    policy: Policy
    seen: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    files: int | None = None  # Landlock ruleset, prepared while parked, in force at the end
    door: socket.socket | None = None  # of a cell with network: what listens on its own loopback
    _since_ns: int = field(default_factory=time.monotonic_ns)

    def step(self, name: str) -> None:
        """The step `name` has just ended."""
        now = time.monotonic_ns()
        self.steps[name] = (now - self._since_ns) // 1000
        self._since_ns = now

    def has(self, layer: str) -> bool:
        return layer in self.policy.layers

    def try_denied(self, layer: str, act: Callable[[], object], *, errno: Sequence[int]) -> None:
        """Record whether `act` is refused with one of these errnos; a layer that is left out is not tried."""
        if self.has(layer):
            self.seen[layer] = _outcome(act, errno)

    def require(self, layer: str, held: bool, otherwise: str) -> None:
        """Record a layer whose effect is a fact to read, not an act to refuse."""
        if self.has(layer):
            self.seen[layer] = DENIED if held else otherwise


def park(policy: Policy, outside: Outside) -> Canaries:
    """All that can be done for a policy without an agent.

    What is still held afterwards: the capabilities of the own user namespace, to mount what is granted.
    Raises OSError or UnconfinedError.
    """
    canaries = Canaries(policy)
    _take_ids(policy, canaries)
    _check_namespaces(outside.namespaces, canaries)
    if policy.profile == WITH_DOOR:
        canaries.door = door.open_door()
    canaries.step("parking: ids and namespaces")
    mounts.build_root(policy.tmpfs_bytes)
    canaries.step("parking: root")
    _lock_process(canaries)
    if policy.profile not in PROFILES:  # whose limits come with its program
        limit(policy, outside, canaries)
    canaries.step("parking: limits and landlock")
    return canaries


def confine(materials: Materials, canaries: Canaries) -> None:
    """The rest of the wall, for one agent. Raises OSError or UnconfinedError."""
    canaries.step("parked")
    mounts.furnish_root(materials.granted, materials.trees)
    check_root(materials.granted, canaries)
    canaries.step("mounts")
    lock(materials, canaries, files=lambda ruleset: rules.restrict_files(ruleset, materials.granted), act=os.uname)


def lock(materials: Materials, canaries: Canaries, *, files: Callable[[int], None], act: Callable[[], object]) -> None:
    """Everything after the mounts. `files` puts Landlock's rules in force, `act` is what the filter alone denies."""
    _drop_capabilities(canaries)
    canaries.step("capabilities")
    _apply_landlock(files, canaries)
    canaries.step("landlock")
    _apply_filter(materials.filter_program, canaries, act=act)
    canaries.step("seccomp")
    _require_all(canaries)


def _take_ids(policy: Policy, canaries: Canaries) -> None:
    os.setresgid(policy.inside_gid, policy.inside_gid, policy.inside_gid)
    os.setresuid(policy.inside_uid, policy.inside_uid, policy.inside_uid)
    canaries.try_denied("userns", lambda: os.seteuid(0), errno=(22,))  # EINVAL: id 0 is not mapped
    canaries.require("pidns", os.getpid() == 1, "not PID 1 of its own namespace")


def _check_namespaces(outside: Mapping[str, int], canaries: Canaries) -> None:
    if canaries.has("cgroup"):
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    for layer, name in _NAMESPACES.items():
        inside = os.stat(f"/proc/self/ns/{name}").st_ino
        canaries.require(layer, inside != outside[name], f"shares the {name} namespace")
    if canaries.has("utsns"):
        socket.sethostname(HOST_NAME)
    canaries.try_denied("netns", _reach_loopback, errno=(101,))  # ENETUNREACH: no interface is up


def _reach_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", 9))


def check_root(granted: Sequence[Mount], canaries: Canaries, *, own: Sequence[str] = ()) -> None:
    """Nothing is in the root but what was granted and the wall's `own`, and nothing can be made there."""
    expected = {"dev", "proc", mounts.CANARY[1:], *own} | {m.path.split("/")[1] for m in granted}
    strange = set(os.listdir("/")) - expected
    canaries.try_denied("mountns", lambda: os.mkdir("/canary"), errno=(30,))  # EROFS
    if strange:
        canaries.seen["mountns"] = f"sees {sorted(strange)[:3]}"
    if canaries.has("cgroup"):
        with open("/proc/self/cgroup", "rb") as file:  # as bytes: no other codec than UTF-8 can be loaded any more
            canaries.require("cgroup", b"0::/\n" in file.readlines(), "the cgroup namespace is not rooted at its leaf")


def limit(policy: Policy, outside: Outside, canaries: Canaries) -> None:
    """The policy's limits, which nobody can raise again, and what Landlock has for the network and for signals."""
    os.umask(0o077)
    if canaries.has("rlimits"):
        for kind, value in _rlimits(policy).items():
            resource.setrlimit(kind, (value, value))
        canaries.try_denied("rlimits", lambda: os.dup2(0, policy.nofile), errno=(9,))  # EBADF: past RLIMIT_NOFILE
    _prepare_landlock(policy, outside, canaries)


def _rlimits(policy: Policy) -> Mapping[int, int]:
    return {
        resource.RLIMIT_NOFILE: policy.nofile,
        resource.RLIMIT_NPROC: policy.pids,
        resource.RLIMIT_FSIZE: policy.fsize_bytes,
        **_memory_rlimits(policy),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }


def _memory_rlimits(policy: Policy) -> Mapping[int, int]:
    """Programs of cells reserve more than they use: where their leaf bounds them, address space is left to them."""
    if policy.profile not in PROFILES:
        return {resource.RLIMIT_AS: policy.memory_bytes}
    bounds = {resource.RLIMIT_DATA: policy.memory_bytes, resource.RLIMIT_CPU: policy.cpu_s}
    return bounds if "cgroup" in policy.layers else {**bounds, resource.RLIMIT_AS: policy.address_bytes}


def _drop_capabilities(canaries: Canaries) -> None:
    syscalls.drop_capability_sets()
    canaries.try_denied("capabilities", lambda: socket.sethostname("canary"), errno=(1,))


def _lock_process(canaries: Canaries) -> None:
    """The bounding set came back full with the user namespace, so it is emptied here. Source: user_namespaces(7)."""
    syscalls.drop_bounding_set()
    prctl.set_no_new_privs(1)
    canaries.require("no_new_privs", prctl.get_no_new_privs() == 1, "no_new_privs is not set")
    if canaries.has("mdwe"):
        syscalls.refuse_exec_gain()
        canaries.try_denied("mdwe", _writable_code, errno=(13,))
    prctl.set_dumpable(0)
    prctl.set_pdeathsig(signal.SIGKILL)  # after the ids, whose change clears it; losing capabilities does not


def _writable_code() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _prepare_landlock(policy: Policy, outside: Outside, canaries: Canaries) -> None:
    if not canaries.has("landlock"):
        return
    rules.require_abi(outside.landlock_abi, policy.landlock_abi)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as inside:
        listener.bind("")  # the kernel chooses a free abstract name: the network may be shared. Source: unix(7)
        listener.listen(1)
        rules.restrict_network_and_scope(
            may_connect=policy.profile == CONNECTS,
            port=PROXY_PORT if policy.profile == WITH_DOOR else None,
            may_move=policy.profile in PROFILES,
        )
        acts = {"bind": (_bind_tcp, 13), "scope": (lambda: inside.connect(listener.getsockname()), 1)}
        outcome = _first_allowed(acts)
    canaries.seen["landlock"] = _FILES_LEFT if outcome == DENIED else outcome
    canaries.files = rules.prepare_files()


def _apply_landlock(restrict: Callable[[int], None], canaries: Canaries) -> None:
    if canaries.files is None:
        return
    restrict(canaries.files)
    if canaries.seen["landlock"] == _FILES_LEFT:
        acts = {"file": (lambda: os.close(os.open(mounts.CANARY, os.O_RDONLY)), 13)}
        canaries.seen["landlock"] = _first_allowed(acts)


def _bind_tcp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("0.0.0.0", 1024))  # noqa: S104  # refused by Landlock, in a namespace without interfaces


def _first_allowed(acts: Mapping[str, tuple[Callable[[], object], int]]) -> str:
    for name, (act, errno) in acts.items():
        outcome = _outcome(act, (errno,))
        if outcome != DENIED:
            return f"{name}: {outcome}"
    return DENIED


def _apply_filter(program: bytes, canaries: Canaries, *, act: Callable[[], object]) -> None:
    if not canaries.has("seccomp"):
        return
    syscalls.load_filter(program)
    canaries.try_denied("seccomp", act, errno=(38,))  # ENOSYS: harmless, and allowed by everything else


def _require_all(canaries: Canaries) -> None:
    wrong = {layer: seen for layer, seen in canaries.seen.items() if seen != DENIED}
    if wrong:
        raise UnconfinedError(f"not confined: {wrong}")


def _outcome(act: Callable[[], object], expected: Sequence[int]) -> str:
    try:
        act()
    except OSError as error:
        return DENIED if error.errno in expected else f"errno {error.errno} instead of a denial"
    return "allowed"
