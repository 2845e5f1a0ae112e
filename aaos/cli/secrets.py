"""`agentd secrets`: hands over to a process that may read and write secrets; this one never sees one.

Invariant: what is handed on holds names, hosts and headers only; the value stays in standard input.
"""

from argparse import Namespace

from aaos.cli.output import Output
from aaos.cli.parser import absolute
from aaos.cli.serve import become_daemon
from aaos.core.errors import ExitCode


def secrets(args: Namespace, output: Output) -> ExitCode:
    """List, set, allow or remove secrets."""
    become_daemon("secrets", *secrets_options(args, is_json=output.is_json))


def secrets_options(args: Namespace, *, is_json: bool) -> list[str]:
    """The options as the other process takes them; a value keeps its option, so that it can't pass for another."""
    said = {name: getattr(args, name) for name in ("host", "header", "prefix")}
    said |= {"config": absolute(args.config) if args.config else None}
    options = [f"--{name}={value}" for name, value in said.items() if value is not None]
    options += [f"--{name}={value}" for name in ("user", "group") for value in getattr(args, name)]
    return [*options, *(["--json"] if is_json else []), "--", args.action, *([args.name] if args.name else [])]
