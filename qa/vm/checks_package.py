"""What the package adds around the daemon, which only a kernel with AppArmor under systemd shows; and its own tests."""

import json

from qa.vm.asking import ADMIN, OPERATOR, ok
from qa.vm.guest import Guest

PROFILE = "aaos-agentd (enforce)"


def is_held_by_its_profile(guest: Guest) -> str:
    """DEB-2: the daemon and all that it has started, and nothing that they did so far was denied."""
    tree = ok(guest.run("systemctl show agentd --value -p ControlGroup"))
    pids = ok(guest.run(f"find /sys/fs/cgroup{tree} -name cgroup.procs -exec cat {{}} +")).split()
    labels = [ok(guest.run(f"cat /proc/{pid}/attr/current")) for pid in pids]
    assert set(labels) == {PROFILE}, labels
    denied = guest.run("journalctl -b -k --no-pager -g 'apparmor=.DENIED.*aaos-agentd'").output
    assert "aaos-agentd" not in denied, denied
    return f"{len(pids)} processes under {PROFILE}, nothing was denied"


def passes_its_own_tests(guest: Guest) -> str:
    """DEB-3: what autopkgtest would run on a machine of its own, with the layers and the service that are there."""
    tests = ok(guest.run("ls /payload/tests")).split()
    tests.remove("control")
    for test in tests:
        ok(guest.run(f"cp /payload/tests/{test} /tmp/{test} && chmod +x /tmp/{test} && /tmp/{test}", timeout_s=600))
    assert tests == ["goal", "service"], tests
    return f"{', '.join(tests)}"


def withstands_its_own_attacks(guest: Guest) -> str:
    """ISO-10: the self-test in workers and cells of the installation, with every layer, for who is not root."""
    refused = guest.run("agentd selftest", user=OPERATOR)
    assert refused.status == 3 and "admin access" in refused.output, refused
    ran = guest.run("agentd --json selftest", user=ADMIN, timeout_s=600)
    lines = ran.output.splitlines()
    told = json.loads(lines[-1])
    bad = [one for one in told["results"] if not one["ok"]]
    assert (ran.status, told["failed"], told["missing_layers"]) == (0, 0, []) and not bad, (ran.status, bad)
    places = sorted({one["place"] for one in told["results"]})
    assert len(told["results"]) >= 200 and len(places) > 1, places
    return f"{len(told['results'])} attacks from {', '.join(places)}, in {told['duration_ms'] / 1e3:.0f} s"
