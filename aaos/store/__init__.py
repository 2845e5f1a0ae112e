"""Store: what agentd remembers, and the trace of all that happened, in one SQLite database with one writer.

It may import `core` and nothing else of the house. `database` opens and guards the file, `runs`, `conversations`,
`calls` and `audit` are its tables, `copies` carries events on to the journal and to a JSONL file.
A row is committed before anything is done because of it; whoever needs it to survive a power cut awaits `durable()`.
"""
