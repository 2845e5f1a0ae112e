"""The process of `agentd secrets`: root lists, sets and removes the secrets that agentd sends for agents.

Invariant: a value comes from standard input, is never an argument, never shown and in no file that others can read.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from aaos.broker.secrets import USE_SUFFIX, SecretStore
from aaos.core.config import load_settings
from aaos.core.errors import AaosError, DeniedError, ExitCode, InputError, NotFoundError
from aaos.core.ids import check_name
from aaos.core.schema import read_model
from aaos.core.secretuse import Use
from aaos.daemon.configure_ask import Console
from aaos.daemon.configure_files import Change, put_in_place, remove
from aaos.daemon.root_command import make_parser, run, tell
from aaos.llm.keys import MAX_KEY_BYTES, checked_key
from aaos.llm.types import Json


def main(words: Sequence[str]) -> int:
    """The exit status."""
    args = _parser().parse_args(words)
    return run(lambda: _run(args), is_json=args.json)


def _run(args: argparse.Namespace) -> ExitCode:
    store = SecretStore(load_settings(args.config).egress.secrets_dir, owner=os.geteuid())
    if os.geteuid() != 0:
        raise DeniedError(f"uid {os.geteuid()} may not look at secrets", "sudo agentd secrets list")
    match args.action:
        case "list":
            rows = [_row(store, name) for name in store.names()]
        case "set":
            rows = [_set(store, args)]
        case _:
            rows = [_remove(store, _named(args))]
    for row in rows:
        tell(json.dumps(row) if args.json else "  ".join(str(value) for value in row.values() if value))
    return ExitCode.OK


def _row(store: SecretStore, name: str) -> dict[str, Json]:
    """What is told of a secret: all but the secret."""
    try:
        use = store.read(name).use
    except AaosError as error:
        return {"name": name, "problem": error.message, "remedy": error.remedy}
    return {"name": name, "host": use.host, "header": use.header, "prefix": use.prefix.strip()}


def _set(store: SecretStore, args: argparse.Namespace) -> dict[str, Json]:
    """Both files are replaced, and in between there is no secret; whoever uses it next has the new one."""
    name = _named(args)
    if args.host is None:
        raise InputError("set: which host is it sent to?", f"sudo agentd secrets set {name} --host HOST[:PORT]")
    given = {key: value for key in ("host", "header", "prefix") if (value := getattr(args, key)) is not None}
    use = read_model(Use, given, source="agentd secrets set")
    if sys.stdin.isatty():
        data = Console().ask_secret(f"secret {name}:").encode()
    else:
        data = sys.stdin.buffer.read(MAX_KEY_BYTES + 3)
    key = checked_key(name, data, source="standard input")
    if name in store.names():
        remove(store.directory / f"{name}{USE_SUFFIX}")  # the new value never goes where the old one went
    lines = "".join(f"{field} = {json.dumps(value)}\n" for field, value in use.model_dump().items())
    put_in_place(
        [
            Change(store.directory / name, f"{key.reveal()}\n".encode(), 0o600),
            Change(store.directory / f"{name}{USE_SUFFIX}", lines.encode(), 0o600),
        ]
    )
    return _row(store, name)


def _remove(store: SecretStore, name: str) -> dict[str, Json]:
    if name not in store.names():
        raise NotFoundError(f"there is no secret {name}", "see those that there are: sudo agentd secrets list")
    for file in (store.directory / f"{name}{USE_SUFFIX}", store.directory / name):
        remove(file)
    return {"name": name, "state": "removed"}


def _named(args: argparse.Namespace) -> str:
    if args.name is None:
        raise InputError(f"{args.action}: which secret?", f"sudo agentd secrets {args.action} NAME")
    return check_name(args.name, "secret")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("secrets")
    parser.add_argument("action")
    parser.add_argument("name", nargs="?")
    for option in ("--host", "--header", "--prefix"):
        parser.add_argument(option)
    return parser
