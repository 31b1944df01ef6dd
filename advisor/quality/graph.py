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

from advisor.errors import MediaError
from advisor.quality.probe import Media
from advisor.quality.settings import PHONE, QualitySettings, check_settings, chosen_models

__all__ = ["Plan", "filter_graph", "one_too_many", "plan", "probe_names", "seconds_compared", "start_filter"]

Pairing = Literal["time", "index", "fps"]

_SYNC = "shortest=1:repeatlast=0:ts_sync_mode=nearest"
_SMALL_LINES = 180


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


def plan(reference: Media, distorted: Media, settings: QualitySettings) -> Plan:
    """Decide how to compare.

    Raises
    ------
    MediaError
        A pair that cannot be compared: HDR, or too small for the model asked for.
    InputError
        QualitySettings that cannot be.
    """
    check_settings(settings)
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
        models=chosen_models(settings, reference.width, reference.height, reference.path),
        reference_conversion=_matrix(reference, distorted) if reference.rgb else "",
        distorted_conversion=_range(distorted, reference) + _matrix(distorted, reference),
        xpsnr=settings.xpsnr,
        subsample=settings.subsample,
    )


def _pairing(reference: Media, distorted: Media, settings: QualitySettings) -> tuple[Pairing, Fraction]:
    if reference.rate is None or distorted.rate is None:
        return "index", reference.rate or distorted.rate or Fraction(25)
    apart = abs(distorted.rate / reference.rate - 1)
    if apart < 0.0001:
        return "time", reference.rate
    whole = not settings.reference_loops and not settings.reference_start
    if whole and reference.frames == distorted.frames:  # the same frames, played faster or slower
        return "index", reference.rate
    return ("time", reference.rate) if apart < 0.002 else ("fps", distorted.rate)


def seconds_compared(reference: Media, distorted: Media, settings: QualitySettings) -> float:
    """Seconds of video that both have, by the distorted stream's clock."""
    pairing, rate = _pairing(reference, distorted, settings)
    if pairing == "index":
        return min(reference.frames, distorted.frames) / float(rate)
    if settings.reference_loops < 0:
        return distorted.seconds
    there = reference.seconds * (1 + settings.reference_loops) - settings.reference_start
    return min(there, distorted.seconds)


def one_too_many(reference: Media, distorted: Media, settings: QualitySettings) -> bool:
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


def filter_graph(plan: Plan, *, threads: int) -> str:
    """The graph for ffmpeg: input 0 is the distorted stream, input 1 the reference; the output is ``[out]``.

    Logs go to the working directory under plain names, so that no path needs escaping: ``vmaf.json``,
    ``psnr.log``, ``ssim.log``, ``xpsnr.log`` and for window n of the probe ``nown.log``, ``earlyn.log``,
    ``laten.log``, ``pairedn.log``.
    """
    return ";".join([*_streams(plan), *_metrics(plan, threads), *_probe(plan)])


def start_filter(plan: Plan) -> str:
    """What gives the frames of both videos the times by which they are paired."""
    return f"setpts=N/({plan.rate})/TB" if plan.pairing == "index" else "setpts=PTS-STARTPTS"


def _streams(plan: Plan) -> Iterator[str]:
    start = start_filter(plan)
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
    labels = _labels("r", copies)
    if not plan.windows:
        yield f"[0:V:0]{distorted}[d]"
        yield f"[1:V:0]{rate}{start},{reference},split={copies}{labels}"
        return
    yield f"[0:V:0]{distorted},split=2[d][dp]"
    if plan.pairing == "fps":
        yield "[1:V:0]split=2[whole][rp]"
        yield f"[whole]{rate}{start},{reference},split={copies + 1}{labels}[rf]"
    else:
        yield f"[1:V:0]{rate}{start},{reference},split={copies + 1}{labels}[rp]"


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
    version = model.removesuffix(PHONE)
    transform = r"\:enable_transform=true" if version != model else ""
    return rf"version={version}\:name=m{index}{transform}"


def _probe(plan: Plan) -> Iterator[str]:
    """Every window is cut out by itself, and so ends for the filters that pair frames in it.

    Would the frames between two windows be only left out, a filter that has one more of the reference would
    wait for the next window, and everything before it be read and kept for the other filters.
    """
    if not plan.windows:
        return
    lines = min(_SMALL_LINES, plan.height)
    small = f"scale={max(16, round(plan.width * lines / plan.height))}:{lines}:flags=area,format=gray"
    margin = 3 * max(plan.shift_seconds, 1 / float(plan.rate))
    for label in ("dp", "rp", *(["rf"] if plan.pairing == "fps" else [])):
        start = "setpts=PTS-STARTPTS," if label == "rp" and plan.pairing == "fps" else ""
        around = 0.0 if label == "dp" else margin
        yield f"[{label}]{start}split={len(plan.windows)}" + _labels(label, len(plan.windows))
        for n, (begin, end) in enumerate(plan.windows):
            cut = f"trim=start={max(0.0, begin - around):.6f}:end={end + around:.6f}"
            yield f"[{label}{n}]{cut},{small}[{label}{n}s]"
    for n in range(len(plan.windows)):
        yield from _window_pairs(plan, n)


def _window_pairs(plan: Plan, n: int) -> Iterator[str]:
    shift = plan.shift_seconds
    names = probe_names(plan)
    yield f"[dp{n}s]split={len(names)}" + "".join(f"[p{n}_{name}]" for name in names)
    yield f"[rp{n}s]split=3[q{n}_now][e{n}][l{n}]"
    yield f"[e{n}]setpts=PTS-{shift:.9f}/TB[q{n}_early]"
    yield f"[l{n}]setpts=PTS+{shift:.9f}/TB[q{n}_late]"
    for name in names:
        reference = f"rf{n}s" if name == "paired" else f"q{n}_{name}"
        yield f"[p{n}_{name}][{reference}]psnr=stats_file={name}{n}.log:{_SYNC},nullsink"


def probe_names(plan: Plan) -> tuple[str, ...]:
    """The pairings that are tried in each window; window n logs to ``NAMEn.log``."""
    return ("now", "early", "late", *(["paired"] if plan.pairing == "fps" else []))


def _labels(name: str, count: int) -> str:
    return "".join(f"[{name}{n}]" for n in range(count))
