"""`agentd run`: this process becomes the daemon. Also the way in which `agentd doctor` looks at a machine without one.

Invariant: the daemon is a fresh interpreter (`-I`: no current directory, no user's site, no PYTHON* variables), so
nothing of the client's state or imports reaches it.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

import aaos
from aaos.cli.client import DEFAULT_SOCKET
from aaos.cli.output import Output
from aaos.cli.parser import absolute
from aaos.core.errors import ExitCode

BOOT = Path(aaos.__file__).parent / "daemon" / "boot.py"


def run(args: Namespace, output: Output) -> ExitCode:  # noqa: ARG001  # a command's shape
    """Serve in the foreground until stopped."""
    become_daemon("run", *daemon_options(args))


def daemon_options(args: Namespace) -> list[str]:
    """The options of `run` as the daemon takes them; what is not given stays a matter of the settings."""
    options = []
    for name, path in (("--config", args.config), ("--state-dir", args.state_dir)):
        if path is not None:
            options += [name, absolute(path)]
    if args.socket != DEFAULT_SOCKET:
        options += ["--socket", absolute(args.socket)]
    for layer in args.without:
        options += ["--without", layer]
    return options


def become_daemon(*words: str) -> NoReturn:
    """Replace this process by `python -I …/aaos/daemon/boot.py WORDS`, without `site` where this one is."""
    sys.stdout.flush()
    sys.stderr.flush()
    flags = "-IS" if sys.flags.no_site else "-I"
    os.execv(sys.executable, [sys.executable, flags, os.fspath(BOOT), *words])  # noqa: S606  # no shell is wanted
