"""What a worker runs."""

import socket
import sys

import pytest

from worker import abi, transport
from worker.user import entry, loop, scaffold
from worker.user.client import Abi, StoppedError

SOCK = socket.socket(socket.AF_UNIX)


def test_a_program_is_run_as_main() -> None:
    program = b"""
import sys
sys.modules[__name__ + "_seen"] = sys
"""
    entry.run(SOCK, "program", program)
    assert sys.modules.pop("__main___seen") is sys


def test_a_programs_own_fault_is_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is sendable, whatever is in it."""
    said: list[abi.Frame] = []
    monkeypatch.setattr(transport, "send", lambda sock, frame: said.append(frame))
    entry.run(SOCK, "program", b'raise ValueError("a\\0b\\ud800")')
    [finish] = said
    assert isinstance(finish, abi.Finish)
    assert not finish.ok
    assert "ValueError: a" in finish.text
    abi.decode(abi.encode(finish), abi.FROM_WORKER)
    entry.run(SOCK, "program", b"raise BrokenPipeError(32, 'gone')")
    assert len(said) == 1


def test_whatever_a_program_may_import_is_there_before_it_runs() -> None:
    """Behind the wall there is no file to import from."""
    assert {module.__name__ for module in entry.PROGRAM_MODULES} <= set(sys.modules)
    assert {"json", "socket", "struct", "os", "array", "re"} <= {module.__name__ for module in entry.PROGRAM_MODULES}


@pytest.mark.parametrize(
    "error", [StoppedError("now"), transport.ClosedError(), BrokenPipeError(), ConnectionResetError()]
)
def test_the_end_of_the_session_is_an_ordinary_end(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def start(session: Abi) -> None:
        raise error

    monkeypatch.setattr(Abi, "start", start)
    entry.run(SOCK, "loop", b"")


def test_the_entry_chooses_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Abi, "start", lambda session: None)
    monkeypatch.setattr(loop, "run", lambda session: ran.append("loop"))
    monkeypatch.setattr(scaffold, "SCAFFOLDS", {"x": lambda session, start: ran.append("scaffold")})
    entry.run(SOCK, "loop", b"")
    entry.run(SOCK, "scaffold:x", b"")
    assert ran == ["loop", "scaffold"]
    with pytest.raises(KeyError):
        entry.run(SOCK, "scaffold:unknown", b"")
