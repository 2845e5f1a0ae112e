"""What is written for later: there for whoever reads or writes, kept by a step, and taken back with what fails."""

import asyncio
import itertools
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from aaos.core.errors import StorageError
from aaos.core.events import Event, EventKind
from aaos.core.ids import RunId
from aaos.store.audit import Audit
from aaos.store.database import TRAIL_S, Database

INSERT = "INSERT INTO programs VALUES (?, x'00')"
KEYS = "SELECT run FROM programs ORDER BY run"
DONE = Event(EventKind.TOOL_DONE, RunId("r-1"))


def keys(database: Database) -> list[str]:
    return [key for (key,) in database.rows(KEYS)]


def committed(state_dir: Path) -> list[str]:
    with closing(sqlite3.connect(state_dir / "aaos.db")) as other:
        return [key for (key,) in other.execute(KEYS)]


def step_later(database: Database, *names: str | int) -> None:
    with database.step():
        for name in names:
            database.later(INSERT, (name,))


def test_it_is_there_for_whoever_reads(database: Database) -> None:
    async def main() -> None:
        step_later(database, "1")
        assert keys(database) == ["1"]
        with database.transaction():
            database.later(INSERT, ("2",))
            assert keys(database) == ["1", "2"]
        with database.trailing():
            database.later(INSERT, ("3",))
        assert keys(database) == ["1", "2", "3"]

    asyncio.run(main())


def test_alone_it_is_committed_at_once(database: Database, state_dir: Path) -> None:
    database.later(INSERT, ("1",))
    assert committed(state_dir) == ["1"]


def test_a_step_of_it_is_in_the_log_and_not_yet_with_sqlite(database: Database, state_dir: Path) -> None:
    """RUN-8: it survives a kill all the same."""

    async def main() -> None:
        step_later(database, "1", "2")
        assert database._connection.execute(KEYS).fetchall() == []
        shutil.copytree(state_dir, state_dir.with_name("killed"))
        database.proceed()
        assert database._connection.execute(KEYS).fetchall() == [("1",), ("2",)]
        assert committed(state_dir) == []

    asyncio.run(main())
    (state_dir.with_name("killed")).chmod(0o700)
    again = Database.open(state_dir.with_name("killed"))
    assert (keys(again), again.findings) == (["1", "2"], ())
    again.close()


def test_it_is_committed_soon_by_itself(database: Database, state_dir: Path) -> None:
    async def main() -> None:
        step_later(database, "1")
        for _ in range(1_000):
            await asyncio.sleep(TRAIL_S)
            if committed(state_dir):
                return

    asyncio.run(asyncio.wait_for(main(), 10))
    assert committed(state_dir) == ["1"]


@pytest.mark.parametrize("unfit", ["1", "\ud800", 2**70], ids=["there already", "no text", "no number"])
def test_what_does_not_fit_stops_every_write_until_the_next_start(
    database: Database, state_dir: Path, caplog: pytest.LogCaptureFixture, unfit: str | int
) -> None:
    """A step was acted on that the database does not take: nothing may stand on it. The next start keeps it aside."""

    async def main() -> None:
        step_later(database, "1")
        await database.durable()
        step_later(database, "2", unfit)
        database.proceed()
        assert "not carried out" in caplog.text
        for _ in range(2):
            with pytest.raises(StorageError, match="does not fit"):
                database.insert(INSERT, ("3",))
        with pytest.raises(StorageError, match="does not fit"):
            await database.durable()
        with pytest.raises(StorageError, match="does not fit"):
            database.close()

    asyncio.run(main())
    again = Database.open(state_dir)
    assert "do not fit" in again.findings[0]
    again.insert(INSERT, ("3",))
    assert keys(again) == ["1", "3"]
    again.close()


def test_a_full_disk_while_nobody_waits_is_met_by_who_writes_next(database: Database, state_dir: Path) -> None:
    """H-DUR-04: and what was acted on is there when there is room again."""

    async def main() -> None:
        step_later(database, "1")
        database.proceed()
        ((pages,),) = database.rows("PRAGMA page_count")
        step_later(database, "x" * 200_000)
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        database.proceed()
        with pytest.raises(StorageError, match="full"):
            step_later(database, "2")
        database._connection.execute("PRAGMA max_page_count = 1000000")
        step_later(database, "3")
        assert keys(database) == ["1", "3", "x" * 200_000]

    asyncio.run(main())


def test_a_full_disk_that_has_room_again_is_met_by_nobody(database: Database, state_dir: Path) -> None:
    """H-DUR-04: what SQLite could not take while nobody waited is tried again before the next write."""

    async def main() -> None:
        step_later(database, "1")
        await database.durable()
        ((pages,),) = database.rows("PRAGMA page_count")
        step_later(database, "x" * 200_000)
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        database.proceed()
        database._connection.execute("PRAGMA max_page_count = 1000000")
        step_later(database, "2")
        await database.durable()
        assert committed(state_dir) == ["1", "2", "x" * 200_000]

    asyncio.run(main())


def test_what_could_not_be_taken_back_is_not_committed_with_what_comes_next(
    database: Database, state_dir: Path
) -> None:
    """H-DUR-04: its writer was told that it failed."""

    def refuse(act: int, verb: str | None, *_: object) -> int:
        is_level = (act, verb) == (sqlite3.SQLITE_SAVEPOINT, "ROLLBACK")
        return sqlite3.SQLITE_DENY if is_level else sqlite3.SQLITE_OK

    def fail() -> None:
        with database.step():
            database.insert(INSERT, ("2",))
            database._connection.set_authorizer(refuse)
            raise RuntimeError

    async def main() -> None:
        step_later(database, "1")
        with pytest.raises(RuntimeError):
            fail()
        database._connection.set_authorizer(None)
        step_later(database, "3")
        await database.durable()
        assert committed(state_dir) == ["1", "3"]

    asyncio.run(main())


def test_events_keep_their_numbers_whatever_is_taken_back(database: Database) -> None:
    """AUD-1: a number that was told is that of the row, and there are no gaps."""

    async def main() -> None:
        audit, told = Audit(database), list[int]()
        for number in range(40):
            try:
                with database.step() if number % 3 else database.trailing():
                    told.append(audit.record(DONE).seq)
                    if number % 4 == 1:
                        raise RuntimeError
            except RuntimeError:
                told.pop()
            if number % 5 == 2:
                database.proceed()
            if number % 7 == 3:
                with pytest.raises(StorageError):
                    database._or_roll_back(lost)
                await database.durable()
                told = [row.seq for row in audit.query()]
        assert [row.seq for row in audit.query()] == told == list(range(1, len(told) + 1))

    def lost() -> None:
        raise StorageError("the disk gave an error", "look at it")

    asyncio.run(main())


class Writer:
    """Writes at random: for later and now, in inner levels that may fail."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.choose = random.Random(seed)  # noqa: S311  # a test
        self.written: list[str] = []
        self.promised = 0  # so many of them survive a kill
        self._names = (f"{number:06}" for number in itertools.count())

    def write(self, depth: int = 0) -> list[str]:
        """What is written in one level and in those below it, if it ends well."""
        names: list[str] = []
        for _ in range(self.choose.randrange(3)):
            name = next(self._names)
            act = self.database.later if self.choose.random() < 0.7 else self.database.insert
            act(INSERT, (name,))
            names.append(name)
            if depth < 3 and self.choose.random() < 0.4:
                names += self._inner(depth + 1)
        return names

    def _inner(self, depth: int) -> list[str]:
        with suppress(RuntimeError), self.database.transaction():
            names = self.write(depth)
            if self.choose.random() < 0.4:
                raise RuntimeError
            return names
        return []

    async def act(self, kind: str) -> None:
        match kind:
            case "step":
                with self.database.step():
                    self.written += self.write()
                self.promised = len(self.written)
            case "trail":
                with self.database.trailing():
                    self.written += self.write()
            case "fail":
                with suppress(RuntimeError), self.database.step():
                    self.write()
                    raise RuntimeError
            case "pause":
                await asyncio.sleep(self.choose.choice((0, TRAIL_S)))
            case "proceed":
                self.database.proceed()
            case _:
                assert keys(self.database) == self.written


@pytest.mark.parametrize("seed", range(16))
def test_killed_anywhere_every_step_is_there_with_all_that_was_before_it(
    database: Database, state_dir: Path, tmp_path: Path, seed: int
) -> None:
    """RUN-8: whatever is mixed, inner levels that fail and moments in which nobody waits."""
    writer = Writer(database, seed)

    async def main() -> None:
        for number in range(60):
            kind = writer.choose.choice(("step", "step", "trail", "fail", "pause", "read", "proceed", "kill"))
            if kind != "kill":
                await writer.act(kind)
                continue
            shutil.copytree(state_dir, tmp_path / str(number))
            again = Database.open(tmp_path / str(number))
            seen = keys(again)
            again.close()
            assert seen == writer.written[: len(seen)]
            assert len(seen) >= writer.promised
        await database.durable()
        assert committed(state_dir) == writer.written

    asyncio.run(main())
