"""Where exactly a picture lies inside its bars: some areas are tried on a few frames.

Edges that were found may be off by a line or two, since the first lines of a picture can be black and coders
blur. Two pictures that lie a line apart score like a bad encode.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from advisor.errors import FfmpegError
from advisor.quality.crop import Crop
from advisor.quality.graph import Plan
from advisor.quality.pairing import Pairing
from advisor.quality.probe import Media
from advisor.quality.settings import Area

_REACH_PIXELS = 4
_TRIMMED_SHARE, _SAME_SHARE = 0.2, 0.97
"""By up to the first share a side may be cut or filled up, not scaled; from the second on it is whole."""
_FRAMES, WITHIN = 5, 250
"""So many of the first frames are looked at."""
_ERROR = re.compile(r" mse_y:(\S+)")


def areas_around(crop: Crop, reference: Media, output: Media) -> list[Crop]:
    """``crop`` and others whose edges lie a few pixels beside, at the edges that have a bar.

    Where both sides have bars the reference's are sharp. Without bars these are the places from which an
    output that is smaller, or of another shape, may have been cut.
    """
    if crop == Crop():
        return [crop, *_cut_out(reference, output)]
    side, media, area, other = "reference", reference, crop.reference, crop.output
    whole = Area(output.width, output.height, 0, 0)
    if crop.output is not None:
        side, media, area, other = "output", output, crop.output, crop.reference
        whole = Area(reference.width, reference.height, 0, 0)
    if area is None or area == other:
        return [crop]
    other = other or whole
    same_size = (area.width, area.height) == (other.width, other.height)
    fewer = area.width < media.width and area.height < media.height
    across = _spans(area.x, area.width, media.width, same_size, fewer)
    down = _spans(area.y, area.height, media.height, same_size, fewer)
    areas = [Area(w, h, x, y) for (x, w), (y, h) in itertools.product(across, down)]
    return [crop, *(replace(crop, **{side: one}) for one in areas if one != area)]


def _cut_out(reference: Media, output: Media) -> list[Crop]:
    """Areas that both may show: of the smaller one's size if that is nearly all, else the middle."""
    whole = reference.width, reference.height
    sizes = sorted([whole, (output.width, output.height)])
    less = [larger - smaller for smaller, larger in zip(*sizes, strict=True)]
    if min(less) >= 0 and 0 < max(less[0] / whole[0], less[1] / whole[1]) <= _TRIMMED_SHARE:
        side = "output" if sizes[0] == whole else "reference"
        across, down = (sorted({0, pixels // 2, pixels - pixels // 2, pixels}) for pixels in less)
        return [Crop(**{side: Area(*sizes[0], x, y)}) for x in across for y in down]
    shape = output.display_aspect / reference.display_aspect
    inside = round(whole[0] * min(1, shape)), round(whole[1] / max(1, shape))
    spans = [
        range(n - 2, n + 3) if n < _SAME_SHARE * side else [side]
        for n, side in zip(inside, whole, strict=True)
    ]
    middle = [Area(w, h, (whole[0] - w) // 2, (whole[1] - h) // 2) for w, h in itertools.product(*spans)]
    return [Crop(area) for area in middle if (area.width, area.height) != whole]


def _spans(begin: int, length: int, whole: int, same_size: bool, fewer: bool) -> list[tuple[int, int]]:
    """Beginnings and lengths around those that were found; a side that fills the picture stays."""
    if length == whole:
        return [(begin, length)]
    if same_size:
        moved = [(begin + n, length) for n in range(-_REACH_PIXELS, _REACH_PIXELS + 1)]
    else:
        reach = _REACH_PIXELS // 2 if fewer else _REACH_PIXELS  # every one across goes with every one down
        steps = range(-reach, reach + 1, 2)
        moved = [(begin + n, length - n + m) for n in steps for m in steps]
    return [(b, count) for b, count in moved if b >= 0 and count > 0 and b + count <= whole]


def registration_graph(plans: Mapping[int, Plan], pairing: Pairing) -> str:
    """A graph that compares some frames by every numbered plan; input 0 is the reference, 1 the output.

    Logs to ``areaN.log``; its outputs are ``[areaN]``.
    """
    count = min(len(pairing.partners), WITHIN)
    places = np.unique(np.linspace(0, count - 1, _FRAMES).astype(int))
    partners = np.unique(pairing.partners[places], return_index=True)[1]
    places = places[partners]
    parts = []
    for name, source, numbers in (
        ("r", 0, pairing.partners[places]),
        ("d", 1, pairing.first + places),
    ):
        chosen = "+".join(f"eq(n\\,{number})" for number in numbers)
        steps = f"trim=end_frame={int(numbers[-1]) + 1},select='{chosen}',settb=1/25,setpts=N"
        labels = "".join(f"[{name}{n}]" for n in plans)
        parts.append(f"[{source}:V:0]{steps},split={len(plans)}{labels}")
    for n, plan in plans.items():
        parts.append(f"[r{n}]{plan.reference_filters}[rr{n}];[d{n}]{plan.output_filters}[dd{n}]")
        parts.append(f"[dd{n}][rr{n}]psnr=stats_file=area{n}.log[area{n}]")
    return ";\n".join(parts)


def best_of(folder: Path, crops: Sequence[Crop]) -> Crop:
    """The crop with the least error; the first unless another is clearly better.

    Raises
    ------
    FfmpegError
        A log is missing.
    """
    try:
        texts = [(folder / f"area{n}.log").read_text() for n in range(len(crops))]
    except OSError as exc:
        raise FfmpegError(f"ffmpeg succeeded, but its logs are incomplete: {exc}") from exc
    errors = [sum(float(value) for value in _ERROR.findall(text)) for text in texts]
    best = min(range(len(crops)), key=errors.__getitem__)
    return crops[best] if errors[best] < 0.98 * errors[0] else crops[0]
