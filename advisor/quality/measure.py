"""Compare videos with their reference: probe, let ffmpeg run, and judge whether the frames belong together.

A first pass lays the frames side by side as their times suggest, and brings back thumbnails of all of them.
When these show that other frames belong together, that bars have to be cut or that a file is damaged, a
second pass measures what is now known. Most pairs need one pass.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from advisor.common.control_group import memory_bytes
from advisor.errors import FfmpegError, InputError, MediaError, WattframeError
from advisor.quality.alignment import doubtful, fit
from advisor.quality.crop import Crop, crop_by_bars, crop_by_hand
from advisor.quality.graph import Comparison, Plan, plan, range_taken, reference_track
from advisor.quality.logs import combed, complaints, read_logs, size_changes
from advisor.quality.matching import Decoded, frame_times, given_shift, paired, reference_timing
from advisor.quality.outcome import Measurement, finished
from advisor.quality.pairing import Pairing, Timing, pair_by_times
from advisor.quality.passes import (
    WIDE_SECONDS,
    FrameProgress,
    OutputState,
    Work,
    ffmpeg_command,
    run_pass,
)
from advisor.quality.pictures import are_limited
from advisor.quality.probe import Media, intact_frames, probe, seen_through
from advisor.quality.process import run_ffmpeg
from advisor.quality.process_limits import process_limits
from advisor.quality.registration import WITHIN, areas_around, best_of, registration_graph
from advisor.quality.settings import Area, QualitySettings
from advisor.quality.tracks import Track, read_track
from advisor.video.ffmpeg import find_ffmpeg

_PASSES = 4
_BYTES_PER_PIXEL = 140
"""Memory of one output in a pass, per pixel of its picture: measured with three and six outputs."""
_MEMORY_SHARE = 0.4
_TELLING_VARIANCE = 8.0
"""Of the first frames' thumbnails: with less, noise would tell where a picture lies."""
_AREAS_AT_ONCE = 27
"""Threads of more, a few for each, do not fit into the memory that a pass may have."""


def measure(
    reference: Path | str,
    distorted: Path | str,
    settings: QualitySettings | None = None,
    *,
    ffmpeg: str | None = None,
    threads: int | None = None,
    nice: int = 0,
    progress: FrameProgress | None = None,
) -> Measurement:
    """Compare ``distorted`` with ``reference``.

    Depends on its arguments alone. An exception from ``progress``, or Ctrl-C, ends ffmpeg too.

    Raises
    ------
    MediaError
        One of the files cannot be read or decoded, or the two cannot be compared at all.
    FfmpegError
        ffmpeg is missing, crashed or was killed.
    """
    (outcome,) = measure_all(
        reference, [distorted], settings, ffmpeg=ffmpeg, threads=threads, nice=nice, progress=progress
    )
    if isinstance(outcome, WattframeError):
        raise outcome
    return outcome


def measure_all(
    reference: Path | str,
    distorted: Sequence[Path | str],
    settings: QualitySettings | None = None,
    *,
    ffmpeg: str | None = None,
    threads: int | None = None,
    nice: int = 0,
    progress: FrameProgress | None = None,
) -> list[Measurement | WattframeError]:
    """Compare several outputs with one reference, which is decoded once for as many as memory allows.

    Returns
    -------
    list
        In the order of ``distorted``: a measurement, or the error that `measure` would have raised.

    Raises
    ------
    MediaError
        The reference cannot be read.
    FfmpegError
        ffmpeg is missing.
    """
    work = Work(
        settings or QualitySettings(),
        str(find_ffmpeg(ffmpeg)),
        threads or len(os.sched_getaffinity(0)),
        nice,
        progress,
    )
    source = seen_through(probe(reference, work.settings.raw), work.settings.reference_filter or "")
    outcomes: list[Measurement | WattframeError | None] = [None] * len(distorted)
    outputs: dict[int, OutputState] = {}
    for place, path in enumerate(distorted):
        try:
            outputs[place] = begun(source, probe(path, work.settings.raw), work.settings)
        except WattframeError as exc:
            outcomes[place] = exc
    for group in _groups(outputs, source):
        within = process_limits(source, [outputs[place].media for place in group], work.threads)
        measured = _measured(replace(work, limits=within), source, {place: outputs[place] for place in group})
        for place, outcome in measured.items():
            outcomes[place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _groups(outputs: dict[int, OutputState], source: Media) -> list[list[int]]:
    """Places of outputs that share a pass: as many as fit into a part of the memory that is free."""
    each = max(1, _BYTES_PER_PIXEL * source.width * source.height)
    most = max(1, int(memory_bytes()[1] * _MEMORY_SHARE / each))
    places = list(outputs)
    return [places[at : at + most] for at in range(0, len(places), most)]


def begun(source: Media, encode: Media, settings: QualitySettings) -> OutputState:
    """The first guess: whole pictures, frames by the times in the containers."""
    crop = crop_by_hand(settings.crop, source) if isinstance(settings.crop, Area) else Crop()
    decided = plan(source, encode, settings, crop)
    source_timing = reference_timing(source, encode, settings)
    if encode.frames == 1 < len(source_timing.times):
        raise MediaError(f"is a single picture, the reference has {source.frames}", subject=encode.path)
    encode_timing = Timing(frame_times(encode), encode.rate)
    shift = given_shift(source_timing, encode_timing, settings) or 0
    pairings = pair_by_times(source_timing, encode_timing, shift)
    if not pairings:
        raise MediaError("has no frame in common with the reference", subject=encode.path)
    return OutputState(encode, Comparison(decided, pairings[0]))


def _measured(
    work: Work, source: Media, outputs: dict[int, OutputState]
) -> dict[int, Measurement | WattframeError]:
    """Passes until nothing changes any more; one output that cannot be measured does not end the others."""
    outcomes: dict[int, Measurement | WattframeError] = {}
    begun = time.monotonic()
    for _ in range(_PASSES):
        if not outputs:
            break
        try:
            outputs = _pass(work, source, outputs, outcomes, begun)
        except (MediaError, FfmpegError) as exc:
            if len(outputs) == 1:
                return {**outcomes, next(iter(outputs)): exc}
            for place, output in outputs.items():
                outcomes |= _measured(work, source, {place: output})
            return outcomes
    for place in outputs:
        outcomes[place] = FfmpegError("every pass of ffmpeg showed other frames")
    return outcomes


def _pass(
    work: Work,
    source: Media,
    outputs: dict[int, OutputState],
    outcomes: dict[int, Measurement | WattframeError],
    begun: float,
) -> dict[int, OutputState]:
    """One pass over ``outputs``; adds what is finished to ``outcomes``, returns what needs another."""
    again: dict[int, OutputState] = {}
    with tempfile.TemporaryDirectory(prefix="wattframe-quality-") as name:
        folder = Path(name)
        messages = run_pass(work, source, list(outputs.values()), folder)
        broken = complaints(messages)
        sizes, fields = size_changes(messages), combed(messages)
        for n, (place, output) in enumerate(outputs.items()):
            try:
                names = reference_track(n, output.comparison.plan), f"track{n}"
                reference, track = (read_track(folder, one) for one in names)
                media = _with_fields(output.media, names[1] in fields)
                fielded = _with_fields(source, names[0] in fields)
                seen = Decoded(fielded, media, reference, track, work.settings)
                if output.intact is None and (broken or source.suspect or output.media.suspect):
                    output = replace(output, intact=_intact(seen))
                reference, track = map(_until, (reference, track), output.intact or (None, None))
                seen = replace(seen, reference=reference, track=track)
                improved = better(work, output, seen)
                if improved is not None:
                    again[place] = improved
                    continue
                logs = read_logs(folder, messages, n, output.comparison.plan)
                notes = [
                    f"the picture of the {which} changes its size to {sizes[number]}"
                    for which, number in (("reference", 0), ("output", n + 1))
                    if number in sizes
                ]
                notes += [f"ffmpeg said: {line}" for line in broken[:1]]
                measurement = finished(output, seen, logs, notes)
                quality = replace(measurement.quality, computation_seconds=time.monotonic() - begun)
                outcomes[place] = replace(measurement, quality=quality)
            except (MediaError, FfmpegError, InputError) as exc:
                outcomes[place] = exc
    return again


def better(work: Work, output: OutputState, seen: Decoded) -> OutputState | None:
    """What should be compared instead, None when all is right."""
    source, media, settings, tracks = seen.source, seen.media, seen.settings, (seen.reference, seen.track)
    for one, track in zip((source, media), tracks, strict=True):
        if not len(track.times):
            raise MediaError("is damaged from its first picture on", subject=one.path)
    former = output.comparison.plan
    if not former.limited and _is_limited(output.comparison.pairing, seen):
        return _planned(output, plan(source, media, settings, former.crop, limited=True))
    if settings.crop == "auto" and former.crop == Crop():
        crop = crop_by_bars(source, media, (tracks[0].inside_bars, tracks[1].inside_bars))
        if crop != Crop():
            return _planned(output, plan(source, media, settings, crop, limited=former.limited))
    pairing = paired(seen)
    if pairing is None:
        raise MediaError("has no frame in common with the reference", subject=media.path)
    pairs = fit(*seen.pictures, pairing)
    unread = source.seconds - float(tracks[0].times[-1] - tracks[0].times[0]) > 1.0
    if unread and output.margin_seconds < WIDE_SECONDS:
        ends_short = pairing.first + len(pairing.partners) < len(tracks[1].times)
        if ends_short if pairing.shift else doubtful(pairs):
            return replace(output, margin_seconds=WIDE_SECONDS)
    changed = replace(output, comparison=replace(output.comparison, pairing=pairing))
    tells = np.mean(pairs.variances[:WITHIN]) > _TELLING_VARIANCE
    if settings.crop == "auto" and not output.registered and tells:
        changed = replace(_registered(work, changed, source), registered=True)
    same = pairing.same(output.comparison.pairing) and changed.comparison.plan.crop == former.crop
    return None if same else changed


def _is_limited(pairing: Pairing, seen: Decoded) -> bool:
    """Whether a side was taken for full range because the other is, and its pictures say otherwise."""
    side, (reference, output) = range_taken(seen.source, seen.media), seen.pictures
    if side is None:
        return False
    theirs = reference[pairing.partners[pairing.partners < len(reference)]]
    ours = output[pairing.first : pairing.first + len(pairing.partners)]
    return are_limited(theirs, ours) if side == "reference" else are_limited(ours, theirs)


def _planned(output: OutputState, decided: Plan) -> OutputState:
    return replace(output, comparison=replace(output.comparison, plan=decided))


def _registered(work: Work, output: OutputState, source: Media) -> OutputState:
    """``output`` with the crop that fits best on some frames."""
    former = output.comparison.plan
    crops = areas_around(former.crop, source, output.media)
    if len(crops) == 1:
        return output
    plans = [plan(source, output.media, work.settings, crop, limited=former.limited) for crop in crops]
    with tempfile.TemporaryDirectory(prefix="wattframe-quality-") as name:
        folder = Path(name)
        for begin in range(0, len(crops), _AREAS_AT_ONCE):
            numbers = range(begin, min(begin + _AREAS_AT_ONCE, len(crops)))
            graph = registration_graph({n: plans[n] for n in numbers}, output.comparison.pairing)
            if work.settings.reference_filter:
                graph = graph.replace("[0:V:0]", f"[0:V:0]{work.settings.reference_filter},", 1)
            command = ffmpeg_command(work, source, [output], folder, graph)
            command += ["-filter_complex_threads", "1"]  # not one for each processor
            for n in numbers:
                command += ["-map", f"[area{n}]", "-f", "null", "-"]
            inputs = source.path, output.media.path
            run_ffmpeg(command, folder=folder, nice=work.nice, inputs=inputs, limits=work.limits)
        return _planned(output, plans[crops.index(best_of(folder, crops))])


def _intact(seen: Decoded) -> tuple[int | None, int | None]:
    """Frames of both files before those that cannot be decoded as they were meant; None for all.

    A reference that is not read as it is counts other frames than its file.
    """
    frames, settings = intact_frames(seen.media), seen.settings
    if frames < len(seen.track.times):
        return None, frames
    if settings.reference_loops or settings.reference_filter or settings.reference_start:
        return None, None
    frames = intact_frames(seen.source)
    return (frames if frames < len(seen.reference.times) else None), None


def _with_fields(media: Media, seen: bool) -> Media:
    return replace(media, interlaced=media.interlaced or seen)


def _until(track: Track, limit: int | None) -> Track:
    return replace(track, times=track.times[:limit], pictures=track.pictures[:limit])
