"""The tool web_fetch, through the gate (TOL-8, H-CAP-12)."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.capability import Capability, Kind
from aaos.core.constraint import Constraints
from aaos.core.errors import AaosError, DeniedError, InputError, LimitError
from aaos.core.events import EventKind
from aaos.core.ports import CallState, Evidence, Label
from aaos.tools.brokered import BrokerWork, ToolResult
from aaos.tools.web import web_fetch
from tests.fakes import ScriptedWeb, page
from tests.unit.tools.scene import AGENT, Scene
from worker.abi import Json

PAGES = {
    "https://a.example/docs/x": page("words of a page"),
    "https://a.example/docs/y": page("", status=302, location="/private"),
    "https://a.example/private": page("secret"),
    "http://127.0.0.1:8000/": page("inner"),
}
DOCS = "a.example:443/docs/**"


class Web:
    """An agent with web_fetch and these grants of the network."""

    def __init__(self, path: Path, *grants: Capability) -> None:
        self.door = ScriptedWeb(PAGES)
        tool = web_fetch(self.door, SecretStore(Path("/nonexistent")))
        self.scene = Scene(path, grants=grants, catalog={"web_fetch": tool})

    def fetch(self, url: str, **args: Json) -> ToolResult:
        work = self.scene.request("web_fetch", {"url": url, **args})
        assert isinstance(work, BrokerWork)
        return asyncio.run(work.run())


def network(resource: str, **limits: object) -> Capability:
    constraints: Constraints = Constraints(**limits)  # type: ignore[arg-type]  # as the test names them
    return Capability(Kind.NETWORK, resource, constraints)


def test_a_granted_page_is_fetched_and_its_call_is_on_record(tmp_path: Path) -> None:
    web = Web(tmp_path, network(DOCS))
    assert "words of a page" in web.fetch("HTTPS://A.example:443/docs/x#part").text
    outcome = web.scene.last_outcome
    assert (outcome.state, outcome.evidence, outcome.label) == (CallState.DONE, Evidence.OBSERVED, Label.OUTSIDE)
    permitted, fetched = web.scene.audit.of(EventKind.TOOL_PERMITTED), web.scene.audit.of(EventKind.NETWORK_FETCHED)
    assert permitted[0].fields["url"] == "https://a.example/docs/x"
    assert fetched[0].fields["address"] == "93.184.216.34"


def test_the_first_page_lowers_the_runs_trust_once(tmp_path: Path) -> None:
    """CAP-8"""
    web = Web(tmp_path, network(DOCS))
    for _ in range(3):
        web.fetch("https://a.example/docs/x")
    lowered = web.scene.audit.of(EventKind.RUN_TRUST_LOWERED)
    assert [event.fields["label"] for event in lowered] == ["outside"]


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("https://a.example/private", "--net a.example:443/private"),
        ("https://a.example/docsx", "--net a.example:443/docsx"),
        ("https://a.example/docs/../private", "--net a.example:443/private"),
        ("http://a.example/docs/x", "--net a.example:80/docs/x"),
        ("https://a.example:8443/docs/x", "--net a.example:8443/docs/x"),
        ("https://evila.example/docs/x", "--net evila.example:443/docs/x"),
        ("https://a.example.evil/docs/x", "--net a.example.evil:443/docs/x"),
        ("https://sub.a.example/docs/x", "--net sub.a.example:443/docs/x"),
        ("http://127.0.0.1:8000/", "--net 127.0.0.1:8000/"),
        ("http://169.254.169.254/latest", "--net 169.254.169.254:80/latest"),
    ],
)
def test_what_is_not_granted_is_denied_with_the_flag_that_would(tmp_path: Path, url: str, remedy: str) -> None:
    """H-NET-07, H-NET-08"""
    web = Web(tmp_path, network(DOCS))
    with pytest.raises(DeniedError) as caught:
        web.fetch(url)
    assert caught.value.remedy == f"grant it with: {remedy}"
    assert web.door.asked == []


def test_a_granted_path_may_not_redirect_out_of_it(tmp_path: Path) -> None:
    web = Web(tmp_path, network(DOCS))
    with pytest.raises(DeniedError, match="redirects to"):
        web.fetch("https://a.example/docs/y")
    assert web.scene.last_outcome.state is CallState.FAILED


def test_methods_are_part_of_a_grant(tmp_path: Path) -> None:
    web = Web(tmp_path, network(DOCS, methods=frozenset({"head"})))
    assert web.fetch("https://a.example/docs/x", method="HEAD").ok
    with pytest.raises(DeniedError, match="method 'GET'"):
        web.fetch("https://a.example/docs/x")


@pytest.mark.parametrize(
    "args",
    [
        {"url": "file:///etc/passwd"},
        {"url": "http://allowed@evil/"},
        {"url": "http://evil\\@allowed"},
        {"url": "http://2130706433/"},
        {"url": "http://0x7f000001/"},
        {"url": "http://0177.0.0.1/"},
        {"url": "http://127.1/"},
        {"url": "http://[::ffff:7f00:1]/"},
        {"url": "http://①②⑦.⓪.⓪.①/"},
        {"url": "http://localhost./"},
        {"url": "http://a.example/\tx"},
        {"url": ""},
        {"url": "https://a.example/docs/x", "method": "POST"},
        {"url": "https://a.example/docs/x", "method": "GET\r\nX: y"},
        {"url": "https://a.example/docs/x", "headers": {"Host": "evil"}},
        {"url": "https://a.example/docs/x", "cookie": "a=b"},
        {"url": "https://a.example/docs/x", "max_bytes": 0},
        {"url": "https://a.example/docs/x", "max_bytes": 10**9},
        {"url": "https://a.example/docs/x", "offset": -1},
        {"url": ["https://a.example/docs/x"]},
    ],
    ids=str,
)
def test_arguments_that_mean_nothing_plain_are_refused(tmp_path: Path, args: dict[str, Json]) -> None:
    """H-NET-03, H-NET-07, H-NET-08, H-SEC-06: no header is the agent's to set."""
    web = Web(tmp_path, network("a.example:443/**"))
    with pytest.raises(InputError):
        web.scene.request("web_fetch", args)
    assert web.door.asked == []


def spent(web: Web, urls: Iterable[str], **args: Json) -> list[bool]:
    """Which of these fetches were let through."""
    through = []
    for url in urls:
        try:
            web.fetch(url, **args)
            through.append(True)
        except LimitError:
            through.append(False)
    return through


def test_a_hop_counts_as_a_use(tmp_path: Path) -> None:
    """CAP-3: a redirect is a request like any other."""
    web = Web(tmp_path, network("a.example:443/**", max_calls=3))
    assert spent(web, ["https://a.example/docs/y", "https://a.example/docs/y"]) == [True, False]
    assert len(web.door.asked) == 3


def test_a_byte_budget_is_charged_before_anything_is_read(tmp_path: Path) -> None:
    """CAP-3"""
    web = Web(tmp_path, network("a.example:443/**", max_bytes=1_000))
    assert spent(web, ["https://a.example/docs/x"] * 3, max_bytes=400) == [True, True, False]
    assert [asked.wire_bytes for asked in web.door.asked] == [400, 400]


def test_a_page_of_a_grant_that_was_revoked_meanwhile_is_discarded(tmp_path: Path) -> None:
    """CAP-5"""
    web = Web(tmp_path, network(DOCS))
    work = web.scene.request("web_fetch", {"url": "https://a.example/docs/x"})
    assert isinstance(work, BrokerWork)
    web.scene.tokens.revoke(AGENT)
    with pytest.raises(AaosError, match="revoked"):
        asyncio.run(work.run())


def test_a_result_is_as_long_as_was_asked_for(tmp_path: Path) -> None:
    """TOL-6"""
    web = Web(tmp_path, network(DOCS))
    web.door.pages["https://a.example/docs/x"] = page("ä" * 300_000)
    for max_bytes in (64, 65, 500_000):
        result = web.fetch("https://a.example/docs/x", max_bytes=max_bytes)
        assert max_bytes <= len(result.text.encode()) <= max_bytes + 1_000
        assert result.truncated
        assert "go on with offset=" in result.text.split("\n")[-1]
