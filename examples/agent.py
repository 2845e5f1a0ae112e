"""An agent in forty lines: plain sockets and none of aaOS's own modules. It counts the lines of the file
that its operator granted. Its session with agentd is fd 3; docs/aaos-abi.md is the manual.
Try it: agentd submit --read FILE --program examples/agent.py count"""

import json
import os
import socket

session = socket.socket(fileno=3)


def receive():
    """The next frame and its fds."""
    data, fds, _, _ = socket.recv_fds(session, 65_536, 65)
    frame = json.loads(data) if data else {"t": "stop"}
    if frame["t"] == "large":
        memfd = fds.pop(0)
        frame = json.loads(os.pread(memfd, frame["size"], 0))
        os.close(memfd)
    if frame["t"] == "stop":
        raise SystemExit
    return frame, fds


def send(**frame):
    """Send one frame."""
    session.send(json.dumps(frame).encode())


start, _ = receive()
if not start["params"].get("reads"):
    send(t="finish", ok=False, text="no file was granted: add --read FILE")
    raise SystemExit
path = start["params"]["reads"][0]
send(t="tool.call", id=1, tool="file_read", args={"path": path, "max_bytes": 65_536})
answer, fds = receive()
if answer["t"] == "failure":
    send(t="finish", ok=False, text=f"{answer['message']}\n{answer['remedy']}")
else:
    result = answer["value"]
    if "permit" in result:  # without one it is the result, on record from before a restart of agentd
        text = os.pread(fds[result["files"][0]["fd"]], result["limit_bytes"], 0).decode("utf-8", "replace")
        send(t="tool.done", id=2, permit=result["permit"], ok=True, text=text)
        result = receive()[0]["value"]
    send(t="finish", ok=True, text=f"{result['text'].count(chr(10))} lines in {path}")
