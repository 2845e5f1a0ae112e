"""`agentd roles`, `tools`, `attest`, `doctor`, `selftest` and `version`: what there is, and whether the wall stands.

Invariant: a finding that is not ok shows in the exit status, a layer that the daemon does without on the screen.
"""

from argparse import Namespace

from aaos import __version__
from aaos.cli import answers, tables
from aaos.cli.client import Client
from aaos.cli.output import Output
from aaos.cli.parser import absolute
from aaos.cli.serve import become_daemon
from aaos.core.errors import ExitCode, InputError, UnreachableError


def roles(args: Namespace, output: Output) -> ExitCode:
    """The roles, and role files that were refused."""
    found = _ask(args, "roles")
    listed, refused = answers.rows(found, "roles"), answers.rows(found, "refused")
    output.answers((*listed, *refused), tables.role_lines(listed, refused))
    return ExitCode.OK


def tools(args: Namespace, output: Output) -> ExitCode:
    """The tools; or whether files are wrappers, which a process of its own says in place of this one."""
    if args.action is not None:
        if not args.files:
            raise InputError("tools validate: no file is named", "agentd tools validate FILE")
        flags = ["--json"] if output.is_json else []
        become_daemon("validate", *flags, *map(absolute, args.files))
    listed = answers.rows(_ask(args, "tools"), "tools")
    output.answers(listed, tables.tool_lines(listed))
    return ExitCode.OK


def attest(args: Namespace, output: Output) -> ExitCode:
    """Live workers, verified anew from outside; the daemon refuses when a layer of the policy does not hold."""
    kind = "run" if args.id.startswith("r") else "agent"
    with Client(args.socket) as client:
        found = answers.rows(answers.document(client.call("attest", {kind: args.id})), "attestations")
    lines = [line for attestation in found for line in (*tables.attestation_lines(attestation), "")]
    output.answers(found, lines[:-1] or ["no live agent in this run"])
    return ExitCode.OK


def doctor(args: Namespace, output: Output) -> ExitCode:
    """Findings of the daemon; without one, the same checks by a process of its own, which replaces this one."""
    try:
        found = answers.rows(_ask(args, "doctor"), "findings")
    except UnreachableError as error:
        output.hint(f"{error.message}; checking without it")
        flags = ["--json"] if output.is_json else []
        become_daemon("doctor", *flags)
    output.answers(found, tables.finding_lines(found))
    return ExitCode.OK if all(finding.get("ok") for finding in found) else ExitCode.UNCONFINED


def selftest(args: Namespace, output: Output) -> ExitCode:
    """Probes of this installation, as the daemon's own workers met them; one that was not stopped is a failure."""
    found = _ask(args, "selftest")
    output.answers([found], tables.selftest_lines(found))
    is_well = answers.number(found, "probes") > 0 and answers.number(found, "failed") == 0
    return ExitCode.OK if is_well else ExitCode.RUN_FAILED


def version(args: Namespace, output: Output) -> ExitCode:
    """This program's version, and the daemon's when one answers."""
    try:
        daemon = _ask(args, "version")
    except UnreachableError as error:
        daemon = {}
        reason = error.message
    if output.is_json:
        output.document({"client": __version__, "daemon": dict(daemon) or None})
        return ExitCode.OK
    output.line(f"agentd {__version__}")
    if not daemon:
        output.line(f"daemon: none ({reason})")
        return ExitCode.OK
    about = f"ABI {answers.text(daemon, 'abi')}, uid {answers.text(daemon, 'uid')}"
    output.line(f"daemon: {answers.text(daemon, 'version')}, {about}")
    if missing := answers.texts(daemon, "missing_layers"):
        output.line(f"! this agentd runs without {', '.join(missing)}: its operator chose so")
    return ExitCode.OK


def _ask(args: Namespace, method: str) -> answers.Document:
    with Client(args.socket) as client:
        return answers.document(client.call(method, {}))
