"""Asks for a file that nobody granted, hears the refusal, and ends well."""

import json
import socket

agentd = socket.socket(fileno=3)
agentd.recv(65536)
call = {"t": "tool.call", "id": 0, "tool": "file_read", "args": {"path": "/etc/shadow"}}
agentd.send(json.dumps(call).encode())
answer = json.loads(agentd.recv(65536))
refused = answer.get("t") == "failure"
agentd.send(json.dumps({"t": "finish", "ok": refused, "text": f"refused: {answer}"[:500]}).encode())
