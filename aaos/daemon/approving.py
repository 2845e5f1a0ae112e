"""What operators see of approvals, and how they settle one (APR-3).

Invariant: what is settled is what was shown, by its digest; who settled it, and from which terminal, is the kernel's
word. Texts are data: whoever prints them escapes and marks them.
"""

from dataclasses import dataclass

from aaos.core.approval import Approval, ApprovalState, Settling
from aaos.core.errors import AaosError
from aaos.core.ids import Uid
from aaos.core.rpc import Json
from aaos.daemon.params import ApprovalsParams, SettleParams
from aaos.daemon.peers import Peer, terminal_of
from aaos.daemon.views import GOAL_BYTES, PART_BYTES, View, fit
from aaos.store.approvals import Approvals
from aaos.store.runs import Runs
from aaos.tools.desk import ApprovalDesk

ARGUMENTS_BYTES = 200_000
PREVIEW_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Approving:
    """`sight` is the uid whose runs the asker sees, 0 for all."""

    rows: Approvals
    desk: ApprovalDesk
    runs: Runs

    def list(self, sight: Uid, params: ApprovalsParams) -> Json:
        """The newest, those that wait alone unless all are asked for."""
        found = self.rows.list(sight, params.limit)
        shown = [one for one in found if params.is_all or one.state is ApprovalState.WAITING]
        return {"approvals": [_brief(one) for one in shown]}

    def show(self, sight: Uid, prefix: str) -> Json:
        """One whole. Raises NotFoundError, ConflictError."""
        return self._whole(self.rows.find(prefix, uid=sight))

    async def settle(self, peer: Peer, sight: Uid, params: SettleParams, state: ApprovalState) -> Json:
        """Approve or deny what `params.digest` was shown for. Raises NotFoundError, ConflictError."""
        approval = self.rows.find(params.approval, uid=sight)
        how = Settling(state, peer.uid, terminal_of(peer.pid), params.reason)
        return self._whole(await self.desk.settle(approval, params.digest, how))

    def _whole(self, approval: Approval) -> View:
        asked = approval.asked
        whole: View = {
            **_brief(approval),
            "goal": "",
            "trust": "",
            "arguments": fit(asked.arguments, ARGUMENTS_BYTES),
            "preview": fit(asked.preview, PREVIEW_BYTES),
            "pre_hash": asked.pre_hash,
            "policy": asked.policy,
        }
        try:
            run = self.runs.get(asked.run)
        except AaosError:
            return whole
        return {**whole, "goal": fit(run.goal, GOAL_BYTES), "trust": run.trust.value}


def _brief(approval: Approval) -> View:
    asked = approval.asked
    return {
        "approval": approval.id,
        "state": approval.state.value,
        "tool": asked.tool,
        "resource": asked.resource,
        "run": asked.run,
        "subtask": asked.subtask,
        "agent": asked.agent,
        "call": asked.call,
        "uid": asked.uid,
        "digest": approval.digest,
        "asked_s": approval.asked_s,
        "until_s": approval.until_s,
        "settled_s": approval.settled_s,
        "by": approval.by,
        "terminal": approval.terminal,
        "reason": fit(approval.reason, PART_BYTES),
    }
