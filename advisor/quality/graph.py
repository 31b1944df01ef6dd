"""How two videos are compared, as text for ffmpeg: pure functions from what was probed to a filter graph.

The distorted stream is brought to the reference (size by bicubic scaling, range, matrix, sample format),
never the other way round: a smaller reference inflates scores. Frames are paired by the nearest timestamp,
because the filters' default (nearest lower or equal) is wrong as soon as a container rounds. One pass
computes every metric.

Beside them runs a probe of alignment on small grey pictures of a few windows: the same pairing with the
reference one frame early and one frame late. When one of these fits better, the pair is not aligned.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from advisor.errors import InputError, MediaError
from advisor.ffmpeg import VMAF_MODELS
from advisor.quality.probe import Media

__all__ = ["Plan", "Settings", "filter_graph", "plan", "seconds_compared"]

Pairing = Literal["time", "index", "fps"]

_SYNC = "shortest=1:repeatlast=0:ts_sync_mode=nearest"
_HD_LINES = 1440
_SMALL_LINES = 180
_PHONE = " phone"

_V1_MIN_SIZE = (320, 180)
_MIN_SIZE = {
    "vmaf_v1.0.16_5d0h": (480, 270),
    "vmaf_v1.0.16_hfr_5d0h": (480, 270),
    "vmaf_v1.0.16_3d0h_2160": (640, 360),
    "vmaf_v1.0.16_hfr_3d0h_2160": (640, 360),
}
"""Longer and shorter side below which libvmaf crashes or gives 0, tried with the one in ffmpeg 9.0.2."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything beside the two files that a score depends on."""

    model: str | None = None
    """A libvmaf model, or ``hd``, ``4k``, ``neg``, ``phone``, ``v1``; None: by the comparison height."""
    extra_models: tuple[str, ...] = ()
    codec_comparison: bool = False
    """Choose the ``neg`` model, which does not reward what an encoder sharpens."""
    xpsnr: bool = False
    subsample: int = 1
    """VMAF of every n-th frame; odd, because even steps meet the same kind of B-frame each time."""
    reference_start: float = 0.0
    """Seconds to seek into the reference, as the encode did (``-ss``)."""
    reference_loops: int = 0
    """Repetitions of the reference, as in the encode (``-stream_loop``); -1 for ever."""


class Plan(Struct, frozen=True, kw_only=True):
    """One comparison, decided."""

    width: int
    height: int
    pixel_format: str
    depth: int
    pairing: Pairing
    """``time``: nearest timestamp; ``index``: n-th with n-th; ``fps``: that filter on the reference."""
    rate: Fraction
    """Frames a second at which both are compared."""
    frames_limit: int | None
    """Frames of the distorted stream that are taken; None for all."""
    shift_seconds: float
    """One frame of the reference as it comes from the file."""
    windows: tuple[tuple[float, float], ...]
    """Where the alignment is probed, in seconds from the first frame; empty when too short."""
    models: tuple[str, ...]
    reference_conversion: str = ""
    distorted_conversion: str = ""
    xpsnr: bool = False
    subsample: int = 1


def plan(reference: Media, distorted: Media, settings: Settings) -> Plan:
    """Decide how to compare.

    Raises
    ------
    MediaError
        A pair that cannot be compared: HDR, or too small for the model asked for.
    InputError
        Settings that cannot be.
    """
    _check(settings)
    for media in (reference, distorted):
        if media.hdr:
            raise MediaError(
                f"is HDR ({media.hdr}), for which there is no public VMAF model", subject=media.path
            )
    # VMAF knows 8, 10 and 12 bits
    depth = min(12, max(8, reference.depth + reference.depth % 2, distorted.depth + distorted.depth % 2))
    pairing, rate = _pairing(reference, distorted, settings)
    shift = 1 / float(rate if pairing == "index" else reference.rate or rate)
    return Plan(
        width=reference.width,
        height=reference.height,
        pixel_format=f"yuv{reference.chroma}p" + ("" if depth == 8 else f"{depth}le"),
        depth=depth,
        pairing=pairing,
        rate=rate,
        frames_limit=reference.frames if one_too_many(reference, distorted, settings) else None,
        shift_seconds=shift,
        windows=tuple(
            _windows(seconds_compared(reference, distorted, settings), max(shift, 1 / float(rate)))
        ),
        models=_models(settings, reference),
        reference_conversion=_matrix(reference, distorted) if reference.rgb else "",
        distorted_conversion=_range(distorted, reference) + _matrix(distorted, reference),
        xpsnr=settings.xpsnr,
        subsample=settings.subsample,
    )


def _check(settings: Settings) -> None:
    if settings.subsample < 1 or settings.subsample % 2 == 0:
        raise InputError(f"expected an odd number from 1 up, found {settings.subsample}", subject="subsample")
    if settings.reference_loops < -1:
        raise InputError(f"expected -1 or more, found {settings.reference_loops}", subject="reference_loops")
    if not 0 <= settings.reference_start < float("inf"):
        raise InputError(
            f"expected seconds from 0 up, found {settings.reference_start}", subject="reference_start"
        )
    if settings.model is not None and settings.codec_comparison:
        raise InputError("it chooses the model itself: leave out one of the two", subject="codec_comparison")


def _pairing(reference: Media, distorted: Media, settings: Settings) -> tuple[Pairing, Fraction]:
    if reference.rate is None or distorted.rate is None:
        return "index", reference.rate or distorted.rate or Fraction(25)
    apart = abs(distorted.rate / reference.rate - 1)
    if apart < 0.0001:
        return "time", reference.rate
    whole = not settings.reference_loops and not settings.reference_start
    if whole and reference.frames == distorted.frames:  # the same frames, played faster or slower
        return "index", reference.rate
    return ("time", reference.rate) if apart < 0.002 else ("fps", distorted.rate)


def seconds_compared(reference: Media, distorted: Media, settings: Settings) -> float:
    """Seconds of video that both have, by the distorted stream's clock."""
    pairing, rate = _pairing(reference, distorted, settings)
    if pairing == "index":
        return min(reference.frames, distorted.frames) / float(rate)
    if settings.reference_loops < 0:
        return distorted.seconds
    there = reference.seconds * (1 + settings.reference_loops) - settings.reference_start
    return min(there, distorted.seconds)


def one_too_many(reference: Media, distorted: Media, settings: Settings) -> bool:
    """Whether the output has one frame more than the reference: an encoder's last, shown twice."""
    pairing, _ = _pairing(reference, distorted, settings)
    whole = not settings.reference_loops and not settings.reference_start
    return whole and pairing != "fps" and distorted.frames == reference.frames + 1


def _windows(seconds: float, frame: float) -> Iterator[tuple[float, float]]:
    """The first second; in what is long enough also a third, two thirds and the end, half a second each.

    A pair can fall apart in the middle: a frame that was shown twice moves all that follow. The shifted
    references need a frame of margin on both sides.
    """
    begin, end = 1.5 * frame, seconds - 2.5 * frame
    if end <= begin:
        return
    yield begin, min(1.0, end)
    length = max(0.5, 6 * frame)
    if seconds < 2 + 3 * length:
        if end > 1.0 + frame:
            yield max(1.0, end - length), end
        return
    for middle in (seconds / 3, seconds * 2 / 3):
        yield middle, middle + length
    yield end - length, end


def _range(distorted: Media, reference: Media) -> str:
    if distorted.full_range == reference.full_range:
        return ""
    names = {True: "pc", False: "tv"}
    return f":in_range={names[distorted.full_range]}:out_range={names[reference.full_range]}"


def _matrix(media: Media, other: Media) -> str:
    """Bring ``media`` to the matrix of ``other``; what is not said is taken for the same."""
    if other.matrix is None or media.matrix == other.matrix or (media.matrix is None and not media.rgb):
        return ""
    source = f":in_color_matrix={media.matrix}" if media.matrix else ""
    return f"{source}:out_color_matrix={other.matrix}"


def _models(settings: Settings, reference: Media) -> tuple[str, ...]:
    wanted = settings.model or ("neg" if settings.codec_comparison else None)
    models = [_model(name, reference) for name in (wanted, *settings.extra_models)]
    return tuple(dict.fromkeys(models))


def _model(name: str | None, reference: Media) -> str:
    # a phone's upright 1080x1920 has 1080 lines
    sides = sorted((reference.width, reference.height), reverse=True)
    uhd = sides[1] > _HD_LINES
    hd_or_4k = "vmaf_4k_v0.6.1" if uhd else "vmaf_v0.6.1"
    aliases = {
        None: hd_or_4k,
        "hd": "vmaf_v0.6.1",
        "4k": "vmaf_4k_v0.6.1",
        "neg": f"{hd_or_4k}neg",
        "phone": f"vmaf_v0.6.1{_PHONE}",
        "v1": "vmaf_v1.0.16_1d5h_2160" if uhd else "vmaf_v1.0.16_3d0h",
    }
    model = aliases.get(name, name) or hd_or_4k
    if model.removesuffix(_PHONE) not in VMAF_MODELS:
        known = ", ".join([*filter(None, aliases), *VMAF_MODELS])
        raise InputError(f"no model {name!r}, expected one of {known}", subject="model")
    if "_v1." in model:
        least = _MIN_SIZE.get(model, _V1_MIN_SIZE)
        if sides[0] < least[0] or sides[1] < least[1]:
            found = f"{reference.width}x{reference.height}"
            raise MediaError(
                f"{model} needs at least {least[0]}x{least[1]}, found {found}", subject=reference.path
            )
    return model


def filter_graph(plan: Plan, *, threads: int) -> str:
    """The graph for ffmpeg: input 0 is the distorted stream, input 1 the reference; the output is ``[out]``.

    Logs go to the working directory under plain names, so that no path needs escaping: ``vmaf.json``,
    ``psnr.log``, ``ssim.log``, ``xpsnr.log`` and the probe's ``now.log``, ``early.log``, ``late.log``,
    ``paired.log``.
    """
    return ";".join([*_streams(plan), *_metrics(plan, threads), *_probe(plan)])


def _streams(plan: Plan) -> Iterator[str]:
    start = f"setpts=N/({plan.rate})/TB" if plan.pairing == "index" else "setpts=PTS-STARTPTS"
    size = f"{plan.width}:{plan.height}:flags=bicubic"
    distorted = f"{start},scale={size}{plan.distorted_conversion},format={plan.pixel_format}"
    if plan.frames_limit is not None:
        distorted = f"trim=end_frame={plan.frames_limit},{distorted}"
    reference = f"scale={size}{plan.reference_conversion}," if plan.reference_conversion else ""
    reference += f"format={plan.pixel_format}"
    # a frame more at the end: the last one is lost where the reference's container rounds its time down
    start = f"tpad=stop=1:stop_mode=clone,{start}"
    rate = f"fps={plan.rate}," if plan.pairing == "fps" else ""
    copies = 4 if plan.xpsnr else 3
    labels = "".join(f"[r{n}]" for n in range(copies))
    if not plan.windows:
        yield f"[0:v:0]{distorted}[d]"
        yield f"[1:v:0]{rate}{start},{reference},split={copies}{labels}"
        return
    yield f"[0:v:0]{distorted},split=2[d][dp]"
    if plan.pairing == "fps":
        yield "[1:v:0]split=2[whole][rp]"
        yield f"[whole]{rate}{start},{reference},split={copies + 1}{labels}[rf]"
    else:
        yield f"[1:v:0]{rate}{start},{reference},split={copies + 1}{labels}[rp]"


def _metrics(plan: Plan, threads: int) -> Iterator[str]:
    yield f"[d][r0]psnr@main=stats_file=psnr.log:{_SYNC}[d1]"
    yield f"[d1][r1]ssim@main=stats_file=ssim.log:{_SYNC}[d2]"
    if plan.xpsnr:
        yield f"[d2][r3]xpsnr@main=stats_file=xpsnr.log:{_SYNC}[d3]"
    last = "d3" if plan.xpsnr else "d2"
    models = "|".join(_model_option(index, model) for index, model in enumerate(plan.models))
    yield (
        f"[{last}][r2]libvmaf=log_fmt=json:log_path=vmaf.json:n_threads={threads}:"
        f"n_subsample={plan.subsample}:model='{models}':{_SYNC}[out]"
    )


def _model_option(index: int, model: str) -> str:
    version = model.removesuffix(_PHONE)
    transform = r"\:enable_transform=true" if version != model else ""
    return rf"version={version}\:name=m{index}{transform}"


def _probe(plan: Plan) -> Iterator[str]:
    if not plan.windows:
        return
    shift, lines = plan.shift_seconds, min(_SMALL_LINES, plan.height)
    small = f"scale={max(16, round(plan.width * lines / plan.height))}:{lines}:flags=area,format=gray"
    margin = 3 * max(shift, 1 / float(plan.rate))
    pairs = ["now", "early", "late", *(["paired"] if plan.pairing == "fps" else [])]
    yield f"[dp]{_within(plan, 0)},{small},split={len(pairs)}" + "".join(f"[p_{name}]" for name in pairs)
    start = "setpts=PTS-STARTPTS," if plan.pairing == "fps" else ""
    yield f"[rp]{start}{_within(plan, margin)},{small},split=3[q_now][early][late]"
    yield f"[early]setpts=PTS-{shift:.9f}/TB[q_early]"
    yield f"[late]setpts=PTS+{shift:.9f}/TB[q_late]"
    if plan.pairing == "fps":
        yield f"[rf]{_within(plan, margin)},{small}[q_paired]"
    for name in pairs:
        yield f"[p_{name}][q_{name}]psnr=stats_file={name}.log:{_SYNC},nullsink"


def _within(plan: Plan, margin: float) -> str:
    parts = [f"between(t,{a - margin:.6f},{b + margin:.6f})" for a, b in plan.windows]
    return f"select='{'+'.join(parts)}'"
