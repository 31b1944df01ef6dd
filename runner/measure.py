"""One scenario from job to result: run it, measure it, say what became of it."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.energy.gpu import GpuMeter
from advisor.energy.meter import Meter
from advisor.results import Output, Scenario
from advisor.video.ffmpeg import Capabilities
from runner.command import commands, without_key
from runner.describe import encode_stats, outputs, scenario_record
from runner.jobs import Job
from runner.measurement import Measurement
from runner.process import EncodeGroup
from runner.source import Source
from runner.validity import MachineState, WindowConditions, read_machine_state, reasons

LEAST_PATIENCE_SECONDS = 300.0
"""How long ffmpeg may take to finish its files after it was asked to end: a VVC encoder on two busy cores has
taken more than a minute for the frames that it looked ahead."""
STALLED_SECONDS = 300.0
"""How long it may make no frame and use hardly any CPU time, as with a GPU or a server that hangs."""
_STALLED_CORES = 0.002


class Progress(Struct, frozen=True):
    """How far the running scenario is."""

    elapsed_seconds: float
    frames: int


class RunSettings(Struct, frozen=True, kw_only=True):
    """How a run goes, beside what it runs."""

    ffmpeg: Path
    capabilities: Capabilities
    interval_seconds: float = 0.5
    """Between power samples; a short window is sampled more often."""
    stabilization_seconds: float = 1.0
    """Idle time before each window, so that what went before has settled."""
    cooldown_seconds: float = 0.0
    """Idle time after each window."""
    keep_outputs: bool = False
    needs_outputs: bool = False
    """Whether something after the windows wants the encodes."""
    calibrated_idle_watts: float | None = None
    """Measured once for this kind of machine; a baseline of the run itself goes before it."""
    procfs: str = "/proc"
    sysfs: str = "/sys"


class Laboratory(Struct, frozen=True, kw_only=True):
    """What every scenario of a run shares."""

    settings: RunSettings
    meter: Meter
    folder: Path
    """Where encodes are written."""
    stopping: Callable[[], bool]
    """Whether the user asked for the end."""
    notice: Callable[[Progress], None]
    gpus: GpuMeter | None = None

    def state(self) -> MachineState:
        """The machine at this moment, and what the runner itself has used."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        state = read_machine_state(self.settings.procfs, self.settings.sysfs)
        return replace(state, runner_cpu_seconds=usage.ru_utime + usage.ru_stime)


def measure(job: Job, laboratory: Laboratory, source: Source | None, idle_watts: float | None) -> Scenario:
    """Run one job in its measuring window.

    The window opens before ffmpeg starts and closes after the last process has ended and was waited for, so
    that it holds all that the encode costs: start, look-ahead and the finished file.

    Raises
    ------
    FfmpegError
        The binary cannot be started at all.
    """
    settings = laboratory.settings
    planned = commands(job, ffmpeg=settings.ffmpeg, folder=laboratory.folder, source=source)
    interval_seconds = min(settings.interval_seconds, job.duration_seconds / 4)
    measurement = Measurement(laboratory.meter, interval_seconds, laboratory.gpus)
    before = laboratory.state()
    with EncodeGroup(planned) as group:
        measurement.open()
        group.start()
        end = _drive(group, measurement, job, laboratory, source, interval_seconds)
        encoder_cpu_seconds = group.cpu_seconds()
        measurement.close(encoder_cpu_seconds)
        results, error = group.results, end.error or group.failure
    after = laboratory.state()
    first, last = measurement.ends
    scenario = replace(
        scenario_record(job, planned, source),
        duration=measurement.seconds,
        start_time=first.unix_seconds,
        end_time=last.unix_seconds,
        cpu_seconds=encoder_cpu_seconds if job.streams else None,
    )
    if end.aborted:
        return replace(scenario, status="aborted", error="interrupted")
    if error is not None:
        return replace(scenario, status="failed", error=without_key(error, job))
    encoded = [list(outputs(job, c, r, source)) for c, r in zip(planned, results, strict=True)]
    if (shortfall := _shortfall(job, source, encoded, end)) is not None:
        return replace(scenario, status="failed", error=shortfall)
    host_cpu = measurement.host_cpu
    slowest_seconds = min((stream[0].duration or 0.0 for stream in encoded), default=None)
    return replace(
        scenario,
        outputs=[output for stream in encoded for output in stream],
        power=measurement.power(idle_watts, scenario.cpu_seconds),
        gpu_power=measurement.gpu_power(),
        samples=measurement.samples(),
        encode=encode_stats(results, encoded, measurement.seconds) if job.streams else None,
        validity=reasons(
            WindowConditions(
                window_seconds=measurement.seconds,
                wall_clock_seconds=last.unix_seconds - first.unix_seconds,
                samples=measurement.sample_count,
                longest_gap_seconds=measurement.longest_gap_seconds,
                interval_seconds=interval_seconds,
                energy_lost=measurement.energy_lost,
                host_busy_seconds=host_cpu.busy_seconds if host_cpu else None,
                host_total_seconds=host_cpu.total_seconds if host_cpu else None,
                encoder_cpu_seconds=encoder_cpu_seconds,
                before=before,
                after=after,
                realtime_seconds=slowest_seconds if job.realtime else None,
                dropped_frames=sum(result.dropped_frames for result in results),
                decode_errors=sum(result.decode_errors for result in results),
                stopped=any(result.stopped for result in results),
            )
        ),
    )


def _shortfall(job: Job, source: Source | None, encoded: Sequence[Sequence[Output]], end: _End) -> str | None:
    """Why there is less video than was asked for: the input cannot be read twice, or not to its end."""
    if job.media_seconds is None:
        is_endless = source is not None and source.loops
        return "ffmpeg ended by itself before the time was up" if is_endless and end.early else None
    if end.asked or not encoded:
        return None
    tolerance = max(0.1, 2 * max(source.steps, default=0.0) if source is not None else 0.0)
    seconds = min(output.duration or math.inf for stream in encoded for output in stream)
    if seconds >= job.media_seconds - tolerance:
        return None
    return f"the input has only {seconds:.2f} of {job.media_seconds:g} s of video"


class _End(Struct):
    """How a scenario ended."""

    asked: bool = False
    """Whether ffmpeg was asked to end."""
    early: bool = True
    """Whether one ended before it was asked to."""
    aborted: bool = False
    error: str | None = None


def _drive(
    group: EncodeGroup,
    measurement: Measurement,
    job: Job,
    laboratory: Laboratory,
    source: Source | None,
    interval_seconds: float,
) -> _End:
    """Sample, watch the clock and the user, until everything has ended."""
    end = _End()
    start = time.monotonic()
    frames, cpu_seconds, still_seconds = 0, 0.0, 0.0
    # live, a still picture of a screen may stand for long
    longest_step = max(source.steps, default=0.0) if source is not None else 0.0
    due = start + interval_seconds
    deadline = start + job.duration_seconds
    patience_seconds = max(LEAST_PATIENCE_SECONDS, 2 * min(job.duration_seconds, 3600.0))
    while group.running or (not job.streams and not end.asked):
        group.step(min(due, deadline) - time.monotonic())
        now = time.monotonic()
        if laboratory.stopping():
            end.aborted = True
        elif group.failure is not None:
            end.error = group.failure
        elif now >= deadline and end.asked:
            end.error = f"ffmpeg did not end within {patience_seconds:g} s of being asked to"
        if end.aborted or end.error:
            group.end()
            break
        if now >= deadline:
            group.ask_to_end()
            end.asked, end.early, deadline = True, bool(group.results), now + patience_seconds
        if now >= due:
            used = group.cpu_seconds()
            measurement.sample(used)
            # not by the clock: a machine or container that was paused goes on
            still_seconds += interval_seconds
            if group.frames != frames or used - cpu_seconds > _STALLED_CORES * STALLED_SECONDS:
                still_seconds, frames, cpu_seconds = 0.0, group.frames, used
            elif job.streams and still_seconds > STALLED_SECONDS + longest_step:
                end.error = f"ffmpeg made no frame and used no CPU time for {STALLED_SECONDS:g} s"
            due += interval_seconds * (1 + (now - due) // interval_seconds)
            laboratory.notice(Progress(now - start, group.frames))
    return end
