"""What is told when something around the daemon is wrong: one message, what to type, the documented status."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from aaos.core.errors import ExitCode
from tests.kernel.test_main import TREE, Client, command, daemon, place, stop

__all__ = ["place"]
STRANGER = 54322
MODELS = """
[models]
table = "{place}/models.yaml"
keys_dir = "{place}/keys"
T1 = "one"
"""
TABLE = """
providers:
  here: {kind: openai, url: "http://127.0.0.1:9/v1", key: here}
models:
  one: {provider: here, model: m, tier: T1}
"""

Broken = Callable[[Path, ExitStack], None]


def _append(place: Path, text: str) -> None:
    with (place / "agentd.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def _half_written_settings(place: Path, _: ExitStack) -> None:
    _append(place, '[limits]\nmax_runs = "6')


def _half_written_models(place: Path, _: ExitStack) -> None:
    _append(place, MODELS.format(place=place))
    (place / "models.yaml").write_text(TABLE[: TABLE.index("openai")])


def _state_of_somebody_else(place: Path, _: ExitStack) -> None:
    (place / "state").mkdir()
    os.chown(place / "state", STRANGER, STRANGER)


def _small_disk(place: Path, stack: ExitStack) -> Path:
    state = place / "state"
    state.mkdir()
    _run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(state))
    stack.callback(_run, "umount", "--lazy", str(state))
    return state


def _full_disk(place: Path, stack: ExitStack) -> None:
    full = _small_disk(place, stack) / "full"
    filled = subprocess.run(["dd", "if=/dev/zero", f"of={full}", "bs=4k", "status=none"], check=False, timeout=60)
    assert filled.returncode == 1


def _read_only_disk(place: Path, stack: ExitStack) -> None:
    _run("mount", "-o", "remount,ro", str(_small_disk(place, stack)))


def _somebody_listens(place: Path, stack: ExitStack) -> None:
    (place / "run").mkdir(mode=0o755)
    other = stack.enter_context(socket.socket(socket.AF_UNIX))
    other.bind(str(place / "run" / "s"))
    other.listen()


def _no_socket_at_its_place(place: Path, _: ExitStack) -> None:
    (place / "run").mkdir(mode=0o755)
    (place / "run" / "s").write_text("notes")


def _no_template(place: Path, _: ExitStack) -> None:
    (place / "state").mkdir(mode=0o700)
    (place / "state" / "template").write_text("notes")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=60)


BROKEN: dict[str, tuple[Broken, ExitCode, str, str]] = {
    "half-written settings": (_half_written_settings, ExitCode.USAGE, "agentd.toml: not TOML", ""),
    "half-written models": (_half_written_models, ExitCode.USAGE, "models.yaml", ""),
    "state of somebody else": (_state_of_somebody_else, ExitCode.INTERNAL, f"uid {STRANGER}", "chown"),
    "a full disk": (_full_disk, ExitCode.INTERNAL, "the disk is full", "df -h"),
    "a read-only disk": (_read_only_disk, ExitCode.INTERNAL, "it is read-only", "mount -o remount,rw"),
    "somebody listens": (_somebody_listens, ExitCode.REFUSED, "another daemon listens", "ss -xlp"),
    "a file for a template": (_no_template, ExitCode.UNCONFINED, "template: File exists", "ls -ld"),
    "a file in the socket's place": (_no_socket_at_its_place, ExitCode.REFUSED, "is not a socket", "ls -l"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_is_one_message_with_what_to_type(place: Path, what: str) -> None:
    """OPS-5, H-DUR-04, H-API-02, H-API-03"""
    broken, status, said, remedy = BROKEN[what]
    with ExitStack() as stack:
        broken(place, stack)
        done = subprocess.run(
            command(place, "--without-layer", "cgroup"),
            cwd=TREE, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if ": WARNING: CONFINEMENT IS REDUCED" not in line]
    assert done.returncode == status, done.stderr
    assert len(told) == 2, done.stderr
    assert told[0].startswith("agentd: ")
    assert said in told[0]
    assert told[1].startswith("  try: ")
    assert remedy in told[1]


def test_a_read_only_disk_is_told_by_the_doctor(place: Path) -> None:
    """OPS-4, H-DUR-04: who asks why there is no daemon gets the words that it ended with."""
    settings = place / "agentd.toml"
    settings.write_text(settings.read_text().replace("[daemon]", f'[daemon]\nstate_dir = "{place}/state"'))
    with ExitStack() as stack:
        _read_only_disk(place, stack)
        words = [sys.executable, "-m", "aaos.daemon", "doctor", "--config", str(settings)]
        done = subprocess.run(words, cwd=TREE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.UNCONFINED, done
    assert re.search(r"^BAD  disk: .*it is read-only.*\n.*mount -o remount,rw", done.stdout, re.MULTILINE), done.stdout


def _a_key_that_others_read(place: Path) -> None:
    (place / "keys").mkdir()
    (place / "keys" / "here").write_text("not-a-secret\n")
    (place / "keys" / "here").chmod(0o644)


def _a_key_of_somebody_else(place: Path) -> None:
    (place / "keys").mkdir()
    (place / "keys" / "here").write_text("not-a-secret\n")
    (place / "keys" / "here").chmod(0o600)
    os.chown(place / "keys" / "here", STRANGER, STRANGER)


KEYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "others can read it": (_a_key_that_others_read, "chmod 600"),
    "it is somebody else's": (_a_key_of_somebody_else, "chown root"),
    "there is none": (lambda place: None, "agentd configure"),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_key_that_cannot_be_used_is_told_and_the_rest_serves(place: Path, what: str) -> None:
    """LLM-6: in the journal and by the doctor, with the command that mends it."""
    spoil, remedy = KEYS[what]
    _append(place, MODELS.format(place=place))
    (place / "models.yaml").write_text(TABLE)
    spoil(place)
    with daemon(place) as process:
        with Client(place) as client:
            findings = client.ask("doctor")["findings"]
        errors = stop(process)
    assert isinstance(findings, list)
    found = [one for one in findings if one["name"] == "tier T1"]
    assert [one["ok"] for one in found] == [False]
    assert remedy in found[0]["remedy"]
    assert len([line for line in errors.splitlines() if remedy in line]) == 1


def test_a_broken_workspace_is_told_and_the_rest_serves(place: Path) -> None:
    """OPS-5, RUN-9: half an image that cannot be taken away, in the journal and by the doctor."""
    left = place / "state" / "workspaces" / "r-abcdefghijkm.0.new"
    left.mkdir(parents=True)
    (place / "state").chmod(0o700)
    with daemon(place) as process:
        with Client(place) as client:
            findings = client.ask("doctor")["findings"]
        errors = stop(process)
    assert isinstance(findings, list)
    found = [one for one in findings if one["name"] == "workspaces" and not one["ok"]]
    assert [one["remedy"] for one in found] == [f"look at it: ls -la {left.parent}"]
    assert len([line for line in errors.splitlines() if f"{left}: Is a directory" in line]) == 1


def test_a_missing_group_is_told(place: Path) -> None:
    """OPS-2: the socket is root's alone then; journal and doctor say so."""
    settings = place / "agentd.toml"
    settings.write_text(settings.read_text().replace('socket_group = "daemon"', 'socket_group = "no-such-group"'))
    with daemon(place) as process:
        assert (place / "run" / "s").stat().st_mode & 0o777 == 0o600
        with Client(place) as client:
            findings = client.ask("doctor")["findings"]
        errors = stop(process)
    assert isinstance(findings, list)
    assert [one["detail"] for one in findings if one["name"] == "group"]
    assert len([line for line in errors.splitlines() if "there is no group no-such-group" in line]) == 1
    assert "groupadd --system no-such-group" in errors


def test_a_missing_user_of_the_egress_is_told_and_the_rest_serves(place: Path) -> None:
    """OPS-4, OPS-5: once on record, by both doctors, and to whose goal needs a page; each time with the command."""
    remedy = "adduser --system --group --no-create-home no-such-user"
    _append(place, '[egress]\nuser = "no-such-user"\n')
    with daemon(place) as process:
        with Client(place) as client:
            findings = client.ask("doctor")["findings"]
            run = client.ask("submit", goal="summarise http://127.0.0.1:9/ and write it to p.md", cwd=str(place))["run"]
            ended = client.ask("watch", run=run)
            run = client.ask("submit", goal="count the lines in agentd.toml", cwd=str(place))["run"]
            assert client.ask("watch", run=run)["state"] == "completed"
        stop(process)
    assert isinstance(findings, list)
    assert [(one["ok"], one["remedy"]) for one in findings if one["name"] == "egress"] == [(False, remedy)]
    assert ended["state"] == "failed"
    assert isinstance(ended["error"], dict)
    assert "there is no user no-such-user" in ended["error"]["message"]
    assert ended["error"]["remedy"] == remedy
    with closing(sqlite3.connect(place / "state" / "aaos.db")) as kept:
        (told,) = kept.execute("SELECT fields FROM events WHERE kind = 'egress.refused'").fetchall()
    assert remedy in told[0]
    look = [sys.executable, "-m", "aaos.daemon", "doctor", "--config", str(place / "agentd.toml")]
    done = subprocess.run(look, cwd=TREE, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == ExitCode.UNCONFINED
    assert lines[lines.index("BAD  egress: egress.user: there is no user no-such-user") + 1].strip() == remedy


def test_a_stale_socket_is_in_nobodys_way(place: Path) -> None:
    """H-API-03: of a daemon that was killed."""
    (place / "run").mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(place / "run" / "s"))
    with daemon(place) as process:
        with Client(place) as client:
            client.ask("version")
        stop(process)
