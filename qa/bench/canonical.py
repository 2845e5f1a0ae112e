"""The canonical goal through tier T0, from the goal to the file: two pages, their top three stories, a comparison.

The pages are the demo's own, on loopback; the first is answered only when the second was asked for, so both are fetched
at the same time or the goal takes seconds.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from qa import fronts
from qa.bench.kit import median, table
from qa.daemon import PrivateDaemon

ROUNDS = 5
Span = tuple[float, float]  # ms from the submission


def measured(agentd: PrivateDaemon, directory: Path) -> list[Mapping[str, Span]]:
    """The parts of each round, by name, in the order in which they began."""
    target = directory / "comparison.md"
    rounds = []
    with fronts.served() as served:
        goal = f"fetch {served.urls[0]} and {served.urls[1]}, compare their top three stories"
        for _ in range(ROUNDS):
            target.unlink(missing_ok=True)
            done = agentd.run("submit", "--json", f"{goal}, and write the comparison to {target}")
            assert done.status == 0, done.output
            assert target.stat().st_size > 0
            rounds.append(parts(done.output))
        assert served.were_together
    return rounds


def parts(output: str) -> Mapping[str, Span]:
    """When each part of a run began and ended: up to its start, its subtasks, and the whole."""
    events = [event for line in output.splitlines() if "kind" in (event := json.loads(line))]
    begin_s = events[0]["time_s"]
    spans: dict[str, list[float]] = {}
    for event in events:
        at_ms = (event["time_s"] - begin_s) * 1e3
        match event["kind"]:
            case "run.submitted" | "run.started":
                spans.setdefault("submission", []).append(at_ms)
            case "subtask.started" | "agent.confined" | "subtask.completed":
                spans.setdefault(event["subtask"], []).append(at_ms)
            case "run.completed":
                spans["from the goal to the file"] = [0.0, at_ms]
    return {name: (times[0], times[-1]) for name, times in spans.items()}


def show(rounds: list[Mapping[str, Span]]) -> None:
    """The parts with their medians."""
    rows = [
        (
            name,
            f"{median([spans[name][0] for spans in rounds]):.1f}",
            f"{median([_took(spans[name]) for spans in rounds]):.1f}",
        )
        for name in rounds[0]
    ]
    table(f"the canonical goal through tier T0, no model ({ROUNDS} rounds)", [("", "begins ms", "takes ms"), *rows])


def _took(span: Span) -> float:
    return span[1] - span[0]
