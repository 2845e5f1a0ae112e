"""What a cell is to be: from a request and this machine to a policy, before anything is made."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from aaos.core.config import Settings
from aaos.core.errors import ConfinementError, NotFoundError
from aaos.core.layers import ALL_LAYERS
from aaos.sandbox.cellplan import SYSTEM, opened, plan_cell
from aaos.sandbox.policy import INSIDE_ID, parked_policy, policy_digest
from tests.kernel.cells import cell
from tests.kernel.harness import OWNER, granted
from worker import abi

PARKED = parked_policy(
    (INSIDE_ID, INSIDE_ID), profile="cell", host_id=1_900_000_001, layers=ALL_LAYERS, settings=Settings()
)
LOADER = os.path.realpath("/lib64/ld-linux-x86-64.so.2")


def _places(mounts: tuple[abi.Mount, ...]) -> dict[str, bool]:
    return {mount.path: mount.executable for mount in mounts}


def test_a_cell_sees_usr_and_three_places_of_etc() -> None:
    """ISO-3: what is there of them, read-only; only /usr may be executed at all, and of it only what is named."""
    plan = plan_cell(cell("/bin/sh"))
    assert _places(plan.system) == {path: path == "/usr" for path in SYSTEM if os.path.exists(path)}
    assert not any(mount.writable or mount.idmapped for mount in plan.system)
    assert plan.execute == (os.path.realpath("/bin/sh"), LOADER)
    assert plan.owner == (INSIDE_ID, INSIDE_ID)


def test_what_a_place_shows_already_is_not_mounted_again(tmp_path: Path) -> None:
    """ISO-3: nor what is not there; a program elsewhere is shown alone, a directory of programs as a whole."""
    tools = tmp_path / "tools"
    tools.mkdir()
    request = cell(
        "/bin/sh",
        readable=["/usr/share", "/etc/passwd", "/nowhere", str(tmp_path)],
        exec_paths=["/usr/lib/x", str(tools)],
    )
    plan = plan_cell(request)
    added = {path: executable for path, executable in _places(plan.system).items() if path not in SYSTEM}
    assert added == {"/etc/passwd": False, str(tmp_path): False, str(tools): True}
    assert plan.execute[2:] == (str(tools),)


def test_a_writable_root_is_executable_only_where_that_is_asked_for(tmp_path: Path) -> None:
    """ISO-12"""
    os.chown(tmp_path, OWNER, OWNER)
    with granted(tmp_path, writable=True, as_owner=True) as root:
        plans = [plan_cell(cell("/bin/sh", roots=[root], exec_writable=asked)) for asked in (False, True)]
    assert [_places(plan.roots) for plan in plans] == [{str(tmp_path): False}, {str(tmp_path): True}]
    assert plans[0].owner == (OWNER, OWNER)


def test_control_files_are_covered_unless_they_are_the_work(tmp_path: Path) -> None:
    """H-FS-15"""
    (tmp_path / ".git").mkdir()
    for path in (tmp_path, tmp_path / ".git"):
        os.chown(path, OWNER, OWNER)
    with granted(tmp_path, writable=True, as_owner=True) as root:
        plans = [plan_cell(cell("/bin/sh", roots=[root], control_writable=may)) for may in (False, True)]
    assert [plan.roots[0].covered for plan in plans] == [(".git",), ()]


def test_the_policy_has_the_limits_of_the_request_and_the_id_of_the_cell() -> None:
    """ISO-9: and its digest changes with each of them."""
    request = cell("/bin/sh", cpu_s=3, pids=7, nofile=50, fsize_bytes=4096, memory_bytes=2**24, tmpfs_bytes=8192)
    policy = plan_cell(request).policy(PARKED)
    bare = replace(PARKED, layers=tuple(layer for layer in PARKED.layers if layer != "cgroup"))
    full = plan_cell(request).policy(replace(bare, layers=(*bare.layers, "cgroup")))
    assert plan_cell(request).policy(bare).pids == 8
    assert full.pids == 9, "ISO-7: a leaf's own bound of 8 is met before it, since only that is told"
    assert (policy.cpu_s, policy.nofile) == (3, 50)
    assert (policy.fsize_bytes, policy.memory_bytes, policy.tmpfs_bytes) == (4096, 2**24, 8192)
    assert (policy.host_uid, policy.agent, policy.entry) == (1_900_000_001, "a-1", os.path.realpath("/bin/sh"))
    assert "mdwe" not in policy.layers
    others = [
        replace(policy, **change)
        for change in ({"cpu_s": 4}, {"execute": ()}, {"exec_writable": True}, {"pids": 99}, {"mounts": ()})
    ]
    assert len({policy_digest(each) for each in (policy, *others)}) == 6


def test_too_many_places_are_refused(tmp_path: Path) -> None:
    """BRK-1: each travels as an fd."""
    for number in range(40):
        (tmp_path / f"{number}").mkdir()
    with pytest.raises(ConfinementError, match="mounts for one cell"):
        plan_cell(cell("/bin/sh", readable=[str(tmp_path / f"{number}") for number in range(40)]))


def test_the_program_is_opened_once_on_the_mount_that_the_cell_will_have() -> None:
    """H-SUB-12: what is executed is on a read-only mount, however it is named."""
    with opened(plan_cell(cell("/bin/sh")), userns_fd=-1) as (trees, program):
        there = os.stat(program), os.stat("/bin/sh")
        assert (there[0].st_dev, there[0].st_ino) == (there[1].st_dev, there[1].st_ino)
        assert os.fstatvfs(program).f_flag & os.ST_RDONLY
        assert len(trees) == len(plan_cell(cell("/bin/sh")).system)
    os.close(program)


@pytest.mark.parametrize(("mode", "owner"), [(0o775, 0), (0o757, 0), (0o755, OWNER)])
def test_a_program_that_others_can_change_is_not_run(tmp_path: Path, mode: int, owner: int) -> None:
    """ISO-12, H-SUB-12: whoever may write to it would choose what runs."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(mode)
    os.chown(program, owner, 0)
    with pytest.raises(ConfinementError, match="can be changed by others than root"):
        plan_cell(cell(str(program)))
    os.chown(program, 0, 0)
    program.chmod(0o755)
    assert plan_cell(cell(str(program))).program == str(program)


@pytest.mark.parametrize(("mode", "owner"), [(0o775, 0), (0o755, OWNER), (0o644, 0)])
def test_a_program_that_is_a_mount_of_its_own_is_looked_at_once_more(tmp_path: Path, mode: int, owner: int) -> None:
    """H-SUB-12: the file that the cell will have is the one that is judged, whatever it was when it was planned."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    plan = plan_cell(cell(str(program)))
    assert str(program) in _places(plan.system)
    with opened(plan, userns_fd=-1) as (_, kept):
        assert os.path.samestat(os.fstat(kept), program.stat())
    os.close(kept)
    program.chmod(mode)
    os.chown(program, owner, 0)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((ConfinementError, NotFoundError)), opened(plan, userns_fd=-1):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
