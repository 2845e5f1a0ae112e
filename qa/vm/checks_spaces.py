"""Workspaces in the guest: file systems of their own, made under the hardened unit and its profile."""

import json
import re

from qa.vm.asking import OPERATOR, journal, ok, run_id, until
from qa.vm.guest import Guest

SIZE_MIB = 64
FULL = 28  # ENOSPC


def keeps_what_a_run_made(guest: Guest) -> str:
    """RUN-9: a goal writes into its workspace, which the machine does not see; its owner exports and removes it."""
    goal = "count the lines in /etc/services and write the result to {workspace}/n.md"
    run = run_id(guest.run(f"agentd submit --workspace {SIZE_MIB}M '{goal}'", user=OPERATOR))
    listed = ok(guest.run("agentd workspace list", user=OPERATOR))
    assert run in listed, listed
    kept = ok(guest.run(f"agentd workspace export {run} -o {run}.tar && tar tf {run}.tar", user=OPERATOR))
    assert "n.md" in kept, kept
    _gone(guest, run)
    return f"{SIZE_MIB} MiB with n.md in it, exported and removed"


def bounds_what_a_run_makes(guest: Guest) -> str:
    """RUN-9, H-RES-03: filled with bytes and then with names by a cell; the disk of the machine keeps the rest."""
    free_mib = _free_mib(guest)
    program = f"--program /payload/hostile/full_workspace.py --tool python_run --workspace {SIZE_MIB}M"
    ran = guest.run(f"agentd submit {program} 'fill it'", user=OPERATOR)
    run = run_id(ran)
    result = json.loads(ok(guest.run(f"agentd --json status {run}")))["result"]
    assert result and [re.findall(r"\d+", text)[:1] for text in json.loads(result)] == [[str(FULL)]] * 2, (result, ran)
    kinds = {entry["AAOS_EVENT"] for entry in journal(guest, f"-t agentd AAOS_RUN_ID={run}")}
    assert "workspace.full" in kinds, kinds
    taken_mib = free_mib - _free_mib(guest)
    assert taken_mib < 2 * SIZE_MIB, taken_mib
    _gone(guest, run)
    return f"no space for more bytes, nor for more names; {taken_mib} MiB of the machine's disk"


def _gone(guest: Guest, run: str) -> None:
    """The machine never had it mounted, and nothing of it is left once its owner has removed it."""
    mounts = ok(guest.run("cat /proc/1/mountinfo"))
    assert "workspaces" not in mounts, mounts
    ok(guest.run(f"agentd workspace rm {run}", user=OPERATOR))
    until(lambda: guest.run("losetup --all").output.strip() == "")
    left = ok(guest.run("find /var/lib/aaos/workspaces -name '*.ext4'"))
    assert left == "", left


def _free_mib(guest: Guest) -> int:
    return int(ok(guest.run("df --output=avail -m / | tail -n 1")))
