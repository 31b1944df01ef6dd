"""Signals as a wish that the work in hand looks at."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from runner.stop import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_remembered_and_raises_nothing(number: signal.Signals) -> None:
    before = signal.signal(number, signal.default_int_handler)  # under nohup SIGHUP is ignored
    try:
        with StopRequest() as stop:
            assert not stop.asked
            signal.raise_signal(number)
            assert stop.asked
    finally:
        signal.signal(number, before)


def test_work_that_cannot_look_is_interrupted() -> None:
    with StopRequest() as stop:
        stop.raising = True
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_a_wait_ends_with_the_wish() -> None:
    """An hour's wait, ended by a signal from another thread."""
    with StopRequest() as stop:
        sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        sender.start()
        stop.wait(3600)
        sender.join()
        assert stop.asked


def test_former_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.asked
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
