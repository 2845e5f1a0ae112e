"""Approved programs and the worker that asked for them: it has their directory mounted, and means harm (BRK-6)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernel.test_main import TREE, Client, daemon, place, stop, wait_for

__all__ = ["place"]  # the fixture

ASKS = """
import json, os, socket
session = socket.socket(fileno=3)

def receive():
    frame = json.loads(socket.recv_fds(session, 65536, 65)[0] or b'{"t":"stop"}')
    if frame["t"] == "stop":
        raise SystemExit
    return frame

def until(path, text):
    while open(path).read() != text:
        pass

receive()
args = {"directory": WORK, "script": SCRIPT}
session.send(json.dumps({"t": "tool.call", "id": 1, "tool": "shell", "args": args}).encode())
until(WAITS_FOR, "now\\n")
os.write(os.open(WORK + "/words", os.O_WRONLY), b"evil")
answer = receive()
text = answer["message"] if answer["t"] == "failure" else answer["value"]["text"]
text += " and then " + open(WORK + "/words").read()
session.send(json.dumps({"t": "finish", "ok": True, "text": text}).encode())
"""
SLOW = "echo now > started\nfor i in 1 2 3 4 5; do sleep 0.1; cat words; done\n"


@contextmanager
def waiting(place: Path, *, waits_for: str, script: str) -> Iterator[tuple[Client, str, dict[str, object]]]:
    """A daemon, a run of which one call of a shell waits, and its approval."""
    with (place / "agentd.toml").open("a") as file:
        file.write(f'[wrappers]\ndirs = ["{TREE}/etc/aaos/wrappers"]\n')
    work, signals = place / "tree", place / "signals"
    for directory in (work, signals):
        directory.mkdir()
    for path in (work / "words", work / "started", signals / "go"):
        path.write_text("good\n" if path.name == "words" else "")
    for path in (work, signals, work / "words", work / "started", signals / "go"):
        os.chown(path, 1234, 1234)
    program = (
        ASKS.replace("WORK", repr(str(work))).replace("SCRIPT", repr(script)).replace("WAITS_FOR", repr(waits_for))
    )
    grants = {"write": [str(work)], "read": [str(signals), str(work)], "tool": ["shell"], "ask": ["shell"]}
    with daemon(place) as process, Client(place) as client:
        run = str(client.ask("submit", goal="work", cwd="/", program=program, **grants)["run"])

        def listed() -> list[dict[str, object]]:
            found = client.ask("approvals")["approvals"]
            assert isinstance(found, list)
            return found

        wait_for("what waits", listed)
        yield client, run, client.ask("approval", approval=listed()[0]["approval"])
        stop(process)


def test_a_file_that_the_worker_changes_after_the_look_keeps_the_program_from_running(place: Path) -> None:
    """BRK-6, H-API-06: told to the agent by name, and on record."""
    go = place / "signals" / "go"
    with waiting(place, waits_for=str(go), script="cat words; echo ran > started\n") as (client, run, approval):
        assert "sha256" in str(approval["preview"])
        go.write_text("now\n")
        wait_for("what the worker wrote", lambda: (place / "tree" / "words").read_text() == "evil\n")
        client.ask("approve", approval=approval["approval"], digest=approval["digest"])
        ended = client.ask("watch", run=run)
        events = client.ask("logs", run=run)["events"]
    assert f"was changed while the call waited for its approval ('{place}/tree/words')" in str(ended["result"]), ended
    assert (place / "tree" / "started").read_text() == ""
    assert isinstance(events, list)
    kinds = [event["kind"] for event in events]
    assert "file.conflict" in kinds
    assert "cell.confined" not in kinds


def test_the_worker_stands_still_while_the_approved_program_runs(place: Path) -> None:
    """BRK-6: it sees that the program began only when that has ended."""
    started = str(place / "tree" / "started")
    with waiting(place, waits_for=started, script=SLOW) as (client, run, approval):
        client.ask("approve", approval=approval["approval"], digest=approval["digest"])
        ended = client.ask("watch", run=run)
    assert ended["state"] == "completed", ended
    assert "good\n" * 5 in f"{ended['result']}\n".replace(" and then ", "\n"), ended
    assert "and then evil" in str(ended["result"]), "the attack would have worked"
