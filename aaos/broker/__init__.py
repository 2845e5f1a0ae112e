"""What the daemon does for a worker because the wall forbids it: opening files with the submitter's rights, publishing
what was written.

It may import `core` and the system calls of `worker.wall.syscalls`; it decides nothing about capabilities.
"""
