"""What holds for every unit test beside the tripwires that are armed around it."""

from collections.abc import Iterator

import pytest

from tests.tripwires import databases_closed


@pytest.fixture(autouse=True)
def _closes_databases() -> Iterator[None]:
    """Begun first and ended last, so that fixtures of the test have closed theirs."""
    with databases_closed():
        yield
