"""What is written in the open transaction, statement by statement: what the log of steps has, what SQLite has of it.

Invariant: the order never changes. The log of steps (redo.py) has the first ones, and loses none of them before they
are committed: after a rollback they are to be carried out again. SQLite has carried out the first ones as well, more or
fewer; the others are due before anything else is written or read.
"""

from collections.abc import Sequence

from aaos.store.redo import NEXT_BATCH, Redo, Statement


class Backlog(list[Statement]):
    """The statements of one transaction, until it is committed. `redo` is closed by whoever made it."""

    __slots__ = ("_carried", "_logged", "_redo")

    def __init__(self, redo: Redo) -> None:
        super().__init__()
        self._redo = redo
        self._logged = 0  # so many of them are in the log
        self._carried = 0  # so many of them SQLite has carried out

    @property
    def is_kept(self) -> bool:
        """Whether there are statements that were acted on."""
        return self._logged > 0

    def done(self, statement: Statement) -> None:
        """One more, which was carried out, as all before it were."""
        self.append(statement)
        self._carried += 1

    def due(self, end: int) -> Sequence[Statement]:
        """Those before the `end`-th that SQLite has not carried out."""
        return self[self._carried : end]

    def carried(self) -> None:
        """SQLite has carried out the next one."""
        self._carried += 1

    def log(self) -> None:
        """Put into the log what is not in it. Raises OSError: then none of it is."""
        if new := self[self._logged :]:
            self._redo.append(new)
            self._logged = len(self)

    def ending(self) -> Sequence[Statement]:
        """What a commit needs beside them, so that nobody carries them out again."""
        return ((NEXT_BATCH, (self._redo.batch + 1,)),) if self._logged else ()

    def committed(self) -> None:
        """The database has them."""
        if self._logged:
            self._redo.committed()
        self._logged = self._carried = 0
        self.clear()

    def cut(self, position: int) -> None:
        """Forget those from `position` on, which is behind what is in the log."""
        del self[position:]
        self._carried = min(self._carried, position)

    def roll_back(self) -> None:
        """SQLite has forgotten all of them; what is in the log is to be carried out again."""
        self.cut(self._logged)
        self._carried = 0
