"""A call that agentd carries out itself: each further use is charged, and only of the network."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.capability import Capability, Kind
from aaos.core.errors import DeniedError
from aaos.core.ports import BrokerCall, BrokerResult
from aaos.tools.brokered import BrokerWork
from aaos.tools.web import web_fetch
from tests.fakes import ScriptedWeb
from tests.unit.tools.scene import AGENT, Scene


def work(path: Path) -> tuple[BrokerWork, BrokerCall]:
    """A call and what its tool gets to know of it."""
    seen: list[BrokerCall] = []

    async def run(_: Mapping[str, Any], call: BrokerCall) -> BrokerResult:  # Any: as a tool declares it
        seen.append(call)
        return BrokerResult("done")

    tool = replace(web_fetch(ScriptedWeb(), SecretStore(Path("/nonexistent"))), run=run)
    scene = Scene(path, grants=[Capability(Kind.NETWORK, "a:443/**")], catalog={"web_fetch": tool})
    asked = scene.request("web_fetch", {"url": "https://a/"})
    assert isinstance(asked, BrokerWork)
    asyncio.run(asked.run())
    return asked, seen[0]


def test_a_further_use_is_charged_and_kept_with_the_call(tmp_path: Path) -> None:
    asked, call = work(tmp_path)
    before = len(asked.opened.charges)
    call.charge(Kind.NETWORK, "a:443/b", "GET")
    assert len(asked.opened.charges) == before + 1
    with pytest.raises(DeniedError):
        call.charge(Kind.NETWORK, "b:443/", "GET")


def test_nothing_else_can_be_charged_late(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        work(tmp_path)[1].charge(Kind.FILE_READ, "/etc/shadow", "read")


def test_a_tool_knows_whom_it_works_for(tmp_path: Path) -> None:
    _, call = work(tmp_path)
    assert (call.run, call.agent, call.limit_bytes) == ("r-1", AGENT, None)
