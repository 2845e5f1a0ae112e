"""Every parser on a sample of mutated inputs; the counts of R9 are those of `./dev fuzz --full`."""

import pytest

from aaos.core.errors import InputError
from qa.fuzz.mutators import MAX_BYTES
from qa.fuzz.running import fuzzed, shown
from qa.fuzz.targets import TARGETS, Target

SAMPLE = 600


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_others_wrote_is_taken_or_refused_and_never_breaks_anything(target: Target) -> None:
    """H-FUZZ-10, H-BRK-14, R9"""
    counted = fuzzed(target, SAMPLE)
    assert counted.defects == [], shown(counted)
    assert counted.taken >= len(target.seeds) - 1, "the seeds are no longer right"
    assert counted.inputs - counted.taken > SAMPLE / 10, "hardly anything is refused"


def test_an_undeclared_error_is_a_defect_and_keeps_its_input() -> None:
    """R9: a run that cannot fail would say nothing."""

    def breaks(data: bytes) -> bool:
        if data == b"seed":
            raise InputError("not declared here", "")
        return False

    counted = fuzzed(Target("broken", breaks, (b"seed",)), 10)
    assert set(counted.defects) == {("InputError: not declared here", b"seed")}
    assert not counted.is_good
    assert "BAD" in shown(counted)


def test_an_input_without_end_is_a_defect() -> None:
    """R9"""

    def hangs(data: bytes) -> bool:
        while data == b"seed":
            pass
        return False

    counted = fuzzed(Target("hanging", hangs, (b"seed",)), 1)
    assert counted.defects == [("hang", b"seed")]


def test_the_same_seed_gives_the_same_inputs_and_another_one_others() -> None:
    """R9: a defect can be met again."""
    seen: list[list[bytes]] = []
    for seed in (1, 1, 2):
        seen.append([])

        def hears(data: bytes) -> bool:
            seen[-1].append(data)
            return True

        fuzzed(Target("heard", hears, TARGETS[0].seeds), 300, seed=seed)
    assert seen[0] == seen[1] != seen[2]
    assert all(len(data) <= MAX_BYTES for data in seen[0])
