"""What the user asks of a tune, checked: which configurations may be tried, and until when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from advisor.advice.curves import Configuration
from advisor.advice.search import Goal, crfs
from advisor.common.near import did_you_mean
from advisor.energy.meter_files import OperatorMeters
from advisor.errors import InputError
from advisor.video.encoders import ENCODERS, Encoder, find_encoder
from advisor.video.ffmpeg import Capabilities
from runner.preflight import encoder_problem

USUAL_ENCODERS = ("libx264", "libx265", "libsvtav1")
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SECONDS_IN = {"": 1, "s": 1, "m": 60, "h": 3600}
_HARDLY_USED = 0.12
"""The slowest part of an encoder's presets, which automatic choice leaves out: several times the next one's
time for about nothing."""


class TuneRequest(Struct, frozen=True, kw_only=True):
    """As the user wrote it."""

    inputs: tuple[str, ...]
    goal: Goal
    encoders: str | None
    presets: str
    baseline: str | None
    budget: str
    precision: float
    whole: bool
    ladder: str | None
    for_all: bool
    resume: bool
    month_hours: float
    output_dir: Path
    models_dir: Path
    ffmpeg: str | None
    meters: OperatorMeters
    sysfs: str
    procfs: str
    quiet: bool


def seconds_of(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``10m`` or ``1.5h``.

    Raises
    ------
    InputError
        Something else, or nothing at all.
    """
    match = _TIME.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS_IN[match[2]] if match else 0.0
    if seconds <= 0:
        raise InputError(f"expected a time such as 90s, 10m or 1h, found {text!r}", subject="--budget")
    return seconds


def heights_of(text: str) -> list[int]:
    """Lines of each rung, the largest first.

    Raises
    ------
    InputError
        Something else than even numbers of lines.
    """
    words = [word.strip().removesuffix("p") for word in text.split(",")]
    heights = sorted({int(word) for word in words if word.isdigit()}, reverse=True)
    if len(heights) != len(words) or any(h % 2 or not 16 <= h <= 8192 for h in heights):
        raise InputError(f"expected lines such as 1080,720,480, found {text!r}", subject="--ladder")
    return heights


def configuration_of(text: str, able: Capabilities, ffmpeg: Path) -> Configuration:
    """The configuration of ``ENCODER:PRESET:CRF``.

    Raises
    ------
    InputError
        It names what there is not.
    """
    name, _, rest = text.partition(":")
    preset, _, number = rest.partition(":")
    encoder = _encoder(name, able, ffmpeg, "--baseline")
    if rest and preset not in encoder.presets:
        raise InputError(
            f"{encoder.name} has no preset {preset!r}, {did_you_mean(preset, encoder.presets)}",
            subject="--baseline",
        )
    low, high = encoder.quality_range
    try:
        crf = float(number)
    except ValueError:
        crf = -1.0
    if not low <= crf <= high:
        raise InputError(
            f"expected ENCODER:PRESET:CRF with a CRF of {low:g} to {high:g}, found {text!r}",
            subject="--baseline",
        )
    return Configuration(encoder.name, preset, crf)


def options_among(
    encoders: str | None, presets: str, able: Capabilities, ffmpeg: Path
) -> list[Configuration]:
    """Everything that may be tried.

    Parameters
    ----------
    encoders
        Names with commas; None: the usual ones that this ffmpeg has and that have one of the presets.
    presets
        ``auto``, or names with commas; each encoder takes those on its own scale.

    Raises
    ------
    InputError
        An encoder that is not there, or no preset of it.
    """
    if encoders is None:
        chosen = [ENCODERS[name] for name in USUAL_ENCODERS if name in able.encoders]
        if not chosen:
            raise InputError(f"this ffmpeg ({able.version}) has none of {', '.join(USUAL_ENCODERS)}")
    else:
        names = dict.fromkeys(name.strip() for name in encoders.split(","))
        chosen = [_encoder(name, able, ffmpeg, "--encoders") for name in names]
    words = [word.strip() for word in presets.split(",")]
    every = {preset for encoder in chosen for preset in encoder.presets}
    for word in words:
        if presets != "auto" and word not in every:
            raise InputError(
                f"none of the encoders has a preset {word!r}, {did_you_mean(word, sorted(every))}",
                subject="--presets",
            )
    options = []
    for encoder in chosen:
        fit = _spread(encoder) if presets == "auto" else [w for w in words if w in encoder.presets]
        if not fit and encoders is not None:
            raise InputError(
                f"expected one of {encoder.name}'s {', '.join(encoder.presets)}, found {presets!r}",
                subject="--presets",
            )
        options += [Configuration(encoder.name, preset, crf) for preset in fit for crf in crfs(encoder.name)]
    return options


def _spread(encoder: Encoder) -> Sequence[str]:
    """Every second preset from the fastest on, and the encoder's default."""
    last = len(encoder.presets) - 1
    used = [p for i, p in enumerate(encoder.presets) if i <= (1 - _HARDLY_USED) * last or last < 4]
    return [p for i, p in enumerate(used) if i % 2 == 0 or p == encoder.default_preset or last < 5]


def _encoder(name: str, able: Capabilities, ffmpeg: Path, option: str) -> Encoder:
    encoder = find_encoder(name)
    if encoder is None:
        raise InputError(f"no encoder {name!r}, {did_you_mean(name, ENCODERS)}", subject=option)
    if (problem := encoder_problem(encoder, ffmpeg, able)) is not None:
        raise InputError(problem, subject=option)
    return encoder
