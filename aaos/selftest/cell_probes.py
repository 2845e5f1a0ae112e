"""What is otherwise in a cell: acts that its programs may do, and refusals that another layer gives than a worker's.

Source of the differences: a cell runs ordinary programs of Debian, so it may fork, compile, and change what it was
granted; what it may not, it may not by its own filter, Landlock and mounts.
"""

from collections.abc import Mapping

from aaos.selftest.probe import Probe, refusals_in

_GONE = "ENOSYS seccomp"
_FIRST = "ENOENT pidns"
_RO = "EROFS mountns"
MAY = frozenset(
    (
        "ask how busy the machine is", "ask what machine this is", "a pair of sockets", "fork",
        "a parent that it can see", "change when a file was written",
        "exchange two files", "get a handle on a process", "have its memory dumped",
        "leave by a kept directory", "list what is above", "live on after its parent", "make a directory",
        "make a file", "make a file without a name", "make a link", "make a pipe", "make memory executable",
        "memory to execute", "memory to write and execute", "raise a limit",
        "read the interpreter", "remove a directory", "remove a file", "rename a file",
        "set a timer that signals", "signal a thread", "signal with a forged sender", "start the interpreter again",
        "watch a directory",
        # there is nothing to try them on: no inherited socket, a session of its own, no memory file as workers have it
        "a longer file than it may have", "connect what it has", "listen on what it has",
        "outlive by a session of its own",
    )
)  # fmt: skip
OTHERWISE = {
    "clone into a user namespace": _GONE,
    "clone into a network namespace": _GONE,
    "read a program": "EACCES landlock",
    "start the shell": "EACCES landlock",
    "start a program from memory": _GONE,
    "signal agentd": "ESRCH pidns",
    "signal everything": "ESRCH pidns",
    "go ahead of the others": "EACCES capabilities",
    "become root by three ids": _GONE,
    "keep capabilities for programs": _GONE,
    "execute a file in memory": _GONE,
    "make all memory executable": _GONE,
    "make a file that makes root": _GONE,
    "make a second name": "EXDEV mountns",
    "make a disk": _GONE,
    "change who may use a file": _GONE,
    "change who may use an open file": _GONE,
    "give a file capabilities": _GONE,
    "give a file away": "EINVAL userns",
    "execute a file that was granted": "EACCES mountns",
    "execute memory of a file": "EPERM mountns",
    "call by the gate of i386": "killed seccomp",
    "let anybody trace it": _GONE,
    "keep its memory from being shuffled": _GONE,
    "shorten what may be read": _RO,
    "change who may use what may be read": _RO,
    "change who may use it by its number": _RO,
    "give away what may be read": _RO,
    "change when what may be read was written": _RO,
    "make a file beside what may be read": _RO,
    "remove what may be read": _RO,
    "plant a hook of git": _RO,
    "rename the directory of git": "EBUSY mountns",
    "the kernel's stack of a call": "EACCES capabilities",
    "a pair that sends elsewhere": _GONE,
    "a longer file where it may write": "EFBIG rlimits",
    "more processes than it may have": "EAGAIN rlimits",
    "more scratch than it may have": "ENOSPC mountns",
    "more names than scratch may have": "ENOSPC mountns",
    "environment of the first process": _FIRST,
    "command line of the first process": _FIRST,
    "memory of the first process": _FIRST,
    "map of the first process": _FIRST,
    "files of the first process": _FIRST,
    "root of the first process": _FIRST,
}


def in_cell(probe: Probe) -> Mapping[str, str] | None:
    """The right refusals of a cell, each with its layer; None for what its programs may do."""
    if probe.name in MAY:
        return None
    other = OTHERWISE.get(probe.name)
    return probe.refusals if other is None else refusals_in(other)
