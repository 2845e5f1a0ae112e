"""The process of `agentd configure`: its arguments, what it shows, and its exit status.

Invariant: every ending has an exit status of `ExitCode` and every error a remedy; with `--json` both are one document.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aaos.core.config import Settings, load_settings
from aaos.core.errors import AaosError, CancelledError, DeniedError, ExitCode
from aaos.core.role import Tier
from aaos.core.text import escape_for_terminal
from aaos.daemon import process
from aaos.daemon.configure import Work, configured
from aaos.daemon.configure_ask import Console
from aaos.daemon.configure_host import UNIT, Host
from aaos.daemon.configure_keys import KeySource, KeyStore
from aaos.daemon.configure_questions import Wanted
from aaos.daemon.configure_show import advice, keys_in_sight, settings_in_force
from aaos.llm.keys import KeyPlaces
from aaos.llm.types import Json


def main(words: Sequence[str]) -> int:
    """The exit status."""
    args = _parser().parse_args(words)
    try:
        process.harden()
        return _run(args)
    except AaosError as error:
        return _failed(error, is_json=args.json)
    except KeyboardInterrupt:
        return _failed(CancelledError("interrupted: nothing was changed"), is_json=args.json)


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
        _write(json.dumps(told))
        return
    _write(f"{told['provider']} answered as {told['model']} in {told['answered_in_s']} s")
    if told["key"]:
        _write(f"key {told['key']}: {told['key_file'] or 'the one that was there'}")
    _write(f"tier {told['tier']}: {told['name']}, in {', '.join(told['files'])}")
    _write(f"{UNIT} takes it from now on" if told["restarted"] else "agentd takes it when it starts again")


def _show(settings: Settings, config: Path | None, store: KeyStore, *, is_json: bool) -> ExitCode:
    for shown in (*settings_in_force(config), *keys_in_sight(settings, store)):
        _write(json.dumps(shown.view()) if is_json else shown.line())
    if not is_json and (hint := advice(settings)):
        _write(hint)
    return ExitCode.OK


def _failed(error: AaosError, *, is_json: bool) -> ExitCode:
    if is_json:
        _write(json.dumps({"error": {**error.to_wire(), "exit_code": int(error.exit_code)}}))
        return error.exit_code
    remedy = f"\n  try: {escape_for_terminal(error.remedy)}" if error.remedy else ""
    sys.stderr.write(f"agentd: {escape_for_terminal(error.message)}{remedy}\n")
    return error.exit_code


def _write(line: str) -> None:
    sys.stdout.write(f"{escape_for_terminal(line)}\n")


def _parser() -> argparse.ArgumentParser:
    """As the command line hands it on, which has explained and checked it."""
    parser = argparse.ArgumentParser(prog="agentd configure", allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    for option in ("--provider", "--model", "--tier", "--key-from-env"):
        parser.add_argument(option)
    parser.add_argument("--key-file", type=Path)
    for flag in ("--key-stdin", "--no-restart", "--show", "--json"):
        parser.add_argument(flag, action="store_true")
    return parser
