"""Waiting for what happens in another process."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["wait_until"]


def wait_until(condition: Callable[[], object], *, limit_seconds: float = 120.0) -> None:
    """Return as soon as ``condition`` holds; fail when it never does."""
    end = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
