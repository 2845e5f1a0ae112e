"""The tables, as numbered steps from an empty file to the newest layout.

Invariant: a step that was released is never edited, a change is a new step; `PRAGMA user_version` counts the steps.
"""

from typing import Final

APPLICATION_ID: Final = 0x61614F53  # "aaOS" in ASCII; source: sqlite.org/pragma.html#pragma_application_id

_FIRST: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """CREATE TABLE daemon (
        id INTEGER PRIMARY KEY CHECK (id = 1), database TEXT NOT NULL, epoch INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO daemon VALUES (1, lower(hex(randomblob(16))), 0)",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY, time_s REAL NOT NULL, kind TEXT NOT NULL,
        run TEXT, subtask TEXT, agent TEXT, fields TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX events_by_run ON events (run) WHERE run IS NOT NULL",
    """CREATE TABLE runs (
        position INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
        goal TEXT NOT NULL, envelope TEXT NOT NULL, plan TEXT, state TEXT NOT NULL,
        created_s REAL NOT NULL, finished_s REAL, result TEXT, error TEXT
    ) STRICT""",
    "CREATE INDEX runs_by_uid ON runs (uid)",
    "CREATE INDEX runs_unfinished ON runs (position) WHERE finished_s IS NULL",
    """CREATE TABLE subtasks (
        run TEXT NOT NULL, subtask TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
        attempt INTEGER NOT NULL, agent TEXT, result TEXT, error TEXT, PRIMARY KEY (run, subtask)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY, agent TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL, body BLOB NOT NULL,
        UNIQUE (agent, position)
    ) STRICT""",
    """CREATE TABLE calls (
        id INTEGER PRIMARY KEY, call TEXT NOT NULL UNIQUE, run TEXT NOT NULL, subtask TEXT NOT NULL,
        agent TEXT NOT NULL, turn INTEGER NOT NULL, tool TEXT NOT NULL, origin TEXT NOT NULL, arguments TEXT NOT NULL,
        digest TEXT NOT NULL, state TEXT NOT NULL, pre_hash TEXT, epoch INTEGER NOT NULL, opened_s REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE outcomes (
        id INTEGER PRIMARY KEY REFERENCES calls, state TEXT NOT NULL, result TEXT NOT NULL, truncated INTEGER NOT NULL,
        evidence TEXT NOT NULL, duration_ms REAL NOT NULL, post_hash TEXT, error_code TEXT
    ) STRICT""",
    """CREATE TABLE leases (
        kind TEXT NOT NULL, key TEXT NOT NULL, detail TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID""",
)

_SECOND: Final = (
    """CREATE TABLE spends (
        run TEXT PRIMARY KEY, tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, held_tokens INTEGER NOT NULL,
        held_usd REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
_THIRD: Final = (
    "DROP TABLE leases",
    "ALTER TABLE runs ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN progress TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE subtasks ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE outcomes ADD COLUMN remedy TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE outcomes ADD COLUMN size_bytes INTEGER",
    """CREATE TABLE programs (
        run TEXT PRIMARY KEY, body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
_FOURTH: Final = (
    "ALTER TABLE outcomes ADD COLUMN label TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN trust TEXT NOT NULL DEFAULT ''",
)
_FIFTH: Final = (
    "ALTER TABLE runs ADD COLUMN paused_s REAL NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN paused_at_s REAL",
)
_SIXTH: Final = ("ALTER TABLE subtasks ADD COLUMN began_s REAL",)
_SEVENTH: Final = (
    """CREATE TABLE approvals (
        id INTEGER PRIMARY KEY, approval TEXT NOT NULL UNIQUE, call TEXT NOT NULL UNIQUE, run TEXT NOT NULL,
        subtask TEXT NOT NULL, agent TEXT NOT NULL, uid INTEGER NOT NULL, tool TEXT NOT NULL, resource TEXT NOT NULL,
        arguments TEXT NOT NULL, pre_hash TEXT, preview TEXT NOT NULL, policy TEXT NOT NULL, digest TEXT NOT NULL,
        asked_s REAL NOT NULL, until_s REAL NOT NULL, state TEXT NOT NULL, settled_s REAL, settled_by INTEGER,
        terminal TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    "CREATE INDEX approvals_by_run ON approvals (run)",
    "CREATE INDEX approvals_waiting ON approvals (id) WHERE state = 'waiting'",
)
_EIGHTH: Final = ("ALTER TABLE daemon ADD COLUMN batch INTEGER NOT NULL DEFAULT 0",)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    _FIRST,
    _SECOND,
    _THIRD,
    _FOURTH,
    _FIFTH,
    _SIXTH,
    _SEVENTH,
    _EIGHTH,
)
