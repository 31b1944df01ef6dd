"""The Pareto front, for whatever "better" means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def front(items: Sequence[T], dominates: Callable[[T, T], bool]) -> list[T]:
    """Those of ``items`` that no other dominates, in their order.

    >>> front([(1, 5), (2, 2), (3, 3)], lambda a, b: a != b and a[0] <= b[0] and a[1] <= b[1])
    [(1, 5), (2, 2)]
    """
    return [item for item in items if not any(dominates(other, item) for other in items)]
