"""`agentd submit`: a goal, what is granted for it, and the run that comes of it.

Invariant: the goal's own paths and the grants are echoed before anything runs, as the daemon understood them. A program
is opened here, with the operator's own rights, never by the daemon.
"""

import os
import stat
from argparse import Namespace

from aaos.cli import answers, render
from aaos.cli.client import Client
from aaos.cli.follow import Follower
from aaos.cli.output import Output
from aaos.core import rpc
from aaos.core.errors import ExitCode, InputError

PROGRAM_BYTES = 262_144
BY_MODEL = "model"  # the shape of a plan that is still to be made


def submit(args: Namespace, output: Output) -> ExitCode:
    """Submit, echo, then follow the run unless `--detach`."""
    params = submission(args)
    with Client(args.socket) as client:
        accepted = answers.document(client.call("submit", params))
    run = answers.text(accepted, "run")
    follower = Follower(args.socket, output, echoed=echoed(accepted))
    if output.is_json:
        output.document(accepted)
    elif args.detach:
        for line in echo_lines(accepted):
            output.hint(line)
        output.line(run)
    else:
        for line in echo_lines(accepted):
            output.line(line)
    if args.detach:
        output.hint(f"follow it: {follower.command('logs', '-f', run)}")
        return ExitCode.OK
    return follower.follow(run)


def submission(args: Namespace) -> dict[str, rpc.Json]:
    """The request's parameters. Raises InputError for an empty goal, and for a program that can't be read."""
    if not args.goal.strip():
        raise InputError("the goal is empty", 'say what to do: agentd submit "summarise /etc/services"')
    params: dict[str, rpc.Json] = {
        "goal": args.goal,
        "cwd": os.getcwd(),
        "read": list(args.read),
        "write": list(args.write),
        "net": list(args.net),
        "connect": list(args.connect),
        "tool": list(args.tool),
    }
    if args.ask:
        params["ask"] = list(args.ask)
    if args.secret:
        params["secret"] = list(args.secret)
    if args.workspace is not None:
        params["workspace"] = args.workspace
    if args.program is not None:
        params["program"] = read_program(args.program)
    if args.role is not None:
        params["role"] = args.role
    if args.wall is not None:
        params["wall_s"] = args.wall
    if args.orchestration is not None:
        params["orchestration"] = args.orchestration
    if args.max_tokens is not None:
        params["max_tokens"] = args.max_tokens
    if args.max_usd is not None:
        params["max_usd"] = args.max_usd
    return params


def echoed(accepted: answers.Document) -> frozenset[str]:
    """The events whose sense the operator has seen already: the plan as well, unless a model makes it first."""
    is_planned = answers.text(answers.inner(accepted, "plan"), "shape") != BY_MODEL
    return frozenset({"run.submitted", "workspace.made", *(("run.planned",) if is_planned else ())})


def echo_lines(accepted: answers.Document) -> list[str]:
    """The run's id, its envelope and its plan."""
    plan = answers.inner(accepted, "plan")
    return [
        f"run {answers.text(accepted, 'run')}",
        *([f"  workspace {workspace}"] if (workspace := answers.text(accepted, "workspace")) else []),
        *(f"  {line}" for line in answers.texts(accepted, "envelope")),
        *(render.plan_lines(plan, answers.rows(plan, "subtasks")) if plan else []),
    ]


def read_program(path: str) -> str:
    """The text of a program file: a regular file of at most PROGRAM_BYTES, UTF-8 without NUL. Raises InputError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise InputError(f"--program {path}: not a regular file", "name a file of Python source")
            data = file.read(PROGRAM_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a path can't hold a NUL"
        raise InputError(f"--program {path}: {reason}", "name a file of Python source that you can read") from error
    if len(data) > PROGRAM_BYTES:
        raise InputError(f"--program {path}: more than {PROGRAM_BYTES} bytes", "make the program smaller")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"--program {path}: not UTF-8 at byte {error.start}", "save the file as UTF-8") from error
    if not text or "\0" in text:
        raise InputError(f"--program {path}: empty, or holds a NUL", "name a file of Python source")
    return text
