"""What one pass of ffmpeg wrote of one output: scores per frame."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.errors import FfmpegError
from advisor.quality.graph import Plan
from advisor.quality.settings import METRICS

_ERROR = re.compile(r"^((?:\[[^\]]+\] )*)\[error\] (.+)", re.MULTILINE)
_OF_AN_INPUT = re.compile(r"\[(in#\d|vist#|dec:|[a-z0-9_]+ @ )")
_OF_AN_OUTPUT = re.compile(r"\[(out#|vost#|vf#|enc:|null @ |rawvideo @ )")
_NEW_SIZE = re.compile(
    r"input from stream (\d+):\d+ .*filter context - w: (\d+) h: (\d+) .*incoming frame - w: (\d+) h: (\d+)"
)

_FIELDS = re.compile(r"^\[idet@(\w+) @.* Multi .* TFF: *(\d+) BFF: *(\d+) Progressive: *(\d+)", re.MULTILINE)
_LEAST_FRAMES, _MOST_OF = 10, 0.9
"""So many frames and such a share of those that tell anything make an interlaced video."""


class Logs(Struct, frozen=True):
    """Everything that one pass wrote of one output; every list has one value a compared frame."""

    vmaf: tuple[tuple[float | None, ...], ...]
    """Per model of the plan; None for a frame that was left out by subsampling."""
    psnr_y_decibels: tuple[float, ...]
    psnr_decibels: tuple[float, ...]
    ssim_y_ratio: tuple[float, ...]
    ssim_ratio: tuple[float, ...]
    xpsnr_y_decibels: tuple[float, ...]
    """Empty where it was not asked for."""
    features: dict[str, tuple[float | None, ...]]
    """By name in `METRICS`."""
    libvmaf_version: str | None


class _VmafFrame(Struct):
    frameNum: int  # noqa: N815 -- libvmaf's name
    metrics: dict[str, float]


class _VmafLog(Struct):
    version: str
    frames: list[_VmafFrame]


def read_logs(folder: Path, messages: str, n: int, plan: Plan) -> Logs:
    """Read the files of the n-th comparison of `graph.filter_graph`, and ffmpeg's stderr.

    Raises
    ------
    FfmpegError
        A log is missing or broken, for instance because the disk is full.
    """
    try:
        text = (folder / f"scores{n}.txt").read_text()
        psnr_y, ssim_y = _per_frame(text, "psnr.psnr.y"), _per_frame(text, "ssim.Y")
        psnr = psnr_y if plan.luma_only else _per_frame(text, "psnr.psnr_avg")
        ssim = ssim_y if plan.luma_only else _per_frame(text, "ssim.All")
        xpsnr = _per_frame(text, "xpsnr.xpsnr.y")
        log = _VmafLog("", [])
        if plan.models or plan.features:
            log = msgspec.json.decode((folder / f"vmaf{n}.json").read_bytes(), type=_VmafLog)
        frames = len(psnr)
        logs = Logs(
            vmaf=tuple(_of_libvmaf(log, f"m{index}", frames) for index in range(len(plan.models))),
            psnr_y_decibels=psnr_y,
            psnr_decibels=psnr,
            ssim_y_ratio=ssim_y,
            ssim_ratio=ssim,
            xpsnr_y_decibels=xpsnr,
            features={name: _of_libvmaf(log, METRICS[name], frames) for name in plan.features},
            libvmaf_version=log.version or None,
        )
    except (OSError, msgspec.DecodeError, KeyError, ValueError) as exc:
        raise FfmpegError(f"ffmpeg succeeded, but its logs are incomplete: {exc}") from exc
    lists = (psnr_y, ssim_y, ssim, *([xpsnr] if plan.xpsnr else []))
    if not frames or any(len(values) != frames for values in lists):
        raise FfmpegError("ffmpeg succeeded, but its logs are incomplete: scores of frames are missing")
    if any(math.isnan(value) for values in (psnr, *lists) for value in values):
        raise FfmpegError("ffmpeg gave no number for a score")
    return logs


def _of_libvmaf(log: _VmafLog, name: str, frames: int) -> tuple[float | None, ...]:
    values = {frame.frameNum: frame.metrics[name] for frame in log.frames if name in frame.metrics}
    if not values:
        raise KeyError(name)
    return tuple(values.get(number) for number in range(frames))


def _per_frame(text: str, key: str) -> tuple[float, ...]:
    return tuple(float(value) for value in re.findall(rf"^lavfi\.{re.escape(key)}=(\S+)", text, re.MULTILINE))


def complaints(messages: str) -> tuple[str, ...]:
    """Errors of demuxers and decoders that did not end the work: a slice that was repaired, for instance."""
    return tuple(
        line
        for where, line in _ERROR.findall(messages)
        if _OF_AN_INPUT.search(where) and not _OF_AN_OUTPUT.search(where)
    )


def combed(messages: str) -> set[str]:
    """Names of the tracks whose pictures are of two fields, whatever the files say."""
    counts = ((name, int(tff) + int(bff), int(whole)) for name, tff, bff, whole in _FIELDS.findall(messages))
    return {name for name, two, one in counts if two >= _LEAST_FRAMES and two >= _MOST_OF * (two + one)}


def size_changes(messages: str) -> dict[int, str]:
    """By number of the input, the size that its pictures have from some moment on."""
    changes = _NEW_SIZE.findall(messages)
    return {int(i): f"{new_w}x{new_h}" for i, w, h, new_w, new_h in changes if (w, h) != (new_w, new_h)}
