"""`agentd approvals`: what waits for an approval, what it would do, and the word of whoever gives it or not.

Invariant: what is approved is what was shown here, by its digest; what agents wrote is quoted, and what is ours is not.
"""

import re
import time
from argparse import Namespace

from aaos.cli import answers, render
from aaos.cli.client import Client
from aaos.cli.follow import Follower
from aaos.cli.output import Output
from aaos.core import rpc
from aaos.core.errors import ExitCode, InputError
from aaos.core.text import quoted

LIMIT = 1_000
_DIGEST = re.compile("[0-9a-f]{64}")


def approvals(args: Namespace, output: Output) -> ExitCode:
    """List, show, approve, deny or watch."""
    if args.action == "watch":
        return _Watcher(args.socket, output).follow_all()
    if args.action == "list":
        return _list(args, output)
    if args.id is None:
        raise InputError(f"approvals {args.action}: which one?", "see them: agentd approvals list")
    if args.digest is not None and not _DIGEST.fullmatch(args.digest):
        message = f"--digest {quoted(args.digest)}: a digest is 64 digits of 0-9 and a-f"
        raise InputError(message, f"take it from: agentd approvals show {args.id}")
    with Client(args.socket) as client:
        found = answers.document(client.call("approval", {"approval": args.id}))
        if args.action != "show":
            if not output.is_json:
                _show(found, output)
            digest = args.digest or answers.text(found, "digest")
            params: dict[str, rpc.Json] = {"approval": answers.text(found, "approval"), "digest": digest}
            found = answers.document(client.call(args.action, {**params, "reason": args.reason}))
    if output.is_json:
        output.document(found)
    elif args.action == "show":
        _show(found, output)
    else:
        output.line(f"{answers.text(found, 'approval')} {answers.text(found, 'state')}")
    return ExitCode.OK


def _list(args: Namespace, output: Output) -> ExitCode:
    with Client(args.socket) as client:
        found = answers.document(client.call("approvals", {"is_all": args.all, "limit": LIMIT}))
    listed = answers.rows(found, "approvals")
    output.answers(listed, list_lines(listed, now_s=time.time()))
    return ExitCode.OK


def list_lines(listed: tuple[answers.Document, ...], *, now_s: float) -> list[str]:
    """One line for each kind of call that one run waits for: many that are alike do not hide another."""
    alike: dict[tuple[str, ...], list[answers.Document]] = {}
    for one in listed:
        key = tuple(answers.text(one, name) for name in ("run", "tool", "resource", "state"))
        alike.setdefault(key, []).append(one)
    lines = [_list_line(group, now_s) for group in alike.values()]
    return lines or ["nothing waits for an approval"]


def _list_line(group: list[answers.Document], now_s: float) -> str:
    one = group[0]
    more = f" (and {len(group) - 1} alike)" if len(group) > 1 else ""
    state = answers.text(one, "state")
    left = f", {max(0.0, answers.number(one, 'until_s') - now_s):.0f} s left" if state == "waiting" else ""
    who = f"uid {answers.text(one, 'uid')}, run {answers.text(one, 'run')}"
    what = f"{answers.text(one, 'tool')} {answers.text(one, 'resource')}"
    return f"{answers.text(one, 'approval')}  {what}{more}  {state}{left}  {who}"


def _show(found: answers.Document, output: Output) -> None:
    """What is ours, then what is foreign: quoted, and cut in the middle by the daemon."""
    for line in show_lines(found, now_s=time.time()):
        output.line(line)
    if goal := answers.text(found, "goal"):
        output.line("the goal, as it was submitted:")
        output.quote(goal)
    output.line("what it would do:")
    output.quote(answers.text(found, "preview"))


def show_lines(found: answers.Document, *, now_s: float) -> list[str]:
    """The facts, the whole resource first."""
    resource, pre_hash = answers.text(found, "resource"), answers.text(found, "pre_hash")
    lines = [f"{answers.text(found, 'tool')} {resource}"]
    if not resource.isascii():
        lines.append(f"in ASCII  {resource.encode('ascii', 'backslashreplace').decode()}")
    if pre_hash:
        lines.append("makes     a new file" if pre_hash == "absent" else f"replaces  a file that has {pre_hash[:80]}")
    state = answers.text(found, "state")
    left = f", {max(0.0, answers.number(found, 'until_s') - now_s):.0f} s left" if state == "waiting" else ""
    lines.append(f"approval  {answers.text(found, 'approval')} {state}{left}")
    lines += [f"{name:<9} {answers.text(found, name)}" for name in ("run", "subtask", "agent", "uid", "digest")]
    if trust := answers.text(found, "trust"):
        lines.append(f"trust     lowered: the run has seen content from {trust}")
    if reason := answers.text(found, "reason"):
        lines.append(f"reason    {reason}")
    if "by" in found and found["by"] is not None:
        lines.append(
            f"settled   by uid {answers.text(found, 'by')} on {answers.text(found, 'terminal') or 'no terminal'}"
        )
    return lines


class _Watcher(Follower):
    """Shows what is asked and how it was settled, of all runs, as it comes."""

    def show(self, params: "answers.Document") -> None:
        if not answers.text(params, "kind").startswith("approval."):
            return
        if self._output.is_json:
            super().show(params)
            return
        for line in render.stream_lines(answers.event(params)):
            self._output.line(line)
