"""The ladder of a video: encodes of every size, the hull over them, and the energy of all rungs together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from advisor.advice.curves import Configuration
from advisor.advice.ladder import LadderPoint, Switch, filled, hull, rungs, switches
from advisor.advice.search import crfs
from advisor.errors import WorkError
from advisor.quality.settings import QualitySettings
from advisor.results.derived import joules_per_video_second
from runner.score import Scorer
from runner.spec import RungSpec, Spec
from wattframe.tuning.clip import Video
from wattframe.tuning.encodes import Encode, named
from wattframe.tuning.search import Search

_STEPS_OF_TOP = (0.0, 0.12, 0.24)
_STEPS_BELOW = (-0.15, 0.0, 0.15)
"""CRFs that are encoded of every size, from that of the choice, as a part of the encoder's scale."""


class LadderRung(Struct, frozen=True, kw_only=True):
    """One rendition, as it came out of the ladder's own encode."""

    resolution: str
    crf: float
    bitrate_kbps: float
    vmaf: float | None


class Ladder(Struct, frozen=True, kw_only=True):
    """What to send at which bitrate."""

    encoder: str
    preset: str
    rungs: tuple[LadderRung, ...]
    switches: tuple[Switch, ...]
    energy_watt_hours_per_video_hour: float | None
    """Of all rungs from one decode."""
    never_best: tuple[int, ...]
    """Heights that were asked for and look worse than another size at every bitrate."""


def ladder_of(search: Search, video: Video, choice: Configuration, heights: Sequence[int]) -> Ladder | None:
    """Encode what is lacking, and put the ladder together; None where the search has to stop before.

    Raises
    ------
    WorkError
        The ladder cannot be encoded.
    """
    numbers = crfs(choice.encoder)
    last = len(numbers) - 1
    first = min(range(len(numbers)), key=lambda i: abs(numbers[i] - choice.crf))
    points: dict[int, list[LadderPoint]] = {height: [] for height in heights}
    for height in heights:
        size = video.size(height)
        steps = _STEPS_OF_TOP if height == heights[0] else _STEPS_BELOW
        tried = [numbers[max(0, min(last, first + round(step * last)))] for step in steps]
        for crf in dict.fromkeys(tried):
            encode = search.encode_at(video, Configuration(choice.encoder, choice.preset, crf), size)
            if encode is None:
                return None
            points[height].append(_point(height, encode))
    curve = hull([point for of_height in points.values() for point in filled(of_height)])
    top = next(point for point in points[heights[0]] if point.crf == choice.crf)
    chosen = rungs(curve, top, heights)
    return _encoded(search, video, choice, chosen, curve, heights)


def _point(height: int, encode: Encode) -> LadderPoint:
    return LadderPoint(
        height=height, crf=encode.configuration.crf, kbps=encode.kbps.mean, vmaf=encode.vmaf.mean
    )


def _encoded(
    search: Search,
    video: Video,
    choice: Configuration,
    chosen: Sequence[LadderPoint],
    curve: Sequence[LadderPoint],
    heights: Sequence[int],
) -> Ladder | None:
    media = video.source.media
    sizes = [video.size(point.height) or f"{media.width}x{media.height}" for point in chosen]
    watts = None
    scores: list[float | None] = [point.vmaf for point in chosen]
    if len(chosen) > 1:
        specs = [RungSpec(resolution=s, crf=p.crf) for s, p in zip(sizes, chosen, strict=True)]
        spec = Spec(encoder=choice.encoder, preset=choice.preset, ladder=specs)
        clip = search.clips[video.name]
        job = named(spec, clip, search.encodes.prefix(video.name))
        scorer = Scorer(search.encodes.ffmpeg, Path(), QualitySettings())
        scenario = search.encodes.measure(job, clip, scorer, video.name)
        if isinstance(scenario, str):
            if search.stopped:
                return None
            raise WorkError(f"{video.name}: the ladder cannot be encoded: {scenario}")
        watts = joules_per_video_second(scenario)
        qualities = [output.quality for output in scenario.outputs]
        scores = [q.vmaf.mean if q is not None and q.vmaf is not None else None for q in qualities]
    return Ladder(
        encoder=choice.encoder,
        preset=choice.preset,
        rungs=tuple(
            LadderRung(resolution=size, crf=point.crf, bitrate_kbps=point.kbps, vmaf=score)
            for size, point, score in zip(sizes, chosen, scores, strict=True)
        ),
        switches=tuple(switches(curve)),
        energy_watt_hours_per_video_hour=watts,
        never_best=tuple(h for h in heights if h not in {point.height for point in chosen}),
    )
