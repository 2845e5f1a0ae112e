"""A probe: one hostile act as text, the refusal it must meet, and how what was seen is judged.

Invariant: what is expected comes from here and what was seen from behind the wall; only an expected refusal passes, so
a probe that was allowed, was refused otherwise, or said nothing has failed. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ALLOWED = "allowed"
KILLED = "killed"
SILENT = "silent"  # its process neither reported nor ended in time


class Unshown(StrEnum):
    """Why an act that is refused behind the wall does not succeed as root without one, either."""

    ARGUMENT = "a success would change the machine: without the wall it gets as far as its arguments"
    ABSENT = "this kernel may be built without it"


@dataclass(frozen=True, slots=True)
class Probe:
    """`act` is an expression for `program`; `worker` the refusals that are right there, each with the layer that gives
    it, as `EPERM seccomp` or `ENOENT mountns, EACCES landlock`."""

    group: str
    name: str
    act: str
    worker: str
    unshown: Unshown | None = None

    @property
    def refusals(self) -> Mapping[str, str]:
        """Each right refusal with its layer."""
        return refusals_in(self.worker)


def refusals_in(text: str) -> Mapping[str, str]:
    """`EPERM seccomp, EACCES landlock` as refusals with their layers."""
    return dict(part.split() for part in text.split(","))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one probe in one place."""

    place: str
    group: str
    probe: str
    expected: str
    seen: str
    layer: str
    is_ok: bool


def judged(probe: Probe, seen: str, *, place: str, refusals: Mapping[str, str]) -> Result:
    """The result of a probe that reported `seen` where these are the right refusals."""
    expected = " or ".join(refusals)
    return Result(place, probe.group, probe.name, expected, seen, refusals.get(seen, ""), is_ok=seen in refusals)
