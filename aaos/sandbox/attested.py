"""What was confirmed of a worker or a cell: as a value, and as what its event says of it.

Invariant: nothing is looked at here; both halves have agreed before.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from aaos.core.events import Scalar
from aaos.core.ids import AgentId, Uid
from aaos.core.layers import Layer
from aaos.core.ports import Attestation
from worker import abi


@dataclass(frozen=True, slots=True)
class Digests:
    """Of the policy, and of the filter that was compiled for it."""

    policy: str
    filter: str


def attested(
    policy: abi.Policy,
    pid: int,
    *,
    inside: Mapping[str, str],
    outside: Mapping[str, str],
    missing: tuple[Layer, ...],
    digests: Digests,
    begun_ns: int,
) -> Attestation:
    """Now; `begun_ns` is monotonic."""
    return Attestation(
        agent=AgentId(policy.agent),
        pid=pid,
        host_uid=Uid(policy.host_uid),
        layers=tuple(Layer(layer) for layer in policy.layers),
        missing=missing,
        inside=dict(inside),
        outside=outside,
        policy_digest=digests.policy,
        filter_digest=digests.filter,
        duration_ms=(time.monotonic_ns() - begun_ns) / 1e6,
    )


def told(attestation: Attestation) -> dict[str, Scalar]:
    """The fields of its event."""
    return {
        "pid": attestation.pid,
        "host_uid": int(attestation.host_uid),
        "layers": " ".join(attestation.layers),
        "missing": " ".join(attestation.missing),
        "policy_digest": attestation.policy_digest,
        "filter_digest": attestation.filter_digest,
        "duration_ms": round(attestation.duration_ms, 3),
    }
