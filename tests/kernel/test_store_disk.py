"""The store on real disks: small, full, read-only, and under kill -9."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.errors import ConflictError, StorageError
from aaos.core.events import Event, EventKind
from aaos.store.audit import Audit
from aaos.store.copies import Copies
from aaos.store.database import Database
from aaos.store.jsonl import JsonlCopy
from aaos.store.schema import MIGRATIONS

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 60
EVENT = Event(EventKind.AGENT_CHECKPOINT, fields={"text": "x" * 3000})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    _run("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk))
    yield disk
    _run("umount", "--lazy", str(disk))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=DEADLINE_S)


def _fill(audit: Audit) -> int:
    """Records until the disk is full; how many events were acknowledged."""
    for acknowledged in range(100_000):
        try:
            audit.record(EVENT)
        except StorageError as error:
            assert "the disk is full" in error.message  # noqa: PT017  # which record it is, nobody knows before
            assert "df -h" in error.remedy  # noqa: PT017
            return acknowledged
    pytest.fail("the disk never filled")


def test_a_full_disk_loses_nothing_acknowledged_and_is_survived(small_disk: Path) -> None:
    """H-DUR-04, R5"""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    database = Database.open(small_disk / "state")
    audit = Audit(database)
    acknowledged = _fill(audit)
    assert acknowledged > 10
    for _ in range(3):
        with pytest.raises(StorageError, match="the disk is full"):
            audit.record(EVENT)
    assert len(audit.query()) == acknowledged
    ballast.unlink()
    audit.record(EVENT)
    asyncio.run(database.durable())
    database.close()
    again = Database.open(small_disk / "state")
    assert (len(Audit(again).query()), again.findings) == (acknowledged + 1, ())
    again.close()


def test_a_daemon_that_ends_on_a_full_disk_starts_again(small_disk: Path) -> None:
    """H-DUR-04, H-DUR-13"""
    database = Database.open(small_disk / "state")
    acknowledged = _fill(Audit(database))
    (small_disk / "rest").write_bytes(b"")
    try:
        database.close()
    except StorageError as error:
        assert "the disk is full" in error.message  # noqa: PT017  # either end is right; the next start decides
    _run("mount", "-o", "remount,size=8m", str(small_disk))
    again = Database.open(small_disk / "state")
    assert len(Audit(again).query(limit=10_000)) == acknowledged
    again.close()


def test_a_full_disk_leaves_the_json_lines_whole(small_disk: Path) -> None:
    """H-DUR-07, H-DUR-04"""
    path = small_disk / "audit.jsonl"
    database = Database.open(small_disk.parent / "state")
    copies = Copies((JsonlCopy(path),))
    audit = Audit(database, copies)
    for _ in range(1500):
        audit.record(EVENT)
    assert copies.flush(20)
    (lost,) = copies.losses(0.0)
    data = path.read_bytes()
    assert data.endswith(b"}\n")
    assert data.count(b"\n") + lost.count == 1500
    assert "No space left on device" in lost.reason
    copies.close()
    database.close()


def test_a_read_only_state_directory_is_told(small_disk: Path) -> None:
    """H-DUR-04"""
    Database.open(small_disk / "state").close()
    _run("mount", "-o", "remount,ro", str(small_disk))
    for directory in (small_disk / "state", small_disk / "other"):
        with pytest.raises(StorageError, match="it is read-only") as caught:
            Database.open(directory)
        assert "mount -o remount,rw" in caught.value.remedy
    _run("mount", "-o", "remount,rw", str(small_disk))
    Database.open(small_disk / "state").close()


WRITER = """
import asyncio, sys
from pathlib import Path
from aaos.core.events import Event, EventKind
from aaos.store.audit import Audit
from aaos.store.database import Database

EVERY = 10

async def main():
    database = Database.open(Path(sys.argv[1]))
    audit = Audit(database)
    while True:
        with database.transaction():
            recorded = audit.record(Event(EventKind.AGENT_CHECKPOINT, fields={"text": "x" * 2000}))
        if recorded.seq % EVERY == 0:
            await database.durable()
        sys.stdout.write(f"{recorded.seq}\\n")
        sys.stdout.flush()
        await asyncio.sleep(0)

asyncio.run(main())
"""
STEPS = WRITER.replace("database.transaction()", "database.step()").replace("EVERY = 10", "EVERY = 500")


@pytest.mark.parametrize("program", [WRITER, STEPS], ids=["transactions", "steps"])
@pytest.mark.parametrize("lines", [1, 37, 1200, 6000])
def test_a_killed_daemon_has_lost_nothing_that_it_acknowledged(tmp_path: Path, lines: int, program: str) -> None:
    """H-DUR-01, RUN-8: also in the middle of checkpoints, which begin after about a thousand rows."""
    state_dir = tmp_path / "state"
    command = (sys.executable, "-c", program, str(state_dir))
    acknowledged = 0
    for life in range(1, 3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _, line in zip(range(lines), writer.stdout, strict=False):
                acknowledged = int(line)
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                acknowledged = int(line) if line.endswith("\n") else acknowledged
        with closing(Database.open(state_dir)) as database:
            assert database.findings == ()
            assert database.epoch == 2 * life
            (highest, count) = database.rows("SELECT max(seq), count(*) FROM events")[0]
            assert highest == count >= acknowledged


def test_a_second_daemon_is_refused_while_the_first_is_stopped(tmp_path: Path) -> None:
    """H-DUR-12: a stopped daemon keeps its place; a killed one leaves it."""
    state_dir = tmp_path / "state"
    with subprocess.Popen((sys.executable, "-c", WRITER, str(state_dir)), cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGSTOP)
        result = subprocess.run(
            (sys.executable, "-c", WRITER, str(state_dir)),
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert f"another agentd (pid {writer.pid}) uses it" in result.stderr
        writer.kill()
    Database.open(state_dir).close()


def test_no_agentd_starts_while_one_goes_back(tmp_path: Path) -> None:
    """DEB-3: a service that is started again and again must not make a new database in between."""
    later = (*MIGRATIONS, ("CREATE TABLE later (x TEXT) STRICT",))
    Database.open(tmp_path).close()
    Database.open(tmp_path, steps=later).close()
    with pytest.raises(StorageError) as refused:
        Database.open(tmp_path)
    commands = refused.value.remedy.partition("put aside: ")[2].replace(
        " && cp -p", " && echo moved && read line && cp -p"
    )
    with subprocess.Popen(["sh", "-euc", commands], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin
        assert shell.stdout
        assert shell.stdout.readline() == "moved\n"
        with pytest.raises(ConflictError):
            Database.open(tmp_path)
        shell.stdin.write("go on\n")
        shell.stdin.close()
        assert shell.wait(30) == 0
    Database.open(tmp_path).close()


def test_the_way_back_to_an_older_program_is_what_it_says(tmp_path: Path) -> None:
    """DEB-3, H-DUR-13: from a newer layout by the commands of the remedy, more than once, and nothing is lost."""
    place = tmp_path / "it's here"
    newer = (*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN later TEXT NOT NULL DEFAULT ''",))
    opened = Database.open(place)
    before = opened.epoch
    opened.close()
    for turn in (1, 2):
        Database.open(place, steps=newer).close()
        files = {path: path.read_bytes() for path in place.glob("*.db")}
        with pytest.raises(StorageError, match=f"knows up to {len(MIGRATIONS)}") as refused:
            Database.open(place)
        assert {path: path.read_bytes() for path in place.glob("*.db")} == files
        commands = refused.value.remedy.partition("put aside: ")[2]
        subprocess.run(["sh", "-euc", commands], check=True, timeout=60)
        opened = Database.open(place)
        assert opened.epoch == before + turn
        opened.close()
        assert (place / "aaos.db").stat().st_mode & 0o777 == 0o600
        aside = sorted(place.glob("newer-*"))
        assert [path.stat().st_mode & 0o777 for path in aside] == [0o700] * turn
    assert files[place / "aaos.db"] in [(one / "aaos.db").read_bytes() for one in aside]
