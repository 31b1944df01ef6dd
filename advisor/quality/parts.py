"""One long pair in parts that can be measured anywhere, and give together what one pass gives, to the bit.

A part is decoded from a key frame of the reference on, and reaches some frames beyond both of its ends: the
metrics that look at neighbours have them, and the parts beside it compare the same frames once more. Where a
border was not what its container says (open groups in some containers, intra refresh), those frames differ,
and one pass tells.

`prepare`, `parts`, `measure_part` and `combine` depend on their arguments alone; all values are picklable.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import WattframeError
from advisor.quality.graph import reference_track
from advisor.quality.logs import Logs, complaints, read_logs, size_changes
from advisor.quality.matching import Decoded
from advisor.quality.measure import begun, better
from advisor.quality.outcome import Measurement, finished
from advisor.quality.passes import MARGIN_SECONDS, Cut, FrameProgress, OutputState, Work, run_pass
from advisor.quality.probe import Media, probe
from advisor.quality.settings import Area, QualitySettings
from advisor.quality.tracks import Track, read_track

_Value = TypeVar("_Value", float, float | None)

LEAST_SECONDS = 30.0
"""Below it, starting ffmpeg again costs more than it gives."""
_OVERLAP_FRAMES = 2
"""VMAF's motion looks at both neighbours, XPSNR above 32 frames a second at the two frames before."""
_OVERLAP_FRAMES_HFR = 5
_AT_A_BORDER = re.compile(r"co located POCs unavailable|mmco: unref short failure")
"""What the decoder of H.264 says where it begins in the middle of a stream that leans on what came before."""


class Span(Struct, frozen=True):
    """Numbers of frames: from ``low`` to ``high`` is compared, from ``begin`` to ``end`` counts."""

    low: int
    begin: int
    end: int
    high: int


class Part(Struct, frozen=True):
    """A part of a pair."""

    pairs: Span
    """Of the pairing, from its first pair."""
    reference: Span
    output: Span


class Prepared(Struct, frozen=True, eq=False):
    """A pair of which is known what its files say."""

    source: Media
    output: OutputState
    settings: QualitySettings


class PartResult(Struct, frozen=True, eq=False):
    """What a part showed, overlaps included."""

    reference: Track
    output: Track
    logs: Logs
    clean: bool
    """ffmpeg complained about nothing but the border."""


def prepare(reference: Path | str, distorted: Path | str, settings: QualitySettings) -> Prepared:
    """Look at the two files.

    Raises
    ------
    MediaError
        One of them cannot be read, or the two cannot be compared at all.
    """
    source = probe(reference, settings.raw)
    return Prepared(source, begun(source, probe(distorted, settings.raw), settings), settings)


def parts(prepared: Prepared, count: int) -> list[Part]:
    """About ``count`` parts of equal length; empty where one pass is the way."""
    source, output = prepared.source, prepared.output
    pairing = output.comparison.pairing
    times = (source.times, output.media.times)
    if count < 2 or not _divisible(prepared) or any(b <= a for t in times for a, b in pairwise(t)):
        return []
    models = output.comparison.plan.models
    overlap = _OVERLAP_FRAMES_HFR if any("_hfr_" in model for model in models) else _OVERLAP_FRAMES
    borders = list(_borders(prepared, count, overlap))
    if not borders:
        return []
    total, first, partners = len(pairing.partners), pairing.first, pairing.partners
    margin = round(MARGIN_SECONDS * float(source.rate or 25))
    reference_end = min(len(source.times), int(partners[-1]) + 1 + margin)
    cut = []
    for begin, end in pairwise([None, *borders, None]):
        low, kept = (0, 0) if begin is None else (begin, begin + overlap)
        until, high = (total, total) if end is None else (end + overlap, min(total, end + 2 * overlap))
        of_pairs = Span(low, kept, until, high)
        of_output = Span(*(first + n for n in (low, kept, until, high)))
        of_reference = Span(
            int(partners[low]),
            int(partners[kept]),
            reference_end if end is None else int(partners[until]),
            reference_end if end is None else max(int(partners[high - 1]) + 1, int(partners[until])),
        )
        if begin is None:
            of_output, of_reference = (replace(span, low=0, begin=0) for span in (of_output, of_reference))
        if end is None:
            frames = len(output.media.times)
            of_output = replace(of_output, end=frames, high=frames)
        cut.append(Part(of_pairs, of_reference, of_output))
    return cut


def _divisible(prepared: Prepared) -> bool:
    """Whether every frame of both files is where its time says."""
    settings, media = prepared.settings, (prepared.source, prepared.output.media)
    whole = not (settings.reference_filter or settings.reference_start or settings.reference_loops)
    return whole and all(
        one.times and one.seconds >= LEAST_SECONDS and not one.suspect and not one.reads_as for one in media
    )


def _borders(prepared: Prepared, count: int, overlap: int) -> Iterator[int]:
    """Pairs at which parts begin to be compared: at key frames of the reference, near those of the output."""
    source, media, pairing = prepared.source, prepared.output.media, prepared.output.comparison.pairing
    total, step = len(pairing.partners), prepared.settings.subsample
    keys = np.unique(np.searchsorted(source.times, np.array(source.key_times) - 1e-6))
    pairs = np.searchsorted(pairing.partners, keys)
    pairs = np.unique(pairs + -pairs % step)
    pairs = pairs[(pairs > 0) & (pairs < total)]
    theirs = np.searchsorted(media.times, np.array(sorted(media.key_times)) - 1e-6)
    last = 0
    for number in range(1, count):
        target, reach = number * total / count, total / count / 4
        near = pairs[np.abs(pairs - target) <= reach]
        near = near[(near - last > 8 * overlap) & (total - near > 8 * overlap)]
        if not len(near):
            continue
        frames = near + pairing.first
        # what is decoded of the output and not compared
        lead = frames - theirs[np.maximum(np.searchsorted(theirs, frames, side="right") - 1, 0)]
        last = int(near[np.lexsort((np.abs(near - target), lead))[0]])
        yield last


def measure_part(
    prepared: Prepared,
    part: Part,
    *,
    ffmpeg: str,
    threads: int,
    nice: int = 0,
    progress: FrameProgress | None = None,
) -> PartResult:
    """Compare one part.

    Raises
    ------
    MediaError, FfmpegError
        As `advisor.quality.measure.measure`.
    """
    source, output, settings = prepared.source, prepared.output, prepared.settings
    pairing, span = output.comparison.pairing, part.pairs
    inside = replace(
        pairing,
        first=pairing.first + span.low - part.output.low,
        partners=pairing.partners[span.low : span.high] - part.reference.low,
    )
    state = replace(output, comparison=replace(output.comparison, pairing=inside))
    cuts = _cut(source, part.reference), _cut(output.media, part.output)
    work = Work(settings, ffmpeg, threads, nice, progress)
    with tempfile.TemporaryDirectory(prefix="wattframe-quality-") as name:
        folder = Path(name)
        messages = run_pass(work, source, [state], folder, cuts)
        return PartResult(
            read_track(folder, reference_track(0, output.comparison.plan)),
            read_track(folder, "track0"),
            read_logs(folder, messages, 0, output.comparison.plan),
            clean=_clean(messages, part),
        )


def _clean(messages: str, part: Part) -> bool:
    begins_inside = part.reference.low > 0 or part.output.low > 0
    serious = [line for line in complaints(messages) if not (begins_inside and _AT_A_BORDER.search(line))]
    return not serious and not size_changes(messages)


def _cut(media: Media, span: Span) -> Cut:
    times, began = media.times, media.began_seconds
    key = begin = end = None
    if span.low > 0:
        begin = began + (times[span.low - 1] + times[span.low]) / 2
        keys = [time for time in media.key_times if time <= times[span.low]]
        frame = 1 / float(media.rate or 25)
        key = began + max(keys) + frame / 2 if keys else None
    if span.high < len(times):
        end = began + (times[span.high - 1] + times[span.high]) / 2
    return Cut(key, begin, end, began)


def combine(prepared: Prepared, cut: Sequence[Part], results: Sequence[PartResult]) -> Measurement | None:
    """What one pass would have given; None where only one pass can tell."""
    source, output = prepared.source, prepared.output
    answers = list(zip(cut, results, strict=True))
    if not all(_as_told(prepared, *answer) for answer in answers) or not all(map(_agree, pairwise(answers))):
        return None
    reference = _joined([(result.reference, part.reference) for part, result in answers])
    track = _joined([(result.output, part.output) for part, result in answers])
    seen = Decoded(source, output.media, reference, track, prepared.settings)
    logs = _joined_logs(cut, [result.logs for result in results])
    try:
        if better(Work(prepared.settings, "", 1, 0, None), output, seen) is not None:
            return None
        return finished(output, seen, logs, [])
    except WattframeError:
        return None


def _as_told(prepared: Prepared, part: Part, result: PartResult) -> bool:
    """Whether ffmpeg compared the frames that it was to compare, and all went well."""
    sides = (
        (result.reference, part.reference, prepared.source),
        (result.output, part.output, prepared.output.media),
    )
    all_frames = all(
        len(track.times) == span.high - span.low
        and np.allclose(track.times, media.times[span.low : span.high], rtol=0, atol=1e-4)
        for track, span, media in sides
    )
    return result.clean and all_frames and len(result.logs.psnr_decibels) == part.pairs.high - part.pairs.low


def _agree(beside: tuple[tuple[Part, PartResult], tuple[Part, PartResult]]) -> bool:
    """Whether two parts that follow each other say the same of the frames that both compared."""
    (before, one), (behind, other) = beside
    low, high = behind.pairs.low, before.pairs.high
    shared = slice(low - before.pairs.low, high - before.pairs.low)
    return all(
        getattr(one.logs, name)[shared] == getattr(other.logs, name)[: high - low]
        for name in ("psnr_decibels", "ssim_ratio")
    )


def _joined(tracks: Sequence[tuple[Track, Span]]) -> Track:
    kept = [(track, slice(span.begin - span.low, span.end - span.low)) for track, span in tracks]
    areas = [track.inside_bars for track, _ in tracks if track.inside_bars is not None]
    return Track(
        np.concatenate([track.times[part] for track, part in kept]),
        np.concatenate([track.pictures[part] for track, part in kept]),
        _around(areas) if areas else None,
    )


def _around(areas: Sequence[Area]) -> Area:
    x, y = min(area.x for area in areas), min(area.y for area in areas)
    right, bottom = (max(area.x + area.width for area in areas), max(area.y + area.height for area in areas))
    return Area(right - x, bottom - y, x, y)


def _joined_logs(cut: Sequence[Part], logs: Sequence[Logs]) -> Logs:
    def joined(lists: Sequence[Sequence[_Value]]) -> tuple[_Value, ...]:
        spans = [part.pairs for part in cut]
        return tuple(
            value
            for span, values in zip(spans, lists, strict=True)
            for value in values[span.begin - span.low : span.end - span.low]
        )

    first = logs[0]
    lists = ("psnr_y_decibels", "psnr_decibels", "ssim_y_ratio", "ssim_ratio", "xpsnr_y_decibels")
    return replace(
        first,
        vmaf=tuple(joined([log.vmaf[model] for log in logs]) for model in range(len(first.vmaf))),
        features={name: joined([log.features[name] for log in logs]) for name in first.features},
        **{name: joined([getattr(log, name) for log in logs]) for name in lists},
    )
