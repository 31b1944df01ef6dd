"""Calls that hang: each costs its own key and nothing else."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from advisor.energy.patience import Patience


class Doors:
    """Work that hangs at closed doors."""

    def __init__(self) -> None:
        self.open = {name: threading.Event() for name in "abcd"}
        self.knocks: Counter[str] = Counter()
        for door in self.open.values():
            door.set()

    def __call__(self, name: str) -> str:
        self.knocks[name] += 1
        self.open[name].wait()
        return name.upper()


@pytest.fixture
def doors() -> Iterator[Doors]:
    doors = Doors()
    yield doors
    for door in doors.open.values():
        door.set()


def test_every_key_has_its_result(doors: Doors) -> None:
    assert Patience().each(doors, "abcd") == {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_no_keys_need_no_thread() -> None:
    before = threading.active_count()
    assert Patience().each(str, ()) == {}
    assert threading.active_count() == before


@pytest.mark.parametrize("closed", ["a", "c", "d", "ac", "abcd"])
def test_those_that_hang_are_left_out_alone(doors: Doors, closed: str) -> None:
    for name in closed:
        doors.open[name].clear()
    assert set(Patience().each(doors, "abcd")) == set("abcd") - set(closed)


def test_one_that_hangs_is_not_tried_again_until_it_has_returned(doors: Doors) -> None:
    patience = Patience()
    doors.open["b"].clear()
    for _ in range(3):
        assert set(patience.each(doors, "abc")) == {"a", "c"}
    assert doors.knocks == {"a": 3, "b": 1, "c": 3}
    doors.open["b"].set()
    while "b" not in patience.each(doors, "abc"):
        pass
    assert doors.knocks["b"] == 2


def test_a_machine_without_a_thread_to_spare_gives_nothing_this_time(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Patience()
    with monkeypatch.context() as limited:
        limited.setattr("threading.Thread.start", no_thread)
        assert patience.each(str, (1, 2)) == {}
    assert patience.each(str, (1, 2)) == {1: "1", 2: "2"}


def no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_slow_but_moving_work_is_waited_for() -> None:
    """A round of many keys may take long while each of them does not."""
    paces = threading.Event()

    def work(number: int) -> int:
        paces.wait(0.02)
        return number

    assert Patience().each(work, range(40)) == {number: number for number in range(40)}
