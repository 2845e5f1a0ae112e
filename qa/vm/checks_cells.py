"""Cells in the guest, with every layer: hostile ones, four at once."""

import json
import time

from qa.vm.asking import OPERATOR, journal, milliseconds, ok, started, until
from qa.vm.guest import Guest

WANTED = {"memory", "output"}


def bears_four_hostile_cells_at_once(guest: Guest) -> str:
    """H-RES-01, H-RES-02, H-RES-07: a fork bomb, a hog of memory, one of the processor, a flood of output.

    Beside them the operator is answered and an honest goal is carried out; each is ended by a limit, agentd by none.
    """
    main = ok(guest.run("systemctl show agentd --value -p MainPID"))
    ok(guest.run("mkdir -p work", user=OPERATOR))
    program = "--program /payload/hostile/four_cells.py --read work --write work --tool python_run"
    run = started(guest, program, goal="take all in /home/vera/work")
    until(lambda: _cells(guest, run, "cell.confined") >= 4)
    looks_ms = [milliseconds(guest, f"agentd status {run}") for _ in range(5)]
    beside_s = _honest(guest)
    until(lambda: _state(guest, run) != "running", seconds=400)
    told = journal(guest, f"-t agentd AAOS_RUN_ID={run}")
    ends = [json.loads(entry["AAOS_FIELDS"])["end"] for entry in told if entry["AAOS_EVENT"] == "cell.ended"]
    assert len(ends) == 4 and set(ends) >= WANTED, (ends, told[-1])
    assert [entry for entry in told if entry["AAOS_EVENT"] == "agent.oom"], told[-1]
    assert ok(guest.run("systemctl show agentd --value -p MainPID")) == main
    looks = ", ".join(map(str, looks_ms))
    return f"{' '.join(sorted(ends))}; status beside them in {looks} ms; an honest goal in {beside_s:.0f} s"


def _honest(guest: Guest) -> float:
    begun_s = time.monotonic()
    ok(guest.run("agentd submit 'count the lines in /etc/services'", user=OPERATOR, timeout_s=300))
    return time.monotonic() - begun_s


def _cells(guest: Guest, run: str, kind: str) -> int:
    return sum(entry["AAOS_EVENT"] == kind for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}"))


def _state(guest: Guest, run: str) -> str:
    return str(json.loads(ok(guest.run(f"agentd --json status {run}", timeout_s=300)))["state"])
