"""Policies: everything that is allowed is named, id 0 never is, and equal grants make equal policies."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.config import Settings, WorkerSettings
from aaos.core.errors import ConfinementError
from aaos.core.ids import Gid, Uid
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.ports import Held, Root
from aaos.sandbox.policy import (
    INSIDE_ID,
    MAX_COVERED,
    MAX_MOUNTS,
    STRUCTURAL,
    Covered,
    check_left_out,
    may_map,
    parked_policy,
    plan_mounts,
    policy_digest,
)
from worker import abi

NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map(
    lambda n: "/" + "/".join(n)
)


def _root(
    path: str = "/data",
    *,
    owner: tuple[int, int] = (1234, 1234),
    writable: bool = False,
    as_owner: bool = False,
    held: Held = Held.KERNEL,
    is_dir: bool = True,
) -> Root:
    return Root(path, 7, is_dir, writable, as_owner, Uid(owner[0]), Gid(owner[1]), held)


ROOTS = st.lists(
    st.builds(
        _root,
        PATHS.map(lambda path: f"/srv{path}"),
        owner=st.tuples(st.sampled_from([0, 1, 1234]), st.sampled_from([0, 1, 1234])),
        writable=st.booleans(),
        as_owner=st.booleans(),
        held=st.sampled_from(Held),
    ),
    max_size=5,
    unique_by=lambda root: root.path,
)


def _policy(*grants: Covered, layers: frozenset[Layer] = ALL_LAYERS) -> abi.Policy:
    owner, mounts = plan_mounts(grants)
    parked = parked_policy(owner, host_id=1_900_000_007, layers=layers, settings=Settings())
    return replace(parked, agent="a-1", entry="loop", mounts=mounts)


def _of(*roots: Root) -> abi.Policy:
    return _policy(*(Covered(root, ()) for root in roots))


@given(ROOTS)
def test_a_policy_maps_one_owner_and_never_root_or_is_refused(roots: list[Root]) -> None:
    """ISO-2: for any set of roots."""
    mapped = [
        root for root in roots if root.held is Held.KERNEL and (root.writable or (root.as_owner and may_map(root)))
    ]
    owners = {(root.owner_uid, root.owner_gid) for root in mapped}
    if len(owners) > 1 or any(0 in owner for owner in owners):
        with pytest.raises(ConfinementError) as caught:
            _of(*roots)
        assert caught.value.remedy
        return
    policy = _of(*roots)
    inside = (policy.inside_uid, policy.inside_gid)
    assert 0 not in (*inside, policy.host_uid, policy.host_gid)
    assert inside == (owners.pop() if owners else (INSIDE_ID, INSIDE_ID))
    assert {mount.path for mount in policy.mounts if mount.idmapped} == {root.path for root in mapped}


@given(ROOTS)
def test_a_policy_mounts_the_kernel_held_roots_with_their_rights_and_no_others(roots: list[Root]) -> None:
    """BRK-5, ISO-3"""
    try:
        policy = _of(*roots)
    except ConfinementError:
        return
    wanted = {root.path: root.writable for root in roots if root.held is Held.KERNEL}
    assert {mount.path: mount.writable for mount in policy.mounts} == wanted
    assert [mount.path for mount in policy.mounts] == sorted(wanted)


@given(ROOTS)
def test_a_policy_survives_its_journey_and_its_digest_does_not_depend_on_order(roots: list[Root]) -> None:
    """ISO-9: what the audit says is what the zygote got."""
    try:
        policy = _of(*roots)
    except ConfinementError:
        return
    travelled = abi.policy_from_json(json.loads(json.dumps(abi.policy_to_json(policy))))
    assert travelled == policy
    assert policy_digest(travelled) == policy_digest(policy) == policy_digest(_of(*reversed(roots)))


def test_the_digest_tells_policies_apart() -> None:
    """ISO-9"""
    digests = [
        policy_digest(policy) for policy in (_of(), _of(_root()), _of(_root(as_owner=True)), _of(_root("/data2")))
    ]
    assert len(set(digests)) == 4
    assert all(len(digest) == 64 for digest in digests)


def test_the_limits_are_those_of_the_settings() -> None:
    """ISO-6"""
    worker = WorkerSettings(memory_bytes=2**26, pids=3, nofile=99, fsize_bytes=8192, tmpfs_bytes=4096)
    layers = ALL_LAYERS - {Layer.CGROUP}
    policy = parked_policy((7, 8), host_id=1_900_000_001, layers=layers, settings=Settings(worker=worker))
    assert (policy.memory_bytes, policy.pids, policy.nofile) == (2**26, 3, 99)
    assert (policy.fsize_bytes, policy.tmpfs_bytes, policy.landlock_abi) == (8192, 4096, 6)
    assert (policy.agent, policy.entry, policy.profile, policy.mounts) == ("", "", "worker", ())
    assert (policy.host_uid, policy.host_gid) == (1_900_000_001, 1_900_000_001)
    assert policy.layers == tuple(sorted(ALL_LAYERS - {Layer.CGROUP}))


def test_control_files_are_covered_where_they_could_be_written() -> None:
    """H-FS-15"""
    paths = (".git", "deep/.gitmodules")
    policy = _policy(Covered(_root("/w", writable=True), paths), Covered(_root("/r"), paths))
    assert {mount.path: mount.covered for mount in policy.mounts} == {"/w": paths, "/r": ()}


@pytest.mark.parametrize("owner", [(0, 0), (0, 1234), (1234, 0)])
def test_a_write_grant_of_root_or_of_its_group_is_refused(owner: tuple[int, int]) -> None:
    """ISO-2"""
    with pytest.raises(ConfinementError, match="belongs to id 0"):
        _of(_root(owner=owner, writable=True))
    assert _of(_root(owner=owner, as_owner=True)).mounts[0].idmapped is False


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/1", "/dev", "/dev/shm"])
def test_the_walls_own_mounts_are_never_hidden(path: str) -> None:
    """ISO-3"""
    with pytest.raises(ConfinementError, match=f"^{path} cannot be mounted"):
        _of(_root(path))


@pytest.mark.parametrize("path", ["data", "/data/", "/data/../etc", "/./data", "//data", "", "/data\0x"])
def test_a_path_with_two_readings_is_refused(path: str) -> None:
    """H-FS-03: no `..` ever reaches the place where mounts are made."""
    with pytest.raises(ConfinementError):
        _of(_root(path))


@pytest.mark.parametrize("path", ["/processes", "/device", "/development/x", "/p", "/data /x", "/.git"])
def test_names_that_only_begin_like_them_are_fine(path: str) -> None:
    """H-FS-02"""
    assert _of(_root(path)).mounts[0].path == path


def test_one_path_is_one_mount() -> None:
    """ISO-3"""
    with pytest.raises(ConfinementError, match="not one directory"):
        _of(_root(), _root(writable=True))
    assert len(_of(_root(), _root(writable=True, held=Held.GATE)).mounts) == 1


def test_a_file_is_no_mount() -> None:
    """BRK-5"""
    with pytest.raises(ConfinementError, match="not one directory"):
        _of(_root(is_dir=False))


def test_there_are_no_more_mounts_than_one_frame_has_fds() -> None:
    """ISO-3: a policy that could not be sent would end the zygote."""
    assert MAX_MOUNTS + 4 < abi.FRAME_FDS
    many = [_root(f"/data/{n}") for n in range(MAX_MOUNTS + 1)]
    assert len(_of(*many[:-1]).mounts) == MAX_MOUNTS
    with pytest.raises(ConfinementError, match=f"{MAX_MOUNTS + 1} roots"):
        _of(*many)


def test_there_are_no_more_covers_than_can_be_made_in_time() -> None:
    """H-FS-15"""
    covered = tuple(f"{n}/.git" for n in range(MAX_COVERED))
    assert len(_policy(Covered(_root(writable=True), covered)).mounts[0].covered) == MAX_COVERED
    with pytest.raises(ConfinementError, match="control files"):
        _policy(Covered(_root("/a", writable=True), covered), Covered(_root("/b", writable=True), (".git",)))


@given(st.frozensets(st.sampled_from(Layer)))
def test_structural_layers_cannot_be_left_out(without: frozenset[Layer]) -> None:
    """ISO-8: and the remedy names those that can."""
    if not without & STRUCTURAL:
        check_left_out(without)
        return
    with pytest.raises(ConfinementError) as caught:
        check_left_out(without)
    assert all(layer in caught.value.message for layer in without & STRUCTURAL)
    assert not any(layer in caught.value.remedy for layer in STRUCTURAL)
