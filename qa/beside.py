"""How long others wait beside hostile cells (R12): what asks agentd and what calls a tool, twenty times a second.

Both are programs that run in a guest as well as here, one as an operator's client, one in a worker. Each tells its own
latencies in milliseconds as JSON: median, 99th percentile, largest, count.
"""

SUMMARY = """
def summary(taken):
    taken.sort()
    at = lambda share: round(taken[min(len(taken) - 1, int(len(taken) * share))] * 1e3, 2)
    return {"p50": at(0.5), "p99": at(0.99), "max": round(taken[-1] * 1e3, 2), "count": len(taken)}
"""
# python3 - SOCKET RUN SECONDS: `version` is what the loop answers at once, so that its time bounds the loop's lag.
ASKS = f"""
import json, socket, sys, time
{SUMMARY}
path, run, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
peer = socket.socket(socket.AF_UNIX)
peer.connect(path)
lines = peer.makefile("rb")
taken = {{"version": [], "status": []}}
number, until_s = 0, time.monotonic() + seconds
while time.monotonic() < until_s:
    for method, params in (("version", {{}}), ("status", {{"run": run}})):
        number += 1
        begun_s = time.monotonic()
        request = {{"jsonrpc": "2.0", "id": number, "method": method, "params": params}}
        peer.sendall(json.dumps(request).encode() + b"\\n")
        answer = json.loads(lines.readline())
        assert answer["id"] == number and "result" in answer, answer
        taken[method].append(time.monotonic() - begun_s)
    time.sleep(max(0.0, begun_s + 0.05 - time.monotonic()))
print(json.dumps({{method: summary(times) for method, times in taken.items()}}))
"""
# The program of an agent whose goal ends with SECONDS and a file that it may read.
READS = f"""
import json, socket, time
from worker.user.client import Abi
{SUMMARY}
agentd = Abi(socket.socket(fileno=3))
*_, seconds, path = agentd.start().goal.split()
taken, until_s = [], time.monotonic() + float(seconds)
while time.monotonic() < until_s:
    begun_s = time.monotonic()
    assert agentd.call("file_read", {{"path": path}}).text
    taken.append(time.monotonic() - begun_s)
    time.sleep(max(0.0, begun_s + 0.05 - time.monotonic()))
agentd.finish(json.dumps(summary(taken)))
"""
