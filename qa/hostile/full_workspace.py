"""Fills the workspace of its run: with bytes, and when those are gone with names; tells what errors ended it."""

import json
import socket

from worker.user.client import Abi

BYTES = """
import os
try:
    while True:
        with open("full", "ab", buffering=0) as file:
            file.write(bytes(2**20))
        if os.stat("full").st_size >= 2**23:
            os.rename("full", "full-%d" % len(os.listdir()))
except OSError as error:
    print(error.errno)
for name in os.listdir():
    if name.startswith("full"):
        os.unlink(name)
"""
NAMES = """
import os
try:
    for number in range(10**7):
        os.close(os.open("n%d" % number, os.O_CREAT | os.O_WRONLY))
except OSError as error:
    print(error.errno)
"""
agentd = Abi(socket.socket(fileno=3))
grants = agentd.start().grants
place = next(one for one in grants if one.startswith("file_write: ")).partition(": ")[2].removesuffix("/**")
said = [agentd.call("python_run", {"directory": place, "code": code}).text for code in (BYTES, NAMES)]
agentd.finish(json.dumps(said))
