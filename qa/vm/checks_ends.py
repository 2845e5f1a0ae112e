"""Ends of agentd that systemd follows by a beginning: beside a live workspace, and on a disk that takes nothing."""

import json
import re
import time

from qa.vm.asking import OPERATOR, journal, ok, ok_or_none, run_id, until
from qa.vm.guest import Guest

SIZE_MIB = 64
CALLS, KILLS, APART_S = 60, 3, 4.0
# The program of an agent that has a workspace: cells write numbers into it; its result is which calls were answered.
NUMBERS = f"""
import json, socket, time
from worker.user.client import Abi
agentd = Abi(socket.socket(fileno=3))
grants = agentd.start().grants
place = next(one for one in grants if one.startswith("file_write: ")).partition(": ")[2].removesuffix("/**")
code, said = "with open('numbers', 'a') as file: print(%d, file=file)", []
for number in range({CALLS}):
    result = agentd.call("python_run", {{"directory": place, "code": code % number}})
    said.append("ok" if result.ok else result.code or result.text[:200])
    time.sleep(0.3)
agentd.finish(json.dumps(said))
"""
_MAIN = "$(systemctl show agentd --value -p MainPID)"
_STATE = "/var/lib/aaos"


def keeps_a_workspace_over_its_own_death(guest: Guest) -> str:
    """RUN-9, ISO-11: kill -9 while cells write into it: mounted once each time, each answered write is in it once."""
    asked = f"agentd submit --detach --workspace {SIZE_MIB}M --program /payload/numbers.py --tool python_run"
    run = run_id(guest.run(f"{asked} 'write numbers into {{workspace}}'", user=OPERATOR))
    for _ in range(KILLS):
        until(lambda: "running" in guest.run(f"agentd status {run}").output)
        time.sleep(APART_S)
        ok(guest.run(f"kill -9 {_MAIN}"))
        until(lambda: ok_or_none(guest.run("agentd --json version")) is not None)
        until(lambda: _mounts(guest) == 1)
        assert len(_loops(guest)) == 1, _loops(guest)
    until(lambda: _status(guest, run)["state"] not in {"pending", "running"})
    told = _status(guest, run)
    assert told["state"] == "completed", (told, guest.run(f"agentd logs {run}").output[-2000:])
    said = json.loads(told["result"])
    export = f"agentd workspace export {run} -o {run}.tar && tar xOf {run}.tar --wildcards '*/numbers'"
    written = re.findall(r"^\d+$", ok(guest.run(export, user=OPERATOR)), re.MULTILINE)
    answered = [str(number) for number, how in enumerate(said) if how == "ok"]
    lost = {str(number) for number, how in enumerate(said) if how == "outcome_unknown"}
    assert len(said) == CALLS == len(answered) + len(lost) and len(lost) <= KILLS, said
    assert [one for one in written if one not in lost] == answered, (said, written)
    assert len(set(written)) == len(written), written
    ok(guest.run(f"agentd workspace rm {run}", user=OPERATOR))
    until(lambda: not _loops(guest))
    assert "workspaces" not in ok(guest.run("cat /proc/1/mountinfo"))
    return f"{KILLS} kills, {len(answered)} of {CALLS} writes answered and there once, {len(lost)} of unknown outcome"


def says_that_its_disk_takes_nothing(guest: Guest) -> str:
    """OPS-5, H-DUR-04: of a read-only /var each try to start tells, and what to type; typed, that is all it needed."""
    began_s = int(ok(guest.run("date +%s")))
    ok(guest.run("systemctl stop agentd.service && mount --bind /var /var && mount -o remount,bind,ro /var"))
    try:
        ran = guest.run("systemctl start agentd.service")
        assert ran.status == 1, ran
        told = [entry["MESSAGE"] for entry in journal(guest, f"-u agentd -t agentd --since @{began_s}")]
        at = [number for number, line in enumerate(told) if "it is read-only" in line]
        assert at, told
        words = told[at[0] :]
        assert len(set(words)) == 2 and words[1].startswith("  try: "), words
        remedy = re.search(r"mount -o remount,rw .*", words[1])
        assert remedy, words
        ok(guest.run(remedy.group()))
        ok(guest.run(f"test -w {_STATE} && systemctl reset-failed agentd.service && systemctl restart agentd.service"))
        assert ok(guest.run("systemctl is-active agentd.service agentd.socket")).split() == ["active"] * 2
        ok(guest.run("agentd list", user=OPERATOR))
    finally:
        guest.run("systemctl stop agentd.service; umount /var; systemctl start agentd.service")
    return str(words[0])


def _mounts(guest: Guest) -> int:
    """How often a workspace is mounted where agentd sees it."""
    return int(guest.run(f"grep -c '/workspaces/' /proc/{_MAIN}/mountinfo").output)


def _loops(guest: Guest) -> list[str]:
    return ok(guest.run("losetup --all")).splitlines()


def _status(guest: Guest, run: str) -> dict[str, str]:
    seen: dict[str, str] = json.loads(ok(guest.run(f"agentd --json status {run}")))
    return seen
