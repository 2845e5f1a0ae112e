"""Who lives, and who may see it."""

import pytest

from aaos.agent.registry import LiveAgent, Registry
from aaos.core.errors import BusyError, ConflictError, NotFoundError
from aaos.core.ids import AgentId, RoleName, RunId, SubtaskId, Uid


def entry(name: str, *, uid: int = 1000, run: str = "r-1") -> LiveAgent:
    return LiveAgent(
        agent=AgentId(name),
        run=RunId(run),
        subtask=SubtaskId("s"),
        role=RoleName("writer"),
        uid=Uid(uid),
        started_s=0.0,
    )


def test_the_bound_holds_and_a_place_comes_back() -> None:
    """H-RES-12"""
    registry = Registry(1)
    with registry.admitted(entry("a-1")), pytest.raises(BusyError), registry.admitted(entry("a-2")):
        pass
    with registry.admitted(entry("a-2")):
        assert len(registry) == 1
    assert len(registry) == 0


def test_the_agents_of_others_are_not_there() -> None:
    """CAP-0: runs belong to the submitting uid."""
    registry = Registry(4)
    with registry.admitted(entry("a-1", uid=1000)):
        assert registry.find("a-1", uid=Uid(1000)).agent == "a-1"
        assert registry.find("a-", uid=Uid(0)).agent == "a-1"
        with pytest.raises(NotFoundError):
            registry.find("a-1", uid=Uid(1001))


def test_an_ambiguous_prefix_is_a_conflict_and_an_empty_one_finds_nothing() -> None:
    registry = Registry(4)
    with registry.admitted(entry("a-1")), registry.admitted(entry("a-12")):
        with pytest.raises(ConflictError):
            registry.find("a-", uid=Uid(0))
        with pytest.raises(NotFoundError):
            registry.find("", uid=Uid(0))


def test_the_agents_of_one_run() -> None:
    registry = Registry(4)
    with registry.admitted(entry("a-1", run="r-1")), registry.admitted(entry("a-2", run="r-2")):
        assert [live.agent for live in registry.of_run(RunId("r-2"))] == ["a-2"]
