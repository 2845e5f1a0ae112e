"""`agentd configure` as an operator types it: by options and at a terminal, and no trace of the key anywhere."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.devprovider.script import Script, Step
from tests.provider.stage import serving

SECRET = "sk-canary-0123456789abcdef"
TABLE = """
providers:
  here: {{kind: vllm, url: "{url}/v1"}}
  cloud: {{kind: openai, url: "{url}/v1", key: main}}
models:
  big: {{provider: cloud, model: scripted, tier: T2}}
"""
TREE = Path(__file__).resolve().parents[2]
AGENTD = (sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(TREE)!r}); "
          "from aaos.cli.__main__ import main; sys.exit(main())")  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Settings of their own, with a model that answers slowly enough to be looked at."""
    (tmp_path / "agentd.toml").write_text(f'[models]\ntable = "{tmp_path}/models.yaml"\nkeys_dir = "{tmp_path}/keys"\n')
    with serving(Script(steps=(Step(text="yes", delay_s=0.5, times=20),))) as model:
        (tmp_path / "models.yaml").write_text(TABLE.format(url=model.url))
        yield tmp_path


def configure(place: Path, *options: str, given: str = "", **environment: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    words = [*AGENTD, "configure", "--config", str(place / "agentd.toml"), *options]
    done = subprocess.run(
        words, input=given, capture_output=True, text=True, env=os.environ | environment, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def traces(place: Path) -> list[str]:
    """Files apart from the key's own that hold it."""
    files = [path for path in place.rglob("*") if path.is_file() and path != place / "keys" / "main"]
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def test_a_key_leaves_no_trace_but_in_its_file(place: Path) -> None:
    """LLM-6, H-SEC-01: output, command line, files; and settings are shown without it."""
    words = [*AGENTD, "configure", "--config", str(place / "agentd.toml"), "--model", "big", "--key-stdin"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen: list[bytes] = []

    def watch() -> None:
        while process.poll() is None:
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    seen.append(Path(f"/proc/{process.pid}/{name}").read_bytes())
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, err = process.communicate(f"{SECRET}\n".encode(), timeout=60)
    watcher.join()
    assert process.returncode == 0, err
    assert any(b"configure" in data for data in seen)
    assert SECRET.encode() not in b"".join((*seen, out, err))
    assert (place / "keys" / "main").read_text() == f"{SECRET}\n"
    status, shown, _ = configure(place, "--show")
    assert status == 0
    assert f'models.T2 = "big"  ({place}/agentd.toml.d/50-models.toml)' in shown
    assert f'key main = "present"  ({place}/keys/main)' in shown
    assert SECRET not in shown
    assert traces(place) == []


def test_by_options_the_answer_is_one_document(place: Path) -> None:
    status, out, err = configure(place, "--json", "--model", "big", "--key-from-env", "A_KEY", A_KEY=SECRET)
    document = json.loads(out)
    assert (status, document["tier"], document["restarted"], err) == (0, "T2", False, "")
    (place / "given").write_text(SECRET)
    assert configure(place, "--provider", "cloud", "--model", "big", "--key-file", str(place / "given"))[0] == 0
    (place / "given").unlink()
    assert configure(place, "--provider", "here")[0] == 0
    assert traces(place) == []


@pytest.mark.parametrize(
    ("options", "status", "remedy"),
    [
        ([], 2, "agentd configure --provider"),
        (["--provider", "clod"], 2, "did you mean 'cloud'?"),
        (["--model", "big"], 2, "--key-stdin"),
        (["--model", "big", "--key-from-env", "NOT_THERE"], 2, "sudo --preserve-env=NOT_THERE"),
        (["--model", "big", "--key-file", "/nowhere"], 2, "ls -l /nowhere"),
        (["--provider", "ollama", "--model", "m"], 1, "look whether it runs"),
    ],
)
def test_an_error_is_one_line_with_its_remedy(place: Path, options: list[str], status: int, remedy: str) -> None:
    """OPS-3, H-API-14"""
    before = sorted(place.rglob("*"))
    code, out, err = configure(place, *options)
    assert (code, out) == (status, "")
    assert remedy in err
    assert len(err.splitlines()) == 2
    assert sorted(place.rglob("*")) == before


def test_an_error_is_a_document_where_documents_are_asked_for(place: Path) -> None:
    code, out, err = configure(place, "--json")
    assert (code, err, json.loads(out)["error"]["exit_code"]) == (2, "", 2)


def at_terminal(place: Path, *dialogue: tuple[str, str], options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit status and everything that the terminal showed; each answer is typed when its question stands there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(AGENTD[0], [*AGENTD, "configure", "--config", str(place / "agentd.toml"), *options])  # noqa: S606  # no shell is wanted
    shown, waiting = b"", list(dialogue)
    with contextlib.suppress(OSError):  # the terminal is closed when the command ends
        while piece := os.read(terminal, 4096):
            shown += piece
            if waiting and waiting[0][0].encode() in shown:
                os.write(terminal, waiting.pop(0)[1].encode())
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # about fork beside a thread
def test_at_a_terminal_it_asks_for_what_is_open_and_does_not_echo_the_key(place: Path) -> None:
    """OPS-3: the server of this machine is offered, then the provider; the second time Enter keeps the key."""
    status, shown = at_terminal(place, ("model or provider (1-2)", "1\n"))
    assert (status, "1. scripted by here on this machine" in shown) == (0, True), shown
    dialogue = [("model or provider (1-2)", "2\n"), ("model (1-2)", "\n")]
    status, shown = at_terminal(place, *dialogue, ("key for cloud:", f"{SECRET}\n"))
    assert (status, SECRET in shown) == (0, False), shown
    assert (place / "keys" / "main").read_text() == f"{SECRET}\n"
    status, shown = at_terminal(place, *dialogue, ("(Enter takes the one that is there):", "\n"))
    assert (status, "the one that was there" in shown) == (0, True), shown
    assert traces(place) == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # as above
@pytest.mark.parametrize(("typed", "status"), [("\x03", 7), ("\x04", 7)], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_changes_nothing(place: Path, typed: str, status: int) -> None:
    before = sorted(place.rglob("*"))
    code, shown = at_terminal(place, ("model or provider", typed))
    assert (code, "nothing was changed" in shown) == (status, True), shown
    assert sorted(place.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # as above
def test_standard_input_that_is_a_terminal_does_not_echo_the_key_either(place: Path) -> None:
    """LLM-6"""
    options = ("--model", "big", "--key-stdin")
    status, shown = at_terminal(place, ("key for cloud:", f"{SECRET}\n"), options=options)
    assert (status, SECRET in shown) == (0, False), shown
    assert (place / "keys" / "main").read_text() == f"{SECRET}\n"
