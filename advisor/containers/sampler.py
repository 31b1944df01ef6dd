"""The thread that runs a monitor: applies what the engine's threads post, and ticks at a steady rate."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

from advisor.containers.changes import Change
from advisor.containers.exits import ExitWatch
from advisor.containers.ledger import Sums
from advisor.containers.monitor import Monitor, Snapshot
from advisor.energy.sampler import next_tick
from advisor.energy.state import StateFile
from advisor.errors import WorkError

YOUNG_INTERVAL_SECONDS = 0.05
STALE_INTERVALS = 5.0
STALE_SECONDS = 10.0


class ContainerSampler:
    """Keeps the newest snapshot of a monitor.

    Parameters
    ----------
    monitor
        What is ticked.
    watch
        What ends a wait: a change, or the end of a container. The sampler closes it.
    interval_seconds
        Seconds between ticks.
    state
        Keeps the sums over a restart; None to begin at 0. It is written before a tick's sums are shown, as
        they must never go back.
    """

    def __init__(
        self,
        monitor: Monitor,
        watch: ExitWatch,
        interval_seconds: float,
        *,
        state: StateFile[Sums] | None = None,
    ) -> None:
        self.monitor, self._watch, self._state = monitor, watch, state
        self._interval = interval_seconds
        self._changes: SimpleQueue[Change] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="container sampler", daemon=True)
        self._snapshot: Snapshot | None = None
        self._failure: Exception | None = None
        self._ticked = threading.Event()
        self.missed_ticks = 0

    def post(self, change: Change) -> None:
        """Take a change, from any thread."""
        self._changes.put(change)
        self._watch.wake()

    def snapshot(self) -> Snapshot | None:
        """What the last tick saw, None before the first.

        Raises
        ------
        WorkError
            The last tick failed, or the thread hangs: what it saw last is of another time.
        """
        if self._failure is not None:
            raise WorkError(f"the sampler failed: {self._failure}") from self._failure
        snapshot = self._snapshot
        if snapshot is not None:
            age = time.monotonic() - snapshot.monotonic_seconds
            if age > max(STALE_SECONDS, STALE_INTERVALS * self._interval):
                raise WorkError(f"the sampler has not ticked for {age:.0f} s")
        return snapshot

    def start(self, wait_seconds: float = 1.0) -> None:
        """Begin to tick, and wait a moment for the first so that the first scrape has it."""
        self._thread.start()
        self._ticked.wait(wait_seconds)

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._watch.wake()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        if not self._thread.is_alive():  # else a file blocks it, and the descriptors end with the process
            self._watch.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._tick_steadily()
            except Exception as exc:
                # whoever asks for a snapshot is told, until it has passed
                self._failure = exc
                self._ticked.set()
                self._watch.wait(self._interval)

    def _tick_steadily(self) -> None:
        """Until the end, or until something fails."""
        monitor, due = self.monitor, time.monotonic()
        while not self._stopping:
            while not self._changes.empty():  # nobody else takes from it
                monitor.apply(self._changes.get())
            if time.monotonic() >= due:
                snapshot = monitor.tick()
                self._save()
                self._snapshot, self._failure = snapshot, None
                self._ticked.set()
                due, missed = next_tick(due, time.monotonic(), self._interval)
                self.missed_ticks += missed
            rest = due - time.monotonic()
            if monitor.young():
                rest = min(rest, YOUNG_INTERVAL_SECONDS)
            for container in (*self._watch.wait(rest), *monitor.young()):
                monitor.sample(container)

    def _save(self) -> None:
        saved = None if self._state is None else self.monitor.save()
        if self._state is not None and saved is not None:
            self._state.save(saved)
