"""Runs on a private daemon, submitted over its socket as every client does, and a daemon that has a planted key."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from aaos.cli.client import Client
from aaos.core import rpc
from aaos.core.errors import AaosError, BusyError
from qa.daemon import PrivateDaemon, private_daemon
from qa.reliability.snapshot import descendants, snapshot

KEY = 'sk-planted/9c+e1"5f=a7d&b3'
PARKED = 4
SETTLED_S = 8.0
TRIES = 300
SETTINGS = """
[worker]
parked = {parked}
[limits]
max_runs = 256
run_calls = 1000000
[audit]
journal = false
[models]
table = "{place}/models.yaml"
keys_dir = "{place}/keys"
T2 = "big"
"""
MODELS = """
providers: {cloud: {kind: openai, url: "http://127.0.0.1:9/v1", key: planted}}
models: {big: {provider: cloud, model: big, tier: T2}}
"""
OUTPUTS = 64  # files that planned runs write, so that those at the same time write different ones
IN_A_CELL = """
import json, socket
from worker.user.client import Abi
session = Abi(socket.socket(fileno=3))
session.start()
result = session.call("python_run", {"directory": PLACE, "code": "print(1)"})
assert result.ok, result.text
session.finish("done")
"""
DONE = """
import json, socket
agentd = socket.socket(fileno=3)
agentd.recv(65536)
agentd.send(json.dumps({"t": "finish", "ok": True, "text": "done"}).encode())
"""


@contextmanager
def planted(place: Path) -> Iterator[PrivateDaemon]:
    """A daemon whose model has a key; `place` holds both."""
    (place / "keys").mkdir(mode=0o700)
    (place / "keys" / "planted").write_text(f"{KEY}\n")
    (place / "keys" / "planted").chmod(0o600)
    (place / "models.yaml").write_text(MODELS)
    with private_daemon(SETTINGS.format(parked=PARKED, place=place)) as agentd:
        yield agentd


def run(
    agentd: PrivateDaemon,
    program: str | None = DONE,
    *,
    goal: str = "load",
    read: Sequence[str] = (),
    write: Sequence[str] = (),
    tool: Sequence[str] = (),
) -> str:
    """One run to its end: its state, or the code of the error that refused it. One user submits so many a second: who
    is told that it is too fast tries again."""
    params: dict[str, rpc.Json] = {"goal": goal, "cwd": "/", "read": list(read), "write": list(write)}
    params |= {"tool": list(tool), **({"program": program} if program else {})}
    try:
        with Client(agentd.socket) as client:
            submitted = _submitted(client, params)
            for message in client.stream("watch", {"run": submitted["run"]}, tick_s=60):
                if isinstance(message, rpc.Response):
                    return _ended(message.result)
    except AaosError as error:
        return error.code
    return "no answer"


def planned_run(agentd: PrivateDaemon, place: Path, number: int) -> str:
    """One run of a plan without a model: an analyzer and a writer, one after the other."""
    out = place / f"out-{number % OUTPUTS}"
    return run(
        agentd, None, goal=f"summarise {place}/text and write the summary to {out}",
        read=(f"{place}/text",), write=(str(out),),
    )  # fmt: skip


def celled_run(agentd: PrivateDaemon, place: Path) -> str:
    """One run whose agent has a program run in a cell; that it did not is the agent's end."""
    program = IN_A_CELL.replace("PLACE", repr(str(place)))
    return run(agentd, program, read=(str(place),), write=(str(place),), tool=("python_run",))


def furnished(place: Path, owner: int) -> Path:
    """A directory of `owner` with a file to read."""
    place.mkdir()
    (place / "text").write_text("One thing is so. Another is not.\n" * 40)
    for path in (place, place / "text"):
        os.chown(path, owner, owner)
    return place


def _submitted(client: Client, params: Mapping[str, rpc.Json]) -> Mapping[str, rpc.Json]:
    for _ in range(TRIES):
        try:
            submitted = client.call("submit", params)
        except BusyError:
            time.sleep(0.1)
            continue
        assert isinstance(submitted, dict)
        return submitted
    raise BusyError("there was no place for another run", "look at agentd list")


def _ended(status: rpc.Json) -> str:
    """The run's state, with the code of its error."""
    assert isinstance(status, dict)
    error = status.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return f"{status['state']}: {code}" if code else str(status["state"])


def at_once(many: int, count: int, work: Callable[[int], str]) -> list[str]:
    """`count` times `work`, `many` at a time; what each came to."""
    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(work, range(count)))


def settled(agentd: PrivateDaemon) -> Mapping[str, int]:
    """The counts once the stock of parked workers is full again and nothing changes; the last ones after a while."""
    end_s, before = time.monotonic() + SETTLED_S, snapshot(agentd)
    while time.monotonic() < end_s:
        time.sleep(0.5)
        now = snapshot(agentd)
        if now == before and now["children"] == PARKED + 2:  # zygote and egress
            return now
        before = now
    return before


def below(agentd: PrivateDaemon) -> dict[str, list[int]]:
    """The daemon's children by what they are."""
    found: dict[str, list[int]] = {"zygote": [], "egress": [], "worker": [], "cell": []}
    for pid in descendants(agentd.process.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        is_confined = any(line.startswith("NSpid:") and len(line.split()) > 2 for line in status.splitlines())
        is_inner = f"\nPPid:\t{agentd.process.pid}\n" not in status  # the program of a cell, below its first process
        kind = "cell" if is_inner else "worker" if is_confined else "zygote"
        found["egress" if b"egress" in command else kind].append(pid)
    return found


def shown(value: object) -> str:
    """A value on one line."""
    return json.dumps(value, sort_keys=True, default=str)
