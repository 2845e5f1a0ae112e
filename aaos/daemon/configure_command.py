"""The process of `agentd configure`: its arguments and what it shows."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aaos.core.config import Settings, load_settings
from aaos.core.errors import DeniedError, ExitCode
from aaos.core.role import Tier
from aaos.daemon.configure import Work, configured
from aaos.daemon.configure_ask import Console
from aaos.daemon.configure_host import UNIT, Host
from aaos.daemon.configure_keys import KeySource, KeyStore
from aaos.daemon.configure_questions import Wanted
from aaos.daemon.configure_show import advice, keys_in_sight, settings_in_force
from aaos.daemon.root_command import make_parser, run, tell
from aaos.llm.keys import KeyPlaces
from aaos.llm.types import Json


def main(words: Sequence[str]) -> int:
    """The exit status."""
    args = _parser().parse_args(words)
    return run(lambda: _run(args), is_json=args.json)


def _run(args: argparse.Namespace) -> ExitCode:
    settings = load_settings(args.config)
    host = Host() if args.config is None else None  # other settings are not those of the unit
    store = KeyStore(KeyPlaces(settings.models.keys_dir), host)
    if args.show:
        return _show(settings, args.config, store, is_json=args.json)
    if os.geteuid() != 0:
        raise DeniedError(f"uid {os.geteuid()} may not change settings and keys", "sudo agentd configure")
    wanted = Wanted(args.provider, args.model, Tier(args.tier) if args.tier else None)
    is_terminal = sys.stdin.isatty()  # which would echo a key that is read as a pipe's content
    source = KeySource(args.key_from_env, args.key_file, args.key_stdin and not is_terminal)
    terminal = Console() if is_terminal else None
    told = configured(Work(args.config, wanted, source, store, terminal=terminal), settings)
    told["restarted"] = host is not None and not args.no_restart and host.restart()
    _tell(told, is_json=args.json)
    return ExitCode.OK


def _tell(told: Mapping[str, Json], *, is_json: bool) -> None:
    if is_json:
        tell(json.dumps(told))
        return
    tell(f"{told['provider']} answered as {told['model']} in {told['answered_in_s']} s")
    if told["key"]:
        tell(f"key {told['key']}: {told['key_file'] or 'the one that was there'}")
    tell(f"tier {told['tier']}: {told['name']}, in {', '.join(told['files'])}")
    tell(f"{UNIT} takes it from now on" if told["restarted"] else "agentd takes it when it starts again")


def _show(settings: Settings, config: Path | None, store: KeyStore, *, is_json: bool) -> ExitCode:
    for shown in (*settings_in_force(config), *keys_in_sight(settings, store)):
        tell(json.dumps(shown.view()) if is_json else shown.line())
    if not is_json and (hint := advice(settings)):
        tell(hint)
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("configure")
    for option in ("--provider", "--model", "--tier", "--key-from-env"):
        parser.add_argument(option)
    parser.add_argument("--key-file", type=Path)
    for flag in ("--key-stdin", "--no-restart", "--show"):
        parser.add_argument(flag, action="store_true")
    return parser
