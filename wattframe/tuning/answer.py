"""What a search says: the configuration with its command, what it saves, the front, the next VMAF point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.configuration import Option
from advisor.advice.curves import Configuration
from advisor.advice.recommender import TranscodingRecommender
from advisor.advice.samples import Interval
from advisor.advice.search import Goal
from advisor.results.derived import core_seconds
from advisor.video.encoders import ENCODERS
from runner.command import TICKS_PER_SECOND
from wattframe.report.choice import Tuned, choice_sentence
from wattframe.tuning.clip import Video
from wattframe.tuning.encodes import Encode
from wattframe.tuning.ladder import Ladder
from wattframe.tuning.search import Outcome, Search, named

_NORMAL = 1.645
"""Standard deviations to either side of an interval of 90 %."""
_MP4_LIKE = (".mp4", ".m4v", ".mov")
_EVEN_SECONDS = 1e-6
_LESS_THAN_BITS = 0.5
"""How much the energy of samples differs, beside how much their bitrates do."""


class Values(Struct, frozen=True, kw_only=True):
    """What a configuration takes and gives, of the whole video, with 90 % intervals; unknown is None."""

    energy_watt_hours_per_video_hour: Interval | None
    cost_per_video_hour: Interval | None
    carbon_grams_per_video_hour: Interval | None
    bitrate_kbps: Interval
    encode_speed_ratio: Interval | None
    vmaf: Interval


class Point(Struct, frozen=True, kw_only=True):
    """One configuration that was encoded."""

    scenario: str
    """Its name in the result file."""
    encoder: str
    preset: str
    crf: float
    resolution: str | None
    bitrate_kbps: float
    values: Values
    tier: str | None
    """``measured`` or ``modelled`` energy."""
    currency: str | None
    repeats: int
    validity: tuple[str, ...]
    """Why its energy should not be trusted."""
    command: list[str]
    probability_best: float | None = None


class Saved(Struct, frozen=True, kw_only=True):
    """What is saved against the baseline; negative where more is needed."""

    hours: float
    energy_watt_hours: float | None
    cost: float | None
    carbon_grams: float | None
    gigabytes: float | None


class Savings(Struct, frozen=True, kw_only=True):
    """For this video, and for as much video as a month brings."""

    video: Saved
    month: Saved
    ratios: dict[str, float]
    """By figure: 0.3 is 30 % less than the baseline."""


class FrontRow(Struct, frozen=True, kw_only=True):
    """A configuration that no other beats in both the objective and VMAF."""

    encoder: str
    preset: str
    crf: float
    objective_value: float
    vmaf: float
    holds: bool
    next_vmaf_point_ratio: float | None
    """What one more point costs from here to the next of the front, as a ratio of the objective."""


class TuneAnswer(Struct, frozen=True, kw_only=True):
    """The document of one search."""

    input: str
    objective: str
    constraints: dict[str, float | None]
    choice: Point | None
    sentence: str | None
    """What the choice saves, in words."""
    reason: str
    baseline: Point | None
    savings: Savings | None
    front: tuple[FrontRow, ...]
    next_vmaf_point_ratio: float | None
    samples: int
    sampled_seconds: float
    video_seconds: float
    video_bitrate_kbps: float
    """Of the video as it is."""
    encodes: int
    encoder_cpu_seconds: float
    stopped: str
    left_out: dict[str, int]
    results: str
    ladder: Ladder | None = None


def answer_of(
    search: Search, outcome: Outcome, video: Video, results: Path, month_hours: float
) -> TuneAnswer:
    """What the search says of one of its videos."""
    verdict, goal, usual = outcome.verdict, search.task.goal, search.task.baseline
    options = {e.place.configuration: e.option for e in outcome.encoded if e.place.video == video.name}
    repeats = search.current(video)
    points = {c: _point(video, c, option, repeats[c][-1]) for c, option in options.items()}
    baseline = points.get(usual) if usual is not None else None
    choice = sentence = None
    if verdict.leader is not None:
        choice = replace(points[verdict.leader], probability_best=verdict.probability)
        against = options.get(usual) if usual is not None and usual != verdict.leader else None
        sentence = choice_sentence(options[verdict.leader], against, goal.objective)
    encodes = [e for e in search.encodes.made if e.video == video.name]
    clip = search.clips[video.name]
    return TuneAnswer(
        input=video.name,
        objective=goal.objective,
        constraints={
            "min_vmaf": goal.min_vmaf,
            "max_bitrate_kbps": goal.max_bitrate_kbps,
            "min_speed": goal.min_speed,
        },
        choice=choice,
        sentence=sentence,
        reason=_reason(search, outcome, points),
        baseline=baseline,
        savings=_savings(choice, baseline, video, month_hours) if choice and baseline else None,
        front=_front(goal, options),
        next_vmaf_point_ratio=verdict.next_vmaf_point_ratio,
        samples=len(clip.samples),
        sampled_seconds=sum(sample.piece.seconds for sample in clip.samples),
        video_seconds=video.seconds,
        video_bitrate_kbps=video.kbps,
        encodes=len(encodes),
        encoder_cpu_seconds=sum(core_seconds(search.encodes.scenario(e)) or 0.0 for e in encodes),
        stopped="sure" if outcome.stopped == "hopeless" else outcome.stopped,
        left_out=outcome.failures,
        results=str(results),
    )


def tuned_of(answer: TuneAnswer) -> Tuned | None:
    """The choice as the report of the result file takes it; None without one."""
    choice = answer.choice
    if choice is None:
        return None
    basis = answer.reason[:1].upper() + answer.reason[1:]
    if choice.probability_best is not None:
        basis += f", the best within 2 % with a probability of {choice.probability_best:.0%}"
    return Tuned(
        scenario=choice.scenario,
        baseline=None if answer.baseline is None else answer.baseline.scenario,
        basis=f"{basis}. Found by wattframe tune in {answer.encodes} encodes",
        min_vmaf=answer.constraints["min_vmaf"] or 0.0,
        objective=answer.objective,
    )


def command(video: Video, configuration: Configuration, resolution: str | None = None) -> list[str]:
    """ffmpeg for the whole video with its sound, as one would write it."""
    encoder = ENCODERS[configuration.encoder]

    def filled(template: Sequence[str], value: str) -> list[str]:
        return [part.replace("{}", value) for part in template]

    filters = [] if resolution is None else [f"scale={resolution.replace('x', ':')}:flags=bicubic"]
    filters += [encoder.upload] if encoder.upload else []
    path = Path(video.name)
    # a name with a colon would be a protocol, and MP4 does not take the sound of every other container
    source = f"file:{path}" if ":" in video.name else video.name
    suffix = ".mp4" if path.suffix.lower() in _MP4_LIKE else ".mkv"
    name = f"{path.stem}-{configuration.encoder}-{configuration.preset}-{configuration.crf:g}{suffix}"
    sound = [part for number in video.sound for part in ("-map", f"0:{number}")]
    steps = video.source.steps
    # rate control goes by how long frames last: where a container rounds that, as it was measured
    is_even = not steps or max(steps) - min(steps) < _EVEN_SECONDS
    clock = [] if is_even or encoder.constant_rate_only else ["-enc_time_base:v", f"1:{TICKS_PER_SECOND}"]
    return [
        *("ffmpeg", *encoder.device, "-i", source, "-map", "0:V:0", *sound, "-c:a", "copy"),
        *(["-vf", ",".join(filters)] if filters else []),
        *("-c:v", encoder.name, *filled(encoder.preset, configuration.preset), *encoder.offline),
        *encoder.fixed,
        *filled(encoder.constant_quality, f"{configuration.crf:g}"),
        *clock,
        f"./{name}" if name.startswith("-") else name,
    ]


def _point(video: Video, configuration: Configuration, option: Option, encode: Encode) -> Point:
    kbps, vmaf = encode.kbps, encode.vmaf
    relative = math.hypot(_NORMAL * option.noise_ratio, _LESS_THAN_BITS * kbps.half_width / kbps.mean)

    def interval(value: float | None, factor: float = 1.0) -> Interval | None:
        if value is None:
            return None
        return Interval(value * factor, value * factor * (1 - relative), value * factor * (1 + relative))

    return Point(
        scenario=encode.scenario,
        encoder=configuration.encoder,
        preset=configuration.preset,
        crf=configuration.crf,
        resolution=encode.resolution,
        bitrate_kbps=kbps.mean,
        values=Values(
            # J for a second are W, and W for an hour are Wh
            energy_watt_hours_per_video_hour=interval(option.energy_joules_per_video_second),
            cost_per_video_hour=interval(option.cost_per_video_hour),
            carbon_grams_per_video_hour=interval(option.carbon_grams_per_video_hour),
            bitrate_kbps=Interval(kbps.mean, max(0.0, kbps.low), kbps.high),
            encode_speed_ratio=interval(option.encode_speed_ratio),
            vmaf=Interval(vmaf.mean, max(0.0, vmaf.low), min(100.0, vmaf.high)),
        ),
        tier=option.tier,
        currency=option.currency,
        repeats=option.repeats,
        validity=option.validity,
        command=command(video, configuration, encode.resolution),
    )


def _reason(search: Search, outcome: Outcome, points: dict[Configuration, Point]) -> str:
    goal = search.task.goal
    asked = [f"VMAF {goal.min_vmaf:g}"]
    if goal.max_bitrate_kbps is not None:
        asked.append(f"at most {goal.max_bitrate_kbps:.0f} kbit/s")
    asked += [f"{goal.min_speed:g} x real time"] if goal.min_speed is not None else []
    if outcome.verdict.leader is not None:
        least = "time" if goal.objective == "speed" else goal.objective
        return f"the least {least} that holds {' and '.join(asked)}"
    tried = {c: p for c, p in points.items() if c != search.task.baseline or c in search.task.options}
    if not tried and points and outcome.stopped != "hopeless":
        return "only the baseline was encoded: give a longer --budget or a faster preset"
    nearest = max(tried.items(), key=lambda item: item[1].values.vmaf.mean, default=None)
    best = "nothing was encoded"
    if nearest is not None:
        reached = nearest[1].values
        best = f"the highest is VMAF {reached.vmaf.mean:.2f} with {named(nearest[0])}, "
        best += f"{reached.bitrate_kbps.mean:.0f} kbit/s"
    failure = (
        "no configuration holds" if outcome.stopped == "hopeless" else "no configuration was found that holds"
    )
    return f"{failure} {' and '.join(asked)}: {best}"


_FIGURES = (
    *("energy_watt_hours_per_video_hour", "cost_per_video_hour", "carbon_grams_per_video_hour"),
    "bitrate_kbps",
)


def _savings(choice: Point, baseline: Point, video: Video, month_hours: float) -> Savings:
    pairs = {name: (getattr(choice.values, name), getattr(baseline.values, name)) for name in _FIGURES}
    less = {name: b.mean - a.mean for name, (a, b) in pairs.items() if a is not None and b is not None}

    def saved(hours: float) -> Saved:
        energy, cost, carbon, kbps = (None if name not in less else less[name] * hours for name in _FIGURES)
        gigabytes = None if kbps is None else kbps * 3600 / 8e6
        return Saved(
            hours=hours, energy_watt_hours=energy, cost=cost, carbon_grams=carbon, gigabytes=gigabytes
        )

    ratios = {name: less[name] / pairs[name][1].mean for name in less if pairs[name][1].mean}
    return Savings(video=saved(video.seconds / 3600), month=saved(month_hours), ratios=ratios)


def _front(goal: Goal, options: Mapping[Configuration, Option]) -> tuple[FrontRow, ...]:
    configurations = {option.scenario: configuration for configuration, option in options.items()}
    recommender = TranscodingRecommender(goal.objective, accept_invalid=True)
    return tuple(
        FrontRow(
            encoder=configuration.encoder,
            preset=configuration.preset,
            crf=configuration.crf,
            objective_value=point.objective_value,
            vmaf=point.vmaf or 0.0,
            holds=goal.verdict(options[configuration])[0] is True,
            next_vmaf_point_ratio=point.next_vmaf_point_ratio,
        )
        for point in recommender.recommend(options.values()).front
        for configuration in [configurations[point.scenario]]
    )
