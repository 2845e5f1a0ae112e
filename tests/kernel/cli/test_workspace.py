"""`agentd workspace` and `agentd diff` as their user types them, beside a daemon with its wall."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.spaces import Ended, begun, submission, with_wrappers, worked
from tests.kernel.test_main import OPERATOR, TREE, Client, daemon, place, wait_for

__all__ = ["place"]  # the fixture

HOSTILE = """
python('''
import os
os.symlink("/etc/shadow", "link")
os.mkfifo("pipe")
os.mkdir("d")
open("d/na\\\\nme\\\\x1b[2J", "w").write("text")
with open("giant", "wb") as file:
    file.truncate(4 * 2**20)
''')
call("file_write", path=space + "/d/note.md", content="a note")
"""


@pytest.fixture
def home(place: Path) -> Iterator[Path]:
    """A place with a daemon, for commands of an ordinary user."""
    with_wrappers(place)
    with daemon(place):
        yield place


_AS = """
import grp, os, sys
import aaos.cli.diff, aaos.cli.workspace
from aaos.cli.__main__ import main
from aaos.cli.parser import parse
parse(["workspace"])  # with all that it imports
os.setgroups([int(sys.argv[2])])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
sys.exit(main(sys.argv[3:]))
"""


def typed(place: Path, *words: str, uid: int = OPERATOR) -> subprocess.CompletedProcess[bytes]:
    """A command of an ordinary user, who cannot reach this tree's Python."""
    sock = place / "run" / "s"
    command = [sys.executable, "-c", _AS, str(uid), str(sock.stat().st_gid), "--socket", str(sock), *words]
    return subprocess.run(command, cwd=TREE, capture_output=True, timeout=60, check=False)


@pytest.fixture
def run(home: Path) -> Ended:
    """A run that has left hostile things in its workspace."""
    return worked(home, HOSTILE)


def test_what_is_kept_is_listed_shown_and_removed(home: Path, run: Ended) -> None:
    """RUN-9, OPS-1, H-FS-23: by a beginning of the id; no name of a file reaches the terminal as it is."""
    listed = typed(home, "workspace", "list").stdout.decode()
    assert run.id in listed
    assert "7 d more" in listed
    shown = typed(home, "workspace", "show", run.id[:6]).stdout
    assert b"\x1b" not in shown
    assert b"na\\nme" in shown
    assert b"link" in shown
    assert json.loads(typed(home, "--json", "workspace", "list").stdout)["run"] == run.id
    assert len(json.loads(typed(home, "--json", "workspace", "show", run.id).stdout)["entries"]) == 6
    assert typed(home, "workspace", "rm", run.id).stdout.decode() == f"{run.id} removed\n"
    gone = typed(home, "workspace", "show", run.id)
    assert (gone.returncode, b"has no workspace" in gone.stderr) == (4, True)
    assert typed(home, "workspace").stdout == b"no workspaces are kept\n"


def test_an_archive_is_exported_as_it_is(home: Path, run: Ended) -> None:
    """RUN-9: links stay links, pipes are left out and counted; standard output and a file have the same bytes."""
    done = typed(home, "workspace", "export", run.id)
    assert done.returncode == 0, done.stderr
    assert b"5 entries" in done.stderr
    assert b"1 left out" in done.stderr
    file = home / "home"
    file.mkdir()
    file.chmod(0o777)
    to_file = typed(home, "workspace", "export", run.id, "-o", str(file / "x.tar"))
    assert to_file.returncode == 0, to_file.stderr
    assert (file / "x.tar").read_bytes() == done.stdout
    assert (file / "x.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(file / "x.tar") as archive:
        members = {member.name.removeprefix(f"{run.id}/"): member for member in archive}
    assert sorted(members) == ["d", "d/na\nme\x1b[2J", "d/note.md", "giant", "link"]
    assert members["link"].linkname == "/etc/shadow"
    again = typed(home, "workspace", "export", run.id, "-o", str(file / "x.tar"))
    assert (again.returncode, b"File exists" in again.stderr) == (2, True)
    as_json = typed(home, "--json", "workspace", "export", run.id)
    assert json.loads(as_json.stdout)["error"]["code"] == "input"


def test_an_export_that_fails_leaves_no_file(home: Path) -> None:
    place = home / "home"
    place.mkdir()
    place.chmod(0o777)
    failed = typed(home, "workspace", "export", "r-none", "-o", str(place / "x.tar"))
    assert failed.returncode == 4
    assert list(place.iterdir()) == []


def test_others_do_not_see_it(home: Path, run: Ended) -> None:
    """RUN-9: not in the list, and each command says what it says of a run that is not there; root sees it."""
    stranger = OPERATOR + 1
    assert typed(home, "workspace", "list", uid=stranger).stdout == b"no workspaces are kept\n"
    for action in ("show", "export", "rm"):
        refused = typed(home, "workspace", action, run.id, uid=stranger)
        assert refused.returncode == 4
        assert f"no run '{run.id}'".encode() in refused.stderr
    assert typed(home, "diff", run.id, uid=stranger).returncode == 4
    assert run.id.encode() in typed(home, "workspace", "list", uid=0).stdout


def test_a_workspace_in_use_is_not_removed(home: Path) -> None:
    run = begun(home, submission("waits()"))
    refused = typed(home, "workspace", "rm", run)
    assert (refused.returncode, f"agentd stop {run}".encode() in refused.stderr) == (3, True)
    assert typed(home, "workspace", "export", run).returncode == 0
    with Client(home) as client:
        client.ask("stop", run=run)
    wait_for("its release", lambda: typed(home, "workspace", "rm", run).returncode == 0)


def test_a_diff_names_what_programs_and_calls_did(home: Path, run: Ended) -> None:
    """RUN-9, BRK-7: from what agentd saw."""
    shown = typed(home, "diff", run.id).stdout.decode()
    assert "/giant  (program-1, python_run)" in shown
    assert "written" in next(line for line in shown.splitlines() if "/d/note.md" in line)
    assert "\x1b" not in shown
    told = [json.loads(line) for line in typed(home, "--json", "diff", run.id).stdout.splitlines()]
    assert {one["run"] for one in told} == {run.id}
    assert {"made", "written"} == {one["change"] for one in told}


def test_without_an_id_it_asks_for_one(home: Path) -> None:
    refused = typed(home, "workspace", "export")
    assert (refused.returncode, b"agentd workspace list" in refused.stderr) == (2, True)
