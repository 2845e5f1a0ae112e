"""Models: what a turn of an agent is, who may answer it, providers over HTTP, and the embedded tier T0.

Everything that asks a model goes through `schedule.Models`. `types` are the values of a turn; `rules` is the embedded
provider: it answers the turns of analyzer and writer by code, from the structured task and the conversation alone. The
`rules_*` files are its parts: reading in pages, texts, logs, code, records, Markdown. They open nothing and interpret
nothing of what they read: contents are data.

Real models, in the order of reading: `table` (what the operator wrote), `keys`, `quirks` (how servers differ), `wire`
with `openai` and `anthropic` (two formats), `joined` (bytes sent once, kept), `sse`, `assembly` (an answer in the
making), `http` (one exchange, all deadlines), `faults`, `backoff`, `redact`, and `providers`, which joins them. May
import core and the limits of the worker's wire format; must not import store, sandbox or anything above.
"""
