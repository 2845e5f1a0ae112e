"""The tripwires themselves: each kind of world is out of reach of a unit test, and a loop still runs."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.tripwires import TripwireError

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
