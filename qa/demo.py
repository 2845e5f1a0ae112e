"""The main job, run as an operator would: a private agentd, goals over this machine's own files and over web pages, the
wall at work. With two addresses as arguments, the pages are those in place of the demo's own.

Everything it claims it checks for itself; whatever is not as promised ends it with exit status 1.
"""

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qa import fronts
from qa.daemon import REPOSITORY, PrivateDaemon, left_out, private_daemon

LICENCES = Path("/usr/share/common-licenses")
PACKAGES = Path("/var/lib/dpkg/status")
FRONTS = "fronts.md"
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
    urls = sys.argv[1:]
    if len(urls) not in (0, 2):
        print("usage: ./dev demo [URL URL]", file=sys.stderr)
        return 2
    kept = Path(tempfile.mkdtemp(prefix="aaos-demo-"))
    with private_daemon() as daemon:
        print(f"$ agentd {' '.join(daemon.arguments)} &", flush=True)
        demo = Demo(daemon, kept)
        for scene in (compare_licences, report_packages, refuse_a_read):
            scene(demo)
        if urls:
            compare_fronts(demo, urls)
        else:
            with fronts.served() as served:
                compare_fronts(demo, served.urls)
                check_fronts(demo, served)
                refuse_a_fetch(demo, served)
        for scene in (try_to_escape, attest_a_worker):
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


def compare_fronts(demo: Demo, urls: Sequence[str]) -> None:
    """The canonical goal: two pages fetched at the same time, their top stories compared, the comparison written."""
    target = demo.out / FRONTS
    goal = f"fetch {urls[0]} and {urls[1]}, compare their top three stories, and write the comparison to {target}"
    status, text = demo.agentd("submit", goal)
    document = _show(target)
    demo.expect("the comparison of the pages is where it was asked for", status == 0 and bool(document))
    parts = _parts(demo, text)
    for part, begin_ms, end_ms in parts:
        print(f"  {part:<24} from {begin_ms:7.1f} to {end_ms:7.1f} ms", flush=True)
    fetches = [part for part in parts if part[0].startswith("fetch")]
    together = len(fetches) == 2 and max(one[1] for one in fetches) < min(one[2] for one in fetches)
    demo.expect("both pages were fetched at the same time", together)


def check_fronts(demo: Demo, served: fronts.Fronts) -> None:
    """What the comparison says is true of the pages, and took less than two seconds."""
    demo.expect("each page was asked for before the other had answered", served.were_together)
    tops = [fronts.true_stories(name)[:3] for name in fronts.NAMES]
    document = (demo.out / FRONTS).read_text()
    shared = document.partition("## On both")[2].partition("## Only on")[0]
    alone = document.partition("## Only on")[2].partition("## The pages")[0]
    common = {one.story for one in tops[0]} & {one.story for one in tops[1]}
    is_true = all((f"“{one.headline}”" in shared) == (one.story in common) for top in tops for one in top)
    is_true &= all((f"“{one.headline}”" in alone) == (one.story not in common) for top in tops for one in top)
    demo.expect(f"it says what is true: the pages share {len(common)} of their top three stories", is_true)
    run = json.loads(demo.daemon.run("--json", "list", "--limit", "1").output)
    took_s = run["finished_s"] - run["created_s"]
    demo.expect(f"from the goal to the file in less than 2 s: {took_s:.2f} s", 0 < took_s < 2)


def refuse_a_fetch(demo: Demo, served: fronts.Fronts) -> None:
    """A page that leads to a host which the goal did not name, and one that the operator's flag leaves out."""
    first, second = served.urls
    hosts = [url.removeprefix("http://").rstrip("/") for url in served.urls]
    status, text = demo.agentd("submit", f"fetch {first}moved")
    demo.expect("a redirect to another host is refused", status == 3)
    demo.expect("the refusal names the grant that would allow it", f"--net {hosts[1]}/" in text)
    status, text = demo.agentd("submit", "--net", hosts[0], f"fetch {second}")
    demo.expect("a page outside the envelope is refused before anything runs", status == 3)
    demo.expect("the refusal names the grant that would allow it", f"--net '{hosts[1]}/**'" in text)


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


def _parts(demo: Demo, text: str) -> list[tuple[str, float, float]]:
    """Each subtask of the run that `text` tells of, and when it began and ended, in ms from the run's start."""
    found = re.search(r"\br-[a-z0-9]{12}\b", text)
    lines = demo.daemon.run("--json", "logs", found.group()).output.splitlines() if found else []
    events = [event for line in lines if "kind" in (event := json.loads(line))]  # the run itself comes last
    begin_s = next((event["time_s"] for event in events if event["kind"] == "run.started"), 0.0)
    times: dict[str, list[float]] = {}
    for event in events:
        if event["kind"] in ("subtask.started", "subtask.completed"):
            times.setdefault(event["subtask"], []).append((event["time_s"] - begin_s) * 1_000)
    return [(name, span[0], span[-1]) for name, span in times.items()]


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
