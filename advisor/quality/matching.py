"""From files and thumbnails to a pairing: when frames are shown, and where two videos begin."""

from __future__ import annotations

import math

import numpy as np

from advisor.errors import MediaError
from advisor.quality.alignment import doubtful, judge, uneven
from advisor.quality.pairing import Pairing, Timing, pair_by_times
from advisor.quality.passes import OutputState
from advisor.quality.pictures import pair_by_pictures, shifted_by_pictures
from advisor.quality.probe import Media, nominal_rate
from advisor.quality.settings import QualitySettings
from advisor.quality.tracks import Track

_OFFSET_SECONDS = 10.0
"""How far apart the beginnings of two videos are looked for."""


def frame_times(media: Media) -> np.ndarray:
    """Seconds of the frames as the file tells them; by the rate alone where it has none."""
    if not media.times:
        return np.arange(media.frames) / float(media.rate or 25)
    return np.array(media.times)


def _durations(media: Media, count: int) -> np.ndarray | None:
    """What each of ``count`` frames says to last, over and over in a loop; None where they say nothing."""
    durations = np.resize(np.array(media.durations), count)
    usual = np.median(durations)
    return np.where(durations, durations, usual) if usual > 0 else None


def reference_timing(source: Media, encode: Media, settings: QualitySettings) -> Timing:
    """When the reference's frames come out of ffmpeg, as far as the file tells."""
    times = frame_times(source)
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


def timing_of_track(track: Track, media: Media, settings: QualitySettings | None) -> Timing:
    """When a track's frames are shown; ``settings`` for a reference, whose filter may change the rate."""
    if media.rate is None or np.any(np.isnan(track.times)) or np.any(np.diff(track.times) < 0):
        return Timing(np.arange(len(track.times)) / float(media.rate or 25), None)
    if settings is not None and settings.reference_filter is not None:
        return Timing(track.times, nominal_rate(list(track.times), None))
    return Timing(track.times, media.rate, _durations(media, len(track.times)))


def given_shift(reference: Timing, output: Timing, settings: QualitySettings) -> int | None:
    """The offset that the user gave, as the number of a frame."""
    if settings.offset is None:
        return None
    if settings.offset >= 0:
        return int(np.argmin(np.abs(reference.times - reference.times[0] - settings.offset)))
    return -int(np.argmin(np.abs(output.times - output.times[0] + settings.offset)))


def shift_seconds(shift: int, reference: Track, output: Track) -> float:
    """A shift in frames (`pair_by_times`) in seconds of the video that it is counted in."""
    times = (reference if shift > 0 else output).times
    return math.copysign(float(times[abs(shift)] - times[0]), shift) if shift else 0.0


def paired(
    output: OutputState, source: Media, reference: Track, track: Track, settings: QualitySettings
) -> tuple[Pairing | None, int]:
    """The pairing that times and pictures agree on, and the frames by which the beginnings are apart."""
    source_timing, encode_timing = (
        timing_of_track(reference, source, settings),
        timing_of_track(track, output.media, None),
    )
    given = given_shift(source_timing, encode_timing, settings)
    pairings = pair_by_times(source_timing, encode_timing, given or 0)
    best = pair_by_pictures(pairings, reference.pictures, track.pictures) if pairings else None
    if given is not None or (best is not None and not doubtful(reference.pictures, track.pictures, best)):
        return best, given or 0
    rate, frames = float(source_timing.rate or 25), min(len(source_timing.times), len(encode_timing.times))
    for start in (*([best] if best is not None else []), Pairing("index", 0, np.arange(frames))):
        reach = round(_OFFSET_SECONDS * rate)
        shift, sure = shifted_by_pictures(reference.pictures, track.pictures, start, reach)
        if shift < 0:  # as a number of the output's frames
            shift = -round(-shift / rate * float(encode_timing.rate or rate))
        moved = pair_by_times(source_timing, encode_timing, shift) if shift else []
        if moved:
            there = pair_by_pictures(moved, reference.pictures, track.pictures)
            fits = judge(reference.pictures, track.pictures, there, track.times, rate).reason is None
            if fits and (not sure or uneven(reference.pictures, track.pictures, there)):
                seconds = f"{abs(shift) / rate:.2f} s {'later' if shift > 0 else 'earlier'}"
                raise MediaError(
                    f"begins about {seconds} than the reference, and its pictures do not tell exactly where: "
                    "give --offset",
                    subject=output.media.path,
                )
            if fits:
                return there, shift
    return best, 0
