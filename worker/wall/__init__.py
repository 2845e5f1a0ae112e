"""Builds the wall, from outside in, and then is never used again; the part to audit.

It imports the standard library, `prctl`, `landlock`, the wire formats and what its children become; it runs as root in
the zygote and, after the fork, in the worker or the cell until its `ready` frame.
"""
