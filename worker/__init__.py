"""The other side of the wall: what runs in an agent's worker, and the code that builds the wall around it.

Threat model. The agent is hostile: its model may be steered by whatever it reads, and the code in `worker.user` may be
replaced at run time by whatever the agent manages to execute. Nothing here is trusted once `worker.wall.confine` has
sent `ready`; agentd believes only what it sees from outside.

The wall. A worker is forked from a pre-imported template (the zygote) into fresh user, mount, pid, net, ipc, uts and
cgroup namespaces; its root is an empty tmpfs with its granted roots and five devices; Landlock and seccomp deny a
second time what the mounts and the missing ids deny already; it has one inherited socket to agentd and nothing else.

A cell is the same for one program: it may execute that, make names below what it may write, and talk to its own
processes; `worker.cell` is its PID 1.

Reading order: `fields`, `abi` (the wire format), `transport` (frames over a socket), `wall.syscalls`, `wall.mounts`,
`wall.rules`, `wall.confine`, `wall.cell`, `wall.zygote` (in the order in which a worker is made), then `cell`, `user`.
"""
