"""Registers that move by themselves, as real ones do, for tests of whole programs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.powercap_tree import PowercapTree

__all__ = ["moving"]


@contextmanager
def moving(tree: PowercapTree, *, watts: float = 0.0, every_seconds: float = 0.002) -> Iterator[None]:
    """Every register draws ``watts`` by the real clock, and a microjoule at least each time."""
    stop = threading.Event()

    def work() -> None:
        before = time.monotonic()
        while not stop.wait(every_seconds):
            now = time.monotonic()
            for register in tree.registers.values():
                register.add(max(watts * (now - before), 1e-6))
            before = now

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
