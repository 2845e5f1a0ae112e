"""What became of a call that a stopped daemon left open, judged from the file itself (BRK-8).

Invariant: the pre-image means not done, the content that the call was to make means done, anything else is unknown and
is never repeated blindly. The temporary file of the call is removed.
"""

import json

from aaos.broker.files import FileBroker
from aaos.broker.opening import relative_to
from aaos.broker.roots import close_roots
from aaos.core.capability import Capability, Kind, path_resource
from aaos.core.errors import AaosError
from aaos.core.ids import CallId
from aaos.core.ports import CallOutcome, CallRecord, CallState, Evidence
from aaos.tools.content import is_edit_done, is_write_done

ABSENT = "absent"  # the pre-image of a path that held nothing
_NOT_DONE = "agentd stopped before the call was carried out; nothing was changed"
_DONE = "the file was written; agentd stopped before it could say so"
_UNKNOWN = "agentd stopped while the call was carried out, and the file was changed since: look at it"


def temporary_name(call: CallId) -> str:
    """The name, beside the target, of the file that a call writes before it becomes the target."""
    return f".aaos-{call}.tmp"


def outcome_after_crash(record: CallRecord, files: FileBroker) -> CallOutcome:
    """The outcome of a call of an earlier daemon. `files` acts as the submitter of its run. Blocking: file I/O."""
    if record.tool not in ("file_write", "file_edit"):
        return _outcome(CallState.FAILED, _NOT_DONE)
    try:
        return _judged(record, files)
    except (AaosError, ValueError, KeyError, TypeError):
        return _outcome(CallState.OUTCOME_UNKNOWN, _UNKNOWN)


def _judged(record: CallRecord, files: FileBroker) -> CallOutcome:
    args = json.loads(record.arguments)
    path: str = args["path"]
    roots = files.open_roots((Capability(Kind.FILE_WRITE, path_resource(path)),))
    try:
        relative = relative_to(roots[0], path)
        files.remove_stale(roots[0], relative, temporary_name(record.call))
        pre, now = files.observe(roots[0], relative)
    finally:
        close_roots(roots)
    if (pre or ABSENT) == record.pre_hash:
        return _outcome(CallState.FAILED, _NOT_DONE)
    is_done = now is not None and (
        is_write_done(args, now)
        if record.tool == "file_write"
        else is_edit_done(args, now, pre_hash=record.pre_hash or "")
    )
    return _outcome(CallState.DONE, _DONE) if is_done else _outcome(CallState.OUTCOME_UNKNOWN, _UNKNOWN)


def _outcome(state: CallState, text: str) -> CallOutcome:
    return CallOutcome(
        state=state,
        result=text,
        truncated=False,
        evidence=Evidence.OBSERVED,
        duration_ms=0.0,
        error_code=None if state is CallState.DONE else "worker_lost",
    )
