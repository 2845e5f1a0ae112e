"""Makes permitted calls for the tools' tests."""

import os
from pathlib import Path

from worker.abi import Json
from worker.user.granted import Granted, Task

DEFAULTS: dict[str, dict[str, Json]] = {
    "read": {
        "offset": None, "limit": 5_000, "byte_offset": None, "numbered": False, "encoding": "utf-8", "max_bytes": 49_152
    },
    "many": {"max_bytes": 49_152},
    "list": {"after": "", "limit": 500},
    "glob": {"after": "", "limit": 500},
    "grep": {"fixed": False, "ignore_case": False, "files": "*", "offset": 0, "limit": 200},
}  # fmt: skip


def granted(path: Path | str) -> Granted:
    """One file, open for reading; the fd ends with the process."""
    return Granted(str(path), "read", os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def buffer() -> Granted:
    """A buffer to write to, as agentd makes one."""
    return Granted("/target", "write", os.memfd_create("test", os.MFD_ALLOW_SEALING))


def content(file: Granted) -> bytes:
    """What is in a buffer."""
    return os.pread(file.fd, 1 << 30, 0)


def mounted(path: Path | str) -> Granted:
    """A root that is mounted in this worker."""
    return Granted(str(path), "root", -1)


def task(tool: str, *files: Granted, limit_bytes: int = 1_000_000, **args: Json) -> Task:
    """A call with the defaults of `tool`."""
    return Task({**DEFAULTS.get(tool, {}), **args}, files, limit_bytes)
