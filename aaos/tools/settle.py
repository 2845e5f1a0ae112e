"""What became of a call that a stopped daemon left open, judged from the file itself (BRK-8).

Invariant: the pre-image means not done, the content that the call was to make means done, anything else is unknown and
is never repeated blindly. The temporary file of the call is removed, unless what it holds may be somebody else's.
"""

import hashlib
import json
import os

from aaos.broker.files import FileBroker
from aaos.broker.opening import relative_to
from aaos.broker.roots import close_roots
from aaos.core.capability import Capability, Kind, path_resource
from aaos.core.errors import AaosError, OutcomeUnknownError
from aaos.core.ids import CallId
from aaos.core.ports import CallOutcome, CallRecord, CallState, Evidence, Root, WrittenFile
from aaos.tools.content import is_edit_done, is_write_done
from aaos.tools.records import published_text

ABSENT = "absent"  # the pre-image of a path that held nothing
_UNKNOWN = "agentd stopped while the call was carried out, and what it did cannot be told"


def temporary_name(call: CallId) -> str:
    """The name, beside the target, of the file that a call writes before it becomes the target."""
    return f".aaos-{call}.tmp"


def outcome_after_crash(record: CallRecord, files: FileBroker, *, is_effect: bool) -> CallOutcome | None:
    """The outcome of a call of an earlier daemon; None when it was not carried out, so that it may be done again.

    `files` acts as the submitter of its run. Blocking: file I/O.
    """
    if record.tool not in ("file_write", "file_edit"):
        return unknown_outcome(record) if is_effect else None
    try:
        return _judged(record, files)
    except (AaosError, ValueError, KeyError, TypeError):
        return unknown_outcome(record)


def _judged(record: CallRecord, files: FileBroker) -> CallOutcome | None:
    args = json.loads(record.arguments)
    path: str = args["path"]
    roots = files.open_roots((Capability(Kind.FILE_WRITE, path_resource(path)),))
    try:
        root, relative = roots[0], relative_to(roots[0], path)
        pre, now = files.observe(root, relative)
        if (pre or ABSENT) == record.pre_hash:
            files.remove_stale(root, relative, temporary_name(record.call))
            return None
        if now is None or not _is_made(record, args, now) or _holds_others_words(record, files, root, relative):
            return unknown_outcome(record)
        files.remove_stale(root, relative, temporary_name(record.call))
        return _done(record, WrittenFile(path, hashlib.sha256(now).hexdigest(), len(now)))
    finally:
        close_roots(roots)


def _is_made(record: CallRecord, args: dict[str, str], now: bytes) -> bool:
    if record.tool == "file_write":
        return is_write_done(args, now)
    return is_edit_done(args, now, pre_hash=record.pre_hash or "")


def _holds_others_words(record: CallRecord, files: FileBroker, root: Root, relative: str) -> bool:
    """Whether the exchange brought out something else than the pre-image, and had not been undone yet."""
    temporary = os.path.join(os.path.dirname(relative), temporary_name(record.call))
    was, _ = files.observe(root, temporary)
    return was is not None and record.pre_hash != ABSENT and _identity(was) != _identity(record.pre_hash or "")


def _identity(image: str) -> str:
    """Of a long file: its inode and size, since an exchange changes the third, the time of change."""
    return image.rpartition(",")[0] if image.startswith("inode ") else image


def _done(record: CallRecord, file: WrittenFile) -> CallOutcome:
    return CallOutcome(
        state=CallState.DONE,
        result=published_text(file, was_there=record.pre_hash != ABSENT),
        truncated=False,
        evidence=Evidence.OBSERVED,
        duration_ms=0.0,
        post_hash=file.sha256,
        size_bytes=file.size_bytes,
    )


def unknown_outcome(record: CallRecord) -> CallOutcome:
    """Of a call of which nobody can tell what it did."""
    return CallOutcome(
        state=CallState.OUTCOME_UNKNOWN,
        result=_UNKNOWN,
        truncated=False,
        evidence=Evidence.OBSERVED,
        duration_ms=0.0,
        error_code=OutcomeUnknownError.code,
        remedy=f"look at what it names, and at {temporary_name(record.call)} beside it, then do what is missing",
    )
