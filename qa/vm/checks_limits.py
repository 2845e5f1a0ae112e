"""ISO-7 in the guest: what a worker may use, and what happens when it wants more."""

import re

from qa.vm.asking import OPERATOR, journal, ok, waiting
from qa.vm.guest import Guest


def ends_what_is_out_of_memory(guest: Guest) -> str:
    """ISO-7, H-RES-02: one worker fills its memory; it alone is ended, and its run says why."""
    other = waiting(guest)
    ran = guest.run("agentd submit --program /payload/hostile/memory_hog.py 'take all'", user=OPERATOR, timeout_s=300)
    assert ran.status == 1 and "memory limit of 256 MiB" in ran.output, ran
    run = re.search(r"\br-[a-z0-9]{12}\b", ran.output)
    assert run, ran
    told = [e for e in journal(guest, f"-t agentd AAOS_RUN_ID={run.group()}") if e.get("AAOS_EVENT") == "agent.oom"]
    assert len(told) == 1, told
    assert "agent.oom" in ok(guest.run(f"agentd logs -a {run.group()}", user=OPERATOR))
    ok(guest.run(f"agentd attest {other}"))
    left = guest.run("ls -d /sys/fs/cgroup/system.slice/agentd.service/workers/*/").output.split()
    ok(guest.run(f"agentd stop {other}"))
    return f"agent.oom in the journal; the other of {len(left)} leaves stands"
