"""What is otherwise in a cell."""

from aaos.selftest.cell_probes import MAY, OTHERWISE, in_cell
from aaos.selftest.trial import PROBES


def test_every_difference_is_of_a_probe_that_is_there_and_said_once() -> None:
    """ISO-10"""
    names = {probe.name for probe in PROBES}
    assert names >= MAY
    assert names >= set(OTHERWISE)
    assert not MAY & set(OTHERWISE)


def test_most_probes_are_tried_in_cells_too() -> None:
    """ISO-10"""
    expected = [in_cell(probe) for probe in PROBES]
    assert sum(refusals is not None for refusals in expected) >= 120
    assert all("allowed" not in refusals for refusals in expected if refusals is not None)


def test_what_is_not_said_otherwise_is_as_in_a_worker() -> None:
    probe = next(probe for probe in PROBES if probe.name == "change the root")
    assert in_cell(probe) == probe.refusals == {"EPERM": "seccomp"}
