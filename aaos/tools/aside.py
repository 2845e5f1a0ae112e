"""Takes from other programs what a cell made for them to take orders from: a new `.git` gets a harmless name.

No mechanism of the kernel keeps one name from being made in a directory where others may be: Landlock knows files and
not their names, a filter sees pointers, and a mount can cover what is there alone. So it is done when nothing of the
cell runs any more and before its call has ended. Invariant: nothing is removed, and what was there before the cell,
wherever it was moved to, is left alone.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from aaos.broker.changes import Snapshot
from aaos.broker.files import FileBroker
from aaos.broker.opening import is_below, relative_to
from aaos.core.errors import AaosError
from aaos.core.ids import CallId
from aaos.core.ports import Root
from aaos.core.text import quoted

SHOWN = 8
MAX_ASIDE = 256  # more of them are told and stay


@dataclass(frozen=True, slots=True)
class Aside:
    """Control files that a cell made: those that have another name now, by their old one, and those that stay; unless
    `is_whole`, there may be more."""

    moved: dict[str, str]
    left: tuple[str, ...]
    is_whole: bool = True

    @property
    def is_all(self) -> bool:
        """Whether none stays, as far as can be known; a call of which it is not known did not end well."""
        return self.is_whole and not self.left

    @property
    def text(self) -> str:
        """What the agent is told of the first ones; "" when there is nothing to tell."""
        lines = [f"{quoted(old)} was set aside as {quoted(new)}" for old, new in self.moved.items()]
        lines += [f"{quoted(path)} could not be set aside" for path in self.left]
        if not self.is_whole:
            lines.append("not all of it could be looked at")
        if not lines:
            return ""
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        return f"[other programs take orders from what this one made: {'; '.join([*lines[:SHOWN], *more])}]"


NOTHING = Aside({}, ())


def new_control_files(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The outermost ones; none when it is not known what there was before. One is new that is another file than any
    there was, also at a path where there was one: a cell can move the directory around it and make both anew."""
    known, now = set(before.control.values()), set(after.control.values())
    found = [
        path
        for path, identity in after.control.items()
        if identity not in known and not (path in after.files and _is_gone(path, before, now))
    ]
    return tuple(sorted(found)) if before.is_complete else ()


def rewritten(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """Files that took the place of control files which are no more, as an editor's do: told and not renamed, for no
    cell can unlink what is covered, and they may be a user's."""
    known, now = set(before.control.values()), set(after.control.values())
    found = [path for path, one in after.control.items() if one not in known and _is_gone(path, before, now)]
    return tuple(sorted(path for path in found if path in after.files))


def _is_gone(path: str, before: Snapshot, now: set[tuple[int, int]]) -> bool:
    return path in before.control and before.control[path] not in now


def set_aside(found: Sequence[str], trees: Sequence[Root], files: FileBroker, *, call: CallId) -> Aside:
    """Give each another name, in its directory. Blocking."""
    moved: dict[str, str] = {}
    left = list(found[MAX_ASIDE:])
    for number, path in enumerate(found[:MAX_ASIDE]):
        tree = max((tree for tree in trees if is_below(tree, path)), key=lambda one: len(one.path))
        name = f"aside-{call}-{number}"
        try:
            files.rename(tree, relative_to(tree, path), name)
            moved[path] = os.path.join(os.path.dirname(path), name)
        except AaosError:
            left.append(path)
    return Aside(moved, tuple(left))
