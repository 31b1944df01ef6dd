"""What one video shows without a reference: ffmpeg's own filters over it, read from what they say."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from advisor.video.ffmpeg import FILES_ONLY, file_url, run

_VIDEO = "blackdetect=d=0.1:pix_th=0.1,freezedetect=n=-45dB:d=0.5,blockdetect"
"""Encoders go on refining a picture that stands, above ffmpeg's own -60 dB where the bitrate is low."""
_AUDIO = "silencedetect=n=-60dB:d=0.5"
_LONGEST_SECONDS = 60.0


class Checks(Struct, frozen=True, kw_only=True):
    """Shares of the time are 0 to 1; None is what cannot be log."""

    frozen_ratio: float
    """The picture stands for half a second or longer."""
    black_ratio: float
    blockiness: float | None
    """ffmpeg's ``blockdetect``: about 1 without visible blocks, more with them."""
    silence_ratio: float | None
    """Below -60 dB for half a second or longer; None without sound."""
    width: int
    height: int


def check(path: Path, ffmpeg: str, seconds: float) -> Checks:
    """Look at the first ``seconds`` of ``path``.

    Raises
    ------
    FfmpegError
        It cannot be decoded.
    """
    command = [
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-threads", "1", *FILES_ONLY),
        *("-t", f"{seconds:.3f}", "-i", file_url(path)),
        *("-map", "0:V:0", "-vf", _VIDEO, "-f", "null", "-"),
        *("-map", "0:a:0?", "-af", _AUDIO, "-f", "null", "-"),
    ]
    _, log = run(Path(ffmpeg), command, timeout_seconds=_LONGEST_SECONDS)
    return read_checks(log, seconds)


def read_checks(log: str, seconds: float) -> Checks:
    """From what the filters said of ``seconds`` of video and sound."""
    size = re.findall(r"^ *Stream #0:\d+.*: Video: .*?, (\d+)x(\d+)", log, re.MULTILINE)
    block = re.findall(r"block mean: ([0-9.]+)", log)
    width, height = (int(side) for side in size[-1]) if size else (0, 0)
    return Checks(
        frozen_ratio=_share(log, "freeze", seconds),
        black_ratio=_share(log, "black", seconds),
        blockiness=float(block[-1]) if block else None,
        silence_ratio=_share(log, "silence", seconds) if ": Audio: " in log else None,
        width=width,
        height=height,
    )


def _share(log: str, what: str, seconds: float) -> float:
    """Of the time between each start and its end; what has no end goes on to the last frame."""
    total, begun = 0.0, None
    for mark, time in re.findall(rf"{what}_(start|end): *(-?[0-9.]+)", log):
        if mark == "start":
            begun = float(time)
        elif begun is not None:
            total, begun = total + float(time) - begun, None
    if begun is not None:
        total += seconds - begun
    return min(1.0, max(0.0, total / seconds))
