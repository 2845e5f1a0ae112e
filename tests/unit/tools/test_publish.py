"""Publishing in a thread: begun once, cancelled before its step, on record after it."""

import asyncio
from pathlib import Path

import pytest

from aaos.core.errors import CancelledError
from aaos.core.events import EventKind
from aaos.tools.publish import Publish
from tests.unit.tools.scene import Scene


def written(scene: Scene, path: Path) -> Publish:
    """A write that its worker has done."""
    report = scene.carried_out(scene.permit("file_write", path=str(path), content="x"))
    made = scene.gate.done(scene.caller, report)
    assert isinstance(made, Publish)
    return made


def test_what_was_written_is_published_once(tmp_path: Path) -> None:
    """BRK-7"""
    scene = Scene(tmp_path)
    made = written(scene, tmp_path / "f")
    assert asyncio.run(made.finish()).written is not None
    assert (tmp_path / "f").read_text() == "x"
    with pytest.raises(CancelledError):
        asyncio.run(made.finish())


def test_an_agent_that_ended_before_publishes_nothing(tmp_path: Path) -> None:
    """BRK-10"""
    scene = Scene(tmp_path)
    made = written(scene, tmp_path / "f")
    scene.gate.abandon(scene.caller)
    with pytest.raises(CancelledError):
        asyncio.run(made.finish())
    assert not (tmp_path / "f").exists()
    assert EventKind.FILE_WRITTEN not in scene.kinds
