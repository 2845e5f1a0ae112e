"""Agents that talk to a scripted model which answers at once, measured from the model's side.

What a turn costs is the time between the model's answer and the next question: nobody's own clock is asked. Processor
time is what the kernel counted for all processes of the agent between its first and its last question.
"""

from dataclasses import dataclass, field
from pathlib import Path

from aaos.devprovider.asked import Asked
from aaos.devprovider.reply import Reply
from aaos.devprovider.script import Call, Script, Step, When
from aaos.devprovider.server import ScriptedProvider

PLANS = "You plan work"  # in the system prompt of who plans


@dataclass(slots=True)
class Heard:
    """One conversation as the model saw it: the questions, and counters of the agent's processes at some turns."""

    asked: list[Asked] = field(default_factory=list)
    cpu_ns: dict[int, dict[str, int]] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)

    def turns_ms(self, first: int = 1, last: int = 1_000_000) -> list[float]:
        """What the turns from `first` to `last` took, without those that were disturbed by counting."""
        pairs = zip(self.asked, self.asked[1:], strict=False)
        return [
            (after.arrived_s - before.answered_s) * 1e3
            for before, after in pairs
            if first <= before.turn <= last and before.turn not in self.cpu_ns
        ]

    def cpu_ms(self, first: int, last: int) -> float:
        """Processor time of a turn from `first` to `last`, without that of threads that ended in between."""
        before, after = self.cpu_ns[first], self.cpu_ns[last + 1]
        return sum(ns - before.get(thread, 0) for thread, ns in after.items()) / (last + 1 - first) / 1e6

    def written_bytes(self, first: int, last: int) -> float:
        """What a turn from `first` to `last` wrote to files."""
        return (self.written[last + 1] - self.written[first]) / (last + 1 - first)


class Model:
    """A scripted model and what it heard; `pid` is the root of the agent's processes."""

    def __init__(self, script: Script) -> None:
        self.provider = ScriptedProvider(script, keep=0, on_answer=self._hear)
        self.pid = 0
        self._counted: tuple[int, ...] = ()
        self._heard = Heard()

    def listen(self, *counted: int) -> Heard:
        """From now on questions belong to a new conversation; counters are read at the turns `counted`."""
        self._counted, self._heard = counted, Heard()
        return self._heard

    def _hear(self, asked: Asked | None, reply: Reply) -> None:
        assert reply.status == 200, reply.note
        if asked is None or PLANS in asked.system:
            return
        if asked.turn in self._counted:
            self._heard.written[asked.turn] = written(self.pid)
            self._heard.cpu_ns[asked.turn] = cpu_ns(family(self.pid))
        self._heard.asked.append(asked)


def script(directory: Path, lengths: tuple[int, ...], *, plan: str) -> Script:
    """Reads one file of `directory` in each of the N turns of a goal `turns-N ...`; any other goal is done at once, and
    who plans is told `plan`."""
    read = Call(tool="file_read", args={"path": f"{directory}/{{turn}}"})
    ends = (Step(when=When(goal=f"turns-{n} ", turn=n + 1), text="done") for n in lengths)
    return Script(
        steps=(
            Step(when=When(system=PLANS), text=plan),
            *ends,
            Step(when=When(goal="turns-"), calls=(read,)),
            Step(when=When(), text="done"),
        )
    )


def family(root: int) -> set[int]:
    """A process and all below it that are alive. Source: proc_pid_stat(5)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended in between
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_ns(pids: set[int]) -> dict[str, int]:
    """Processor time of all threads of the processes, by thread. Source: proc_pid_schedstat(5)."""
    times: dict[str, int] = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                times[str(task)] = int(task.read_text().split()[0])
            except OSError:  # it ended in between
                continue
    return times


def written(pid: int) -> int:
    """Bytes that a process has handed to write(2) and its like; sockets are not counted. Source: proc_pid_io(5)."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"])
