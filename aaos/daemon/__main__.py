"""`python -m aaos.daemon`: `run` is the daemon in the foreground, until SIGTERM or SIGINT; `doctor` looks without one,
`configure` sets one up, `secrets` keeps secrets, and `validate` reads files of wrapped programs.

Invariant: whatever ends the daemon, runs are stopped, workers gone and the state closed within ten seconds; an error at
the start is one line with its remedy and the documented exit status, never a traceback.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aaos.core.config import Settings, load_settings
from aaos.core.errors import AaosError, ExitCode, InputError
from aaos.core.events import Event, EventKind
from aaos.core.layers import Layer
from aaos.core.rolefile import load_roles
from aaos.core.text import escape_for_terminal, suggestion
from aaos.daemon import configure_command, process, secrets_command, systemd, validate
from aaos.daemon.configure_host import Host
from aaos.daemon.doctor import Doctor
from aaos.daemon.polling import make_loop
from aaos.daemon.validate import OWN_NAMES
from aaos.daemon.wiring import Daemon, Options, assembled
from aaos.sandbox.probe import probe, require_machine
from aaos.tools.wrapperfile import load_wrappers

_TICK_S = 1.0
_STOP_S = 9.0
_log = logging.getLogger("agentd")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="agentd: %(levelname)s: %(message)s")
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["configure"]:
        return configure_command.main(words[1:])
    if words[:1] == ["secrets"]:
        return secrets_command.main(words[1:])
    if words[:1] == ["validate"]:
        return validate.main(words[1:])
    try:
        args = _parser().parse_args(words)
        settings = load_settings(args.config)
        if args.command == "doctor":
            return _examine(settings, is_json=args.json)
        process.harden()
        process.raise_open_files()
        with asyncio.Runner(loop_factory=make_loop) as runner:
            return runner.run(_serve(_options(args, settings)))
    except AaosError as error:
        _complain(error)
        return error.exit_code


async def _serve(options: Options) -> ExitCode:
    _warn_reduced(options.without)
    require_machine(options.settings, options.without)
    process.own_mounts()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with assembled(options) as daemon:
        _log.info("listening at %s, state in %s", options.socket, options.state_dir)
        await _until(stop, daemon)
    return ExitCode.OK


async def _until(stop: asyncio.Event, daemon: Daemon) -> None:
    """Serve until `stop`, then end every run."""
    async with asyncio.TaskGroup() as group:
        daemon.live.open(group)
        supervised = (daemon.launcher.supervise(), daemon.egress.supervise(), daemon.keeping.supervise())
        lasting = (_tick(daemon), systemd.watchdog(), *supervised)
        ticking = [group.create_task(task) for task in lasting]
        systemd.ready("serving")
        await stop.wait()
        _log.info("stopping")
        systemd.stopping()
        daemon.audit.record(Event(EventKind.DAEMON_STOPPING, fields={"runs": len(daemon.live)}))
        began_s = time.monotonic()
        await daemon.server.close()
        await daemon.live.close(timeout_s=_STOP_S)
        _log.info("stopped in %.1f s", time.monotonic() - began_s)
        for task in ticking:
            task.cancel()


async def _tick(daemon: Daemon) -> None:
    """Counts of suppressed and lost events are told when a flood has ended, ends of runs when there is space again."""
    while True:
        await asyncio.sleep(_TICK_S)
        daemon.live.settle()
        try:
            daemon.audit.tick()
        except AaosError as error:
            _log.error("audit: %s; %s", error.message, error.remedy)


def _options(args: argparse.Namespace, settings: Settings) -> Options:
    return Options(
        settings=settings,
        state_dir=args.state_dir or settings.daemon.state_dir,
        socket=args.socket or settings.daemon.socket,
        is_private=args.socket is not None,
        without=frozenset(_layer(name) for name in args.without),
        passed=systemd.passed_sockets(),
    )


def _examine(settings: Settings, *, is_json: bool) -> ExitCode:
    """Findings about this machine, as lines or as one JSON object per line."""
    state_dir = next(path for path in (settings.daemon.state_dir, *settings.daemon.state_dir.parents) if path.exists())
    roles, host = load_roles(settings.roles.dirs), Host()
    wrappers = load_wrappers(settings.wrappers.dirs, taken=OWN_NAMES)
    stores = (host.credstore, host.plain_credstore)
    doctor = Doctor(settings, roles, wrappers, state_dir=state_dir, probe=lambda: probe(settings), stores=stores)
    findings = doctor.examine()
    for finding in findings:
        if is_json:
            line = json.dumps(finding.view())
        else:
            remedy = "" if finding.is_ok else f"\n     {finding.remedy}"
            line = escape_for_terminal(f"{'ok ' if finding.is_ok else 'BAD'}  {finding.name}: {finding.detail}")
            line += escape_for_terminal(remedy, keep_newlines=True)
        sys.stdout.write(f"{line}\n")
    return ExitCode.OK if all(finding.is_ok for finding in findings) else ExitCode.UNCONFINED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentd run", description="The daemon, in the foreground.", allow_abbrev=False
    )
    parser.add_argument("command", nargs="?", choices=("run", "doctor"), default="run")
    parser.add_argument("--config", type=_path, metavar="FILE", help="settings in place of /etc/aaos/agentd.toml")
    parser.add_argument("--state-dir", "--state", type=_path, metavar="DIR", help="where the state is kept")
    parser.add_argument("--socket", type=_path, metavar="PATH", help="where to listen; serves this uid too")
    parser.add_argument(
        "--without",
        "--without-layer",
        action="append",
        default=[],
        metavar="LAYER",
        help="do without a layer of the wall",
    )
    parser.add_argument("--json", action="store_true", help="doctor: findings as JSON")
    return parser


def _path(text: str) -> Path:
    return Path(os.path.abspath(text))


def _layer(name: str) -> Layer:
    try:
        return Layer(name)
    except ValueError as error:
        raise InputError(
            f"--without {name[:80]}: there is no such layer", suggestion(name, [str(layer) for layer in Layer])
        ) from error


def _warn_reduced(without: frozenset[Layer]) -> None:
    if without:
        names = ", ".join(sorted(without))
        _log.warning("CONFINEMENT IS REDUCED: agents run WITHOUT %s, as the command line asked", names)


def _complain(error: AaosError) -> None:
    sys.stderr.write(f"agentd: {escape_for_terminal(error.message)}\n")
    if error.remedy:
        sys.stderr.write(f"  try: {escape_for_terminal(error.remedy)}\n")


if __name__ == "__main__":
    sys.exit(main())
