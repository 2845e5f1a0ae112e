"""A program whose requests carry a secret: it is charged, for its host alone, and in none of the program's words."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.capability import Capability, Kind, parse_capabilities
from aaos.core.cell import CellRequest
from aaos.core.errors import AaosError, DeniedError, NotFoundError, ToolError
from aaos.core.events import EventKind
from aaos.core.ids import Uid
from aaos.core.ports import Held
from aaos.tools.brokered import BrokerWork, ToolResult
from aaos.tools.celled import DOOR
from aaos.tools.spec import Tool
from aaos.tools.wrapperfile import read_wrapper
from aaos.tools.wrapperparameter import cell_tool
from tests.unit.tools.cells import ENDED, FakeCells
from tests.unit.tools.scene import ME, Scene
from worker.abi import Json

VALUE = "tok-0123456789"
FILE = b"""
name: get
summary: Gets
program: /usr/bin/get
package: get
parameters:
  url: {type: url}
  into: {type: path, use: write, required: false}
  access: {type: secret, required: false}
argv: [{if_given: access, args: [--plain]}, --, "{url}"]
asks: [GET /**]
"""
CATALOG: dict[str, Tool] = {"get": cell_tool(read_wrapper(FILE, "/get.yaml", taken=()))}
GRANTS = (
    {"network": "h.example:443/**", "action": "connect"},
    {"network": "o.example:443/**", "action": "connect"},
    "secret: mine",
    "secret: gone",
)
URL = "https://h.example/x"


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    """One secret, for h.example and for who runs the tests."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "mine").write_text(VALUE)
    (directory / "mine").chmod(0o600)
    (directory / "mine.toml").write_text(f'host = "h.example"\nusers = ["{ME.uid}"]\n')
    return SecretStore(directory, owner=os.getuid())


def scene(
    tmp_path: Path, cells: FakeCells, secrets: SecretStore | None, *, grants: tuple[object, ...] = GRANTS
) -> Scene:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    files = [Capability(kind, f"{work}/**") for kind in (Kind.FILE_READ, Kind.FILE_WRITE)]
    more = parse_capabilities(list(grants), now_s=0.0)
    return Scene(work, held=Held.KERNEL, grants=[*files, *more], catalog=CATALOG, cells=cells, secrets=secrets)


def run(on: Scene, **args: Json) -> ToolResult:
    work = on.request("get", args)
    assert isinstance(work, BrokerWork)
    return asyncio.run(work.run())


def refused(on: Scene, **args: Json) -> AaosError:
    with pytest.raises(AaosError) as caught:
        run(on, **args)
    assert on.ledger.opened.keys() == on.ledger.settled.keys()
    return caught.value


def test_the_cell_is_asked_with_the_secret_and_told_nothing_of_it(tmp_path: Path, secrets: SecretStore) -> None:
    """TOL-9, H-SEC-01"""
    cells = FakeCells()
    run(scene(tmp_path, cells, secrets), url=URL, access="mine")
    (asked,) = cells.asked
    assert asked.secret is not None
    assert (asked.secret.name, asked.secret.asks) == ("mine", ("GET /**",))
    assert asked.secret.header.secret.reveal() == VALUE
    assert asked.argv == ("get", "--plain", "--", URL)
    assert asked.env["http_proxy"] == asked.env["https_proxy"] == DOOR
    assert VALUE not in repr(asked)


def test_without_the_secret_nothing_is_asked_in_plain(tmp_path: Path, secrets: SecretStore) -> None:
    """A door that is not for that carries TLS only."""
    cells = FakeCells()
    run(scene(tmp_path, cells, secrets), url=URL)
    assert cells.asked[0].secret is None
    assert cells.asked[0].argv == ("get", "--", URL)
    assert "http_proxy" not in cells.asked[0].env


def test_a_secret_that_is_not_granted_is_not_even_read(tmp_path: Path, secrets: SecretStore) -> None:
    """CAP-1, TOL-9"""
    cells = FakeCells()
    on = scene(tmp_path, cells, secrets, grants=GRANTS[:1])
    error = refused(on, url=URL, access="mine")
    assert isinstance(error, DeniedError)
    assert "secret: mine is not granted" in error.message
    assert cells.asked == []


def test_a_secret_opens_no_host_that_programs_may_not_connect_to(tmp_path: Path, secrets: SecretStore) -> None:
    """CAP-1"""
    cells = FakeCells()
    error = refused(scene(tmp_path, cells, secrets, grants=("secret: mine",)), url=URL, access="mine")
    assert error.remedy == "grant them with: --connect h.example:443"
    assert cells.asked == []


@pytest.mark.parametrize(
    ("url", "access", "kind", "words"),
    [
        ("https://o.example/x", "mine", DeniedError, "is for https://h.example:443, not for o.example:443"),
        (URL, "gone", NotFoundError, "there is no secret gone"),
    ],
)
def test_no_cell_is_made_for_another_host_or_a_secret_that_is_not_there(
    tmp_path: Path, secrets: SecretStore, url: str, access: str, kind: type[AaosError], words: str
) -> None:
    """TOL-9, H-SEC-06"""
    cells = FakeCells()
    error = refused(scene(tmp_path, cells, secrets), url=url, access=access)
    assert isinstance(error, kind)
    assert words in error.message
    assert cells.asked == []


def test_a_secret_of_others_is_refused_with_what_root_types(tmp_path: Path, secrets: SecretStore) -> None:
    """TOL-9"""
    (secrets.directory / "mine.toml").write_text('host = "h.example"\n')
    cells = FakeCells()
    on = scene(tmp_path, cells, secrets)
    if ME.uid == 0:
        on.caller = replace(on.caller, submitter=replace(ME, uid=Uid(1234)))
    error = refused(on, url=URL, access="mine")
    assert "sudo agentd secrets allow mine --user" in error.remedy
    assert cells.asked == []


def test_an_agentd_without_secrets_says_so(tmp_path: Path) -> None:
    assert isinstance(refused(scene(tmp_path, FakeCells(), None), url=URL, access="mine"), ToolError)


def test_no_words_of_the_program_hold_it(tmp_path: Path, secrets: SecretStore) -> None:
    """TOL-9, H-SEC-03: its server can tell it in a form of its own, which the egress does not see through."""
    words = f"you sent {VALUE} {VALUE.encode().hex()}".encode()

    def act(asked: CellRequest) -> None:
        Path(f"{tmp_path}/work/{VALUE}").write_text("x")

    on = scene(tmp_path, FakeCells(replace(ENDED, stdout=words, stderr=words), act=act), secrets)
    result = run(on, url=URL, access="mine", into=f"{tmp_path}/work")
    assert "you sent [key] [key]" in result.text
    told = "".join(str(event.fields["text"]) for event in on.noted if event.kind is EventKind.TOOL_OUTPUT)
    changed = [dict(event.fields) for event in on.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert len(changed) == 1
    for shown in (result.text, told, str(changed), str(on.ledger.settled)):
        assert VALUE not in shown
        assert VALUE.encode().hex() not in shown
