"""The written trace of each call: its row in the ledger and its events.

Invariant: a call that was let through has a row before its permit leaves; a call that was refused has a row with its
refusal; each row gets one outcome; a row and its events are committed together.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from aaos.core.errors import AaosError, DeniedError, InputError, LimitError
from aaos.core.events import Event, EventKind, Scalar
from aaos.core.ports import AuditSink, CallOutcome, CallRecord, CallState, Evidence, Label, Ledger, WrittenFile

NO_FACTS: Mapping[str, Scalar] = MappingProxyType({})
_SHOWN_CHARS = 1_000
_WRONG_ARGUMENTS_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class Draft:
    """A call as it is written down: its row, its route, and the first path or address that it names, for people."""

    record: CallRecord
    route: str
    path: str | None
    was_held: bool = False

    def shortened(self) -> "Draft":
        """The same without arguments that are too long to be kept; the digest stays theirs."""
        length = len(self.record.arguments)
        if length <= _WRONG_ARGUMENTS_CHARS:
            return self
        return replace(self, record=replace(self.record, arguments=json.dumps({"omitted_characters": length})))


@dataclass(frozen=True, slots=True)
class Records:
    """Writes rows and events. What a suspended daemon cuts short is left without an outcome: the next one judges it."""

    ledger: Ledger
    audit: AuditSink
    is_suspended: Callable[[], bool] = lambda: False

    def permitted(self, draft: Draft, *, pre_hash: str | None) -> None:
        """Before the permit leaves. Raises StorageError: then there is no permit."""
        record = draft.record if pre_hash is None else replace(draft.record, pre_hash=pre_hash)
        decision = "approved" if draft.was_held else "permitted"
        with self.ledger.step():
            if draft.was_held:
                self.ledger.permit_call(record.call)
            else:
                self.ledger.open_call(record)
            self._event(EventKind.TOOL_PERMITTED, draft, {"decision": decision, "digest": record.digest})

    def held(self, draft: Draft, *, pre_hash: str | None) -> None:
        """Before anybody is asked to approve it."""
        self.ledger.open_call(replace(draft.record, pre_hash=pre_hash, state=CallState.HELD))

    def unheld(self, draft: Draft, error: AaosError) -> None:
        """As `refused`, before anybody was asked; a call that a suspended daemon cuts short is made again."""
        if not self.is_suspended():
            self.refused(draft, error)

    def refused(self, draft: Draft, error: AaosError) -> None:
        """The call got no permit, or could not be opened."""
        is_denied = isinstance(error, DeniedError | LimitError)
        state = CallState.DENIED if is_denied else CallState.FAILED
        decision = "denied" if is_denied else "invalid" if isinstance(error, InputError) else "failed"
        kind = EventKind.TOOL_DENIED if is_denied else EventKind.TOOL_FAILED
        with self.ledger.step():
            self.ledger.open_call(replace(draft.record, state=CallState.DENIED))
            self.ledger.settle_call(draft.record.call, _outcome(state, error))
            self._event(kind, draft, {"decision": decision, **_of_error(error)})

    def repeated(self, draft: Draft, count: int) -> None:
        """The same call came again."""
        self._event(EventKind.TOOL_REPEATED, draft, {"count": count})

    def done(self, draft: Draft, outcome: CallOutcome, facts: Mapping[str, Scalar] = NO_FACTS) -> None:
        """The call was carried out, well or not; what came from outside lowers the run's trust."""
        is_ok = outcome.state is CallState.DONE
        fields: dict[str, Scalar] = {"duration_ms": outcome.duration_ms, "evidence": outcome.evidence, **facts}
        if outcome.truncated:
            fields["truncated"] = True
        if not is_ok:
            fields["message"] = outcome.result[:_SHOWN_CHARS]
        with self.ledger.step():
            self.ledger.settle_call(draft.record.call, outcome)
            if outcome.label is not Label.NONE and self.ledger.lower_trust(draft.record.run):
                self._event(EventKind.RUN_TRUST_LOWERED, draft, {"label": outcome.label})
            self._event(EventKind.TOOL_DONE if is_ok else EventKind.TOOL_FAILED, draft, fields)

    def note(self, draft: Draft, kind: EventKind, fields: Mapping[str, Scalar]) -> None:
        """Something that happened while agentd carried the call out."""
        self._event(kind, draft, fields)

    def failed(self, draft: Draft, error: AaosError, *, duration_ms: float, state: CallState) -> None:
        """A permitted call ended with an error of ours."""
        if self.is_suspended():
            return
        fields: dict[str, Scalar] = {"duration_ms": duration_ms, **_of_error(error)}
        kind = EventKind.OUTCOME_UNKNOWN if state is CallState.OUTCOME_UNKNOWN else EventKind.TOOL_FAILED
        with self.ledger.step():
            self.ledger.settle_call(draft.record.call, _outcome(state, error, duration_ms=duration_ms))
            self._event(kind, draft, fields)

    def conflict(self, draft: Draft, error: AaosError) -> None:
        """The file was not the one it was."""
        self._event(EventKind.FILE_CONFLICT, draft, _of_error(error))

    def written(self, draft: Draft, file: WrittenFile, outcome: CallOutcome) -> None:
        """agentd published the file."""
        fields: dict[str, Scalar] = {"sha256": file.sha256, "size_bytes": file.size_bytes}
        took: dict[str, Scalar] = {"duration_ms": outcome.duration_ms, "evidence": outcome.evidence}
        with self.ledger.step():
            self.ledger.settle_call(draft.record.call, outcome)
            self._event(EventKind.FILE_WRITTEN, draft, {**fields, "evidence": Evidence.OBSERVED})
            self._event(EventKind.TOOL_DONE, draft, took)

    def _event(self, kind: EventKind, draft: Draft, fields: Mapping[str, Scalar]) -> None:
        row = draft.record
        about: dict[str, Scalar] = {"call": row.call, "tool": row.tool, "route": draft.route, "origin": row.origin}
        if draft.path is not None:
            about["path" if draft.path.startswith("/") else "url"] = draft.path
        self.audit.record(Event(kind, row.run, row.subtask, row.agent, {**about, **fields}))


def published_text(file: WrittenFile, *, was_there: bool) -> str:
    """The result of a write."""
    verb = "replaced" if was_there else "created"
    return f"{verb} {file.path}: {file.size_bytes} bytes, sha256 {file.sha256}"


def _of_error(error: AaosError) -> dict[str, Scalar]:
    return {"code": error.code, "message": error.message[:_SHOWN_CHARS], "remedy": error.remedy[:_SHOWN_CHARS]}


def _outcome(state: CallState, error: AaosError, *, duration_ms: float = 0.0) -> CallOutcome:
    return CallOutcome(
        state=state,
        result=error.message,
        truncated=False,
        evidence=Evidence.OBSERVED,
        duration_ms=duration_ms,
        error_code=error.code,
        remedy=error.remedy,
    )
