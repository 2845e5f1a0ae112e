"""Models: what a turn of an agent is, who may answer it, and the embedded tier T0 that needs no model.

Everything that asks a model goes through `schedule.Models`. `types` are the values of a turn; `rules` is the embedded
provider: it answers the turns of analyzer and writer by code, from the structured task and the conversation alone. The
`rules_*` files are its parts: reading in pages, texts, logs, code, records, Markdown. May import core; must not import
store, sandbox or anything above, open files, sockets or processes, or interpret what it reads: contents are data.
"""
