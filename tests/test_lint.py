"""The linters as tests: a finding fails, and so does a linter that is missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = (
    "dev",
    ".ci/run",
    "packaging/build",
    "packaging/guest",
    "packaging/judge",
    "packaging/stdeb",
    "packaging/test",
    "packaging/debian/tests/goal",
    "packaging/debian/tests/service",
)
CODE = ("aaos", "worker", "tests", "qa", "packaging")
DEADLINE_S = 300


def test_ruff_finds_nothing() -> None:
    _passes(sys.executable, "-m", "ruff", "check", "--quiet", *CODE)


def test_ruff_would_format_nothing() -> None:
    _passes(sys.executable, "-m", "ruff", "format", "--check", "--quiet", *CODE)


def test_mypy_strict_finds_nothing() -> None:
    _passes(sys.executable, "-m", "mypy")


@pytest.mark.parametrize(
    "script",
    [
        "dev",
        ".ci/run",
        "packaging/build",
        "packaging/guest",
        "packaging/judge",
        "packaging/test",
        "packaging/debian/tests/goal",
    ],
)
def test_shellcheck_finds_nothing(script: str) -> None:
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing; try: ./dev setup"
    assert (ROOT / script).read_text().startswith("#!/bin/sh\n")
    assert (ROOT / script).stat().st_mode & 0o111
    _passes(shellcheck, "--external-sources", script)


def test_every_command_of_dev_is_in_its_help() -> None:
    script = (ROOT / "dev").read_text()
    branches = re.findall(r"^    ([a-z]+)\) ", script, re.MULTILINE)
    assert len(branches) >= 7
    text = _passes("./dev", "help")
    assert [name for name in branches if f"\n  {name} " not in text] == []


def test_dev_refuses_an_unknown_command() -> None:
    result = subprocess.run(
        ["./dev", "dmeo"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert result.returncode == 1
    assert "dev: unknown command 'dmeo'\n  try: ./dev help\n" in result.stderr


def _passes(*command: str) -> str:
    result = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    return result.stdout
