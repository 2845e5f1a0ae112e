"""Cells in the guest, with every layer: hostile ones, four at once."""

import json
import time
from collections.abc import Mapping

from qa.vm.asking import OPERATOR, journal, ok, started, until
from qa.vm.guest import Guest

SECONDS = 20
READ = "/usr/share/common-licenses/BSD"
ENDS = {"memory", "output"}  # what ends a cell within that time, whatever the machine


def bears_four_hostile_cells_at_once(guest: Guest) -> str:
    """H-RES-01, H-RES-02, H-RES-06, H-RES-07: processes, memory, the disk, output; each taken by one as far as it goes.

    Beside them the operator is answered, a tool is called and an honest goal is carried out; a limit ends each, none
    agentd. The times decide nothing here: `qa/bench/beside.py` takes them where the processor is not emulated.
    """
    main = ok(guest.run("systemctl show agentd --value -p MainPID"))
    ok(guest.run("mkdir -p work", user=OPERATOR))
    alone = _waits_ms(guest)
    program = "--program /payload/hostile/four_cells.py --read work --write work --tool python_run"
    run = started(guest, program, goal="take all in /home/vera/work")
    until(lambda: _cells(guest, run, "cell.confined") >= 4)
    beside = _waits_ms(guest)
    beside_s = _honest(guest)
    until(lambda: _ends(guest, run) >= ENDS)
    ok(guest.run(f"agentd stop {run}"))
    until(lambda: _cells(guest, run, "cell.ended") == _cells(guest, run, "cell.confined"))
    kinds = {entry["AAOS_EVENT"] for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}")}
    assert {"agent.oom", "limit.reached"} <= kinds, kinds
    assert ok(guest.run("systemctl show agentd --value -p MainPID")) == main
    waits = ", ".join(f"{name} {alone[name]['p99']:g} -> {beside[name]['p99']:g}" for name in alone)
    return f"ms, p99 alone -> beside them: {waits}; an honest goal in {beside_s:.0f} s"


def _waits_ms(guest: Guest) -> Mapping[str, Mapping[str, float]]:
    """How long an operator and an agent wait, who ask twenty times a second."""
    reads = started(guest, f"--program /payload/reads.py --read {READ}", goal=f"read for {SECONDS} {READ}")
    asked = ok(guest.run(f"python3 -I /payload/asks.py /run/agentd/agentd.sock {reads} {SECONDS}"))
    until(lambda: _status(guest, reads)["state"] != "running")
    return {**json.loads(asked), "file_read": json.loads(_status(guest, reads)["result"])}


def _honest(guest: Guest) -> float:
    begun_s = time.monotonic()
    ok(guest.run("agentd submit 'count the lines in /etc/services'", user=OPERATOR))
    return time.monotonic() - begun_s


def _cells(guest: Guest, run: str, kind: str) -> int:
    return sum(entry["AAOS_EVENT"] == kind for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}"))


def _ends(guest: Guest, run: str) -> set[str]:
    told = journal(guest, f"-t agentd AAOS_RUN_ID={run} AAOS_EVENT=cell.ended")
    return {str(json.loads(entry["AAOS_FIELDS"])["end"]) for entry in told}


def _status(guest: Guest, run: str) -> Mapping[str, str]:
    seen: Mapping[str, str] = json.loads(ok(guest.run(f"agentd --json status {run}")))
    return seen
