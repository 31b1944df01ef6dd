"""Compare videos with their reference: probe, let ffmpeg run, and judge whether the frames belong together.

A first pass lays the frames side by side as their times suggest, and brings back thumbnails of all of them.
When these show that other frames belong together, that bars have to be cut or that a file is damaged, a
second pass measures what is now known. Most pairs need one pass.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import FfmpegError, InputError, MediaError, WattframeError
from advisor.quality.alignment import begins_with_a_still, doubtful, judge
from advisor.quality.crop import Crop, crop_by_bars, crop_by_hand
from advisor.quality.frames import Frame, frame_rows
from advisor.quality.graph import Comparison, Plan, filter_graph, plan, reference_track
from advisor.quality.logs import Logs, complaints, read_logs, size_changes
from advisor.quality.pairing import (
    Pairing,
    Timing,
    pair_by_pictures,
    pair_by_times,
    shifted_by_pictures,
    undecided,
)
from advisor.quality.pooling import pool, psnr_cap_decibels
from advisor.quality.probe import Media, intact_frames, nominal_rate, probe
from advisor.quality.process import run_ffmpeg
from advisor.quality.registration import areas_around, best_of, registration_graph
from advisor.quality.settings import Area, QualitySettings
from advisor.quality.tracks import Track, read_track
from advisor.results import Psnr, Quality, Ssim
from advisor.video.ffmpeg import FILES_ONLY, find_ffmpeg

__all__ = ["Measurement", "measure", "measure_all"]

FrameProgress = Callable[[int, int], None]
"""Called with the frames compared so far and the frames to compare."""

_PASSES = 4
_OFFSET_SECONDS = 10.0
"""How far apart the beginnings of two videos are looked for."""
_MARGIN_SECONDS = 31.0
"""Of the reference that are read behind the last partner, in case the output belongs further on."""
_BYTES_PER_PIXEL = 140
"""Memory of one output in a pass, per pixel of its picture: measured with three and six outputs."""
_MEMORY_SHARE = 0.4


class Measurement(Struct, frozen=True):
    """A `Quality` and the frames behind it."""

    quality: Quality
    frames: tuple[Frame, ...]
    """Empty where the pair is not aligned."""


class _Output(Struct, frozen=True, eq=False):
    """One output on its way: what is decided so far."""

    media: Media
    comparison: Comparison
    limit: int | None = None
    """Frames that can be used, where the file is damaged behind them; None for all."""
    reference_limit: int | None = None
    registered: bool = False
    """The edges of the crop were tried."""
    examined: bool = False
    """Both files were decoded to see where they are damaged."""
    offset_frames: int = 0
    """The reference's frame that the output begins with; negative: the output's that the reference begins
    with."""


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
    work = _Work(
        settings or QualitySettings(),
        str(find_ffmpeg(ffmpeg)),
        threads or len(os.sched_getaffinity(0)),
        nice,
        progress,
    )
    source = probe(reference, work.settings.raw)
    outcomes: list[Measurement | WattframeError | None] = [None] * len(distorted)
    outputs: dict[int, _Output] = {}
    for place, path in enumerate(distorted):
        try:
            outputs[place] = _begun(source, probe(path, work.settings.raw), work.settings)
        except WattframeError as exc:
            outcomes[place] = exc
    for group in _groups(outputs, source):
        measured = _measured(work, source, {place: outputs[place] for place in group})
        for place, outcome in measured.items():
            outcomes[place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


class _Work(Struct, frozen=True):
    """What every pass needs."""

    settings: QualitySettings
    ffmpeg: str
    threads: int
    nice: int
    progress: FrameProgress | None


def _groups(outputs: dict[int, _Output], source: Media) -> list[list[int]]:
    """Places of outputs that share a pass: as many as fit into a part of the memory that is free."""
    each = max(1, _BYTES_PER_PIXEL * source.width * source.height)
    most = max(1, int(_free_memory_bytes() * _MEMORY_SHARE / each))
    places = list(outputs)
    return [places[at : at + most] for at in range(0, len(places), most)]


def _free_memory_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 30


def _begun(source: Media, encode: Media, settings: QualitySettings) -> _Output:
    """The first guess: whole pictures, frames by the times in the containers."""
    crop = crop_by_hand(settings.crop, source) if isinstance(settings.crop, Area) else Crop()
    decided = plan(source, encode, settings, crop)
    timing = _reference_timing(source, encode, settings)
    theirs = Timing(_times(encode), encode.rate)
    shift = _given_shift(timing, theirs, settings) or 0
    pairings = pair_by_times(timing, theirs, shift)
    if not pairings:
        raise MediaError("has no frame in common with the reference", subject=encode.path)
    return _Output(
        encode,
        Comparison(decided, crop, pairings[0]),
        offset_frames=shift,
    )


def _times(media: Media) -> np.ndarray:
    if media.rate is None or not media.times:
        return np.arange(media.frames) / float(media.rate or 25)
    return np.array(media.times)


def _reference_timing(source: Media, encode: Media, settings: QualitySettings) -> Timing:
    """When the reference's frames come out of ffmpeg, as far as the file tells."""
    times = _times(source)
    if settings.reference_start:
        times = times[times >= settings.reference_start - 0.5e-3]
        if not len(times):
            raise MediaError(f"ends before {settings.reference_start:g} s", subject=source.path)
    loops = settings.reference_loops
    if loops < 0:
        loops = math.ceil(encode.seconds / max(source.seconds, 0.01)) + 1
    if loops:
        times = np.concatenate([times + source.seconds * n for n in range(loops + 1)])
    return Timing(times, source.rate)


def _given_shift(reference: Timing, output: Timing, settings: QualitySettings) -> int | None:
    """The offset that the user gave, as the number of a frame."""
    if settings.offset is None:
        return None
    if settings.offset >= 0:
        return int(np.argmin(np.abs(reference.times - reference.times[0] - settings.offset)))
    return -int(np.argmin(np.abs(output.times - output.times[0] + settings.offset)))


def _measured(
    work: _Work, source: Media, outputs: dict[int, _Output]
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
    work: _Work,
    source: Media,
    outputs: dict[int, _Output],
    outcomes: dict[int, Measurement | WattframeError],
    begun: float,
) -> dict[int, _Output]:
    """One pass over ``outputs``; adds what is finished to ``outcomes``, returns what needs another."""
    again: dict[int, _Output] = {}
    with tempfile.TemporaryDirectory(prefix="wattframe-quality-") as name:
        folder = Path(name)
        messages = _run(work, source, list(outputs.values()), folder)
        broken = complaints(messages)
        sizes = size_changes(messages)
        for n, (place, output) in enumerate(outputs.items()):
            try:
                reference = read_track(folder, reference_track(n, output.comparison.crop))
                whole = read_track(folder, f"track{n}")
                doubt = broken or output.media.suspect or source.suspect
                if doubt and not output.examined:
                    output = _damage(output, source, work.settings, (reference, whole))
                seen = _until(whole, output.limit)
                theirs = _until(reference, output.reference_limit)
                better = _better(work, output, source, theirs, seen)
                if better is not None:
                    again[place] = better
                    continue
                logs = read_logs(folder, messages, n, output.comparison.plan)
                said = [
                    f"the picture of the {which} changes its size to {sizes[number]}"
                    for which, number in (("reference", 0), ("output", n + 1))
                    if number in sizes
                ]
                said += [f"ffmpeg said: {line}" for line in broken[:1]]
                finished = _finished(_Seen(output, source, theirs, seen, logs, work.settings), said)
                quality = replace(finished.quality, computation_seconds=time.monotonic() - begun)
                outcomes[place] = replace(finished, quality=quality)
            except (MediaError, FfmpegError, InputError) as exc:
                outcomes[place] = exc
    return again


def _run(work: _Work, source: Media, outputs: Sequence[_Output], folder: Path) -> str:
    settings = work.settings
    comparisons = [output.comparison for output in outputs]
    last = max(int(c.pairing.partners[-1]) for c in comparisons)
    graph = filter_graph(
        comparisons,
        threads=max(1, work.threads // len(outputs)),
        before=settings.reference_filter or "",
        reference_frames=last + 1 + round(_MARGIN_SECONDS * float(source.rate or 25)),
    )
    command = _command(work, source, outputs, folder, graph)
    for n in range(len(outputs)):
        command += ["-map", f"[out{n}]", "-f", "null", "-"]
    tracks = dict.fromkeys(reference_track(n, c.crop) for n, c in enumerate(comparisons))
    for label in (*tracks, *(f"track{n}" for n in range(len(outputs)))):
        command += ["-map", f"[{label}]", "-fps_mode", "passthrough", "-f", "rawvideo", f"{label}.raw"]
    total = max(len(c.pairing.partners) for c in comparisons)
    progress = work.progress
    return run_ffmpeg(
        command,
        folder=folder,
        nice=work.nice,
        inputs=(source.path, *(output.media.path for output in outputs)),
        progress=None if progress is None else partial(_told, progress, total),
    )


def _command(work: _Work, source: Media, outputs: Sequence[_Output], folder: Path, graph: str) -> list[str]:
    """ffmpeg, its inputs and the graph, which is written to a file: a long one is no argument."""
    settings = work.settings
    (folder / "graph.txt").write_text(graph)
    start = ["-ss", f"{settings.reference_start:.6f}"] if settings.reference_start else []
    loops = ["-stream_loop", str(settings.reference_loops)] if settings.reference_loops else []
    command = [work.ffmpeg, *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")]
    command += ["-progress", "pipe:1", *_input(source, *start, *loops)]
    for output in outputs:
        command += _input(output.media)
    return [*command, "-/filter_complex", "graph.txt"]


def _told(progress: FrameProgress, total: int, done: int) -> None:
    progress(min(done, total), total)


def _input(media: Media, *options: str) -> list[str]:
    # a picture whose size changes is scaled by the graph that is there, which is not begun anew
    files = FILES_ONLY if not media.reads_as else ("-protocol_whitelist", "file")
    return [*files, "-reinit_filter", "0", *media.reads_as, *options, "-i", media.opens]


def _better(work: _Work, output: _Output, source: Media, reference: Track, seen: Track) -> _Output | None:
    """What should be compared instead, None when all is right."""
    settings = work.settings
    if not len(seen.times) or not len(reference.times):
        raise MediaError("holds no picture that can be decoded", subject=output.media.path)
    if settings.crop == "auto" and output.comparison.crop == Crop():
        crop = crop_by_bars(source, output.media, (reference.inside_bars, seen.inside_bars))
        if crop != Crop():
            return _cropped(output, source, settings, crop)
    pairing, offset = _paired(output, source, reference, seen, settings)
    if pairing is None:
        raise MediaError("has no frame in common with the reference", subject=output.media.path)
    changed = replace(output, comparison=replace(output.comparison, pairing=pairing), offset_frames=offset)
    if settings.crop == "auto" and output.comparison.crop != Crop() and not output.registered:
        changed = replace(_registered(work, changed, source), registered=True)
    if pairing.same(output.comparison.pairing) and changed.comparison.crop == output.comparison.crop:
        return None
    return changed


def _cropped(output: _Output, source: Media, settings: QualitySettings, crop: Crop) -> _Output:
    decided = plan(source, output.media, settings, crop)
    return replace(output, comparison=replace(output.comparison, plan=decided, crop=crop))


def _registered(work: _Work, output: _Output, source: Media) -> _Output:
    """``output`` with the crop that fits best on some frames."""
    crops = areas_around(output.comparison.crop, source, output.media)
    if len(crops) == 1:
        return output
    plans = [plan(source, output.media, work.settings, crop) for crop in crops]
    with tempfile.TemporaryDirectory(prefix="wattframe-quality-") as name:
        folder = Path(name)
        graph = registration_graph(plans, output.comparison.pairing)
        if work.settings.reference_filter:
            graph = graph.replace("[0:V:0]", f"[0:V:0]{work.settings.reference_filter},", 1)
        command = [*_command(work, source, [output], folder, graph)]
        for n in range(len(crops)):
            command += ["-map", f"[area{n}]", "-f", "null", "-"]
        run_ffmpeg(command, folder=folder, nice=work.nice, inputs=(source.path, output.media.path))
        return _cropped(output, source, work.settings, best_of(folder, crops))


def _damage(
    output: _Output, source: Media, settings: QualitySettings, tracks: tuple[Track, Track]
) -> _Output:
    """Where the pictures of either file can no longer be decoded as they were meant."""
    reference, seen = tracks
    limit, reference_limit = intact_frames(output.media), None
    as_it_is = not (settings.reference_loops or settings.reference_filter or settings.reference_start)
    if as_it_is and limit >= len(seen.times):
        reference_limit = intact_frames(source)
        reference_limit = reference_limit if reference_limit < len(reference.times) else None
    return replace(
        output,
        limit=limit if limit < len(seen.times) else None,
        reference_limit=reference_limit,
        examined=True,
    )


def _until(track: Track, limit: int | None) -> Track:
    if limit is None or limit >= len(track.times):
        return track
    return replace(track, times=track.times[:limit], pictures=track.pictures[:limit])


def _paired(
    output: _Output, source: Media, reference: Track, seen: Track, settings: QualitySettings
) -> tuple[Pairing | None, int]:
    """The pairing that times and pictures agree on, and the frames by which the beginnings are apart."""
    ours, theirs = _timing(reference, source, settings), _timing(seen, output.media, None)
    given = _given_shift(ours, theirs, settings)
    pairings = pair_by_times(ours, theirs, given or 0)
    best = pair_by_pictures(pairings, reference.pictures, seen.pictures) if pairings else None
    if given is not None or (best is not None and not doubtful(reference.pictures, seen.pictures, best)):
        return best, given or 0
    rate, frames = float(ours.rate or 25), min(len(ours.times), len(theirs.times))
    for start in (*([best] if best is not None else []), Pairing("index", 0, np.arange(frames))):
        reach = round(_OFFSET_SECONDS * rate)
        shift, sure = shifted_by_pictures(reference.pictures, seen.pictures, start, reach)
        if shift < 0:  # as a number of the output's frames
            shift = -round(-shift / rate * float(theirs.rate or rate))
        moved = pair_by_times(ours, theirs, shift) if shift else []
        if moved:
            there = pair_by_pictures(moved, reference.pictures, seen.pictures)
            fits = judge(reference.pictures, seen.pictures, there, seen.times, rate).reason is None
            if fits and not sure:
                seconds = f"{abs(shift) / rate:.2f} s {'later' if shift > 0 else 'earlier'}"
                raise MediaError(
                    f"begins about {seconds} than the reference, and its pictures do not tell exactly where: "
                    "give --offset",
                    subject=output.media.path,
                )
            if fits:
                return there, shift
    return best, 0


def _timing(track: Track, media: Media, settings: QualitySettings | None) -> Timing:
    if media.rate is None or np.any(np.isnan(track.times)) or np.any(np.diff(track.times) <= 0):
        return Timing(np.arange(len(track.times)) / float(media.rate or 25), None)
    rate: Fraction | None = media.rate
    if settings is not None and settings.reference_filter is not None:
        rate = nominal_rate(list(track.times), None)
    return Timing(track.times, rate)


class _Seen(Struct, frozen=True, eq=False):
    """A finished pass over one output, and all that is known of it."""

    output: _Output
    source: Media
    reference: Track
    track: Track
    logs: Logs
    settings: QualitySettings


def _finished(seen: _Seen, said: Sequence[str]) -> Measurement:
    output, pairing = seen.output, seen.output.comparison.pairing
    compared = len(seen.logs.psnr_decibels)
    if compared != len(pairing.partners):
        raise FfmpegError(f"ffmpeg compared {compared} of {len(pairing.partners)} frames")
    rate = float(seen.source.rate or 25)
    reason, notes = _beyond(seen)
    if reason is None and _undecided(seen):
        reason = "the rates differ, and the output does not show which frames were chosen"
    if reason is None:
        verdict = judge(seen.reference.pictures, seen.track.pictures, pairing, seen.track.times, rate)
        reason, notes = verdict.reason, [*notes, *verdict.notes]
    quality = Quality(
        aligned=reason is None,
        reason=reason,
        frames=compared,
        comparison_height_pixels=output.comparison.plan.height,
        libvmaf_version=seen.logs.libvmaf_version,
        reference=seen.source.path,
        distorted=output.media.path,
        crop=_crop_used(output, seen.source),
        offset_seconds=_offset_seconds(seen),
    )
    if reason is not None:
        return Measurement(quality, ())
    notes = [*output.comparison.plan.notes, *notes, *_notes(seen), *said]
    decided = output.comparison.plan
    cap = psnr_cap_decibels(decided.depth)
    rows = frame_rows(pairing, seen.reference, seen.track, seen.logs, decided.models, cap)
    return Measurement(_scored(quality, decided, seen.logs, notes), rows)


def _undecided(seen: _Seen) -> bool:
    ours = _timing(seen.reference, seen.source, seen.settings)
    theirs = _timing(seen.track, seen.output.media, None)
    if ours.rate is None or theirs.rate is None or ours.rate == theirs.rate:
        return False
    pairing = seen.output.comparison.pairing
    others = [p for p in pair_by_times(ours, theirs, seen.output.offset_frames) if p.rule in ("fps", "rate")]
    return undecided(pairing, others, seen.reference.pictures, seen.track.pictures)


def _crop_used(output: _Output, source: Media) -> dict[str, str] | None:
    crop = output.comparison.crop
    if crop == Crop():
        return None
    whole = [Area(media.width, media.height, 0, 0) for media in (source, output.media)]
    return {"reference": str(crop.reference or whole[0]), "output": str(crop.output or whole[1])}


def _offset_seconds(seen: _Seen) -> float:
    shift = seen.output.offset_frames
    track = seen.reference if shift > 0 else seen.track
    seconds = float(track.times[abs(shift)] - track.times[0])
    return round(math.copysign(seconds, shift), 6) if shift else 0.0


def _beyond(seen: _Seen) -> tuple[str | None, list[str]]:
    """What is to be said of the output's frames in front of the first partner and behind the last."""
    output, times, rate = seen.output, seen.track.times, float(seen.source.rate or 25)
    pairing, notes = output.comparison.pairing, []
    lead, tail = pairing.first, len(times) - pairing.first - len(pairing.partners)
    if output.offset_frames:
        side = "later" if output.offset_frames > 0 else "earlier"
        notes.append(f"the output begins {abs(_offset_seconds(seen)):.3f} s {side} than the reference")
    if lead:
        seconds = -_offset_seconds(seen)
        if seen.settings.offset is None and begins_with_a_still(seen.track.pictures, lead):
            count = f"{lead} frame" + "s" * (lead > 1)
            what = f"the output begins with {count} of one picture that the reference does not begin with"
            return f"{what}; --offset {-seconds:.3f} compares what follows", []
        notes.append(f"the output's first {seconds:.3f} s are not in the reference; they are not scored")
    if tail <= 0:
        return None, notes
    most = max(1, round(float(output.media.rate or 25) / rate))
    if tail <= most:
        more = "one frame" if tail == 1 else f"{tail} frames"
        notes.append(f"the output has {more} more than the reference, left out")
    elif output.offset_frames or output.reference_limit is not None:
        notes.append(f"the reference ends {tail} frames before the output; they are not scored")
    else:
        ends = [_seconds(track.times) for track in (seen.reference, seen.track)]
        return f"the reference ends before the output: {ends[0]:.2f} against {ends[1]:.2f} s", []
    return None, notes


def _seconds(times: np.ndarray) -> float:
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return float(times[-1] - times[0]) + step


def _scored(quality: Quality, decided: Plan, logs: Logs, notes: list[str]) -> Quality:
    cap = psnr_cap_decibels(decided.depth)
    psnr, ssim = logs.averages["psnr"], logs.averages["ssim"]
    pooled = [
        pool([score for score in scores if score is not None], model)
        for scores, model in zip(logs.vmaf, decided.models, strict=True)
    ]
    return replace(
        quality,
        reason=f"no VMAF: {decided.lacks_vmaf}" if decided.lacks_vmaf else None,
        vmaf=pooled[0] if pooled else None,
        vmaf_extra={score.model: score for score in pooled[1:] if score.model},
        psnr_decibels=Psnr(average=min(psnr["average"], cap), y=min(psnr["y"], cap)),
        lossless=psnr["average"] == math.inf,
        ssim_ratio=Ssim(all=ssim["All"], y=ssim["Y"]),
        xpsnr_decibels=min(logs.averages["xpsnr"]["y"], cap) if decided.xpsnr else None,
        metrics={name: _mean(values) for name, values in logs.features.items()},
        notes=notes,
    )


def _mean(values: Sequence[float | None]) -> float:
    scored = [value for value in values if value is not None]
    return sum(scored) / len(scored)


def _notes(seen: _Seen) -> list[str]:
    """What does not make a score wrong and yet should be known."""
    output, source, encode = seen.output, seen.source, seen.output.media
    pairing, notes = output.comparison.pairing, []
    for which, limit, track in (
        ("output", output.limit, seen.track),
        ("reference", output.reference_limit, seen.reference),
    ):
        if limit is not None:
            span = f"{limit} frames ({_seconds(track.times):.2f} s)"
            notes.append(f"the {which} is damaged after {span}; what follows is not scored")
    crop = _crop_used(output, source)
    if crop is not None:
        notes.append(f"compared: {crop['reference']} of the reference, {crop['output']} of the output")
    notes += _dropped(seen)
    whole = not seen.settings.reference_loops and not seen.settings.reference_start
    left = float(seen.reference.times[-1] - seen.reference.times[pairing.partners[-1]])
    left = max(
        left,
        source.seconds
        - float(seen.reference.times[pairing.partners[-1]] - seen.reference.times[0])
        - 1 / float(source.rate or 25),
    )
    if whole and not output.offset_frames and pairing.rule != "index" and left > 0.1:
        notes.append(f"the output ends {left:.2f} s before the reference")
    notes += _fields(seen)
    if encode.width * encode.height > source.width * source.height and crop is None:
        notes.append("the reference is smaller than the output: are they the wrong way round?")
    if abs(source.display_aspect / encode.display_aspect - 1) > 0.03 and crop is None:
        shapes = f"{source.display_aspect:.3f} and {encode.display_aspect:.3f}"
        notes.append(f"display aspects differ ({shapes}): whole frames were compared")
    return notes


def _dropped(seen: _Seen) -> list[str]:
    """Frames of the reference between the first and the last partner that the output has not."""
    source, encode, partners = seen.source, seen.output.media, seen.output.comparison.pairing.partners
    if source.rate is None or encode.rate is None or encode.rate < Fraction(999, 1000) * source.rate:
        return []
    expected = int(partners[-1] - partners[0]) + 1
    lacking = expected - len(np.unique(partners))
    if lacking < 2:
        return []
    return [f"{lacking} of {expected} frames of the reference have no frame in the output"]


def _fields(seen: _Seen) -> list[str]:
    """Interlaced or telecined video beside progressive video."""
    source, encode = seen.source, seen.output.media
    if seen.settings.reference_filter is not None:
        return [f"the reference was compared behind {seen.settings.reference_filter}"]
    if source.interlaced and not encode.interlaced:
        return [
            "the reference is interlaced and the output is not: --reference-filter yadif (or the filter that "
            "the encode used) compares pictures with pictures"
        ]
    if encode.interlaced and not source.interlaced:
        return ["the output is interlaced and the reference is not"]
    if source.rate and encode.rate and source.rate / encode.rate == Fraction(5, 4):
        return [
            "the reference has five frames for four of the output: if it is telecined, "
            "--reference-filter fieldmatch,decimate brings back its film"
        ]
    return []
