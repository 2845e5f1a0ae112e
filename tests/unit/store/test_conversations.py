from pathlib import Path

import pytest

from aaos.core.ids import AgentId
from aaos.store.conversations import Conversations
from aaos.store.database import Database

ONE, TWO = AgentId("a-one"), AgentId("a-two")


@pytest.fixture
def conversations(database: Database) -> Conversations:
    return Conversations(database)


def test_messages_keep_their_place_and_their_bytes(conversations: Conversations) -> None:
    """BRK-3"""
    bodies = [b'{"n": 0}', b"\x00\xff not JSON", b"", b"x" * 100_000]
    assert [conversations.append(ONE, "user", body) for body in bodies] == [0, 1, 2, 3]
    assert conversations.messages(ONE) == bodies


def test_each_message_says_whose_words_it_holds(conversations: Conversations) -> None:
    """BRK-3: what a worker says enters as such."""
    for role in ("system", "user", "assistant", "worker"):
        conversations.append(ONE, role, b"{}")
    assert conversations.roles(ONE) == ["system", "user", "assistant", "worker"]


def test_agents_do_not_see_each_other(conversations: Conversations) -> None:
    """H-SEC-11"""
    conversations.append(ONE, "user", b"one")
    assert conversations.append(TWO, "user", b"two") == 0
    assert conversations.messages(TWO) == [b"two"]
    assert conversations.drop(ONE) == 1
    assert conversations.messages(ONE) == []
    assert conversations.messages(TWO) == [b"two"]


def test_a_message_is_committed_when_it_is_added(conversations: Conversations, database: Database) -> None:
    """RUN-8"""
    conversations.append(ONE, "user", b"1")
    assert not database.is_in_transaction
    with database.transaction():
        assert conversations.append(ONE, "user", b"2") == 1


def test_a_conversation_outlives_the_daemon(state_dir: Path) -> None:
    """BRK-3, RUN-8"""
    for number in range(3):
        database = Database.open(state_dir)
        assert Conversations(database).append(ONE, "user", b"%d" % number) == number
        database.close()
