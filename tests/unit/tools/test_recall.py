"""A restart gives no limit anew: uses and repeats of earlier sessions count (CAP-3, TOL-7)."""

from pathlib import Path

import pytest

from aaos.core.capability import Capability, Kind
from aaos.core.constraint import Constraints
from aaos.core.errors import LimitError
from aaos.core.ports import CallRow, Held, Origin
from aaos.core.token import TokenBox
from aaos.tools.admit import Charger
from aaos.tools.catalog import CATALOG
from aaos.tools.recall import charge_again, repeats
from tests.unit.tools.scene import AGENT, Scene, StillClock, broker, root
from worker.abi import Json


def rows(scene: Scene) -> tuple[CallRow, ...]:
    return scene.ledger.of_agent(AGENT)


def charger(tokens: TokenBox, path: Path) -> Charger:
    return Charger(tokens, AGENT, (root(path, held=Held.GATE),), broker(), frozenset())


def test_uses_of_a_limited_grant_are_counted_again(tmp_path: Path) -> None:
    """CAP-3, H-CAP-06"""
    (tmp_path / "f").write_text("x")
    scene = Scene(tmp_path)
    for _ in range(2):
        scene.call("file_read", path=f"{tmp_path}/f")
    tokens = TokenBox(StillClock())
    limited = Capability(Kind.FILE_READ, f"{tmp_path}/**", Constraints(max_calls=3))
    tokens.grant(AGENT, [Capability(Kind.TOOL, "file_read"), limited])
    charge_again(charger(tokens, tmp_path), CATALOG, rows(scene))
    tokens.charge(AGENT, Kind.FILE_READ, f"{tmp_path}/f")
    with pytest.raises(LimitError):
        tokens.charge(AGENT, Kind.FILE_READ, f"{tmp_path}/f")


def test_what_is_not_granted_any_more_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    scene = Scene(tmp_path)
    scene.call("file_read", path=f"{tmp_path}/f")
    tokens = TokenBox(StillClock())
    tokens.grant(AGENT, [Capability(Kind.FILE_READ, "/elsewhere", Constraints(max_calls=1))])
    charge_again(charger(tokens, tmp_path), {}, rows(scene))
    charge_again(charger(tokens, tmp_path), CATALOG, rows(scene))
    tokens.charge(AGENT, Kind.FILE_READ, "/elsewhere")


def test_repeats_are_those_since_the_last_effect(tmp_path: Path) -> None:
    """TOL-7"""
    (tmp_path / "f").write_text("x")
    scene = Scene(tmp_path)
    read: dict[str, Json] = {"path": f"{tmp_path}/f"}
    scene.call("file_read", origin=Origin.MODEL, **read)
    scene.call("file_write", origin=Origin.MODEL, path=f"{tmp_path}/g", content="1")
    scene.call("file_read", origin=Origin.MODEL, **read)
    scene.call("file_read", origin=Origin.MODEL, **read)
    counted = list(repeats(CATALOG, rows(scene)))
    assert [is_effect for _, is_effect in counted] == [True, False, False]
