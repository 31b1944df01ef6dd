"""What a scenario consumed, in the quantities that prices are put on: joules, core-seconds, hours."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from advisor.errors import PricingError
from advisor.results import Scenario, parse_run
from advisor.results.derived import (
    Energy,
    bitrates_kbps,
    duration_seconds,
    energy,
    gpu_energy_joules,
    output_seconds,
    stream_count,
    trapezoid,
)

__all__ = [
    "Metered",
    "as_scenario",
    "core_seconds",
    "delivered_kbps",
    "metered",
    "stream_hours_per_hour",
    "watch_hours",
]


class Metered(Struct, frozen=True):
    """Energy of one scenario's equipment, before the building's share."""

    joules: float
    gpu_joules: float | None
    """The part of ``joules`` that GPUs used, where it was measured apart."""
    tier: str | None
    """``measured`` or ``modelled``; modelled as soon as a part is."""
    basis: str
    gap_seconds: float
    uncertainty_ratio: float | None = None


def as_scenario(value: object) -> Scenario:
    """A scenario from a mapping as result files hold it, of this format or an earlier one.

    Raises
    ------
    PricingError
        It is no scenario; names the field that is not as expected.

    >>> as_scenario({"duration": 60, "power": {"mean_watts": 100}}).power.mean_watts
    100.0
    """
    if isinstance(value, Scenario):
        return value
    if not isinstance(value, Mapping):
        found = type(value).__name__
        raise PricingError(f"expected a scenario as result files hold it, found {found}", field="scenario")
    plain = msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
    _refuse_non_finite(plain, "scenario")
    text = json.dumps({"scenarios": [{"name": "scenario", **plain}]})
    run = parse_run(text.encode(), run_id="scenario")
    if run.refused:
        reason = run.refused[0].reason.removeprefix("scenarios[0]").lstrip(".: ")
        raise PricingError(reason, field="scenario")
    return run.scenarios[0]


def _plain(value: Any) -> Any:
    """Arrays and other libraries' numbers as lists and floats."""
    convert = getattr(value, "tolist", None) or getattr(value, "__float__", None)
    if convert is None:
        raise PricingError(f"expected plain values, found {type(value).__name__}", field="scenario")
    return convert()


def _refuse_non_finite(value: Any, field: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise PricingError(f"expected a finite number, found {value}", field=field)
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_non_finite(item, f"{field}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_non_finite(item, f"{field}[{index}]")


def metered(scenario: Scenario) -> Metered | None:
    """Energy of the host and of its GPUs: counters, else samples, else mean power x time."""
    total, power = energy(scenario), scenario.power
    if total is None:
        return None
    return Metered(
        total.joules,
        gpu_energy_joules(scenario),
        total.tier,
        total.basis,
        total.gap_seconds + _unseen_seconds(scenario, total),
        power.uncertainty_ratio if power is not None else None,
    )


def _unseen_seconds(scenario: Scenario, host: Energy) -> float:
    """Seconds of the window before the first and after the last sample, where they are a gap themselves.

    Samples begin and end within a step of the window; a series that broke off lacks more than two.
    """
    window, samples = duration_seconds(scenario), scenario.samples
    if host.basis != "samples" or samples is None or window is None or host.covered_seconds is None:
        return 0.0
    stamps = sorted(samples.timestamps)
    usual = median(after - before for before, after in pairwise(stamps))
    unseen = window - host.covered_seconds - host.gap_seconds
    return unseen if unseen > 2 * usual else 0.0


def core_seconds(scenario: Scenario) -> float | None:
    """CPU time: as measured, else the trapezoid over the samples of cores in use."""
    if scenario.cpu_seconds is not None:
        return scenario.cpu_seconds
    samples = scenario.samples
    if samples is None or sum(cores is not None for cores in samples.cpu_usage_cores) < 2:
        return None
    return trapezoid(samples.timestamps, samples.cpu_usage_cores)[0]


def delivered_kbps(scenario: Scenario) -> float | None:
    """Bitrate that a viewer receives, in kbit/s: as reached, else as asked for; None for a ladder.

    Which rung of a ladder viewers take is not known.
    """
    made = [o for o in scenario.outputs if o.size_bytes is not None and o.duration]
    rungs = {(o.resolution, o.bitrate) for o in scenario.outputs}
    asked = bitrates_kbps(scenario)
    if len(rungs) > 1 or len(asked) > 1:
        return None
    if made and len(made) == len(scenario.outputs):
        return sum(o.size_bytes or 0 for o in made) * 8 / 1000 / sum(o.duration or 0.0 for o in made)
    return asked[0] if asked else None


def stream_hours_per_hour(scenario: Scenario) -> float | None:
    """Hours of video, over all streams, that an hour of wall time makes."""
    video, wall = output_seconds(scenario), duration_seconds(scenario)
    return video / wall if video and wall else None


def watch_hours(scenario: Scenario, viewers: int | float) -> float | None:
    """Hours watched when each of ``viewers`` sees one stream's video once."""
    seconds = output_seconds(scenario)
    return None if seconds is None else viewers * seconds / max(stream_count(scenario), 1) / 3600
