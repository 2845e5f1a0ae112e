"""A worker as the kernel shows it from outside, and attestation that notices every change of it."""

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.ports import Root
from aaos.sandbox import attest, launch
from aaos.sandbox.filters import worker_filter, zygote_filter
from aaos.sandbox.session import WorkerSession
from tests.kernel.harness import (
    OWNER,
    REDUCED,
    TREE,
    Stand,
    granted,
    inside,
    loaded_filters,
    request,
    serve,
    until_said,
)
from worker.wall import syscalls

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts")
FIRST_ID = 1_900_000_000


@contextmanager
def _worker(stand: Stand, *roots: Root) -> Iterator[WorkerSession]:
    """An idle worker."""
    session = stand.run(stand.launcher.launch(request(None, roots)))
    try:
        yield session
    finally:
        stand.run(session.close("looked at"))


@pytest.fixture
def worker(stand: Stand) -> Iterator[WorkerSession]:
    """An idle worker without roots."""
    with _worker(stand) as session:
        yield session


def _proc(session: WorkerSession, name: str) -> str:
    return Path(f"/proc/{session.attestation.pid}/{name}").read_text()


def _status(session: WorkerSession) -> dict[str, str]:
    lines = _proc(session, "status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _namespace(pid: int | str, name: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{name}")


def test_the_attestation_says_what_the_kernel_says(worker: WorkerSession) -> None:
    """H-SBX-00, ISO-9: layer by layer, from both sides."""
    attestation = worker.attestation
    assert set(attestation.layers) == set(attestation.inside) == set(attestation.outside) == ALL_LAYERS - REDUCED
    assert set(attestation.missing) == REDUCED
    assert set(attestation.inside.values()) == {"denied"}
    by_word = {layer for layer, seen in attestation.outside.items() if seen != attest.CONFIRMED}
    assert by_word == {Layer.LANDLOCK, Layer.MDWE}
    assert attestation.duration_ms > 0
    assert all(steps >= 0 for steps in attestation.steps_us.values())


def test_a_worker_that_is_closed_while_it_is_looked_at_has_not_changed(
    stand: Stand, worker: WorkerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ISO-9: who looks in a thread may see its leaf go; of a living one that is a breach."""

    def changed(*_: object) -> None:
        raise ConfinementError("its leaf cannot be read", "run agentd doctor")

    def gone(*_: object) -> None:
        stand.run(worker.close("looked at"))
        changed()

    monkeypatch.setattr(launch, "attest_outside", changed)
    with pytest.raises(ConfinementError):
        worker.attest_again()
    monkeypatch.setattr(launch, "attest_outside", gone)
    with pytest.raises(WorkerLostError):
        worker.attest_again()


def test_every_namespace_is_the_workers_own(stand: Stand, worker: WorkerSession) -> None:
    """ISO-2: neither agentd's nor the zygote's nor a sibling's."""
    with _worker(stand) as sibling:
        pids: tuple[int | str, ...] = (worker.attestation.pid, sibling.attestation.pid, "self", stand.zygote())
        for name in NAMESPACES:
            seen = {_namespace(pid, name) for pid in pids}
            assert len(seen) == (4 if name == "mnt" else 3), name  # the zygote has a mount namespace of its own only


def test_a_worker_has_one_id_that_nobody_else_has(stand: Stand, worker: WorkerSession) -> None:
    """ISO-2, H-SBX-13: from the reserved range, mapped alone, without groups, and setgroups is shut."""
    with _worker(stand) as sibling:
        host = worker.attestation.host_uid
        assert FIRST_ID <= host < FIRST_ID + 65_536
        assert sibling.attestation.host_uid != host
    status = _status(worker)
    assert status["Uid"].split() == status["Gid"].split() == [str(host)] * 4
    assert status["Groups"] == ""
    assert _proc(worker, "uid_map").split() == _proc(worker, "gid_map").split() == ["1000", str(host), "1"]
    assert _proc(worker, "setgroups") == "deny\n"


def test_a_worker_holds_no_capability(worker: WorkerSession) -> None:
    """H-SBX-20: inheritable, permitted, effective, bounding, ambient."""
    status = _status(worker)
    assert {int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}


def test_a_worker_is_locked(worker: WorkerSession) -> None:
    """ISO-6: no_new_privs, filters, not dumpable, umask, no terminal, first to go when memory is short."""
    status = _status(worker)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "2")
    assert (status["Umask"], status["Threads"], status["NSpid"].split()[1:]) == ("0077", "1", ["1"])
    assert Path(f"/proc/{worker.attestation.pid}/mem").stat().st_uid == 0  # not dumpable: root's, not the worker's
    terminal = _proc(worker, "stat").rpartition(")")[2].split()[4]
    assert terminal == "0"
    assert _proc(worker, "oom_score_adj") == "500\n"


def test_a_worker_has_nothing_open_but_its_socket(worker: WorkerSession) -> None:
    """H-SBX-17"""
    directory = Path(f"/proc/{worker.attestation.pid}/fd")
    kinds = {int(fd.name): os.readlink(fd).split(":")[0] for fd in directory.iterdir()}
    assert kinds == {0: "/dev/null", 1: "/dev/null", 2: "/dev/null", 3: "socket"}


def test_no_process_has_an_environment(stand: Stand, worker: WorkerSession) -> None:
    """H-PROC-02: worker (PID 1 of its namespace) and zygote start from an empty one, whatever agentd's is."""
    assert Path("/proc/self/environ").read_bytes() != b""
    assert _proc(worker, "environ") == Path(f"/proc/{stand.zygote()}/environ").read_text() == ""
    program = inside(
        "import os\nsay(sorted(name for name in os.environ if name != 'LC_CTYPE'))"
    )  # Python's own, PEP 538
    assert stand.run(serve(stand.run(stand.launcher.launch(request(program))))).said == ["[]"]


def test_the_limits_are_those_of_the_settings(worker: WorkerSession) -> None:
    """ISO-6"""
    seen = {line[:26].strip(): line[26:].split()[:2] for line in _proc(worker, "limits").splitlines()[1:]}
    wanted = {"Max open files": 128, "Max processes": 16, "Max file size": 2**23, "Max address space": 2**28}
    wanted |= dict.fromkeys(("Max core file size", "Max locked memory", "Max msgqueue size", "Max nice priority"), 0)
    assert {name: seen[name] for name in wanted} == {name: [str(value)] * 2 for name, value in wanted.items()}


def test_the_mounts_are_those_of_the_policy(stand: Stand, tmp_path: Path) -> None:
    """ISO-3, H-PROC-06: a root of its own, its devices, its /proc, what was granted, and control files read-only."""
    os.chown(tmp_path, OWNER, OWNER)
    (tmp_path / ".git").mkdir()
    with granted(tmp_path, writable=True) as root, _worker(stand, root) as worker:
        lines = [line.split() for line in _proc(worker, "mountinfo").splitlines()]
    seen = {line[4]: (set(line[5].split(",")) - {"relatime"}, line[line.index("-") + 1]) for line in lines}
    kind = seen[str(tmp_path)][1]
    harmless = {"nosuid", "nodev", "noexec"}
    assert seen == {
        "/": (harmless | {"ro"}, "tmpfs"),
        "/dev": ({"nosuid", "noexec", "ro"}, "tmpfs"),
        "/proc": (harmless | {"rw"}, "proc"),
        str(tmp_path): (harmless | {"rw", "idmapped"}, kind),
        f"{tmp_path}/.git": (harmless | {"ro", "idmapped"}, kind),
    }
    options = next(line for line in lines if line[4] == "/proc")[-1]
    assert {"hidepid=invisible", "subset=pid"} <= set(options.split(","))


def test_the_filters_are_those_that_were_compiled(worker: WorkerSession) -> None:
    """ISO-9: dumped from the live process."""
    assert loaded_filters(worker.attestation.pid) == (zygote_filter(), worker_filter())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.EPERM])
def test_where_filters_are_not_shown_that_is_said(
    worker: WorkerSession, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """ISO-9: agentd under a filter of its own, or a kernel without the dump; less is confirmed, and that is told."""

    def dump(pid: int) -> tuple[bytes, ...]:
        raise OSError(number, "ptrace")

    monkeypatch.setattr(syscalls, "dump_filters", dump)
    seen = worker.attest_again().outside[Layer.SECCOMP]
    assert seen.startswith("filtered, 2 beside agentd's 0; the kernel does not show")


def test_a_filter_too_few_is_noticed_also_where_filters_are_not_shown(
    worker: WorkerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ISO-9: a worker is to have one more filter than it has."""

    def look(pid: int, expected: attest.Expected) -> Mapping[str, str]:
        return attest.attest_outside(pid, replace(expected, filters=(*expected.filters, b"")))

    monkeypatch.setattr(launch, "attest_outside", look)
    with pytest.raises(ConfinementError, match="has 2 seccomp filters, not the 0 of agentd and 3 more"):
        worker.attest_again()


UNDER_A_FILTER = """
import sys
sys.path.insert(0, {tree!r})
import pyseccomp
own = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
own.add_rule(pyseccomp.ERRNO(1), "acct")
own.load()
own.load()
from tests.kernel.harness import Stand, request
stand = Stand()
session = stand.run(stand.launcher.launch(request()))
print(session.attestation.outside["seccomp"])
print(session.attest_again() == session.attestation)
stand.run(session.close("looked at"))
stand.close()
"""


def test_under_filters_of_agentd_a_workers_filters_are_counted() -> None:
    """ISO-9: as under the shipped unit, whose filters a worker inherits: exactly two more are there."""
    program = UNDER_A_FILTER.format(tree=str(TREE))
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert said[0].startswith("filtered, 2 beside agentd's 2; the kernel does not show them")
    assert said[1] == "True"


def test_what_was_confirmed_is_in_the_audit_before_the_session_is_there(stand: Stand, worker: WorkerSession) -> None:
    """ISO-9: with the digests of policy and filter."""
    event = stand.audit.events[-1]
    attestation = worker.attestation
    assert event.kind is EventKind.AGENT_CONFINED
    assert event.fields["pid"] == attestation.pid
    assert event.fields["policy_digest"] == attestation.policy_digest
    assert event.fields["filter_digest"] == attestation.filter_digest
    assert event.fields["layers"] == " ".join(sorted(ALL_LAYERS - REDUCED))


def test_no_code_of_the_agent_runs_before_both_halves_agreed(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-SBX-21, ISO-9: a program is held until `start`, however long agentd looks."""
    os.chown(tmp_path, OWNER, OWNER)
    file = tmp_path / "file"
    file.write_text("untouched")
    os.chown(file, OWNER, OWNER)
    seen: list[str] = []

    look = attest.attest_new

    async def slow(pid: int, expected: attest.Expected, *, is_settled: bool) -> Mapping[str, str]:
        time.sleep(0.2)  # noqa: ASYNC251  # nobody else is to have a turn
        seen.append(file.read_text())
        return await look(pid, expected, is_settled=is_settled)

    monkeypatch.setattr(attest, "attest_new", slow)
    program = f"import os\nos.write(os.open({str(file)!r}, os.O_WRONLY), b'by agent!')"
    with granted(tmp_path, writable=True) as root:
        session = stand.run(stand.launcher.launch(request(program, (root,))))
        seen.append(file.read_text())
        stand.run(serve(session))
    assert seen == ["untouched", "untouched"]
    assert file.read_text() == "by agent!"


# --- attestation of a live worker ----------------------------------------------------------------------------------


def test_an_unchanged_worker_is_attested_again(worker: WorkerSession) -> None:
    """ISO-9"""
    assert [worker.attest_again() for _ in range(3)] == [worker.attestation] * 3


def _change_limit(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (100, 100))


def _lower_soft_limit(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_AS, (2**27, 2**28))


def _join(pid: int, namespace: str, act: Callable[[], object]) -> None:
    """Run `act` in a child that has joined a namespace of the worker."""
    child = os.fork()
    if child == 0:
        try:
            fd = os.open(f"/proc/{pid}/ns/{namespace}", os.O_RDONLY)
            assert ctypes.CDLL(None).setns(fd, 0) == 0
            act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _mount_over(pid: int) -> None:
    _join(pid, "mnt", lambda: syscalls.mount("tmpfs", "/dev", "tmpfs", flags=0))


def _unmount(pid: int) -> None:
    _join(pid, "mnt", lambda: syscalls.umount("/proc", flags=syscalls.MNT_DETACH))


def _make_writable(pid: int) -> None:
    remount = 32 | 4096 | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC  # MS_REMOUNT | MS_BIND
    _join(pid, "mnt", lambda: syscalls.mount("none", "/", "none", flags=remount))


DRIFTS = {
    "a limit changed": (_change_limit, "Max open files is 100/100"),
    "a soft limit lowered": (_lower_soft_limit, "Max address space is 134217728/268435456"),
    "a mount over a mount": (_mount_over, "has 4 mounts on 3 places"),
    "a mount taken away": (_unmount, "has the mounts"),
    "the root made writable": (_make_writable, "/ is mounted"),
}


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_change_from_outside_is_noticed(stand: Stand, drift: str) -> None:
    """ISO-9: `attest_again` raises on drift."""
    change, said = DRIFTS[drift]
    with _worker(stand) as worker:
        assert worker.attest_again() == worker.attestation
        change(worker.attestation.pid)
        with pytest.raises(ConfinementError, match=said) as caught:
            worker.attest_again()
    assert "breach" in caught.value.remedy


def test_a_worker_that_reads_files_has_not_drifted(stand: Stand, tmp_path: Path) -> None:
    """ISO-9: what a worker opens behind its wall is its own affair."""
    tmp_path.chmod(0o755)
    program = f"""
import os, time
fds = [os.open({str(tmp_path)!r}, os.O_RDONLY) for _ in range(20)] + [os.dup(0), os.memfd_create("m")]
os.close(1)
say("opened")
time.sleep(600)
"""
    with granted(tmp_path) as root:
        session = stand.run(stand.launcher.launch(request(inside(program), (root,))))
        assert stand.run(until_said(session)) == "opened"
        assert session.attest_again() == session.attestation
        stand.run(session.close("looked at"))


def _stops_again(worker: WorkerSession) -> bool:
    """A stopped process that was looked at runs for a moment, then stops again. Source: ptrace(2)."""
    deadline = time.monotonic() + 5
    while not _status(worker)["State"].startswith("T") and time.monotonic() < deadline:
        time.sleep(0.01)
    return _status(worker)["State"].startswith("T")


def test_a_stopped_worker_can_be_attested(worker: WorkerSession) -> None:
    """ISO-9, H-BRK-11: looking at it neither hangs nor wakes it."""
    pid = worker.attestation.pid
    os.kill(pid, signal.SIGSTOP)
    assert worker.attest_again() == worker.attestation
    assert _stops_again(worker)


def test_a_dead_worker_is_lost_and_not_a_breach(worker: WorkerSession) -> None:
    """H-BRK-11"""
    os.kill(worker.attestation.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.attestation.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(WorkerLostError, match="ended while it was inspected"):
        worker.attest_again()


def test_a_worker_that_was_collected_is_lost(stand: Stand) -> None:
    """H-BRK-07: its pid names nothing any more."""
    with _worker(stand) as worker:
        pass
    with pytest.raises(WorkerLostError):
        worker.attest_again()
