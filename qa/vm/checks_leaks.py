"""Many runs on an installed agentd, and what is held before and after: R1 where systemd and cgroups are real."""

import time

from qa.vm.asking import SERVICE, ok
from qa.vm.guest import Guest

WARM_UP, IN_A_ROW, AT_ONCE = 12, 20, 16
SETTLED_S = 60.0
# python3 - SOCKET COUNT WORKERS: runs to their ends, as many at a time; says how they ended.
RUNS = """
import json, socket, sys, time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
PROGRAM = (
    "import json, socket\\nagentd = socket.socket(fileno=3)\\nagentd.recv(65536)\\n"
    "agentd.send(json.dumps({'t': 'finish', 'ok': True, 'text': 'done'}).encode())\\n"
)
def one(_):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[1])
    lines = peer.makefile("rb")
    def call(method, **params):
        while True:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            peer.sendall(json.dumps(request).encode() + b"\\n")
            answer = json.loads(lines.readline())
            if "result" in answer or answer["error"]["data"]["code"] != "busy":
                return answer["result"]
            time.sleep(0.5)
    run = call("submit", goal="load", cwd="/", program=PROGRAM)["run"]
    while (state := call("status", run=run)["state"]) in ("pending", "running"):
        time.sleep(0.1)
    return state
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    print(json.dumps(Counter(pool.map(one, range(int(sys.argv[2]))))))
"""
_MAIN = "$(systemctl show agentd --value -p MainPID)"
_HELD = {
    "processes": f"cat $(find {SERVICE} -name cgroup.procs) | wc -l",
    "cgroups": f"find {SERVICE} -type d | wc -l",
    "mounts": "wc -l < /proc/1/mountinfo",
    "mounts of agentd": f"wc -l < /proc/{_MAIN}/mountinfo",
    "namespaces": "readlink /proc/[0-9]*/ns/* 2>/dev/null | sort -u | wc -l",
    "files in /run": "find /run/agentd | wc -l",
    "files of state": "find /var/lib/aaos ! -name '*-wal' ! -name '*-shm' | wc -l",
    "sockets and pipes of agentd": f"readlink /proc/{_MAIN}/fd/* | grep -cE 'socket|pipe|pidfd|memfd'",
    "zombies": "ps -eo stat= | grep -c ^Z || :",
}


def leaves_nothing_after_many_runs(guest: Guest) -> str:
    """R1, H-SBX-18, H-RES-09: no process, cgroup, mount, namespace, file or fd is left."""
    _runs(guest, WARM_UP, 4)
    before = _settled(guest)
    _runs(guest, IN_A_ROW, 1)
    _runs(guest, AT_ONCE * 2, AT_ONCE)
    after = _settled(guest)
    more = {name: (before[name], count) for name, count in after.items() if count > before[name]}
    assert not more, more
    return f"{IN_A_ROW} in a row and {AT_ONCE * 2}, {AT_ONCE} at once: nothing left"


def _runs(guest: Guest, count: int, workers: int) -> None:
    said = ok(guest.run(f"python3 -I /payload/runs.py /run/agentd/agentd.sock {count} {workers}", timeout_s=900))
    assert said == f'{{"completed": {count}}}', said


def _settled(guest: Guest) -> dict[str, int]:
    """What is held once it does not change any more: the stock of parked workers is full again."""
    until_s, before = time.monotonic() + SETTLED_S, _held(guest)
    while time.monotonic() < until_s:
        time.sleep(3)
        now = _held(guest)
        if now == before:
            return now
        before = now
    return before


def _held(guest: Guest) -> dict[str, int]:
    commands = "; ".join(_HELD.values())
    return dict(zip(_HELD, map(int, ok(guest.run(commands)).split()), strict=True))
