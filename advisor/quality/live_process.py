"""The process of a window of a live stream: what it is asked, what it answers, its start and its end.

Nothing here loads what the process itself works with.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from advisor.quality.live_checks import Checks
from advisor.results import Quality

ANSWER = "answer.json"
Outcome = Literal["scored", "unaligned", "checked", "lost", "unreachable", "damaged", "failed"]
OUTCOMES: dict[Outcome, str] = {
    "scored": "compared with the reference",
    "unaligned": "the frames do not match the reference",
    "checked": "there was no reference, or it did not arrive",
    "lost": "the stream ended too early",
    "unreachable": "no data arrived",
    "damaged": "the video cannot be decoded",
    "failed": "the measurement itself failed",
}
"""What can come of a window, and what that means."""

_LIMIT_SECONDS, _END_SECONDS, _POLL_MILLISECONDS = 300.0, 5.0, 200


class Request(Struct, frozen=True, kw_only=True):
    """What is to be done."""

    addresses: dict[str, str]
    """By name; what is called `REFERENCE` is compared with."""
    window_seconds: Annotated[float, Meta(gt=0)]
    ffmpeg: str
    lags: dict[str, float] = {}
    """Seconds by which renditions were last found to be behind the reference."""
    absent: frozenset[str] = frozenset()
    """Those that did not come the last time: they are looked for, and the others do not wait for them."""
    search: int = 0
    """Which range to look in for the lags that are not known: counts windows without success."""
    keyframe_seconds: float = 3.0
    """Time without a key frame that is reckoned with."""
    nice: int = 10
    """Added to the niceness of the process and all that it starts."""


class Seen(Struct, frozen=True, kw_only=True):
    """What a window showed of one address. None is not known."""

    outcome: Outcome
    reason: str | None = None
    up: bool = False
    """Video came to the end of the window."""
    quality: Quality | None = None
    """Of a rendition against the reference."""
    lag_seconds: float | None = None
    """By how much its frames come later than the same ones of the reference."""
    checks: Checks | None = None
    bitrate_kbps: float | None = None
    frame_rate: float | None = None
    missing_frames: int | None = None
    keyframe_age_seconds: float | None = None
    reconnects: int = 0


class Answer(Struct, frozen=True, kw_only=True):
    """By name, in the order of the addresses."""

    seen: dict[str, Seen]
    keyframe_seconds: float


class Window(Struct, frozen=True):
    """What the process of a window came to."""

    answer: Answer | None
    """None: it failed, for this ``problem``."""
    cpu_seconds: float
    """Of it and all that it started."""
    problem: str | None = None


def run_window(request: Request, folder: Path, *, stopped: Callable[[], bool]) -> Window:
    """`window` in a process of its own, which is ended when ``stopped`` says so or the time is up.

    ``folder`` is empty and the caller's, who removes it.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "advisor.quality.live_window", str(folder.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[2],
        process_group=0,
    )
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(msgspec.json.encode(request))
    limit, problem = time.monotonic() + _LIMIT_SECONDS, None
    handle = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while not poll.poll(_POLL_MILLISECONDS):
            late = time.monotonic() > limit
            if not late and (problem is not None or not stopped()):
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM if problem is None else signal.SIGKILL)
            problem = problem or (f"it took longer than {_LIMIT_SECONDS:g} s" if late else "it was stopped")
            limit = time.monotonic() + _END_SECONDS
    finally:
        os.close(handle)
    with contextlib.suppress(ProcessLookupError):  # what it left behind, while the number is still its own
        os.killpg(process.pid, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    try:
        return Window(msgspec.json.decode((folder / ANSWER).read_bytes(), type=Answer), cpu)
    except (OSError, msgspec.DecodeError):
        return Window(None, cpu, problem or f"its process ended with code {process.returncode}")
