"""The template process: imports everything once, then forks a worker for each request of agentd.

Invariant: it is exec'ed with an empty environment, has one thread, talks to agentd only, and never sees a key, a goal,
a grant or a byte from an agent. It maps the child's ids from outside; the child builds its own wall as far as it goes
without an agent, waits on its own socket to be assigned to one (it is parked), and never returns here.
"""

import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import prctl

from worker import abi, memory, rehearsal, transport
from worker.cell import frames, init
from worker.user import entry
from worker.wall import cell, confine, mounts, rules, syscalls

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

Run = Callable[[socket.socket, str, bytes], None]


@dataclass(frozen=True, slots=True)
class Template:
    """What every child has: what to compare with, and what to run behind the wall."""

    outside: confine.Outside
    run: Run


@dataclass(frozen=True, slots=True)
class Order:
    """One request to fork, with the fds that came with it."""

    id: int
    policy: abi.Policy
    sock: int
    filter_fd: int
    cgroup_procs: int | None


@dataclass(frozen=True, slots=True)
class Child:
    """A cloned process; with an `error` it was killed before it ran."""

    pid: int
    pidfd: int
    error: str = ""


def main(control_fd: int, filter_fd: int, template_dir: str, *, run: Run = entry.run) -> None:
    """Serve agentd on `control_fd` until it closes; `filter_fd` is a sealed memfd with the zygote's own filter.

    `run` is what each child becomes once it is confined: a worker, or the program of another boot.
    """
    prctl.set_pdeathsig(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
    zygote_filter = _read_once(filter_fd) if filter_fd >= 0 else b""
    control = _reserve_session_fd(control_fd)
    syscalls.require_supported_machine()
    namespaces = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in ("ipc", "uts")}
    outside = confine.Outside(namespaces, rules.landlock_abi())
    mounts.build_template(template_dir)
    os.setgroups([])
    syscalls.keep_capabilities(KEPT_CAPABILITIES)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if zygote_filter:
        syscalls.load_filter(zygote_filter)
    rehearsal.learn()
    memory.settle()
    rehearsal.learn()  # into caches that are empty now
    transport.send(control, abi.Spawned(id=0, pid=os.getpid()))
    _serve(control, Template(outside, run))


def _reserve_session_fd(control_fd: int) -> socket.socket:
    """The control socket on the fd that a child gives to its own session, so that no tree can be there."""
    if control_fd != confine.SOCKET_FD:
        os.dup2(control_fd, confine.SOCKET_FD, inheritable=False)
        os.close(control_fd)
    os.set_inheritable(confine.SOCKET_FD, False)
    return socket.socket(fileno=confine.SOCKET_FD)


def _serve(control: socket.socket, template: Template) -> None:
    while True:
        try:
            frame, fds = transport.receive(control, abi.TO_ZYGOTE)
        except transport.ClosedError:
            return
        try:
            _fork(control, frame, fds, template)
        finally:
            for fd in fds:
                os.close(fd)


def _fork(control: socket.socket, spawn: abi.Spawn, fds: Sequence[int], template: Template) -> None:
    try:
        child = _clone_mapped(_read_order(spawn, fds), template)
    except (OSError, IndexError, abi.FrameError) as error:
        transport.send(control, abi.SpawnFailed(id=spawn.id, message=str(error)))
        return
    if child.error:
        transport.send(control, abi.SpawnFailed(spawn.id, child.error), [child.pidfd])
    else:
        transport.send(control, abi.Spawned(id=spawn.id, pid=child.pid), [child.pidfd])
    os.close(child.pidfd)


def _read_order(spawn: abi.Spawn, fds: Sequence[int]) -> Order:
    policy = abi.policy_from_json(spawn.policy)
    return Order(spawn.id, policy, fds[0], fds[1], fds[2] if "cgroup" in policy.layers else None)


def _clone_mapped(order: Order, template: Template) -> Child:
    """Clone, map the child's ids, then let it go. The child never returns.

    A child that could not be mapped has been killed: agentd, whose child it is, must still collect it.
    """
    wait_fd, go_fd = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = syscalls.clone(_clone_flags(order.policy.layers))
        if pid == 0:
            os.close(go_fd)
            _end(lambda: _become_worker(order, template, wait_fd))
        try:
            _map_ids(pid, order)
            os.write(go_fd, b"g")
        except OSError as error:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            return Child(pid, pidfd, str(error))
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
    policy = order.policy
    _write(f"/proc/{pid}/oom_score_adj", str(OOM_SCORE_ADJUST))
    if order.cgroup_procs is not None:
        os.write(order.cgroup_procs, str(pid).encode())
    _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/uid_map", f"{policy.inside_uid} {policy.host_uid} 1")
    _write(f"/proc/{pid}/gid_map", f"{policy.inside_gid} {policy.host_gid} 1")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _become_worker(order: Order, template: Template, wait_fd: int) -> None:
    """In the child: wait for the ids, park, be assigned, finish the wall, say `ready`, run what it is for."""
    if os.read(wait_fd, 1) != b"g":
        return
    sock = _keep_only_socket(order)
    try:
        canaries = confine.park(order.policy, template.outside)
        program_filter = _read_once(order.filter_fd)
        run: Callable[[socket.socket], None] = init.run
        if order.policy.profile in frames.PROFILES:
            cell.confine_cell(sock, program_filter, template.outside, canaries)
        else:
            run = _assigned(sock, order.policy, template, program_filter, canaries)
    except transport.ClosedError:
        return
    except Exception as error:  # noqa: BLE001  # the boundary of the process: whatever it was, agentd must hear of it
        transport.send(sock, abi.Log(text=f"{type(error).__name__}: {error}"[: abi.LOG_BYTES]))
        return
    layers = order.policy.layers
    transport.send(sock, abi.Ready(v=abi.VERSION, layers=layers, canaries=canaries.seen, steps=canaries.steps))
    # `start` comes only after both attestations agreed; the agent reads it itself
    if sock.recv(1, socket.MSG_PEEK):
        run(sock)


def _assigned(
    sock: socket.socket, policy: abi.Policy, template: Template, program_filter: bytes, canaries: confine.Canaries
) -> Callable[[socket.socket], None]:
    """What a worker is to run, once its wall is finished."""
    if _is_idle(sock):  # else somebody waits already
        rehearsal.rehearse(policy.layers)
    assigned, fds = transport.receive(sock, abi.TO_PARKED)
    granted = [abi.build(abi.Mount, mount) for mount in assigned.mounts]
    trees = [fds.pop(0) for _ in granted]
    confine.confine(confine.Materials(granted, trees, program_filter), canaries)
    program = _read_once(fds.pop(0)) if assigned.program else b""  # an agent's bytes: only now
    return lambda sock: template.run(sock, assigned.entry, program)


def _is_idle(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    return False


def _keep_only_socket(order: Order) -> socket.socket:
    """fds 0-2 become /dev/null, 3 the session's socket; the filter stays open until it was read."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.dup2(order.sock, confine.SOCKET_FD, inheritable=False)
    os.closerange(confine.SOCKET_FD + 1, order.filter_fd)
    os.closerange(order.filter_fd + 1, _MAX_FD)
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
