"""Runs one target on many inputs and counts: what was taken and refused, what broke, how slow, how much memory.

Invariant: every input is bounded in time by an alarm; a defect keeps its input, so that it can become a seed.
"""

import gc
import random
import resource
import signal
import time
import zlib
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from types import FrameType

from qa.fuzz.mutators import mutated
from qa.fuzz.targets import Target

HANG_S = 1.0
GROWTH_BYTES = 10 * 2**20
_KEPT = 5
_SHORT = 50


@dataclass(slots=True)
class Counted:
    """What became of a target's inputs."""

    name: str
    inputs: int = 0
    taken: int = 0
    slowest_s: float = 0.0
    growth_bytes: int = 0
    took_s: float = 0.0
    defects: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Nothing crashed, nothing hung, memory stayed."""
        return not self.defects and self.slowest_s <= HANG_S and self.growth_bytes < GROWTH_BYTES


class HangError(BaseException):
    """An input took longer than it may."""


def fuzzed(target: Target, count: int, *, seed: int = 1) -> Counted:
    """`count` inputs, the seeds themselves first."""
    chance = random.Random(zlib.crc32(f"{target.name} {seed}".encode()))  # noqa: S311  # inputs, not secrets
    counted, begun_s = Counted(target.name), time.monotonic()
    before = signal.signal(signal.SIGALRM, _too_long)
    try:
        for data in target.seeds:
            _try(target, data, counted)
        warm, at_first = max(count // 10, 1_000), 0
        while counted.inputs < count and len(counted.defects) < _KEPT:
            if counted.inputs == warm:
                at_first = _resident_bytes()
            _try(target, _input(target, chance), counted)
        counted.growth_bytes = max(_resident_bytes() - at_first, 0) if at_first else 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    counted.took_s = time.monotonic() - begun_s
    return counted


def _input(target: Target, chance: random.Random) -> bytes:
    if target.make is not None:
        return target.make(chance)
    return mutated(chance.choices(target.seeds, cum_weights=_weights(target))[0], chance, target.seeds)


@cache
def _weights(target: Target) -> list[float]:
    """A short seed is as telling, and sooner read."""
    return list(accumulate(1 / (_SHORT + len(seed)) for seed in target.seeds))


def _try(target: Target, data: bytes, counted: Counted) -> None:
    counted.inputs += 1
    signal.setitimer(signal.ITIMER_REAL, 5 * HANG_S)
    begun_s = time.thread_time()  # of this thread: others on the machine are no defect
    try:
        counted.taken += target.take(data)
    except HangError:
        counted.defects.append(("hang", data))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
        counted.defects.append((f"{type(error).__name__}: {error}"[:200], data))
    counted.slowest_s = max(counted.slowest_s, time.thread_time() - begun_s)


def _too_long(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the shape of a handler
    raise HangError


def _resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def shown(counted: Counted) -> str:
    """One line of the table, and each defect below it."""
    counts = f"{counted.inputs:>9,} inputs {counted.taken:>9,} taken"
    costs = f"slowest {counted.slowest_s * 1000:7.1f} ms  memory +{counted.growth_bytes / 2**20:4.1f} MiB"
    line = f"{counted.name:<18} {counts}  {costs}  {counted.took_s:6.1f} s  {'ok' if counted.is_good else 'BAD'}"
    return "\n".join([line, *(f"    {what}\n    {data!r:.2000}" for what, data in counted.defects)])
