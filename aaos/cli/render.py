"""Events as the lines that an operator reads while a run is under way. Pure.

Invariant: every kind of event has a line, if only the generic one; a refusal always shows what would allow it. Text is
data here: `output` makes it harmless.
"""

import time
from collections.abc import Callable

from aaos.cli.answers import Document, Event, number, text, texts

SHOWN_PATHS = 5
RESOURCES = ("path", "resource", "url", "paths", "pattern")
QUIET = frozenset(
    {
        "agent.checkpoint",
        "agent.finished",
        "agent.starting",
        "agent.stopped",
        "model.answered",
        "model.requested",
        "model.text",
        "run.cancelled",
        "run.completed",
        "run.envelope",
        "run.failed",
        "run.started",
        "run.stopping",
        "subtask.completed",
        "subtask.started",
        "token.granted",
        "tool.permitted",
    }
)  # the stream leaves these out: their sense is in the echo before, in the lines of tools, or in the result


def stream_lines(event: Event) -> list[str]:
    """What the live stream shows of an event; nothing for what is said elsewhere."""
    shown = SHOWN.get(event.kind)
    if shown is not None:
        return _spread(shown(event))
    return [] if event.kind in QUIET else _spread(_notice(event))


def log_lines(event: Event) -> list[str]:
    """Every event on one line with its time, kind and all fields."""
    who = " ".join(part for part in (event.subtask, event.agent) if part)
    fields = " ".join(f"{name}={_plain(event.fields, name)}" for name in event.fields)
    parts = (clock(event.time_s), event.kind.ljust(18), who, fields)
    return ["  ".join(part for part in parts if part)]


def plan_lines(plan: Document, subtasks: tuple[Document, ...]) -> list[str]:
    """The plan before the start: one line for each subtask, with what it waits for."""
    lines = [f"plan: {text(plan, 'shape')}, {_count(len(subtasks), 'subtask')}"]
    for subtask in subtasks:
        inputs = texts(subtask, "inputs")
        after = f"  after {', '.join(inputs)}" if inputs else ""
        lines.append(f"  {text(subtask, 'id')}  {text(subtask, 'role')}{after}")
    return lines


def end_line(run: Document) -> str:
    """How the run ended and how long it took."""
    span_s = number(run, "finished_s") - number(run, "created_s")
    took = f" in {duration(span_s * 1_000)}" if span_s > 0 else ""
    return f"{text(run, 'run')} {text(run, 'state')}{took}"


def file_line(fields: Document) -> str:
    """A file that agentd itself published: where it lies, how large it is, what it holds."""
    digest = text(fields, "sha256") or text(fields, "digest")
    told = f"  {size(number(fields, 'size_bytes'))}" if "size_bytes" in fields else ""
    mark = f"  sha256 {digest[:16]}" if digest else ""
    return f"wrote {_resource(fields)}{told}{mark}"


def error_lines(error: Document) -> list[str]:
    """What went wrong and what to type next."""
    lines = [f"agentd: {text(error, 'message')}"]
    if remedy := text(error, "remedy"):
        lines.append(f"  try: {remedy}")
    return _spread(lines)


def duration(milliseconds: float) -> str:
    """`0.4 ms`, `120 ms`, `3.2 s`."""
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:.1f} s"


def size(count: float) -> str:
    """`312 bytes`, `12.5 KiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def clock(time_s: float) -> str:
    """UTC time of day in milliseconds."""
    return f"{time.strftime('%H:%M:%S', time.gmtime(time_s))}.{int(time_s * 1000) % 1000:03d}"


def _tool_done(event: Event) -> list[str]:
    return [_tool_line(event, "failed: " + _message(event) if event.kind == "tool.failed" else "")]


def _tool_denied(event: Event) -> list[str]:
    lines = [_tool_line(event, f"refused: {_message(event)}")]
    if remedy := text(event.fields, "remedy"):
        lines.append(f"         {remedy}")
    return lines


def _tool_line(event: Event, outcome: str) -> str:
    """`[worker] s1 file_read /x  0.4 ms`"""
    call = " ".join(part for part in (text(event.fields, "tool"), _resource(event.fields)) if part)
    took = duration(number(event.fields, "duration_ms")) if "duration_ms" in event.fields else ""
    rest = "  ".join(part for part in (call, took, outcome) if part)
    return _tagged(event, rest, tag=text(event.fields, "route") or "worker")


def _confined(event: Event) -> list[str]:
    fields = event.fields
    took = f" in {duration(number(fields, 'duration_ms'))}" if "duration_ms" in fields else ""
    layers, missing = _names(fields, "layers"), _names(fields, "missing")
    without = f", WITHOUT {', '.join(missing)}" if missing else ""
    return [_tagged(event, f"confined{took}: {_count(len(layers), 'layer')} verified{without}", tag="worker")]


def _attested(event: Event) -> list[str]:
    return [_tagged(event, "attested anew from outside", tag="worker")]


def _written(event: Event) -> list[str]:
    return [_tagged(event, file_line(event.fields), tag="broker")]


def _changed(event: Event) -> list[str]:
    """What a program changed, with the first paths."""
    fields = event.fields
    verbs = ("made", "changed", "removed")
    counts = ", ".join(f"{verb} {_count(int(number(fields, verb)), 'file')}" for verb in verbs if number(fields, verb))
    paths = [path for verb in verbs for path in text(fields, f"{verb}_paths").splitlines()][:SHOWN_PATHS]
    control = text(fields, "control_paths").splitlines()
    orders = [_tagged(event, f"other programs take orders from {path}: look at it first", tag="!") for path in control]
    aside = text(fields, "aside_paths").splitlines()
    orders += [_tagged(event, f"{path} was set aside: other programs take orders from it", tag="!") for path in aside]
    return [_tagged(event, counts or _message(event), tag="cell"), *(f"         {path}" for path in paths), *orders]


def _output(event: Event) -> list[str]:
    """What a program writes, as it comes."""
    shown = text(event.fields, "text").rstrip("\n")
    return [_tagged(event, f"{text(event.fields, 'tool')}: {shown}", tag="cell")]


def _fetched(event: Event) -> list[str]:
    """A page as it came: an answer of the network, from the address that was really connected to."""
    fields = event.fields
    asked = f"{text(fields, 'method')} {text(fields, 'url')} from {text(fields, 'address')}"
    return [
        _tagged(event, f"{asked}: {text(fields, 'status')}, {size(number(fields, 'received_bytes'))}", tag="egress")
    ]


def _connected(event: Event) -> list[str]:
    """A connection of a subprocess, when it has ended."""
    fields = event.fields
    moved = f"{size(number(fields, 'sent_bytes'))} sent, {size(number(fields, 'received_bytes'))} received"
    why = f": {text(fields, 'message')}" if text(fields, "message") else ""
    return [_tagged(event, f"connected {_place(fields)} at {text(fields, 'address')}: {moved}{why}", tag="egress")]


def _not_connected(event: Event) -> list[str]:
    """A door that is full has not been told yet for which host."""
    fields = event.fields
    refused = f"refused {_place(fields)}" if text(fields, "host") else "refused"
    return [_tagged(event, f"{refused}: {_plain(fields, 'status')} {text(fields, 'message')}".rstrip(), tag="egress")]


def _place(fields: Document) -> str:
    return ":".join(part for part in (text(fields, "host"), _plain(fields, "port")) if part)


def _trust_lowered(event: Event) -> list[str]:
    return [_tagged(event, f"from here on the run has read from {text(event.fields, 'label')}", tag="egress")]


def _log(event: Event) -> list[str]:
    return [_tagged(event, f"says: {_message(event)}", tag="worker")]


def _submitted(event: Event) -> list[str]:
    return [f"{event.run}: {text(event.fields, 'goal')}"]


def _planned(event: Event) -> list[str]:
    count = text(event.fields, "subtasks")
    noun = "subtask" if count == "1" else "subtasks"
    head = f"planned: {text(event.fields, 'shape')}{f', {count} {noun}' if count else ''}"
    return [head, *(f"  {line}" for line in text(event.fields, "plan").splitlines())]


def _plan_refused(event: Event) -> list[str]:
    """The remedy is left out: it is said to the planner, which may ask for what nobody should grant."""
    return [_tagged(event, f"the model's plan is refused: {_message(event)}", tag="!")]


def _retried(event: Event) -> list[str]:
    """A plan that is asked for again was told as refused."""
    return [] if text(event.fields, "code") == "plan" else _notice(event)


def _replanned(event: Event) -> list[str]:
    return [f"planning anew, since subtask {text(event.fields, 'failed')} failed: {_message(event)}"]


def _reduced(event: Event) -> list[str]:
    names = _names(event.fields, "layers") or _names(event.fields, "layer") or _names(event.fields, "missing")
    return [f"! this agentd runs without {', '.join(names) or 'a layer of the wall'}: its operator chose so"]


def _notice(event: Event) -> list[str]:
    """What an operator should see although it has no line of its own."""
    lines = [_tagged(event, f"{event.kind}: {_message(event) or _rest(event.fields)}", tag="!")]
    if remedy := text(event.fields, "remedy"):
        lines.append(f"  try: {remedy}")
    return lines


def _spread(lines: list[str]) -> list[str]:
    """A text of several lines on several lines, all but its first marked, so that none can pass for one of ours."""
    parts = (line.rstrip("\n").split("\n") for line in lines)
    return [shown for first, *rest in parts for shown in (first, *(f"  | {one}" for one in rest))]


def _resumed(event: Event) -> list[str]:
    ended, subtasks = number(event.fields, "ended"), int(number(event.fields, "subtasks"))
    left = duration(number(event.fields, "wall_s") * 1_000)
    return [
        f"! agentd was restarted: the run goes on, {ended:.0f} of {_count(subtasks, 'subtask')} had ended, {left} left"
    ]


def _approval(event: Event) -> list[str]:
    """A call that waits, and how its waiting ended."""
    fields, state = event.fields, event.kind.partition(".")[2]
    what = f"{text(fields, 'tool')} {_resource(fields)}"
    if state == "asked":
        name = text(fields, "approval")
        return [_tagged(event, f"{what} waits for an approval: agentd approvals show {name}", tag="!")]
    by = f" by uid {text(fields, 'uid')}" if "uid" in fields else ""
    why = f": {text(fields, 'reason')}" if text(fields, "reason") else ""
    return [_tagged(event, f"{what}: approval {state}{by}{why}", tag="!")]


def _paused(event: Event) -> list[str]:
    what = event.agent if event.kind == "agent.paused" else event.run
    return [_tagged(event, f"paused; to go on: agentd resume {what}", tag="!")]


def _continued(event: Event) -> list[str]:
    return [_tagged(event, "goes on", tag="!")]


def _tagged(event: Event, rest: str, *, tag: str) -> str:
    head = tag if tag == "!" else f"[{tag}]"
    return " ".join(part for part in (head, event.subtask, rest) if part)


def _resource(fields: Document) -> str:
    return next((found for name in RESOURCES if (found := _plain(fields, name))), "")


def _message(event: Event) -> str:
    return text(event.fields, "message") or text(event.fields, "reason")


def _rest(fields: Document) -> str:
    return " ".join(f"{name}={_plain(fields, name)}" for name in fields if name not in ("message", "remedy"))


def _plain(fields: Document, name: str) -> str:
    value = fields.get(name)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def _names(fields: Document, name: str) -> list[str]:
    """A list of names, which event fields carry as one text."""
    return [part for part in _plain(fields, name).replace(",", " ").split() if part]


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _workspace_full(event: Event) -> list[str]:
    return [f"! the workspace is full, what is written there fails; to look at it: agentd workspace show {event.run}"]


def _workspace_made(event: Event) -> list[str]:
    return [f"  workspace of {size(number(event.fields, 'bytes'))}"]


SHOWN: dict[str, Callable[[Event], list[str]]] = {
    "agent.confined": _confined,
    "agent.continued": _continued,
    "agent.log": _log,
    "agent.paused": _paused,
    "approval.asked": _approval,
    "approval.denied": _approval,
    "approval.expired": _approval,
    "approval.given": _approval,
    "approval.withdrawn": _approval,
    "attested": _attested,
    "confinement.reduced": _reduced,
    "file.changed": _changed,
    "file.written": _written,
    "network.connected": _connected,
    "network.fetched": _fetched,
    "network.refused": _not_connected,
    "run.trust_lowered": _trust_lowered,
    "plan.refused": _plan_refused,
    "run.continued": _continued,
    "run.paused": _paused,
    "run.planned": _planned,
    "run.replanned": _replanned,
    "run.resumed": _resumed,
    "run.submitted": _submitted,
    "subtask.retried": _retried,
    "tool.denied": _tool_denied,
    "tool.done": _tool_done,
    "tool.failed": _tool_done,
    "tool.output": _output,
    "workspace.full": _workspace_full,
    "workspace.made": _workspace_made,
}
