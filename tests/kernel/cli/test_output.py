"""What reaches a terminal, a pipe that closes, and a locale without Unicode."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aaos.cli.parser import COMMANDS
from aaos.core import rpc
from tests.kernel.cli.scripted import AGENTD, DEADLINE_S, RUN, Lines, daemon, event, results

HOSTILE = (
    "\x1b]52;c;cm0=\x07\x1b[2J\x1b]8;;http://evil\x1b\\\x9b31m\x9d0;title\x9c\x90+q\x9c"
    "\u202e\u2066\r\b\x7f\x1b[200~\n[worker] ok"
)


def test_no_escape_reaches_a_terminal_from_any_field(tmp_path: Path) -> None:
    """H-SEC-09, H-API-07: under a real terminal, hostile text in every place that an answer has."""

    def script(request: rpc.Request) -> Lines:
        if request.method == "watch":
            for kind in ("tool.done", "tool.denied", "agent.log", "file.written", "agent.confined", "abi.broken"):
                names = ("tool", "path", "message", "remedy", "sha256", "layers", "missing", "route", HOSTILE)
                yield event(request, kind, dict.fromkeys(names, HOSTILE))
        yield rpc.encode_result(request.id, _all_hostile(request.method))

    with daemon(tmp_path, script) as scripted:
        for words in _every_command():
            written = _under_a_terminal([*AGENTD, "--socket", scripted.path, *words])
            assert b"evil" in written or b"\\e[2J" in written, words
            bad = [byte for byte in written if byte < 0x20 and byte not in b"\r\n"]
            assert bad == [], (words, written)
            assert not any(0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in written.decode()), words
            assert not any(line.startswith(b"[worker] ok") for line in written.splitlines()), words


def _all_hostile(method: str) -> rpc.Json:
    keys = "run state goal result name summary entry route".split()
    keys += "detail remedy message agent approval tool resource preview reason".split()
    flat: dict[str, rpc.Json] = dict.fromkeys(keys, HOSTILE)
    item: dict[str, rpc.Json] = {
        **flat,
        "error": flat,
        "parameters": {HOSTILE: flat},
        "layers": [HOSTILE],
        "missing": [HOSTILE],
        "inside": {HOSTILE: HOSTILE},
        "outside": {HOSTILE: HOSTILE},
        "kind": HOSTILE,
        "fields": flat,
    }
    lists = (
        "runs",
        "roles",
        "refused",
        "tools",
        "attestations",
        "findings",
        "subtasks",
        "events",
        "approvals",
        "workspaces",
        "changes",
    )
    whole: dict[str, rpc.Json] = {
        **item,
        **{name: [item] for name in lists},
        "events": [item, {**item, "kind": "file.written", "fields": {"path": HOSTILE, "tool": HOSTILE}}],
        "missing_layers": [HOSTILE],
        "version": HOSTILE,
    }
    return {**whole, "run": "r-abc", "envelope": [HOSTILE], "plan": whole} if method == "submit" else whole


def _every_command() -> list[list[str]]:
    words = {
        "submit": ["goal"],
        "status": ["r"],
        "stop": ["r"],
        "pause": ["r"],
        "resume": ["r"],
        "logs": ["r"],
        "attest": ["r"],
        "diff": ["r"],
        "workspace": ["list"],
    }
    alone = ("run", "configure", "secrets", "dev-provider")  # these ask no daemon
    commands = [[name, *words.get(name, [])] for name in COMMANDS if name not in alone]
    settling = [["approvals", action, "ap"] for action in ("show", "approve", "deny")]
    spaces = [["workspace", action, "r"] for action in ("show", "rm")]
    return [
        *commands,
        *settling,
        *spaces,
        ["logs", "-f", "r"],
        ["logs", "-a", "-f", "r"],
        ["submit", "goal", "--json"],
        ["evil\x1b[2J"],
    ]


def _under_a_terminal(command: Sequence[str]) -> bytes:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    written = b""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s and select.select([ours], [], [], DEADLINE_S)[0]:
        try:
            data = os.read(ours, 65_536)
        except OSError:  # EIO: the other end is closed
            break
        written += data
    os.close(ours)
    process.wait(timeout=DEADLINE_S)
    return written


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    def script(request: rpc.Request) -> Lines:
        yield rpc.encode_result(request.id, {"runs": [RUN] * 3_000})

    with daemon(tmp_path, script) as scripted:
        command = [*AGENTD, "--socket", scripted.path, "list"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        process.wait(timeout=DEADLINE_S)
    assert err == b""
    assert process.returncode == -signal.SIGPIPE


def test_a_locale_without_unicode_still_shows_everything(tmp_path: Path) -> None:
    with daemon(tmp_path, results({"status": {**RUN, "goal": "naïve", "result": "\u4f60"}})) as scripted:
        command = [sys.executable, "-m", "aaos.cli", "--socket", scripted.path, "status", "r"]
        environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        result = subprocess.run(command, capture_output=True, check=False, timeout=DEADLINE_S, env=environment)
    assert result.returncode == 0
    assert b"goal     na\\xefve" in result.stdout
    assert b"| \\u4f60" in result.stdout
