"""One scenario from job to result: run it, measure it, say what became of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.results import InputMedia, Output, Scenario
from runner.command import commands
from runner.describe import described, encode_stats, outputs
from runner.plan import Job
from runner.process import EncodeGroup
from runner.validity import Conditions, Observed, read_conditions, reasons
from runner.window import EnergyMeter, GpuReader, Window
from runner.words import Ended

__all__ = ["Bench", "Progress", "measure"]

FEWEST_PATIENCE_SECONDS = 60.0
"""How long ffmpeg may take to finish its files after it was asked to end."""


class Progress(Struct, frozen=True):
    """How far the running scenario is."""

    elapsed_seconds: float
    frames: int


class Bench(Struct, frozen=True, kw_only=True):
    """What every scenario of a run shares."""

    meter: EnergyMeter
    ffmpeg: Path
    folder: Path
    """Where encodes are written."""
    interval_seconds: float
    """Between power samples."""
    stopping: Callable[[], bool]
    """Whether the user asked for the end."""
    notice: Callable[[Progress], None]
    gpus: GpuReader | None = None
    procfs: str = "/proc"
    sysfs: str = "/sys"


def measure(job: Job, bench: Bench, source: InputMedia | None, idle_watts: float | None) -> Scenario:
    """Run one job in its measuring window.

    The window opens before ffmpeg starts and closes after the last process has ended and was waited for, so
    that it holds all that the encode costs: start, look-ahead and the finished file.

    Raises
    ------
    FfmpegError
        The binary cannot be started at all.
    """
    planned = commands(job, ffmpeg=bench.ffmpeg, folder=bench.folder) if job.streams else []
    window = Window(bench.meter, bench.interval_seconds, bench.gpus)
    before = _Around(read_conditions(bench.procfs, bench.sysfs), _own_cpu_seconds())
    with EncodeGroup(planned) as group:
        window.open()
        group.start()
        state = _drive(group, window, job, bench)
        window.close(group.cpu_seconds())
        ended, error = group.ended, state.error or group.failure
    after = _Around(read_conditions(bench.procfs, bench.sysfs), _own_cpu_seconds())
    cpu_seconds = sum(e.cpu_seconds for e in ended) if job.streams else None
    scenario = replace(described(job, planned, source, window), cpu_seconds=cpu_seconds)
    if state.aborted:
        return replace(scenario, status="aborted", error="interrupted")
    if error is not None:
        return replace(scenario, status="failed", error=error)
    made = [list(outputs(job, c, e, source)) for c, e in zip(planned, ended, strict=True)]
    return replace(
        scenario,
        outputs=[output for stream in made for output in stream],
        power=window.power(idle_watts, cpu_seconds),
        gpu_power=window.gpu_power(),
        samples=window.samples(),
        encode=encode_stats(ended, made, window.seconds) if job.streams else None,
        validity=reasons(_observed(job, window, ended, made, before, after, bench.interval_seconds)),
    )


class _Around(Struct, frozen=True):
    """The machine before and after a window."""

    conditions: Conditions
    own_cpu_seconds: float


def _observed(
    job: Job,
    window: Window,
    ended: Sequence[Ended],
    made: Sequence[Sequence[Output]],
    before: _Around,
    after: _Around,
    interval_seconds: float,
) -> Observed:
    own = after.own_cpu_seconds - before.own_cpu_seconds
    slowest = min((stream[0].duration or 0.0 for stream in made), default=None)
    return Observed(
        window_seconds=window.seconds,
        wall_clock_seconds=window.end_unix - window.start_unix,
        samples=window.sample_count,
        longest_gap_seconds=window.longest_gap_seconds,
        interval_seconds=interval_seconds,
        energy_lost=window.energy_lost,
        host_busy_seconds=window.host_busy_seconds,
        host_total_seconds=window.host_total_seconds,
        own_seconds=own + sum(e.cpu_seconds for e in ended),
        before=before.conditions,
        after=after.conditions,
        realtime_seconds=slowest if job.realtime else None,
        dropped_frames=sum(e.dropped_frames or 0 for e in ended),
        decode_errors=sum(e.decode_errors for e in ended),
    )


class _State(Struct):
    aborted: bool = False
    error: str | None = None


def _drive(group: EncodeGroup, window: Window, job: Job, bench: Bench) -> _State:
    """Sample, watch the clock and the user, until everything has ended."""
    state = _State()
    start = time.monotonic()
    due = start + bench.interval_seconds
    deadline = start + job.duration_seconds
    asked = False
    while group.running or (not job.streams and not asked):
        group.step(min(due, deadline) - time.monotonic())
        now = time.monotonic()
        if bench.stopping():
            state.aborted = True
        elif group.failed:
            state.error = group.failure
        elif now >= deadline and asked:
            state.error = f"ffmpeg did not end within {_patience(job):g} s of being asked to"
        if state.aborted or state.error:
            group.end()
            break
        if now >= deadline:
            group.ask_to_end()
            asked, deadline = True, now + _patience(job)
        if now >= due:
            window.sample(group.cpu_seconds())
            due += bench.interval_seconds * (1 + (now - due) // bench.interval_seconds)
            bench.notice(Progress(now - start, group.frames))
    return state


def _patience(job: Job) -> float:
    return max(FEWEST_PATIENCE_SECONDS, 2 * min(job.duration_seconds, 3600.0))


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
