"""From what one pass wrote of an output to its `Quality`: reason, notes and scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import FfmpegError
from advisor.quality.alignment import Fit, begins_with_a_still, fit, judge
from advisor.quality.crop import Crop
from advisor.quality.frames import Frame, frame_rows
from advisor.quality.geometry import part_shown
from advisor.quality.graph import Plan
from advisor.quality.logs import Logs
from advisor.quality.matching import Decoded, shift_seconds, undecided
from advisor.quality.pairing import Pairing
from advisor.quality.passes import OutputState
from advisor.quality.pictures import FLOOR, errors
from advisor.quality.pooling import mean_decibels, pool, psnr_cap_decibels
from advisor.quality.probe import Media
from advisor.quality.settings import Area
from advisor.results import Psnr, Quality, Ssim


class Measurement(Struct, frozen=True):
    """A `Quality` and the frames behind it."""

    quality: Quality
    frames: tuple[Frame, ...] = ()
    """Empty where the pair is not aligned."""


def finished(output: OutputState, seen: Decoded, logs: Logs, complaints: Sequence[str]) -> Measurement:
    """The measurement; ``complaints`` are notes on what ffmpeg said.

    Raises
    ------
    FfmpegError
        ffmpeg compared other frames than it was told to.
    """
    pairing = output.comparison.pairing
    compared = len(logs.psnr_decibels)
    if compared != len(pairing.partners):
        raise FfmpegError(f"ffmpeg compared {compared} of {len(pairing.partners)} frames")
    rate = float(seen.source.rate or 25)
    pairs = fit(*seen.pictures, pairing)
    reason, notes = _beyond(output, seen, pairs)
    if reason is None and undecided(pairing, seen):
        reason = "the frame rates differ, and the output does not show which frames were kept"
    if reason is None and seen.settings.crop != "none":
        reason = _part_shown(pairs, output.comparison.plan.crop, seen.source)
    if reason is None:
        times = seen.track.times[pairing.first :] - seen.track.times[0]
        verdict = judge(pairs, times, rate)
        reason, notes = verdict.reason, [*notes, *verdict.notes]
    quality = Quality(
        aligned=reason is None,
        reason=reason,
        frames=compared,
        comparison_height_pixels=output.comparison.plan.height,
        libvmaf_version=logs.libvmaf_version,
        reference=seen.source.path,
        distorted=output.media.path,
        crop=_crop_used(output, seen.source),
        offset_seconds=round(shift_seconds(pairing, seen), 6),
    )
    if reason is not None:
        return Measurement(quality)
    notes = [*output.comparison.plan.notes, *notes, *_notes(output, seen), *complaints]
    decided = output.comparison.plan
    cap = psnr_cap_decibels(decided.depth)
    rows = frame_rows(pairing, seen.reference, seen.track, logs, decided.models, cap)
    return Measurement(_scored(quality, decided, logs, notes), rows)


def _crop_used(output: OutputState, source: Media) -> dict[str, str] | None:
    crop = output.comparison.plan.crop
    if crop == Crop():
        return None
    whole = [Area(media.width, media.height, 0, 0) for media in (source, output.media)]
    return {"reference": str(crop.reference or whole[0]), "output": str(crop.output or whole[1])}


def _part_shown(pairs: Fit, crop: Crop, source: Media) -> str | None:
    """Why the pictures do not lie on each other; None where they do."""
    edges = part_shown(pairs)
    if edges is None:
        return None
    area = crop.reference or Area(source.width, source.height, 0, 0)
    left, right = (area.x + round(area.width * edge) for edge in edges[::2])
    top, bottom = (area.y + round(area.height * edge) for edge in edges[1::2])
    found = f"the output was cut or stretched: it shows columns {left} to {right} and lines {top} to {bottom}"
    if min(left, top) < 0 or right > source.width or bottom > source.height:
        return f"{found} of the reference, which has {source.width}x{source.height}"
    part = Area(right - left, bottom - top, left, top)
    return f"{found} of the reference, about; --crop {part} compares these"


def _beyond(output: OutputState, seen: Decoded, pairs: Fit) -> tuple[str | None, list[str]]:
    """What is to be said of the output's frames in front of the first partner and behind the last."""
    pairing, times, notes = output.comparison.pairing, seen.track.times, []
    rate, offset = float(seen.source.rate or 25), shift_seconds(pairing, seen)
    lead, tail = pairing.first, len(times) - pairing.first - len(pairing.partners)
    if pairing.shift:
        side = "later" if pairing.shift > 0 else "earlier"
        notes.append(f"the output begins {abs(offset):.3f} s {side} than the reference")
    if lead:
        held = _holds_first(pairs, seen.track.pictures[:lead])
        if not held and seen.settings.offset is None and begins_with_a_still(seen.track.pictures, lead):
            count = f"{lead} frame" + "s" * (lead > 1)
            what = f"the output begins with {count} of one picture that the reference does not begin with"
            return f"{what}; --offset {offset:.3f} compares what follows", []
        what = "hold the first picture" if held else "are not in the reference"
        notes.append(f"the output's first {-offset:.3f} s {what}; they are not scored")
    if tail <= 0:
        return None, notes
    most = max(1, round(float(output.media.rate or 25) / rate))
    if tail <= most:
        more = "one frame" if tail == 1 else f"{tail} frames"
        notes.append(f"the output has {more} more than the reference, left out")
    elif pairing.shift or (output.intact is not None and output.intact[0] is not None):
        notes.append(f"the reference ends {tail} frames before the output; they are not scored")
    else:
        ends = [_seconds(track.times) for track in (seen.reference, seen.track)]
        return f"the reference ends before the output: {ends[0]:.2f} against {ends[1]:.2f} s", []
    return None, notes


def _holds_first(pairs: Fit, lead: np.ndarray) -> bool:
    """Whether what is in front of the first pair shows it too, all the time."""
    first = pairs.reference[pairs.partners[:1]]
    return bool(np.max(errors(lead, first)) <= 2 * pairs.used[0] + 4 * FLOOR)


def _seconds(times: np.ndarray) -> float:
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return float(times[-1] - times[0]) + step


def _scored(quality: Quality, decided: Plan, logs: Logs, notes: list[str]) -> Quality:
    cap = psnr_cap_decibels(decided.depth)
    psnr, psnr_y = mean_decibels(logs.psnr_decibels), mean_decibels(logs.psnr_y_decibels)
    pooled = [
        pool([score for score in scores if score is not None], model)
        for scores, model in zip(logs.vmaf, decided.models, strict=True)
    ]
    return replace(
        quality,
        reason=f"no VMAF: {decided.lacks_vmaf}" if decided.lacks_vmaf else None,
        vmaf=pooled[0] if pooled else None,
        vmaf_extra={score.model: score for score in pooled[1:] if score.model},
        psnr_decibels=Psnr(average=min(psnr, cap), y=min(psnr_y, cap)),
        lossless=psnr == math.inf,
        ssim_ratio=Ssim(all=_mean(logs.ssim_ratio), y=_mean(logs.ssim_y_ratio)),
        xpsnr_decibels=min(mean_decibels(logs.xpsnr_y_decibels, 20), cap) if decided.xpsnr else None,
        metrics={name: _mean(values) for name, values in logs.features.items()},
        notes=notes,
    )


def _mean(values: Sequence[float | None]) -> float:
    scored = [value for value in values if value is not None]
    return math.fsum(scored) / len(scored)


def _notes(output: OutputState, seen: Decoded) -> list[str]:
    """What does not make a score wrong and yet should be known."""
    source, encode = seen.source, seen.media
    pairing, notes = output.comparison.pairing, []
    tracks = seen.reference, seen.track
    sides = ("reference", "output"), (source, encode), output.intact or (None, None), tracks
    for which, media, limit, track in zip(*sides, strict=True):
        if media.films > 1:
            notes.append(f"the {which} has {media.films} video streams; the first was compared")
        if limit is not None:
            span = f"{limit} frames ({_seconds(track.times):.2f} s)"
            notes.append(f"the {which} is damaged after {span}; the rest is not scored")
    crop = _crop_used(output, source)
    if crop is not None:
        notes.append(f"compared: {crop['reference']} of the reference, {crop['output']} of the output")
    notes += _dropped(pairing, seen)
    whole = not seen.settings.reference_loops and not seen.settings.reference_start
    times = seen.reference.times
    used_seconds = float(times[pairing.partners[-1]] - times[0])
    whole_seconds = max(float(times[-1] - times[0]), source.seconds - 1 / float(source.rate or 25))
    left = whole_seconds - used_seconds
    if whole and not pairing.shift and left > 0.1:
        notes.append(f"the output ends {left:.2f} s before the reference")
    notes += _fields(seen)
    if encode.height > 1.005 * source.height and crop is None:
        notes.append("the reference is smaller than the output: are they swapped?")
    if abs(source.display_aspect / encode.display_aspect - 1) > 0.03 and crop is None:
        shapes = f"{source.display_aspect:.3f} and {encode.display_aspect:.3f}"
        notes.append(f"display aspects differ ({shapes}): whole frames were compared")
    return notes


def _dropped(pairing: Pairing, seen: Decoded) -> list[str]:
    """Frames of the reference between the first and the last partner that the output has not."""
    source, encode, partners = seen.source, seen.media, pairing.partners
    if source.rate is None or encode.rate is None or encode.rate < Fraction(999, 1000) * source.rate:
        return []
    expected = int(partners[-1] - partners[0]) + 1
    lacking = expected - len(np.unique(partners))
    if lacking < 2:
        return []
    return [f"{lacking} of {expected} frames of the reference are missing in the output"]


def _fields(seen: Decoded) -> list[str]:
    """Interlaced or telecined video beside progressive video."""
    source, encode = seen.source, seen.media
    if seen.settings.reference_filter is not None:
        return [f"the reference was filtered with {seen.settings.reference_filter}"]
    if source.interlaced and not encode.interlaced:
        return [
            "the reference is interlaced and the output is not: --reference-filter yadif (or the filter that "
            "the encode used; fieldmatch,decimate for telecined film) compares pictures with pictures"
        ]
    if encode.interlaced and not source.interlaced:
        return ["the output is interlaced and the reference is not"]
    return []
