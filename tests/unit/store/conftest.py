"""Fixtures of the store's tests: a database in a directory of its own, and what a killed daemon would leave."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aaos.store.database import Database


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def database(state_dir: Path) -> Iterator[Database]:
    opened = Database.open(state_dir)
    yield opened
    opened.close()


@pytest.fixture
def killed(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies the state directory of a live daemon: the files as kill -9 would leave them."""

    def copy(state_dir: Path) -> Path:
        target = tmp_path / "killed"
        shutil.copytree(state_dir, target)
        target.chmod(0o700)
        return target

    return copy
