"""One scenario from job to result: run it, measure it, say what became of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.results import EncodeStats, InputMedia, Output, Scenario
from advisor.scenario import parse_resolution
from runner.command import Command, Target, commands
from runner.plan import Job, Rung
from runner.process import EncodeGroup, Ended
from runner.validity import Observed, read_conditions, reasons
from runner.window import EnergyMeter, GpuReader, Window

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
    before, own = read_conditions(bench.procfs, bench.sysfs), _own_cpu_seconds()
    with EncodeGroup(planned) as group:
        window.open()
        group.start()
        state = _drive(group, window, job, bench)
        window.close(group.cpu_seconds())
        ended, error = group.ended, state.error or group.failure
    own = _own_cpu_seconds() - own
    after = read_conditions(bench.procfs, bench.sysfs)
    described = _described(job, planned, source, window)
    cpu_seconds = sum(e.cpu_seconds for e in ended) if job.streams else None
    if state.aborted:
        return replace(described, status="aborted", error="interrupted", cpu_seconds=cpu_seconds)
    if error is not None:
        return replace(described, status="failed", error=error, cpu_seconds=cpu_seconds)
    outputs = [list(_outputs(job, c, e, source)) for c, e in zip(planned, ended, strict=True)]
    observed = Observed(
        window_seconds=window.seconds,
        wall_clock_seconds=window.end_unix - window.start_unix,
        samples=window.sample_count,
        longest_gap_seconds=window.longest_gap_seconds,
        interval_seconds=bench.interval_seconds,
        energy_lost=window.energy_lost,
        host_busy_seconds=window.host_busy_seconds,
        host_total_seconds=window.host_total_seconds,
        own_seconds=own + (cpu_seconds or 0.0),
        before=before,
        after=after,
        realtime_seconds=min((o[0].duration or 0.0 for o in outputs), default=None) if job.realtime else None,
        dropped_frames=sum(e.dropped_frames or 0 for e in ended),
        decode_errors=sum(e.decode_errors for e in ended),
    )
    return replace(
        described,
        cpu_seconds=cpu_seconds,
        outputs=[output for stream in outputs for output in stream],
        power=window.power(idle_watts, cpu_seconds),
        gpu_power=window.gpu_power(),
        samples=window.samples(),
        encode=_encode_stats(ended, outputs, window.seconds) if job.streams else None,
        validity=reasons(observed),
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


def _described(job: Job, planned: Sequence[Command], source: InputMedia | None, window: Window) -> Scenario:
    """Everything that was known before the encode, and when it ran."""
    common = Scenario(
        name=job.name,
        type=job.type,
        repeat=job.repeat,
        duration=window.seconds,
        start_time=window.start_unix,
        end_time=window.end_unix,
    )
    if not job.streams:
        return replace(common, streams=0)
    rungs = [rung for stream in job.streams for rung in stream]
    qualities = {rung.crf for rung in rungs}
    return replace(
        common,
        bitrate=_asked_bitrate(job),
        crf=qualities.pop() if len(qualities) == 1 else None,
        resolution=max((_resolution(rung, source) for rung in rungs), key=_pixels),
        fps=job.fps or (source.fps if source else None),
        encoder=job.encoder,
        encoder_type=job.table.kind,
        preset=job.preset,
        threads=job.threads,
        streams=len(job.streams),
        viewers=job.viewers,
        input=source,
        command=list(planned[0].arguments),
    )


def _asked_bitrate(job: Job) -> str | None:
    """The bitrates of one stream's rungs; of all streams where they differ."""
    streams = job.streams if len(set(job.streams)) > 1 else job.streams[:1]
    asked = [rung.bitrate for stream in streams for rung in stream if rung.bitrate is not None]
    return ",".join(asked) or None


def _resolution(rung: Rung, source: InputMedia | None) -> str | None:
    if rung.resolution is not None or source is None or source.width is None:
        return rung.resolution
    return f"{source.width}x{source.height}"


def _pixels(resolution: str | None) -> int:
    size = parse_resolution(resolution)
    return size[0] * size[1] if size else 0


def _outputs(job: Job, command: Command, ended: Ended, source: InputMedia | None) -> Iterator[Output]:
    for index, target in enumerate(command.targets):
        frames = ended.output_frames.get(index, ended.frames if index == 0 else None)
        yield Output(
            resolution=_resolution(target.rung, source),
            fps=job.fps or (source.fps if source else None),
            bitrate=target.rung.bitrate,
            path=None if target.path is None else str(target.path),
            size_bytes=_size(target, ended.output_bytes.get(index)),
            frames=frames,
            duration=_seconds_of(frames, job, source),
        )


def _size(target: Target, muxed_bytes: int | None) -> int | None:
    """The file's size; what went to null or to a server counts the video alone."""
    try:
        return muxed_bytes if target.path is None else target.path.stat().st_size
    except OSError:
        return muxed_bytes


def _seconds_of(frames: int | None, job: Job, source: InputMedia | None) -> float | None:
    """Seconds of video in so many frames: by the rate asked for, else by the input's own mean rate."""
    if frames is None:
        return None
    if job.fps is not None:
        return frames / job.fps
    if source is not None and source.frames and source.duration:
        return frames * source.duration / source.frames
    return frames / source.fps if source is not None and source.fps else None


def _encode_stats(
    ended: Sequence[Ended], outputs: Sequence[Sequence[Output]], window_seconds: float
) -> EncodeStats:
    """ffmpeg's own counts over all streams; speed is the mean of the streams'."""
    frames = sum(e.frames or 0 for e in ended)
    seconds = [stream[0].duration for stream in outputs if stream[0].duration is not None]
    return EncodeStats(
        fps=frames / window_seconds,
        speed=sum(seconds) / len(seconds) / window_seconds if seconds else None,
        frames=frames,
        dropped_frames=sum(e.dropped_frames or 0 for e in ended),
        duplicated_frames=sum(e.duplicated_frames or 0 for e in ended),
    )
