"""`agentd configure`: hands over to a process that may read settings and write keys; this one never sees a key.

Invariant: what is handed on holds names and paths only. An environment variable stays where it is until that process
reads the one that was named.
"""

from argparse import Namespace

from aaos.cli.output import Output
from aaos.cli.parser import absolute
from aaos.cli.serve import become_daemon
from aaos.core.errors import ExitCode


def configure(args: Namespace, output: Output) -> ExitCode:
    """Set up the model of a tier, or show the settings in force."""
    become_daemon("configure", *configure_options(args, is_json=output.is_json))


def configure_options(args: Namespace, *, is_json: bool) -> list[str]:
    """The options as the other process takes them; a value keeps its option, so that it can't pass for another."""
    said = {name: getattr(args, name) for name in ("provider", "model", "tier", "key_from_env")}
    said |= {name: absolute(path) for name in ("config", "key_file") if (path := getattr(args, name))}
    flags = {"--key-stdin": args.key_stdin, "--no-restart": args.no_restart, "--show": args.show, "--json": is_json}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in said.items() if value is not None]
    return [*options, *(flag for flag, is_set in flags.items() if is_set)]
