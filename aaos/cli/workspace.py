"""`agentd workspace`: what runs have left in file systems of their own.

Invariant: an archive goes to a file that is opened here, with the operator's own rights, or to standard output, and
never to a terminal; half an archive is never left as if it were one.
"""

import base64
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, suppress

from aaos.cli import answers, tables
from aaos.cli.client import Client, command
from aaos.cli.output import Output
from aaos.core import rpc
from aaos.core.errors import ExitCode, InputError, UnreachableError

TICK_S = 1.0
SILENT_TICKS = 60  # a piece is read from a local disk


def workspace(args: Namespace, output: Output) -> ExitCode:
    """List, show, export or remove."""
    if args.output is not None and args.action != "export":
        remedy = f"agentd workspace export {args.run or 'RUN'} -o FILE"
        raise InputError(f"workspace {args.action}: takes no -o", remedy)
    if args.action == "list":
        if args.run is not None:
            raise InputError("workspace list: takes no run", f"agentd workspace show {args.run}")
        return _list(args, output)
    if args.run is None:
        raise InputError(f"workspace {args.action}: of which run?", "see them: agentd workspace list")
    if args.action == "export":
        return _export(args, output)
    with Client(args.socket) as client:
        method = "workspace" if args.action == "show" else "workspace_remove"
        found = answers.document(client.call(method, {"run": args.run}))
    removed = [f"{answers.text(found, 'run')} removed"]
    output.answers([found], tables.workspace_lines(found, now_s=time.time()) if args.action == "show" else removed)
    return ExitCode.OK


def _list(args: Namespace, output: Output) -> ExitCode:
    with Client(args.socket) as client:
        found = answers.rows(answers.document(client.call("workspaces", {})), "workspaces")
    output.answers(found, tables.workspaces_lines(found, now_s=time.time()))
    return ExitCode.OK


def _export(args: Namespace, output: Output) -> ExitCode:
    if args.output is None:
        if output.is_json or os.isatty(sys.stdout.fileno()):
            remedy = command(args.socket, "workspace", "export", args.run, "-o", f"{args.run}.tar")
            raise InputError("workspace export: an archive is not shown, and no answer in JSON", remedy)
        told = _receive(args, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    else:
        told = _to_file(args)
    if output.is_json:
        output.document(told)
        return ExitCode.OK
    output.hint(f"{answers.text(told, 'entries')} entries, {answers.text(told, 'bytes')} bytes")
    if answers.number(told, "skipped"):
        output.hint(f"{answers.text(told, 'skipped')} left out: no files, links or directories, or beyond a bound")
    return ExitCode.OK


def _to_file(args: Namespace) -> answers.Document:
    """A new file, which is taken away again unless the archive is whole."""
    try:
        fd = os.open(args.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"-o {args.output}: {error.strerror}", "name a file that does not exist yet") from error
    with ExitStack() as unless_whole:
        unless_whole.callback(_forget, args.output)
        try:
            with os.fdopen(fd, "wb") as file:
                told = _receive(args, file.write)
        except OSError as error:
            raise InputError(f"-o {args.output}: {error.strerror}", "name a file where there is space") from error
        unless_whole.pop_all()
    return told


def _forget(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _receive(args: Namespace, write: Callable[[bytes], object]) -> answers.Document:
    """What the daemon told at the end. Raises what it raised, and UnreachableError when it falls silent."""
    silent = 0
    with Client(args.socket) as client:
        for message in client.stream("workspace_export", {"run": args.run}, tick_s=TICK_S):
            silent = silent + 1 if message is None else 0
            if isinstance(message, rpc.Response):
                return answers.document(message.result)
            if message is not None:
                write(base64.b64decode(answers.text(message.params, "data")))
            elif silent > SILENT_TICKS:
                raise UnreachableError(f"agentd at {args.socket} fell silent", command(args.socket, "doctor"))
    raise AssertionError("a stream ends with a response or an error")
