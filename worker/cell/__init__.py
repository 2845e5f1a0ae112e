"""The first process of a cell: what runs once the wall stands around it and before its one program, and beside that.

Reading order: `frames` (what agentd and a cell say to each other), `door` (of a cell with network), `init` (PID 1: it
starts the program, reaps, and tells agentd how the program ended). Standard library only. Its wall is built by
`worker.wall.cell`.
"""
