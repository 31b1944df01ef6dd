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

from advisor.errors import MediaError
from advisor.quality.crop import Crop
from advisor.quality.pairing import Pairing
from advisor.quality.probe import Chroma, Colour, Media
from advisor.quality.settings import METRICS, PHONE, Area, QualitySettings, check_settings, chosen_models
from advisor.quality.tracks import track_filters

__all__ = ["Comparison", "Plan", "filter_graph", "partner_times", "plan"]

_SLOT = 1 << 20
"""Ticks between two frames of the output in the graph; the reference's frames lie between them, also where a
million of them were left out."""
_TIME_BASE = f"settb=1/{_SLOT * 25}"
_XPSNR_WIDTH = 64


class Plan(Struct, frozen=True, kw_only=True):
    """One comparison, decided, but for which frames belong together."""

    width: int
    height: int
    chroma: Chroma
    """``400`` compares luma alone."""
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
    crop: Crop
    pairing: Pairing


def plan(reference: Media, output: Media, settings: QualitySettings, crop: Crop) -> Plan:
    """Decide how to compare.

    Raises
    ------
    MediaError
        A pair that cannot be compared at all.
    InputError
        Settings that cannot be.
    """
    check_settings(settings)
    notes = []
    source, encode, taken = _agreed(reference, output)
    notes += taken
    if source.hdr != encode.hdr:
        sides = " and ".join(
            f"the {name} is {colour.hdr or 'not HDR'}"
            for name, colour in (("reference", source), ("output", encode))
        )
        raise MediaError(f"cannot be compared: {sides}", subject=output.path)
    # VMAF knows 8, 10 and 12 bits
    depth = min(12, max(8, reference.depth + reference.depth % 2, output.depth + output.depth % 2))
    chroma: Chroma = "400" if "400" in (reference.chroma, output.chroma) else reference.chroma
    area = crop.reference or Area(reference.width, reference.height, 0, 0)
    models, lacks = _models(source, settings, area, reference.path)
    xpsnr = settings.xpsnr
    if xpsnr and depth > 8 and area.width % _XPSNR_WIDTH:
        xpsnr = False
        notes.append(
            f"no XPSNR: ffmpeg's filter is wrong above 8 bit at widths such as {area.width}, "
            f"no multiple of {_XPSNR_WIDTH}"
        )
    size = f"{area.width}:{area.height}:flags=bicubic"
    target = _sample_format(chroma, depth)
    return Plan(
        width=area.width,
        height=area.height,
        chroma=chroma,
        depth=depth,
        models=models,
        lacks_vmaf=lacks,
        features=settings.metrics,
        reference_filters=_side(reference, source, source, crop.reference, size, target, chroma),
        output_filters=_side(output, encode, source, crop.output, size, target, chroma),
        xpsnr=xpsnr,
        subsample=settings.subsample,
        notes=tuple(notes),
    )


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


def _agreed(reference: Media, output: Media) -> tuple[Colour, Colour, list[str]]:
    """The colours of both sides, with what one does not say taken from the other."""
    source, encode = reference.colour, output.colour
    notes = []
    if output.rgb == reference.rgb:
        for what in ("range", "matrix", "primaries", "transfer"):
            theirs, ours = getattr(source, what), getattr(encode, what)
            one_sided = (theirs is None) != (ours is None)
            if one_sided and (what == "matrix" or "pc" in (theirs, ours)):
                side, other = ("reference", "output") if theirs is None else ("output", "reference")
                notes.append(f"the {side} does not say its colour {what}; the {other}'s was taken")
            elif what in ("primaries", "transfer") and theirs and ours and theirs != ours:
                notes.append(
                    f"colour {what} differ ({theirs} and {ours} of ITU-T H.273); nothing was converted"
                )
    return _filled(source, encode), _filled(encode, source), notes


def _filled(colour: Colour, other: Colour) -> Colour:
    return Colour(
        range=colour.range or other.range,
        matrix=colour.matrix or other.matrix,
        primaries=colour.primaries or other.primaries,
        transfer=colour.transfer or other.transfer,
    )


def _side(
    media: Media, colour: Colour, target: Colour, area: Area | None, size: str, pixels: str, chroma: Chroma
) -> str:
    """Filters from decoded frames to what is compared; nothing is left for ffmpeg to convert by itself.

    Every frame is told its range and matrix and no other tag, and behind the last conversion both sides are
    told the same.
    """
    limits = colour.range or "tv"
    final = "tv" if target.range is None or media.rgb else target.range
    steps = []
    if not media.rgb:
        steps.append(_tagged(limits, colour.matrix or "unknown"))
    if area is not None:
        steps.append(f"crop={area}")
    if chroma == "400" and not media.rgb:
        # the luma as it is: swscale would take grey for full range
        steps += [*(["extractplanes=y"] if media.chroma != "400" else []), _tagged("pc", "unknown")]
        steps.append(f"scale={size}")
    else:
        steps.append(f"scale={size}" + _conversion(media, colour, target, limits))
    steps.append(f"format={pixels}")
    steps.append(_tagged(final if chroma != "400" else "pc", "unknown"))
    return ",".join(steps)


def _tagged(limits: str, matrix: str) -> str:
    rest = "color_primaries=unknown:color_trc=unknown:chroma_location=left"
    return f"setparams=range={limits}:colorspace={matrix}:{rest}"


def _conversion(media: Media, colour: Colour, target: Colour, limits: str) -> str:
    """Range and matrix of the ``scale`` filter, where the two sides differ."""
    text = ""
    final = target.range or "tv"
    if not media.rgb and limits != final:
        text += f":in_range={limits}:out_range={final}"
    if media.rgb:
        text += f":out_range=tv:out_color_matrix={target.matrix or 'smpte170m'}"
    elif colour.matrix and target.matrix and colour.matrix != target.matrix:
        text += f":in_color_matrix={colour.matrix}:out_color_matrix={target.matrix}"
    return text


def _sample_format(chroma: Chroma, depth: int) -> str:
    suffix = "" if depth == 8 else f"{depth}le"
    return f"gray{suffix}" if chroma == "400" else f"yuv{chroma}p{suffix}"


def filter_graph(
    comparisons: Sequence[Comparison], *, threads: int, before: str, reference_frames: int | None
) -> str:
    """The graph for ffmpeg: input 0 is the reference, input 1 + n the n-th output.

    Its outputs are ``[outN]`` of every comparison, and the thumbnails ``[reference]`` and ``[trackN]``. Logs
    go to the working directory under plain names, so that no path needs escaping: ``vmafN.json``,
    ``psnrN.log``, ``ssimN.log``, ``xpsnrN.log`` and the tracks' ``reference.txt`` and ``trackN.txt``.

    Parameters
    ----------
    before
        Filters on the reference before anything else; empty for none.
    reference_frames
        Frames of the reference that are read at most; None for all.
    """
    parts = [_reference(comparisons, before, reference_frames)]
    for n, comparison in enumerate(comparisons):
        parts += [*_pair(n, comparison), *_metrics(n, comparison.plan, threads)]
    return ";\n".join(parts)


def _reference(comparisons: Sequence[Comparison], before: str, frames: int | None) -> str:
    labels = "".join(f"[s{n}]" for n in range(len(comparisons)))
    steps = [*([before] if before else []), *([f"trim=end_frame={frames}"] if frames is not None else [])]
    steps.append(f"split={len(comparisons) + 1}")
    return f"[0:V:0]{','.join(steps)}[thumbs]{labels};\n[thumbs]{track_filters('reference')}[reference]"


def _pair(n: int, comparison: Comparison) -> Iterator[str]:
    decided, pairing = comparison.plan, comparison.pairing
    first, partners = pairing.first, pairing.partners
    yield f"[{n + 1}:V:0]split=2[e{n}][t{n}]"
    yield f"[t{n}]{track_filters(f'track{n}')}[track{n}]"
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
    names = ["psnr", "ssim", *(["xpsnr"] if decided.xpsnr else [])]
    steps = [(f"{name}@main{n}=stats_file={name}{n}.log", k) for k, name in enumerate(names)]
    if decided.models or decided.features:
        steps.append((_libvmaf(n, decided, threads), len(names)))
    for place, (text, k) in enumerate(steps):
        target = f"out{n}" if place == len(steps) - 1 else f"d{n}_{place + 1}"
        source = f"[d{n}_{place}]"
        if text.startswith("libvmaf") and decided.chroma == "400":
            # it takes no grey; the luma stays as it is
            grey = f"format={_sample_format('420', decided.depth)}"
            yield f"{source}{grey}[g{n}]"
            yield f"[r{n}_{k}]{grey}[h{n}]"
            yield f"[g{n}][h{n}]{text}[{target}]"
        else:
            yield f"{source}[r{n}_{k}]{text}[{target}]"


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
