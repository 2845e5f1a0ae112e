"""How what was seen is judged."""

from dataclasses import replace

import pytest

from aaos.selftest.probe import ALLOWED, KILLED, SILENT, Probe, judged
from aaos.selftest.trial import PROBES

PROBE = Probe("files", "read", "content('/x')", "ENOENT mountns, EACCES landlock")


@pytest.mark.parametrize(("seen", "layer"), [("ENOENT", "mountns"), ("EACCES", "landlock")])
def test_a_right_refusal_names_its_layer(seen: str, layer: str) -> None:
    """ISO-10"""
    result = judged(PROBE, seen, place="worker", refusals=PROBE.refusals)
    assert (result.is_ok, result.layer, result.expected) == (True, layer, "ENOENT or EACCES")


@pytest.mark.parametrize("seen", [ALLOWED, KILLED, SILENT, "EPERM", "EINVAL", "", "enoent", "ENOENT mountns"])
def test_anything_else_has_failed(seen: str) -> None:
    """ISO-10: also another refusal, since it may come from behind the check."""
    assert not judged(PROBE, seen, place="worker", refusals=PROBE.refusals).is_ok


def test_where_a_refusal_kills_being_killed_is_right() -> None:
    killing = replace(PROBE, worker="killed seccomp")
    assert judged(killing, KILLED, place="worker", refusals=killing.refusals).is_ok


def test_every_probe_is_named_once_and_never_expects_to_be_allowed() -> None:
    """ISO-10"""
    assert len(PROBES) >= 120
    assert len({probe.name for probe in PROBES}) == len(PROBES)
    assert len({probe.act for probe in PROBES}) == len(PROBES)
    assert [probe.name for probe in PROBES if {ALLOWED, SILENT} & set(probe.refusals)] == []
