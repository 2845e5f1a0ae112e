"""`agentd configure` hands over what was said, and nothing that is secret."""

from pathlib import Path

import pytest

from aaos.cli.configure import configure_options
from aaos.cli.parser import parse
from aaos.core.errors import InputError


def test_nothing_said_is_nothing_handed_on() -> None:
    assert configure_options(parse(["configure"]), is_json=False) == []


def test_what_was_said_is_handed_on_with_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["configure", "--provider", "p", "--model=--show", "--tier", "T2", "--key-file", "k", "--no-restart"]
    assert configure_options(parse([*words, "--config", "/c.toml"]), is_json=True) == [
        "--provider=p",
        "--model=--show",
        "--tier=T2",
        "--config=/c.toml",
        f"--key-file={tmp_path}/k",
        "--no-restart",
        "--json",
    ]


@pytest.mark.parametrize(
    "words",
    [["--tier", "T0"], ["--tier", "t2"], ["--key-stdin", "--key-file", "f"], ["--key-from-env", "A", "--key-stdin"]],
)
def test_one_key_and_one_tier(words: list[str]) -> None:
    with pytest.raises(InputError):
        parse(["configure", *words])


def test_a_key_is_no_argument() -> None:
    """H-SEC-01: there is no option that takes one."""
    with pytest.raises(InputError, match="--key"):
        parse(["configure", "--key", "sk-0123456789"])
