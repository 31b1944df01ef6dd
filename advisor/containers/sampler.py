"""The thread that runs a monitor: applies what the engine's threads post, and ticks at a steady rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from advisor.containers.changes import Change
from advisor.containers.exits import ExitWatch
from advisor.containers.ledger import SavedContainers
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
    build
        Makes the monitor, in the thread.
    interval_seconds
        Seconds between ticks.
    state
        Keeps the sums over a restart; None to begin at 0. It is written before a tick's sums are shown, as
        they must never go back.
    """

    def __init__(
        self,
        build: Callable[[ExitWatch], Monitor],
        interval_seconds: float,
        *,
        state: StateFile[SavedContainers] | None = None,
    ) -> None:
        self._build = build
        self._state = state
        self._interval = interval_seconds
        self._changes: SimpleQueue[Change] = SimpleQueue()
        self._watch: ExitWatch | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._monitor: Monitor | None = None
        self._snapshot: Snapshot | None = None
        self._failure: Exception | None = None
        self._ticked = threading.Event()
        self.missed_ticks = 0

    def post(self, change: Change) -> None:
        """Take a change, from any thread."""
        self._changes.put(change)
        if self._watch is not None:
            self._watch.wake()

    def without_files(self) -> tuple[str, ...]:
        """See `Monitor.without_files`."""
        return () if self._monitor is None else self._monitor.without_files()

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
        self._watch = watch = ExitWatch()
        self._thread = threading.Thread(
            target=self._run, args=(watch,), name="container sampler", daemon=True
        )
        self._thread.start()
        self._ticked.wait(wait_seconds)

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        if self._thread is None or self._watch is None:
            return
        self._watch.wake()
        self._thread.join(1.0)
        if not self._thread.is_alive():  # else a file blocks it, and the descriptors end with the process
            watch, self._watch = self._watch, None
            watch.close()

    def _run(self, watch: ExitWatch) -> None:
        while not self._stopping:
            try:
                self._tick_steadily(watch)
            except Exception as exc:
                # whoever asks for a snapshot is told, until it has passed
                self._failure = exc
                self._ticked.set()
                watch.wait(self._interval)

    def _tick_steadily(self, watch: ExitWatch) -> None:
        """Until the end, or until something fails."""
        self._monitor = monitor = self._monitor or self._build(watch)
        due = time.monotonic()
        while not self._stopping:
            self._apply(monitor)
            if time.monotonic() >= due:
                snapshot = monitor.tick()
                self._save(monitor)
                self._snapshot, self._failure = snapshot, None
                self._ticked.set()
                due, missed = next_tick(due, time.monotonic(), self._interval)
                self.missed_ticks += missed
            rest = due - time.monotonic()
            if monitor.young():
                rest = min(rest, YOUNG_INTERVAL_SECONDS)
            for container in (*watch.wait(rest), *monitor.young()):
                monitor.sample(container)

    def _save(self, monitor: Monitor) -> None:
        saved = None if self._state is None else monitor.save()
        if self._state is not None and saved is not None:
            self._state.save(saved)

    def _apply(self, monitor: Monitor) -> None:
        while not self._changes.empty():  # nobody else takes from it
            monitor.apply(self._changes.get())
