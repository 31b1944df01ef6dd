"""The list of containers stays current whatever the engine does; the engine is fake, its socket is real."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from advisor.containers import watcher as module
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
from advisor.containers.engine import Engine, engine_address
from advisor.containers.records import EngineInfo
from advisor.containers.watcher import Watcher
from tests.support.engine_fake import FakeEngine

# the SDK leaves the socket of a refused connection to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*unclosed.*socket:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]
ID, OTHER = "4f" * 32, "5e" * 32


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves to the garbage collector does not end in another test."""
    yield
    gc.collect()


class Seen:
    """What a watcher posted."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.states: list[str | None] = []
        self.counts = Counts()
        self.blind: tuple[str, ...] = ()

    def wait(self, is_true: Callable[[Change], bool], after: int = 0) -> Change:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for change in self.changes[after:]:
                if is_true(change):
                    return change
            time.sleep(0.01)
        kinds = [type(change).__name__ for change in self.changes[after:]]
        raise AssertionError(f"never posted; last {kinds[-20:]} {self.counts.items()}")

    def wait_for(self, kind: type, after: int = 0) -> Change:
        return self.wait(lambda change: isinstance(change, kind), after)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    engine = FakeEngine(tmp_path)
    yield engine
    engine.stop()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.5)
    monkeypatch.setattr(module, "LIST_EVERY_ROUNDS", 1)
    monkeypatch.setattr(module, "SHORTEST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(module, "LONGEST_RETRY_SECONDS", 0.2)
    return Seen()


@pytest.fixture
def watch(fake: FakeEngine, seen: Seen) -> Iterator[Callable[..., Watcher]]:
    started: list[Watcher] = []

    def start(timeout_seconds: float = 5.0) -> Watcher:
        watcher = Watcher(
            engine_address(fake.host),
            seen.changes.append,
            without_files=lambda: seen.blind,
            counts=seen.counts,
            timeout_seconds=timeout_seconds,
            usage_seconds=0.2,
            on_state=seen.states.append,
        )
        started.append(watcher)
        watcher.start(wait_seconds=20.0)
        return watcher

    yield start
    fake.resume()
    for watcher in started:
        watcher.stop()
        for thread in watcher._threads:
            thread.join(60)


Watch = Callable[..., Watcher]


def test_containers_that_run_are_listed_and_inspected(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    fake.add(ID, "web", pid=77)
    fake.start()
    watch()
    up, listed = seen.changes[:2]
    assert isinstance(up, EngineUp)
    assert isinstance(listed, Listed)
    assert [one.name for one in listed.containers] == ["web"]
    inspected = seen.wait_for(Inspected)
    assert isinstance(inspected, Inspected)
    assert inspected.container.pid == 77


def test_podman_16857_and_12628_a_container_that_died_has_ended(
    fake: FakeEngine, seen: Seen, watch: Watch
) -> None:
    """Debian 12's podman 4.3 tells ends only to who asks for ``died``, and 3.4 under that name."""
    fake.start()
    watch()
    fake.wait_for_stream()
    asked = next(request for request in fake.requests if "/events" in request)
    assert {"die", "died"} <= set(json.loads(parse_qs(urlsplit(asked).query)["filters"][0])["event"])
    fake.tell("died", ID, "web")
    assert seen.wait_for(Ended) == Ended(ID)


def test_events_become_changes_in_order(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    fake.start()
    watch()
    fake.wait_for_stream()
    fake.add(ID, "web", pid=77)
    fake.rename(ID, "api")
    seen.wait(lambda one: isinstance(one, Inspected) and one.container.name == "api")
    fake.remove(ID)
    seen.wait_for(Ended)
    kinds = [type(one) for one in seen.changes if isinstance(one, Started | Ended)]
    assert kinds == [Started, Ended]


def test_an_update_is_inspected_again(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    fake.add(ID, "web")
    fake.start()
    watch()
    seen.wait_for(Inspected)
    fake.wait_for_stream()
    after = len(seen.changes)
    fake.tell("update", ID, "web")
    assert seen.wait_for(Inspected, after)


def test_a_lost_event_is_made_good_by_the_next_list(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    fake.add(ID, "web")
    fake.start()
    watch()
    fake.remove(ID, tell=False)
    fake.add(OTHER, "job", tell=False)
    seen.wait(
        lambda one: isinstance(one, Listed) and [c.name for c in one.containers] == ["job"],
    )
    seen.wait(lambda one: isinstance(one, Inspected) and one.container.id == OTHER)


def test_an_engine_that_is_not_there_is_waited_for(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    watch()
    assert isinstance(seen.changes[0], EngineDown)
    fake.start()
    seen.wait_for(EngineUp)
    assert seen.counts.items()[("engine", "unreachable")] >= 1
    assert seen.states[-1] is None
    assert "unreachable" in str(seen.states[0])
    assert len(seen.states) == 2, "told once for each change, however often it was tried"


def test_an_engine_may_stop_and_start(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    fake.add(ID, "web")
    fake.start()
    watch()
    fake.wait_for_stream()
    fake.stop()
    seen.wait_for(EngineDown)
    after = len(seen.changes)
    fake.start()
    seen.wait_for(Listed, after)
    seen.wait_for(Inspected, after)


def test_an_engine_that_hangs_is_down_until_it_answers(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    fake.start()
    watch(timeout_seconds=0.4)
    fake.wait_for_stream()
    fake.hang()
    seen.wait_for(EngineDown)
    after = len(seen.changes)
    fake.resume()
    seen.wait_for(EngineUp, after)
    assert seen.counts.items()[("engine", "timeout")] >= 1


def test_who_came_and_went_while_the_engine_was_away_is_told_once(
    fake: FakeEngine, seen: Seen, watch: Watch
) -> None:
    """And what was told before is not told again."""
    fake.start()
    watch()
    fake.wait_for_stream()
    fake.add(OTHER, "job")
    seen.wait_for(Started)
    fake.stop()
    seen.wait_for(EngineDown)
    fake.add(ID, "web")
    fake.remove(ID)
    fake.start()
    seen.wait_for(Ended)
    told = [one.container.id for one in seen.changes if isinstance(one, Started)]
    assert told == [OTHER, ID]


@pytest.mark.parametrize(
    ("mode", "reason"), [("truncated", "protocol"), ("garbage", "protocol"), ("error", "api")]
)
def test_nonsense_from_the_engine_is_counted_and_survived(
    fake: FakeEngine, seen: Seen, watch: Watch, mode: str, reason: str
) -> None:
    fake.start()
    watch()
    fake.mode = mode
    seen.wait_for(EngineDown)
    after = len(seen.changes)
    fake.mode = "ok"
    seen.wait_for(EngineUp, after)
    assert seen.counts.items()[("engine", reason)] >= 1


def test_the_clock_of_the_engine_may_be_another(tmp_path: Path, seen: Seen) -> None:
    """Its events are followed by its own clock; the age of a start is right."""
    fake = FakeEngine(tmp_path, clock_ahead_seconds=3600.0)
    fake.start()
    watcher = Watcher(engine_address(fake.host), seen.changes.append, without_files=tuple, counts=seen.counts)
    watcher.start()
    fake.wait_for_stream()
    fake.add(ID, "web")
    started = seen.wait_for(Started)
    assert isinstance(started, Started)
    assert 0.0 <= started.age_seconds < 5.0
    watcher.stop()
    fake.stop()


def test_a_clock_of_the_engine_that_is_set_back_loses_no_start(
    fake: FakeEngine, seen: Seen, watch: Watch
) -> None:
    """A container that is started again has an earlier time than its former start."""
    fake.start()
    watch()
    fake.wait_for_stream()
    fake.add(ID, "web")
    seen.wait_for(Started)
    fake.remove(ID)
    seen.wait_for(Ended)
    after = len(seen.changes)
    fake.clock_ahead_seconds = -3600.0
    fake.add(ID, "web")
    seen.wait(
        lambda one: isinstance(one, Listed) and [c.id for c in one.containers] == [ID],
        after,
    )


class NoThread(threading.Thread):
    """The process has as many as it may have."""

    def start(self) -> None:
        if self.name in ("engine follower", "engine inspector"):
            return super().start()
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("thread", [threading.Thread, NoThread])
def test_statistics_are_asked_for_those_without_files(
    fake: FakeEngine,
    seen: Seen,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    thread: type[threading.Thread],
) -> None:
    """One that is gone hides no other."""
    names = SimpleNamespace(Thread=thread, Event=threading.Event)
    monkeypatch.setattr(module, "threading", names)
    for number in range(30):
        fake.add(f"{number:064x}", f"c{number}")
        fake.use(f"{number:064x}", number + 1.0)
    seen.blind = (*fake.containers, "f" * 64)
    fake.start()
    watch()
    used = seen.wait_for(Used)
    assert isinstance(used, Used)
    told = {id: usage.cpu_seconds for id, usage in used.usages.items()}
    assert told == {f"{number:064x}": number + 1.0 for number in range(30)}


def test_a_failure_that_nobody_thought_of_ends_no_thread(
    fake: FakeEngine, seen: Seen, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(args.exc_value))
    fake.add(ID, "one")
    fake.start()

    def connect(engine: Engine) -> EngineInfo:
        if len(said) < 4:
            raise KeyError("unexpected")
        return honest(engine)

    honest = Engine.connect
    monkeypatch.setattr(Engine, "connect", connect)
    watch()
    seen.wait_for(Inspected)
    assert len(said) >= 4


def test_a_thousand_containers_come_and_go(fake: FakeEngine, seen: Seen, watch: Watch) -> None:
    """All starts and ends arrive, in order for each; or what is left, where the stream was too slow."""
    fake.start()
    watch()
    fake.wait_for_stream()
    for number in range(1000):
        fake.add(f"{number:064x}", f"c{number}")
        if number >= 20:
            fake.remove(f"{number - 20:064x}")
    left = {f"{number:064x}" for number in range(980, 1000)}

    def is_last(one: Change) -> bool:
        if isinstance(one, Listed):
            return {container.id for container in one.containers} == left
        return isinstance(one, Ended) and one.id == f"{979:064x}"

    seen.wait(is_last)
    lists = [one for one in seen.changes if isinstance(one, Listed)]
    if len(lists) > 1:  # the stream was too slow and began anew: the list says what is left
        return
    started = {one.container.id for one in seen.changes if isinstance(one, Started)}
    ended = {one.id for one in seen.changes if isinstance(one, Ended)}
    assert {f"{number:064x}" for number in range(1000)} <= started
    assert {f"{number:064x}" for number in range(980)} <= ended
