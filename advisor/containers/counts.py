"""Counted reasons: what could not be read, by source, for the exporter to publish."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Counts:
    """How often each (source, reason) happened; safe to share among threads.

    >>> counts = Counts()
    >>> counts.add("engine", "timeout")
    >>> counts.items()
    {('engine', 'timeout'): 1}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, source: str, reason: str) -> None:
        """Count one more."""
        with self._lock:
            self._counts[source, reason] += 1

    def items(self) -> Mapping[tuple[str, str], int]:
        """A copy of all counts so far."""
        with self._lock:
            return dict(self._counts)
