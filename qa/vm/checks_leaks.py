"""Many runs, cells and kills on an installed agentd, and what is held before and after: R1 and R2 where systemd and
cgroups are real."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from qa.vm.asking import OPERATOR, SERVICE, ok, run_id
from qa.vm.guest import Guest

WARM_UP, IN_A_ROW, AT_ONCE = 12, 20, 16
CELLS_IN_A_ROW, CELLS_AT_ONCE = 100, 8
KILLED, BESIDE = 20, 80
SETTLED_S = 60.0
# python3 - SOCKET COUNT WORKERS [DIRECTORY]: runs to their ends, as many at a time; says how they ended. Every second
# has a program in a cell, if a directory for it is named.
RUNS = """
import json, socket, sys, time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
PROGRAM = (
    "import json, socket\\nagentd = socket.socket(fileno=3)\\nagentd.recv(65536)\\n"
    "agentd.send(json.dumps({'t': 'finish', 'ok': True, 'text': 'done'}).encode())\\n"
)
CELLED = (
    "import socket\\nfrom worker.user.client import Abi\\nagentd = Abi(socket.socket(fileno=3))\\nagentd.start()\\n"
    "agentd.call('python_run', {'directory': %r, 'code': 'import time; time.sleep(0.5)'})\\nagentd.finish('done')\\n"
)
def one(number):
    asked = {"program": PROGRAM}
    if number % 2 and sys.argv[4:]:
        place = sys.argv[4]
        asked = {"program": CELLED % place, "read": [place], "write": [place], "tool": ["python_run"]}
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
    run = call("submit", goal="load", cwd="/", **asked)["run"]
    while (status := call("status", run=run))["state"] in ("pending", "running"):
        time.sleep(0.1)
    return ": ".join([status["state"], *([status["error"]["code"]] if status["error"] else [])])
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    print(json.dumps(Counter(pool.map(one, range(int(sys.argv[2]))))))
"""
# The program of an agent whose goal ends with COUNT, MANY and a directory: so many cells, as many at a time.
CELLS = """
import json, socket
from collections import Counter
agentd = socket.socket(fileno=3)
*_, count, many, place = json.loads(agentd.recv(65536))["goal"].split()
count, many, ends = int(count), int(many), Counter()
def begin(number):
    args = {"directory": place, "code": "print(6 * 7)"}
    agentd.send(json.dumps({"t": "tool.call", "id": number, "tool": "python_run", "args": args}).encode())
for number in range(many):
    begin(number)
for number in range(many, many + count):
    answer = json.loads(agentd.recv(65536))
    value = answer.get("value", {})
    ends["answered" if value.get("ok") and "42" in value["text"] else str(answer)] += 1
    if number < count:
        begin(number)
agentd.send(json.dumps({"t": "finish", "ok": True, "text": json.dumps(ends)}).encode())
"""
# python3 - AGENTD COUNT: kill -9 at random moments of what is below it, each kind in turn; says how many of each.
KILLS = """
import json, os, random, signal, sys, time
from collections import Counter
from pathlib import Path
agentd, count = int(sys.argv[1]), int(sys.argv[2])
TURNS = ("worker", "cell", "worker", "cell", "zygote", "worker", "cell", "worker", "cell", "egress")
def below(pid):
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from below(child)
def kind(pid):
    if b"egress" in Path(f"/proc/{pid}/cmdline").read_bytes():
        return "egress"
    said = dict(line.split(":\\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    if said["PPid"] != str(agentd):
        return "cell"
    return "worker" if len(said["NSpid"].split()) > 1 else "zygote"
def killed(wanted):
    try:
        pids = [pid for pid in below(agentd) if kind(pid) == wanted]
        os.kill(random.choice(pids), signal.SIGKILL)
    except (OSError, IndexError, KeyError):
        return False
    return True
told, until_s = Counter(), time.monotonic() + 120
while told.total() < count and time.monotonic() < until_s:
    time.sleep(random.uniform(0, 0.5))
    wanted = TURNS[told.total() % len(TURNS)]
    while not killed(wanted) and time.monotonic() < until_s:
        time.sleep(0.02)
    told[wanted] += 1
print(json.dumps(told))
"""
_SOCKET = "/run/agentd/agentd.sock"
_MAIN = "$(systemctl show agentd --value -p MainPID)"
_HELD = {
    "processes": f"cat $(find {SERVICE} -name cgroup.procs) | wc -l",
    "cgroups": f"find {SERVICE} -type d | wc -l",
    "mounts": "wc -l < /proc/1/mountinfo",
    "mounts of agentd": f"wc -l < /proc/{_MAIN}/mountinfo",
    "mounts of anybody": "cat /proc/[0-9]*/mountinfo 2>/dev/null | sort -u | wc -l",
    "loop devices": "losetup --all | wc -l",
    "namespaces": "readlink /proc/[0-9]*/ns/* 2>/dev/null | sort -u | wc -l",
    "files in /run": "find /run/agentd | wc -l",
    "files of state": "find /var/lib/aaos ! -name '*-wal' ! -name '*-shm' | wc -l",
    "sockets and pipes of agentd": f"readlink /proc/{_MAIN}/fd/* | grep -cE 'socket|pipe|pidfd|memfd'",
    "zombies": "ps -eo stat= | grep -c ^Z || :",
}


def leaves_nothing_after_many_runs(guest: Guest) -> str:
    """R1, H-SBX-18, H-RES-09: no process, cgroup, mount, namespace, file or fd is left."""
    _runs(guest, WARM_UP, 4)
    with _nothing_left(guest):
        _runs(guest, IN_A_ROW, 1)
        _runs(guest, AT_ONCE * 2, AT_ONCE)
    return f"{IN_A_ROW} in a row and {AT_ONCE * 2}, {AT_ONCE} at once: nothing left"


def leaves_nothing_after_many_cells(guest: Guest) -> str:
    """R1, ISO-11: the same of cells, one after another and several of one agent at once."""
    with _stock_of_one(guest):
        _cells(guest, CELLS_AT_ONCE, CELLS_AT_ONCE)
        with _nothing_left(guest):
            in_a_row_s = _cells(guest, CELLS_IN_A_ROW, 1)
            at_once_s = _cells(guest, CELLS_AT_ONCE * 3, CELLS_AT_ONCE)
    at_once = f"{CELLS_AT_ONCE * 3}, {CELLS_AT_ONCE} at once, in {at_once_s:.0f} s"
    return f"{CELLS_IN_A_ROW} in a row in {in_a_row_s:.0f} s; {at_once}: nothing left"


def bears_kills_of_all_that_is_below_it(guest: Guest) -> str:
    """R2, ISO-11: kill -9 of workers, cells, zygote and egress under load: typed ends, no hang, nothing left."""
    with _stock_of_one(guest):
        place = f"/home/{OPERATOR}/work"
        _runs(guest, WARM_UP, 4, place)
        _runs(guest, WARM_UP, 1)
        main = ok(guest.run(f"echo {_MAIN}"))
        with _nothing_left(guest):
            runs = f"python3 -I /payload/runs.py {_SOCKET} {BESIDE} 4 {place}"
            both = f"runuser -u {OPERATOR} -- {runs} & python3 -I /payload/kills.py {main} {KILLED}; wait"
            told = map(json.loads, ok(guest.run(both, timeout_s=900)).splitlines())
            killed, ends = sorted(told, key=lambda one: "completed" in one)
            assert sum(killed.values()) == KILLED and len(killed) == 4, killed
            assert sum(ends.values()) == BESIDE and set(ends) <= _TYPED, ends
            _runs(guest, WARM_UP, 4, place)
            _runs(guest, WARM_UP, 1)
        assert ok(guest.run(f"echo {_MAIN}")) == main
    return f"killed {json.dumps(killed)} under {json.dumps(ends)}"


_TYPED = {"completed", *(f"failed: {code}" for code in ("worker_lost", "unconfined", "limit"))}


@contextmanager
def _stock_of_one(guest: Guest) -> Iterator[None]:
    """Of workers and cells that wait there is the last kind that was launched: as many before as after."""
    ok(guest.run("mkdir -p work", user=OPERATOR))
    setting = "/etc/aaos/agentd.toml.d/one.toml"
    ok(guest.run(f"mkdir -p $(dirname {setting}) && printf '[worker]\\nparked = 1\\n' > {setting}"))
    ok(guest.run("systemctl restart agentd.service"))
    try:
        yield
    finally:
        ok(guest.run(f"rm {setting} && systemctl restart agentd.service"))


@contextmanager
def _nothing_left(guest: Guest) -> Iterator[None]:
    before = _settled(guest)
    yield
    after = _settled(guest)
    more = {name: (before[name], count) for name, count in after.items() if count > before[name]}
    assert not more, more


def _runs(guest: Guest, count: int, workers: int, place: str = "") -> None:
    asked = f"python3 -I /payload/runs.py {_SOCKET} {count} {workers} {place}"
    said = ok(guest.run(asked, user=OPERATOR if place else None, timeout_s=900))
    assert said == f'{{"completed": {count}}}', said


def _cells(guest: Guest, count: int, many: int) -> float:
    """How long so many cells of one run took."""
    begun_s = time.monotonic()
    asked = "agentd submit --program /payload/cells.py --read work --write work --tool python_run"
    ran = guest.run(f"{asked} 'run cells {count} {many} /home/{OPERATOR}/work'", user=OPERATOR, timeout_s=900)
    told = json.loads(ok(guest.run(f"agentd --json status {run_id(ran)}")))
    assert told["state"] == "completed" and json.loads(told["result"]) == {"answered": count}, (told, ran)
    return time.monotonic() - begun_s


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
