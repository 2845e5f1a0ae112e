"""A call that agentd carries out itself: each further use is charged, and only of the network."""

from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.errors import DeniedError
from aaos.tools.brokered import BrokerWork
from aaos.tools.web import web_fetch
from tests.fakes import ScriptedWeb
from tests.unit.tools.scene import AGENT, Scene


def work(path: Path) -> BrokerWork:
    scene = Scene(path, grants=[Capability(Kind.NETWORK, "a:443/**")], catalog={"web_fetch": web_fetch(ScriptedWeb())})
    asked = scene.request("web_fetch", {"url": "https://a/"})
    assert isinstance(asked, BrokerWork)
    return asked


def test_a_further_use_is_charged_and_kept_with_the_call(tmp_path: Path) -> None:
    asked = work(tmp_path)
    before = len(asked.opened.charges)
    asked.call.charge(Kind.NETWORK, "a:443/b", "GET")
    assert len(asked.opened.charges) == before + 1
    with pytest.raises(DeniedError):
        asked.call.charge(Kind.NETWORK, "b:443/", "GET")


def test_nothing_else_can_be_charged_late(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        work(tmp_path).call.charge(Kind.FILE_READ, "/etc/shadow", "read")


def test_a_tool_knows_whom_it_works_for(tmp_path: Path) -> None:
    call = work(tmp_path).call
    assert (call.run, call.agent, call.limit_bytes) == ("r-1", AGENT, None)
