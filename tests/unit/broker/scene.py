"""Makes roots and writes for the tests of this room."""

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from aaos.broker.files import FileBroker
from aaos.broker.publishing import Observed, PendingWrite
from aaos.core.envelope import Submitter
from aaos.core.ids import Gid, Uid
from aaos.core.ports import Held, Root

ME = Submitter(Uid(os.getuid()), Gid(os.getgid()))
TEMPORARY = ".aaos-test.tmp"


def as_myself(_uid: int, _gid: int, _groups: object) -> AbstractContextManager[None]:
    """Unit tests act as whoever runs them; the real change of ids is tested in tests/kernel."""
    return nullcontext()


def broker(submitter: Submitter = ME) -> FileBroker:
    """Files of whoever runs the tests."""
    return FileBroker(submitter, publishing_lock=threading.Lock(), reader=ME, act=as_myself)


def root(path: Path) -> Root:
    """A root that stays open for the rest of the test process."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    return Root(str(path), fd, True, True, False, ME.uid, ME.gid, Held.GATE)


def anything(_content: int, _before: int) -> None:
    """A check that lets everything pass."""


def write(files: FileBroker, pending: PendingWrite, data: bytes) -> Observed:
    """What a worker and agentd do together: fill the buffer, publish it."""
    os.write(pending.content, data)
    return files.publish(pending, TEMPORARY, check=anything, may_commit=lambda: True)
