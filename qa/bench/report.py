"""What the benchmarks found: tables as they come, and each figure beside what is asked of it.

Invariant: a figure that is asked for is judged in the same run that measured it, and shown whether it holds or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qa.bench.kit import table

Rows = Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Gate:
    """What is asked of a figure: at least so much of a unit, or at most."""

    name: str
    asked: float
    unit: str
    is_least: bool = False

    def row(self, measured: float) -> tuple[str, ...]:
        """The figure for people."""
        holds = measured >= self.asked if self.is_least else measured <= self.asked
        bound = "at least" if self.is_least else "at most"
        shown = (f"{bound} {self.asked:g} {self.unit}", f"{measured:.3g} {self.unit}" if measured < 100 else "")
        return self.name, shown[0], shown[1] or f"{measured:.0f} {self.unit}", "yes" if holds else "NO"


def _times(name: str, asked: float) -> Gate:
    return Gate(name, asked, "times", is_least=True)


HELLO, SERVES = "bwrap + python that says hello", "bwrap + python that imports json, socket"
GATES: Mapping[str, Gate] = {
    "cold/hello": _times(f"cold start, faster than {HELLO}", 6),
    "cold/serves": _times(f"cold start, faster than {SERVES}", 6),
    "parked/hello": _times(f"parked start, faster than {HELLO}", 12),
    "parked/serves": _times(f"parked start, faster than {SERVES}", 12),
    "burst/hello": _times(f"16 at once, rate beside {HELLO}", 8),
    "burst/serves": _times(f"16 at once, rate beside {SERVES}", 8),
    "sustained/hello": _times(f"16 at once for long, rate beside {HELLO}", 8),
    "sustained/serves": _times(f"16 at once for long, rate beside {SERVES}", 8),
    "trip": Gate("ABI round trip, p50", 45, "µs"),
    "read": Gate("permitted 4 KiB file_read, p50", 120, "µs"),
    "pss": Gate("PSS of each of 200 live workers", 1.5, "MiB"),
    "live": Gate("live workers", 1000, "workers", is_least=True),
    "status": Gate("agentd status beside them, p50", 100, "ms"),
    "gib": Gate("workers for each GiB, with page tables, slabs and agentd's part", 600, "workers", is_least=True),
    "left": Gate("left behind by 500 starts and stops", 0, "things"),
}


@dataclass(slots=True)
class Report:
    """Prints what it is told and keeps it."""

    tables: list[tuple[str, Rows]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def table(self, title: str, rows: Rows) -> None:
        """One table, the first row its heading."""
        table(title, rows)
        self.tables.append((title, rows))

    def judge(self, figures: Mapping[str, float]) -> None:
        """Figures, by their names in `GATES`."""
        table("asked and measured", judged(figures))
        self.figures |= figures


def judged(figures: Mapping[str, float]) -> Rows:
    """A table of figures beside what is asked of them."""
    return [("figure", "asked", "measured", "holds"), *(GATES[name].row(value) for name, value in figures.items())]
