"""A bound on what is at work at the same time, of one user and in all."""

from contextlib import ExitStack

import pytest

from aaos.core.errors import BusyError
from aaos.core.ids import Uid
from aaos.daemon.atonce import ROOT, AtOnce

ONE, OTHER = Uid(1000), Uid(1001)


def test_one_user_is_bounded_and_another_goes_on() -> None:
    """H-RES-11"""
    at_once = AtOnce(2, 3)
    with ExitStack() as places:
        for _ in range(2):
            places.enter_context(at_once.place(ONE, "export", again="agentd x"))
        with pytest.raises(BusyError, match="export: 2 of uid 1000 are at work, and 2 in all") as told:
            places.enter_context(at_once.place(ONE, "export", again="agentd x"))
        assert told.value.remedy == "when one of them has ended: agentd x"
        places.enter_context(at_once.place(OTHER, "export", again="agentd x"))
        with pytest.raises(BusyError, match="1 of uid 1001 are at work, and 3 in all"):
            places.enter_context(at_once.place(OTHER, "export", again="agentd x"))
        for _ in range(2):  # nobody keeps root from looking
            places.enter_context(at_once.place(ROOT, "export", again="agentd x"))
        with pytest.raises(BusyError, match="2 of uid 0 are at work, and 5 in all"):
            places.enter_context(at_once.place(ROOT, "export", again="agentd x"))


def test_a_place_comes_back_however_its_holder_ends() -> None:
    at_once = AtOnce(1, 1)
    for _ in range(3):
        with pytest.raises(KeyError), at_once.place(ONE, "export", again="agentd x"):
            raise KeyError
    with at_once.place(ONE, "export", again="agentd x"):
        pass
    assert at_once._busy == {}
