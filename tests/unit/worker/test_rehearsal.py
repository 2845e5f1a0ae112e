"""What is rehearsed has no effect but on memory."""

import os

import pytest

from worker import abi, rehearsal


def test_nothing_is_made_and_nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-11: it goes through all that an assignment does, on a directory that is there."""
    made, encoded = list[object](), list[str]()
    encode = abi.encode

    def seen(frame: abi.Framed) -> bytes:
        encoded.append(frame.t)
        return encode(frame)

    monkeypatch.setattr(os, "makedirs", lambda path, exist_ok: made.append((path, exist_ok)))
    monkeypatch.setattr(abi, "encode", seen)
    rehearsal.learn()
    assert set(made) == {("/dev", True)}
    assert set(encoded) == {"spawn", "assign", "ready"}
