"""The commands and their arguments; a wrong one is an error with the nearest right one.

Invariant: what is parsed is complete: no command asks for a default elsewhere. It must not open anything, nor print
anything but `--help`.
"""

import argparse
import os
import re
from collections.abc import Sequence
from typing import NoReturn

from aaos.cli.client import DEFAULT_SOCKET
from aaos.core.errors import InputError
from aaos.core.text import nearest, quoted

COMMANDS = {
    "run": "start the daemon in the foreground",
    "configure": "set up a language model and its key, or show the settings in force",
    "secrets": "list, set, allow or remove secrets that are sent for agents, which never see them",
    "submit": "give a goal and watch it being carried out",
    "list": "show the newest runs",
    "status": "show one run, its subtasks and its agents",
    "pause": "let a run or one agent stand still",
    "resume": "go on with a paused run or agent",
    "stop": "stop a run",
    "logs": "show what happened in a run",
    "diff": "show what a run changed, as agentd saw it",
    "workspace": "list, show, export or remove the workspaces of runs",
    "approvals": "see what waits for an approval, and approve or deny it",
    "roles": "show the roles that agents can have",
    "tools": "show the tools that agents can be granted",
    "attest": "show what confines a live agent, verified anew",
    "doctor": "check this machine",
    "selftest": "try to get out of workers in some 250 ways and of cells in some 210, and show what stopped each",
    "dev-provider": "play a script as a language model, for trying roles without one",
    "version": "show the versions of this program and of the daemon",
}
MAX_TOKENS = 2**31 - 1
MAX_USD = 1_000_000
MAX_ROWS = 10_000
_UNITS = {"M": 2**20, "G": 2**30}
EPILOG = "Ids may be shortened as long as they are unique. Exit codes: see agentd(1)."


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, f"{self.prog} --help")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """`command` and what belongs to it. Raises InputError; `--help` prints and leaves."""
    _check_command(arguments)
    args, unknown = command_parser().parse_known_args(arguments)
    if unknown:
        raise InputError(f"{args.command}: no argument {quoted(unknown[0])}", f"agentd {args.command} --help")
    return args


def absolute(path: str) -> str:
    """`path` as the daemon needs it, which has another working directory; not resolved, so links stay visible."""
    return path if path.startswith("/") else os.path.join(os.getcwd(), path)


def _check_command(arguments: Sequence[str]) -> None:
    """argparse would list all commands for a misspelt one; name the nearest instead."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--socket":
            next(rest, None)
        elif not argument.startswith("-"):
            if argument not in COMMANDS:
                near = nearest(argument, COMMANDS)
                raise InputError(f"no command {quoted(argument)}", f"agentd {near or '--help'}")
            return


def command_parser() -> _Parser:
    """All commands with their arguments, as the completion of shells is made of them, too."""
    shared = _Parser(add_help=False, allow_abbrev=False)
    _add_shared(shared, socket=argparse.SUPPRESS, is_json=argparse.SUPPRESS)  # absent: what stood before the command
    parser = _Parser(prog="agentd", description="An operating system for AI agents.", epilog=EPILOG, allow_abbrev=False)
    _add_shared(parser, socket=DEFAULT_SOCKET, is_json=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    made = {
        name: commands.add_parser(name, help=about, description=about, parents=[shared], allow_abbrev=False)
        for name, about in COMMANDS.items()
    }
    _run(made["run"])
    _configure(made["configure"])
    _secrets(made["secrets"])
    _submit(made["submit"])
    made["list"].add_argument("-n", "--limit", type=_rows, default=20, metavar="N", help="at most N runs (20)")
    for name in ("status", "stop", "diff"):
        made[name].add_argument("run", metavar="RUN", help="a run, by an unambiguous beginning of its id")
    made["logs"].add_argument(
        "run", metavar="RUN", nargs="?", help="a run; without it, and with -f, all runs (root, aaos-admin)"
    )
    made["logs"].add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    made["logs"].add_argument("-a", "--all", action="store_true", help="every event with all its fields")
    _workspace(made["workspace"])
    _approvals(made["approvals"])
    _tools(made["tools"])
    for name in ("attest", "pause", "resume"):
        made[name].add_argument("id", metavar="AGENT|RUN", help="an agent, or a run for all its live agents")
    _dev_provider(made["dev-provider"])
    return parser


def _add_shared(parser: argparse.ArgumentParser, *, socket: str, is_json: bool | str) -> None:
    parser.add_argument("--socket", metavar="PATH", default=socket, help=f"the daemon's socket ({DEFAULT_SOCKET})")
    parser.add_argument(
        "--json", action="store_true", default=is_json, help="answer in JSON, one document on each line"
    )


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings (/etc/aaos/agentd.toml)")
    parser.add_argument("--state-dir", metavar="DIR", help="where the daemon keeps its state")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="LAYER",
        help="do without a layer of the wall; said loudly and recorded as confinement.reduced",
    )


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings of another daemon (/etc/aaos/agentd.toml)")
    parser.add_argument("--provider", metavar="NAME", help="a provider of models.yaml, or a kind of server")
    parser.add_argument("--model", metavar="NAME", help="a model of models.yaml, or as its server calls it")
    parser.add_argument("--tier", choices=("T1", "T2", "T3"), help="local, cloud, large cloud; else where it suits")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--key-from-env", metavar="VAR", help="take the key from this environment variable")
    keys.add_argument("--key-file", metavar="FILE", help="take the key from this file")
    keys.add_argument("--key-stdin", action="store_true", help="take the key from standard input")
    parser.add_argument("--no-restart", action="store_true", help="leave it to you to start agentd again")
    parser.add_argument("--show", action="store_true", help="show the settings in force and where they come from")


def _secrets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        default="list",
        choices=("list", "set", "allow", "rm"),
        help="set takes the value from standard input",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="with set, allow and rm: the secret")
    parser.add_argument("--host", metavar="HOST[:PORT]", help="with set: the one host that it is sent to, over TLS")
    parser.add_argument("--header", metavar="HEADER", help="with set: the header that carries it (Authorization)")
    parser.add_argument("--prefix", metavar="TEXT", help="with set: what stands before it in the header ('Bearer ')")
    for name in ("user", "group"):
        about = f"with set and allow: a {name} that may use it, beside those who administer"
        parser.add_argument(f"--{name}", metavar="NAME", action="append", default=[], help=about)
    parser.add_argument("--config", metavar="FILE", help="settings of another daemon (/etc/aaos/agentd.toml)")


def _submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("goal", metavar="GOAL", help="what is to be done, in words; paths and pages in it are granted")
    _grants(parser)
    parser.add_argument(
        "--workspace",
        type=_size,
        nargs="?",
        const=0,
        metavar="SIZE",
        help="give the run a file system of its own, such as 512M or 4G; {workspace} in the goal is its path",
    )
    parser.add_argument("--program", metavar="FILE", help="run this Python file as the agent, in a worker")
    parser.add_argument("--role", metavar="NAME", help="give the work to agents of this role, in place of analyzer")
    parser.add_argument(
        "--orchestration",
        choices=("plan", "direct"),
        help="let a model plan it, or one agent do it; without this, goals of known shapes are planned by code",
    )
    parser.add_argument("--wall", type=_positive, metavar="SECONDS", help="stop the run after this time")
    parser.add_argument("--max-tokens", type=_tokens, metavar="N", help="spend at most N tokens of models (2000000)")
    parser.add_argument("--max-usd", type=_usd, metavar="X", help="spend at most X US dollars on models (5)")
    parser.add_argument("--detach", action="store_true", help="print the run's id and return")


def _grants(parser: argparse.ArgumentParser) -> None:
    for name, about in (("read", "reading"), ("write", "writing")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="PATH",
            help=f"grant {about} PATH; a directory with all in it",
        )
    parser.add_argument(
        "--net",
        action="append",
        default=[],
        metavar="HOST[:PORT][/PATH]",
        help="grant fetching pages from HOST, and not those that the goal names; port 443 and all paths unless given",
    )
    parser.add_argument(
        "--connect",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="let programs that tools start connect to HOST; port 443 unless given",
    )
    parser.add_argument("--tool", action="append", default=[], metavar="NAME", help="grant a tool by name")
    parser.add_argument(
        "--ask", action="append", default=[], metavar="NAME", help="each call of this tool waits for an approval"
    )
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME",
        help="grant sending a secret to the host that it is for",
    )


def _workspace(parser: argparse.ArgumentParser) -> None:
    actions = ("list", "show", "export", "rm")
    parser.add_argument("action", nargs="?", choices=actions, default="list", help="what to do (list)")
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run, by an unambiguous beginning of its id")
    parser.add_argument("-o", "--output", metavar="FILE", help="with export: write the tar archive to this new file")


def _approvals(parser: argparse.ArgumentParser) -> None:
    actions = ("list", "show", "approve", "deny", "watch")
    parser.add_argument("action", nargs="?", choices=actions, default="list", help="what to do (list)")
    parser.add_argument("id", nargs="?", metavar="ID", help="an approval, by an unambiguous beginning of its id")
    parser.add_argument("-a", "--all", action="store_true", help="with list: those that are settled, too")
    parser.add_argument("--digest", metavar="HEX", help="approve or deny only what has this digest")
    parser.add_argument("--reason", default="", metavar="TEXT", help="what the agent and the audit are told")


def _tools(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("validate",), help="check files of wrapped programs")
    parser.add_argument("files", nargs="*", metavar="FILE", help="with validate: the files")


def _dev_provider(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--script", metavar="FILE", required=True, help="what the model says, in YAML")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="the port on 127.0.0.1 (a free one)")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65_536):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a port from 1 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= 30 * 86_400):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number from 1 to {30 * 86_400}")
    return int(text)


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= MAX_ROWS):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number from 1 to {MAX_ROWS}")
    return int(text)


def _size(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([MG])", text, re.ASCII)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a size such as 512M or 4G; a goal stands before it")
    return int(found[1]) * _UNITS[found[2]]


def _tokens(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= MAX_TOKENS):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a whole number from 1 to {MAX_TOKENS}")
    return int(text)


def _usd(text: str) -> float:
    if not (re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?", text, re.ASCII) and 0 < float(text) <= MAX_USD):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not an amount of up to {MAX_USD}, such as 2.50")
    return float(text)
