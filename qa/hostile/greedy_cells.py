"""Keeps cells at work, each of which takes all it can get of one thing: processors, memory, the disk, a reader's time.

It uses nothing of aaOS but the socket it was given. Its goal names the cells by their kinds, and at its end a directory
that is granted to it. A cell that was ended is followed by the next of its kind, until the run is stopped.
"""

import json
import socket

FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
MEMORY = """
import mmap, os
is_first, held = os.fork(), []
os.fork()
while True:
    if is_first:
        held.append(mmap.mmap(-1, 2**25, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
    else:
        held.append(os.memfd_create("held"))
        os.posix_fallocate(held[-1], 0, 2**23)
"""
DISK = """
import os
while True:
    for number in range(16):
        fd = os.open(f"filled-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for _ in range(64):
            os.write(fd, bytes(65536))
        os.fsync(fd)
        os.close(fd)
"""
FLOOD = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"
CPU = "while True:\n    pass\n"
KINDS = {"cpu": CPU, "forks": FORKS, "memory": MEMORY, "disk": DISK, "flood": FLOOD}

agentd = socket.socket(fileno=3)
*words, place = json.loads(agentd.recv(65536))["goal"].split()
running = {}


def begin(number, kind):
    running[number] = kind
    args = {"directory": place, "code": KINDS[kind]}
    agentd.send(json.dumps({"t": "tool.call", "id": number, "tool": "python_run", "args": args}).encode())


for number, kind in enumerate(word for word in words if word in KINDS):
    begin(number, kind)
while True:
    answer = json.loads(agentd.recv(65536))
    kind = running.pop(answer["id"])
    how = str(answer.get("value", answer).get("text") or answer.get("message")).splitlines()[0]
    agentd.send(json.dumps({"t": "log", "text": f"{kind}: {how[:120]}"}).encode())
    number += 1
    begin(number, kind)
