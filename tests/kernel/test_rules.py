"""Landlock as the second boundary: what it denies when seccomp and, for sockets, the network namespace are left out."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.config import ConfinementSettings, Settings
from aaos.core.errors import ConfinementError
from aaos.core.layers import Layer
from aaos.sandbox.launch import ZygoteLauncher
from tests.kernel.harness import OWNER, REDUCED, TREE, Audit, Stand, boot_script, granted
from worker.wall import rules

NAME = f"\0aaos-test-{os.getpid()}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Workers without a filter, in the network of the host: mounts, ids and Landlock remain."""
    boot = boot_script(tmp_path_factory.mktemp("boot"), "sys.argv[2] = '-1'")
    with closing(Stand(REDUCED | {Layer.SECCOMP, Layer.NETNS}, boot=boot)) as made:
        yield made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A directory of OWNER with a file."""
    file = tmp_path / "file"
    file.write_text("content")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path, file, tmp_path / "empty"):
        os.chown(path, OWNER, OWNER)
    return tmp_path


MAKING = (
    ("os.open(NEW, os.O_WRONLY | os.O_CREAT)", "EACCES"),
    ("os.mkdir(NEW)", "EACCES"),
    ("os.mkfifo(NEW)", "EACCES"),
    ("os.symlink('file', NEW)", "EACCES"),
    ("os.link(FILE, NEW)", "EACCES"),
    ("os.rename(FILE, NEW)", "EACCES"),
    ("os.unlink(FILE)", "EACCES"),
    ("os.rmdir(HERE + '/empty')", "EACCES"),
    ("os.mknod(NEW, 0o100644)", "EACCES"),
    ("os.mknod(NEW, 0o20666, os.makedev(1, 3))", "EACCES"),
    ("os.execv(FILE, ['x'])", "EACCES"),
)


@pytest.mark.parametrize(("act", "refusal"), MAKING, ids=[act for act, _ in MAKING])
def test_in_a_write_grant_nothing_is_made_removed_or_run(bare: Stand, workspace: Path, act: str, refusal: str) -> None:
    """ISO-4: though the directory is the worker's own by its mode."""
    before = sorted(os.listdir(workspace))
    program = f"import os\nHERE = {str(workspace)!r}\nFILE, NEW = HERE + '/file', HERE + '/new'\nattempt(lambda: {act})"
    with granted(workspace, writable=True, as_owner=True) as root:
        assert bare.attack(program, root).said == [refusal]
    assert sorted(os.listdir(workspace)) == before


def test_in_a_write_grant_files_are_written_and_cut(bare: Stand, workspace: Path) -> None:
    """ISO-4: what it denies is not everything."""
    program = f"""
import os
attempt(lambda: os.truncate({str(workspace / "file")!r}, 4))
attempt(lambda: os.write(os.open({str(workspace / "file")!r}, os.O_WRONLY | os.O_APPEND), b"!"))
attempt(lambda: os.listdir({str(workspace)!r} + "/empty"))
"""
    with granted(workspace, writable=True, as_owner=True) as root:
        assert bare.attack(program, root).said == ["allowed: None", "allowed: 1", "allowed: []"]
    assert (workspace / "file").read_text() == "cont!"


@pytest.mark.parametrize(
    "path", ["/", "/proc", "/proc/self", "/proc/self/status", "/.landlock-canary", "/dev", "/proc/1"]
)
def test_what_no_rule_names_is_not_read(bare: Stand, path: str) -> None:
    """ISO-4, H-PROC-06: the root, /proc and the devices' directory are there, and closed."""
    assert bare.attack(f"import os\nattempt(lambda: os.listdir({path!r}))\nattempt(lambda: open({path!r}))").said[
        0
    ] in (
        "EACCES",
        "ENOTDIR",
    )
    assert bare.attack(f"import os\nattempt(lambda: os.open({path!r}, os.O_RDONLY))").said == ["EACCES"]


def test_devices_take_no_commands(bare: Stand) -> None:
    """ISO-4: LANDLOCK_ACCESS_FS_IOCTL_DEV; RNDGETENTCNT is everybody's elsewhere."""
    program = 'import os\nattempt(lambda: call("ioctl", os.open("/dev/urandom", os.O_RDONLY), 0x80045200, bytes(8)))'
    assert bare.attack(program).said == ["EACCES"]


def test_tcp_is_shut_both_ways(bare: Stand) -> None:
    """ISO-4, H-NET-02: in the network of the host, with a listener that everybody else can reach."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        program = f"""
attempt(lambda: socket.create_connection(("127.0.0.1", {listener.getsockname()[1]})))
attempt(lambda: socket.socket().bind(("127.0.0.1", 0)))
attempt(lambda: socket.socket().bind(("127.0.0.1", 40000)))
"""
        assert bare.attack(program).said == ["EACCES", "EACCES", "EACCES"]
        with socket.create_connection(listener.getsockname(), timeout=5):
            pass


def test_abstract_sockets_of_the_host_are_out_of_scope(bare: Stand) -> None:
    """ISO-4, H-NET-02: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host:
        host.bind(NAME)
        program = f"attempt(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect({NAME!r}))"
        assert bare.attack(program).said == ["EPERM"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.connect(NAME)


def test_signals_reach_nobody_outside() -> None:
    """ISO-4, H-SBX-08: LANDLOCK_SCOPE_SIGNAL, in a process of root that sees every other one."""
    code = (
        "import os, prctl\nfrom worker.wall import rules\nos.kill(os.getppid(), 0)\n"
        "prctl.set_no_new_privs(1)\nrules.restrict_network_and_scope(may_connect=False)\n"
        "try:\n    os.kill(os.getppid(), 0)\nexcept PermissionError as error:\n    print(error.errno)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=TREE, check=True, capture_output=True, text=True)
    assert result.stdout == "1\n"


def test_what_is_granted_for_reading_is_not_written(tmp_path: Path) -> None:
    """ISO-4, H-FS-13: as root, where every mount can be written to."""
    for name in ("ro", "rw"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    code = (
        "import os, prctl\nfrom worker.abi import Mount\nfrom worker.wall import rules\nprctl.set_no_new_privs(1)\n"
        f"here = {str(tmp_path)!r}\nread = Mount(here + '/ro', True, False, False)\n"
        "rules.restrict_files(rules.prepare_files(), [read, Mount(here + '/rw', True, True, True)])\n"
        "for name, flags in (('rw', os.O_WRONLY), ('ro', os.O_RDONLY), ('ro', os.O_WRONLY), ('ro', os.O_RDWR)):\n"
        "    try:\n        print(bool(os.open(f'{here}/{name}/file', flags)))\n"
        "    except PermissionError as error:\n        print(error.errno)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=TREE, check=True, capture_output=True, text=True)
    assert result.stdout.split() == ["True", "True", "13", "13"]


def test_what_a_cell_is_granted_for_reading_is_not_written(tmp_path: Path) -> None:
    """ISO-12, H-FS-13: as root, where every mount can be written to."""
    for name in ("ro", "rw", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    code = (
        "import os, prctl\nfrom dataclasses import replace\nfrom aaos.core.config import Settings\n"
        "from aaos.core.layers import ALL_LAYERS\nfrom aaos.sandbox.policy import parked_policy\n"
        "from worker.abi import Mount\nfrom worker.wall import rules\nprctl.set_no_new_privs(1)\n"
        f"here = {str(tmp_path)!r}\n"
        "parked = parked_policy((1000, 1000), host_id=1, layers=ALL_LAYERS, settings=Settings())\n"
        "mounts = (Mount(here + '/ro', True, False, False), Mount(here + '/rw', True, True, True))\n"
        "rules.restrict_cell(rules.prepare_files(), replace(parked, mounts=mounts), scratch=here + '/scratch')\n"
        "for name, flags in (('rw', os.O_WRONLY), ('ro', os.O_RDONLY), ('ro', os.O_WRONLY), ('ro', os.O_RDWR)):\n"
        "    try:\n        print(bool(os.open(f'{here}/{name}/file', flags)))\n"
        "    except PermissionError as error:\n        print(error.errno)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=TREE, check=True, capture_output=True, text=True)
    assert result.stdout.split() == ["True", "True", "13", "13"]


def test_a_kernel_that_offers_less_than_the_settings_want_is_refused(tmp_path: Path) -> None:
    """H-SBX-00, ISO-4: before anything is started."""
    wanted = Settings(confinement=ConfinementSettings(landlock_abi=64))
    launcher = ZygoteLauncher(wanted, Audit(), without=REDUCED, template_dir=tmp_path)
    bare_loop = launcher.start()
    with pytest.raises(ConfinementError, match=f"Landlock: ABI {rules.landlock_abi()}, needed 64"):
        bare_loop.send(None)


def test_the_abi_of_the_running_kernel_is_known() -> None:
    """ISO-4: 6 is Linux 6.12's."""
    assert rules.landlock_abi() >= 6
