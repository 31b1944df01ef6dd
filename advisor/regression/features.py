"""What a predictor sees of a scenario: the one place with names, scales and the order of columns.

A `Case` is one scenario in numbers; a `Encoding`, learned from training cases, turns cases into rows of a
matrix, the same in every process. What was never seen in training is named (`Encoding.unknowns`), not hashed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.results import Host, Output, Run, Scenario
from advisor.results.derived import (
    bitrates_kbps,
    energy,
    mean_watts,
    output_seconds,
    parse_resolution,
    stream_count,
    streams_per_output,
)

__all__ = ["NUMERIC", "TARGETS", "Case", "Encoding", "case", "effort", "video_seconds"]

Floats = NDArray[np.float64]

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

_WORDS = (
    *("placebo", "veryslow", "slower", "slow", "medium", "fast", "faster"),
    *("veryfast", "superfast", "ultrafast"),
)
_WORD_EFFORT = {word: index / (len(_WORDS) - 1) for index, word in enumerate(_WORDS)} | {
    "best": 0.0,
    "quality": 0.2,
    "good": 0.4,
    "balanced": 0.5,
    "speed": 0.8,
    "realtime": 0.9,
}
_HIGHEST_PRESET = {"libsvtav1": 13, "libaom-av1": 9, "libvpx-vp9": 9, "libvpx": 16, "librav1e": 10}
_WORST_CRF = {
    "libx264": 51,
    "libx265": 51,
    "libsvtav1": 63,
    "libaom-av1": 63,
    "libvpx-vp9": 63,
    "librav1e": 255,
}


_FEWEST_CONTENTS = 5


class Case(Struct, frozen=True, kw_only=True):
    """One scenario as a predictor sees it. Unknown numbers are absent from ``numbers``."""

    run_id: str
    scenario: str
    hardware: str
    encoder: str
    video: str | None
    """The input's name: what is grouped in validation, and what a probe tells something about."""
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


def effort(encoder: str | None, preset: str | None) -> float | None:
    """A preset on one scale: 0 the slowest of its encoder, 1 the fastest; None where it is not known.

    >>> effort("libx264", "medium"), effort("libsvtav1", "13"), effort("h264_nvenc", "p7")
    (0.4444444444444444, 1.0, 0.0)
    """
    if preset is None or encoder is None:
        return None
    word = preset.strip().lower()
    if len(word) == 2 and word[0] == "p" and word[1] in "1234567":
        return (7 - int(word[1])) / 6
    if word.lstrip("-").isdigit():
        return min(max(int(word) / _HIGHEST_PRESET.get(encoder, 13), 0.0), 1.0)
    return _WORD_EFFORT.get(word)


def video_seconds(scenario: Scenario) -> float | None:
    """Seconds of video that one stream makes: of the outputs, else of the input where nothing ran yet."""
    total = output_seconds(scenario)
    if total:
        return total / max(stream_count(scenario), 1)
    planned = scenario.duration is None and scenario.input is not None
    return scenario.input.duration or None if planned and scenario.input else None


def case(scenario: Scenario, run: Run) -> Case:
    """The scenario in numbers, with the targets that were measured.

    A target needs a finished scenario: power its mean watts, energy and speed also seconds of video.
    """
    seconds = video_seconds(scenario)
    numbers = {k: v for k, v in _numbers(scenario, run.host, seconds).items() if v is not None}
    return Case(
        run_id=run.run_id,
        scenario=scenario.name,
        hardware=(run.host.hardware_id if run.host else None) or "unknown",
        encoder=scenario.encoder or "unknown",
        video=(scenario.input.name or scenario.input.path) if scenario.input else None,
        numbers=numbers | dict(_content(scenario)),
        streams=stream_count(scenario),
        video_seconds=seconds,
        targets=_targets(scenario, seconds),
        tier=scenario.power.tier if scenario.power else None,
        weight=_weight(scenario.duration),
    )


def _content(scenario: Scenario) -> Iterator[tuple[str, float]]:
    """What was measured of the input's content; bits per pixel act as a ratio, so they stand as logarithm."""
    for name, value in sorted((scenario.content or {}).items()):
        if not name.endswith("bits_per_pixel"):
            yield f"content_{name}", value
        elif value > 0:
            yield f"content_log_{name}", math.log(value)


def _weight(duration: float | None) -> float:
    """Short runs say less: repeats under 5 s vary by a third, above 20 s by one hundredth."""
    return 1.0 if duration is None else min(max(duration / 5.0, 0.05), 1.0)


def _numbers(scenario: Scenario, host: Host | None, seconds: float | None) -> dict[str, float | None]:
    sizes = [parse_resolution(o.resolution) for o in _ladder(scenario)] or [
        parse_resolution(scenario.resolution)
    ]
    known = [w * h for size in sizes if size for w, h in [size]]
    pixels = float(sum(known)) if len(known) == len(sizes) else None
    rates = bitrates_kbps(scenario)
    rate = sum(rates) or None
    per_second = pixels * scenario.fps if pixels and scenario.fps else None
    threads = scenario.threads or (host.threads if host else None)
    worst = _WORST_CRF.get(scenario.encoder or "", 51)
    return {
        "log_pixels_per_frame": _log(pixels),
        "log_fps": _log(scenario.fps),
        "log_pixels_per_second": _log(per_second),
        "log_bitrate_kbps": _log(rate),
        "log_bits_per_pixel": _log(rate * 1000 / per_second if rate and per_second else None),
        "constant_quality": float(scenario.crf is not None and rate is None),
        "quality_level": None if scenario.crf is None else scenario.crf / worst,
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
    if scenario.status != "ok":
        return {}
    watts, joules = mean_watts(scenario), energy(scenario)
    found: dict[str, float | None] = {"mean_power_watts": watts}
    if seconds:
        streams = max(stream_count(scenario), 1)
        found["energy_joules_per_video_second"] = joules.joules / (seconds * streams) if joules else None
        speed = scenario.encode.speed if scenario.encode else None
        found["encode_speed_ratio"] = speed or (seconds / scenario.duration if scenario.duration else None)
    return {n: v for n, v in found.items() if v is not None and math.isfinite(v) and v > 0}


class Encoding(Struct, frozen=True, kw_only=True):
    """How cases become rows: learned from training cases, stored beside the model.

    Numeric columns keep the range that was seen; a value outside is moved to its edge and named. A column
    that never varied in training is dropped: what it does is not known.
    """

    numeric: tuple[str, ...]
    """Columns that varied."""
    fill: dict[str, float]
    """The median, used where a value is missing."""
    low: dict[str, float]
    high: dict[str, float]
    constant: dict[str, float]
    """Columns that never varied, and their value."""
    with_missing: tuple[str, ...]
    """Columns that were missing in some training cases; each has an indicator column."""
    hardware: tuple[str, ...]
    encoders: tuple[str, ...]

    @classmethod
    def learn(cls, cases: Sequence[Case]) -> Encoding:
        """From training cases.

        Content features count where at least half of the cases have them, with five values or more: of fewer
        videos they would be but another name.
        """
        content = {name for c in cases for name in c.numbers if name.startswith("content_")}
        names = [*NUMERIC, *sorted(content)]
        columns = {name: [c.numbers[name] for c in cases if name in c.numbers] for name in names}
        usable = {n: v for n, v in columns.items() if v and (n in NUMERIC or _tells(v, len(cases)))}
        varied = [n for n, v in usable.items() if max(v) - min(v) > 1e-9]
        return cls(
            numeric=tuple(varied),
            fill={n: float(np.median(usable[n])) for n in varied},
            low={n: min(usable[n]) for n in varied},
            high={n: max(usable[n]) for n in varied},
            constant={n: v[0] for n, v in usable.items() if n not in varied},
            with_missing=tuple(n for n in varied if len(usable[n]) < len(cases)),
            hardware=tuple(sorted({c.hardware for c in cases})),
            encoders=tuple(sorted({c.encoder for c in cases})),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix' columns, in order."""
        return (
            *self.numeric,
            *(f"no_{name}" for name in self._indicators),
            *(f"hardware={name}" for name in self._dummies(self.hardware)),
            *(f"encoder={name}" for name in self._dummies(self.encoders)),
        )

    @property
    def _indicators(self) -> tuple[str, ...]:
        # whether there is a bitrate or a quality is said by constant_quality already
        implied = {"quality_level", "log_bitrate_kbps", "log_bits_per_pixel"}
        return tuple(
            n for n in self.with_missing if n not in implied or "constant_quality" not in self.numeric
        )

    @staticmethod
    def _dummies(categories: Sequence[str]) -> Sequence[str]:
        """One column says two categories apart; the first of them is where all columns are 0."""
        return categories[1:]

    def matrix(self, cases: Sequence[Case], *, hardware: str | None = None) -> Floats:
        """Rows of shape (cases, columns); ``hardware`` puts all cases on one known machine."""
        made = np.empty((len(cases), len(self.columns)))
        for row, c in enumerate(cases):
            machine = hardware or c.hardware
            made[row] = [
                *(min(max(c.numbers.get(n, self.fill[n]), self.low[n]), self.high[n]) for n in self.numeric),
                *(float(n not in c.numbers) for n in self._indicators),
                *(float(machine == name) for name in self._dummies(self.hardware)),
                *(float(c.encoder == name) for name in self._dummies(self.encoders)),
            ]
        return made

    def beyond(self, c: Case, *, new_machine: bool) -> float | None:
        """How far the case lies outside of training: spans of the columns that it is off, as root of squares.

        A value that is missing may be anywhere in its span: half of it. None where a column changes that
        never varied: nothing tells what it does. Length is left out, as targets are per second, and on a new
        machine the threads, which are a part of what calibration tells.
        """
        spared = {"log_video_seconds", *(("log_threads",) if new_machine else ())}
        changed = (abs(c.numbers.get(n, v) - v) > 1e-9 for n, v in self.constant.items() if n not in spared)
        if any(changed):
            return None
        return math.hypot(*(self._off(c, n) for n in self.numeric if n not in spared))

    def _off(self, c: Case, name: str) -> float:
        value = c.numbers.get(name)
        if value is None:
            return 0.0 if name in self.with_missing else 0.5
        outside = max(self.low[name] - value, value - self.high[name], 0.0)
        return outside / (self.high[name] - self.low[name])

    def unknowns(self, c: Case) -> list[str]:
        """What this case has that training did not have, in words."""
        found = []
        for name in self.numeric:
            value = c.numbers.get(name)
            if value is None and name not in self.with_missing:
                found.append(f"{_words(name)} not known")
            elif value is not None and not _within(value, self.low[name], self.high[name]):
                found.append(f"{_words(name)} outside of what was measured")
        for name, value in self.constant.items():
            if abs(c.numbers.get(name, value) - value) > 1e-9:
                found.append(f"{_words(name)} never varied in training: its effect is not known")
        return found


def _tells(values: Sequence[float], cases: int) -> bool:
    """Whether a content feature was measured often enough, on enough videos."""
    return 2 * len(values) >= cases and len(set(values)) >= _FEWEST_CONTENTS


def _words(name: str) -> str:
    return name.removeprefix("log_").replace("_", " ")


def _within(value: float, low: float, high: float) -> bool:
    slack = 0.05 * (high - low)
    return low - slack <= value <= high + slack
