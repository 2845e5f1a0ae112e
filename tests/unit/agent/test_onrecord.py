"""What is on record, and what is beside it: BRK-7."""

import os
import time
from pathlib import Path

from aaos.agent.onrecord import MAX_PATHS, OnRecord
from aaos.broker.changes import Window, now_ns
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root


def root(path: Path) -> Root:
    fd = os.open(path, os.O_PATH)
    return Root(
        path=str(path), fd=fd, is_dir=True, writable=True, as_owner=False,
        owner_uid=Uid(0), owner_gid=Gid(0), held=Held.KERNEL,
    )  # fmt: skip


def test_a_publication_is_on_record_up_to_its_time(tmp_path: Path) -> None:
    record, since_ns, path = OnRecord(), now_ns(), tmp_path / "f"
    path.write_text("x")
    record.publish(str(path))
    look = record.beside([root(tmp_path)], since_ns=since_ns)
    assert look().paths == ()
    published_ns = time.time_ns()
    while now_ns() <= published_ns:  # the clock that stamps files goes in steps of some ms
        pass
    path.write_text("y")
    assert look().paths == (str(path),)
    record.publish(str(path))
    assert record.beside([root(tmp_path)], since_ns=since_ns)().paths == ()


def test_what_programs_changed_is_on_record(tmp_path: Path) -> None:
    record, since_ns = OnRecord(), now_ns()
    (tmp_path / "f").write_text("x")
    record.programs([Window(str(tmp_path), since_ns, time.time_ns())])
    assert record.beside([root(tmp_path)], since_ns=since_ns)().paths == ()


def test_what_is_forgotten_is_told_again(tmp_path: Path) -> None:
    record, since_ns = OnRecord(), now_ns()
    (tmp_path / "f").write_text("x")
    record.publish(str(tmp_path / "f"))
    for number in range(MAX_PATHS):
        record.publish(f"/elsewhere/{number}")
    assert record.beside([root(tmp_path)], since_ns=since_ns)().paths == (str(tmp_path / "f"),)
