"""`agentd dev-provider` as a program: it says where it listens, answers, and ends with Ctrl-C."""

import http.client
import json
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aaos.core.config import load_settings
from aaos.core.errors import ExitCode
from aaos.core.role import Tier
from aaos.llm.table import read_table

BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@contextmanager
def playing(tmp_path: Path, text: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The program, on a script in a file."""
    file = tmp_path / "script.yaml"
    file.write_text(text)
    command = [sys.executable, "-I", "-m", "aaos.cli", "dev-provider", "--script", str(file), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: "subprocess.Popen[str]") -> str:
    """A line of what it prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def ask(url: str) -> str:
    """The text of an answer."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(BODY))
        text: str = json.load(connection.getresponse())["choices"][0]["message"]["content"]
        return text


def test_it_serves_until_ctrl_c(tmp_path: Path) -> None:
    with playing(tmp_path, "steps: [{text: hello}]", "--json") as process:
        url = json.loads(read(process))["url"]
        assert ask(url) == "hello"
        assert json.loads(read(process))["said"] == "text"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (ExitCode.OK, "")


def test_what_it_prints_is_accepted_as_settings(tmp_path: Path) -> None:
    with playing(tmp_path, "steps: [{text: a}]") as process:
        lines = [read(process) for _ in range(11)]
    begins = [number for number, line in enumerate(lines) if not line.startswith("  ")]
    table, settings = (
        textwrap.dedent("".join(lines[at + 1 : end])) for at, end in ((begins[1], begins[2]), (begins[2], 11))
    )
    entry = read_table(table.encode(), "models.yaml").choose("scripted", Tier.T2)
    assert entry.provider.url == re.findall(r"http\S+", lines[0])[0] + "/v1"
    (tmp_path / "agentd.toml").write_text(settings)
    assert load_settings(tmp_path / "agentd.toml").models.T2 == "scripted"


@pytest.mark.parametrize(
    ("text", "said"),
    [("steps:\n- txt: a\n", "script.yaml, line 2: steps.0.txt: unknown key"), ("[", "script.yaml, line 1")],
)
def test_a_wrong_script_is_a_usage_error(tmp_path: Path, text: str, said: str) -> None:
    with playing(tmp_path, text) as process:
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (ExitCode.USAGE, "")
        assert said in errors


def test_a_port_in_use_is_a_usage_error(tmp_path: Path) -> None:
    with playing(tmp_path, "steps: [{text: a}]", "--json") as process:
        port = json.loads(read(process))["url"].rpartition(":")[2]
        with playing(tmp_path, "steps: [{text: a}]", "--port", port) as second:
            _, errors = second.communicate(timeout=30)
            assert second.returncode == ExitCode.USAGE
            assert f"port {port} is in use" in errors
