"""What the model sees of each agent, kept by the daemon: messages are only ever added.

Invariant: a message is serialised once, by whoever makes it, and never read to add the next; the n-th message of an
agent keeps its place and its bytes.
"""

from aaos.core.ids import AgentId
from aaos.store.database import Database

_APPEND = """INSERT INTO messages (agent, position, role, body)
    SELECT ?1, coalesce(max(position) + 1, 0), ?2, ?3 FROM messages WHERE agent = ?1 RETURNING position"""


class Conversations:
    """The table `messages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, agent: AgentId, role: str, body: bytes) -> int:
        """Add a message; its position, from 0. `role` says whose words they are. Committed when this returns."""
        return self._database.returning(_APPEND, (agent, role, body))

    def rows(self, agent: AgentId) -> list[tuple[str, bytes]]:
        """Whose words, and the body, of each message in order."""
        return self._database.rows("SELECT role, body FROM messages WHERE agent = ? ORDER BY position", (agent,))

    def messages(self, agent: AgentId) -> list[bytes]:
        """The bodies in order: join the bytes, do not parse them again."""
        rows = self._database.rows("SELECT body FROM messages WHERE agent = ? ORDER BY position", (agent,))
        return [body for (body,) in rows]

    def roles(self, agent: AgentId) -> list[str]:
        """Whose words each message holds, in order."""
        rows = self._database.rows("SELECT role FROM messages WHERE agent = ? ORDER BY position", (agent,))
        return [role for (role,) in rows]

    def drop(self, agent: AgentId) -> int:
        """Forget the conversation; the number of messages it had."""
        return self._database.change("DELETE FROM messages WHERE agent = ?", (agent,))
