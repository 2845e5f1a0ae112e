import asyncio
from pathlib import Path

from aaos.core.ids import RunId
from aaos.core.ports import Spend
from aaos.store.database import Database
from aaos.store.spends import Spends

RUN = RunId("r-1")


def test_what_was_held_is_spent_for_the_next_daemon(state_dir: Path) -> None:
    """RUN-8: a turn that was under way may have been paid."""
    database = Database.open(state_dir)
    spends = Spends(database)
    assert spends.spent(RUN) == Spend()
    spends.set_spent(RUN, Spend(10, 0.25), held=Spend(100, 0.5))
    asyncio.run(spends.durable())
    database.close()
    database = Database.open(state_dir)
    assert Spends(database).spent(RUN) == Spend(110, 0.75)
    database.close()


def test_a_run_has_one_row_however_often_it_is_written(state_dir: Path) -> None:
    """Disk per turn does not grow with the run."""
    database = Database.open(state_dir)
    spends = Spends(database)
    for turn in range(1, 50):
        spends.set_spent(RUN, Spend(turn, 0.0), held=Spend())
    assert database.rows("SELECT count(*) FROM spends") == [(1,)]
    assert spends.spent(RUN) == Spend(49, 0.0)
    assert spends.spent(RunId("other")) == Spend()
    database.close()
