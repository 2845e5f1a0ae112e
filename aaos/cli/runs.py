"""`agentd list`, `status`, `pause`, `resume`, `stop` and `logs`: what became of goals.

Invariant: nothing here changes a run but `pause`, `resume` and `stop`. It must not know how an answer is shown:
`tables` and `render` do.
"""

import time
from argparse import Namespace
from collections.abc import Iterator

from aaos.cli import answers, tables
from aaos.cli.client import Client
from aaos.cli.follow import Follower
from aaos.cli.output import Output
from aaos.core import rpc
from aaos.core.errors import ExitCode, InputError

PAGE = 1_000
RUN_ENDED = ("run.completed", "run.failed", "run.cancelled")


def list_runs(args: Namespace, output: Output) -> ExitCode:
    """The newest runs, the operator's own; root sees all."""
    with Client(args.socket) as client:
        found = answers.document(client.call("list", {"limit": args.limit}))
    runs = answers.rows(found, "runs")
    output.answers(runs, tables.run_lines(runs, now_s=time.time()))
    return ExitCode.OK


def status(args: Namespace, output: Output) -> ExitCode:
    """One run; its answer at the end when it has one."""
    with Client(args.socket) as client:
        run = answers.document(client.call("status", {"run": args.run}))
    if output.is_json:
        output.document(run)
        return ExitCode.OK
    for line in tables.status_lines(run, now_s=time.time()):
        output.line(line)
    if answer := answers.text(run, "result"):
        output.line("")
        output.quote(answer)
    return ExitCode.OK


def pause(args: Namespace, output: Output) -> ExitCode:
    """Let a run or an agent stand still, or go on."""
    kind = "run" if args.id.startswith("r") else "agent"
    with Client(args.socket) as client:
        found = answers.document(client.call(args.command, {kind: args.id}))
    if output.is_json:
        output.document(found)
    else:
        output.line(f"{answers.text(found, kind) or args.id} {answers.text(found, 'state')}")
    return ExitCode.OK


def stop(args: Namespace, output: Output) -> ExitCode:
    """End a run; one that has ended already is an answer too."""
    with Client(args.socket) as client:
        stopped = answers.document(client.call("stop", {"run": args.run}))
    if output.is_json:
        output.document(stopped)
    else:
        output.line(f"{answers.text(stopped, 'run') or args.run} {answers.text(stopped, 'state') or 'stopping'}")
    return ExitCode.OK


def logs(args: Namespace, output: Output) -> ExitCode:
    """The events of a run, in order, and how it ended; with `--follow` until it ends; without a run, those of all."""
    follower = Follower(args.socket, output, shows_all=args.all)
    if args.run is None:
        if not args.follow:
            raise InputError("logs: which run?", "agentd logs RUN, or `agentd logs -f` for all of them")
        return follower.follow_all()
    if args.follow:
        return follower.follow(args.run)
    with Client(args.socket) as client:
        has_ended = False
        for event in events(client, args.run):
            follower.show(event)
            has_ended = has_ended or answers.event(event).kind in RUN_ENDED
        if has_ended:
            follower.finish(answers.document(client.call("status", {"run": args.run})))
    return ExitCode.OK


def events(client: Client, run: str) -> Iterator[answers.Document]:
    """All that there are now, page by page; how many a page holds is the daemon's business."""
    seq, pages = 0, True
    while pages:
        params: dict[str, rpc.Json] = {"run": run, "after_seq": seq, "limit": PAGE}
        page = answers.rows(answers.document(client.call("logs", params)), "events")
        yield from page
        last = answers.event(page[-1]).seq if page else seq
        pages, seq = last > seq, last
