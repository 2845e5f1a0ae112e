"""Secrets of fetches: to their own host over TLS and nowhere else, and out of whatever comes back (TOL-9)."""

import asyncio
import base64
import grp
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from aaos.broker.fetch import Wanted, fetch_for
from aaos.broker.secrets import SecretStore
from aaos.core.capability import Kind
from aaos.core.cell import HostPort
from aaos.core.errors import AaosError, DeniedError, NotFoundError, ToolError
from aaos.core.events import EventKind, Scalar
from aaos.core.ids import AgentId, RunId, Uid
from aaos.core.ports import BrokerCall, Header, Page, PageRequest
from tests.fakes import page

VALUE = 'tok/en+"012&3456789'


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    """One secret, for api.example."""
    (tmp_path / "github").write_text(f"{VALUE}\n")
    (tmp_path / "github").chmod(0o600)
    (tmp_path / "github.toml").write_text(
        'host = "api.example:443"\nheader = "X-Token"\nprefix = "T "\nusers = ["1"]\n'
    )
    return SecretStore(tmp_path, owner=os.getuid())


@dataclass
class Web:
    """Answers by address, and what was asked with which header; `charged` are the uses."""

    answers: Mapping[str, Page | AaosError]
    asked: list[tuple[str, Header | None]] = field(default_factory=list)
    charged: list[tuple[Kind, str]] = field(default_factory=list)
    noted: list[Mapping[str, Scalar]] = field(default_factory=list)
    refusal: AaosError | None = None

    async def fetch(self, asked: PageRequest) -> Page:
        self.asked.append((asked.url.text, asked.header))
        answer = self.answers[asked.url.text]
        if isinstance(answer, AaosError):
            raise answer
        return answer

    def charge(self, kind: Kind, resource: str, _action: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.charged.append((kind, resource))

    def note(self, _kind: EventKind, fields: Mapping[str, Scalar]) -> None:
        self.noted.append(fields)

    def get(self, store: SecretStore, url: str, *, offset: int = 0, max_bytes: int = 49_152) -> str:
        """What an agent gets that names the secret."""
        call = BrokerCall(RunId("r"), AgentId("a"), Uid(1), self.charge, self.note, None)
        wanted = Wanted(url, "GET", False, offset, max_bytes, "github")
        return asyncio.run(fetch_for(call, wanted, self, store)).text


def test_its_host_gets_it_and_the_record_names_it(store: SecretStore) -> None:
    web = Web({"https://api.example/x": page("words")})
    assert "words" in web.get(store, "https://api.example/x")
    ((_, header),) = web.asked
    assert header is not None
    assert (header.name, header.prefix, header.secret.reveal()) == ("X-Token", "T ", VALUE)
    assert VALUE not in repr(header)
    assert web.charged == [(Kind.SECRET, "github")]
    assert web.noted[0]["secret"] == "github"
    assert VALUE not in json.dumps(dict(web.noted[0]))


@pytest.mark.parametrize(
    "url", ["https://evil.example/", "http://api.example/", "https://api.example:8443/", "https://xapi.example/"]
)
def test_no_other_place_is_asked_with_it(store: SecretStore, url: str) -> None:
    """H-SEC-06, H-NET-08"""
    web = Web({})
    with pytest.raises(DeniedError, match=r"is for https://api\.example:443"):
        web.get(store, url)
    assert web.asked == []


def test_a_redirect_elsewhere_goes_without_it(store: SecretStore) -> None:
    """H-LLM-11's like for pages: also to another port, and back again with it."""
    web = Web(
        {
            "https://api.example/": page("", status=302, location="https://other.example/"),
            "https://other.example/": page("", status=302, location="https://api.example/end"),
            "https://api.example/end": page("end"),
        }
    )
    assert "end" in web.get(store, "https://api.example/")
    assert [header is not None for _, header in web.asked] == [True, False, True]
    assert ["secret" in fields for fields in web.noted] == [True, False, True]


def test_a_server_that_echoes_it_tells_nothing(store: SecretStore) -> None:
    """H-SEC-03: raw, as JSON, HTML and percent-encoded; in the text, the kind, a redirect, an error."""
    echoed = f'raw {VALUE} json {json.dumps(VALUE)} html tok/en+"012&amp;3456789 percent tok%2Fen%2B%22012%263456789'
    web = Web({"https://api.example/": page(echoed, media_type=f"text/{VALUE}")})
    text = web.get(store, "https://api.example/")
    assert "3456789" not in text
    assert text.count("[key]") == 5
    moved = Web(
        {"https://api.example/": page("", status=302, location=f"/{VALUE}"), "https://api.example/[key]": page("x")}
    )
    moved.answers = {**moved.answers, "https://api.example/%5Bkey%5D": page("x")}
    assert "3456789" not in moved.get(store, "https://api.example/")
    failed = Web({"https://api.example/": ToolError(f"it said {VALUE[:12]}", "x")})
    with pytest.raises(ToolError) as caught:
        failed.get(store, "https://api.example/")
    assert VALUE[:8] not in caught.value.message


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\0", "\u202e", "\x1b"])
def test_an_echo_with_letters_that_nobody_sees_tells_nothing(store: SecretStore, hidden: str) -> None:
    """H-SEC-03: they are taken out of a page, and must not have kept the secret from being seen before."""
    text = Web({"https://api.example/": page(hidden.join(VALUE))}).get(store, "https://api.example/")
    assert all(VALUE[at : at + 4] not in text for at in range(len(VALUE) - 4))


@pytest.mark.parametrize("offset", range(60, 160, 7))
def test_no_choice_of_a_part_cuts_through_it(store: SecretStore, offset: int) -> None:
    """H-SEC-03: an agent that pages through an echo sees no piece of it."""
    web = Web({"https://api.example/": page("x" * 100 + VALUE + "y" * 100)})
    text = web.get(store, "https://api.example/", offset=offset, max_bytes=64)
    assert all(VALUE[at : at + 4] not in text for at in range(len(VALUE) - 4))


def test_an_echo_that_breaks_off_tells_nothing(store: SecretStore) -> None:
    web = Web({"https://api.example/": replace(page(f"{'x' * 100}{VALUE[:-3]}"), partial="cut")})
    assert VALUE[:9] not in web.get(store, "https://api.example/")


def test_what_is_not_granted_is_not_even_read(store: SecretStore, tmp_path: Path) -> None:
    (tmp_path / "github").unlink()
    with pytest.raises(DeniedError, match="not granted"):
        Web({}, refusal=DeniedError("secret: github is not granted", "--secret github")).get(
            store, "https://api.example/"
        )


def test_one_that_is_missing_or_loose_is_an_error_with_its_remedy(store: SecretStore, tmp_path: Path) -> None:
    (tmp_path / "github").chmod(0o644)
    with pytest.raises(ToolError, match="lets others read") as caught:
        store.read("github")
    assert "agentd secrets set github" in caught.value.remedy
    (tmp_path / "github.toml").write_text('host = "a/b"\n')
    (tmp_path / "github").chmod(0o600)
    with pytest.raises(ToolError):
        store.read("github")
    (tmp_path / "github.toml").write_text("\x00")
    with pytest.raises(ToolError):
        store.read("github")
    (tmp_path / "github.toml").unlink()
    with pytest.raises(NotFoundError):
        store.read("github")
    assert SecretStore(tmp_path / "none").names() == []


@pytest.mark.parametrize(
    ("said", "uid", "groups", "is_allowed"),
    [
        ("", 0, (0,), True),
        ("", 1, (1,), False),
        ("", 1, (1, 77), True),
        ('users = ["2"]', 1, (1, 2), False),
        ('users = ["2", "1"]', 1, (), True),
        ('groups = ["5"]', 1, (1, 5), True),
        ('groups = ["5"]', 5, (1,), False),
        ('users = ["nobody-has-this"]', 1, (1,), False),
        ('groups = ["nobody-has-this"]', 1, (1,), False),
    ],
)
def test_it_is_for_root_for_who_administers_and_for_whom_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, uid: int, groups: tuple[int, ...], is_allowed: bool
) -> None:
    """TOL-9: and for nobody else, who is told what root types."""
    known = {"admins": SimpleNamespace(gr_gid=77)}
    monkeypatch.setattr(grp, "getgrnam", known.__getitem__)
    (tmp_path / "github").write_text(VALUE)
    (tmp_path / "github").chmod(0o600)
    (tmp_path / "github.toml").write_text(f'host = "api.example"\n{said}\n')
    store = SecretStore(tmp_path, owner=os.getuid(), admin_group="admins")
    if is_allowed:
        assert asyncio.run(store.find("github", uid=uid, groups=groups)).key.reveal() == VALUE
        return
    with pytest.raises(DeniedError, match="secret github is not for") as caught:
        asyncio.run(store.find("github", uid=uid, groups=groups))
    assert caught.value.remedy.startswith("root allows it with: sudo agentd secrets allow github --user ")


def test_a_cell_has_it_for_its_host_alone(store: SecretStore) -> None:
    """TOL-9, H-SEC-06"""
    secret = store.read("github")
    secret.check_places([HostPort("api.example", 443)])
    for places in ([], [HostPort("api.example", 80)], [HostPort("evil.example", 443)],
                   [HostPort("api.example", 443), HostPort("evil.example", 443)]):  # fmt: skip
        with pytest.raises(DeniedError, match=r"is for https://api\.example:443, not for"):
            secret.check_places(places)


def test_what_a_login_holds_comes_back_no_more_than_the_login(tmp_path: Path) -> None:
    """H-SEC-03: HTTP's Basic scheme is the token in base64; a server knows the token itself, too."""
    token = "ghp_0123456789abcdef"
    (tmp_path / "git").write_text(base64.b64encode(f"x-access-token:{token}".encode()).decode())
    (tmp_path / "git").chmod(0o600)
    (tmp_path / "git.toml").write_text('host = "git.example"\nprefix = "Basic "\n')
    secret = SecretStore(tmp_path, owner=os.getuid()).read("git")
    forms = secret.placed(("GET /**",)).forms()
    assert {token, f"x-access-token:{token}", secret.key.reveal(), token.encode().hex()} <= set(forms)
    assert secret.redacted(f"hello {token}") == "hello [key]"
    assert not any(len(form) < 8 for form in forms)
