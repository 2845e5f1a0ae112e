"""`agentd dev-provider` as a program: it says where it listens, answers, and ends with Ctrl-C."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aaos.core.errors import ExitCode

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
