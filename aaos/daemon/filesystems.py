"""Which mounted file systems cannot show a worker their owner: what is granted there for writing is the gate's (ISO-2).

Source: proc_pid_mountinfo(5); which can is said in broker/roots.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from aaos.broker.roots import ID_MAPPED, PSEUDO
from aaos.core.text import escape_for_terminal

MAX_NAMED = 8
_OCTAL = re.compile(r"\\([0-7]{3})")


def unmapped(mountinfo: str) -> tuple[str, ...]:
    """`PATH (TYPE)` of each, in the order in which they were mounted."""
    found = (line.split(" ") for line in mountinfo.splitlines())
    places = ((fields[4], fields[fields.index("-", 6) + 1]) for fields in found)
    other = dict.fromkeys((path, kind) for path, kind in places if kind not in ID_MAPPED | PSEUDO)
    return tuple(f"{_shown(path)} ({escape_for_terminal(kind)})" for path, kind in other)


def told() -> str:
    """Of this machine, in one line."""
    return line(unmapped(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="backslashreplace")))


def line(names: Sequence[str]) -> str:
    """The same of such names: the first of them."""
    if not names:
        return "all that are mounted can show their owner to workers"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"cannot show their owner, so no program writes there: {', '.join(names[:MAX_NAMED])}{more}"


def _shown(path: str) -> str:
    """mountinfo writes blanks, line feeds and backslashes in octal."""
    return escape_for_terminal(_OCTAL.sub(lambda match: chr(int(match[1], 8)), path))
