"""The template process: imports everything once, then forks a confined worker for each request of agentd.

Invariant: it is exec'ed with an empty environment, has one thread, talks to agentd only, and never sees a key, a goal
or a byte from an agent. It maps the child's ids from outside; the child builds its own wall and never returns here.
"""

import gc
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import prctl

from worker import abi, transport
from worker.user import entry
from worker.wall import confine, mounts, rules, syscalls

OOM_SCORE_ADJUST = 500
_MAX_FD = 1 << 20
NAMESPACE_FLAGS = {
    "userns": syscalls.CLONE_NEWUSER,
    "mountns": syscalls.CLONE_NEWNS,
    "pidns": syscalls.CLONE_NEWPID,
    "netns": syscalls.CLONE_NEWNET,
    "ipcns": syscalls.CLONE_NEWIPC,
    "utsns": syscalls.CLONE_NEWUTS,
}
# linux/capability.h: DAC_OVERRIDE, KILL, SETGID, SETUID, SYS_ADMIN; not SYS_PTRACE
KEPT_CAPABILITIES = sum(1 << number for number in (1, 5, 6, 7, 21))


@dataclass(frozen=True, slots=True)
class Order:
    """One request to fork, with the fds that came with it; `program_fd` is -1 without a program."""

    spawn: abi.Spawn
    sock: int
    filter_fd: int
    policy_fd: int
    cgroup_procs: int | None
    trees: Sequence[int]
    program_fd: int


@dataclass(frozen=True, slots=True)
class Child:
    """A cloned process; with an `error` it was killed before it ran, for those mounts if they were why."""

    pid: int
    pidfd: int
    error: str = ""
    unmapped: tuple[int, ...] = ()


class UnmappedError(Exception):
    """The ids of a child or of one of its trees could not be mapped."""

    def __init__(self, error: OSError, unmapped: tuple[int, ...] = ()) -> None:
        super().__init__(str(error))
        self.unmapped = unmapped


def main(control_fd: int, filter_fd: int, template_dir: str) -> None:
    """Serve agentd on `control_fd` until it closes; `filter_fd` is a sealed memfd with the zygote's own filter."""
    prctl.set_pdeathsig(signal.SIGKILL)
    zygote_filter = _read_once(filter_fd) if filter_fd >= 0 else b""
    control = _reserve_session_fd(control_fd)
    syscalls.require_supported_machine()
    rules.warm()
    outside = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in ("ipc", "uts")}
    mounts.build_template(template_dir)
    os.setgroups([])
    syscalls.keep_capabilities(KEPT_CAPABILITIES)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if zygote_filter:
        syscalls.load_filter(zygote_filter)
    gc.freeze()
    gc.disable()
    transport.send(control, abi.Spawned(id=0, pid=os.getpid()))
    _serve(control, outside)


def _reserve_session_fd(control_fd: int) -> socket.socket:
    """The control socket on the fd that a child gives to its own session, so that no tree can be there."""
    if control_fd != confine.SOCKET_FD:
        os.dup2(control_fd, confine.SOCKET_FD, inheritable=False)
        os.close(control_fd)
    os.set_inheritable(confine.SOCKET_FD, False)
    return socket.socket(fileno=confine.SOCKET_FD)


def _serve(control: socket.socket, outside: Mapping[str, int]) -> None:
    while True:
        try:
            frame, fds = transport.receive(control, abi.TO_ZYGOTE)
        except transport.ClosedError:
            return
        try:
            _fork(control, frame, fds, outside)
        finally:
            for fd in fds:
                os.close(fd)


def _fork(control: socket.socket, spawn: abi.Spawn, fds: Sequence[int], outside: Mapping[str, int]) -> None:
    try:
        child = _clone_mapped(_read_order(spawn, fds), outside)
    except (OSError, IndexError) as error:
        transport.send(control, abi.SpawnFailed(id=spawn.id, message=str(error)))
        return
    if child.error:
        transport.send(control, abi.SpawnFailed(spawn.id, child.error, child.unmapped), [child.pidfd])
    else:
        transport.send(control, abi.Spawned(id=spawn.id, pid=child.pid), [child.pidfd])
    os.close(child.pidfd)


def _read_order(spawn: abi.Spawn, fds: Sequence[int]) -> Order:
    rest = list(fds)
    sock, filter_fd, policy_fd = (rest.pop(0) for _ in range(3))
    cgroup_procs = rest.pop(0) if "cgroup" in spawn.layers else None
    trees = [rest.pop(0) for _ in range(spawn.mounts)]
    return Order(spawn, sock, filter_fd, policy_fd, cgroup_procs, trees, rest[0] if rest else -1)


def _clone_mapped(order: Order, outside: Mapping[str, int]) -> Child:
    """Clone, map the child's ids and its trees' owners, then let it go. The child never returns.

    A child that could not be mapped has been killed: agentd, whose child it is, must still collect it.
    """
    wait_fd, go_fd = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = syscalls.clone(_clone_flags(order.spawn.layers))
        if pid == 0:
            os.close(go_fd)
            _end(lambda: _become_worker(order, outside, wait_fd))
        try:
            _map_ids(pid, order)
            os.write(go_fd, b"g")
        except UnmappedError as error:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return Child(pid, pidfd, str(error), error.unmapped)
    finally:
        os.close(wait_fd)
        os.close(go_fd)
    return Child(pid, pidfd)


def _clone_flags(layers: Sequence[str]) -> int:
    flags = syscalls.CLONE_PARENT | signal.SIGCHLD
    for layer, flag in NAMESPACE_FLAGS.items():
        flags |= flag if layer in layers else 0
    return flags


def _map_ids(pid: int, order: Order) -> None:
    spawn = order.spawn
    try:
        _write(f"/proc/{pid}/oom_score_adj", str(OOM_SCORE_ADJUST))
        if order.cgroup_procs is not None:
            os.write(order.cgroup_procs, str(pid).encode())
        _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/uid_map", spawn.uid_map)
        _write(f"/proc/{pid}/gid_map", spawn.gid_map)
        userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UnmappedError(error) from error
    try:
        for index in spawn.idmapped:
            _map_owners(order.trees[index], userns, index)
    finally:
        os.close(userns)


def _map_owners(tree: int, userns: int, index: int) -> None:
    try:
        mounts.map_owners(tree, userns)
    except OSError as error:
        raise UnmappedError(error, (index,)) from error


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _become_worker(order: Order, outside: Mapping[str, int], wait_fd: int) -> None:
    """In the child: wait for the ids, raise the wall, say `ready`, then run the agent."""
    if os.read(wait_fd, 1) != b"g":
        return
    sock = _keep_only_socket(order)
    try:
        policy = abi.policy_from_json(abi.parse(_read_once(order.policy_fd)))
        confined = confine.confine(policy, confine.Materials(order.trees, _read_once(order.filter_fd), outside))
        program = _read_once(order.program_fd) if order.program_fd >= 0 else b""  # an agent's bytes: only now
    except Exception as error:  # noqa: BLE001  # the boundary of the process: whatever it was, agentd must hear of it
        transport.send(sock, abi.Log(text=f"{type(error).__name__}: {error}"[: abi.LOG_BYTES]))
        return
    transport.send(sock, abi.Ready(v=abi.VERSION, layers=policy.layers, canaries=confined.seen, steps=confined.steps))
    # `start` comes only after both attestations agreed; the agent reads it itself
    if not sock.recv(1, socket.MSG_PEEK):
        return
    entry.run(sock, policy.entry, program)


def _keep_only_socket(order: Order) -> socket.socket:
    """fds 0-2 become /dev/null, 3 the session's socket; what is still to be read or attached stays open till then."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.dup2(order.sock, confine.SOCKET_FD, inheritable=False)
    start = confine.SOCKET_FD + 1
    kept = {order.filter_fd, order.policy_fd, order.program_fd, *order.trees} - {-1}
    for fd in sorted(kept):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, _MAX_FD)
    return socket.socket(fileno=confine.SOCKET_FD)


def _read_once(fd: int) -> bytes:
    try:
        return transport.read_sealed(fd)
    finally:
        os.close(fd)


def _end(run: Callable[[], None]) -> None:
    status = 1
    try:
        run()
        status = 0
    finally:
        os._exit(status)
