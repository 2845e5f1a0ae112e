"""What the processes of commands that root runs have in common: how they begin, what they tell, how they end.

Invariant: every ending has an exit status of `ExitCode` and every error a remedy; with `--json` both are one document.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from aaos.core.errors import AaosError, CancelledError, ExitCode
from aaos.core.text import escape_for_terminal
from aaos.daemon import process


def make_parser(name: str) -> argparse.ArgumentParser:
    """Of what the command line hands on, which has explained and checked it: the options that all of them have."""
    parser = argparse.ArgumentParser(prog=f"agentd {name}", allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--json", action="store_true")
    return parser


def run(work: Callable[[], ExitCode], *, is_json: bool) -> int:
    """The exit status of `work`, in a process into which nobody else looks."""
    try:
        process.harden()
        return work()
    except AaosError as error:
        return _failed(error, is_json=is_json)
    except KeyboardInterrupt:
        return _failed(CancelledError("interrupted: nothing was changed"), is_json=is_json)


def tell(line: str) -> None:
    """One line for whoever runs it; nothing in it moves their cursor."""
    sys.stdout.write(f"{escape_for_terminal(line)}\n")


def _failed(error: AaosError, *, is_json: bool) -> ExitCode:
    if is_json:
        tell(json.dumps({"error": {**error.to_wire(), "exit_code": int(error.exit_code)}}))
        return error.exit_code
    remedy = f"\n  try: {escape_for_terminal(error.remedy)}" if error.remedy else ""
    sys.stderr.write(f"agentd: {escape_for_terminal(error.message)}{remedy}\n")
    return error.exit_code
