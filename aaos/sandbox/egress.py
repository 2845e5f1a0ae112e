"""Starts the egress behind the wall: the only way to one. It returns a confirmed process or raises.

Invariant: the egress reads no fetch before both attestations agreed. It has every layer of a worker but two: the
network is the machine's, on purpose, and it is in no leaf of cgroups. Its boot is exec'ed with an empty environment and
ends when its one child exists.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import aaos.egress
from aaos.core.config import MIB, Settings
from aaos.core.errors import WorkerLostError
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.sandbox import filters
from aaos.sandbox.attest import Expected, agree
from aaos.sandbox.ids import egress_ids
from aaos.sandbox.launch import ready_frame
from aaos.sandbox.policy import INSIDE_ID, policy_digest
from aaos.sandbox.session import reap
from aaos.sandbox.trees import detach_tree
from aaos.sandbox.zygote import Forked, Zygote
from worker import abi, transport

BOOT = Path(aaos.egress.__file__).parent / "__main__.py"
START_TIMEOUT_S = 20.0
LAYERS = ALL_LAYERS - {Layer.NETNS, Layer.CGROUP}
FILES_AT = "/etc"  # where the egress finds the settings of name resolution and the trusted authorities
MEMORY_BYTES = 2048 * MIB  # address space: each thread reserves much more than it uses
FSIZE_BYTES = 8 * MIB
NOFILE = 2048  # a cell's connection has two
THREADS = 128


@dataclass(frozen=True, slots=True)
class ConfinedEgress:
    """A confirmed egress. Whoever has it closes `sock` and reaps `pidfd`."""

    sock: socket.socket
    pid: int
    pidfd: int
    host_uid: int
    policy_digest: str
    filter_digest: str
    outside: Mapping[str, str]


async def launch_egress(settings: Settings, directory: Path, files: Path, *, boot: Path = BOOT) -> ConfinedEgress:
    """An egress that waits for fetches. `files` is all that it sees of the machine, `directory` is for its boot.

    Raises ConfinementError, WorkerLostError, SettingsError.
    """
    policy = egress_policy(settings)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    parent = Zygote(directory, lambda _: None, boot=boot, is_filtered=False)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await parent.start()
            sock, forked = await _fork(parent, replace(policy, agent="", entry="", mounts=()))
            try:
                _assign(sock, policy, files)
                ready, expected = await ready_frame(sock), Expected(policy, (filters.egress_filter(),))
                outside = await agree("egress", forked.pid, ready, expected)
            except BaseException:
                sock.close()
                await reap(forked.pidfd)
                raise
    except TimeoutError as error:
        raise WorkerLostError("the egress did not start in time", "look at the load; then agentd doctor") from error
    finally:
        await parent.stop()
    digest = hashlib.sha256(filters.egress_filter()).hexdigest()
    return ConfinedEgress(sock, forked.pid, forked.pidfd, policy.host_uid, policy_digest(policy), digest, outside)


def egress_policy(settings: Settings) -> abi.Policy:
    """What the egress may do. Raises SettingsError for a user that there is not, or that is root."""
    host_uid, host_gid = egress_ids(settings)
    return abi.Policy(
        agent="egress",
        profile="egress",
        entry="egress",
        layers=tuple(sorted(LAYERS)),
        host_uid=host_uid,
        host_gid=host_gid,
        inside_uid=INSIDE_ID,
        inside_gid=INSIDE_ID,
        mounts=(abi.Mount(FILES_AT, is_dir=True, writable=False, idmapped=False),),
        landlock_abi=settings.confinement.landlock_abi,
        nofile=NOFILE,
        fsize_bytes=FSIZE_BYTES,
        memory_bytes=MEMORY_BYTES,
        pids=THREADS,
        tmpfs_bytes=MIB,
    )


async def _fork(parent: Zygote, policy: abi.Policy) -> tuple[socket.socket, Forked]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    filter_fd = transport.sealed_memfd(filters.egress_filter())
    try:
        with closing(theirs):
            return ours, await parent.fork(policy, [theirs.fileno(), filter_fd])
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(filter_fd)


def _assign(sock: socket.socket, policy: abi.Policy, files: Path) -> None:
    """Give it its files; one that has ended left its last words."""
    root = os.open(files, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        tree = detach_tree(root, policy.mounts[0])
    finally:
        os.close(root)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):
            transport.send(sock, abi.Assign(policy.entry, abi.mounts_to_json(policy.mounts), program=False), [tree])
    finally:
        os.close(tree)
