"""Workspaces in the daemon as it is, with its wall: what a run may fill, who sees it, and what a kill leaves of it.

Programs of the runs are Python in cells, which write to the workspace as its owner does.
"""

import errno
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.kernel.spaces import MIB, Json, begun, ended, submission, with_wrappers, worked
from tests.kernel.test_main import OPERATOR, Client, daemon, place, stop, wait_for

__all__ = ["place"]  # the fixture

DIRECT = """
for name in ("a", "b", "c"):
    call("file_write", path=f"{space}/{name}", content="x")
errors = []
for name in ("a", "b", "c"):
    try:
        with open(f"{space}/{name}", "r+b", buffering=0) as file:
            while True:
                file.write(bytes(65536))
    except OSError as error:
        errors.append(error.errno)
said.append(str(errors))
"""
FILL = """
r = python('''
import os
count = 0
try:
    while True:
        with open("f%d" % count, "wb", buffering=0) as file:
            for _ in range(64):
                file.write(bytes(65536))
        count += 1
except OSError as error:
    print(error.errno, count)
''')
said.append(r.text)
r = call("file_write", path=space + "/more.txt", content="x" * 400000)
said.append(f"{r.ok} {r.text}")
"""
NAMES = """
r = python('''
import os
count = 0
try:
    while True:
        os.close(os.open("n%d" % count, os.O_CREAT | os.O_WRONLY))
        count += 1
except OSError as error:
    print(error.errno, count)
''')
said.append(r.text)
r = call("file_write", path=space + "/more.txt", content="x")
said.append(f"{r.ok} {r.text}")
"""

PEEK = """
r = call("file_read", path="{path}/mine")
said.append(f"{{r.ok}} {{r.text}}")
said.append(python("import os; print(os.path.exists('{path}'), os.listdir('{place}/run/workspaces'))").text)
"""
NEIGHBOUR = """
python("import time; time.sleep(2)")
said.append(python("print(7)").text)
"""
WRITER = """
python("for n in range(8): open('a%d' % n, 'wb').write(bytes(range(256)) * 4096)")
python("open('done', 'w')")
waits()
"""


def mounts() -> str:
    """What this process, and so everybody but agentd, sees mounted."""
    return Path("/proc/self/mountinfo").read_text()


def images(place: Path) -> set[str]:
    """The backing files of loop devices at this place.

    While a mount namespace is taken down, the path that the kernel gives begins at the file's own file system.
    """
    files = (path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file"))
    return {name for name in files if place.name in Path(name).parts}


def test_bytes_are_bounded_and_nobody_else_is_harmed(place: Path) -> None:
    """RUN-9, H-RES-03: the kernel says no to programs and to agentd's own writes; the neighbour and the host go on."""
    with_wrappers(place)
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    with daemon(place) as process:
        neighbour = begun(
            place, submission("python('import time; time.sleep(2)'); said.append(python('print(7)').text)")
        )
        full = worked(place, FILL)
        assert full.run["state"] == "completed", full.run
        errno, count = re.findall(r"\d+", full.said[0])[-2:]
        assert int(errno) == 28
        assert int(count) * 4 < 16
        assert full.said[1].startswith("False")
        assert "full" in full.said[1]
        assert [one["free_inodes"] > 0 for one in full.fields("workspace.full")] == [True]
        beside = ended(place, neighbour)
        assert "7" in beside.said[0]
        assert beside.fields("workspace.full") == []
        assert free - os.statvfs(place).f_bavail * os.statvfs(place).f_frsize < 2**30
        stop(process)


def test_what_a_worker_writes_without_a_call_is_bounded_too(place: Path) -> None:
    """RUN-9, H-RES-03: into the files that are there, until one is too large for it, and then until nothing is left."""
    with_wrappers(place)
    with daemon(place) as process:
        full = worked(place, DIRECT, mib=16)
        assert full.run["state"] == "completed", full.run
        assert full.said == [str([errno.EFBIG, errno.ENOSPC, errno.ENOSPC])]
        assert len(full.fields("workspace.full")) == 1
        stop(process)


def test_names_are_bounded(place: Path) -> None:
    """RUN-9, H-RES-03: files without content, until there is no inode left."""
    with_wrappers(place)
    with daemon(place) as process:
        full = worked(place, NAMES)
        assert full.run["state"] == "completed", full.run
        errno, count = re.findall(r"\d+", full.said[0])[-2:]
        assert (int(errno), int(count) < 1024) == (28, True)
        assert full.said[1].startswith("False")
        assert [one["free_inodes"] for one in full.fields("workspace.full")] == [0]
        stop(process)


def test_a_workspace_is_seen_by_its_run_alone(place: Path) -> None:
    """RUN-9: not by another run of the same user, not by other processes; nothing of it is mounted where they look."""
    with_wrappers(place)
    hold = 'python(\'open("mine", "w").write("mine")\'); waits()'
    with daemon(place) as process, Client(place) as client:
        first = begun(place, submission(hold))
        wait_for("a file", lambda: "mine" in names(client, first))
        path = client.ask("workspace", run=first)["path"]
        peek = PEEK.format(path=path, place=place)
        second = worked(place, peek)
        assert second.said[0].startswith("False")
        assert "not granted" in second.said[0]
        assert f"False ['{second.id}']" in second.said[1]
        assert str(place) not in mounts()
        assert not any((place / "run" / "workspaces").iterdir())
        owner = Path(f"/proc/{process.pid}/root{path}").stat()
        assert (owner.st_uid, owner.st_mode & 0o777) == (OPERATOR, 0o700)
        client.ask("stop", run=first)
        stop(process)
    assert images(place) == set()


def spaces(client: Client) -> list[Json]:
    found = client.ask("workspaces")["workspaces"]
    assert isinstance(found, list)
    return found


def names(client: Client, run: str) -> list[str]:
    entries = client.ask("workspace", run=run)["entries"]
    assert isinstance(entries, list)
    return [entry[0] for entry in entries]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_of_a_killed_daemon_nothing_is_mounted_and_its_run_goes_on_in_its_workspace(place: Path, end: int) -> None:
    """RUN-9, ISO-11, H-DUR-01: what was written and acknowledged before is there; the kernel lets go of the image."""
    with_wrappers(place)
    lines = """
    r = call("file_write", path=space + "/kept.txt", content="kept\\n")
    while "go" not in call("file_list", path=space).text:
        import time; time.sleep(0.2)
    said.append(call("file_read", path=space + "/kept.txt").text)
    """
    with daemon(place) as process:
        run = begun(place, submission(lines))
        with Client(place) as client:
            wait_for("a file", lambda: "kept.txt" in names(client, run))
        assert len(images(place)) == 1
        process.send_signal(end)
        process.wait(20)
        wait_for("its loop device", lambda: not images(place))
        assert str(place) not in mounts()
    with daemon(place) as process, Client(place) as client:
        wait_for("the file", lambda: "kept.txt" in names(client, run))
        path = client.ask("workspace", run=run)["path"]
        Path(f"/proc/{process.pid}/root{path}/go").touch()
        again = ended(place, run)
        assert again.run["state"] == "completed", again.run
        assert "kept" in again.said[0]
        stop(process)
    assert images(place) == set()


def zygotes(place: Path) -> list[int]:
    """All that this daemon has started, the present one last."""
    events = map(json.loads, (place / "state" / "audit.jsonl").read_text().splitlines())
    return [event["fields"]["pid"] for event in events if event["kind"] == "zygote.started"]


def test_a_zygote_that_is_started_anew_holds_no_workspace(place: Path) -> None:
    """ISO-11: its mounts are made of agentd's, and it lets go of all of them."""
    with_wrappers(place)
    with daemon(place) as process, Client(place) as client:
        run = begun(place, submission("waits()"))
        wait_for("an agent", lambda: "running" in str(client.ask("status", run=run)["agents"]))
        os.kill(zygotes(place)[0], signal.SIGKILL)
        wait_for("a new zygote", lambda: len(zygotes(place)) == 2)
        zygote = zygotes(place)[-1]
        client.ask("stop", run=run)
        assert "workspaces" not in Path(f"/proc/{zygote}/mountinfo").read_text()
        wait_for("its release", lambda: not images(place))
        stop(process)


def test_a_workspace_that_is_damaged_ends_its_run_and_not_the_daemon(place: Path) -> None:
    """RUN-9: a typed error with the remedy; another run has its own."""
    with_wrappers(place)
    with daemon(place) as process:
        run = begun(place, submission("waits()"))
        process.kill()
        process.wait(20)
        wait_for("its loop device", lambda: not images(place))
    (image,) = (place / "state" / "workspaces").iterdir()
    with image.open("r+b") as file:
        file.seek(1024)
        file.write(os.urandom(4096))
    with daemon(place) as process:
        over = ended(place, run)
        assert over.run["state"] == "failed"
        assert "damaged" in over.run["error"]["message"]
        assert f"agentd workspace rm {run}" in over.run["error"]["remedy"]
        assert worked(place, "said.append('well')").said == ["well"]
        stop(process)


def test_what_is_kept_costs_what_is_in_it(place: Path) -> None:
    """RUN-9: while it is used all of its size is reserved; afterwards the holes are given back."""
    with_wrappers(place)
    with daemon(place) as process, Client(place) as client:
        run = begun(place, submission(WRITER, mib=64))
        wait_for("all files", lambda: "done" in names(client, run))
        (live,) = spaces(client)
        assert live["disk_bytes"] >= live["bytes"] == 64 * MIB
        client.ask("stop", run=run)
        wait_for("its end", lambda: not images(place))
        (kept,) = spaces(client)
        assert 8 * MIB < kept["disk_bytes"] < 24 * MIB
        assert client.ask("workspace_remove", run=run)["run"] == run
        assert spaces(client) == []
        stop(process)
    assert list((place / "state" / "workspaces").iterdir()) == []


def test_too_much_is_refused_and_leaves_nothing(place: Path) -> None:
    """RUN-9, H-RES-03: by size, by user, by what the disk must keep free."""
    more = f"[workspaces]\nmax_bytes = {64 * MIB}\nuser_bytes = {48 * MIB}\n"
    with_wrappers(place, more)
    with daemon(place) as process:
        for mib, said in ((65, "may be asked for"), (8, "may be asked for"), (50, "may be had")):
            done = as_refused(place, mib)
            assert said in done, done
        assert not list((place / "state").glob("workspaces/*"))
        stop(process)


def test_a_goal_that_names_a_workspace_needs_one(place: Path) -> None:
    """RUN-9: and with one, the name stands for its path, in the plan as well."""
    with_wrappers(place)
    goal = "count the lines in /etc/services and write the result to {workspace}/count.md"
    with daemon(place) as process, Client(place) as client:
        with pytest.raises(AssertionError, match="--workspace 1G"):
            client.ask("submit", goal=goal, cwd="/")
        done = ended(place, begun(place, {"goal": goal, "cwd": "/", "workspace": 16 * MIB}))
        assert done.run["state"] == "completed", done.run
        assert names(client, done.id) == ["count.md"]
        assert done.run["goal"].endswith(f"/run/workspaces/{done.id}/count.md")
        stop(process)


def test_a_program_works_in_it_beside_a_directory_of_another_group(place: Path) -> None:
    """RUN-9, ISO-2: a worker is shown as one owner with one group, which is that of what its user named."""
    with_wrappers(place)
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, OPERATOR, OPERATOR + 7)
    lines = f"""
    said.append(python("open('a', 'w').write('a')").text)
    said.append(call("python_run", directory="{shared}", code="open('b', 'w').write('b')").text)
    """
    params = submission(lines) | {"read": [f"{shared}/**"], "write": [f"{shared}/**"]}
    with daemon(place) as process, Client(place) as client:
        done = ended(place, begun(place, params))
        assert names(client, done.id) == ["a"], done.said
        stop(process)
    assert (shared / "b").read_text() == "b", done.said
    assert ((shared / "b").stat().st_uid, (shared / "b").stat().st_gid) == (OPERATOR, OPERATOR + 7)


def as_refused(place: Path, mib: int) -> str:
    params = submission("", mib=mib)
    line = f"agentd submit --workspace {mib}M"
    with Client(place) as client:
        try:
            client.ask("submit", **params)
        except AssertionError as error:
            return str(error)
    raise AssertionError(f"not refused: {line}")
