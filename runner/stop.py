"""SIGINT, SIGTERM and SIGHUP become a wish that the work in hand looks at, so that files are finished."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopRequest"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STEP_SECONDS = 0.2


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

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the wish to stop."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _STEP_SECONDS))
