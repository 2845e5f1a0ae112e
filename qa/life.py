"""The life of the package on a machine without systemd: `life.py OLDER.deb NEWER.deb`, as root, in a throwaway root.

Each function is a promise, in the order of a machine's life; the first that does not hold ends it with status 1. The
daemon is started as its unit would start it, by under_unit.py, which packaging/judge puts beside this file; without
cgroup v2, which build machines lack. It must need nothing but Python's own library.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETTINGS = Path("/etc/aaos/agentd.toml")
STATE = Path("/var/lib/aaos")
OPERATOR = "vera"
DEADLINE_S = 60.0
WAITS = "import time\nwhile True:\n    time.sleep(1)\n"
GOAL = "summarise /usr/share/common-licenses/GPL-3 and write it to gpl.md"
OWN = ("/etc/aaos", "/var/lib/aaos", "/run/agentd", "/usr/lib/aaos", "/usr/share/aaos", "/usr/bin/agentd")


def installs_and_answers(older: str, _: str) -> str:
    """DEB-1, H-PKG-01: an ordinary user's goal, at once."""
    _dpkg("--install", older)
    _ok("useradd", "--create-home", "--groups", "aaos", OPERATOR)
    with _daemon():
        said = _as_operator("submit", GOAL)
        assert "12 layers verified" in said, said
    text = Path(f"/home/{OPERATOR}/gpl.md").read_text(encoding="utf-8")
    assert "674 lines" in text, text[:200]
    return "a summary in the operator's home"


def says_what_a_machine_lacks(*_: str) -> str:
    """DEB-3, ISO-8, OPS-4: it is installed where a layer is missing; service and doctor say which, and what to do."""
    _ok("mount", "-t", "tmpfs", "none", "/sys/fs/cgroup")
    started = _run("/usr/bin/agentd", "run")
    looked = _run("/usr/bin/agentd", "doctor")
    _ok("umount", "/sys/fs/cgroup")
    for ran in (started, looked):
        assert ran.returncode == 6, ran
        assert "cgroup v2" in ran.stdout + ran.stderr, ran
    assert "\n  try: " in started.stderr, started
    assert len(started.stderr.splitlines()) == 2, started
    return started.stderr.splitlines()[0]


def upgrades_with_a_run_under_way(_: str, newer: str) -> str:
    """DEB-3, H-PKG-02: edited conffiles stay, others follow; a run of the older daemon goes on under the newer."""
    Path(f"/home/{OPERATOR}/waits.py").write_text(WAITS, encoding="utf-8")
    SETTINGS.write_text(
        SETTINGS.read_text(encoding="utf-8").replace("#max_runs = 64", "max_runs = 7"), encoding="utf-8"
    )
    before = SETTINGS.read_bytes()
    with _daemon():
        run = re.findall(r"r-\w+", _as_operator("submit", "--detach", "--program", "waits.py", "wait"))[0]
        _until(lambda: _state(run) == "running")
    _dpkg("--force-confold", "--install", newer)
    assert SETTINGS.read_bytes() == before
    assert SETTINGS.with_suffix(".toml.dpkg-dist").exists()
    assert b"an older line" not in Path("/etc/aaos/models.yaml").read_bytes()
    with _daemon():
        assert _state(run) == "running", _as_operator("status", run)
        _as_operator("stop", run)
    return f"max_runs = 7 is still there, {run} went on"


def an_older_program_refuses_a_newer_state(older: str, newer: str) -> str:
    """DEB-3, H-DUR-13: it serves on state of its own layout; a newer one is refused and not touched."""
    _dpkg("--force-confold", "--install", older)
    with _daemon():
        assert "completed" in _as_operator("list")
    database = STATE / "aaos.db"
    with sqlite3.connect(database) as opened:
        (layout,) = opened.execute("PRAGMA user_version").fetchone()
        opened.execute(f"PRAGMA user_version = {layout + 1}")
    opened.close()
    before = database.read_bytes()
    ran = _run("/usr/bin/agentd", "run", "--without", "cgroup")
    assert ran.returncode == 8, ran
    assert f"has layout {layout + 1}" in ran.stderr, ran
    assert "install the newer agentd" in ran.stderr, ran
    assert database.read_bytes() == before
    with sqlite3.connect(database) as opened:
        opened.execute(f"PRAGMA user_version = {layout}")
    opened.close()
    _dpkg("--force-confold", "--install", newer)
    return ran.stderr.splitlines()[-2]


def is_reinstalled(_: str, newer: str) -> str:
    """DEB-3: over itself, with an edited conffile and one that was taken away."""
    before = SETTINGS.read_bytes()
    _dpkg("--force-confold", "--install", newer)
    assert SETTINGS.read_bytes() == before
    with _daemon():
        _as_operator("list")
    return "the settings are as they were, and it serves"


def is_removed_and_comes_back(_: str, newer: str) -> str:
    """H-PKG-02: program gone, settings and state kept, and found again."""
    _dpkg("--remove", "aaos")
    assert _left() == ["/etc/aaos", "/var/lib/aaos", "/run/agentd"], _left()
    assert list(Path("/run/agentd").iterdir()) == []
    assert b"max_runs = 7" in SETTINGS.read_bytes()
    _dpkg("--force-confold", "--install", newer)
    with _daemon():
        assert "completed" in _as_operator("list")
    return "settings and runs are there again"


def is_purged(*_: str) -> str:
    """H-PKG-02, LLM-6: nothing is left, keys least of all."""
    for place in ("/etc/aaos/keys/k", "/etc/credstore/aaos-key-k", "/etc/credstore.encrypted/aaos-key-k"):
        Path(place).write_text("planted", encoding="utf-8")
    _dpkg("--purge", "aaos")
    left = (
        _left()
        + _ok("find", "/etc", "/var/lib", "/usr/lib/systemd", "-name", "*aaos*", "-o", "-name", "*agentd*").split()
    )
    left = [path for path in left if "/var/lib/systemd/deb-systemd-helper" not in path]
    assert left == [], left
    return "nothing left"


def is_installed_once_more(_: str, newer: str) -> str:
    """DEB-3: after a purge it begins anew."""
    _dpkg("--install", newer)
    with _daemon():
        assert "r-" not in _as_operator("list")
    return "no run of before"


PROMISES = (
    installs_and_answers, says_what_a_machine_lacks, upgrades_with_a_run_under_way,
    an_older_program_refuses_a_newer_state, is_reinstalled, is_removed_and_comes_back, is_purged,
    is_installed_once_more,
)  # fmt: skip


# --- what they are made of ----------------------------------------------------------------------------------------


@contextmanager
def _daemon() -> Iterator[None]:
    """The installed daemon, as its unit would run it."""
    unit = "/usr/lib/systemd/system/agentd.service"
    start = [sys.executable, "-I", str(HERE / "under_unit.py"), unit, "/usr/bin/agentd", "run", "--without", "cgroup"]
    _ok("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/aaos.conf")
    process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True)
    try:
        _until(lambda: process.poll() is not None or _run("/usr/bin/agentd", "list").returncode == 0)
        assert process.poll() is None, process.communicate()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE_S)
    assert process.returncode == 0, process.communicate()


def _as_operator(*words: str) -> str:
    return _ok("runuser", "--login", OPERATOR, "--command", " ".join(map(_quoted, ("agentd", *words))))


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _state(run: str) -> object:
    return json.loads(_run("/usr/bin/agentd", "--json", "status", run).stdout.splitlines()[-1])["state"]


def _left() -> list[str]:
    return [path for path in OWN if Path(path).exists()]


def _dpkg(*words: str) -> None:
    _ok("dpkg", *words)


def _ok(*command: str) -> str:
    ran = _run(*command)
    assert ran.returncode == 0, ran
    return ran.stdout


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=environment,
    )


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


def main(older: str, newer: str) -> int:
    """Tell what holds."""
    for promise in PROMISES:
        name = promise.__name__.replace("_", " ")
        try:
            print(f"ok      {name}: {promise(older, newer)}", flush=True)
        except Exception as error:  # noqa: BLE001  # whatever it is, the promise is not kept
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
