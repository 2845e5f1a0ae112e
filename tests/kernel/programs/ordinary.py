"""An ordinary program: it does what programs in good faith do, and says at the end what came of it.

Plain sockets and the documented modules, nothing of aaOS. argv of a program is its goal: the directory it was granted.
"""

import json
import os
import random
import select
import socket
import time
from _thread import allocate_lock, get_native_id

agentd = socket.socket(fileno=3)
start = json.loads(agentd.recv(65536))
directory = start["goal"]
did: dict[str, object] = {}


def say(text: str) -> None:
    agentd.send(json.dumps({"t": "log", "text": text}).encode())


def wait() -> bool:
    """Wait for agentd with a deadline."""
    poller = select.poll()
    poller.register(agentd, select.POLLIN)
    return bool(poller.poll(30_000))


# Files: text and bytes, in place, listed and measured.
with open(f"{directory}/text", encoding="utf-8") as text:
    did["lines"] = len(text.readlines())
with open(f"{directory}/text", "r+b") as file:
    file.seek(0, os.SEEK_END)
    did["end"] = file.tell()
    file.seek(0)
    file.write(b"written")
    did["size"] = os.fstat(file.fileno()).st_size
    file.truncate(1000)
did["names"] = sorted(entry.name for entry in os.scandir(directory) if entry.is_file())
did["stat"] = os.stat(f"{directory}/text").st_size
copy = os.dup(3)
os.close(copy)

# Time, chance, identity.
time.sleep(0.001)
did["cpu"] = time.process_time() > 0
did["random"] = 0 <= random.SystemRandom().random() < 1
lock = allocate_lock()
did["locked"] = lock.acquire(), lock.acquire(timeout=0.001)
did["ids"] = [os.getpid(), get_native_id(), os.getppid(), os.getuid() == os.geteuid(), os.getgid() == os.getegid()]

# Memory: much of it, growing in place, given back.
blocks = [bytes(300_000) for _ in range(50)]
growing = bytearray()
for _ in range(64):
    growing += bytes(65_536)
did["memory"] = len(growing) + sum(map(len, blocks))
del blocks, growing
small = [str(number) for number in range(200_000)]
did["small"] = len(small)
del small

# Waiting that something interrupts: agentd looks at the worker, then a signal comes.
say("waiting")
did["woken"] = wait() and json.loads(agentd.recv(65536))["t"]
say("waiting")
try:
    wait()
except KeyboardInterrupt:
    did["interrupted"] = True

agentd.send(json.dumps({"t": "finish", "ok": True, "text": json.dumps(did, sort_keys=True)}).encode())
