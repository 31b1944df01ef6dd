"""What a scenario's result says beside its power: settings, outputs, speed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.results import EncodeStats, Output, Scenario
from advisor.results.derived import parse_resolution
from advisor.results.records import Asked
from advisor.video.ffmpeg import file_url
from runner.command import Command, Target, without_key
from runner.ffmpeg_log import FfmpegLog
from runner.jobs import Job, Rung
from runner.source import Source


def scenario_record(job: Job, planned: Sequence[Command], source: Source | None) -> Scenario:
    """Everything that is known before the encode."""

    def pixels(resolution: str | None) -> int:
        return math.prod(parse_resolution(resolution) or (0,))

    return Scenario(
        **{name: getattr(job, name) for name in Asked.__struct_fields__},
        resolution=max((_resolution(rung, source) for rung in job.rungs), key=pixels, default=None),
        fps=_rate(job, source),
        streams=len(job.streams),
        input=None if source is None else source.media,
        command=[without_key(text, job) for text in planned[0].arguments] if planned else None,
        content=None if source is None else source.content,
    )


def failed_scenario(job: Job, error: str, source: Source | None = None) -> Scenario:
    """The record of a job that could not even be begun."""
    return replace(scenario_record(job, (), source), status="failed", error=error, start_time=time.time())


def _rate(job: Job, source: Source | None) -> float | None:
    if job.fps is not None:
        return float(job.fps)
    return None if source is None else source.media.fps


def _resolution(rung: Rung, source: Source | None) -> str | None:
    if rung.resolution is not None or source is None or source.media.width is None:
        return rung.resolution
    return f"{source.media.width}x{source.media.height}"


def outputs(job: Job, command: Command, result: FfmpegLog, source: Source | None) -> Iterator[Output]:
    """The renditions of one process that ended well."""
    for index, target in enumerate(command.targets):
        frames = result.output_frames.get(index, result.frames if index == 0 else None)
        written, lasts = _written(target.path)
        seconds = lasts if written and frames and not job.fps else _seconds(job, frames, result, source)
        size = None if target.rung.resolution or not job.filters else written
        rate = frames / seconds if job.filters and not job.fps and frames and seconds else _rate(job, source)
        yield Output(
            resolution=size or _resolution(target.rung, source),
            fps=rate,
            bitrate=target.rung.bitrate,
            path=None if target.path is None else str(target.path),
            size_bytes=_size(target, result.output_bytes.get(index)),
            frames=frames,
            duration=seconds,
        )


def _written(path: Path | None) -> tuple[str | None, float | None]:
    """Size and seconds of the video in a file, as far as it tells them."""
    if path is None:
        return None, None
    import av

    try:
        with av.open(file_url(path)) as container:
            stream = container.streams.video[0]
            ticks, base = stream.duration, stream.time_base
            seconds = float(ticks * base) if ticks is not None and base is not None else None
            return f"{stream.width}x{stream.height}", seconds
    except (av.FFmpegError, OSError, IndexError):
        return None, None


def _seconds(job: Job, frames: int | None, result: FfmpegLog, source: Source | None) -> float | None:
    """Seconds of video where no file says them: as its frames last in the input, else as ffmpeg says."""
    if frames is None:
        return None
    if job.fps is not None:
        return float(frames / job.fps)
    return result.seconds if job.filters or source is None else source.seconds_of(frames)


def _size(target: Target, muxed_bytes: int | None) -> int | None:
    """The file's size; what went to null or to a server counts the video alone."""
    try:
        return muxed_bytes if target.path is None else target.path.stat().st_size
    except OSError:
        return muxed_bytes


def encode_stats(
    results: Sequence[FfmpegLog], encoded: Sequence[Sequence[Output]], window_seconds: float
) -> EncodeStats:
    """ffmpeg's own counts over all streams; speed is the mean of the streams'."""
    frames = sum(r.frames or 0 for r in results)
    seconds = [stream[0].duration for stream in encoded if stream[0].duration is not None]
    return EncodeStats(
        fps=frames / window_seconds,
        speed=sum(seconds) / len(seconds) / window_seconds if seconds else None,
        frames=frames,
        dropped_frames=sum(r.dropped_frames for r in results),
        duplicated_frames=sum(r.duplicated_frames for r in results),
    )
