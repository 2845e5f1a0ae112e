"""What a cell has around it that a worker has not: more mounts, names it may make, programs it may execute, a door.

Invariant: as for a worker, everything is in force and has refused its canary before a byte of an agent's is read; the
frame that is read here holds agentd's policy and nothing else.
"""

import os
import socket

from worker import abi, transport
from worker.cell.frames import TO_PARKED, Door
from worker.wall import confine, mounts, rules


def confine_cell(
    sock: socket.socket, filter_program: bytes, outside: confine.Outside, canaries: confine.Canaries
) -> None:
    """Wait for the policy, then build the rest of the wall. Raises what `transport.receive` and `lock` raise."""
    furnish, trees = transport.receive(sock, TO_PARKED)
    canaries.policy = policy = abi.policy_from_json(furnish.policy)
    canaries.step("parked")
    if canaries.door is not None:
        with canaries.door:
            transport.send(sock, Door(), [canaries.door.fileno()])
    mounts.furnish_cell(policy, trees)
    confine.check_root(policy.mounts, canaries, own=(mounts.SCRATCH[1:], *mounts.LINKS))
    confine.limit(policy, outside, canaries)
    canaries.step("mounts")
    confine.lock(
        confine.Materials(policy.mounts, (), filter_program),
        canaries,
        files=lambda ruleset: rules.restrict_cell(ruleset, policy, scratch=mounts.SCRATCH),
        act=lambda: os.sched_rr_get_interval(0),
    )
