"""Two threads that keep the list of containers current, whatever the engine does.

The *follower* connects, lists, and follows the event stream in rounds of a few seconds: a round that does
not end in time tells an engine that hangs from one that is quiet. The *inspector* asks for the details of
each new container, and in rounds for the statistics of those whose files cannot be seen. Both post changes
and never wait for each other.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from advisor.containers.changes import (
    Change,
    Ended,
    EngineDown,
    EngineUp,
    Inspected,
    Listed,
    Started,
    Used,
)
from advisor.containers.counts import Counts
from advisor.containers.engine import Engine, EngineAddress
from advisor.containers.records import ApiUsage, Container, EngineInfo, Event
from advisor.energy.sampler import say_unexpected
from advisor.errors import EngineError

ROUND_SECONDS = 5.0
LIST_EVERY_ROUNDS = 6
OVERLAP_SECONDS = 2.0
"""Each round begins before the end of the last: at its end, an engine may drop what it has not sent yet."""
SHORTEST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 10.0
JOIN_SECONDS = 0.4
PASSING_REASONS = ("timeout", "unreachable")
USAGE_SECONDS = 5.0
ASKERS = 16
"""Questions for statistics at once: the engine holds each answer back until its next sample, up to 1 s."""


class Watcher:
    """Follows one engine and posts what changes.

    Parameters
    ----------
    address
        Where the engine is.
    post
        Takes each change; called from both threads.
    without_files
        Ids of the containers whose numbers must come from the engine.
    counts
        Takes the reasons of failures, under ``engine``.
    timeout_seconds
        How long the engine may take for any answer.
    usage_seconds
        Seconds between rounds of statistics.
    """

    def __init__(
        self,
        address: EngineAddress,
        post: Callable[[Change], None],
        *,
        without_files: Callable[[], tuple[str, ...]],
        counts: Counts,
        timeout_seconds: float = 5.0,
        usage_seconds: float = USAGE_SECONDS,
        on_state: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._post, self._without_files, self._counts = post, without_files, counts
        self._usage_seconds = usage_seconds
        self._on_state = on_state
        self._stopping = threading.Event()
        self._tried = threading.Event()
        self._new: SimpleQueue[str | None] = SimpleQueue()
        self._info: EngineInfo | None = None
        """What the follower's connection told of itself; None while there is none."""
        self._since = math.inf
        """Until when the engine told its events without a gap, by its own clock."""
        self._recent: dict[tuple[str, str], float] = {}
        """When that was, by action and container, of events that may be told again."""
        self._asked: set[str] = set()
        self._state: str | None = ""

        def engine() -> Engine:
            return Engine(
                address,
                timeout_seconds=timeout_seconds,
                on_malformed=lambda: counts.add("engine", "protocol"),
            )

        self._follower, self._inspector = engine(), engine()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("engine follower", self._follow), ("engine inspector", self._inspect))
        ]

    def start(self, wait_seconds: float = 1.0) -> None:
        """Begin, and wait a moment for the first answer so that the first scrape knows of it."""
        for thread in self._threads:
            thread.start()
        self._tried.wait(wait_seconds)

    def stop(self) -> None:
        """End both threads; one that waits for an engine that hangs is left to end with its call."""
        self._stopping.set()
        self._new.put(None)
        self._follower.interrupt()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def _follow(self) -> None:
        retry = SHORTEST_RETRY_SECONDS
        while not self._stopping.is_set():
            try:
                info = self._follower.connect()
                self._set_up(info)
                retry = SHORTEST_RETRY_SECONDS
                self._follow_events(info)
            except EngineError as exc:
                self._set_down(exc)
                self._stopping.wait(retry)
                retry = min(2 * retry, LONGEST_RETRY_SECONDS)
            except Exception:  # a thread that ends would end all news of the engine
                say_unexpected()
                self._stopping.wait(LONGEST_RETRY_SECONDS)
        self._follower.close()

    def _set_up(self, info: EngineInfo) -> None:
        containers = self._follower.containers()
        self._info = info
        self._asked.clear()
        self._post(EngineUp(info))
        self._post_list(containers)
        self._tell(None)

    def _post_list(self, containers: list[Container]) -> None:
        self._post(Listed(tuple(containers)))
        ids = {container.id for container in containers}
        for container_id in ids - self._asked:
            self._new.put(container_id)
        self._asked = ids

    def _set_down(self, exc: EngineError) -> None:
        if not self._stopping.is_set():
            self._counts.add("engine", exc.reason)
            self._post(EngineDown())
            self._info = None
            self._tell(str(exc))

    def _tell(self, state: str | None) -> None:
        if state != self._state:
            self._state = state
            self._on_state(state)
        self._tried.set()

    def _follow_events(self, info: EngineInfo) -> None:
        """Rounds of events, by the engine's clock, without a gap between two, or two connections."""
        offset = info.unix_seconds - time.monotonic()
        if self._since > info.unix_seconds:  # the first connection, or the clock was set back
            self._since, self._recent = info.unix_seconds, {}
        rounds = 0
        while not self._stopping.is_set():
            now = time.monotonic() + offset
            until = now + ROUND_SECONDS
            for event in self._follower.events(self._since, until):
                if not self._since - OVERLAP_SECONDS <= event.unix_seconds <= until + OVERLAP_SECONDS:
                    raise EngineError("docker engine: its clock was set", reason="protocol")
                key = event.action, event.container.id
                # rounds overlap; events of one kind and container come in order
                if event.unix_seconds > self._recent.get(key, float("-inf")):
                    self._recent[key] = event.unix_seconds
                    self._take(event, time.monotonic() + offset)
            early = until - (time.monotonic() + offset)
            if early > ROUND_SECONDS / 2 and not self._stopping.is_set():
                raise EngineError("docker engine: the event stream ended early", reason="unreachable")
            self._since = until - OVERLAP_SECONDS
            self._recent = {key: at for key, at in self._recent.items() if at >= self._since}
            rounds += 1
            if rounds % LIST_EVERY_ROUNDS == 0:
                self._post_list(self._follower.containers())

    def _take(self, event: Event, now: float) -> None:
        container = event.container
        if event.action == "start":
            self._post(Started(container, max(0.0, now - event.unix_seconds)))
            self._new.put(container.id)
            self._asked.add(container.id)
        elif event.action in ("die", "died"):
            self._post(Ended(container.id))
        else:  # another name, other limits
            self._new.put(container.id)

    def _inspect(self) -> None:
        info = None
        due = time.monotonic()
        while not self._stopping.is_set():
            wanted = self._next_new(due)
            try:
                if self._info is None:
                    continue
                if self._info is not info:
                    info = self._info
                    self._inspector.connect()
                if wanted is not None and (container := self._inspector.inspect(wanted)):
                    self._post(Inspected(container))
                if time.monotonic() >= due:
                    due = self._ask_usages()
            except EngineError as exc:
                self._counts.add("engine", exc.reason)
                info = None
                due = time.monotonic() + self._usage_seconds
                if wanted is not None and exc.reason in PASSING_REASONS:
                    self._stopping.wait(SHORTEST_RETRY_SECONDS)
                    self._new.put(wanted)
            except Exception:
                say_unexpected()
                self._stopping.wait(LONGEST_RETRY_SECONDS)
                self._new.put(wanted)
        self._inspector.close()

    def _next_new(self, due: float) -> str | None:
        try:
            return self._new.get(timeout=max(0.05, due - time.monotonic()))
        except Empty:
            return None

    def _ask_usages(self) -> float:
        """One round of statistics, many at once; returns when the next is due."""
        due = time.monotonic() + self._usage_seconds
        waiting = deque(self._without_files())
        usages: dict[str, ApiUsage] = {}
        failures: list[EngineError] = []

        def ask() -> None:
            while waiting and not failures and not self._stopping.is_set():
                with contextlib.suppress(IndexError):  # another asker took the last one
                    self._ask_usage(waiting.popleft(), usages, failures)

        if not waiting:
            return due
        askers = [threading.Thread(target=ask, daemon=True) for _ in range(min(ASKERS, len(waiting)) - 1)]
        with contextlib.suppress(RuntimeError):  # no more threads: those that there are ask
            for asker in askers:
                asker.start()
        ask()
        for asker in askers:
            if asker.ident is not None:
                asker.join()
        self._post(Used(usages))
        if failures:
            raise failures[0]
        return due

    def _ask_usage(self, container_id: str, usages: dict[str, ApiUsage], failures: list[EngineError]) -> None:
        """One container's statistics; an engine that fails for one may answer for the others."""
        try:
            usage = self._inspector.usage(container_id)
        except EngineError as exc:
            if exc.reason in PASSING_REASONS:
                failures.append(exc)
            else:
                self._counts.add("engine", exc.reason)
            return
        if usage is not None:
            usages[container_id] = usage
