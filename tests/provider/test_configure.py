"""`agentd configure` against a scripted model: it is set up when the model answers, and else nothing changes."""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.config import load_settings
from aaos.core.errors import AaosError, BusyError, InputError, ProviderError, SettingsError
from aaos.core.role import Tier
from aaos.daemon.configure import Work, configured
from aaos.daemon.configure_keys import KeySource, KeyStore
from aaos.daemon.configure_questions import Wanted
from aaos.devprovider.script import Script, Step
from aaos.llm.keys import KeyPlaces
from aaos.llm.providers import chosen
from tests.provider.stage import serving

SECRET = "sk-canary-0123456789abcdef"
TABLE = """
providers:
  here: {{kind: vllm, url: "{url}/v1"}}
  cloud: {{kind: openai, url: "{url}/v1", key: main}}
models:
  big: {{provider: cloud, model: scripted, tier: T2}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Settings with a table of their own; nothing of the machine's is touched."""
    (tmp_path / "given").write_text(f"{SECRET}\n")
    (tmp_path / "agentd.toml").write_text(f'[models]\ntable = "{tmp_path}/models.yaml"\nkeys_dir = "{tmp_path}/keys"\n')
    table(tmp_path, "http://127.0.0.1:9")
    yield tmp_path
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or path.parent.name == "keys" or path.name == "given" or SECRET not in path.read_text()


def table(place: Path, url: str) -> None:
    (place / "models.yaml").write_text(TABLE.format(url=url))


def work(place: Path, *, provider: str | None = None, model: str | None = None, tier: Tier | None = None) -> Work:
    needs_key = provider == "cloud" or model == "big"
    source = KeySource(file=place / "given" if needs_key else None)
    store = KeyStore(KeyPlaces(place / "keys", owner=os.geteuid()))
    return Work(place / "agentd.toml", Wanted(provider, model, tier), source, store)


def done(one: Work) -> dict[str, object]:
    return configured(one, load_settings(one.config))


def files(place: Path) -> dict[str, str]:
    return {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}


def test_a_model_that_answers_is_what_the_daemon_finds(place: Path) -> None:
    """OPS-3: settings, table and key are as the daemon reads them, and earlier tiers stay."""
    with serving(Script(steps=(Step(text="yes", times=9),))) as model:
        table(place, model.url)
        told = done(work(place, model="big"))
        done(work(place, provider="here"))
        done(work(place, provider="here", model="scripted", tier=Tier.T3))
        (first, *_) = model.requests
    assert (told["tier"], told["name"], told["key_file"]) == ("T2", "big", str(place / "keys" / "main"))
    entries = chosen(load_settings(place / "agentd.toml").models)
    assert [(one.name, one.tier) for one in entries] == [
        ("here-scripted", Tier.T1),
        ("big", Tier.T2),
        ("here-scripted-t3", Tier.T3),
    ]
    assert (place / "keys" / "main").stat().st_mode & 0o777 == 0o600
    assert (place / "keys").stat().st_mode & 0o777 == 0o700
    assert len(model.requests) >= 3
    assert first.model == "scripted"


def test_the_key_that_is_there_is_used_again_and_left_alone(place: Path) -> None:
    with serving(Script(steps=(Step(text="yes", times=9),))) as model:
        table(place, model.url)
        done(work(place, model="big"))
        before = (place / "keys" / "main").stat().st_ino
        again = Work(place / "agentd.toml", Wanted("cloud", "scripted", Tier.T3), KeySource(), work(place).store)
        assert done(again)["key_file"] is None
    assert (place / "keys" / "main").stat().st_ino == before


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(status=401, message="bad key"), "answered 401"),
        (Step(echo_key=True), "answered 401"),
        (Step(status=404, message="model not found"), "answered 404"),
        (Step(model="another", text="x"), "answered as 'another'"),
        (Step(html=True), "text/html"),
        (Step(wrong_json=True, text="abc"), "not JSON"),
        (Step(redirect="http://127.0.0.1:9/steal"), "the key was not sent there"),
    ],
)
def test_a_model_that_does_not_answer_changes_nothing(place: Path, step: Step, message: str) -> None:
    """OPS-3, H-API-14, H-SEC-03"""
    with serving(Script(steps=(step, step, step))) as model:
        table(place, model.url)
        before, began_s = files(place), time.monotonic()
        with pytest.raises(ProviderError, match=message) as caught:
            done(work(place, model="big"))
    assert time.monotonic() - began_s < 5
    assert caught.value.remedy
    assert SECRET not in f"{caught.value.message}{caught.value.remedy}"
    assert files(place) == before


def test_nobody_there_is_told_soon_and_changes_nothing(place: Path) -> None:
    """H-API-14"""
    before, began_s = files(place), time.monotonic()
    with pytest.raises(ProviderError, match="cannot be reached"):
        done(work(place, model="big"))
    assert time.monotonic() - began_s < 5
    assert files(place) == before


def test_a_failing_change_keeps_the_setup_that_works(place: Path) -> None:
    with serving(Script(steps=(Step(text="yes"),))) as model:
        table(place, model.url)
        done(work(place, model="big"))
    with serving(Script(steps=(Step(status=401, message="no"),))) as model:
        table(place, model.url)
        before = files(place)
        (place / "given").write_text("sk-another-0123456789")
        with pytest.raises(ProviderError):
            done(work(place, model="big"))
    assert {name: text for name, text in files(place).items() if name != "given"} == {
        name: text for name, text in before.items() if name != "given"
    }


def test_settings_that_would_be_wrong_or_overruled_are_refused_before_anybody_is_asked(place: Path) -> None:
    (place / "agentd.toml.d").mkdir()
    (place / "agentd.toml.d" / "90-own.toml").write_text('[models]\nT2 = "big"\n')
    with serving(Script(steps=(Step(text="yes"),))) as model:
        table(place, model.url)
        before = files(place)
        with pytest.raises(SettingsError, match=r"models\.T2 is set to something else by a later file"):
            done(work(place, provider="cloud", model="other", tier=Tier.T2))
        assert not model.requests
    assert files(place) == before


@pytest.mark.parametrize(
    ("source", "wanted", "message"),
    [
        (KeySource(), Wanted(model="big"), "needs a key"),
        (KeySource(variable="NOT_THERE"), Wanted("here", "m"), "takes no key"),
        (KeySource(variable="NOT_THERE"), Wanted(model="big"), "no such variable"),
    ],
)
def test_a_key_that_is_missing_or_of_no_use_is_told(
    place: Path, source: KeySource, wanted: Wanted, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        done(Work(place / "agentd.toml", wanted, source, work(place).store))


@pytest.mark.parametrize(
    ("source", "wanted", "remedy"),
    [
        (KeySource(), Wanted(model="big"), "sudo {} --model big --key-stdin"),
        (KeySource(), Wanted("cloud", "a b", Tier.T3), "sudo {} --model 'a b' --tier T3 --key-stdin"),
        (
            KeySource(variable="NOT_THERE"),
            Wanted("cloud", "m"),
            "sudo --preserve-env=NOT_THERE {} --model m --key-from-env NOT_THERE",
        ),
    ],
)
def test_the_command_to_try_again_means_the_same_model(
    place: Path, source: KeySource, wanted: Wanted, remedy: str
) -> None:
    """OPS-4"""
    with pytest.raises(InputError) as caught:
        done(Work(place / "agentd.toml", wanted, source, work(place).store))
    assert caught.value.remedy == remedy.format(f"agentd configure --config {place}/agentd.toml --provider cloud")


def test_without_a_table_the_usual_providers_are_known(place: Path) -> None:
    (place / "models.yaml").unlink()
    source = KeySource(variable="NOT_THERE")
    with pytest.raises(AaosError, match="no such variable"):
        done(Work(place / "agentd.toml", Wanted("anthropic", "m"), source, work(place).store))


def test_two_at_once_are_one(place: Path) -> None:
    fd = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            done(work(place, model="big"))
    finally:
        os.close(fd)
