"""The journal copy against a journald of our own, in a mount namespace: the machine's own journal sees nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 60

PRELUDE = """
import os, socket, time
from aaos.core.events import Event, EventKind, Recorded
from aaos.store.copies import Copies, Copied
from aaos.store.journal import SOCKET, JournalCopy

def journald():
    os.makedirs(SOCKET.parent, exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    served = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    served.bind(str(SOCKET))
    served.settimeout(10)
    return served

def recorded(seq, **fields):
    return Recorded(seq, 1.5, Event(EventKind.TOOL_DENIED, fields=fields))
"""

ARRIVES = """
served = journald()
copies = Copies((JournalCopy(),))
copies.push(recorded(1, tool="x\\nPRIORITY=0\\n_SYSTEMD_UNIT=sshd.service\\n"), "{}")
data = served.recv(1 << 20)
assert b"PRIORITY\\n" + (1).to_bytes(8, "little") + b"5\\n" in data, data
assert b"SYSLOG_IDENTIFIER\\n" + (6).to_bytes(8, "little") + b"agentd\\n" in data, data
forged = b"x\\nPRIORITY=0\\n_SYSTEMD_UNIT=sshd.service\\n"
assert b"AAOS_TOOL\\n" + len(forged).to_bytes(8, "little") + forged + b"\\n" in data, data
copies.push(recorded(2, tool="t" * 10_000_000), "{}")
assert len(served.recv(1 << 20)) < 100_000
assert copies.losses(0.0) == ()
"""

STOPPED = """
served = journald()  # never reads: as if stopped
copies = Copies((JournalCopy(),))
slowest = 0.0
for seq in range(3000):
    begin = time.perf_counter()
    copies.push(recorded(seq), "{}")
    slowest = max(slowest, time.perf_counter() - begin)
assert slowest < 0.1, slowest  # sendv of the package systemd would stand still here, and everything with it
begin = time.perf_counter()
assert copies.flush(20)
assert time.perf_counter() - begin < 15
(lost,) = copies.losses(0.0)
kept = 3000 - lost.count
assert lost.copy == "journal" and lost.reason.endswith("nobody reads") and 0 < kept < 3000, lost
served.setblocking(False)
arrived = 0
try:
    while served.recv(1 << 20):
        arrived += 1
except BlockingIOError:
    pass
assert arrived == kept, (arrived, kept)
"""

RETURNS = """
copies = Copies((JournalCopy(),))
copies.push(recorded(1), "{}")
assert copies.flush(10)
(lost,) = copies.losses(0.0)
assert (lost.copy, lost.count) == ("journal", 1) and "No such file or directory" in lost.reason, lost
copies.told(lost, 0.0)
for life in range(2):
    served = journald()
    time.sleep(1.1)
    copies.push(recorded(2 + life), "{}")
    assert copies.flush(10)
    if life == 0:
        assert b"AAOS_SEQ" in served.recv(1 << 20)
        served.close()
    else:  # the first event after a restart finds the old socket dead; the next finds the new one
        time.sleep(1.1)
        copies.push(recorded(9), "{}")
        assert b"AAOS_SEQ" in served.recv(1 << 20)
"""


def test_an_entry_arrives_and_a_forged_field_does_not() -> None:
    """H-SEC-08, AUD-1"""
    _in_a_namespace(ARRIVES)


def test_a_stopped_journald_delays_nobody_and_its_losses_are_counted() -> None:
    """H-DUR-09"""
    _in_a_namespace(STOPPED)


def test_a_journald_that_is_missing_or_restarted_is_found_again() -> None:
    """AUD-1"""
    _in_a_namespace(RETURNS)


def _in_a_namespace(program: str) -> None:
    script = 'mount -t tmpfs tmpfs /run && exec "$0" -c "$1"'
    command = ("unshare", "--mount", "sh", "-c", script, sys.executable, PRELUDE + program)
    result = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert result.returncode == 0, result.stderr
