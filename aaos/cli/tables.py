"""Answers to single questions as lines: lists of runs, roles, tools, findings, attestations. Pure.

Invariant: columns line up, and what is cut says so. Text is data here: `output` makes it harmless.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from aaos.cli.answers import Document, inner, number, rows, text, texts
from aaos.cli.render import duration, error_lines, size

GOAL_CHARS = 60


def run_lines(runs: Iterable[Document], *, now_s: float) -> list[str]:
    """One line for each run, the newest first."""
    cells = [
        (
            text(run, "run"),
            text(run, "state"),
            f"{_span(now_s - number(run, 'created_s'))} ago",
            _cut(text(run, "goal")),
        )
        for run in runs
    ]
    return _table(("RUN", "STATE", "SUBMITTED", "GOAL"), cells) if cells else ["no runs; try: agentd submit GOAL"]


def status_lines(run: Document, *, now_s: float) -> list[str]:
    """One run with its subtasks and live agents; its answer is left to the caller."""
    end_s = number(run, "finished_s") or now_s
    lines = [
        f"run      {text(run, 'run')}",
        f"goal     {text(run, 'goal')}",
        f"state    {text(run, 'state')} after {_span(end_s - number(run, 'created_s'))}",
        f"started  {_utc(number(run, 'created_s'))}",
    ]
    if trust := text(run, "trust"):
        lines.append(f"trust    lowered: it has seen content from {trust}")
    if number(run, "tokens"):
        lines.append(f"models   {number(run, 'tokens'):.0f} tokens, ${number(run, 'cost_usd'):.4f}")
    live = {text(agent, "subtask"): text(agent, "agent") for agent in rows(run, "agents")}
    cells = [_subtask_cells(subtask, live) for subtask in rows(run, "subtasks")]
    if cells:
        lines += ["", *_table(("SUBTASK", "ROLE", "STATE", "ATTEMPT", "AGENT"), cells)]
    for subtask in rows(run, "subtasks"):
        if error := inner(subtask, "error"):
            lines.append(f"{text(subtask, 'subtask')}: {text(error, 'message')}")
    if error := inner(run, "error"):
        lines += ["", *error_lines(error)]
    return lines


def workspaces_lines(found: Iterable[Document], *, now_s: float) -> list[str]:
    """One line for each workspace."""
    cells = [
        (
            text(one, "run"),
            text(one, "state"),
            size(number(one, "disk_bytes")),
            size(number(one, "bytes")),
            _kept(one, now_s),
            _cut(text(one, "goal")),
        )
        for one in found
    ]
    return _table(("RUN", "STATE", "ON DISK", "OF", "KEPT", "GOAL"), cells) if cells else ["no workspaces are kept"]


def workspace_lines(one: Document, *, now_s: float) -> list[str]:
    """One workspace, where it is from, and what is in it; a name is quoted, so that each has one line."""
    lines = [
        f"run      {text(one, 'run')}",
        f"goal     {text(one, 'goal')}",
        f"state    {text(one, 'state')}, uid {text(one, 'uid')}",
        f"path     {text(one, 'path')}",
        f"size     {size(number(one, 'bytes'))}, {size(number(one, 'disk_bytes'))} on disk",
        f"made     {_utc(number(one, 'created_s'))}, kept {_kept(one, now_s)}",
        "",
    ]
    listed = one.get("entries")
    for entry in listed if isinstance(listed, list) else []:
        path, kind, count = entry if isinstance(entry, list) and len(entry) == 3 else ("", "", 0)
        lines.append(f"{kind:<5} {size(count) if kind == 'file' else '':>10}  {path}")
    return lines if one.get("is_whole") else [*lines, "and more: agentd workspace export RUN"]


def role_lines(roles: Iterable[Document], refused: Iterable[Document]) -> list[str]:
    """Each role with its parameters, then the files that could not be used."""
    lines: list[str] = []
    for role in roles:
        how = ", ".join((text(role, "entry"), *texts(role, "tiers")))
        lines.append(f"{text(role, 'name')}  ({how})  {text(role, 'summary')}")
        for name, about in inner(role, "parameters").items():
            lines.append(_parameter(name, about if isinstance(about, dict) else {}))
    for error in refused:
        lines += ["", *error_lines(error)]
    return lines


def tool_lines(tools: Iterable[Document]) -> list[str]:
    """One line for each tool: where it runs and what it does."""
    cells = [
        (text(tool, "name"), text(tool, "route"), "writes" if tool.get("is_effect") else "reads", text(tool, "summary"))
        for tool in tools
    ]
    return _table(("TOOL", "RUNS IN", "EFFECT", "SUMMARY"), cells)


def attestation_lines(attestation: Document) -> list[str]:
    """One worker or cell, layer by layer: what it saw from inside at its start and what agentd sees from outside."""
    call = text(attestation, "call")
    missing = texts(attestation, "missing")
    inside, outside = inner(attestation, "inside"), inner(attestation, "outside")
    layers = list(dict.fromkeys((*texts(attestation, "layers"), *outside, *inside)))
    cells = [(layer, text(inside, layer) or "-", text(outside, layer) or "-") for layer in layers]
    took = duration(number(attestation, "duration_ms"))
    return [
        *([f"cell of  {call}"] if call else []),
        f"agent    {text(attestation, 'agent')}  pid {text(attestation, 'pid')}  uid {text(attestation, 'host_uid')}",
        f"policy   sha256 {text(attestation, 'policy_digest')}",
        f"filter   sha256 {text(attestation, 'filter_digest')}",
        f"verified in {took}" + (f"; WITHOUT {', '.join(missing)}" if missing else ""),
        "",
        *_table(("LAYER", "INSIDE, AT START", "OUTSIDE, NOW"), cells),
    ]


def finding_lines(findings: Iterable[Document]) -> list[str]:
    """One line for each finding; what is missing with its remedy below."""
    findings = list(findings)
    width = max((len(_subject(finding)) for finding in findings), default=0)
    lines: list[str] = []
    for finding in findings:
        mark = "ok " if finding.get("ok") else "BAD"
        lines.append(f"{mark}  {_subject(finding).ljust(width)}  {text(finding, 'detail')}".rstrip())
        if not finding.get("ok") and text(finding, "remedy"):
            lines.append(f"     try: {text(finding, 'remedy')}")
    return lines


def selftest_lines(found: Document) -> list[str]:
    """Each probe with what it met, group by group; then the count, and those that were not stopped."""
    results = rows(found, "results")
    cells, group = [], ""
    for result in results:
        place = f"{text(result, 'place')}: {text(result, 'group')}"
        shown, group = place if place != group else "", place
        names = ("probe", "expected", "seen", "layer")
        mark = "ok" if result.get("ok") else "BAD"
        cells.append((shown, mark, *(text(result, name) for name in names)))
    bad = [result for result in results if not result.get("ok")]
    lines = _table(("GROUP", "", "PROBE", "EXPECTED", "SEEN", "STOPPED BY"), cells)
    took = duration(number(found, "duration_ms"))
    missing = texts(found, "missing_layers")
    without = f", WITHOUT {', '.join(missing)}" if missing else ""
    if results and not bad:
        return [*lines, "", f"{len(results)} probes in {took}: all were stopped{without}"]
    return [
        *lines,
        "",
        f"{len(bad)} of {len(results)} probes WERE NOT STOPPED as they must be{without}:",
        *(f"  {text(one, 'place')}: {text(one, 'group')}: {text(one, 'probe')}: {text(one, 'seen')}" for one in bad),
    ]


def _subject(finding: Document) -> str:
    return text(finding, "layer") or text(finding, "subject") or text(finding, "name")


def _subtask_cells(subtask: Document, live: Mapping[str, str]) -> tuple[str, ...]:
    name = text(subtask, "subtask")
    role, state, attempt = (text(subtask, key) for key in ("role", "state", "attempt"))
    return (name, role, state, attempt, live.get(name) or text(subtask, "agent"))


def _parameter(name: str, about: Document) -> str:
    needed = "required" if about.get("required") else "optional"
    return f"    {name}: {text(about, 'type')}, {needed}  {text(about, 'summary')}".rstrip()


def _table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (heads, *cells)) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *cells)
    ]


def _cut(goal: str) -> str:
    line = " ".join(goal.split())
    return line if len(line) <= GOAL_CHARS else f"{line[: GOAL_CHARS - 3]}..."


def _span(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _kept(one: Document, now_s: float) -> str:
    until_s = number(one, "kept_until_s")
    return f"{_span(until_s - now_s)} more" if until_s else "while the run lives"


def _utc(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time_s))
