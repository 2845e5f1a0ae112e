import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.events import Event, EventKind, Recorded, Scalar, message_id
from aaos.core.ids import AgentId, RunId, SubtaskId
from aaos.store.copies import Copied
from aaos.store.eventtext import fields_to_json
from aaos.store.journal import VALUE_BYTES, entry

ALWAYS = {
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "AAOS_EVENT",
    "AAOS_SEQ",
    "AAOS_TIME_S",
    "AAOS_FIELDS",
}
FORGED = "x\nPRIORITY=0\n_SYSTEMD_UNIT=sshd.service\nMESSAGE_ID=00000000000000000000000000000000\n\nMESSAGE=fine"
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def read(data: bytes) -> dict[str, bytes]:
    """The entry as journald reads it. Source: systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    fields: dict[str, bytes] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
            assert len(value) == size
            assert rest[8 + size : 8 + size + 1] == b"\n"
        assert name.decode() not in fields
        fields[name.decode()] = value
    return fields


def _entry(kind: EventKind = EventKind.TOOL_DENIED, /, **fields: Scalar) -> bytes:
    event = Event(kind, RunId("r-1"), SubtaskId("s"), AgentId("a-1"), fields)
    return entry(Copied(Recorded(7, 1.5, event), fields_to_json(fields)))


def test_an_event_has_the_fields_that_operators_search_for() -> None:
    """AUD-1: journalctl -t agentd AAOS_RUN_ID=…"""
    fields = read(_entry(tool="grep", capability="file_read: /data/**", duration_ms=0.5, odd="kept in AAOS_FIELDS"))
    assert {name: value.decode() for name, value in fields.items() if name not in ("MESSAGE", "AAOS_FIELDS")} == {
        "MESSAGE_ID": message_id(EventKind.TOOL_DENIED),
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "agentd",
        "AAOS_EVENT": "tool.denied",
        "AAOS_SEQ": "7",
        "AAOS_TIME_S": "1.5",
        "AAOS_RUN_ID": "r-1",
        "AAOS_SUBTASK_ID": "s",
        "AAOS_AGENT_ID": "a-1",
        "AAOS_TOOL": "grep",
        "AAOS_CAPABILITY": "file_read: /data/**",
        "AAOS_DURATION_MS": "0.5",
    }
    assert b'"odd":"kept in AAOS_FIELDS"' in fields["AAOS_FIELDS"]
    assert fields["MESSAGE"].startswith(b"tool.denied tool=grep capability=file_read: /data/**")


@pytest.mark.parametrize("text", [FORGED, "\0" + FORGED, FORGED * 1000, "\udcff" + FORGED])
def test_a_forged_field_never_appears(text: str) -> None:
    """H-SEC-08"""
    known = {"AAOS_RUN_ID", "AAOS_SUBTASK_ID", "AAOS_AGENT_ID", "AAOS_TOOL", "AAOS_PATH"}
    fields = read(_entry(tool=text, path=text, message=text, text=text))
    assert set(fields) == ALWAYS | known
    assert fields["PRIORITY"] == b"5"
    assert fields["MESSAGE_ID"].decode() == message_id(EventKind.TOOL_DENIED)


def test_the_name_of_a_field_of_an_event_never_becomes_a_name_in_the_journal() -> None:
    """H-SEC-08"""
    event = Event(
        EventKind.TOOL_DONE, fields={"PRIORITY": "0", "_SYSTEMD_UNIT": "x", "a\nMESSAGE_ID": "x", "tool ": "x"}
    )
    fields = read(entry(Copied(Recorded(1, 0.0, event), fields_to_json(event.fields))))
    assert set(fields) == ALWAYS


def test_a_value_is_capped_and_the_entry_fits_a_datagram() -> None:
    """H-SEC-08: a field of 10 MiB"""
    data = _entry(tool="é" * 10_000_000, path="é" * 10_000_000, message="é" * 10_000_000, pid=10**5000)
    assert len(data) < 100_000
    assert max(len(value) for value in read(data).values()) <= VALUE_BYTES


def test_the_message_cannot_move_a_cursor() -> None:
    """H-SEC-09"""
    hostile = "a\x1b[2J\u202eb\x9b1m\nc"
    for data in (_entry(message=hostile), _entry(path=hostile)):
        message = read(data)["MESSAGE"].decode()
        assert message.isprintable()
        assert "a\\e[2J" in message


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.floats() | st.none() | st.booleans(), max_size=6))
def test_whatever_an_event_holds_makes_an_entry_that_can_be_read(fields: dict[str, Scalar]) -> None:
    """H-SEC-08"""
    event = Event(EventKind.AGENT_LOG, fields=fields)
    found = read(entry(Copied(Recorded(1, 0.0, event), fields_to_json(fields))))
    assert set(found) >= ALWAYS
    assert all(name in ALWAYS or name.startswith("AAOS_") for name in found)


def test_what_needs_a_look_has_a_higher_priority() -> None:
    priorities = {kind: read(_entry(kind))["PRIORITY"] for kind in EventKind}
    assert priorities[EventKind.OUTCOME_UNKNOWN] == b"4"
    assert priorities[EventKind.TOOL_DENIED] == b"5"
    assert priorities[EventKind.TOOL_DONE] == b"6"
    assert set(priorities.values()) == {b"4", b"5", b"6"}
