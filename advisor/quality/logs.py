"""What one pass of ffmpeg wrote: scores per frame, averages, and the probe's errors."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.errors import FfmpegError
from advisor.quality.graph import Plan, probe_names

__all__ = ["Frame", "Logs", "read_logs"]

_SUMMARY = re.compile(
    r"^\[(psnr|ssim|xpsnr)@main @ [^\]]*\] (?:\[\w+\] )?(?:PSNR|SSIM|XPSNR)\b(.*)", re.MULTILINE
)
_ERROR = re.compile(r"^(?:\[[^\]]+\] )*\[error\] (.+)", re.MULTILINE)
_PAIR = re.compile(r"(\w+): *(inf|nan|-?[0-9.]+)")


class Frame(Struct, frozen=True):
    """One compared frame, numbered from 0. PSNR is infinite for an identical frame; None is not scored."""

    number: int
    vmaf: float | None
    psnr_y_decibels: float
    ssim_y_ratio: float


class Logs(Struct, frozen=True):
    """Everything that one pass wrote."""

    frames: tuple[Frame, ...]
    vmaf: tuple[tuple[float, ...], ...]
    """Per model of the plan, the scores of the frames that were scored."""
    libvmaf_version: str
    averages: dict[str, dict[str, float]]
    """What the filters say at their end, by filter and plane: ``averages["psnr"]["y"]``."""
    complaints: tuple[str, ...]
    """Errors that did not end the work, for instance a slice that the decoder repaired."""
    probe: tuple[dict[str, tuple[float, ...]], ...]
    """By window of the plan, mean squared errors of the frames by pairing: ``now``, ``early``, ``late`` and,
    where the rate was changed, ``paired``."""


class _VmafFrame(Struct):
    frameNum: int  # noqa: N815 -- libvmaf's name
    metrics: dict[str, float]


class _VmafLog(Struct):
    version: str
    frames: list[_VmafFrame]


def read_logs(folder: Path, said: str, plan: Plan) -> Logs:
    """Read the files of `graph.filter_graph` and ffmpeg's stderr.

    Raises
    ------
    FfmpegError
        A log is missing or broken, for instance because the disk is full.
    """
    try:
        log = msgspec.json.decode((folder / "vmaf.json").read_bytes(), type=_VmafLog)
        psnr = _per_frame(folder / "psnr.log", "psnr_y")
        ssim = _per_frame(folder / "ssim.log", "Y")
        probe = tuple(
            {name: _per_frame(folder / f"{name}{n}.log", "mse_y") for name in probe_names(plan)}
            for n in range(len(plan.windows))
        )
        vmaf = tuple(tuple(f.metrics[f"m{index}"] for f in log.frames) for index in range(len(plan.models)))
        averages = {name: _pairs(rest) for name, rest in _SUMMARY.findall(said)}
        wanted = [averages["psnr"]["average"], averages["ssim"]["All"]]
        if plan.xpsnr:
            wanted.append(averages["xpsnr"]["y"])
    except (OSError, msgspec.DecodeError, KeyError, ValueError) as exc:
        raise FfmpegError(f"ffmpeg ended well but its logs are not complete: {exc}") from exc
    if any(math.isnan(value) for value in wanted):
        raise FfmpegError("ffmpeg gave no number for a score")
    scores = {f.frameNum: f.metrics["m0"] for f in log.frames}
    frames = tuple(Frame(n, scores.get(n), y, s) for n, (y, s) in enumerate(zip(psnr, ssim, strict=True)))
    return Logs(frames, vmaf, log.version, averages, tuple(_ERROR.findall(said)), probe)


def _per_frame(path: Path, key: str) -> tuple[float, ...]:
    pattern = re.compile(rf"(?:^| ){key}:(\S+)", re.MULTILINE)
    return tuple(float(text) for text in pattern.findall(path.read_text()))


def _pairs(text: str) -> dict[str, float]:
    return {key: float(value) for key, value in _PAIR.findall(text)}
