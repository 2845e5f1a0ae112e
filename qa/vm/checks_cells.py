"""Cells in the guest, with every layer: greedy ones, and one that somebody changes from outside."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from qa.vm.asking import OPERATOR, SERVICE, journal, ok, started, until
from qa.vm.guest import Guest

SECONDS = 20
READ = "/usr/share/common-licenses/BSD"
ENDS = {"memory", "output"}  # what ends a cell within that time, whatever the machine


def bears_four_greedy_cells_at_once(guest: Guest) -> str:
    """H-RES-01, H-RES-02, H-RES-06, H-RES-07: processes, memory, the disk, output; each taken by one as far as it goes.

    Beside them the operator is answered, a tool is called and an honest goal is carried out; a limit ends each, none
    agentd. The times decide nothing here: `qa/bench/beside.py` takes them where the processor is not emulated.
    """
    main = ok(guest.run("systemctl show agentd --value -p MainPID"))
    alone = _waits_ms(guest)
    with _greedy(guest, "forks", "memory", "disk", "flood") as run:
        beside = _waits_ms(guest)
        beside_s = _honest(guest)
        until(lambda: _ends(guest, run) >= ENDS)
    kinds = {entry["AAOS_EVENT"] for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}")}
    assert {"agent.oom", "limit.reached"} <= kinds, (sorted(kinds), _shown(alone), _shown(beside), beside_s)
    assert ok(guest.run("systemctl show agentd --value -p MainPID")) == main
    return f"p50/p99 alone {_shown(alone)}; beside them {_shown(beside)}; an honest goal in {beside_s:.0f} s"


def bears_eight_cells_that_burn_processors(guest: Guest) -> str:
    """H-RES-06: agentd comes before all workers and cells; the operator is answered, and tools are called."""
    with _greedy(guest, *["cpu"] * 8):
        weights = ok(guest.run(f"cat {SERVICE}/daemon/cpu.weight {SERVICE}/workers/cpu.weight")).split()
        assert int(weights[0]) >= 10 * int(weights[1]), weights
        beside = _waits_ms(guest)
        beside_s = _honest(guest)
    return f"p50/p99 beside them {_shown(beside)}; an honest goal in {beside_s:.0f} s"


def ends_a_cell_that_has_drifted(guest: Guest) -> str:
    """ISO-9: a cell is attested with its worker, and a limit that is lifted behind agentd's back ends the session."""
    with _greedy(guest, "cpu") as run:
        first, second = map(json.loads, ok(guest.run(f"agentd --json attest {run}")).splitlines())
        assert not first["call"] and second["call"] and second["missing"] == [], (first, second)
        leaf = ok(guest.run(f"sed -n 's/^0:://p' /proc/{second['pid']}/cgroup"))
        ok(guest.run(f"echo max > /sys/fs/cgroup{leaf}/pids.max"))
        ran = guest.run(f"agentd attest {run}")
        assert ran.status == 6 and "pids.max" in ran.output, ran
        until(lambda: _status(guest, run)["state"] == "failed")
        until(lambda: guest.run(f"test -e /sys/fs/cgroup{leaf}").status != 0)
    assert _count(guest, run, "agent.drifted") == 1
    return ran.output.splitlines()[0]


@contextmanager
def _greedy(guest: Guest, *kinds: str) -> Iterator[str]:
    """A run whose cells are all at work; ended with all of them, whatever the check says."""
    ok(guest.run("mkdir -p work", user=OPERATOR))
    program = "--program /payload/hostile/greedy_cells.py --read work --write work --tool python_run"
    run = started(guest, program, goal=f"take {' '.join(kinds)} in /home/{OPERATOR}/work")
    try:
        until(lambda: _count(guest, run, "cell.confined") >= len(kinds))
        yield run
    finally:
        guest.run(f"agentd stop {run}")
    until(lambda: _count(guest, run, "cell.ended") == _count(guest, run, "cell.confined"))


def _shown(waits_ms: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(f"{name} {waits['p50']:.0f}/{waits['p99']:.0f}" for name, waits in waits_ms.items()) + " ms"


def _waits_ms(guest: Guest) -> Mapping[str, Mapping[str, float]]:
    """How long an operator and an agent wait, who ask twenty times a second."""
    reads = started(guest, f"--program /payload/reads.py --read {READ}", goal=f"read for {SECONDS} {READ}")
    asked = ok(guest.run(f"python3 -I /payload/asks.py /run/agentd/agentd.sock {reads} {SECONDS}"))
    until(lambda: _status(guest, reads)["state"] not in {"pending", "running"})
    told = _status(guest, reads)
    assert told["state"] == "completed", (told, guest.run(f"agentd logs {reads}").output[-2000:])
    return {**json.loads(asked), "file_read": json.loads(told["result"])}


def _honest(guest: Guest) -> float:
    begun_s = time.monotonic()
    ok(guest.run("agentd submit 'count the lines in /etc/services'", user=OPERATOR))
    return time.monotonic() - begun_s


def _count(guest: Guest, run: str, kind: str) -> int:
    return sum(entry["AAOS_EVENT"] == kind for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}"))


def _ends(guest: Guest, run: str) -> set[str]:
    told = journal(guest, f"-t agentd AAOS_RUN_ID={run} AAOS_EVENT=cell.ended")
    return {str(json.loads(entry["AAOS_FIELDS"])["end"]) for entry in told}


def _status(guest: Guest, run: str) -> Mapping[str, str]:
    seen: Mapping[str, str] = json.loads(ok(guest.run(f"agentd --json status {run}")))
    return seen
