"""Compare two videos: probe both, let ffmpeg run once, and judge whether the frames belong together."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import MediaError
from advisor.quality import search
from advisor.quality.alignment import doubtful, shifted
from advisor.quality.graph import Plan, filter_graph, one_too_many, plan, seconds_compared
from advisor.quality.logs import Frame, Logs, read_logs
from advisor.quality.pooling import pool, psnr_cap_decibels
from advisor.quality.probe import Media, count_frames, probe
from advisor.quality.process import run_ffmpeg
from advisor.quality.settings import QualitySettings
from advisor.results import Psnr, Quality, Ssim
from advisor.video.ffmpeg import FILES_ONLY, file_url, find_ffmpeg

__all__ = ["Measurement", "measure"]

FrameProgress = Callable[[int, int], None]
"""Called with the frames compared so far and the frames to compare."""


class Measurement(Struct, frozen=True):
    """A `Quality` and the frames behind it."""

    quality: Quality
    frames: tuple[Frame, ...]


def measure(
    reference: Path | str,
    distorted: Path | str,
    settings: QualitySettings | None = None,
    *,
    ffmpeg: str | None = None,
    threads: int | None = None,
    nice: int = 0,
    progress: FrameProgress | None = None,
) -> Measurement:
    """Compare ``distorted`` with ``reference``.

    Depends on its arguments alone. An exception from ``progress``, or Ctrl-C, ends ffmpeg too.

    Raises
    ------
    MediaError
        One of the files cannot be read or decoded, or the two cannot be compared at all.
    FfmpegError
        ffmpeg is missing, crashed or was killed.
    """
    begun = time.monotonic()
    settings = settings or QualitySettings()
    program = find_ffmpeg(ffmpeg)
    with ThreadPoolExecutor(2) as both:
        source, encode = both.map(probe, (reference, distorted))
    decided = plan(source, encode, settings)
    graph = filter_graph(decided, threads=threads or len(os.sched_getaffinity(0)))
    inputs = [str(program), *_inputs(source, encode, settings)]
    with tempfile.TemporaryDirectory(prefix="wattframe-quality-") as name:
        folder = Path(name)
        run = partial(
            run_ffmpeg,
            folder=folder,
            nice=nice,
            inputs=(encode.path, source.path),
            progress=None if progress is None else lambda done: progress(done, encode.frames),
        )
        said = run([*inputs, "-filter_complex", graph, "-map", "[out]", "-f", "null", "-"])
        logs = read_logs(folder, said, decided)
        reason = _miscounted(source, encode, settings, len(logs.frames)) or shifted(decided, logs.probe)
        elsewhere = None if reason else doubtful(decided, logs.probe)
        if elsewhere is not None:
            run([*inputs, *search.arguments(decided, elsewhere)])
            reason = search.displaced(folder, decided, elsewhere)
    quality = _quality(source, encode, settings, decided, logs, reason)
    return Measurement(replace(quality, computation_seconds=time.monotonic() - begun), logs.frames)


def _inputs(source: Media, encode: Media, settings: QualitySettings) -> list[str]:
    start = ["-ss", f"{settings.reference_start:.6f}"] if settings.reference_start else []
    loops = ["-stream_loop", str(settings.reference_loops)] if settings.reference_loops else []
    return [
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-progress", "pipe:1"),
        # a picture that the decoder had to guess is no picture of this encode
        "-xerror",
        *(*FILES_ONLY, "-i", file_url(encode.path)),
        *(*FILES_ONLY, *start, *loops, "-i", file_url(source.path)),
    ]


def _quality(
    source: Media, encode: Media, settings: QualitySettings, decided: Plan, logs: Logs, reason: str | None
) -> Quality:
    quality = Quality(
        aligned=reason is None,
        reason=reason,
        frames=len(logs.frames),
        comparison_height_pixels=decided.height,
        libvmaf_version=logs.libvmaf_version,
        reference=source.path,
        distorted=encode.path,
    )
    return (
        quality
        if reason
        else _scored(quality, decided, logs, _notes(source, encode, settings, decided, logs))
    )


def _miscounted(source: Media, encode: Media, settings: QualitySettings, compared: int) -> str | None:
    """Why the number of compared frames is wrong, None when each frame of the output was compared."""
    if not compared:
        raise MediaError("has no frame in common with the reference", subject=encode.path)
    if compared == encode.frames - one_too_many(source, encode, settings):
        return None
    # where two fields are two packets only decoding tells
    frames = count_frames(encode.path)
    if compared == frames:
        return None
    there = seconds_compared(source, encode, settings)
    if compared < frames and there < encode.seconds:
        return f"the reference ends before the output: {there:.2f} against {encode.seconds:.2f} s"
    return f"{compared} frames were compared, the output has {frames}"


def _scored(quality: Quality, decided: Plan, logs: Logs, notes: list[str]) -> Quality:
    cap = psnr_cap_decibels(decided.depth)
    psnr, ssim = logs.averages["psnr"], logs.averages["ssim"]
    pooled = [pool(scores, model) for scores, model in zip(logs.vmaf, decided.models, strict=True)]
    return replace(
        quality,
        vmaf=pooled[0],
        vmaf_extra={score.model: score for score in pooled[1:] if score.model},
        psnr_decibels=Psnr(average=min(psnr["average"], cap), y=min(psnr["y"], cap)),
        lossless=psnr["average"] == math.inf,
        ssim_ratio=Ssim(all=ssim["All"], y=ssim["Y"]),
        xpsnr_decibels=min(logs.averages["xpsnr"]["y"], cap) if decided.xpsnr else None,
        notes=notes,
    )


def _notes(source: Media, encode: Media, settings: QualitySettings, decided: Plan, logs: Logs) -> list[str]:
    """What does not make a score wrong and yet should be known."""
    compared = len(logs.frames)
    notes = [f"ffmpeg said: {line}" for line in logs.complaints[:1]]
    rate = encode.rate if encode.rate and source.rate and encode.rate < source.rate else source.rate
    expected = round(seconds_compared(source, encode, settings) * float(rate or 0))
    if rate and expected - compared > 1:
        notes.append(
            f"{expected - compared} of {expected} frames of the reference have no frame in the output"
        )
    whole = not settings.reference_loops and not settings.reference_start
    left = source.seconds - seconds_compared(source, encode, settings)
    if whole and decided.pairing != "index" and left > 0.1:
        notes.append(f"the output ends {left:.2f} s before the reference")
    if one_too_many(source, encode, settings):
        notes.append("the output has one frame more than the reference; it was left out")
    if encode.width * encode.height > source.width * source.height:
        notes.append("the reference is smaller than the output: are they the wrong way round?")
    if abs(source.display_aspect / encode.display_aspect - 1) > 0.03:
        shapes = f"{source.display_aspect:.3f} and {encode.display_aspect:.3f}"
        notes.append(f"display aspects differ ({shapes}): whole frames were compared")
    return notes
