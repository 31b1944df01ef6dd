"""SIGINT, SIGTERM and SIGHUP become a wish that the work in hand looks at, so that files are finished."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import FrameType
from typing import Any, TypeVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STEP_SECONDS = 0.2
_T = TypeVar("_T")


class StopRequest:
    """Catches the signals inside ``with``.

    With ``raising`` set a signal also raises KeyboardInterrupt, for work that cannot look. The end is asked
    for too when ``seconds`` have passed, and as soon as work that is done for somebody elsewhere is not
    ``wanted`` any more.
    """

    def __init__(self, *, seconds: float = math.inf, wanted: Callable[[], bool] = lambda: True) -> None:
        self.interrupted = False
        self.raising = False
        self._wanted = wanted
        self._deadline = time.monotonic() + seconds
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in _SIGNALS:
            # a shell's "nohup" and "&" set some to be ignored: that stays so
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        if self.raising:
            raise KeyboardInterrupt

    @property
    def seconds_left(self) -> float:
        """Until the end is asked for without a signal; infinite where nothing limits it."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def asked(self) -> bool:
        """Whether the work is to end."""
        return self.interrupted or not self.seconds_left or not self._wanted()

    def obey(self, work: Callable[[], _T]) -> _T:
        """What ``work`` returns, or raises; it is done in a thread that a signal leaves behind.

        For work that may hang in the kernel, as with a file of a server that is gone: no handler of a signal
        would ever run there.

        Raises
        ------
        KeyboardInterrupt
            A signal came first.
        """
        outcome: Future[_T] = Future()

        def do() -> None:
            try:
                outcome.set_result(work())
            except BaseException as exc:  # raised again where it is waited for
                outcome.set_exception(exc)

        threading.Thread(target=do, name="preparation", daemon=True).start()
        while not outcome.done():
            if self.interrupted:
                raise KeyboardInterrupt
            wait([outcome], _STEP_SECONDS)
        return outcome.result()

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the wish to stop."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _STEP_SECONDS))
