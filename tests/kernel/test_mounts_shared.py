"""Granted directories on mounts that pass their mounts on, as systemd makes all of a machine's: neither way is open."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aaos.core.ports import Root
from tests.kernel.cells import PYTHON, cell
from tests.kernel.harness import OWNER, Stand, granted

WAITS = """
import os, time
print("ready", flush=True)
for _ in range(200):
    if os.path.exists({go!r}):
        break
    time.sleep(0.05)
print(os.listdir({below!r}))
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A directory of OWNER with control files, on a shared mount."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "none", str(tmp_path)], check=True)
    subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
    try:
        for name in ("", ".git", "below"):
            (tmp_path / name).mkdir(exist_ok=True)
            os.chown(tmp_path / name, OWNER, OWNER)
        yield tmp_path
    finally:
        subprocess.run(["umount", "--recursive", str(tmp_path)], check=True)


@pytest.fixture
def root(workspace: Path) -> Iterator[Root]:
    """It, granted for writing."""
    with granted(workspace, writable=True, as_owner=True) as opened:
        yield opened


def _mounts(below: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split()[4].startswith(str(below))]


def test_covering_control_files_changes_nothing_on_the_machine(stand: Stand, workspace: Path, root: Root) -> None:
    """ISO-11, H-FS-15: the owner goes on working with the repository, while the agent is there and afterwards."""
    before = _mounts(workspace)
    assert len(before) == 1
    assert "shared:" in before[0]
    program = f"""
attempt(lambda: open({str(workspace / ".git" / "config")!r}, "w"))
import os
say(os.path.exists({str(workspace)!r}))
"""
    assert stand.attack(program, root).said[-1] == "True"
    assert _mounts(workspace) == before
    result = stand.run(
        stand.launcher.cells.run_cell(cell("/bin/sh", "-c", "echo x > .git/x", roots=[root], cwd=root.path), _silent)
    )
    assert b"Read-only file system" in result.stderr
    assert _mounts(workspace) == before
    (workspace / ".git" / "config").write_text("of its owner")


def test_what_is_mounted_later_does_not_come_in(stand: Stand, workspace: Path, root: Root) -> None:
    """ISO-3: with the rights that it has on the machine it would."""
    below, go = workspace / "below", workspace / "go"

    async def run() -> bytes:
        ready = asyncio.Event()
        source = WAITS.format(go=str(go), below=str(below))
        request = cell(PYTHON, "-I", "-c", source, roots=[root])
        running = asyncio.create_task(stand.launcher.cells.run_cell(request, lambda *_: ready.set()))
        async with asyncio.timeout(15):
            await ready.wait()
        await asyncio.to_thread(subprocess.run, ["mount", "-t", "tmpfs", "none", str(below)], check=True)
        (below / "secret").write_text("x")
        go.write_text("")
        return (await running).stdout

    assert stand.run(run()) == b"ready\n[]\n"


def _silent(*_: object) -> None:
    """Nobody listens."""
