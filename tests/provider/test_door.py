"""A shut door: connect() hangs, as with a host that drops what is sent to it."""

import asyncio
import socket

import pytest

from aaos.core.errors import InputError
from aaos.devprovider.door import Door
from aaos.devprovider.server import ScriptedProvider
from tests.provider.raw import connected, playing


async def _connects(url: str) -> bool:
    try:
        async with asyncio.timeout(0.5):
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    except TimeoutError:
        return False
    writer.close()
    return True


def test_a_hang_in_connect_from_the_first_step_on() -> None:

    async def play() -> None:
        async with ScriptedProvider("steps: [{hang: connect}, {text: a}]") as provider:
            assert not await _connects(provider.url)
            assert not await _connects(provider.url)

    asyncio.run(play())


def test_a_hang_in_connect_later_breaks_off_and_shuts_the_door() -> None:

    async def play() -> None:
        async with playing("steps: [{text: a}, {hang: connect}]") as (provider, raw):
            raw.ask()
            await raw.answer()
            answered = [{"role": "user", "content": "the goal"}, {"role": "assistant", "content": "a"}]
            raw.ask(messages=[*answered, {"role": "user", "content": "go on"}])
            assert await raw.rest() == b""
            assert not await _connects(provider.url)

    asyncio.run(play())


def test_after_its_time_the_door_is_open_again() -> None:
    async def play() -> None:
        async with ScriptedProvider("steps: [{hang: connect, delay_s: 0.7}, {text: a}]") as provider:
            assert not await _connects(provider.url)
            async with asyncio.timeout(10), connected(provider) as raw:  # the kernel sends its SYN again
                raw.ask()
                assert b'"a"' in (await raw.answer())[1]

    asyncio.run(play())


def test_a_port_in_use_is_named() -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(InputError, match=f"port {port} is in use"):
                Door(port)

    asyncio.run(play())
