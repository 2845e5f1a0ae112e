"""Fixtures of the kernel tests: one launcher for a module's tests, and granted directories."""

from collections.abc import Iterator

import pytest

from tests.kernel.harness import Stand


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """A launcher with every layer that this machine has."""
    made = Stand()
    yield made
    made.close()
