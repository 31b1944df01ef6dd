"""Where in the reference a part of the output really is, when it does not look like its partner there.

The probe beside the metrics looks one frame to either side. Videos that are further apart (an opening that
was cut off, seconds that are missing) score like a very bad encode, so when no side of the probe fits, a part
of the output is looked for in half a minute around its place, on pictures the size of a thumbnail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from advisor.quality.graph import Plan, start_filter

__all__ = ["arguments", "displaced"]

_AROUND_SECONDS = 30.0
_MOST_FRAMES = 16
"""Of the output that are looked for: enough to tell one moment from another."""
_WIDTH, _HEIGHT = 32, 18
_CLEAR = 0.7
"""Another place with less than this share of the error at the pair's own place is the true one."""
_AS_GOOD = 1.2
"""Errors of half of the frames closer than this are the same."""
_FLOOR = 1.0
"""A mean squared error that is as good as none."""
_OUTPUT, _REFERENCE = "output.raw", "reference.raw"

Picture = tuple[int, ...]


def arguments(plan: Plan, window: tuple[float, float]) -> list[str]:
    """Graph and outputs for ffmpeg: grey thumbnails of the window, and of the reference around it."""
    begin, end = window
    around = max(0.0, begin - _AROUND_SECONDS), end + _AROUND_SECONDS
    rate = f"fps={plan.rate}," if plan.pairing == "fps" else ""
    graph = (
        f"[0:V:0]{_thumbnails(plan, window, plan.distorted_conversion)}[d];"
        f"[1:V:0]{rate}{_thumbnails(plan, around, plan.reference_conversion)}[r]"
    )
    raw = ("-fps_mode", "passthrough", "-f", "rawvideo")
    return ["-filter_complex", graph, "-map", "[d]", *raw, _OUTPUT, "-map", "[r]", *raw, _REFERENCE]


def _thumbnails(plan: Plan, part: tuple[float, float], conversion: str) -> str:
    small = f"scale={_WIDTH}:{_HEIGHT}:flags=area{conversion},format=gray"
    # trim and not select: a repeated reference has no other end
    return f"{start_filter(plan)},trim=start={part[0]:.6f}:end={part[1]:.6f},{small}"


def displaced(folder: Path, plan: Plan, window: tuple[float, float]) -> str | None:
    """Why the output belongs elsewhere, from what ffmpeg wrote; None when it fits nowhere better."""
    output, reference = _pictures(folder / _OUTPUT)[:_MOST_FRAMES], _pictures(folder / _REFERENCE)
    errors = _errors(output, reference)
    begin = window[0]
    own = round((begin - max(0.0, begin - _AROUND_SECONDS)) * float(plan.rate))
    here = errors[max(0, own - 1) : own + 2]
    if not here:
        return None
    best = min(range(len(errors)), key=errors.__getitem__)
    if errors[best] + _FLOOR >= _CLEAR * (min(here) + _FLOOR) or _stands_still(output, reference, best):
        return None
    frames = abs(best - own)
    side = "ahead of" if best > own else "behind"
    return f"the output is about {frames} frames {side} the reference (around {begin:.1f} s)"


def _stands_still(output: Sequence[Picture], reference: Sequence[Picture], place: int) -> bool:
    """Whether half of the output fits better elsewhere: a starved encoder goes on showing one old picture."""
    half = len(output) // 2
    for part, there in ((output[:half], place), (output[half:], place + half)):
        errors = _errors(part, reference)
        if errors and errors[there] > _AS_GOOD * min(errors) + _FLOOR:
            return True
    return False


def _pictures(path: Path) -> list[Picture]:
    data, size = path.read_bytes(), _WIDTH * _HEIGHT
    return [tuple(data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def _errors(output: Sequence[Picture], reference: Sequence[Picture]) -> list[float]:
    """Mean squared error of ``output`` at each place of the reference at which it fits as a whole."""
    count = len(output)
    samples = count * _WIDTH * _HEIGHT
    if not samples:
        return []
    return [
        sum(math.dist(a, b) ** 2 for a, b in zip(output, reference[at : at + count], strict=True)) / samples
        for at in range(len(reference) - count + 1)
    ]
