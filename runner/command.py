"""From a job to ffmpeg's argument lists.

Only video is encoded. The input is looped without end and the encode is bounded from outside (see
`runner.process`) or by ``-t``; ``-fps_mode vfr`` keeps every frame as it comes and drops one only when two
share an instant, so an output's frames are the first frames of the looped input, one to one.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from advisor.video.ffmpeg import file_url
from runner.jobs import LAVFI, Job, Rung

__all__ = ["Command", "Target", "commands", "input_arguments", "slug"]


class Target(Struct, frozen=True, kw_only=True):
    """Where one rendition goes."""

    rung: Rung
    url: str
    path: Path | None
    """The file, None for null and RTMP sinks."""


class Command(Struct, frozen=True):
    """One ffmpeg process."""

    arguments: tuple[str, ...]
    targets: tuple[Target, ...]


def commands(job: Job, *, ffmpeg: Path, folder: Path) -> list[Command]:
    """One command per concurrent stream; files go to ``folder``, named by scenario, repeat, stream, rung."""
    return [_command(job, ffmpeg, folder, index) for index in range(len(job.streams))]


def _command(job: Job, ffmpeg: Path, folder: Path, stream: int) -> Command:
    targets = tuple(_target(job, folder, stream, index) for index in range(len(job.streams[stream])))
    arguments = [str(ffmpeg), *_global_arguments(job), *input_arguments(job)]
    arguments += ["-filter_complex", _graph(job, targets)]
    for index, target in enumerate(targets):
        arguments += ["-map", f"[o{index}]", *_output_arguments(job, target)]
    return Command(tuple(arguments), targets)


def _global_arguments(job: Job) -> list[str]:
    # the level in each line tells errors from the rest; verbose brings the frames of every output
    arguments = ["-hide_banner", "-nostats", "-loglevel", "level+verbose", "-progress", "pipe:1", "-y"]
    # a second bound, in CPU seconds, should nobody be left to end an endless input
    limit = math.ceil(60 + 4 * (os.cpu_count() or 1) * max(job.duration_seconds, job.media_seconds or 0))
    return [*arguments, "-timelimit", str(limit), *job.table.device]


def input_arguments(job: Job) -> list[str]:
    """The input of a job, without end where it is a file."""
    source = job.input or ""
    pace = ["-re"] if job.realtime else []
    if source.startswith(LAVFI):
        return [*pace, "-f", "lavfi", "-i", source.removeprefix(LAVFI)]
    return [*pace, "-stream_loop", "-1", "-i", file_url(source)]


def _graph(job: Job, targets: Sequence[Target]) -> str:
    """One decode; a change of frame rate before the split, sizes and uploads after it."""
    rate = [f"fps={job.fps:.10g}"] if job.fps is not None else []
    chains = [_chain(job, target.rung) for target in targets]
    if len(chains) == 1:
        return f"[0:V:0]{','.join([*rate, *chains[0]]) or 'null'}[o0]"
    split = ",".join([*rate, f"split={len(chains)}"])
    heads = "".join(f"[s{index}]" for index in range(len(chains)))
    tails = [f"[s{index}]{','.join(chain) or 'null'}[o{index}]" for index, chain in enumerate(chains)]
    return ";".join([f"[0:V:0]{split}{heads}", *tails])


def _chain(job: Job, rung: Rung) -> list[str]:
    chain = []
    if rung.resolution is not None:
        width, height = rung.resolution.split("x")
        # bicubic by name, since the quality measurement undoes it with the same
        chain.append(f"scale=w={width}:h={height}:flags=bicubic")
    if job.table.upload is not None:
        chain.append(job.table.upload)
    return chain


def _output_arguments(job: Job, target: Target) -> list[str]:
    encoder = job.table
    arguments = ["-c:v", encoder.name, *_filled(encoder.preset, job.preset or "")]
    arguments += encoder.live if job.realtime else encoder.offline
    arguments += encoder.fixed
    if target.rung.bitrate is not None:
        arguments += _filled(encoder.bitrate, target.rung.bitrate)
    if target.rung.crf is not None:
        arguments += _filled(encoder.constant_quality, f"{target.rung.crf:g}")
    if job.threads is not None:
        arguments += _filled(encoder.threads, str(job.threads))
    arguments += ["-fps_mode:v", "vfr"]
    if job.media_seconds is not None:
        arguments += ["-t", f"{job.media_seconds:.10g}"]
    if job.sink == "rtmp":
        # a server that stops answering is a failure after this many microseconds, not a wait without end
        arguments += ["-rw_timeout", "10000000"]
    return [*arguments, "-f", {"file": "mp4", "null": "null", "rtmp": "flv"}[job.sink], target.url]


def _filled(template: Sequence[str], value: str) -> list[str]:
    return [part.replace("{}", value) for part in template]


def _target(job: Job, folder: Path, stream: int, index: int) -> Target:
    rung = job.streams[stream][index]
    several = len(job.streams) > 1, len(job.streams[stream]) > 1
    suffix = (f"_s{stream + 1}" if several[0] else "") + (f"_r{index + 1}" if several[1] else "")
    if job.sink == "file":
        path = folder / f"{slug(job.name)}_{job.repeat}{suffix}.mp4"
        return Target(rung=rung, url=file_url(path), path=path)
    return Target(rung=rung, url="-" if job.sink == "null" else f"{job.rtmp}{suffix}", path=None)


def slug(name: str) -> str:
    """A file name for a scenario: letters, digits, dots, dashes, and a checksum if that loses something.

    >>> slug("x264-720p"), slug("x264: 720p")
    ('x264-720p', 'x264-720p-b82d2313')
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c == ".") else "-" for c in name)
    short = "-".join(part for part in plain.split("-") if part)[:80]
    return short if short == name and not name.startswith(".") else f"{short}-{zlib.crc32(name.encode()):08x}"
