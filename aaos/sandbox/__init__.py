"""From a grant to a confined, attested process: policy, filters, launch, session, teardown.

It may import `core`, `worker.abi`, `worker.transport` and `worker.wall.syscalls`; it knows nothing of runs, tools or
models.
"""
