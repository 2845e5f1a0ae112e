"""Leases of worker ids: never two of one, and a range that belongs to nobody else."""

import grp
import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.config import WorkerSettings
from aaos.core.errors import BusyError, ConfinementError
from aaos.sandbox.ids import IdRange

FIRST = 1_900_000_000
NONE: tuple[Path, ...] = ()


def _range(count: int = 17, first: int = FIRST) -> IdRange:
    """Sixteen to lease, and the last one, which is never leased."""
    return IdRange(WorkerSettings(uid_first=first, uid_count=count))


@given(st.lists(st.one_of(st.none(), st.integers(0, 15)), max_size=200))
def test_an_id_is_leased_to_one_at_a_time(acts: list[int | None]) -> None:
    """ISO-2: over any order of leases (None) and releases (of the n-th lease that lives)."""
    ids = _range()
    live: list[int] = []
    for act in acts:
        if act is not None and live:
            ids.release(live.pop(act % len(live)))
        elif len(live) < 16:
            live.append(ids.lease())
        assert len(set(live)) == len(live) == ids.leased
        assert all(FIRST <= one < FIRST + 16 for one in live)


def test_when_all_are_leased_the_next_is_told_to_wait() -> None:
    """ISO-2"""
    ids = _range()
    for _ in range(16):
        ids.lease()
    with pytest.raises(BusyError, match="all 16 worker ids are in use") as caught:
        ids.lease()
    assert "agentd list" in caught.value.remedy
    ids.release(FIRST + 3)
    assert ids.lease() == FIRST + 3


def test_an_id_rests_as_long_as_possible() -> None:
    """ISO-2: what a late process of the last holder does is nobody's for a while."""
    ids = _range()
    ids.release(ids.lease())
    assert [ids.lease() for _ in range(16)] == [*range(FIRST + 1, FIRST + 16), FIRST]


def test_a_range_that_nobody_has_is_accepted() -> None:
    """ISO-2"""
    _range().check_unused(NONE)


def test_a_range_with_an_account_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-2: by the account's name, with the setting to change."""
    account = pwd.struct_passwd(("build", "x", FIRST + 15, 1, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [account])
    with pytest.raises(ConfinementError, match="belong to build") as caught:
        _range().check_unused(NONE)
    assert "uid_first" in caught.value.remedy


def test_a_range_with_a_group_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO-2: a worker's gid is its uid's number."""
    monkeypatch.setattr(grp, "getgrall", lambda: [grp.struct_group(("shared", "x", FIRST, []))])
    with pytest.raises(ConfinementError, match="belong to shared"):
        _range().check_unused(NONE)


@pytest.mark.parametrize(("line", "collides"), [
    (f"lxd:{FIRST}:65536", True), (f"lxd:{FIRST - 65536}:65536", False), (f"lxd:{FIRST - 65536}:65537", True),
    (f"lxd:{FIRST + 17}:1", False), (f"lxd:{FIRST + 16}:1", True), ("lxd:100000:65536", False), ("# comment", False),
    ("lxd:x:y", False), ("", False),
])  # fmt: skip
def test_subordinate_ranges_count(tmp_path: Path, line: str, collides: bool) -> None:
    """ISO-2: another user's containers may hold them."""
    file = tmp_path / "subuid"
    file.write_text(f"someone:1:1\n{line}\n")
    if not collides:
        _range().check_unused((file, tmp_path / "missing"))
        return
    with pytest.raises(ConfinementError, match="belong to lxd"):
        _range().check_unused((tmp_path / "missing", file))


def test_the_range_of_the_settings_is_this_machines_to_give() -> None:
    """ISO-2: root is never in it."""
    assert os.getuid() not in range(FIRST, FIRST + 65_536)
    assert WorkerSettings().uid_first == FIRST
