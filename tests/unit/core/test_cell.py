"""Cells as values: their words never change, and what is not named is not given."""

import dataclasses

import pytest

from aaos.core.cell import CellEnd, CellLimits, CellRequest, HostPort, Stream
from aaos.core.ids import AgentId, CallId, RunId, SubtaskId

LIMITS = CellLimits(
    wall_s=1.5, cpu_s=1, memory_bytes=2**26, pids=4, nofile=64, fsize_bytes=2**20, output_bytes=2**16, tmpfs_bytes=2**20
)


def _request() -> CellRequest:
    return CellRequest(
        run=RunId("r-1"),
        subtask=SubtaskId("s"),
        agent=AgentId("a-1"),
        call=CallId("a-1-1-0"),
        program="/usr/bin/true",
        argv=("true",),
        env={},
        cwd="/",
        stdin=b"",
        roots=(),
        readable=(),
        exec_paths=(),
        exec_writable=False,
        egress=(HostPort("example.org", 443),),
        limits=LIMITS,
    )


def test_the_words_of_an_end_are_those_of_the_audit() -> None:
    """ISO-12"""
    assert " ".join(CellEnd) == "exited signalled wall cpu memory output cancelled lost"
    assert " ".join(Stream) == "stdout stderr"


def test_a_request_has_no_secret_unless_it_is_named() -> None:
    """TOL-9"""
    assert _request().secret is None


def test_a_request_and_its_limits_cannot_be_changed_on_the_way() -> None:
    """ISO-12"""
    for value, field in ((_request(), "program"), (LIMITS, "wall_s"), (_request().egress[0], "port")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, "other")
