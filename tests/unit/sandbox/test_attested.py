"""What was confirmed of a worker, as a value and as the fields of its event."""

import time
from dataclasses import replace

from aaos.core.config import Settings
from aaos.core.layers import Layer
from aaos.sandbox.attested import Digests, attested, told
from aaos.sandbox.egress import egress_policy


def test_it_says_of_whom_by_what_and_since_when() -> None:
    """ISO-9"""
    policy = replace(egress_policy(Settings()), agent="a-7", layers=("userns", "seccomp"), host_uid=70_001)
    seen, begun_ns = {"userns": "confirmed"}, time.monotonic_ns()
    found = attested(
        policy, 12, inside={"userns": "denied"}, outside=seen, missing=(Layer.CGROUP,),
        digests=Digests("p" * 64, "f" * 64), begun_ns=begun_ns,
    )  # fmt: skip
    assert (found.agent, found.pid, found.host_uid, found.missing) == ("a-7", 12, 70_001, (Layer.CGROUP,))
    assert (found.inside, found.outside) == ({"userns": "denied"}, seen)
    assert 0 < found.duration_ms <= (time.monotonic_ns() - begun_ns) / 1e6
    assert told(replace(found, duration_ms=1.23456)) == {
        "pid": 12, "host_uid": 70_001, "layers": "userns seccomp", "missing": "cgroup",
        "policy_digest": "p" * 64, "filter_digest": "f" * 64, "duration_ms": 1.235,
    }  # fmt: skip
