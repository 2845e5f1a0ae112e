"""Whether a guest can run on this machine, and whether one that does not answer is wrong or only slow.

Invariant: a guest that ended, broke, stands still, or is up without its agent is wrong. Only one that was still on its
way, and a machine without room, say nothing of what was to be tried.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

BOOT_S = 300.0  # alone on two processors it takes 50
LOGIN_S = 120.0  # from its login prompt to an answer of its agent: seconds
SILENT_S = 150.0  # the longest that a guest which boots, however slowly, has nothing to say
MEMORY_MIB = 2048
_BESIDE_MIB = 512  # what the emulator takes for itself
_DISK_MIB = 2048  # the changes to its disk, at their largest so far 1300
_LOGIN = "guest login:"
_BROKEN = ("Kernel panic", "emergency mode", "(initramfs)")


class NoGuestError(Exception):
    """This machine cannot run a guest, and why: that says nothing of the package."""


@dataclass(slots=True)
class Boot:
    """A guest on its way up, by what it says: whether to wait on, and why it did not arrive."""

    begun_s: float
    said: int = 0
    said_s: float = 0.0
    login_s: float | None = None

    def may_go_on(self, console: str, now_s: float) -> bool:
        """Whether it may still arrive."""
        if len(console) > self.said:
            self.said, self.said_s = len(console), now_s
        if self.login_s is None and _LOGIN in console:
            self.login_s = now_s
        is_broken = any(word in console for word in _BROKEN)
        return not is_broken and now_s < (self.begun_s + BOOT_S if self.login_s is None else self.login_s + LOGIN_S)

    def fault(self, console: str, now_s: float, *, has_ended: bool) -> Exception:
        """What ended, stands still or is up without its agent is wrong; what is still on its way is slow."""
        is_wrong = has_ended or self.login_s is not None or any(word in console for word in _BROKEN)
        if is_wrong or not console or now_s - self.said_s > SILENT_S:
            return TimeoutError(f"the guest did not come up:\n{console[-2000:]}")
        last = console.rstrip().splitlines()[-1]
        return NoGuestError(f"the guest was still booting after {now_s - self.begun_s:.0f} s, and had come to: {last}")


def require_room(place: Path | None = None, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Raises NoGuestError that names what this machine has too little of."""
    place = place or Path(tempfile.gettempdir())
    free_mib = shutil.disk_usage(place).free >> 20
    if free_mib < _DISK_MIB:
        raise NoGuestError(f"{place} has {free_mib} MiB free, a guest takes {_DISK_MIB}")
    found = re.search(r"^MemAvailable: +(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    if found and int(found[1]) >> 10 < MEMORY_MIB + _BESIDE_MIB:
        raise NoGuestError(f"there are {int(found[1]) >> 10} MiB of memory, a guest takes {MEMORY_MIB + _BESIDE_MIB}")
