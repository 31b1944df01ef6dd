"""Calls that may never return: a file can hang inside the kernel, where no time-out of its own reaches it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")
# the first that hangs may be a busy machine, and then each is given less so that a round stays short
_FIRST_SECONDS = 0.5
_NEXT_SECONDS = 0.25


class _Round(threading.Thread, Generic[_K, _V]):
    """Calls ``work`` for one key after the other until it is done or left behind."""

    def __init__(self, work: Callable[[_K], _V], keys: Sequence[_K]) -> None:
        super().__init__(name="patient reader", daemon=True)
        self.results: dict[_K, _V] = {}
        self._work, self._keys = work, keys
        self._place = 0
        self._left_behind = False
        self._lock = threading.Lock()

    def run(self) -> None:
        for place, key in enumerate(self._keys):
            with self._lock:
                if self._left_behind:
                    return
                self._place = place
            self.results[key] = self._work(key)

    def hangs_at(self, seconds: float) -> int | None:
        """Wait for the end; the place of the key that takes longer than this, which is left alone with it."""
        while True:
            place = self._place
            self.join(seconds)
            with self._lock:
                if not self.is_alive():
                    return None
                if self._place == place:
                    self._left_behind = True
                    return place


class Patience:
    """Does the same for many keys, and loses only those whose call hangs.

    Each round has a thread (about 40 us). One whose call hangs is left behind with its key, and that key is
    passed over until the call has returned; another thread goes on with the keys that are left.
    """

    def __init__(self) -> None:
        self._stuck: dict[object, threading.Thread] = {}

    def each(self, work: Callable[[_K], _V], keys: Iterable[_K]) -> dict[_K, _V]:
        """``work(key)`` by key, without the keys whose call hangs; ``work`` must not raise."""
        self._stuck = {key: thread for key, thread in self._stuck.items() if thread.is_alive()}
        waiting = [key for key in keys if key not in self._stuck]
        results: dict[_K, _V] = {}
        seconds = _FIRST_SECONDS
        while waiting:
            round_ = _Round(work, waiting)
            try:
                round_.start()
            except RuntimeError:  # no thread to be had: the keys that are left wait for the next time
                break
            place = round_.hangs_at(seconds)
            results |= round_.results
            if place is None:
                break
            self._stuck[waiting[place]] = round_
            waiting, seconds = waiting[place + 1 :], _NEXT_SECONDS
        return results
