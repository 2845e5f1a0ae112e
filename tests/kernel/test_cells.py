"""A cell from its request to its end: what it gets, what it says, how it ended, and what the audit has of it."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.cell import CellEnd, HostPort, PlacedSecret, Stream
from aaos.core.errors import BusyError, ConfinementError, NotFoundError, ToolError
from aaos.core.events import EventKind
from aaos.core.ports import Header, Root
from aaos.llm.keys import Key
from aaos.sandbox import filters
from tests.kernel.cells import PYTHON, SHELL, cell, python, run, said, shell, silent
from tests.kernel.harness import OWNER, Stand, granted


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A workspace of OWNER, granted for writing."""
    workspace = tmp_path / "workspace"
    for path in (workspace, workspace / ".git"):
        path.mkdir()
        os.chown(path, OWNER, OWNER)
    with granted(workspace, writable=True, as_owner=True) as opened:
        yield opened


def test_a_program_runs_and_its_exit_is_told(stand: Stand) -> None:
    """ISO-12"""
    result = run(stand, shell("echo out; echo err >&2; exit 7"))
    assert (result.end, result.exit_code, result.signal) == (CellEnd.EXITED, 7, None)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert (result.stdout_cut, result.stderr_cut) == (False, False)
    assert result.filter_digest == hashlib.sha256(filters.cell_filter("cell")).hexdigest()
    assert 0 < result.duration_ms < 20_000
    assert result.peak_bytes


def test_a_signal_is_told(stand: Stand) -> None:
    """ISO-12"""
    result = run(stand, shell("kill -SEGV $$"))
    assert (result.end, result.exit_code, result.signal) == (CellEnd.SIGNALLED, None, 11)


def test_arguments_variables_input_and_directory_are_those_of_the_request(stand: Stand) -> None:
    """ISO-12, H-SUB-11: and no others, in any process of the cell."""
    program = """
import os, sys
print(sys.argv[1:], os.getcwd(), repr(sys.stdin.read()))
for pid in sorted(filter(str.isdigit, os.listdir('/proc'))):
    print(pid, open(f'/proc/{pid}/environ', 'rb').read())
"""
    request = cell(
        PYTHON, "-I", "-c", program, "-x", "$HOME; `id`", "",
        env={"A": "ü\n"}, stdin=b"in", cwd="/usr/share", readable=["/proc"],
    )  # fmt: skip
    lines = said(stand, request)
    assert lines[0] == "['-x', '$HOME; `id`', ''] /usr/share 'in'"
    assert lines[1:] == ["2 b'A=\\xc3\\xbc\\n\\x00'"]  # PID 1 is not to be seen, and has no variables anyway


def test_without_input_it_reads_the_end_at_once(stand: Stand) -> None:
    """H-SUB-13"""
    assert said(stand, python("import sys, os; print(repr(sys.stdin.read()), os.isatty(0))")) == ["'' False"]


def test_large_input_and_arguments_arrive_whole(stand: Stand) -> None:
    """ISO-12"""
    data = os.urandom(2_000_000)
    argument = "x" * 100_000
    program = (
        "import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), len(sys.argv[1]))\n"
        "print(len(open('/proc/self/fd/0', 'rb').read()))"
    )
    lines = said(stand, cell(PYTHON, "-I", "-c", program, argument, stdin=data))
    assert lines == [f"{hashlib.sha256(data).hexdigest()} 100000", "2000000"]


def test_output_is_heard_as_it_comes(stand: Stand) -> None:
    """ISO-12"""
    pieces: list[tuple[Stream, bytes]] = []
    run(stand, shell("echo a; sleep 0.3; echo b >&2; sleep 0.3; echo c", "/usr/bin/sleep"), lambda *p: pieces.append(p))
    assert pieces == [(Stream.STDOUT, b"a\n"), (Stream.STDERR, b"b\n"), (Stream.STDOUT, b"c\n")]


def test_a_listener_that_fails_ends_the_cell_and_is_heard(stand: Stand) -> None:
    """ISO-11"""

    def fail(stream: Stream, piece: bytes) -> None:
        raise RuntimeError("nobody is there")

    with pytest.raises(RuntimeError, match="nobody is there"):
        run(stand, shell("while :; do echo a; done"), fail)
    assert stand.workers() == []


def test_a_writable_root_is_written_as_its_owner(stand: Stand, root: Root) -> None:
    """ISO-12, ISO-2: names are made, moved and removed; control files are not."""
    program = """
import os
os.makedirs('a/b'); open('a/b/c', 'w').write('text'); os.rename('a/b/c', 'a/d'); os.link('a/d', 'a/e')
os.symlink('d', 'a/f'); os.unlink('a/e'); os.rmdir('a/b'); os.chmod('a/d', 0o640); os.utime('a/d', (1, 2))
for act in (lambda: open('.git/config', 'w'), lambda: os.rename('.git', 'x'), lambda: os.rmdir('.git')):
    try:
        act()
        print('allowed')
    except OSError as error:
        print(error.errno)
"""
    assert said(stand, cell(PYTHON, "-I", "-c", program, roots=[root], cwd=root.path)) == ["30", "16", "16"]
    made = Path(root.path, "a", "d").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777, made.st_mtime) == (OWNER, OWNER, 0o640, 2)
    assert sorted(os.listdir(Path(root.path, "a"))) == ["d", "f"]


def test_control_files_are_written_by_a_program_whose_work_they_are(stand: Stand, root: Root) -> None:
    """H-FS-15"""
    request = cell(SHELL, "-c", "echo x > .git/config", roots=[root], cwd=root.path, control_writable=True)
    assert said(stand, request) == []
    assert Path(root.path, ".git", "config").read_text() == "x\n"


def test_a_root_for_reading_is_not_written(stand: Stand, tmp_path: Path) -> None:
    """ISO-12"""
    tmp_path.chmod(0o777)
    (tmp_path / "file").write_text("text")
    (tmp_path / "file").chmod(0o666)
    with granted(tmp_path) as root:
        result = run(stand, cell(SHELL, "-c", "cat file; echo x > file; echo x > new", roots=[root], cwd=root.path,
                                 exec_paths=["/usr/bin/cat"]))  # fmt: skip
    assert result.stdout == b"text"
    assert result.stderr.count(b"Read-only file system") + result.stderr.count(b"Permission denied") == 2
    assert os.listdir(tmp_path) == ["file"]


def test_one_file_may_be_granted_for_reading(stand: Stand, tmp_path: Path) -> None:
    """ISO-12"""
    file = tmp_path / "input"
    file.write_text("text")
    file.chmod(0o644)
    with granted(file) as root:
        lines = said(stand, cell(PYTHON, "-I", "-c", f"print(open({str(file)!r}).read())", roots=[root]))
    assert lines == ["text"]


def test_only_named_programs_are_executed(stand: Stand, tmp_path: Path) -> None:
    """ISO-12, H-SUB-12: by Landlock; what the cell writes itself by noexec, too."""
    script = "ls /usr; cp /usr/bin/true /tmp/true; /tmp/true; echo $?"
    result = run(stand, cell(SHELL, "-c", script, exec_paths=["/usr/bin/cp"], readable=["/usr/bin/true"]))
    assert result.stdout == b"126\n"
    assert result.stderr.count(b"Permission denied") == 2


def test_what_it_writes_is_executed_where_that_is_its_work(stand: Stand, root: Root) -> None:
    """ISO-12: a compiler and what it made, in the workspace and in /tmp."""
    script = "for at in /tmp .; do cp /usr/bin/echo $at/made; chmod +x $at/made; $at/made $at; done"
    request = cell(
        SHELL, "-c", script, roots=[root], cwd=root.path, exec_paths=["/usr/bin/cp", "/usr/bin/chmod"],
        exec_writable=True, readable=["/usr/bin/echo"],
    )  # fmt: skip
    assert said(stand, request) == ["/tmp", "."]


def test_further_places_are_read_when_they_are_named(stand: Stand) -> None:
    """ISO-3"""
    program = "print(open('/etc/hostname').read() and 'read')"
    assert run(stand, python(program)).stderr.endswith(b"No such file or directory: '/etc/hostname'\n")
    assert said(stand, cell(PYTHON, "-I", "-c", program, readable=["/etc/hostname"])) == ["read"]


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        ("/usr/bin/nothing-there", NotFoundError, "is not there"),
        ("/usr/bin", NotFoundError, "is not a program"),
        ("/etc/passwd", NotFoundError, "is not a program"),
        ("usr/bin/true", NotFoundError, "is not the plain absolute path"),
        ("/usr/bin/../bin/true", NotFoundError, "is not the plain absolute path"),
    ],
)
def test_a_program_that_is_none_is_refused(stand: Stand, program: str, error: type[Exception], message: str) -> None:
    """H-SUB-12"""
    with pytest.raises(error, match=message):
        run(stand, cell(program))


def test_a_program_that_others_may_change_is_refused(stand: Stand, tmp_path: Path) -> None:
    """H-SUB-12: from a workspace, from a home, from /tmp."""
    for number, (uid, mode) in enumerate([(OWNER, 0o755), (0, 0o775), (0, 0o757)]):
        program = tmp_path / f"program-{number}"
        program.write_bytes(Path("/bin/true").read_bytes())
        os.chown(program, uid, uid)
        program.chmod(mode)
        with pytest.raises(ConfinementError, match="can be changed by others"):
            run(stand, cell(str(program)))


def test_a_program_outside_of_usr_is_shown_alone(stand: Stand, tmp_path: Path) -> None:
    """ISO-12"""
    for name in ("program", "beside"):
        (tmp_path / name).write_bytes(Path("/bin/sh").read_bytes())
        (tmp_path / name).chmod(0o755)
    request = cell(str(tmp_path / "program"), "-c", f"cd {tmp_path} && echo * && readlink /proc/self/exe")
    result = run(stand, replace(request, exec_paths=("/usr/bin/readlink",)))
    assert result.stdout == f"program\n{os.path.realpath('/usr/bin/readlink')}\n".encode()


@pytest.mark.parametrize("fault", [{"cwd": "/nowhere"}, {"env": {"A=B": "x"}}])
def test_a_program_that_cannot_be_started_is_an_error(stand: Stand, fault: dict[str, object]) -> None:
    """ISO-12"""
    with pytest.raises(ToolError, match="could not be started"):
        run(stand, replace(shell("echo"), **fault))  # type: ignore[arg-type]  # two of its fields
    assert stand.workers() == []


def test_what_cannot_be_given_is_refused(stand: Stand) -> None:
    """ISO-1: never without it."""
    with pytest.raises(ConfinementError, match="no egress"):
        run(stand, cell(SHELL, egress=[HostPort("example.org", 443)]))
    secret = PlacedSecret("token", Header("X-Token", "", Key("token", "12345678")), ("GET /**",), lambda: ())
    with pytest.raises(ConfinementError, match="a secret for a cell without network"):
        run(stand, replace(cell(SHELL), secret=secret))


@pytest.mark.parametrize("path", ["/", "/tmp", "/usr", "/etc", "/proc/x", "/dev"])
def test_a_root_that_would_hide_the_cells_own_is_refused(stand: Stand, root: Root, path: str) -> None:
    """ISO-3"""
    with pytest.raises(ConfinementError, match="cannot be mounted"):
        run(stand, cell(SHELL, roots=[replace(root, path=path)]))


def test_the_audit_has_the_beginning_and_the_end(stand: Stand) -> None:
    """ISO-12, AUD-1"""
    result = run(stand, shell("echo 123; exit 3"))
    confined, ended = stand.audit.events[-2:]
    assert (confined.kind, ended.kind) == (EventKind.CELL_CONFINED, EventKind.CELL_ENDED)
    assert confined.fields["program"] == ended.fields["program"] == os.path.realpath("/bin/sh")
    assert ended.fields["end"] == "exited"
    assert (ended.fields["exit_code"], ended.fields["stdout_bytes"]) == (3, 4)
    assert confined.fields["policy_digest"] == result.policy_digest
    assert confined.agent == ended.agent == "a-1"


def test_many_at_once_are_each_their_own(stand: Stand) -> None:
    """ISO-1"""

    async def many() -> list[bytes]:
        requests = [shell(f"echo {n} > /tmp/own; cat /tmp/own", "/usr/bin/cat") for n in range(24)]
        results = await asyncio.gather(*(stand.launcher.cells.run_cell(request, silent) for request in requests))
        return [result.stdout for result in results]

    assert stand.run(many()) == [f"{n}\n".encode() for n in range(24)]
    assert len({event.fields["host_uid"] for event in stand.audit.events[-48:] if "host_uid" in event.fields}) == 24


def test_cells_and_workers_share_the_ids() -> None:
    """ISO-2: when they run out, it is said."""
    stand = Stand(uid_count=17)
    try:

        async def seventeen() -> None:
            running = [
                asyncio.create_task(stand.launcher.cells.run_cell(shell("sleep 9", "/usr/bin/sleep"), silent))
                for _ in range(16)
            ]
            async with asyncio.timeout(15):
                while stand.audit.count(EventKind.CELL_CONFINED) < 16:  # noqa: ASYNC110  # the launcher tells nobody
                    await asyncio.sleep(0.01)
            with pytest.raises(BusyError, match="all 16 worker ids"):
                await stand.launcher.cells.run_cell(shell("echo"), silent)
            for task in running:
                task.cancel()
            await asyncio.wait(running)

        stand.run(seventeen())
        ends = {e.fields["end"] for e in stand.audit.events if e.kind is EventKind.CELL_ENDED}
        assert ends == {"cancelled"}
        assert stand.workers() == []
    finally:
        stand.close()
