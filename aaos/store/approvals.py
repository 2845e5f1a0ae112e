"""The approvals that calls wait or waited for.

Invariant: a call has one approval, and an approval that is settled stays what it is; nothing is ever removed.
"""

from collections.abc import Sequence

from aaos.core.approval import Approval, ApprovalState, Asked, Settling
from aaos.core.errors import ConflictError, NotFoundError
from aaos.core.ids import ApprovalId, CallId, RunId, Uid
from aaos.store.database import Database
from aaos.store.levels import Row

_ASKED = "call, run, subtask, agent, uid, tool, resource, arguments, pre_hash, preview, policy"
_COLUMNS = f"approval, {_ASKED}, digest, asked_s, until_s, state, settled_s, settled_by, terminal, reason"
_ADD = f"""INSERT INTO approvals (approval, {_ASKED}, digest, asked_s, until_s, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""  # noqa: S608  # a constant
_SELECT = f"SELECT {_COLUMNS} FROM approvals"  # noqa: S608  # a constant
_FIND = f"{_SELECT} WHERE approval >= ?1 AND approval < ?1 || '~' AND (?2 = 0 OR uid = ?2) ORDER BY id LIMIT 5"
_LIST = f"{_SELECT} WHERE (?1 = 0 OR uid = ?1) ORDER BY id DESC LIMIT ?2"
_WAITING = f"{_SELECT} WHERE state = '{ApprovalState.WAITING}' ORDER BY id"
_SETTLE = f"""UPDATE approvals SET state = ?, settled_s = ?, settled_by = ?, terminal = ?, reason = ?
    WHERE approval = ? AND state = '{ApprovalState.WAITING}'"""  # noqa: S608  # a constant


class Approvals:
    """The table `approvals`; implements `ApprovalStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, approval: Approval) -> None:
        """Write one that waits. Raises ConflictError when its call has one."""
        a = approval.asked
        asked = (a.call, a.run, a.subtask, a.agent, a.uid, a.tool, a.resource, a.arguments, a.pre_hash, a.preview)
        times = (approval.asked_s, approval.until_s, approval.state)
        self._database.insert(_ADD, (approval.id, *asked, a.policy, approval.digest, *times))

    def get(self, approval: ApprovalId) -> Approval:
        """The approval. Raises NotFoundError."""
        row = self._database.row(f"{_SELECT} WHERE approval = ?", (approval,))
        if row is None:
            raise _none(approval)
        return _approval(row)

    def find(self, prefix: str, *, uid: Uid) -> Approval:
        """The one whose id begins with `prefix`, among those of `uid`'s runs; 0 sees all.

        Raises NotFoundError, and ConflictError when several do.
        """
        rows = self._database.rows(_FIND, (prefix, uid)) if prefix.isascii() and prefix else []
        exact = [row for row in rows if row[0] == prefix]
        if len(rows) > 1 and not exact:
            names = ", ".join(row[0] for row in rows)
            raise ConflictError(
                f"{prefix} may be any of {names}", f"give more of it: agentd approvals show {rows[0][0]}"
            )
        if not rows:
            raise _none(prefix)
        return _approval(exact[0] if exact else rows[0])

    def list(self, uid: Uid, limit: int) -> tuple[Approval, ...]:
        """The newest of `uid`'s runs, or of all for 0, newest first."""
        return _approvals(self._database.rows(_LIST, (uid, limit)))

    def of_call(self, call: CallId) -> Approval | None:
        """That of a call, or None."""
        row = self._database.row(f"{_SELECT} WHERE call = ?", (call,))
        return None if row is None else _approval(row)

    def of_run(self, run: RunId) -> tuple[Approval, ...]:
        """Those of a run, oldest first."""
        return _approvals(self._database.rows(f"{_SELECT} WHERE run = ? ORDER BY id", (run,)))

    def waiting(self) -> tuple[Approval, ...]:
        """Those that wait, oldest first."""
        return _approvals(self._database.rows(_WAITING))

    def settle(self, approval: ApprovalId, how: Settling, *, now_s: float) -> bool:
        """End one that waits; False when it does not wait any more."""
        values = (how.state, now_s, how.by, how.terminal, how.reason, approval)
        return bool(self._database.change(_SETTLE, values))


def _none(approval: str) -> NotFoundError:
    return NotFoundError(f"no approval {approval[:80]!r}", "see them: agentd approvals list")


def _approvals(rows: Sequence[Row]) -> tuple[Approval, ...]:
    return tuple(map(_approval, rows))


def _approval(row: Row) -> Approval:
    name, *rest = row
    asked, (digest, asked_s, until_s, state, *settled) = Asked(*rest[:11]), rest[11:]
    return Approval(name, asked, digest, asked_s, until_s, ApprovalState(state), *settled)
