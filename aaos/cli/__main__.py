"""`agentd COMMAND`: one command from its arguments to its exit status.

Invariant: every ending has an exit status of `ExitCode`, and every error a message; a traceback is a defect. The module
of a command is imported when the command runs, so that none pays for another.
"""

import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from aaos.cli.output import Output, standard_output
from aaos.cli.parser import parse
from aaos.core.errors import AaosError, ExitCode

Command = Callable[[Namespace, Output], ExitCode]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    output = standard_output(is_json="--json" in words)
    try:
        args = parse(words)
        return command(args.command)(args, output)
    except AaosError as error:
        return _failed(output, error)
    except KeyboardInterrupt:
        return ExitCode.CANCELLED
    except BrokenPipeError:
        return _reader_is_gone()


def command(name: str) -> Command:
    """The function that does a command, imported now."""
    match name:
        case "run":
            from aaos.cli.serve import run

            return run
        case "configure" | "secrets":
            from aaos.cli import configure, secrets

            return configure.configure if name == "configure" else secrets.secrets
        case "submit":
            from aaos.cli.submit import submit

            return submit
        case "list" | "status" | "pause" | "resume" | "stop" | "logs":
            from aaos.cli import runs

            of_runs: dict[str, Command] = {
                "list": runs.list_runs,
                "status": runs.status,
                "pause": runs.pause,
                "resume": runs.pause,
                "stop": runs.stop,
                "logs": runs.logs,
            }
            return of_runs[name]
        case "roles" | "tools" | "attest" | "doctor" | "selftest" | "version":
            from aaos.cli import machine

            done_by: dict[str, Command] = {
                "roles": machine.roles,
                "tools": machine.tools,
                "attest": machine.attest,
                "doctor": machine.doctor,
                "selftest": machine.selftest,
                "version": machine.version,
            }
            return done_by[name]
        case "approvals" | "diff" | "workspace":
            return _of_traces(name)
        case "dev-provider":
            from aaos.cli.devprovider import dev_provider

            return dev_provider
        case _:
            raise AssertionError(f"the parser knows a command {name!r} that nothing does")


def _of_traces(name: str) -> Command:
    match name:
        case "approvals":
            from aaos.cli.approvals import approvals

            return approvals
        case "diff":
            from aaos.cli.diff import diff

            return diff
        case _:
            from aaos.cli.workspace import workspace

            return workspace


def _failed(output: Output, error: AaosError) -> int:
    try:
        output.error(error)
    except BrokenPipeError:
        return _reader_is_gone()
    return error.exit_code


def _reader_is_gone() -> int:
    """As a filter ends when nobody reads it any more: by SIGPIPE, without a word."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.raise_signal(signal.SIGPIPE)
    return ExitCode.INTERNAL


if __name__ == "__main__":
    sys.exit(main())
