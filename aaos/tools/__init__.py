"""The gate: the only way from an agent to a tool. Each call is validated, checked against the agent's capabilities,
routed by the type of its tool, and recorded.

It may import `core`, `broker` and the wire format; it runs no tool itself.
"""
