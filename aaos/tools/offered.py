"""Which wrapped programs this machine has, and the tools that are made of them.

Invariant: a tool whose program is not there is not offered to anybody. It looks, and opens nothing.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from aaos.tools.spec import CellTool
from aaos.tools.wrapper import Wrapper
from aaos.tools.wrapperparameter import cell_tool


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools by name, and the wrappers whose programs are missing."""

    tools: Mapping[str, CellTool]
    missing: tuple[Wrapper, ...]


def offer(wrappers: Iterable[Wrapper], *, most_wall_s: int) -> Offer:
    """The tools of those that are there; none of their programs may run for longer than `most_wall_s`."""
    known = tuple(wrappers)
    there = {one.name: cell_tool(_bounded(_existing(one), most_wall_s)) for one in known if is_there(one)}
    return Offer(there, tuple(one for one in known if one.name not in there))


def is_there(wrapper: Wrapper) -> bool:
    """Whether its program is a regular file that can be executed."""
    try:
        return stat.S_ISREG(os.stat(wrapper.program).st_mode) and os.access(wrapper.program, os.X_OK)
    except OSError:
        return False


def _existing(wrapper: Wrapper) -> Wrapper:
    """Without the further paths that this machine does not have: each is a permission, and none a need."""
    return replace(
        wrapper,
        exec_paths=tuple(filter(os.path.exists, wrapper.exec_paths)),
        readable=tuple(filter(os.path.exists, wrapper.readable)),
    )


def _bounded(wrapper: Wrapper, most_wall_s: int) -> Wrapper:
    return replace(wrapper, limits=replace(wrapper.limits, wall_s=min(wrapper.limits.wall_s, most_wall_s)))
