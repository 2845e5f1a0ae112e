"""`agentd secrets set`, killed at any step: no value goes where the other one goes, and the next command mends it."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aaos.broker.secrets import SecretStore
from aaos.core.errors import NotFoundError
from aaos.daemon import secrets_command

OLD, NEW = "old-0123456789", "new-0123456789"
STEPS = 40  # more than there are


@pytest.fixture(autouse=True)
def _ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that runs the tests is neither hardened nor left without its own standard input."""
    monkeypatch.setattr("aaos.daemon.process.harden", lambda: None)
    monkeypatch.setattr(sys, "stdin", sys.stdin)


def _command(place: Path, *words: str, value: str = "") -> int:
    sys.stdin = io.TextIOWrapper(io.BytesIO(value.encode()))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return secrets_command.main(["--config", f"{place}/agentd.toml", *words])


def _killed_at(step: int, act: Callable[[], object]) -> bool:
    """Whether a process that acts was killed right before this change to a file, which it asks the kernel for."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def look(event: str, _: object) -> None:
            if event in ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.fchmod"):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(look)
        try:
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("was_there", [True, False])
def test_a_kill_at_any_step_sends_no_value_where_the_other_goes(tmp_path: Path, was_there: bool) -> None:
    """TOL-9: old to old, new to new, or none; then it can be set again and removed, and nothing is left."""
    killed, ends = 0, set()
    for step in range(STEPS):
        place = tmp_path / f"{step}"
        place.mkdir()
        (place / "agentd.toml").write_text(f'[egress]\nsecrets_dir = "{place}/secrets.d"\n')
        if was_there:
            assert _command(place, "set", "github", "--host", "old.example", value=OLD) == 0
        is_killed = _killed_at(
            step,
            lambda place=place: _command(place, "set", "github", "--host", "new.example", value=NEW),  # type: ignore[misc]  # bound now
        )
        killed += is_killed
        store = SecretStore(place / "secrets.d")
        try:
            found = store.read("github")
        except NotFoundError:
            ends.add("none")
        else:
            pair = (found.key.reveal(), found.use.host)
            assert pair in ((OLD, "old.example:443"), (NEW, "new.example:443")), step
            ends.add(pair[0])
        _command(place, "rm", "github")
        left = list((place / "secrets.d").iterdir()) if (place / "secrets.d").exists() else []
        assert left == [], (step, left)
        if not is_killed:
            break
    assert killed >= 6
    assert ends == ({OLD, "none", NEW} if was_there else {"none", NEW})
