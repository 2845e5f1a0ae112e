"""`python -m tests.kernel.dying POINT N …` is agentd that kills itself with SIGKILL at the N-th POINT of its first run.

A point is `before` or `after` a commit of the database, `synced` (after the log was put on the disk, before anybody is
told) or `renamed` (after a file was published, before that is on record). They are counted from the moment on at which
a run is created or resumed.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from aaos.daemon.__main__ import main
from aaos.store.barrier import SyncBarrier
from aaos.store.database import Database
from aaos.store.runs import Runs
from worker.wall import syscalls

POINTS = ("before", "after", "synced", "renamed")


class Death:
    """Comes at the `at`-th `point`; `passed` counts the points until then."""

    def __init__(self, point: str, at: int) -> None:
        self._point, self._at = point, at
        self._is_armed = False
        self.passed = dict.fromkeys(POINTS, 0)

    def arm(self) -> None:
        """A run begins."""
        self._is_armed = True

    def pass_by(self, point: str) -> None:
        """Die here, or go on."""
        if not self._is_armed:
            return
        self.passed[point] += 1
        if point == self._point and self.passed[point] == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, function: Callable[..., Any], point: str) -> Callable[..., Any]:  # Any: passed on as it comes
        """The function, with a point behind it."""

        def called(*args: Any, **more: Any) -> Any:  # Any: as above
            result = function(*args, **more)
            self.pass_by(point)
            return result

        return called


def install(death: Death) -> None:
    """Puts the points around the product's own functions, for the rest of this process."""
    commit = Database._commit

    def armed(function: Callable[..., Any]) -> Callable[..., Any]:  # Any: passed on as it comes
        def called(*args: Any, **more: Any) -> Any:  # Any: as above
            death.arm()
            return function(*args, **more)

        return called

    def committed(database: Database) -> None:
        death.pass_by("before")
        commit(database)
        death.pass_by("after")

    setattr(Runs, "create", armed(Runs.create))  # noqa: B010  # a type checker would be right to refuse an assignment
    setattr(Runs, "resume", armed(Runs.resume))  # noqa: B010  # as above
    setattr(Database, "_commit", committed)  # noqa: B010  # as above
    setattr(SyncBarrier, "_attempt", death.after(SyncBarrier._attempt, "synced"))  # noqa: B010  # as above
    setattr(syscalls, "renameat2", death.after(syscalls.renameat2, "renamed"))  # noqa: B010  # as above


if __name__ == "__main__":
    install(Death(sys.argv[1], int(sys.argv[2])))
    sys.exit(main(sys.argv[3:]))
