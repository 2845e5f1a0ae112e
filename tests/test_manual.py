"""The manual pages tell of every command, option, setting and key of a role, of none else, with the true defaults."""

import argparse
import dataclasses
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from aaos.cli.parser import command_parser
from aaos.core import rolefile
from aaos.core.capability import Kind
from aaos.core.config import ConfinementSettings, Settings, load_settings
from aaos.core.constraint import KEYS
from aaos.core.errors import ExitCode
from aaos.core.role import ParameterType
from aaos.daemon.configure_host import Host
from aaos.daemon.params import SubmitParams
from aaos.daemon.validate import OWN_NAMES
from aaos.store import journal
from aaos.tools import wrapperfile
from aaos.tools.wrapper import Limits, ParameterKind, PathUse

ROOT = Path(__file__).parent.parent
SETTINGS = (ROOT / "docs/agentd.toml.5.md").read_text(encoding="utf-8")
ROLES = (ROOT / "docs/aaos-roles.5.md").read_text(encoding="utf-8")
WRAPPERS = (ROOT / "docs/aaos-wrappers.5.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs/operator-protocol.md").read_text(encoding="utf-8")
COMMAND = (ROOT / "docs/agentd.1.md").read_text(encoding="utf-8")
SERVICE = (ROOT / "docs/agentd.8.md").read_text(encoding="utf-8")
UNITS = {kind: (ROOT / f"packaging/debian/aaos.agentd.{kind}").read_text("utf-8") for kind in ("service", "socket")}
SHIPPED = (ROOT / "packaging/debian/agentd.toml").read_text(encoding="utf-8")
PACKAGED_USER = "aaos-egress"  # what the package sets, since it makes that user
NOT_SET = "not set"

_SECTION = re.compile(r"^#+ \[?([A-Za-z ]+)\]?\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
_TERM = re.compile(r"^`([^`]+)`( \(not set\))?\n:   \S", re.MULTILINE)
_EXAMPLE = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)


def test_the_page_of_settings_has_every_key_with_its_default() -> None:
    """OPS-5"""
    described = {name: dict(_described(text)) for name, text in _SECTION.findall(SETTINGS) if name.islower()}
    assert described == _defaults()


def test_the_examples_of_settings_are_settings(tmp_path: Path) -> None:
    """OPS-5"""
    examples = list(_examples(SETTINGS))
    assert len(examples) == 2
    for text in examples:
        file = tmp_path / "agentd.toml"
        file.write_text(text)
        assert load_settings(file) != Settings()


def test_the_shipped_settings_are_the_defaults(tmp_path: Path) -> None:
    """OPS-5: but for the user of the egress, whom the package makes."""
    file = tmp_path / "agentd.toml"
    file.write_text(SHIPPED)
    shipped = load_settings(file)
    assert shipped.egress.user == PACKAGED_USER
    assert shipped == Settings(egress=shipped.egress)
    assert shipped.egress == Settings().egress.model_copy(update={"user": PACKAGED_USER})


def test_the_shipped_settings_show_every_key_with_its_default() -> None:
    """OPS-5: each line that is commented out would change nothing."""
    shown = tomllib.loads(re.sub(r"^#(?=\w+ = )", "", SHIPPED, flags=re.MULTILINE))
    expected = {
        section: {key: value for key, value in keys.items() if value != NOT_SET}
        for section, keys in _defaults().items()
    }
    expected["egress"]["user"] = PACKAGED_USER
    del expected["confinement"]["require"]  # it cannot be changed
    assert shown == expected


def test_the_page_of_roles_has_every_key() -> None:
    """RUN-2"""
    assert _terms(ROLES, "KEYS") == list(_keys(rolefile._Role))
    assert set(_terms(ROLES, "PARAMETER TYPES")) == {kind.value for kind in ParameterType}
    assert _terms(ROLES, "CAPABILITIES") == [kind.value for kind in Kind]
    assert _terms(ROLES, "LIMITS OF A CAPABILITY") == [*KEYS, "as_owner"]


def test_the_example_of_a_role_is_one() -> None:
    """RUN-2"""
    example = next(_examples(ROLES))
    role = rolefile.read_role(example.encode(), "docs/aaos-roles.5.md", name="reviewer")
    assert role.limits.iterations == 40


def test_the_page_of_wrappers_has_every_key() -> None:
    """TOL-4"""
    assert _terms(WRAPPERS, "KEYS") == list(_wrapper_keys())
    assert _terms(WRAPPERS, "PARAMETER TYPES") == [kind.value for kind in ParameterKind]
    assert _terms(WRAPPERS, "PATHS") == [use.value for use in PathUse]
    told = dict(re.findall(r"`limits\.(\w+)`\n:   .*?([0-9]+(?: MiB)?) unless given", WRAPPERS))
    mib = 2**20
    defaults = dataclasses.asdict(Limits())
    assert not defaults.pop("address_bytes")
    assert "as much as *memory_bytes* unless given" in " ".join(WRAPPERS.split())
    for name, value in defaults.items():
        assert told[name] == (f"{value // mib} MiB" if name.endswith("_bytes") else str(value)), name


def test_the_example_of_a_wrapper_is_one() -> None:
    """TOL-4"""
    wrapper = wrapperfile.read_wrapper(next(_examples(WRAPPERS)).encode(), "/count.yaml", taken=OWN_NAMES)
    assert wrapper.limits.wall_s == 10


def test_the_man_page_has_every_option() -> None:
    """OPS-1: under the command that it belongs to, in its lines of usage, and none that is not there."""
    for name, parser in _commands().items():
        usage = re.findall(rf"^\*\*agentd {name}\*\*.*(?=\n:   )", COMMAND, re.MULTILINE)
        assert usage, name
        told = set(re.findall(r"\\--[a-z-]+", "".join(usage)))
        assert told == {f"\\{option}" for option in _options(parser)}, name


def test_the_protocol_has_every_parameter_of_a_goal() -> None:
    """OPS-2"""
    row = next(line for line in PROTOCOL.splitlines() if line.startswith("| `submit` |"))
    assert sorted(re.findall(r"`(\w+)`", row.split("|")[3])) == sorted(SubmitParams.model_fields)


def test_the_page_of_the_daemon_has_its_options() -> None:
    """DEB-2: those of `agentd run`, and where it listens."""
    synopsis = dict(_SECTION.findall(SERVICE))["SYNOPSIS"]
    assert set(re.findall(r"\\--[a-z-]+", synopsis)) == {
        "\\--socket",
        *(f"\\{option}" for option in _options(_commands()["run"])),
    }


def test_the_page_of_the_daemon_has_its_exit_statuses() -> None:
    """DEB-2: a status means what it means in agentd(1), and systemd goes on after those that the unit does not name."""
    told = dict(re.findall(r"^\*\*(\d)\*\*\n:   (.+)$", SERVICE, re.MULTILINE))
    assert [int(status) for status in told] == sorted(map(int, told))
    assert set(map(int, told)) < set(ExitCode)
    final = {status for status, text in told.items() if "does not try again" in text}
    assert final == set(_directives("service")["RestartPreventExitStatus"].split())


def test_the_page_of_the_daemon_tells_what_its_units_say() -> None:
    """DEB-2, LLM-6: the socket, its group and mode, the credentials, the profile, the time that it may take to stop."""
    service, held = _directives("service"), _directives("socket")
    socket_told = f"*{held['SocketUser']}:{held['SocketGroup']}*, mode {held['SocketMode']}"
    assert held["ListenStream"] == str(Settings().daemon.socket)
    assert held["SocketGroup"] == Settings().daemon.socket_group
    assert service["TimeoutStopSec"] == "15"
    assert "after fifteen" in SERVICE
    wanted = (
        f"*{held['ListenStream']}*",
        socket_told,
        f"*ImportCredential={service['ImportCredential'].replace('*', chr(92) + '*')}*",
        f"*/etc/apparmor.d/{service['AppArmorProfile'].removeprefix('-')}*",
        *(f"*{path}*" for path in Host().places("NAME")),
        f"*{Settings().models.keys_dir}/NAME*",
    )
    assert [text for text in wanted if text not in SERVICE] == []


def test_the_page_of_the_daemon_names_fields_that_the_journal_has() -> None:
    """DEB-2, AUD-1"""
    named = set(re.findall(r"AAOS_[A-Z_]+", SERVICE))
    assert named
    assert named <= set(re.findall(r'"(AAOS_[A-Z_]+)"', Path(journal.__file__).read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [SETTINGS, ROLES, WRAPPERS, COMMAND, SERVICE])
def test_a_page_has_the_parts_of_a_page(page: str) -> None:
    """DEB-2"""
    heads = re.findall(r"^# (.+)$", page, re.MULTILINE)
    assert heads[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert heads[-1] == "SEE ALSO"


def _described(text: str) -> Iterator[tuple[str, object]]:
    for term, unset in _TERM.findall(text):
        yield (term, NOT_SET) if unset else next(iter(tomllib.loads(term).items()))


def _defaults() -> dict[str, dict[str, Any]]:  # Any: what JSON can say
    """Each section with its keys and their values when nothing is set, as TOML would give them."""
    found = Settings().model_dump(mode="json")
    found["confinement"]["require"] = sorted(ConfinementSettings().require)
    return {
        section: {key: NOT_SET if value is None else value for key, value in keys.items()}
        for section, keys in found.items()
    }


def _examples(page: str) -> Iterator[str]:
    """The blocks of code of a page, each as it would be typed."""
    for block in _EXAMPLE.findall(page.partition("# EXAMPLES")[2]):
        if block.strip():
            yield textwrap.dedent(block)


def _terms(page: str, section: str) -> list[str]:
    return [term for term, _ in _TERM.findall(dict(_SECTION.findall(page))[section])]


def _keys(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """The keys of a document and of the documents in it."""
    inner: dict[str, tuple[str, type[BaseModel]]] = {
        "parameters": ("parameters.NAME.", rolefile._Parameter),
        "limits": ("limits.", rolefile._Limits),
        "output": ("output.", rolefile._Output),
    }
    for name in model.model_fields:
        yield f"{place}{name}"
        if not place and name in inner:
            below, document = inner[name]
            yield from _keys(document, below)


def _directives(kind: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z]\w+)=(.*)$", UNITS[kind], re.MULTILINE))


def _wrapper_keys() -> Iterator[str]:
    inner: dict[str, tuple[str, type[BaseModel]]] = {
        "parameters": ("parameters.NAME.", wrapperfile._Parameter),
        "argv": ("argv.", wrapperfile._Optional),
        "limits": ("limits.", wrapperfile._Limits),
    }
    for name in wrapperfile._Wrapper.model_fields:
        yield name
        if name in inner:
            place, document = inner[name]
            yield from (f"{place}{key}" for key in document.model_fields)


def _commands() -> dict[str, argparse.ArgumentParser]:
    made = next(action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(made.choices)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Its own long options, or its short ones where it has both."""
    for action in parser._actions:
        if not set(action.option_strings) & {"--help", "--socket", "--json"} and len(action.option_strings) == 1:
            yield from action.option_strings
