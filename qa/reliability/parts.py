"""The figures, each a function of a daemon that says what it counted and whether that is as promised."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qa.daemon import PrivateDaemon
from qa.reliability.load import KEY, at_once, below, celled_run, furnished, planned_run, run, settled
from qa.reliability.snapshot import descendants, left_behind, resident_kib
from tests.kernel import test_key_canary as canary
from worker.wall import syscalls

AT_ONCE = 16
WARM_UP = 100
SLOPE_KIB = 1.0
READERS = 16
CANARY = "canary-4d1f9e"
KILLED = {"worker": 0.45, "cell": 0.8, "zygote": 0.95, "egress": 1.0}
OWNER = 4321
BUSY = """
import json, socket, time
agentd = socket.socket(fileno=3)
agentd.recv(65536)
time.sleep(0.15)
agentd.send(json.dumps({"t": "finish", "ok": True, "text": "done"}).encode())
"""
CELLED = """
import json, socket
from worker.user.client import Abi
session = Abi(socket.socket(fileno=3))
session.start()
code = "import time; time.sleep(0.3)"
result = session.call("python_run", {"directory": PLACE, "code": code})
session.finish(json.dumps([result.ok, result.code]))
"""
READER = """
import json, socket
from worker.user.client import Abi
session = Abi(socket.socket(fileno=3))
start = session.start()
told = {}
for number in range(CALLS):
    path = PATHS[number % len(PATHS)]
    tool, args = (("file_read", {"path": path}), ("grep", {"path": path, "pattern": "canary"}))[number % 2]
    result = session.call(tool, args)
    kind = "canary" if MARK in result.text else "read" if result.ok else "refused"
    told[kind] = told.get(kind, 0) + 1
session.finish(json.dumps(told))
"""


Work = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Part:
    """One figure: its id, what was counted, and whether it is as promised."""

    figure: str
    counted: str
    is_good: bool


def cycles(
    agentd: PrivateDaemon, count: int, many: int, *, is_warm: bool, way: str = "", work: Work | None = None
) -> Part:
    """R1 on one way in: so many runs, `many` at a time, leave nothing; memory does not grow with them."""
    before, first_kib = settled(agentd), resident_kib(agentd.process.pid)
    ends = Counter(at_once(many, count, work or (lambda _: run(agentd))))
    after, last_kib = settled(agentd), resident_kib(agentd.process.pid)
    left, slope = left_behind(before, after), (last_kib - first_kib) / count
    counted = (
        f"{count} runs{way}, {many} at a time: {dict(ends)}; left {left or 'nothing'}; memory {slope:+.2f} KiB a run"
    )
    is_flat = slope < SLOPE_KIB or not is_warm  # the database's cache has its full size after some two thousand runs
    return Part("R1", counted, is_good=ends == {"completed": count} and not left and is_flat)


def other_ways(agentd: PrivateDaemon, place: Path, count: int) -> Iterator[Part]:
    """R1 where more is started than one worker: plans of two subtasks, agents with a program in a cell."""
    place.chmod(0o755)
    ways: dict[str, Work] = {
        " of plans": partial(planned_run, agentd, furnished(place / "planned", OWNER)),
        " with a cell each": lambda _: celled_run(agentd, celled),
    }
    celled = furnished(place / "celled", OWNER)
    for way, work in ways.items():
        at_once(AT_ONCE, min(count, WARM_UP), work)
        yield cycles(agentd, count, AT_ONCE, is_warm=False, way=way, work=work)


def kills(agentd: PrivateDaemon, place: Path, count: int, *, seed: int = 1) -> Part:
    """R2: kill -9 of a worker, a cell, the zygote or the egress at random moments; each run ends, typed, and all comes
    back."""
    place.chmod(0o755)
    workspace = furnished(place / "workspace", OWNER)
    celled = CELLED.replace("PLACE", repr(str(workspace)))
    chance = random.Random(seed)  # noqa: S311  # moments, not secrets
    ends: Counter[str] = Counter()
    victims: Counter[str] = Counter()
    done = threading.Event()

    def one(number: int) -> str:
        if number % 2:
            return run(agentd, BUSY)
        return run(agentd, celled, read=(str(workspace),), write=(str(workspace),), tool=("python_run",))

    def kill() -> None:
        while sum(victims.values()) < count and not done.is_set():
            time.sleep(chance.uniform(0.0, 0.12))
            draw = chance.random()
            kind = next(name for name, upto in KILLED.items() if draw <= upto)
            pids = below(agentd)[kind]
            if pids and _killed(chance.choice(pids)):
                victims[kind] += 1

    warm = Counter(at_once(4, 16, one))
    before = settled(agentd)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while killer.is_alive():
            ends.update(at_once(4, 8, one))
    finally:
        done.set()
        killer.join()
    again = Counter(at_once(4, 16, one))
    left = left_behind(before, settled(agentd))
    typed = {"completed", "failed: worker_lost", "failed: unconfined", "failed: limit", "failed: plan"}
    is_good = set(ends) <= typed and again == warm == {"completed": 16} and not left and sum(victims.values()) >= count
    counted = (
        f"killed {dict(victims)} under {ends.total()} runs: {dict(ends)}; then {dict(again)}; left {left or 'nothing'}"
    )
    return Part("R2", counted, is_good)


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def swaps(agentd: PrivateDaemon, place: Path, calls: int, at_least: int) -> Part:
    """R10: names below a granted directory change between files, directories and links out while agents read."""
    granted, outside = place / "granted", place / "outside"
    granted.mkdir()
    outside.mkdir()
    (outside / "secret").write_text(f"{CANARY}\n" * 10)
    (granted / "inner").mkdir()
    for name in ("a", "inner/b"):
        (granted / name).write_text("nothing special\n")
        (granted / f"{name}-link").symlink_to(outside / "secret")
    (granted / "out").symlink_to(outside)
    pairs = [
        (granted / "a", granted / "a-link"),
        (granted / "inner/b", granted / "inner/b-link"),
        (granted / "inner", granted / "out"),
    ]
    (outside / "b").write_text(f"{CANARY}\n")
    swapped, done = Counter[str](), threading.Event()
    paths = [str(granted / name) for name in ("a", "inner/b")]
    program = READER.replace("CALLS", str(calls // READERS)).replace("PATHS", repr(paths)).replace("MARK", repr(CANARY))
    worker = threading.Thread(target=_swap, args=(pairs, swapped, done, at_least))
    worker.start()
    try:
        ends = Counter(at_once(4, READERS, lambda _: run(agentd, program, read=(str(granted),))))
    finally:
        done.set()
        worker.join()
    told = _told(agentd)
    is_good = not told["canary"] and ends == {"completed": READERS} and told["read"] > 0 and told["refused"] > 0
    counted = f"{sum(told.values())} file tool calls during {swapped.total()} swaps: {dict(told)}; runs {dict(ends)}"
    return Part("R10", counted, is_good and swapped.total() >= at_least)


def _swap(pairs: Sequence[tuple[Path, Path]], swapped: Counter[str], done: threading.Event, at_least: int) -> None:
    names = [(str(one), str(other)) for one, other in pairs]
    while not done.is_set() or swapped.total() < at_least:
        for one, other in names:
            for _ in range(50):
                try:
                    syscalls.renameat2(-100, one, -100, other, flags=syscalls.RENAME_EXCHANGE)
                    swapped["done"] += 1
                except OSError:  # its directory is the other one now
                    break


def _told(agentd: PrivateDaemon) -> Counter[str]:
    """What the reading programs counted, from the answers of the newest runs."""
    told: Counter[str] = Counter({"canary": 0, "read": 0, "refused": 0})
    listed = [json.loads(line) for line in agentd.run("list", "--json", "-n", str(READERS)).output.splitlines()]
    for one in listed:
        status = json.loads(agentd.run("status", "--json", one["run"]).output)
        told.update(json.loads(status["result"] or "{}"))
    return told


def key(agentd: PrivateDaemon) -> Part:
    """R15: the planted key is in the daemon's own memory and nowhere else, in no form."""
    canary_key, canary.KEY = canary.KEY, KEY
    try:
        everyone = (agentd.process.pid, *descendants(agentd.process.pid))
        seen = {f"memory of {pid}": canary.memory(pid) for pid in everyone[1:]}
        seen |= {
            f"{name} of {pid}": Path(f"/proc/{pid}/{name}").read_bytes()
            for pid in everyone
            for name in ("environ", "cmdline")
        }
        seen |= {str(file): file.read_bytes() for file in (agentd.directory / "state").rglob("*") if file.is_file()}
        for words in ("list", "doctor", "roles", "version", "tools", "selftest"):
            seen[f"agentd {words}"] = agentd.run(*words.split(), "--json").output.encode()
        found = {name: leaks for name, data in seen.items() if (leaks := canary.leaks(data))}
        is_searched = bool(canary.leaks(canary.memory(agentd.process.pid)))
    finally:
        canary.KEY = canary_key
    return Part(
        "R15", f"{len(seen)} places searched, {len(found)} hits {found or ''}", is_good=not found and is_searched
    )
