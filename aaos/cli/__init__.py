"""The operator's door: `agentd COMMAND`, a client of the daemon's socket that starts fast and knows nothing behind it.

Reading order: `__main__` (one command from arguments to exit status), `parser`, `client` (the socket), `answers` (what
came back, typed), `render` and `tables` (answers as lines; pure), `output` (the only way to the terminal), `follow` (a
run to its end), then the commands: `submit`, `runs`, `machine`, `serve`.

May import `core.errors`, `core.rpc`, `core.text` and the standard library; must not import asyncio, pydantic or yaml.
"""
