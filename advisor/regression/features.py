"""What a predictor sees of a scenario: the one place with the names and scales of features and targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from advisor.results import Host, Output, Run, Scenario
from advisor.results.derived import (
    asked_besides,
    bitrates_kbps,
    contradiction,
    lacks_board_energy,
    mean_watts,
    output_seconds,
    parse_resolution,
    streams_per_output,
    video_in_words,
    window_energy_joules,
)
from advisor.results.records import stream_count
from advisor.video.encoders import effort, quality_level

NUMERIC = (
    "log_pixels_per_frame",
    "log_fps",
    "log_pixels_per_second",
    "log_bitrate_kbps",
    "log_bits_per_pixel",
    "constant_quality",
    "quality_level",
    "effort",
    "log_threads",
    "log_streams",
    "rungs",
    "log_video_seconds",
)
"""Numeric features in the order of their columns; content features follow, then hardware and encoder."""

TARGETS = ("mean_power_watts", "energy_joules_per_video_second", "encode_speed_ratio")
"""What is predicted. All are positive and fitted as logarithms: errors of power and energy are ratios."""


class Case(Struct, frozen=True, kw_only=True):
    """One scenario as a predictor sees it. Unknown numbers are absent from ``numbers``."""

    run_id: str
    scenario: str
    hardware: str
    encoder: str
    """With its options: other options are learned as another encoder."""
    video: str | None
    """The input, told apart by name, size and length: what is grouped in validation, and what a probe tells
    something about."""
    numbers: dict[str, float]
    streams: int
    video_seconds: float | None
    targets: dict[str, float] = {}
    tier: str | None = None
    weight: float = 1.0

    @property
    def configuration(self) -> tuple[object, ...]:
        """Equal for repeats of one configuration."""
        return (self.hardware, self.encoder, self.video, tuple(sorted(self.numbers.items())))


def video_seconds(scenario: Scenario) -> float | None:
    """Seconds of video that one stream makes: of the outputs, else of the input where nothing ran yet."""
    total = output_seconds(scenario)
    if total:
        return total / max(stream_count(scenario), 1)
    return scenario.input.duration or None if scenario.input and scenario.duration is None else None


def case(scenario: Scenario, run: Run) -> Case:
    """The scenario in numbers, with the targets that were measured.

    A target needs a finished scenario whose GPU did not go unmeasured and whose energy is its power's: power
    its mean watts, energy and speed also seconds of video.
    """
    seconds = video_seconds(scenario)
    numbers = {k: v for k, v in _numbers(scenario, run.host, seconds).items() if v is not None}
    return Case(
        run_id=run.run_id,
        scenario=scenario.name,
        hardware=(run.host.hardware_id if run.host else None) or "unknown",
        encoder=_encoder(scenario),
        video=video_in_words(scenario),
        numbers=numbers | dict(_content(scenario)),
        streams=stream_count(scenario),
        video_seconds=seconds,
        targets=_targets(scenario, seconds),
        tier=scenario.power.tier if scenario.power else None,
    )


def _encoder(scenario: Scenario) -> str:
    """The encoder and what was asked beside its preset and quality: nothing tells what an option costs."""
    options = (f"{name}={value}" for name, value in asked_besides(scenario).items())
    return " ".join((scenario.encoder or "unknown", *options))


def _content(scenario: Scenario) -> Iterator[tuple[str, float]]:
    """What was measured of the input's content; bits per pixel act as a ratio, so they stand as logarithm."""
    for name, value in sorted((scenario.content or {}).items()):
        if not name.endswith("bits_per_pixel"):
            yield f"content_{name}", value
        elif value > 0:
            yield f"content_log_{name}", math.log(value)


def _numbers(scenario: Scenario, host: Host | None, seconds: float | None) -> dict[str, float | None]:
    sizes = [parse_resolution(o.resolution) for o in _ladder(scenario)] or [
        parse_resolution(scenario.resolution)
    ]
    areas = [size[0] * size[1] for size in sizes if size]
    pixels = float(sum(areas)) if len(areas) == len(sizes) else None
    rates = bitrates_kbps(scenario)
    rate = sum(rates) or None
    per_second = pixels * scenario.fps if pixels and scenario.fps else None
    threads = scenario.threads or (host.threads if host else None)
    return {
        "log_pixels_per_frame": _log(pixels),
        "log_fps": _log(scenario.fps),
        "log_pixels_per_second": _log(per_second),
        "log_bitrate_kbps": _log(rate),
        "log_bits_per_pixel": _log(rate * 1000 / per_second if rate and per_second else None),
        "constant_quality": float(scenario.crf is not None and rate is None),
        "quality_level": None if scenario.crf is None else quality_level(scenario.encoder, scenario.crf),
        "effort": effort(scenario.encoder, scenario.preset),
        "log_threads": _log(threads),
        "log_streams": _log(stream_count(scenario)),
        "rungs": float(max(len(sizes), len(rates), 1)),
        "log_video_seconds": _log(seconds),
    }


def _ladder(scenario: Scenario) -> list[Output]:
    """The rungs of one stream; all streams' outputs may be listed."""
    listed = [o for o in scenario.outputs if o.resolution]
    return listed[: len(listed) * streams_per_output(scenario) // max(stream_count(scenario), 1)]


def _log(value: float | None) -> float | None:
    return math.log(value) if value and value > 0 else None


def _targets(scenario: Scenario, seconds: float | None) -> dict[str, float]:
    if scenario.status != "ok" or lacks_board_energy(scenario) or contradiction(scenario):
        return {}
    watts, joules = mean_watts(scenario), window_energy_joules(scenario)
    targets: dict[str, float | None] = {"mean_power_watts": watts}
    if seconds:
        streams = max(stream_count(scenario), 1)
        targets["energy_joules_per_video_second"] = joules / (seconds * streams) if joules else None
        speed = scenario.encode.speed if scenario.encode else None
        targets["encode_speed_ratio"] = speed or (seconds / scenario.duration if scenario.duration else None)
    return {n: v for n, v in targets.items() if v is not None and math.isfinite(v) and v > 0}
