"""What the models of each run took: one small row for each run, so that a turn's commit stays small.

Invariant: what an earlier daemon held for turns under way counts as spent, for nobody can say that it was not.
"""

from aaos.core.ids import RunId
from aaos.core.ports import Spend
from aaos.store.database import Database

_SET = """INSERT INTO spends (run, tokens, cost_usd, held_tokens, held_usd) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO UPDATE SET tokens = ?2, cost_usd = ?3, held_tokens = ?4, held_usd = ?5"""
_SPENT = "SELECT tokens + held_tokens, cost_usd + held_usd FROM spends WHERE run = ?"


class Spends:
    """The table `spends`; implements the `SpendStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spent(self, run: RunId) -> Spend:
        """What the run has spent, with what is held for it."""
        row = self._database.row(_SPENT, (run,))
        return Spend(*row) if row else Spend()

    def set_spent(self, run: RunId, spent: Spend, *, held: Spend) -> None:
        """Write both. Raises StorageError."""
        self._database.change(_SET, (run, spent.tokens, spent.cost_usd, held.tokens, held.cost_usd))

    async def durable(self) -> None:
        """Return when what is written survives a power cut. Raises StorageError."""
        await self._database.durable()
