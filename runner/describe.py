"""What a scenario's result says beside its power: settings, outputs, speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from advisor.results import EncodeStats, InputMedia, Output, Scenario
from advisor.results.derived import parse_resolution
from runner.command import Command, Target
from runner.ffmpeg_log import ProcessResult
from runner.jobs import Job, Rung
from runner.measurement import Measurement

__all__ = ["encode_stats", "outputs", "scenario_record"]


def scenario_record(
    job: Job, planned: Sequence[Command], source: InputMedia | None, measurement: Measurement
) -> Scenario:
    """Everything that was known before the encode, and when it ran."""
    common = Scenario(
        name=job.name,
        type=job.type,
        repeat=job.repeat,
        duration=measurement.seconds,
        start_time=measurement.start_unix,
        end_time=measurement.end_unix,
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


def outputs(job: Job, command: Command, result: ProcessResult, source: InputMedia | None) -> Iterator[Output]:
    """The renditions of one process that ended well."""
    for index, target in enumerate(command.targets):
        frames = result.output_frames.get(index, result.frames if index == 0 else None)
        yield Output(
            resolution=_resolution(target.rung, source),
            fps=job.fps or (source.fps if source else None),
            bitrate=target.rung.bitrate,
            path=None if target.path is None else str(target.path),
            size_bytes=_size(target, result.output_bytes.get(index)),
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


def encode_stats(
    results: Sequence[ProcessResult], made: Sequence[Sequence[Output]], window_seconds: float
) -> EncodeStats:
    """ffmpeg's own counts over all streams; speed is the mean of the streams'."""
    frames = sum(r.frames or 0 for r in results)
    seconds = [stream[0].duration for stream in made if stream[0].duration is not None]
    return EncodeStats(
        fps=frames / window_seconds,
        speed=sum(seconds) / len(seconds) / window_seconds if seconds else None,
        frames=frames,
        dropped_frames=sum(r.dropped_frames or 0 for r in results),
        duplicated_frames=sum(r.duplicated_frames or 0 for r in results),
    )
