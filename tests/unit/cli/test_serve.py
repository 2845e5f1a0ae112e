"""`agentd run` becomes the daemon."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aaos.cli import serve
from aaos.cli.parser import parse


def test_nothing_said_is_left_to_the_settings() -> None:
    assert serve.daemon_options(parse(["run"])) == []


def test_what_was_said_is_handed_on_with_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "--socket",
        "s",
        "run",
        "--config",
        "c.toml",
        "--state-dir",
        "/st",
        "--without",
        "cgroup",
        "--without",
        "mdwe",
    ]
    assert serve.daemon_options(parse(words)) == [
        "--config",
        f"{tmp_path}/c.toml",
        "--state-dir",
        "/st",
        "--socket",
        f"{tmp_path}/s",
        "--without",
        "cgroup",
        "--without",
        "mdwe",
    ]


@pytest.mark.parametrize(("no_site", "flags"), [(0, "-I"), (1, "-IS")])
def test_the_daemon_is_a_fresh_isolated_interpreter(monkeypatch: pytest.MonkeyPatch, no_site: int, flags: str) -> None:
    """H-PKG-04: no import from the current directory or a user's site, nor from root's where this one does without."""
    seen: list[tuple[str, list[str]]] = []

    def replaced(path: str, words: list[str]) -> None:
        seen.append((path, words))
        raise InterruptedError

    monkeypatch.setattr("os.execv", replaced)
    monkeypatch.setattr(sys, "flags", SimpleNamespace(no_site=no_site))
    with pytest.raises(InterruptedError):
        serve.become_daemon("run", "--without", "cgroup")
    assert seen == [(sys.executable, [sys.executable, flags, str(serve.BOOT), "run", "--without", "cgroup"])]
