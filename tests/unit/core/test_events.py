"""Every event has its own name and its own unchanging MESSAGE_ID."""

from aaos.core.events import Event, EventKind, message_id


def test_there_are_at_least_forty_kinds_with_an_id_each() -> None:
    """AUD-1"""
    assert len(EventKind) >= 40
    assert len({message_id(kind) for kind in EventKind}) == len(EventKind)


def test_a_message_id_is_32_hex_digits_and_never_changes() -> None:
    """AUD-1: the journal catalog and other programs' filters know these."""
    assert message_id(EventKind.TOOL_DENIED) == "b61a6a060e0752339257894a10511def"
    assert all(len(message_id(kind)) == 32 and int(message_id(kind), 16) for kind in EventKind)


def test_an_event_needs_nothing_but_its_kind() -> None:
    event = Event(EventKind.DAEMON_STARTED)
    assert (event.run, event.subtask, event.agent, event.fields) == (None, None, None, {})
