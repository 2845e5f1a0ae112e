"""Each check of the look from outside alone: what the kernel says of a live worker is changed in one place."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aaos.core.errors import ConfinementError
from aaos.sandbox import attest
from aaos.sandbox.session import WorkerSession
from tests.kernel.harness import OWNER, Stand, granted, loaded_filters, request
from worker.wall import syscalls

CASES = (
    ("status", r"^Uid:.*", "Uid:\t0\t0\t0\t0", "runs as uid"),
    ("status", r"^Gid:.*", "Gid:\t0\t0\t0\t0", "runs as gid"),
    ("status", r"^Groups:.*", "Groups:\t27", "has the groups"),
    ("status", r"^NSpid:.*", "NSpid:\t9\t2", "is not PID 1"),
    ("uid_map", r"(?s).*", "0 0 4294967295\n", "uid_map is"),
    ("gid_map", r"(?s).*", "0 0 4294967295\n", "gid_map is"),
    ("mountinfo", r"^(\S+ \S+ \S+ \S+) /proc ", r"\1 /other ", "has the mounts"),
    ("mountinfo", r"^(.* /dev .*)$", r"\1\n\1", "mounts on"),
    ("mountinfo", r"(?<=[ ,])nosuid,", "", "without nosuid"),
    ("mountinfo", r"(?<=[ ,])nodev,", "", "without nodev"),
    ("mountinfo", r",noexec", "", "without noexec"),
    ("mountinfo", r" ro,", " rw,", "is mounted"),
    ("mountinfo", r",idmapped", "", "shows the wrong owners"),
    *(
        ("status", rf"^{kind}:.*", f"{kind}:\t0000000000000001", "holds capabilities")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    ),
    ("status", r"^NoNewPrivs:.*", "NoNewPrivs:\t0", "no_new_privs is not set"),
    ("status", r"^Threads:.*", "Threads:\t2", "has 2 threads"),
    ("status", r"^Seccomp:.*", "Seccomp:\t0", "seccomp mode is 0"),
    ("limits", r"^(Max open files +)\d+", r"\1unlimited", "Max open files is"),
    ("limits", r"^(Max processes +)\d+", r"\g<1>999999", "Max processes is"),
    ("limits", r"^(Max core file size +)0 ", r"\1unlimited ", "Max core file size is"),
)


@pytest.fixture(scope="module")
def confirmed(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSession]:
    """A live worker with a directory that it may write to."""
    place = tmp_path_factory.mktemp("granted")
    place.chmod(0o755)
    os.chown(place, OWNER, OWNER)
    with granted(place, writable=True, as_owner=True) as root:
        session = stand.run(stand.launcher.launch(request(None, (root,))))
    yield session
    stand.run(session.close("the test is over"))


def test_unchanged_it_is_confirmed(confirmed: WorkerSession) -> None:
    """ISO-9: what the other tests see is not that nothing passes."""
    assert set(confirmed.attest_again().outside.values())


@pytest.mark.parametrize(("file", "old", "new", "words"), CASES, ids=lambda value: value[:24])
def test_a_difference_in_one_place_is_noticed(
    confirmed: WorkerSession, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, words: str
) -> None:
    """ISO-9, R19"""
    real = attest._read

    def changed(proc: str, name: str) -> str:
        text = real(proc, name)
        return re.sub(old, new, text, count=1, flags=re.MULTILINE) if name == file else text

    assert changed(f"/proc/{confirmed.attestation.pid}", file) != real(f"/proc/{confirmed.attestation.pid}", file)
    monkeypatch.setattr(attest, "_read", changed)
    with pytest.raises(ConfinementError, match=words):
        confirmed._confined.attest()


@pytest.mark.parametrize("name", sorted(set(attest.NAMESPACES.values()) - {"cgroup"}))  # which is not of this machine
def test_a_namespace_that_is_shared_is_noticed(
    confirmed: WorkerSession, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """ISO-9, R19"""
    theirs = os.readlink(f"/proc/{confirmed.attestation.pid}/ns/{name}")
    monkeypatch.setitem(attest._OWN, name, theirs)
    with pytest.raises(ConfinementError, match=f"shares the namespaces {name}"):
        confirmed._confined.attest()


def test_a_file_that_is_open_beside_the_socket_is_noticed() -> None:
    """ISO-9, H-SBX-17: a process that was given one more than a worker may have."""
    spare = os.open("/", os.O_RDONLY)
    command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[spare]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ConfinementError, match="has the open fds"):
            attest._check_fds(f"/proc/{process.pid}")
        process.kill()
    os.close(spare)


def test_filters_that_were_not_compiled_here_are_noticed(
    confirmed: WorkerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ISO-5, ISO-9"""
    loaded = loaded_filters(confirmed.attestation.pid)
    monkeypatch.setattr(syscalls, "dump_filters", lambda pid: (*loaded[:-1], loaded[-1][:-8] + bytes(8)))
    with pytest.raises(ConfinementError, match="are not those that were given"):
        confirmed._confined.attest()
