"""What checks ask of a guest, and how they wait for it.

Invariant: every wait has a deadline; what did not succeed fails with what the guest said.
"""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from qa.vm.guest import Guest, Ran

OPERATOR, OTHER, ADMIN, STRANGER = "vera", "otto", "anna", "stan"
SERVICE = "/sys/fs/cgroup/system.slice/agentd.service"


def ok(ran: Ran) -> str:
    """The output of a command that succeeded."""
    assert ran.status == 0, ran
    return ran.output.strip()


def ok_or_none(ran: Ran) -> str | None:
    return ran.output if ran.status == 0 and '"daemon":null' not in ran.output else None


def until(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {seconds:g} s"
        time.sleep(1)


def started(guest: Guest, how: str, *, goal: str = "wait to be looked at") -> str:
    """A run of the operator, in the background."""
    return run_id(guest.run(f"agentd submit --detach {how} '{goal}'", user=OPERATOR))


def waiting(guest: Guest, how: str = "") -> str:
    """A run of the operator whose worker waits."""
    run = started(guest, f"--program /payload/waits.py {how}")
    until(lambda: "waiting" in guest.run(f"agentd logs {run}").output)
    return run


def run_id(ran: Ran) -> str:
    """The run that an answer tells of first."""
    found = re.search(r"\br-[a-z0-9]{12}\b", ran.output)
    assert found, ran
    return found.group()


def milliseconds(guest: Guest, command: str) -> int:
    """How long a command took that succeeded, by the guest's own clock."""
    timed = f"began=$(date +%s%N) && {command} >/dev/null && echo $((($(date +%s%N) - began) / 1000000))"
    return int(ok(guest.run(timed, timeout_s=300)))


def leaves(guest: Guest) -> list[str]:
    """The cgroups of all workers."""
    return guest.run(f"find {SERVICE}/workers -mindepth 1 -type d").output.split()


def last_run(guest: Guest, user: str) -> str:
    """The newest completed run of a user."""
    rows = [json.loads(line) for line in ok(guest.run("agentd --json list", user=user)).splitlines()]
    runs = rows[0]["runs"] if rows and "runs" in rows[0] else rows
    ids = [row["run"] for row in runs if row["state"] == "completed"]
    assert ids, rows
    return str(ids[0])


def journal(guest: Guest, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in guest.run(f"journalctl --no-pager -o json {query}").output.splitlines()]
