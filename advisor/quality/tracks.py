"""The pictures of a whole video at the size of a thumbnail, with their times: what frames are told apart by.

ffmpeg writes them beside the metrics, from the frames as they come out of the decoder, so that they tell what
no container does: how many frames there are, when each is shown, and which of the other video it resembles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from advisor.errors import FfmpegError
from advisor.quality.settings import Area

SIDE = 48
"""Lines and columns of a thumbnail; square, so that a picture can be turned."""

_TICKS = 1_000_000_000
_BLACK = 20 / 255
"""Mean luma of a line, of the full scale, up to which it is a bar: black is 16 in limited range."""
_COMBED = 1.3
"""By so much lines fit worse to their neighbours than to the next of their field: ffmpeg's own 1.04 finds
that in drawings with fine lines too."""
_FRAME = re.compile(r"^frame:\d+ +pts:(-?\d+|NOPTS)", re.MULTILINE)
_EDGES = re.compile(r"cropdetect\.([xy][12])=(-?\d+)$", re.MULTILINE)


class Track(Struct, frozen=True, eq=False):
    """One video as it was decoded."""

    times: np.ndarray
    """Seconds, float64, one for each frame."""
    pictures: np.ndarray
    """Luma, uint8, of shape (frames, `SIDE`, `SIDE`)."""
    inside_bars: Area | None
    """What black bars leave of the picture, over all frames; None where it cannot be said."""


def track_filters(name: str, area: Area | None) -> str:
    """Filters that write ``NAME.txt``, and leave thumbnails of ``area`` at ``[NAME]``; ``idet`` says more."""
    cut = f"crop={area}," if area is not None else ""
    # luma needs no matrix, and several are none that ffmpeg would scale
    copies = f"setparams=colorspace=unknown,split[{name}_fields]"
    edges = f"cropdetect=limit={_BLACK:.4f}:round=2:skip=0:reset=0"
    times = f"settb=1/{_TICKS},{edges},metadata=mode=print:file={name}.txt"
    thumbnails = f"scale={SIDE}:{SIDE}:flags=area,format=gray[{name}]"
    # two seconds of every ten tell it
    fields = f"[{name}_fields]select=lt(mod(n\\,250)\\,50),idet@{name}=intl_thres={_COMBED},nullsink"
    return f"{cut}{copies},{times},{thumbnails};\n{fields}"


def track_outputs(names: Sequence[str]) -> list[str]:
    """Options that write the thumbnails which `track_filters` left under these labels."""
    rest = ("-fps_mode", "passthrough", "-f", "rawvideo")
    return [word for name in names for word in ("-map", f"[{name}]", *rest, f"{name}.raw")]


def read_track(folder: Path, name: str) -> Track:
    """What ffmpeg wrote.

    Raises
    ------
    FfmpegError
        The files are not there or do not agree.
    """
    try:
        text = (folder / f"{name}.txt").read_text()
        pictures = np.fromfile(folder / f"{name}.raw", dtype=np.uint8)
    except OSError as exc:
        raise FfmpegError(f"ffmpeg succeeded, but its logs are incomplete: {exc}") from exc
    stamps = _FRAME.findall(text)
    frames = min(len(stamps), len(pictures) // SIDE**2)
    times = np.array([np.nan if stamp == "NOPTS" else int(stamp) / _TICKS for stamp in stamps[:frames]])
    return Track(
        times=times,
        pictures=pictures[: frames * SIDE**2].reshape(frames, SIDE, SIDE),
        inside_bars=_area(text),
    )


def _area(text: str) -> Area | None:
    """The area inside the edges that were found up to the last frame, widened to even numbers."""
    edges = {key: int(value) for key, value in _EDGES.findall(text[text.rfind("frame:") :])}
    if len(edges) != 4 or edges["x2"] <= edges["x1"] or edges["y2"] <= edges["y1"]:
        return None
    x, y = edges["x1"] // 2 * 2, edges["y1"] // 2 * 2
    return Area((edges["x2"] - x) // 2 * 2 + 2, (edges["y2"] - y) // 2 * 2 + 2, x, y)
