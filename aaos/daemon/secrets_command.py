"""The process of `agentd secrets`: root lists, sets, allows and removes the secrets that agentd sends for agents.

Invariant: a value comes from standard input, is never an argument, never shown and in no file that others can read.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from aaos.broker.secrets import USE_SUFFIX, SecretStore, group_id, user_id
from aaos.core.config import load_settings
from aaos.core.errors import AaosError, DeniedError, ExitCode, InputError, NotFoundError, ProviderError
from aaos.core.ids import check_name
from aaos.core.schema import read_model
from aaos.core.secretuse import Use
from aaos.daemon.configure_ask import Console
from aaos.daemon.configure_files import Change, put_in_place, remove
from aaos.daemon.root_command import make_parser, run, tell
from aaos.llm.keys import KEY_FORM, MAX_KEY_BYTES, Key, checked_key
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
        case "allow":
            rows = [_allow(store, args)]
        case _:
            rows = [_remove(store, _named(args))]
    for row in rows:
        tell(json.dumps(row) if args.json else "  ".join(str(value).strip() for value in row.values() if value))
    if not rows and not args.json:
        tell("no secrets are kept")
    return ExitCode.OK


def _row(store: SecretStore, name: str) -> dict[str, Json]:
    """What is told of a secret: all but the secret."""
    try:
        use = store.read(name).use
    except AaosError as error:
        return {"name": name, "problem": error.message, "remedy": error.remedy}
    accounts = [*use.users, *(f"@{group}" for group in use.groups)]
    shown = {"name": name, "host": use.host, "header": use.header, "prefix": use.prefix}
    return {**shown, "for": " ".join(accounts)}


def _set(store: SecretStore, args: argparse.Namespace) -> dict[str, Json]:
    """Both files are replaced, and in between there is no secret: neither value ever goes where the other one goes,
    whenever this ends. Whoever uses it next has the new one."""
    name = _named(args)
    if args.host is None:
        raise InputError("set: which host is it sent to?", f"sudo agentd secrets set {name} --host HOST[:PORT]")
    given = {key: value for key in ("host", "header", "prefix") if (value := getattr(args, key)) is not None}
    use = read_model(Use, {**given, **_accounts(args)}, source="agentd secrets set")
    if sys.stdin.isatty():
        data = Console().ask_secret(f"secret {name}:").encode()
    else:
        data = sys.stdin.buffer.read(MAX_KEY_BYTES + 3)
    key = _checked(name, data, args)
    for file in _left(store, name):
        remove(file)
    put_in_place([Change(store.directory / name, f"{key.reveal()}\n".encode(), 0o600), _written(store, name, use)])
    return _row(store, name)


def _checked(name: str, data: bytes, args: argparse.Namespace) -> Key:
    try:
        return checked_key(name, data, source="standard input")
    except ProviderError as error:
        message = f"standard input: does not hold a secret, which is {KEY_FORM}"
        raise InputError(message, f"sudo agentd secrets {shlex.join(_again(name, args))}") from error


def _again(name: str, args: argparse.Namespace) -> list[str]:
    """The words of a `set` as they were given."""
    options = ("config", "host", "header", "prefix")
    words = [str(word) for key in options if (value := getattr(args, key)) is not None for word in (f"--{key}", value)]
    words += [word for key in ("user", "group") for value in getattr(args, key) for word in (f"--{key}", value)]
    return ["set", name, *words]


def _allow(store: SecretStore, args: argparse.Namespace) -> dict[str, Json]:
    """Whom it is for, anew; its value stays."""
    name = _named(args)
    if name not in store.names():
        raise _missing(name)
    use = store.use(name).model_dump() | {"users": (), "groups": ()} | _accounts(args)
    put_in_place([_written(store, name, read_model(Use, use, source="agentd secrets allow"))])
    return _row(store, name)


def _remove(store: SecretStore, name: str) -> dict[str, Json]:
    files = _left(store, name)
    if not files:
        raise _missing(name)
    for file in files:
        remove(file)
    return {"name": name, "state": "removed"}


def _left(store: SecretStore, name: str) -> list[Path]:
    """What there is of a secret, what it is for first; also what a command left that was killed."""
    kept = [store.directory / f"{name}{USE_SUFFIX}", store.directory / name]
    return [*filter(os.path.lexists, kept), *store.directory.glob(f".{name}.*")]


def _written(store: SecretStore, name: str, use: Use) -> Change:
    lines = "".join(f"{field} = {json.dumps(value)}\n" for field, value in use.model_dump().items())
    return Change(store.directory / f"{name}{USE_SUFFIX}", lines.encode(), 0o600)


def _accounts(args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """The users and groups that were named. Raises NotFoundError for one that there is not: a slip would hide."""
    looked = (("user", args.user, user_id, "passwd"), ("group", args.group, group_id, "group"))
    for kind, names, found, database in looked:
        for name in names:
            if found(name) is None:
                raise NotFoundError(f"there is no {kind} {name}", f"see those that there are: getent {database}")
    return {"users": tuple(args.user), "groups": tuple(args.group)}


def _missing(name: str) -> NotFoundError:
    return NotFoundError(f"there is no secret {name}", "see those that there are: sudo agentd secrets list")


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
    for option in ("--user", "--group"):
        parser.add_argument(option, action="append", default=[])
    return parser
