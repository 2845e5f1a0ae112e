"""The tripwires themselves: each kind of world is out of reach of a unit test, and a loop still runs."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.tripwires import TripwireError, databases_closed

WORLD: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(0),
    "process": lambda: subprocess.run(["true"], check=False),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "shell": lambda: os.system("true"),  # noqa: S605  # never gets there
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606  # never gets there
    "internet": lambda: socket.socket(socket.AF_INET),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "lookup": lambda: socket.getaddrinfo("localhost", 80),
    "daemon": lambda: socket.socket(socket.AF_UNIX).connect("/nonexistent"),
}


@pytest.mark.parametrize("part", WORLD)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_world_is_out_of_reach(part: str) -> None:
    with pytest.raises(TripwireError):
        WORLD[part]()


def test_no_handler_of_ordinary_errors_catches_a_tripwire() -> None:
    assert not issubclass(TripwireError, Exception)


def test_an_event_loop_still_runs() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert asyncio.run(answer()) == 42


def test_a_database_that_is_left_open_is_found(tmp_path: Path) -> None:
    with databases_closed(), closing(sqlite3.connect(tmp_path / "x.db")):
        pass
    with closing(sqlite3.connect(":memory:")) as outer, databases_closed():
        outer.execute("BEGIN")
    left: list[sqlite3.Connection] = []
    with pytest.raises(TripwireError, match="1 databases"), databases_closed():
        left.append(sqlite3.connect(tmp_path / "x.db"))
    left[0].close()
