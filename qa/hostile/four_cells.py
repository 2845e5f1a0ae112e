"""Asks for four cells at once, each of which takes all it can get: processes, memory, a processor, a reader's time.

It uses nothing of aaOS but the socket it was given; its goal names a directory that is granted to it.
"""

import json
import socket

FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
MEMORY = """
import mmap, os
os.fork(), os.fork()
held = []
while True:
    held.append(mmap.mmap(-1, 2**25, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
"""
CPU = "while True:\n    pass\n"
FLOOD = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"

agentd = socket.socket(fileno=3)
start = json.loads(agentd.recv(65536))
for number, code in enumerate((FORKS, MEMORY, CPU, FLOOD)):
    args = {"workspace": start["goal"].split()[-1], "code": code}
    agentd.send(json.dumps({"t": "tool.call", "id": number, "tool": "python_run", "args": args}).encode())
told = {}
while len(told) < 4:
    answer = json.loads(agentd.recv(65536))
    told[answer["id"]] = str(answer.get("value", answer).get("text") or answer.get("message"))[:200]
text = "\n".join(f"{name}: {told[number]}" for number, name in enumerate(("forks", "memory", "cpu", "flood")))
agentd.send(json.dumps({"t": "finish", "ok": True, "text": text}).encode())
