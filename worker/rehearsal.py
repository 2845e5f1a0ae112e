"""What every worker does, done once without effect: it then has the pages that this writes to, or shares those that
the zygote has written to already (Python fills caches, and changes code that runs for the first time).

Invariant: nothing here changes what a program computes, and nothing of an agent is seen by it.
"""

import os
from collections.abc import Sequence

from worker import abi

_LAYERS = ("userns", "mountns")
_TIMES = 8  # after two Python has changed the code to what suits it; a few places need more tries


def learn() -> None:
    """In the zygote, before it forks."""
    policy = abi.Policy("", "worker", "", _LAYERS, 1, 1, 1, 1, (), 0, 0, 0, 0, 0, 0)
    for _ in range(_TIMES):
        spawn = abi.decode(abi.encode(abi.Spawn(1, abi.policy_to_json(policy))), abi.TO_ZYGOTE)
        abi.policy_from_json(spawn.policy)
        rehearse(_LAYERS)


def rehearse(layers: Sequence[str]) -> None:
    """In a worker while it is parked: what an assignment will do."""
    mounts_there = abi.mounts_to_json((abi.Mount("/dev", is_dir=True, writable=False, idmapped=False),))
    assigned = abi.decode(abi.encode(abi.Assign("", mounts_there, program=False)), abi.TO_PARKED)
    for mount in assigned.mounts:
        os.makedirs(abi.build(abi.Mount, mount).path, exist_ok=True)
    os.listdir("/")
    abi.encode(abi.Ready(v=abi.VERSION, layers=tuple(layers), canaries={"": ""}, steps={"": 0}))
