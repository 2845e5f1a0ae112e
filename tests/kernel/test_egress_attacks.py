"""A compromised egress: what its wall leaves it, tried from inside, with every layer in force."""

import asyncio
import json
import os
import socket
import tempfile
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.config import Settings
from aaos.core.errors import ConfinementError
from aaos.sandbox.egress import ConfinedEgress, launch_egress
from aaos.sandbox.ids import egress_ids
from aaos.sandbox.session import reap
from tests.kernel.harness import TREE
from worker import transport

SECRET = "secret of root"
BOOT = """
import sys
sys.path.insert(0, {tree!r})
import array, ctypes, errno, json, mmap, os, resource, signal, socket, struct, threading
from aaos.egress import serve, warm
from worker import transport
from worker.wall import confine, mounts, rules, syscalls, zygote
libc = ctypes.CDLL(None, use_errno=True)
said = {{}}

def attempt(name, act):
    try:
        said[name] = f"done: {{act()!r:.80}}"
    except OSError as error:
        said[name] = errno.errorcode.get(error.errno, str(error))
    except BaseException as error:
        said[name] = type(error).__name__

def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result

def run(sock, entry, program):
    sock.recv(100)
    attack()
    transport.send_message(sock, json.dumps(said).encode())

def attack():
{attack}

{before}
warm.warm()
zygote.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], run=run)
"""


def attacked(source: str, *, before: str = "") -> dict[str, str]:
    """What each attempt came to, inside a confined and attested egress."""

    async def run(directory: Path) -> dict[str, str]:
        made = await _launched(directory, source, before)
        with closing(made.sock):
            made.sock.setblocking(True)
            made.sock.settimeout(20)
            transport.send_message(made.sock, b"go")
            data, _ = await asyncio.to_thread(transport.receive_message, made.sock)
            await reap(made.pidfd)
        said: dict[str, str] = json.loads(data)
        return said

    with tempfile.TemporaryDirectory(prefix="aaos-") as name:
        return asyncio.run(run(Path(name)))


async def _launched(directory: Path, source: str, before: str) -> ConfinedEgress:
    boot, files = directory / "boot.py", directory / "etc"
    boot.write_text(BOOT.format(tree=str(TREE), attack=textwrap.indent(source, "    "), before=before))
    files.mkdir()
    (files / "hosts").write_text("127.0.0.1 localhost\n")
    for path in (files, files / "hosts"):
        os.chown(path, *egress_ids(Settings()))
    return await launch_egress(Settings(), directory / "template", files, boot=boot)


def test_there_are_no_files_but_its_own_and_those_cannot_be_changed() -> None:
    """H-SEC-01, H-SBX-03"""
    said = attacked(
        """
for path in "/etc/shadow /root /var/lib/aaos /home /usr /run /sys /tmp /proc/1/root/etc/shadow".split():
    attempt(f"read {path}", lambda: os.open(path, os.O_RDONLY))
attempt("list", lambda: sorted(os.listdir("/")))
attempt("own", lambda: open("/etc/hosts").read())
attempt("write", lambda: os.open("/etc/hosts", os.O_WRONLY))
attempt("create", lambda: os.open("/etc/new", os.O_WRONLY | os.O_CREAT))
attempt("unlink", lambda: os.unlink("/etc/hosts"))
attempt("chmod", lambda: os.chmod("/etc/hosts", 0o777))
attempt("mkdir", lambda: os.mkdir("/etc/d"))
attempt("environ", lambda: open("/proc/1/environ", "rb").read())
attempt("memory", lambda: os.open("/proc/self/mem", os.O_RDWR))
attempt("parent", lambda: os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY))
attempt("mount", lambda: syscalls.mount("tmpfs", "/etc", "tmpfs", flags=0))
attempt("unshare", lambda: syscalls.unshare(syscalls.CLONE_NEWUSER))
attempt("chroot", lambda: os.chroot("/etc"))
""".strip()
    )
    assert all(outcome in ("ENOENT", "EACCES", "EPERM") for name, outcome in said.items() if name.startswith("read "))
    assert said["own"] == "done: '127.0.0.1 localhost\\n'"
    refused = {name for name in said if not name.startswith("read ") and name != "own"}
    assert {said[name] for name in refused} <= {"EPERM", "EACCES", "EROFS", "ENOSYS", "ENOENT"}, said


def test_nothing_is_run_and_nobody_is_touched() -> None:
    """H-SBX-01, H-SBX-07, H-SBX-08, H-SBX-15"""
    said = attacked(
        f"""
attempt("fork", os.fork)
attempt("vfork", lambda: call(58))
attempt("clone of a process", lambda: call(56, 17, 0, 0, 0, 0))
attempt("clone of a namespace", lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0))
attempt("clone3", lambda: call(435, b"\\0" * 88, 88))
attempt("exec", lambda: os.execv("/proc/self/exe", ["x"]))
attempt("exec of memory", lambda: os.execve(os.memfd_create("x"), ["x"], {{}}))
attempt("code", lambda: mmap.mmap(-1, 4096, prot=7))
attempt("code later", lambda: call(10, 0, 4096, 4))
attempt("signal", lambda: os.kill({os.getpid()}, 9))
attempt("signal to all", lambda: os.kill(-1, 9))
attempt("thread's signal", lambda: call(200, {os.getpid()}, 9))
attempt("ptrace", lambda: call(101, 16, {os.getpid()}, 0, 0))
attempt("memory of others", lambda: call(310, {os.getpid()}, 0, 0, 0, 0, 0))
attempt("fds of others", lambda: call(438, 3, 0, 0))
attempt("ids", lambda: os.setuid(0))
attempt("capabilities", lambda: call(126, 0, 0))
attempt("filter", lambda: call(317, 1, 0, 0))
attempt("keys", lambda: call(250, 0, 0, 0, 0, 0))
attempt("bpf", lambda: call(321, 0, 0, 0))
attempt("ring", lambda: call(425, 8, 0))
attempt("personality", lambda: call(135, 0))
attempt("limits of others", lambda: call(302, {os.getpid()}, 7, 0, 0))
attempt("name", lambda: socket.sethostname("x"))
attempt("scheduler", lambda: os.nice(-5))
threading.Thread(target=lambda: attempt("thread", os.getpid)).start()
""".strip()
    )
    assert said.pop("thread", "done: 1") == "done: 1", "threads are what it may have"
    assert set(said.values()) <= {"EPERM", "EACCES", "ENOSYS"}, said


def test_of_the_network_it_has_connections_out_and_no_more() -> None:
    """H-NET-02: no listening, no socket of this machine, no packets of its own making."""
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_INET) as inet:
        abstract.bind("\0aaos-test-of-egress")
        abstract.listen()
        inet.bind(("127.0.0.1", 0))
        inet.listen()
        said = attacked(
            f"""
def listening(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind(address)
        sock.listen()

def made(*what):
    socket.socket(*what).close()

def connected(address):
    with socket.socket(socket.AF_INET) as sock:
        sock.connect(address)

attempt("connect", lambda: connected(("127.0.0.1", {inet.getsockname()[1]})))
attempt("bind", lambda: listening(socket.AF_INET, ("127.0.0.1", 0)))
attempt("bind 6", lambda: listening(socket.AF_INET6, ("::1", 0)))
attempt("listen unbound", lambda: socket.socket(socket.AF_INET).listen())
attempt("accept", lambda: call(43, 3, 0, 0))
for name, what in {{
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM), "unix datagram": (socket.AF_UNIX, socket.SOCK_DGRAM),
    "netlink": (socket.AF_NETLINK, socket.SOCK_RAW), "packet": (socket.AF_PACKET, socket.SOCK_RAW),
    "raw": (socket.AF_INET, socket.SOCK_RAW, 1), "ping": (socket.AF_INET, socket.SOCK_DGRAM, 1),
    "mptcp": (socket.AF_INET, socket.SOCK_STREAM, 262), "sctp": (socket.AF_INET, socket.SOCK_STREAM, 132),
    "vsock": (socket.AF_VSOCK, socket.SOCK_STREAM), "alg": (socket.AF_ALG, socket.SOCK_SEQPACKET),
    "bluetooth": (31, socket.SOCK_RAW), "xdp": (44, socket.SOCK_RAW),
    "udplite": (socket.AF_INET, socket.SOCK_DGRAM, 136),
}}.items():
    attempt(name, lambda: made(*what))
def to_abstract():
    first, second = socket.socketpair()
    first.connect("\\0aaos-test-of-egress")
attempt("abstract", to_abstract)
def broadcast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
attempt("broadcast", broadcast)
""".strip()
        )
    assert said.pop("connect") == "done: None"
    assert set(said.values()) <= {"EPERM", "EACCES", "ENOSYS", "EISCONN"}, said


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("rules.restrict_files = lambda *a: None", "landlock"),
        ("rules.restrict_network_and_scope = lambda **k: None", "landlock"),
        ("confine._apply_filter = lambda *a, **k: None", "seccomp"),
        ("syscalls.drop_capability_sets = lambda: None", "capabilities"),
        ("confine._apply_filter = lambda p, c, **k: c.seen.update(seccomp='denied')", "seccomp mode is 0"),
        ("confine.prctl.set_no_new_privs = lambda on: None", "permitted|no_new_privs"),
        ("real = zygote.os.setgroups\nzygote.os.setgroups = lambda groups: real([4])", "has the groups 4"),
        ("zygote.main = lambda *a, **k: None", "did not start"),
        ("1 / 0", "did not start"),
    ],
)
def test_an_egress_that_is_not_confined_never_fetches(before: str, why: str) -> None:
    """ISO-1, ISO-9: each layer is missed from inside or from outside."""
    with pytest.raises(ConfinementError, match=why):
        attacked("pass", before=before)
