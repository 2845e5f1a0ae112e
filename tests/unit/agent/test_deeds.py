"""What an agent is judged by: what agentd saw of its calls, and of no other file than it declared (RUN-3)."""

from aaos.agent.deeds import Deeds
from aaos.broker.changes import Window
from aaos.core.ports import WrittenFile
from aaos.tools.opencall import OpenCall


def call(**left: int) -> OpenCall:
    made = object.__new__(OpenCall)
    made.left = {f"/{name}": size for name, size in left.items()}
    made.windows = (Window("/", 1, 2),)
    return made


def test_a_program_counts_for_declared_files_alone() -> None:
    """RUN-3: so that it is bounded, whatever a program makes and removes."""
    deeds = Deeds(("/out", "/other"))
    deeds.ended(call(out=5, secret=7))
    assert (deeds.made, len(deeds.windows)) == ({"/out": 5}, 1)
    deeds.ended(call(out=0))
    assert deeds.made == {"/out": 0}


def test_what_was_published_last_holds() -> None:
    deeds = Deeds(("/out",))
    deeds.ended(call(out=0))
    deeds.published(WrittenFile("/out", "0" * 64, 3))
    assert (deeds.made, [file.size_bytes for file in deeds.written]) == ({}, [3])
    deeds.ended(call(out=9))
    assert deeds.made == {"/out": 9}


def test_without_a_contract_nothing_is_kept() -> None:
    deeds = Deeds()
    deeds.ended(call(out=5))
    assert deeds.made == {}
