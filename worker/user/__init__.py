"""User space: what an agent runs behind the wall. Unprivileged and untrusted; it asks agentd for everything by the ABI.

Reading order: `entry` (what is run), `client` (ABI calls as functions), `loop` (turns), `scaffold` (fixed programs),
`toolbox` (a permit is carried out), `files`, `listing`, `grep` (the tools). Standard library only. Nothing here opens a
path but below a granted root, creates a name, starts a process or thread, or imports after the wall stands.
"""
