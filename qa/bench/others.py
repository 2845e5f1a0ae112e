"""What others take to run a Python that says hello behind a wall, beside a worker of ours: interleaved, in one run.

A system that is not installed, or does not run here, is named with the reason and left out; `./dev bench others` gets
what can be had of them. The wall of each is what it gives by default or by the options shown here: none of them has all
layers of ours.
"""

import asyncio
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qa.bench.kit import bench, median, missing_layers, p
from qa.bench.report import Report
from qa.bench.spawn import AT_ONCE, launch_many, launch_once

ROUNDS = 20
TIMEOUT_S = 20.0
PYTHON = os.path.realpath(sys.executable)
HELLO = (PYTHON, "-I", "-S", "-c", "print('hello')")
TRUE = ("/bin/true",)
LIBRARIES = ("/usr", "/bin", "/lib", "/lib64", str(Path(PYTHON).parents[1]))
Run = Callable[[Sequence[str]], None]  # to the end of the program; raises OSError, RuntimeError


def main() -> None:
    """Run and print."""
    take(Report())


def take(report: Report) -> None:
    """Run and tell."""
    with tempfile.TemporaryDirectory(prefix="aaos-bench-") as name:
        able, unable = _tried(contenders(Path(name)))
        ours, theirs = asyncio.run(_compete(able))
    cold, parked = median(ours["cold"]), median(ours["parked"])
    heading = ("", "true ms", "hello ms", "hello p95", "to ours, cold", "to ours, parked")
    own = [(f"aaOS launch(), {name}", "", f"{median(ms):.2f}", f"{p(ms, 95):.2f}", "", "") for name, ms in ours.items()]
    report.table(
        f"from request to hello, n={ROUNDS}, interleaved; layers that ours went without: "
        f"{', '.join(sorted(missing_layers())) or 'none'}",
        [heading, *own, *(_row(name, *taken, cold, parked) for name, taken in theirs.items())],
    )
    if unable:
        report.table("left out", [("system", "reason"), *sorted(unable.items())])


def _row(name: str, true_ms: list[float], hello_ms: list[float], cold: float, parked: float) -> tuple[str, ...]:
    hello = median(hello_ms)
    shown = (f"{median(true_ms):.2f}", f"{hello:.2f}", f"{p(hello_ms, 95):.2f}")
    return name, *shown, f"{hello / cold:.1f}", f"{hello / parked:.1f}"


def contenders(scratch: Path) -> Mapping[str, Run | str]:
    """How each runs a program, or why it cannot."""
    namespaces = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--net", "--ipc", "--uts")
    binds = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev")
    firejail = ("--quiet", "--noprofile", "--net=none", "--private-tmp", "--caps.drop=all", "--seccomp")
    found: dict[str, Run | str] = {
        "no wall": _run(),
        "unshare, 7 namespaces": _command("unshare", *namespaces),
        "bubblewrap --unshare-all": _command("bwrap", "--unshare-all", "--die-with-parent", *binds),
        "firejail": _command("firejail", *firejail),
        "sandbox-runtime": _in_shell(shutil.which("srt", path=f"{sys.prefix}/others/node_modules/.bin")),
        "sandlock": _sandlock(),
    }
    for name in ("crun", "runc"):
        found[name] = _bundled(name, scratch / name) if shutil.which(name) else "not installed"
    if missing_layers() and not isinstance(found["runc"], str):
        found["runc"] = "needs cgroup v2 controllers, which this machine lacks"
    return found


def _command(name: str, *options: str) -> Run | str:
    return _run(name, *options) if shutil.which(name) else "not installed"


def _in_shell(path: str | None) -> Run | str:
    """One that takes a line for a shell."""
    return (lambda program: _run(path, "-c")((shlex.join(program),))) if path else "not installed"


def _run(*before: str) -> Run:
    def run(program: Sequence[str]) -> None:
        ended = subprocess.run(
            [*before, *program], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip().splitlines()
            raise RuntimeError(said[-1] if said else f"exit status {ended.returncode}")

    return run


def _sandlock() -> Run | str:
    if importlib.util.find_spec("sandlock") is None:
        return "not installed"
    module = importlib.import_module("sandlock")

    def run(program: Sequence[str]) -> None:
        result = module.Sandbox(fs_readable=[*LIBRARIES, "/etc", "/dev", "/proc"]).run(list(program))
        if not result.success or (program is HELLO and b"hello" not in result.stdout):
            raise RuntimeError(str(result.error or result.stderr)[:200])

    return run


def _bundled(name: str, bundle: Path) -> Run:
    """An OCI runtime, which takes its program from a file."""
    (bundle / "rootfs").mkdir(parents=True)
    options = ("--cgroup-manager=disabled",) if name == "crun" else ()

    def run(program: Sequence[str]) -> None:
        (bundle / "config.json").write_text(json.dumps(_oci(program)))
        _run(name, *options, "run", "--bundle", str(bundle), f"aaos-bench-{time.monotonic_ns()}")(program[:0])

    return run


def _oci(program: Sequence[str]) -> dict[str, object]:
    binds = [{"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]} for path in LIBRARIES]
    process = {"user": {"uid": 0, "gid": 0}, "args": list(program), "env": ["PATH=/usr/bin:/bin"], "cwd": "/"}
    return {
        "ociVersion": "1.0.0",
        "process": process,
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, *binds],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def _tried(found: Mapping[str, Run | str]) -> tuple[Mapping[str, Run], dict[str, str]]:
    """Those that run both programs here, and why the others do not."""
    able: dict[str, Run] = {}
    unable: dict[str, str] = {}
    for name, run in found.items():
        if isinstance(run, str):
            unable[name] = run
            continue
        try:
            run(TRUE)
            run(HELLO)
            able[name] = run
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            unable[name] = f"does not run here: {str(error).replace(PYTHON, 'python3').splitlines()[0][:120]}"
    return able, unable


Times = dict[str, tuple[list[float], list[float]]]


async def _compete(able: Mapping[str, Run]) -> tuple[dict[str, list[float]], Times]:
    """Milliseconds of ours, cold and parked, and of the others with both programs; all in turn."""
    ours: dict[str, list[float]] = {"cold": [], "parked": []}
    theirs: Times = {name: ([], []) for name in able}
    async with bench(missing_layers()) as cold, bench(missing_layers(), parked=AT_ONCE) as parking:
        await launch_many(parking, 0)
        await launch_many(cold, 0)
        for number in range(ROUNDS):
            ours["cold"].append((await launch_once(cold, 100 + number))[0])
            await parking.filled(AT_ONCE)
            ours["parked"].append((await launch_once(parking, 100 + number))[0])
            await parking.filled(AT_ONCE)
            for name, run in able.items():
                for program, taken in zip((TRUE, HELLO), theirs[name], strict=True):
                    taken.append(await asyncio.to_thread(_timed, run, program))
    return ours, theirs


def _timed(run: Run, program: Sequence[str]) -> float:
    begun = time.perf_counter()
    run(program)
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    main()
