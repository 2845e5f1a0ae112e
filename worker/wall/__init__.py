"""Builds the wall, from outside in, and then is never used again; the part to audit.

It imports the standard library, `prctl`, `landlock` and `worker.abi`; it runs as root in the zygote and, after the
fork, in the worker until its `ready` frame.
"""
