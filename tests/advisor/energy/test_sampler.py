"""The thread behind each meter."""

from __future__ import annotations

import threading

import pytest

from advisor.energy.sampler import Sampler


def test_a_failure_that_nobody_thought_of_ends_one_tick_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(args.exc_value))
    ticks, third = [0], threading.Event()

    def work() -> None:
        ticks[0] += 1
        if ticks[0] == 3:
            third.set()
        raise KeyError("unexpected")

    sampler = Sampler("test", work, lambda: 0.001)
    sampler.start()
    assert third.wait(60)
    sampler.stop()
    assert [str(error) for error in said[:2]] == ["'unexpected'"] * 2
