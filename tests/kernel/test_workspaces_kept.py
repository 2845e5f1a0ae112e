"""What is kept of workspaces and for how long, what is swept, and what a crash at a bad moment leaves (RUN-9)."""

import asyncio
import base64
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from aaos.broker import images
from aaos.broker.workspaces import Workspaces
from aaos.core import rpc
from aaos.core.config import WorkspaceSettings
from aaos.core.envelope import Submitter
from aaos.core.errors import BusyError, ConfinementError, ConflictError, NotFoundError, StorageError
from aaos.core.events import Event, EventKind, Recorded
from aaos.core.graph import RunState
from aaos.core.ids import Gid, RunId, Uid
from aaos.daemon.workspaces import IN_ALL, OF_ONE, Keeping
from aaos.store.database import Database
from aaos.store.runs import RunRow, Runs
from tests.fakes import MemoryAudit

MIB = 2**20
OWNER = Submitter(Uid(1234), Gid(1234))
RUN, OTHER = RunId("r-abcdefghijkm"), RunId("r-nopqrstuvwxy")
SETTINGS = WorkspaceSettings(default_bytes=16 * MIB, user_bytes=48 * MIB, spare_bytes=0, keep_days=2)
DAY_S = 86_400.0


class World:
    """Workspaces of a daemon's, and its rows."""

    def __init__(self, base: Path, database: Database, settings: WorkspaceSettings = SETTINGS) -> None:
        self.base, self.database = base, database
        self.runs = Runs(database)
        self.audit = MemoryAudit()
        self.workspaces = Workspaces(base / "images", base / "place", settings)
        self.keeping = Keeping(self.workspaces, self.runs, self.audit, settings)
        self.workspaces.open()

    def begin(self, run: RunId = RUN) -> Path:
        """A run with a workspace; where that is."""
        self.keeping.make(run, OWNER, 0)
        self.runs.create(RunRow(run, OWNER.uid, OWNER.gid, "goal", "{}", None, RunState.RUNNING, time.time()))
        self.keeping.made(run)
        self.keeping.begun(run)
        return Path(self.workspaces.path_of(run))

    def end(self, run: RunId = RUN) -> RunRow:
        """The run has ended."""
        self.runs.set_state(run, RunState.COMPLETED)
        asyncio.run(self.keeping.end(run))
        return self.runs.get(run)

    def sweep(self, *, after_s: float = 0.0) -> list[str]:
        """The reasons of what was removed by a sweep at that time."""
        self.keeping.now_s = lambda: time.time() + after_s
        self.audit.events.clear()
        asyncio.run(self.keeping.sweep())
        return [str(one.fields["reason"]) for one in self.audit.events if one.kind is EventKind.WORKSPACE_REMOVED]

    def images(self) -> list[str]:
        """The names of all files of images."""
        return sorted(os.listdir(self.base / "images"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database.open(tmp_path / "state")
    made = World(tmp_path, database)
    yield made
    made.workspaces.close()
    database.close()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_it_is_kept_for_days_and_then_swept(world: World) -> None:
    world.begin()
    assert [one.kind for one in world.audit.events] == [EventKind.WORKSPACE_MADE]
    assert world.sweep(after_s=9 * DAY_S) == [], "its run lives"
    row = world.end()
    assert row.finished_s is not None
    assert world.sweep(after_s=1.9 * DAY_S) == []
    assert world.sweep(after_s=2.1 * DAY_S) == ["kept long enough"]
    assert world.images() == []


def test_what_belongs_to_no_run_is_swept_and_what_is_being_made_is_not(world: World) -> None:
    """A daemon was killed between the making of an image and the commit of its run; and while it was being made."""
    world.workspaces.make(RUN, OWNER, 0)
    world.workspaces.detach(RUN)
    world.keeping.make(OTHER, OWNER, 0)
    (world.base / "images" / "r-half.1234.new").write_bytes(b"x")
    (world.base / "images" / "notes").write_bytes(b"x")
    assert world.sweep() == ["no run"]
    world.workspaces.close()
    world.workspaces.open()
    assert world.images() == ["notes", f"{OTHER}.1234.ext4"]


def test_the_workspace_of_a_goal_that_was_refused_is_gone(world: World) -> None:
    world.keeping.make(RUN, OWNER, 0)
    world.keeping.unmake(RUN)
    world.keeping.unmake(OTHER)
    assert world.images() == []
    assert world.audit.events == []


def test_what_a_run_that_ended_without_it_has_reserved_is_given_back(world: World) -> None:
    world.begin()
    world.workspaces.close()  # as a daemon that was killed: nothing is trimmed but by who looks after it
    path = world.base / "images" / f"{RUN}.1234.ext4"
    fd = os.open(path, os.O_RDWR)
    os.posix_fallocate(fd, 0, 16 * MIB)
    os.close(fd)
    world.runs.set_state(RUN, RunState.FAILED)
    assert path.stat().st_blocks * 512 >= 16 * MIB
    assert world.sweep() == []
    assert path.stat().st_blocks * 512 < 12 * MIB


def test_only_ended_runs_lose_theirs_on_request(world: World) -> None:
    world.begin()
    with pytest.raises(ConflictError, match="is in use"):
        asyncio.run(world.keeping.remove(world.runs.get(RUN), OWNER.uid))
    row = world.end()
    asyncio.run(world.keeping.remove(row, Uid(0)))
    assert world.audit.events[-1].fields == {"uid": 1234, "reason": "asked", "by": 0}
    with pytest.raises(NotFoundError, match="has no workspace"):
        asyncio.run(world.keeping.show(row, OWNER.uid))


def test_users_see_their_own(world: World) -> None:
    world.begin()
    assert [len(told(world.keeping.list(Uid(uid)), "workspaces")) for uid in (1234, 4321, 0)] == [1, 0, 1]


def told(document: rpc.Json, key: str) -> list[rpc.Json]:
    assert isinstance(document, Mapping)
    found = document[key]
    assert isinstance(found, list)
    return found


def test_what_one_user_has_is_bounded_and_no_others_affair(world: World) -> None:
    """H-RES-03: those that live count whole, those that are kept with what is in them."""
    for number in range(3):
        world.begin(RunId(f"r-{number}"))
    with pytest.raises(BusyError, match="may be had"):
        world.keeping.make(RUN, OWNER, 0)
    world.keeping.make(OTHER, Submitter(Uid(4321), Gid(4321)), 0)
    world.end(RunId("r-0"))
    world.end(RunId("r-1"))
    world.begin(RUN)


def test_the_disk_keeps_its_reserve(tmp_path: Path) -> None:
    """H-RES-03: the state has the space that it needs, whoever asks for workspaces."""
    database = Database.open(tmp_path / "state")
    try:
        spared = World(tmp_path, database, SETTINGS.model_copy(update={"spare_bytes": 2**46}))
        with pytest.raises(StorageError, match="are free at"):
            spared.keeping.make(RUN, OWNER, 0)
        assert spared.images() == []
    finally:
        database.close()


def test_an_export_whose_reader_has_gone_lets_go_of_it(world: World) -> None:
    (world.begin() / "a").write_bytes(os.urandom(3 * MIB))
    row = world.end()

    async def gone(_: Mapping[str, rpc.Json]) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(world.keeping.export(row, OWNER.uid, gone))
    assert not world.workspaces.is_mounted(RUN)
    asyncio.run(world.keeping.remove(row, OWNER.uid))


def test_an_export_that_is_cancelled_lets_go_of_it(world: World) -> None:
    (world.begin() / "a").write_bytes(os.urandom(3 * MIB))
    row = world.end()

    async def never(_: Mapping[str, rpc.Json]) -> None:
        await asyncio.Event().wait()

    async def cut() -> None:
        task = asyncio.ensure_future(world.keeping.export(row, OWNER.uid, never))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cut())
    assert not world.workspaces.is_mounted(RUN)


def test_so_many_are_read_at_once_and_others_are_told_what_to_type(world: World) -> None:
    """H-RES-11: readers that stand still hold no more places than one user has, and let go of them."""
    (world.begin() / "a").write_bytes(os.urandom(MIB))
    row = world.end()

    async def run() -> None:
        go_on = asyncio.Event()

        async def slow(_: Mapping[str, rpc.Json]) -> None:
            await go_on.wait()

        async def asked(uid: Uid) -> rpc.Json:
            return await world.keeping.export(row, uid, slow)

        async with asyncio.TaskGroup() as group:
            for number in range(IN_ALL):
                group.create_task(asked(Uid(1 + number // OF_ONE)))
            await asyncio.sleep(0)
            with pytest.raises(BusyError) as busy:
                await asked(Uid(1))
            assert busy.value.remedy == f"when one of them has ended: agentd workspace export {RUN} -o {RUN}.tar"
            with pytest.raises(BusyError) as busy:
                await world.keeping.show(row, Uid(99))
            assert busy.value.remedy == f"when one of them has ended: agentd workspace show {RUN}"
            go_on.set()
        await world.keeping.show(row, Uid(1))

    asyncio.run(run())
    assert not world.workspaces.is_mounted(RUN)


def test_an_export_beside_a_live_run_is_whole_and_leaves_it_mounted(world: World) -> None:
    (path := world.begin()).joinpath("a").write_text("alive")
    pieces: list[bytes] = []

    async def send(piece: Mapping[str, rpc.Json]) -> None:
        pieces.append(base64.b64decode(str(piece["data"])))

    end = asyncio.run(world.keeping.export(world.runs.get(RUN), OWNER.uid, send))
    assert isinstance(end, Mapping)
    assert end["bytes"] == len(b"".join(pieces))
    assert b"alive" in b"".join(pieces)
    assert (path / "a").read_text() == "alive"


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))


def test_fullness_is_told_once_and_again_when_it_comes_back(world: World) -> None:
    path = world.begin()

    def count() -> int:
        asyncio.run(world.keeping.look())
        return sum(one.kind is EventKind.WORKSPACE_FULL for one in world.audit.events)

    assert count() == 0
    fill(path / "a")
    assert (count(), count()) == (1, 1)
    (path / "a").unlink()
    assert count() == 1
    fill(path / "a")
    assert count() == 2


class FullAudit(MemoryAudit):
    """The disk of the database is full."""

    def record(self, event: Event) -> Recorded:
        raise StorageError(f"{event.kind}: the disk is full", "free space")


def test_what_cannot_be_recorded_is_done_all_the_same(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk must not keep a workspace mounted, nor end the daemon that tells of it."""
    world.begin()
    world.keeping.audit = FullAudit()
    world.end()
    assert not world.workspaces.is_mounted(RUN)
    world.keeping.now_s = lambda: time.time() + 9 * DAY_S
    asyncio.run(world.keeping.sweep())
    assert world.images() == []
    assert "not on record" in caplog.text


@pytest.mark.parametrize("kind", ["link", "theirs", "open"])
def test_a_place_that_somebody_has_taken_is_not_mounted_on(world: World, kind: str) -> None:
    """Where others may write, as in /tmp, they may be there first."""
    place = world.base / "place"
    if kind == "link":
        place.symlink_to("/etc")
    else:
        place.mkdir()
        os.chown(place, 4321 if kind == "theirs" else 0, -1)
        place.chmod(0o777 if kind == "open" else 0o755)
    with pytest.raises(ConfinementError, match="not a directory of agentd's own"):
        world.keeping.make(RUN, OWNER, 0)
    assert world.images() == []
    assert "/etc " not in Path("/proc/self/mountinfo").read_text()


def test_a_mount_that_was_left_without_a_namespace_is_taken_away(world: World) -> None:
    """ISO-11: a daemon of a test, say, that was killed where it could have none of its own."""
    world.begin()
    again = Workspaces(world.base / "images", world.base / "place", SETTINGS)
    again.open()
    assert str(world.base / "place") not in Path("/proc/self/mountinfo").read_text()
    with again.attached(RUN, is_writable=False):
        assert Path(again.path_of(RUN)).stat().st_uid == OWNER.uid
    again.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    """Workspaces on a disk of 96 MiB of their own, which others can fill."""
    disk, at = tmp_path / "disk", tmp_path / "at"
    images.make_image(disk, 96 * MIB, run=OTHER, owner=(Uid(0), Gid(0)))
    at.mkdir()
    fd = images.open_image(disk, OTHER)
    images.mount_image(fd, disk, at, is_writable=True)
    os.close(fd)
    database = Database.open(tmp_path / "state")
    made = World(at, database)
    try:
        yield made
    finally:
        made.workspaces.close()
        database.close()
        images.unmount(at)


def test_a_disk_that_others_fill_takes_nothing_from_a_live_workspace(small: World) -> None:
    """H-RES-03: its space is there, also for what is written and put on the disk when nothing else is left."""
    path = small.begin()
    fill(small.base / "theirs")
    assert os.statvfs(small.base).f_bavail < 32
    data = os.urandom(8 * MIB)
    with (path / "a").open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    assert (path / "a").read_bytes() == data
    small.end()
    with small.workspaces.attached(RUN, is_writable=False):
        assert (path / "a").read_bytes() == data


def test_what_was_given_back_is_not_promised_again_when_it_is_gone(small: World) -> None:
    """A run that goes on when its disk was filled meanwhile: an error with a remedy, and what it wrote stays."""
    (small.begin() / "a").write_bytes(b"kept")
    asyncio.run(small.keeping.end(RUN))
    small.workspaces.trim(RUN)  # as an older agentd did
    fill(small.base / "theirs")
    with pytest.raises(StorageError, match="are free at") as refused:
        asyncio.run(small.keeping.begin(RUN))
    assert "free space" in refused.value.remedy
    (small.base / "theirs").unlink()
    asyncio.run(small.keeping.begin(RUN))
    assert Path(small.workspaces.path_of(RUN), "a").read_bytes() == b"kept"


def test_a_hostile_writer_on_a_full_disk_harms_its_own_workspace_at_most(small: World) -> None:
    """Blocks that are allocated and not written are zeroed by holes in the image, which a full disk may not fill."""
    path = small.begin()
    fill(small.base / "theirs")
    began_s = time.monotonic()
    with suppress(OSError):
        for number in range(40):
            with (path / f"h{number}").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 256 * 1024)
                for at in range(0, 256 * 1024, 12_288):
                    os.pwrite(file.fileno(), b"x", at)
                os.fsync(file.fileno())
    assert time.monotonic() - began_s < 60
    small.end()
    assert small.images() == [f"{RUN}.1234.ext4"]
    (small.base / "theirs").unlink()
    with small.workspaces.attached(RUN, is_writable=False):
        assert (path / "h0").stat().st_size == 256 * 1024
