import re
import sqlite3
from contextlib import closing

from aaos.store.schema import APPLICATION_ID, MIGRATIONS


def _columns() -> dict[str, list[str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for step in MIGRATIONS:
            for statement in step:
                connection.execute(statement)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}


def test_the_steps_make_every_table() -> None:
    tables = {
        "daemon",
        "events",
        "runs",
        "subtasks",
        "messages",
        "calls",
        "outcomes",
        "programs",
        "spends",
        "approvals",
    }
    assert set(_columns()) == tables


def test_every_table_is_strict() -> None:
    """A value of a wrong type is refused by the database itself."""
    made = [s for step in MIGRATIONS for s in step if s.startswith("CREATE TABLE")]
    assert made
    assert all(re.search(r"\) STRICT(, WITHOUT ROWID)?$", statement) for statement in made)


def test_the_file_says_whose_it_is() -> None:
    assert APPLICATION_ID.to_bytes(4, "big") == b"aaOS"
