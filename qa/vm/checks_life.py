"""Ends and beginnings of the daemon: ISO-11, H-DUR-11, OPS-2, OPS-5 in the guest."""

from qa.vm.asking import SERVICE, leaves, ok, ok_or_none, until, waiting
from qa.vm.guest import Guest

_PROCESSES = (
    f"for pid in $(cat $(find {SERVICE} -name cgroup.procs)); do"
    " echo $pid-$(sed 's/.*) //' /proc/$pid/stat | cut -d ' ' -f 20); done"
)
_OF_WORKERS = "ps -eo uid=,cgroup= | awk '$1 >= 1900000000 && $1 < 1900065536 { print $2 }'"


def survives_its_own_death(guest: Guest) -> str:
    """ISO-11, H-DUR-11: kill -9; its run goes on under the next, and no process, leaf or mount is left."""
    run = waiting(guest)
    mounts = ok(guest.run("wc -l < /proc/1/mountinfo"))
    before = set(ok(guest.run(_PROCESSES)).split())
    pid = ok(guest.run("systemctl show agentd --value -p MainPID"))
    ok(guest.run(f"kill -9 {pid}"))
    until(lambda: ok_or_none(guest.run("agentd --json version")) is not None)
    until(lambda: "running" in guest.run(f"agentd status {run}").output)
    after = set(ok(guest.run(_PROCESSES)).split())
    assert len(before) > 3 and not before & after, (before, after)
    outside = [path for path in guest.run(_OF_WORKERS).output.split() if "/agentd.service/" not in path]
    assert not outside, outside
    until(lambda: not _empty(guest))
    assert ok(guest.run("wc -l < /proc/1/mountinfo")) == mounts
    ok(guest.run(f"agentd attest {run}"))
    ok(guest.run(f"agentd stop {run}"))
    return f"none of {len(before)} processes left, {len(leaves(guest))} leaves of the successor, all in use"


def _empty(guest: Guest) -> list[str]:
    return [leaf for leaf in leaves(guest) if not guest.run(f"cat {leaf}/cgroup.procs").output.split()]
