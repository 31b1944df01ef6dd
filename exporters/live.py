"""Live streams beside the scores of files: a window of each now and then, within a share of CPU.

Every window is a process of its own (`advisor.quality.live_process`). What is published of a stream is its
last window, and how old that is.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from advisor.common.regular_file import Stamp, stamp_of
from advisor.errors import InputError
from advisor.quality.live import REFERENCE, Live, Stream, read_live
from advisor.quality.live_process import OUTCOMES, Request, Seen, Window, run_window
from exporters.runtime import Collector, Family, Metric, Part
from exporters.runtime.collector import Errand
from exporters.runtime.families import declared
from exporters.runtime.logs import logger

Run: TypeAlias = Callable[[Request, Path, Callable[[], bool]], Window]

_EACH = ("stream", "rendition")
UP = Family("qoe_live_up", "1 if video arrived until the end of the last window, 0 if not.", _EACH)
VMAF = Family("qoe_live_vmaf_score", "Mean VMAF of the last window, 0-100.", _EACH)
PSNR = Family("qoe_live_psnr_score", "PSNR of the last window in decibels.", _EACH)
SSIM = Family("qoe_live_ssim_ratio", "Structural similarity of the last window.", _EACH)
OFFSET = Family(
    "qoe_live_offset_seconds",
    "Delay of the rendition's pictures behind the reference, by content.",
    _EACH,
)
ALIGNED = Family(
    "qoe_live_aligned",
    "1 if the frames of rendition and reference match, 0 if not (no scores then).",
    _EACH,
)
FROZEN = Family("qoe_live_frozen_ratio", "Share of the window frozen for at least half a second.", _EACH)
BLACK = Family("qoe_live_black_ratio", "Share of the window that was black.", _EACH)
SILENCE = Family("qoe_live_silence_ratio", "Share of the window below -60 dB; absent without audio.", _EACH)
BLOCKINESS = Family(
    "qoe_live_blockiness_score", "Blockiness by ffmpeg's blockdetect; about 1 means none.", _EACH
)
BITRATE = Family("qoe_live_bitrate_kbps", "Bitrate of the received video.", _EACH)
FRAME_RATE = Family("qoe_live_frame_rate", "Received frames per second of video.", _EACH)
MISSING = Family("qoe_live_missing_frames", "Frames missing in the window.", _EACH)
KEYFRAME_AGE = Family(
    "qoe_live_keyframe_age_seconds", "Time from the last key frame to the end of the window.", _EACH
)
WIDTH = Family("qoe_live_width_pixels", "Width of the picture.", _EACH)
HEIGHT = Family("qoe_live_height_pixels", "Height of the picture.", _EACH)
AGE = Family("qoe_live_window_age_seconds", "Time since the last window ended.", _EACH)
WINDOWS = Family(
    "qoe_live_windows_total",
    f"Windows by outcome: {'; '.join(f'{name}: {text}' for name, text in OUTCOMES.items())}.",
    (*_EACH, "outcome"),
)
RECONNECTS = Family(
    "qoe_live_reconnects_total", "Times that a stream ended, jumped or did not answer within a window.", _EACH
)
MADE_BY = Family(
    "qoe_live_stream_info",
    "Container or control group of a stream, as named in the list.",
    ("stream", "container", "group"),
)
CPU = Family("qoe_live_cpu_seconds_total", "CPU time used by all windows.")
FILE_ERROR = Family("qoe_live_file_error_info", "Why the list of live streams is not in use.", ("reason",))
FAMILIES = declared(globals())

_PER_WINDOW: tuple[tuple[Family, Callable[[Seen], float | None]], ...] = (
    (UP, lambda s: int(s.up)),
    (VMAF, lambda s: s.quality.vmaf.mean if s.quality and s.quality.vmaf else None),
    (PSNR, lambda s: s.quality.psnr_decibels.average if s.quality and s.quality.psnr_decibels else None),
    (SSIM, lambda s: s.quality.ssim_ratio.all if s.quality and s.quality.ssim_ratio else None),
    (OFFSET, lambda s: s.lag_seconds),
    (ALIGNED, lambda s: {"scored": 1, "unaligned": 0}.get(s.outcome)),
    (FROZEN, lambda s: s.checks.frozen_ratio if s.checks else None),
    (BLACK, lambda s: s.checks.black_ratio if s.checks else None),
    (SILENCE, lambda s: s.checks.silence_ratio if s.checks else None),
    (BLOCKINESS, lambda s: s.checks.blockiness if s.checks else None),
    (WIDTH, lambda s: s.checks.width if s.checks else None),
    (HEIGHT, lambda s: s.checks.height if s.checks else None),
    (BITRATE, lambda s: s.bitrate_kbps),
    (FRAME_RATE, lambda s: s.frame_rate),
    (MISSING, lambda s: s.missing_frames),
    (KEYFRAME_AGE, lambda s: s.keyframe_age_seconds),
)
_FIRST_CPU_SECONDS = 5.0
_MOST_SAVED_SECONDS = 30.0
"""What was not used for so long is lost."""


class CpuBudget:
    """CPU seconds: earned as time goes by, spent by windows, with what is being spent reckoned in before.

    Over any time T no more is spent than ``share`` x (T + 30 s) and one window.
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._balance = 0.0
        self.share = share

    def begin(self, expected: float) -> bool:
        """Whether there is something to spend; takes ``expected`` out."""
        now = self._clock()
        earned = self._balance + self.share * (now - self._at)
        self._balance, self._at = min(earned, self.share * _MOST_SAVED_SECONDS), now
        if self._balance < 0:
            return False
        self._balance -= expected
        return True

    def end(self, expected: float, spent: float) -> None:
        """Put right what `begin` took."""
        self._balance += expected - spent


class _State(Struct, eq=False):
    """One stream, and what is known of it."""

    stream: Stream
    due: float
    cpu_seconds: float = _FIRST_CPU_SECONDS
    lags: dict[str, float] = {}
    misses: int = 0
    """Windows since an unknown lag was looked for in vain."""
    keyframe_seconds: float = 3.0
    ended_at: float | None = None
    seen: Mapping[str, Seen] = {}
    windows: Counter[tuple[str, str]] = Counter()
    reconnects: Counter[str] = Counter()


class _UnderWay(Struct, eq=False):
    """A window that is being made."""

    state: _State
    request: Request
    errand: Errand[Window]


class LiveCollector(Collector):
    """Watches the streams of a file, which is read again when it changes.

    Every look takes the windows that ended since the one before and begins at most one.

    Parameters
    ----------
    path
        The list of streams.
    ffmpeg
        With libvmaf.
    cpu
        Share of CPU, instead of the list's.
    run
        Makes a window in a folder; the third argument says when to stop.
    """

    name = "live"
    poll_seconds = 0.5

    def __init__(
        self, path: Path, ffmpeg: str, cpu: float | None = None, run: Run | None = None, *, nice: int = 10
    ) -> None:
        self._path, self._ffmpeg, self._cpu, self._nice = path, ffmpeg, cpu, nice
        self._run = run or (lambda request, folder, stopped: run_window(request, folder, stopped=stopped))
        self._live = read_live(path)
        self._stamp: Stamp | None = None
        self._budget = CpuBudget(cpu or self._live.cpu)
        self._stop = threading.Event()
        self._states: dict[str, _State] = {}
        self._under_way: list[_UnderWay] = []
        self._spent = 0.0
        self._problem: str | None = None
        self._told: dict[tuple[str, str], str | None] = {}
        self._take(self._live)

    def close(self) -> None:
        """End the windows that are under way."""
        self._stop.set()
        for window in self._under_way:
            window.errand.join()

    def parts(self) -> dict[str, Part]:
        """The windows, which change now and then, and their age, which always does."""
        self._reread()
        for one in tuple(self._under_way):
            if (window := one.errand.outcome) is not None:
                self._under_way.remove(one)
                if isinstance(window, Exception):  # no folder, no process: this stream's alone
                    window = Window(None, 0.0, f"{type(window).__name__}")
                self._note(one.state, one.request, window, one.errand.ended_at)
        self._begin_one()
        now, states = time.monotonic(), self._states.values()
        rows = tuple((s.stream, s.seen, s.windows, s.reconnects) for s in states)
        ages = {s.stream.name: now - s.ended_at for s in states if s.ended_at is not None}
        whole = self._spent, self._problem
        return {"windows": Part(windows_part, (rows, *whole)), "age": Part(age_part, (rows, ages))}

    def _reread(self) -> None:
        """Take a changed list; one that could not be read is tried again at every look."""
        try:
            stamp = stamp_of(self._path.stat())
            if stamp is not None and stamp == self._stamp:
                return
            live, problem = read_live(self._path), None
        except (OSError, InputError) as exc:
            stamp, live, problem = None, self._live, str(exc)
            if problem != self._problem:
                logger().warning("live streams stay as they were", reason=problem)
        self._stamp, self._problem = stamp, problem
        if live != self._live:
            self._live = live
            self._budget.share = self._cpu or live.cpu
            self._take(live)

    def _take(self, live: Live) -> None:
        """Streams that are as before keep what is known of them."""
        former, now = self._states, time.monotonic()
        kept = {name: state for name, state in former.items() if state.stream in live.streams}
        self._states = {s.name: kept.get(s.name) or _State(s, now) for s in live.streams}

    def _begin_one(self) -> None:
        """The window that has been due for longest, if there is CPU for it."""
        now, busy = time.monotonic(), [window.state for window in self._under_way]
        due = [state for state in self._states.values() if state.due <= now and state not in busy]
        if not due or self._stop.is_set():
            return
        state = min(due, key=lambda one: one.due)
        if not self._budget.begin(state.cpu_seconds):
            return
        state.due = now + self._live.every_seconds
        request = Request(
            addresses=state.stream.addresses,
            window_seconds=self._live.window_seconds,
            ffmpeg=self._ffmpeg,
            lags=dict(state.lags),
            absent=frozenset(name for name, seen in state.seen.items() if not seen.up),
            search=state.misses,
            keyframe_seconds=state.keyframe_seconds,
            nice=self._nice,
        )
        errand = Errand("live-window", lambda: self._window(request))
        self._under_way.append(_UnderWay(state, request, errand))

    def _window(self, request: Request) -> Window:
        with tempfile.TemporaryDirectory(prefix="wattframe-live-") as folder:
            return self._run(request, Path(folder), self._stop.is_set)

    def _note(self, state: _State, request: Request, window: Window, ended_at: float) -> None:
        self._budget.end(state.cpu_seconds, window.cpu_seconds)
        self._spent += window.cpu_seconds
        state.ended_at, state.cpu_seconds = ended_at, window.cpu_seconds
        answer = window.answer
        if answer is None:
            failed = Seen(outcome="failed", reason=window.problem)
            state.seen = dict.fromkeys(request.addresses, failed)
        else:
            state.seen, state.keyframe_seconds = answer.seen, answer.keyframe_seconds
        state.windows = state.windows + Counter((name, seen.outcome) for name, seen in state.seen.items())
        state.reconnects = state.reconnects + Counter(
            {name: seen.reconnects for name, seen in state.seen.items()}
        )
        searched = [n for n in state.seen if n not in {REFERENCE, *request.lags, *request.absent}]
        lost = [n for n in searched if state.seen[n].outcome == "unaligned"]
        state.misses = state.misses + 1 if lost else 0
        # one that is elsewhere now, or gone, is looked for anew
        state.lags = {n: seen.lag_seconds for n, seen in state.seen.items() if seen.lag_seconds is not None}
        for name, seen in state.seen.items():
            self._tell(state.stream.name, name, seen)

    def _tell(self, stream: str, rendition: str, seen: Seen) -> None:
        """Log a trouble when it begins and when it has changed."""
        trouble = None if seen.outcome in ("scored", "checked") else seen.outcome
        if self._told.get((stream, rendition)) != trouble:
            self._told[stream, rendition] = trouble
            tell = logger().info if trouble is None else logger().warning
            tell("live window", stream=stream, rendition=rendition, outcome=seen.outcome, reason=seen.reason)


Row: TypeAlias = tuple[Stream, Mapping[str, Seen], Mapping[tuple[str, str], int], Mapping[str, int]]


def windows_part(rows: tuple[Row, ...], spent: float, problem: str | None) -> list[Metric]:
    """Every family but the age."""
    seen = [((stream.name, name), one) for stream, of_stream, _, _ in rows for name, one in of_stream.items()]
    families = [family([(labels, of(one)) for labels, one in seen]) for family, of in _PER_WINDOW]
    families.append(
        WINDOWS(
            [
                ((stream.name, name, outcome), windows.get((name, outcome), 0))
                for stream, _, windows, _ in rows
                for name in stream.addresses
                for outcome in OUTCOMES
            ]
        )
    )
    families.append(
        RECONNECTS(
            [
                ((stream.name, name), reconnects.get(name, 0))
                for stream, _, _, reconnects in rows
                for name in stream.addresses
            ]
        )
    )
    made_by = [((stream.name, stream.container or "", stream.group or ""), 1) for stream, *_ in rows]
    families += [MADE_BY(made_by), CPU.one(spent)]
    families.append(FILE_ERROR([((problem,), 1)] if problem else []))
    return families


def age_part(rows: tuple[Row, ...], ages: Mapping[str, float]) -> list[Metric]:
    """How old the windows are."""
    names = [(stream.name, name) for stream, seen, _, _ in rows for name in seen]
    return [AGE([((stream, name), ages.get(stream)) for stream, name in names])]
