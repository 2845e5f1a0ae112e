"""The cgroup tree against directories that behave like cgroupfs: files come with a directory and go with it."""

import os
from pathlib import Path, PosixPath

import pytest

from aaos.core.config import WorkerSettings
from aaos.core.errors import ConfinementError
from aaos.sandbox.cgroup import CONTROLLERS, CgroupTree, Leaf, disks

FILES = dict.fromkeys(
    "cgroup.procs cgroup.kill cgroup.freeze cgroup.subtree_control memory.max memory.swap.max memory.oom.group "
    "pids.max cpu.weight io.max io.weight".split(),
    "",
) | {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "memory.events": "low 0\nmax 4\noom 2\noom_kill 1\n",
    "pids.events": "max 3\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
}


class CgroupPath(PosixPath):
    """A path in cgroupfs: a directory is made with its control files, and removed with them unless it has processes."""

    missing: frozenset[str] = frozenset()

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        existed = self.is_dir()
        super().mkdir(mode, parents, exist_ok)
        if not existed:
            for name in FILES.keys() - self.missing:
                (self / name).write_text(FILES[name])

    def rmdir(self) -> None:
        if (self / "cgroup.procs").exists() and (self / "cgroup.procs").read_text():
            raise OSError(16, "Device or resource busy")
        for name in FILES:
            (self / name).unlink(missing_ok=True)
        super().rmdir()


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    """A delegated subtree."""
    root = CgroupPath(tmp_path / "aaos.service")
    root.mkdir()
    return CgroupTree(root)


def _proc(directory: Path, *, mounts: str, own: str) -> Path:
    (directory / "mountinfo").write_text(mounts)
    (directory / "cgroup").write_text(own)
    return directory


UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "40 23 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 23 0:31 / /sys/fs/cgroup/unified rw - cgroup2 x rw\n"
)


@pytest.mark.parametrize(("mounts", "own", "root"), [
    (UNIFIED, "0::/system.slice/aaos.service\n", "/sys/fs/cgroup/system.slice/aaos.service"),
    (UNIFIED, "0::/system.slice/aaos.service/daemon\n", "/sys/fs/cgroup/system.slice/aaos.service"),
    (HYBRID, "4:memory:/x\n0::/a\n", "/sys/fs/cgroup/unified/a"),
    (UNIFIED, "0::/\n", "/sys/fs/cgroup"),
])  # fmt: skip
def test_the_delegated_subtree_is_found(tmp_path: Path, mounts: str, own: str, root: str) -> None:
    """ISO-7: with and without DelegateSubgroup=."""
    assert CgroupTree.delegated(_proc(tmp_path, mounts=mounts, own=own)).root == Path(root)


@pytest.mark.parametrize(("mounts", "own"), [("", "0::/\n"), (UNIFIED, "4:memory:/x\n"), ("", "")])
def test_a_machine_without_cgroup_v2_is_refused(tmp_path: Path, mounts: str, own: str) -> None:
    """H-SBX-00, ISO-8: with the option that does without it."""
    with pytest.raises(ConfinementError, match="cgroup v2 is not mounted") as caught:
        CgroupTree.delegated(_proc(tmp_path, mounts=mounts, own=own))
    assert "--without cgroup" in caught.value.remedy


@pytest.mark.parametrize(
    ("offered", "missing"), [("", "cpu, memory, pids"), ("cpu cpuset", "memory, pids"), ("pids cpu", "memory")]
)
def test_missing_controllers_are_named(tree: CgroupTree, offered: str, missing: str) -> None:
    """H-SBX-00, ISO-8"""
    (tree.root / "cgroup.controllers").write_text(f"{offered}\n")
    with pytest.raises(ConfinementError, match=f"lacks the cgroup controllers {missing}$"):
        tree.check()
    with pytest.raises(ConfinementError, match="lacks"):
        tree.prepare()
    assert not (tree.root / "workers").exists()


def test_a_directory_that_is_no_cgroup_is_refused(tmp_path: Path) -> None:
    """H-SBX-00"""
    with pytest.raises(ConfinementError, match=r"cgroup\.controllers does not exist"):
        CgroupTree(tmp_path).check()


def test_agentd_moves_aside_and_hands_the_controllers_down(tree: CgroupTree) -> None:
    """ISO-7: processes live in leaves only; and again after a restart."""
    for _ in range(2):
        tree.prepare()
    assert (tree.root / "daemon" / "cgroup.procs").read_text() == str(os.getpid())
    enabled = " ".join(f"+{name}" for name in (*CONTROLLERS, "io"))
    assert (tree.root / "cgroup.subtree_control").read_text() == enabled
    assert (tree.root / "workers" / "cgroup.subtree_control").read_text() == enabled
    assert tree.leaves() == ()


def test_agentd_comes_before_all_workers_together(tree: CgroupTree) -> None:
    """R12, H-RES-06: whatever their number, the node that holds them has the kernel's own weight, 100."""
    tree.prepare()
    own, workers = tree.root / "daemon", tree.root / "workers"
    assert (own / "cpu.weight").read_text() == "1000"
    assert (own / "io.weight").read_text() == "default 1000"
    assert (workers / "cpu.weight").read_text() == (workers / "io.weight").read_text() == ""
    (own / "io.weight").unlink()
    tree.prepare()
    assert not (own / "io.weight").exists()
    (own / "cpu.weight").unlink()
    with pytest.raises(ConfinementError, match=r"cpu\.weight"):
        tree.prepare()


def test_a_machine_without_a_controller_for_disks_has_the_others(tree: CgroupTree) -> None:
    """ISO-7: input and output are bounded where they can be."""
    (tree.root / "cgroup.controllers").write_text("cpu memory pids\n")
    tree.prepare()
    assert (tree.root / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    leaf = tree.make("a-1", WorkerSettings())
    (leaf.path / "io.max").unlink()
    leaf.limit_io(["254:0"], 1)
    assert not (leaf.path / "io.max").exists()


def test_reading_and_writing_of_a_disk_are_bounded(tree: CgroupTree) -> None:
    """ISO-7"""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings())
    leaf.limit_io((), 7)
    assert (leaf.path / "io.max").read_text() == ""
    leaf.limit_io(["254:0"], 7)
    assert (leaf.path / "io.max").read_text() == "254:0 rbps=7 wbps=7"


def test_the_disk_behind_a_file_system_is_found(tmp_path: Path) -> None:
    """ISO-7: the whole disk of a part, each once; none behind what the kernel keeps without one."""
    disk = tmp_path / "devices" / "vda"
    (disk / "vda1").mkdir(parents=True)
    (disk / "dev").write_text("254:0\n")
    (disk / "vda1" / "dev").write_text("254:1\n")
    (disk / "vda1" / "partition").write_text("1\n")
    (tmp_path / "254:0").symlink_to(disk)
    (tmp_path / "254:1").symlink_to(disk / "vda1")
    devices = [os.makedev(254, 1), os.makedev(254, 0), os.makedev(0, 41)]
    assert disks(devices, tmp_path) == ("254:0",)
    assert disks([os.makedev(0, 41)], tmp_path) == ()


@pytest.mark.parametrize("file", ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.weight"])
def test_a_limit_that_was_changed_is_seen(tree: CgroupTree, file: str) -> None:
    """ISO-9: drift of a leaf, each of its limits."""
    tree.prepare()
    limits = WorkerSettings(memory_bytes=2**26 + 17)
    leaf = tree.make("a-1", limits)
    leaf.check(limits)
    (leaf.path / file).write_text("max\n")
    with pytest.raises(ConfinementError, match=f"{file} of a-1 is max, not "):
        leaf.check(limits)
    (leaf.path / file).unlink()
    with pytest.raises(ConfinementError, match="does not exist"):
        leaf.check(limits)


def test_a_leaf_has_its_limits_before_anything_runs_in_it(tree: CgroupTree) -> None:
    """ISO-7, H-RES-02"""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings(memory_bytes=2**26, pids=7))
    limits = {name: (leaf.path / name).read_text() for name in ("memory.max", "pids.max")}
    assert limits == {"memory.max": str(2**26), "pids.max": "7"}
    assert ((leaf.path / "memory.swap.max").read_text(), (leaf.path / "memory.oom.group").read_text()) == ("0", "1")
    assert (leaf.path / "cgroup.procs").read_text() == ""
    assert tree.leaves() == (leaf,)


@pytest.mark.parametrize("file", ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.weight"])
def test_a_limit_that_cannot_be_set_is_an_error_and_leaves_nothing(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """ISO-8: a missing controller is an error, never a skip, and its file is never made."""
    tree.prepare()
    monkeypatch.setattr(CgroupPath, "missing", frozenset({file}))
    with pytest.raises(ConfinementError, match=f"{file}: No such file"):
        tree.make("a-1", WorkerSettings())
    assert tree.leaves() == ()


def test_a_leaf_that_exists_is_not_taken_over(tree: CgroupTree) -> None:
    """ISO-7"""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings(pids=7))
    with pytest.raises(ConfinementError, match="File exists"):
        tree.make("a-1", WorkerSettings(pids=9))
    assert (leaf.path / "pids.max").read_text() == "7"


def test_a_tree_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """H-SBX-00"""
    with pytest.raises(ConfinementError, match="No such file or directory"):
        CgroupTree(CgroupPath(tmp_path / "gone")).make("a-1", WorkerSettings())


def test_a_leaf_is_killed_frozen_and_thawed(tree: CgroupTree) -> None:
    """ISO-7"""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings())
    leaf.kill()
    assert (leaf.path / "cgroup.kill").read_text() == "1"
    for frozen in (True, False):
        leaf.freeze(frozen)
        assert (leaf.path / "cgroup.freeze").read_text() == f"{frozen:d}"
        (leaf.path / "cgroup.events").write_text(f"populated 1\nfrozen {frozen:d}\n")
        assert leaf.is_frozen is frozen


def test_a_leaf_tells_how_often_a_limit_was_hit(tree: CgroupTree) -> None:
    """ISO-7, H-RES-02: and a leaf without the controller's file has no number to tell."""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings())
    assert leaf.trouble() == {"oom_kill": 1, "pids_max": 3}
    (leaf.path / "memory.events").write_text("low 0\n")
    assert leaf.trouble() == {"oom_kill": 0, "pids_max": 3}
    assert Leaf(tree.root / "gone").trouble() == {"oom_kill": 0, "pids_max": 0}


def test_a_leaf_is_removed_when_it_is_empty(tree: CgroupTree) -> None:
    """ISO-11: while a process is ending in it that is said, and a leaf that is gone is gone."""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings())
    (leaf.path / "cgroup.procs").write_text("123\n")
    assert leaf.remove() is False
    (leaf.path / "cgroup.procs").write_text("")
    assert leaf.remove() is True
    assert leaf.remove() is True
    assert tree.leaves() == ()


def test_what_keeps_a_leaf_from_being_removed_is_not_swallowed(tmp_path: Path) -> None:
    """ISO-11"""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        Leaf(tmp_path).remove()


def test_processes_are_placed_through_an_fd(tree: CgroupTree) -> None:
    """ISO-2: the zygote has no /sys to open it in."""
    tree.prepare()
    leaf = tree.make("a-1", WorkerSettings())
    fd = leaf.procs_fd()
    try:
        os.write(fd, b"321")
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)
    assert (leaf.path / "cgroup.procs").read_text() == "321"
