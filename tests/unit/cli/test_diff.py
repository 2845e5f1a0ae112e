"""What a run changed, from its events."""

from aaos.cli import diff
from aaos.cli.answers import Document, Event, event
from aaos.cli.diff import Change


def told(kind: str, **fields: str | int) -> Event:
    document: Document = {"seq": 1, "kind": kind, "subtask": "build-1", "fields": fields}
    return event(document)


def test_each_kind_of_change_is_told_once_by_its_path() -> None:
    """RUN-9, BRK-7"""
    events = [
        told("run.started"),
        told("file.written", path="/w/b", tool="file_edit"),
        told("file.written", path="/w/b", tool="file_edit"),
        told("file.changed", tool="make_run", made=3, made_paths="/w/a\n/w/c", removed=1, removed_paths="/w/z"),
        told("file.unreported", path="/w/x", evidence="observed"),
        told("file.unreported", message="the walk over the writable roots met a bound"),
    ]
    assert diff.changes(events) == (
        Change("made", "/w/a", "build-1", "make_run"),
        Change("written", "/w/b", "build-1", "file_edit"),
        Change("made", "/w/c", "build-1", "make_run"),
        Change("changed", "/w/x", "build-1", diff.NOBODY),
        Change("removed", "/w/z", "build-1", "make_run"),
        Change("made", "", "build-1", "make_run", 1),
    )


def test_lines_say_who_did_it_and_how_many_are_not_named() -> None:
    found = (Change("made", "/w/a", "s", "make_run"), Change("made", "", "s", "make_run", 40))
    assert diff.lines(found) == ["made     /w/a  (s, make_run)", "made     40 more  (s, make_run)"]


def test_nothing_is_an_answer_too() -> None:
    assert diff.lines(()) == ["nothing was changed, as far as agentd saw"]
