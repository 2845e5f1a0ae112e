"""The life of the package on a machine without systemd: `life.py OLDER.deb NEWER.deb LATER.deb`, as root, in a
throwaway root. NEWER is the package that is judged; the layout of LATER's database has a step more.

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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETTINGS = Path("/etc/aaos/agentd.toml")
STATE = Path("/var/lib/aaos")
OPERATOR = "vera"
DEADLINE_S = 60.0
WAITS = "import time\nwhile True:\n    time.sleep(1)\n"
GOAL = "summarise /usr/share/common-licenses/GPL-3 and write it to gpl.md"
ADDED = ("certifi", "h11", "httpx", "idna", "landlock", "lxml", "prctl", "pydantic", "pyseccomp", "systemd", "yaml")
OWN = ("/etc/aaos", "/var/lib/aaos", "/run/agentd", "/usr/lib/aaos", "/usr/share/aaos", "/usr/bin/agentd")


@dataclass(frozen=True)
class Packages:
    """Their files."""

    older: str
    newer: str
    later: str


def installs_and_answers(packages: Packages) -> str:
    """DEB-1, H-PKG-01: an ordinary user's goal, at once."""
    _dpkg("--install", packages.older)
    _ok("useradd", "--create-home", "--groups", "aaos", OPERATOR)
    with _daemon():
        said = _as_operator("submit", GOAL)
        assert "12 layers verified" in said, said
    text = Path(f"/home/{OPERATOR}/gpl.md").read_text(encoding="utf-8")
    assert "674 lines" in text, text[:200]
    return "a summary in the operator's home"


def belongs_to_root_alone(_: Packages) -> str:
    """H-PKG-04: nobody else can change what is imported, nor any directory on the way to it."""
    head = Path("/usr/bin/agentd").read_text(encoding="utf-8").partition("from aaos")[0]
    code = f"{head}import aaos.daemon.__main__; print('\\n'.join(sys.path))"
    places = _ok("/usr/bin/python3", "-IS", "-c", code).split()
    assert places[0] == "/usr/lib/aaos"
    assert not [place for place in places if not place.startswith("/usr/lib/")], places
    there = [
        place
        for place in (*places, "/usr/bin/agentd", "/usr/share/aaos", "/usr/lib/systemd/system")
        if Path(place).exists()
    ]
    loose = _ok("find", *there, "!", "-type", "l", "(", "!", "-user", "root", "-o", "-perm", "/022", ")")
    above = [str(path) for place in there for path in Path(place).parents if _is_loose(path)]
    assert (loose, above) == ("", [])
    return f"{', '.join(places)}"


def imports_nothing_of_who_calls_it(_: Packages) -> str:
    """H-PKG-04: neither from the current directory nor from a user's own packages, nor what the environment names."""
    first = Path("/usr/bin/agentd").read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/usr/bin/python3 -IS", first
    home = Path(f"/home/{OPERATOR}")
    version = _ok("/usr/bin/python3", "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    site = home / ".local/lib" / f"python{version}" / "site-packages"
    site.mkdir(parents=True)
    for place in (home, site):
        for name in ("aaos", "worker", "json", "usercustomize", "sitecustomize"):
            (place / f"{name}.py").write_text(f"print('PLANTED in {place}')\n", encoding="utf-8")
    environment = f"cd {home} && export PYTHONPATH={home} PYTHONSTARTUP={home}/json.py PYTHONUSERBASE={home}/.local"
    planted = f"{environment} && python3 -c 'import json'"
    assert "PLANTED" in _ok("runuser", "--login", OPERATOR, "--command", planted), "the trap does not work"
    for command in ("agentd version", "agentd --help", "agentd doctor || :"):
        for way in (("sh", "-c"), ("runuser", "--login", OPERATOR, "--command")):
            ran = _run(*way, f"{environment} && {command}")
            assert "PLANTED" not in ran.stdout + ran.stderr, ran
    for name in ("aaos", "worker", "json", "usercustomize", "sitecustomize"):
        (home / f"{name}.py").unlink()
    return "nothing that was planted was run"


def imports_nothing_that_pip_has_added(_: Packages) -> str:
    """H-PKG-04: root's own packages stand beside Debian's and not in their way: in client, daemon, zygote, egress."""
    version = _ok("/usr/bin/python3", "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    site, caught = Path(f"/usr/local/lib/python{version}/dist-packages"), Path("/run/planted")
    caught.touch()
    caught.chmod(0o666)
    line = f"import sys; open('{caught}', 'a').write(' '.join(sys.orig_argv) + chr(10))\n"
    site.mkdir(parents=True, exist_ok=True)
    planted = [site / f"{name}.py" for name in (*ADDED, "sitecustomize")] + [site / "planted.pth"]
    for path in planted:
        path.write_text(line, encoding="utf-8")
    _ok("/usr/bin/python3", "-I", "-c", "import yaml")
    assert caught.read_text(encoding="utf-8").count("import yaml") >= 2, "the trap does not work"
    with _daemon():
        assert "12 layers verified" in _as_operator("submit", GOAL)
        _run("/usr/bin/agentd", "doctor")
    for path in planted:
        path.unlink()
    lines = caught.read_text(encoding="utf-8").splitlines()
    caught.unlink()
    ours = [line for line in lines if "agentd" in line or "aaos" in line]
    assert not [line for line in ours if "under_unit.py" not in line], lines
    return f"{len(planted)} traps, none met"


def says_what_a_machine_lacks(_: Packages) -> str:
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


def upgrades_with_a_run_under_way(packages: Packages) -> str:
    """DEB-3, H-PKG-02: edited conffiles stay, others follow; a run of the older daemon goes on under the newer."""
    Path(f"/home/{OPERATOR}/waits.py").write_text(WAITS, encoding="utf-8")
    SETTINGS.write_text(
        SETTINGS.read_text(encoding="utf-8").replace("#max_runs = 64", "max_runs = 7"), encoding="utf-8"
    )
    before = SETTINGS.read_bytes()
    with _daemon():
        run = _waiting()
    _dpkg("--force-confold", "--install", packages.newer)
    assert SETTINGS.read_bytes() == before
    assert SETTINGS.with_suffix(".toml.dpkg-dist").exists()
    assert b"an older line" not in Path("/etc/aaos/models.yaml").read_bytes()
    with _daemon():
        assert _state(run) == "running", _as_operator("status", run)
        _as_operator("stop", run)
    return f"max_runs = 7 is still there, {run} went on"


def is_downgraded_and_upgraded(packages: Packages) -> str:
    """DEB-3: between two versions whose databases are laid out alike, nothing has to be done."""
    for package in (packages.older, packages.newer):
        _dpkg("--force-confold", "--install", package)
        with _daemon():
            assert "completed" in _as_operator("list")
    return "both serve on the same state"


def crosses_a_change_of_layout(packages: Packages) -> str:
    """DEB-3, H-DUR-13: a run goes on over the change; the database as it was is kept, and told."""
    with _daemon():
        run = _waiting()
    layout = _layout()
    _dpkg("--force-confold", "--install", packages.later)
    with _daemon():
        _until(lambda: _state(run) == "running")
        told = _run("/usr/bin/agentd", "doctor").stdout
    kept = STATE / f"aaos.db.v{layout}.backup"
    assert str(kept) in told, told
    assert kept.stat().st_mode & 0o777 == 0o600
    assert _layout() == layout + 1
    return f"{run} went on, {kept} was kept"


def comes_back_from_a_newer_layout(packages: Packages) -> str:
    """DEB-3, H-DUR-13: refused with nothing changed; then by the commands of the remedy, and the run goes on again."""
    _dpkg("--force-confold", "--install", packages.newer)
    before = _contents()
    ran = _run("/usr/bin/agentd", "run", "--without", "cgroup")
    assert ran.returncode == 8, ran
    refusal, remedy = ran.stderr.splitlines()[-2:]
    assert "has layout" in refusal, ran
    after = _contents()
    assert after == before, [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    _ok("sh", "-euc", remedy.partition("put aside: ")[2])
    with _daemon():
        (run,) = (row["run"] for row in _runs() if row["state"] == "running")
        _as_operator("stop", str(run))
        assert "completed" in _as_operator("list")
    return refusal


def goes_on_where_it_was_put_aside(packages: Packages) -> str:
    """DEB-3: the later version once more, over the state that went back."""
    _dpkg("--force-confold", "--install", packages.later)
    with _daemon():
        assert "completed" in _as_operator("list")
    _dpkg("--force-confold", "--install", packages.newer)
    ran = _run("/usr/bin/agentd", "run", "--without", "cgroup")
    _ok("sh", "-euc", ran.stderr.splitlines()[-1].partition("put aside: ")[2])
    return f"{len(list(STATE.glob('newer-*')))} states put aside"


def is_reinstalled(packages: Packages) -> str:
    """DEB-3: over itself, with an edited conffile and one that was taken away."""
    before = SETTINGS.read_bytes()
    _dpkg("--force-confold", "--install", packages.newer)
    assert SETTINGS.read_bytes() == before
    with _daemon():
        _as_operator("list")
    return "the settings are as they were, and it serves"


def is_removed_and_comes_back(packages: Packages) -> str:
    """H-PKG-02: program gone, settings and state kept, and found again."""
    _dpkg("--remove", "aaos")
    assert _left() == ["/etc/aaos", "/var/lib/aaos", "/run/agentd"], _left()
    assert list(Path("/run/agentd").iterdir()) == []
    assert b"max_runs = 7" in SETTINGS.read_bytes()
    _dpkg("--force-confold", "--install", packages.newer)
    with _daemon():
        assert "completed" in _as_operator("list")
    return "settings and runs are there again"


def is_purged(_: Packages) -> str:
    """H-PKG-02, LLM-6: nothing is left, keys least of all; a workspace that a killed agentd left is unmounted first."""
    for place in ("/etc/aaos/keys/k", "/etc/credstore/aaos-key-k", "/etc/credstore.encrypted/aaos-key-k"):
        Path(place).write_text("planted", encoding="utf-8")
    workspace, theirs = Path("/run/agentd/workspaces/r-killed"), Path("/srv/theirs")
    for made in (workspace, theirs):
        made.mkdir(parents=True)
    (theirs / "kept").write_text("kept", encoding="utf-8")
    _ok("mount", "--bind", str(theirs), str(workspace))
    _dpkg("--purge", "aaos")
    assert [path.name for path in theirs.iterdir()] == ["kept"], "deleted through a mount"
    left = (
        _left()
        + _ok("find", "/etc", "/var/lib", "/usr/lib/systemd", "-name", "*aaos*", "-o", "-name", "*agentd*").split()
    )
    left = [path for path in left if "/var/lib/systemd/deb-systemd-helper" not in path]
    assert left == [], left
    return "nothing left"


def is_installed_once_more(packages: Packages) -> str:
    """DEB-3: after a purge it begins anew."""
    _dpkg("--install", packages.newer)
    with _daemon():
        assert "r-" not in _as_operator("list")
    return "no run of before"


PROMISES = (
    installs_and_answers, belongs_to_root_alone, imports_nothing_of_who_calls_it, imports_nothing_that_pip_has_added,
    says_what_a_machine_lacks, upgrades_with_a_run_under_way, is_downgraded_and_upgraded, crosses_a_change_of_layout,
    comes_back_from_a_newer_layout, goes_on_where_it_was_put_aside, is_reinstalled, is_removed_and_comes_back,
    is_purged, is_installed_once_more,
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


def _is_loose(path: Path) -> bool:
    status = path.stat()
    return status.st_uid != 0 or bool(status.st_mode & 0o022)


def _waiting() -> str:
    """A run of the operator that will not end by itself."""
    run = str(re.findall(r"r-\w+", _as_operator("submit", "--detach", "--program", "waits.py", "wait"))[0])
    _until(lambda: _state(run) == "running")
    return run


def _runs() -> list[dict[str, object]]:
    rows = [json.loads(line) for line in _ok("/usr/bin/agentd", "--json", "list").splitlines()]
    return rows[0]["runs"] if rows and "runs" in rows[0] else rows


def _layout() -> int:
    with closing(sqlite3.connect(STATE / "aaos.db")) as opened:
        return int(opened.execute("PRAGMA user_version").fetchone()[0])


def _contents() -> dict[str, bytes]:
    """All that the state holds; the lock has the process id of who asked last, and an empty log is none."""
    files = (path for path in STATE.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): data for path in files if (data := path.read_bytes())}


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


def main(packages: Packages) -> int:
    """Tell what holds."""
    for promise in PROMISES:
        name = promise.__name__.replace("_", " ")
        try:
            print(f"ok      {name}: {promise(packages)}", flush=True)
        except Exception as error:  # noqa: BLE001  # whatever it is, the promise is not kept
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Packages(*sys.argv[1:4])))
