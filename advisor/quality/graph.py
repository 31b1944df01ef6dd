"""How videos are compared, as text for ffmpeg: pure functions from what is known of them to a filter graph.

An output is brought to the reference (size by bicubic scaling, range, matrix, sample format), never the other
way round: a smaller reference inflates scores. Frames are laid side by side by their numbers: the graph gives
every frame of the reference a time such that the filters meet it with its partners, whatever the containers'
clocks say. One pass computes every metric, of all outputs of one reference.

Beside the metrics run thumbnails of every frame of both sides, which tell whether the pairing is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import MediaError
from advisor.quality.crop import Crop
from advisor.quality.pairing import Pairing
from advisor.quality.probe import Chroma, Colour, Media
from advisor.quality.settings import (
    METRICS,
    PHONE,
    Area,
    QualitySettings,
    check_settings,
    chosen_models,
    metric_problem,
)
from advisor.quality.tracks import track_filters

_SLOT = 1 << 20
"""Ticks between two frames of the output in the graph; the reference's frames lie between them, also where a
million of them were left out."""
_TIME_BASE = "settb=1/400000"
"""Below half a millionth of a second the filters that pair frames would round."""
CHROMA_LOCATION = ":chroma_location=left"
"""What ffmpeg takes for granted where it does not look at the tag."""
_XPSNR_WIDTH = 64
_LEAST_SIDE = 16
"""SSIM is of blocks of 8x8 samples, also of chroma."""


class Plan(Struct, frozen=True, kw_only=True):
    """One comparison, decided, but for which frames belong together."""

    crop: Crop = Crop()
    limited: bool = False
    """The side that does not say its range is of limited range, as its pictures show."""
    width: int
    height: int
    chroma: Chroma
    luma_only: bool = False
    """One side is grey: the other's chroma is left out of every average."""
    depth: int
    models: tuple[str, ...]
    """Empty where VMAF cannot be had; ``lacks_vmaf`` then says why."""
    lacks_vmaf: str | None = None
    features: tuple[str, ...] = ()
    """Names in `METRICS`."""
    reference_filters: str
    """From a frame of the reference as it was decoded to what is compared."""
    output_filters: str
    xpsnr: bool = False
    subsample: int = 1
    notes: tuple[str, ...] = ()


class Comparison(Struct, frozen=True, eq=False):
    """One output's part of a pass: its plan, and its frames with their partners."""

    plan: Plan
    pairing: Pairing


def reference_track(n: int, decided: Plan) -> str:
    """Name of the reference's thumbnails that the n-th comparison looks at."""
    return "reference" if decided.crop.reference is None else f"reference{n}"


def plan(
    reference: Media, output: Media, settings: QualitySettings, crop: Crop, *, limited: bool = False
) -> Plan:
    """Decide how to compare.

    Parameters
    ----------
    limited
        As in `Plan`.

    Raises
    ------
    MediaError
        A pair that cannot be compared at all.
    InputError
        Settings that cannot be.
    """
    check_settings(settings)
    source, encode, notes = _agreed(reference, output, limited)
    if source.hdr != encode.hdr:
        sides = f"the reference is {source.hdr or 'not HDR'} and the output is {encode.hdr or 'not HDR'}"
        raise MediaError(f"cannot be compared: {sides}", subject=output.path)
    if source.matrix != encode.matrix and (source.is_foreign or encode.is_foreign):
        sides = f"ffmpeg does not convert between colour matrix {source.matrix} and {encode.matrix}"
        raise MediaError(f"cannot be compared: {sides}", subject=output.path)
    # VMAF knows 8, 10 and 12 bits
    depth = min(12, max(8, reference.depth + reference.depth % 2, output.depth + output.depth % 2))
    grey = [media.chroma == "400" for media in (reference, output)]
    chroma: Chroma = "420" if grey == [True, False] else reference.chroma
    area = crop.reference or Area(reference.width, reference.height, 0, 0)
    size = f"{area.width}x{area.height}"
    if min(area.width, area.height) < _LEAST_SIDE:
        problem = f"expected at least {_LEAST_SIDE} lines and columns, found {size}"
        raise MediaError(problem, subject=reference.path)
    models, lacks = _models(source, settings, area, reference.path)
    xpsnr = settings.xpsnr
    if xpsnr and depth > 8 and area.width % _XPSNR_WIDTH:
        xpsnr = False
        notes.append(
            f"no XPSNR: ffmpeg's filter is wrong above 8 bit at widths such as {area.width}, "
            f"not a multiple of {_XPSNR_WIDTH}"
        )
    problems = {name: metric_problem(name, area.width, area.height) for name in settings.metrics}
    notes += [f"no {name}: {problem}, found {size}" for name, problem in problems.items() if problem]
    # grey and RGB are full range, and give way to what the other side is
    target = encode if reference.rgb or grey == [True, False] else source
    side = _Side(
        size=f"{area.width}:{area.height}:flags=bicubic",
        pixel_format=_sample_format(chroma, depth),
        range="tv" if reference.rgb and output.rgb else target.range or "tv",
        matrix=target.matrix,
    )
    return Plan(
        crop=crop,
        limited=limited,
        width=area.width,
        height=area.height,
        chroma=chroma,
        luma_only=any(grey),
        depth=depth,
        models=models,
        lacks_vmaf=lacks,
        features=tuple(name for name, problem in problems.items() if problem is None),
        reference_filters=_filters(reference, source, side, crop.reference),
        output_filters=_filters(output, encode, side, crop.output),
        xpsnr=xpsnr,
        subsample=settings.subsample,
        notes=tuple(notes),
    )


class _Side(Struct, frozen=True):
    """What both sides are brought to."""

    size: str
    pixel_format: str
    range: str
    matrix: str | None


def _models(
    colour: Colour, settings: QualitySettings, area: Area, subject: str
) -> tuple[tuple[str, ...], str | None]:
    """The models to score by, or why there is no VMAF."""
    if colour.hdr:
        return (), f"there is no public model for HDR ({colour.hdr})"
    try:
        return chosen_models(settings, area.width, area.height, subject), None
    except MediaError as exc:
        if settings.model is not None or settings.extra_models:
            raise
        return (), exc.problem


def range_taken(reference: Media, output: Media) -> str | None:
    """Which side does not say its range and is taken for full range, as the other one is."""
    sides = {"reference": reference, "output": output}
    if any(_kind(media) != "yuv" for media in sides.values()):
        return None
    ranges = {name: media.colour.range for name, media in sides.items()}
    return next((name for name, limits in ranges.items() if limits is None and "pc" in ranges.values()), None)


def _agreed(reference: Media, output: Media, limited: bool) -> tuple[Colour, Colour, list[str]]:
    """The colours of both sides, with what one does not say taken from the other; and what is to be noted."""
    source, encode = _own(reference), _own(output)
    notes = []
    alike = _kind(reference) == _kind(output)
    if limited and (side := range_taken(reference, output)) is not None:
        notes.append(f"the {side} has no tag for its colour range; its pictures have limited range")
        source, encode = (replace(one, range=one.range or "tv") for one in (source, encode))
    for what in ("range", "matrix") if alike and _kind(reference) == "yuv" else ():
        theirs, ours = getattr(source, what), getattr(encode, what)
        if (theirs is None) != (ours is None) and (what == "matrix" or "pc" in (theirs, ours)):
            side, other = ("reference", "output") if theirs is None else ("output", "reference")
            notes.append(f"the {side} has no tag for its colour {what}; the {other}'s was used")
    effects = {"range": "the output was", "matrix": "the output was"} if alike else {}
    for what, effect in (effects | {"primaries": "nothing was", "transfer": "nothing was"}).items():
        theirs, ours = getattr(source, what), getattr(encode, what)
        if theirs and ours and theirs != ours:
            kind = " of ITU-T H.273" if isinstance(ours, int) else ""
            notes.append(f"different colour {what} ({theirs} and {ours}{kind}); {effect} converted")
    return _filled(source, encode, alike), _filled(encode, source, alike), notes


def _kind(media: Media) -> str:
    return "rgb" if media.rgb else "grey" if media.chroma == "400" else "yuv"


def _own(media: Media) -> Colour:
    """What a video says of its colours; grey and RGB are full range, as ffmpeg takes them."""
    return media.colour if _kind(media) == "yuv" else replace(media.colour, range="pc", matrix=None)


def _filled(colour: Colour, other: Colour, alike: bool) -> Colour:
    # where the matrices differ the output was brought to other colours, and may be none of HDR any more
    same = colour.matrix is None or other.matrix in (None, colour.matrix)
    return Colour(
        range=colour.range or (other.range if alike else None),
        matrix=colour.matrix or (other.matrix if alike else None),
        primaries=colour.primaries or other.primaries,
        transfer=colour.transfer or (other.transfer if same else None),
    )


def _filters(media: Media, colour: Colour, target: _Side, area: Area | None) -> str:
    """Filters from decoded frames to what is compared; nothing is left for ffmpeg to convert by itself.

    Every frame is told its range and matrix and no other tag, and behind the last conversion both sides are
    told the same.
    """
    kind, limits = _kind(media), colour.range or "tv"
    steps = []
    if kind != "rgb":
        steps.append(_tagged(limits, "unknown" if colour.is_foreign else colour.matrix or "unknown"))
    if area is not None:
        steps.append(f"crop={area}")
    conversion = ""
    if kind == "rgb":
        conversion = f":out_range={target.range}:out_color_matrix={target.matrix or 'smpte170m'}"
    elif limits != target.range and not target.pixel_format.startswith("gray"):
        conversion = f":in_range={limits}:out_range={target.range}"
    if kind == "yuv" and colour.matrix and target.matrix and colour.matrix != target.matrix:
        conversion += f":in_color_matrix={colour.matrix}:out_color_matrix={target.matrix}"
    steps += [f"scale={target.size}{conversion}", f"format={target.pixel_format}"]
    return ",".join([*steps, _tagged(target.range, "unknown")])


def _tagged(limits: str, matrix: str) -> str:
    rest = f"color_primaries=unknown:color_trc=unknown{CHROMA_LOCATION}"
    return f"setparams=range={limits}:colorspace={matrix}:{rest}"


def _sample_format(chroma: Chroma, depth: int) -> str:
    suffix = "" if depth == 8 else f"{depth}le"
    return f"gray{suffix}" if chroma == "400" else f"yuv{chroma}p{suffix}"


def filter_graph(
    comparisons: Sequence[Comparison],
    *,
    threads: int,
    before: str,
    reference_frames: int | None,
    before_outputs: str = "",
) -> str:
    """The graph for ffmpeg: input 0 is the reference, input 1 + n the n-th output.

    Its outputs are ``[outN]`` of every comparison, and the thumbnails ``[trackN]`` and those that
    `reference_track` names. Logs go to the working directory under plain names, so that no path needs
    escaping: ``vmafN.json``, ``scoresN.txt`` and a ``.txt`` for each track.

    Parameters
    ----------
    before, before_outputs
        Filters on the reference, and on each output, before anything else; empty for none.
    reference_frames
        Frames of the reference that are read at most; None for all.
    """
    parts = [_reference(comparisons, before, reference_frames)]
    for n, comparison in enumerate(comparisons):
        parts += [*_pair(n, comparison, before_outputs), *_metrics(n, comparison.plan, threads)]
    return ";\n".join(parts)


def _reference(comparisons: Sequence[Comparison], before: str, frames: int | None) -> str:
    areas = {reference_track(n, one.plan): one.plan.crop.reference for n, one in enumerate(comparisons)}
    labels = "".join(f"[{name}_whole]" for name in areas) + "".join(
        f"[s{n}]" for n in range(len(comparisons))
    )
    steps = [*([before] if before else []), *([f"trim=end_frame={frames}"] if frames is not None else [])]
    steps.append(f"split={len(areas) + len(comparisons)}")
    tracks = [f"[{name}_whole]{track_filters(name, area)}" for name, area in areas.items()]
    return ";\n".join([f"[0:V:0]{','.join(steps)}{labels}", *tracks])


def _pair(n: int, comparison: Comparison, before: str) -> Iterator[str]:
    decided, pairing = comparison.plan, comparison.pairing
    first, partners = pairing.first, pairing.partners
    yield f"[{n + 1}:V:0]{before + ',' if before else ''}split=2[e{n}][t{n}]"
    yield f"[t{n}]{track_filters(f'track{n}', decided.crop.output)}"
    taken = f"trim=start_frame={first}:end_frame={first + len(partners)}"
    yield f"[e{n}]{taken},{_TIME_BASE},setpts=N*{_SLOT},{decided.output_filters}[d{n}_0]"
    copies = 2 + bool(decided.models or decided.features) + decided.xpsnr
    labels = "".join(f"[r{n}_{k}]" for k in range(copies))
    taken = f"trim=start_frame={partners[0]}:end_frame={partners[-1] + 1}"
    times = f"setpts='{partner_times(partners)}'"
    yield f"[s{n}]{taken},{_TIME_BASE},{times},{decided.reference_filters},split={copies}{labels}"


def partner_times(partners: np.ndarray) -> str:
    """An expression for ``setpts``: when frame N of the reference, counted from the first partner, is shown.

    Frame n of the output is shown at n slots, and meets the last frame of the reference that is not later.
    So a partner has to come behind the slot before the first one that it belongs to, and not behind that one;
    frames that nobody wants lie between. Straight lines are laid through these gates, as few as possible.

    >>> partner_times(np.array([3, 4, 5]))
    'floor(-65537+1048576*(N-0)+0.5)'
    """
    slots = np.searchsorted(partners, np.arange(partners[0], partners[-1] + 1))
    pieces = list(_lines(slots))
    return _chosen(pieces)


def _lines(slots: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Pieces (first frame, its time, time per frame) through every frame's gate of one slot up to its own.

    Frames that share a slot leave each other room.
    """
    number = np.arange(len(slots))
    before = number - np.searchsorted(slots, slots, side="left")
    behind = np.searchsorted(slots, slots, side="right") - 1 - number
    low, high = (slots - 1) * _SLOT + 2 + 2 * before, slots * _SLOT - 1 - 2 * behind
    begin, last = 0, -(1 << 62)
    while begin < len(slots):
        # where in its gate the first frame stands decides how far a line can go
        room = int(high[begin] - low[begin])
        starts = {max(int(low[begin]) + room * share // 16, last + 1) for share in range(16)}
        reach, start, slope = max(_reach(low, high, begin, start) for start in starts)
        yield begin, start, slope
        last = math.floor(start + slope * (reach - 1 - begin) + 0.5)
        begin = reach


def _reach(low: np.ndarray, high: np.ndarray, begin: int, start: int) -> tuple[int, int, float]:
    """How far a line from ``start`` goes: the frame behind its last, ``start``, and the time per frame."""
    end, length = begin + 1, 256
    least, most = 1.0, math.inf
    while end < len(low):
        part = slice(end, end + length)
        steps = np.arange(end - begin, end - begin + len(low[part]))
        at_least = np.maximum.accumulate(np.maximum((low[part] - start) / steps, least))
        at_most = np.minimum.accumulate(np.minimum((high[part] - start) / steps, most))
        fits = int(np.argmax(at_least > at_most)) if np.any(at_least > at_most) else len(steps)
        if fits:
            least, most = float(at_least[fits - 1]), float(at_most[fits - 1])
        end += fits
        if fits < len(steps):
            break
        length *= 2
    if math.isinf(most):
        return end, start, 1.0
    return end, start, float(_SLOT) if least <= _SLOT <= most else (least + most) / 2


def _chosen(pieces: Sequence[tuple[int, int, float]]) -> str:
    """The piece that holds N, found by halves, so that thousands cost no more than a dozen looks."""
    if len(pieces) == 1:
        begin, start, slope = pieces[0]
        return f"floor({start}+{slope:.15g}*(N-{begin})+0.5)"
    half = len(pieces) // 2
    return f"if(lt(N,{pieces[half][0]}),{_chosen(pieces[:half])},{_chosen(pieces[half:])})"


def _metrics(n: int, decided: Plan, threads: int) -> Iterator[str]:
    steps = ["psnr", "ssim", *(["xpsnr"] if decided.xpsnr else [])]
    if decided.models or decided.features:
        steps.append(_libvmaf(n, decided, threads))
    for k, text in enumerate(steps):
        source, theirs = f"[d{n}_{k}]", f"[r{n}_{k}]"
        if text.startswith("libvmaf") and decided.chroma == "400":
            # it takes no grey
            grey = f"scale=in_range=pc:out_range=tv,format={_sample_format('420', decided.depth)}"
            yield f"{source}{grey}[g{n}]"
            yield f"{theirs}{grey}[h{n}]"
            source, theirs = f"[g{n}]", f"[h{n}]"
        yield f"{source}{theirs}{text}[d{n}_{k + 1}]"
    # what the filters say of each frame: their logs are rounded, and their averages are of one pass alone
    yield f"[d{n}_{len(steps)}]metadata=mode=print:file=scores{n}.txt[out{n}]"


def _libvmaf(n: int, decided: Plan, threads: int) -> str:
    models = "|".join(_model_option(index, model) for index, model in enumerate(decided.models))
    options = f"log_fmt=json:log_path=vmaf{n}.json:n_threads={threads}:n_subsample={decided.subsample}"
    if models:
        options += f":model='{models}'"
    if decided.features:
        options += f":feature='{'|'.join(_feature_option(name) for name in decided.features)}'"
    return f"libvmaf={options}"


def _model_option(index: int, model: str) -> str:
    version = model.removesuffix(PHONE)
    transform = r"\:enable_transform=true" if version != model else ""
    return rf"version={version}\:name=m{index}{transform}"


def _feature_option(name: str) -> str:
    return r"name=float_vif\:debug=true" if name == "vif" else f"name={METRICS[name]}"
