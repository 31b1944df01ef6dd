"""One real cluster for all tests of the farm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.farm import cluster


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Of a scheduler with the hosts ``a`` and ``b``."""
    with cluster() as address:
        yield address
