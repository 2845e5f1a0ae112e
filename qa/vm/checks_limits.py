"""ISO-7, RUN-5 in the guest: what a worker may use, what happens when it wants more, and how it is made to wait."""

import re
import time

from qa.vm.asking import OPERATOR, SERVICE, journal, leaves, ok, run_id, started, until, waiting
from qa.vm.guest import Guest

LAYERS = 13
WALL_S = 25


def attests_all_layers(guest: Guest) -> str:
    """ISO-7, ISO-8, ISO-9: a live worker with no layer left out, and every limit in its leaf."""
    run = waiting(guest, "--read /usr/share/common-licenses")
    said = ok(guest.run(f"agentd attest {run}"))
    confirmed = re.findall(r"^(\w+) +denied +(?:confirmed|verified|filtered)", said, re.MULTILINE)
    assert len(confirmed) == LAYERS and "cgroup" in confirmed, said
    leaf = _leaf(guest, run)
    limits = ok(guest.run(f"cd {leaf} && cat memory.max memory.swap.max pids.max memory.oom.group io.max"))
    assert limits.split()[:4] == ["268435456", "0", "16", "1"], limits
    assert "rbps=268435456 wbps=268435456" in limits, limits
    ok(guest.run(f"agentd stop {run}"))
    until(lambda: guest.run(f"test -e {leaf}").status != 0)
    return f"{len(confirmed)} layers; {limits.splitlines()[-1]}"


def ends_what_is_out_of_memory(guest: Guest) -> str:
    """ISO-7, H-RES-02: one worker fills its memory; it alone is ended, and its run says why."""
    other = waiting(guest)
    ran = guest.run("agentd submit --program /payload/hostile/memory_hog.py 'take all'", user=OPERATOR, timeout_s=300)
    assert ran.status == 1 and "memory limit of 256 MiB" in ran.output, ran
    run = run_id(ran)
    told = [entry for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}") if entry["AAOS_EVENT"] == "agent.oom"]
    assert len(told) == 1, told
    assert "agent.oom" in ok(guest.run(f"agentd logs -a {run}", user=OPERATOR))
    ok(guest.run(f"agentd attest {other}"))
    left = leaves(guest)
    ok(guest.run(f"agentd stop {other}"))
    return f"agent.oom in the journal; the other {len(left)} leaves stand"


def ends_what_has_drifted(guest: Guest) -> str:
    """ISO-9: a limit of a leaf is lifted behind agentd's back; the look that sees it ends the worker."""
    run = waiting(guest)
    leaf = _leaf(guest, run)
    ok(guest.run(f"echo max > {leaf}/memory.max"))
    ran = guest.run(f"agentd attest {run}")
    assert ran.status == 6 and "memory.max" in ran.output, ran
    until(lambda: guest.run(f"test -e {leaf}").status != 0)
    said = ok(guest.run(f"agentd logs -a {run}", user=OPERATOR))
    assert "agent.drifted" in said and "run.failed" in said, said
    return ran.output.splitlines()[0]


def stands_still_while_it_is_paused(guest: Guest) -> str:
    """RUN-5, BRK-9, H-DUR-13: over a restart of agentd, and for longer than the run's whole time."""
    run, begun_s = started(guest, f"--wall {WALL_S} --program /payload/ticks.py"), time.monotonic()
    until(lambda: "says: 3" in guest.run(f"agentd logs {run}").output)
    leaf = _leaf(guest, run)
    assert "paused" in ok(guest.run(f"agentd pause {run}", user=OPERATOR))
    assert "frozen 1" in ok(guest.run(f"cat {leaf}/cgroup.events"))
    used, said = (ok(guest.run(f"grep usage_usec {leaf}/cpu.stat")), ok(guest.run(f"agentd logs {run} | grep -c says")))
    ok(guest.run("sleep 3"))
    assert ok(guest.run(f"grep usage_usec {leaf}/cpu.stat")) == used
    assert ok(guest.run(f"agentd logs {run} | grep -c says")) == said
    ok(guest.run("systemctl restart agentd"))
    assert guest.run(f"grep -l 'frozen 1' {SERVICE}/workers/*/cgroup.events").output == ""  # nothing of it is begun
    assert "paused" in ok(guest.run(f"agentd status {run}", user=OPERATOR))
    until(lambda: time.monotonic() > begun_s + WALL_S + 5)
    assert "running" in ok(guest.run(f"agentd resume {run}", user=OPERATOR))
    until(lambda: int(ok(guest.run(f"agentd logs {run} | grep -c says"))) > int(said))
    assert "running" in ok(guest.run(f"agentd status {run}", user=OPERATOR))
    ok(guest.run(f"agentd stop {run}", user=OPERATOR))
    return f"frozen after {said} ticks, and ticking again after {time.monotonic() - begun_s:.0f} s of {WALL_S}"


def _leaf(guest: Guest, run: str) -> str:
    """The cgroup of the one live worker of a run."""
    pid = re.search(r"\bpid (\d+)", ok(guest.run(f"agentd attest {run}")))
    assert pid, run
    return "/sys/fs/cgroup" + ok(guest.run(f"sed -n 's/^0:://p' /proc/{pid[1]}/cgroup"))
