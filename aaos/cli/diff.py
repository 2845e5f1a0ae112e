"""`agentd diff`: which files a run changed, by whom in it, from what agentd itself saw (BRK-7).

Invariant: nothing is told that an agent only said; what is counted and not named is told as a number. A file that was
changed several times has one line for each part of the run that did it.
"""

from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aaos.cli import answers, runs
from aaos.cli.client import Client
from aaos.cli.output import Output
from aaos.core import rpc
from aaos.core.errors import ExitCode

_VERBS = ("made", "changed", "removed")
NOBODY = "no call accounts for it"


@dataclass(frozen=True, slots=True)
class Change:
    """One file, or with an empty path so many that are not named."""

    change: str
    path: str
    subtask: str
    by: str
    count: int = 1


def diff(args: Namespace, output: Output) -> ExitCode:
    """The changes, by path."""
    with Client(args.socket) as client:
        run = answers.text(answers.document(client.call("status", {"run": args.run})), "run")
        found = changes(map(answers.event, runs.events(client, run)))
    if output.is_json:
        for one in found:
            path = one.path or None
            told: dict[str, rpc.Json] = {
                "run": run,
                "change": one.change,
                "path": path,
                "count": one.count,
                "subtask": one.subtask,
            }
            output.document({**told, "by": one.by})
        return ExitCode.OK
    for line in lines(found):
        output.line(line)
    return ExitCode.OK


def changes(events: Iterable[answers.Event]) -> tuple[Change, ...]:
    """What the events tell of files, each thing once, those that are named by their paths first."""
    found = dict.fromkeys(change for event in events for change in _of(event))
    return tuple(sorted(found, key=lambda one: (not one.path, one.path)))


def lines(found: Iterable[Change]) -> list[str]:
    """One line for each."""
    return [_line(one) for one in found] or ["nothing was changed, as far as agentd saw"]


def _line(one: Change) -> str:
    who = f"{one.subtask}, {one.by}" if one.subtask else one.by
    return f"{one.change:<8} {one.path or f'{one.count} more'}  ({who})"


def _of(event: answers.Event) -> Iterator[Change]:
    fields, by = event.fields, answers.text(event.fields, "tool")
    if event.kind == "file.written":
        yield Change("written", answers.text(fields, "path"), event.subtask, by or "file_write")
    elif event.kind == "file.unreported" and "path" in fields:
        yield Change("changed", answers.text(fields, "path"), event.subtask, NOBODY)
    elif event.kind == "file.changed":
        for verb in _VERBS:
            named = answers.text(fields, f"{verb}_paths").splitlines()
            yield from (Change(verb, path, event.subtask, by) for path in named)
            more = int(answers.number(fields, verb)) - len(named)
            if more > 0:
                yield Change(verb, "", event.subtask, by, more)
