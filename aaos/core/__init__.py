"""The values and rules that every other room is built from: errors, ids, capabilities, roles, graphs, events, settings.

Invariant: `core` computes; it opens no socket, reads no clock and starts no process. The only files it reads are the
operator's settings and roles. It may import the standard library, pydantic, PyYAML and `worker.abi`.
"""
