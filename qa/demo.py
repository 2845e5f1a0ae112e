"""The main job, run as an operator would: a private agentd, goals over this machine's own files, the wall at work.

Everything it claims it checks for itself; whatever is not as promised ends it with exit status 1.
"""

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qa.daemon import REPOSITORY, PrivateDaemon, left_out, private_daemon

LICENCES = Path("/usr/share/common-licenses")
PACKAGES = Path("/var/lib/dpkg/status")
SHOWN_LINES = 40
WAITING_PROGRAM = """
import json, socket
agentd = socket.socket(fileno=3)
agentd.recv(65536)
agentd.send(json.dumps({"t": "log", "text": "waiting"}).encode())
agentd.recv(65536)
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """A private daemon, where the reports go, and what turned out otherwise than promised."""

    daemon: PrivateDaemon
    out: Path
    broken: list[str] = field(default_factory=list)

    def agentd(self, *arguments: str) -> tuple[int, str]:
        """Run an `agentd` command as an operator, shown as it goes; its exit status and output."""
        print(f"\n$ agentd {' '.join(_shown(a) for a in arguments)}", flush=True)
        finished = self.daemon.run(*arguments, each_line=lambda line: print(f"  {line}", end="", flush=True))
        return finished.status, finished.output

    def expect(self, promise: str, kept: bool) -> None:
        """Say whether a promise was kept."""
        print(f"  {'ok' if kept else 'BROKEN'}: {promise}", flush=True)
        if not kept:
            self.broken.append(promise)


def main() -> int:
    """Run every scene; 0 when all promises were kept."""
    kept = Path(tempfile.mkdtemp(prefix="aaos-demo-"))
    with private_daemon() as daemon:
        print(f"$ agentd {' '.join(daemon.arguments)} &", flush=True)
        demo = Demo(daemon, kept)
        for scene in (compare_licences, report_packages, refuse_a_read, try_to_escape, attest_a_worker):
            scene(demo)
        shutil.copy(daemon.path("state/audit.jsonl"), kept)
    print(f"\nresults: {kept}\naudit:   {kept / 'audit.jsonl'}")
    print("\nall promises kept" if not demo.broken else f"\nBROKEN: {'; '.join(demo.broken)}")
    return 1 if demo.broken else 0


def compare_licences(demo: Demo) -> None:
    """A goal over two files: two analyzers in parallel, a comparison, a file."""
    first, second = (LICENCES / name for name in ("GPL-3", "Apache-2.0"))
    target = demo.out / "licences.md"
    status, _ = demo.agentd("submit", f"summarise {first}, summarise {second}, and write the comparison to {target}")
    text = _show(target)
    demo.expect("the comparison is where it was asked for", status == 0 and bool(text))
    for path in (first, second):
        lines = len(path.read_text().splitlines())
        demo.expect(f"it says of {path.name} what is true: {lines} lines", path.name in text and _has(lines, text))


def report_packages(demo: Demo) -> None:
    """A goal over records; the truth is counted here a second time, in another way."""
    target = demo.out / "packages.md"
    status, _ = demo.agentd("submit", f"report the largest 20 installed packages from {PACKAGES} to {target}")
    text = _show(target)
    demo.expect("the report is where it was asked for", status == 0 and bool(text))
    wanted = _largest_packages(20)
    found = [name for name in wanted if re.search(rf"(?<![\w.+-]){re.escape(name)}(?![\w.+-])", text)]
    demo.expect("it names the 20 largest installed packages", len(found) == len(wanted) > 0)


def refuse_a_read(demo: Demo) -> None:
    """A goal that reaches outside the envelope its operator set."""
    status, text = demo.agentd("submit", "--read", str(LICENCES), "summarise /etc/passwd")
    demo.expect("a read outside the envelope is refused", status == 3)
    demo.expect("the refusal names the grant that would allow it", "--read /etc/passwd" in text)


def try_to_escape(demo: Demo) -> None:
    """A hostile agent program."""
    status, text = demo.agentd("submit", "--program", str(REPOSITORY / "qa/hostile/ten_escapes.py"), "get out")
    demo.expect("ten escapes get nowhere", status == 0 and "0 of 10 attempts got anywhere" in text)


def attest_a_worker(demo: Demo) -> None:
    """What confines a live worker, looked up from outside."""
    demo.daemon.write("waits.py", WAITING_PROGRAM)
    _, text = demo.agentd("submit", "--detach", "--program", demo.daemon.path("waits.py"), "wait to be looked at")
    found = re.search(r"\br-[a-z0-9]{12}\b", text)
    run = found.group() if found else "r-"
    _until(lambda: "waiting" in demo.daemon.run("logs", run).output)
    status, text = demo.agentd("attest", run)
    confirmed = len(re.findall(r"^\w+ +denied +(?:confirmed|verified)", text, re.MULTILINE))
    demo.expect("every layer that is not left out is confirmed", status == 0 and confirmed == 13 - len(left_out()))
    demo.agentd("stop", run)


def _until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"it took longer than {seconds:.0f} s")
        time.sleep(0.1)


def _largest_packages(count: int) -> list[str]:
    sizes = {}
    for stanza in PACKAGES.read_text(errors="replace").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed") and "Installed-Size" in fields:
            sizes[fields["Package"]] = int(fields["Installed-Size"])
    return sorted(sizes, key=lambda name: -sizes[name])[:count]


def _show(path: Path) -> str:
    text = path.read_text() if path.is_file() else ""
    for line in text.splitlines()[:SHOWN_LINES]:
        print(f"  | {line}")
    return text


def _has(number: int, text: str) -> bool:
    return re.search(rf"\b{number:,}\b|\b{number}\b", text) is not None


def _shown(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


if __name__ == "__main__":
    sys.exit(main())
