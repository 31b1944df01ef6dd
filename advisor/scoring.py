"""Efficiency scores: what a joule or a watt bought.

Every score is "more is better" and has one unit, stated in `UNITS`. A ranking compares one score of one
energy tier: megabits with megabits, measured with measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

from advisor.errors import InputError
from advisor.results import Run, Scenario, as_scenario
from advisor.results.derived import (
    delivered_megabits,
    delivered_pixels,
    duration_seconds,
    mean_watts,
    net_energy_joules,
    validity_of,
    vmaf_mean,
    window_energy_joules,
)

UNITS: dict[str, str] = {
    "throughput_per_watt": "Mbit/s per W",
    "pixels_per_joule": "pixels per J",
    "pixels_per_net_joule": "pixels per J above idle",
    "quality_per_watt": "VMAF points per W",
    "qoe_efficiency": "quality-weighted pixels per J",
}
"""The algorithms of `scores` and the unit of each."""

Tier = Literal["measured", "modelled"]


def scores(scenario: Scenario, run: Run | None = None) -> dict[str, float]:
    """Every efficiency score that this scenario's data carry, by algorithm; what is unknown is absent.

    - ``throughput_per_watt``: megabits delivered per second of wall time, per watt (Mbit/s per W)
    - ``pixels_per_joule``: pixels delivered over the window's energy
    - ``pixels_per_net_joule``: the same over the energy above idle (the scenario's, else ``run``'s baseline)
    - ``quality_per_watt``: mean VMAF over mean watts. It rewards slow encoders on finite jobs: read it beside
      the joules per second of video.
    - ``qoe_efficiency``: pixels x VMAF / 100 over the window's energy

    >>> from advisor.results import Power
    >>> power = Power(mean_watts=50.0)
    >>> scores(Scenario(name="a", bitrate="5M", duration=10.0, video_seconds=10.0, power=power))
    {'throughput_per_watt': 0.1}
    """
    if scenario.type == "baseline" or scenario.status != "ok":
        return {}
    megabits, seconds = delivered_megabits(scenario), duration_seconds(scenario)
    watts, joules = mean_watts(scenario), window_energy_joules(scenario)
    pixels, vmaf = delivered_pixels(scenario), vmaf_mean(scenario)
    by_algorithm = {
        "throughput_per_watt": _ratio(_ratio(megabits, seconds), watts),
        "pixels_per_joule": _ratio(pixels, joules),
        "pixels_per_net_joule": _ratio(pixels, net_energy_joules(scenario, run)),
        "quality_per_watt": _ratio(vmaf, watts),
        "qoe_efficiency": None if pixels is None or vmaf is None else _ratio(pixels * vmaf / 100, joules),
    }
    return {name: value for name, value in by_algorithm.items() if value is not None}


def _ratio(of: float | None, over: float | None) -> float | None:
    return of / over if of is not None and over is not None and over > 0 else None


class Ranked(Struct, frozen=True):
    """One place in a ranking."""

    run_id: str
    scenario: str
    score: float


class Unranked(Struct, frozen=True):
    """A scenario that has no place in the ranking, and why."""

    run_id: str
    scenario: str
    reason: str


class Ranking(Struct, frozen=True):
    """Scenarios by one score of one tier, best first."""

    algorithm: str
    unit: str
    tier: Tier | None
    places: tuple[Ranked, ...]
    left_out: tuple[Unranked, ...]


class EnergyEfficiencyScorer:
    """Scores and rankings by one algorithm.

    Parameters
    ----------
    algorithm
        A key of `UNITS`; default ``pixels_per_joule``.

    Raises
    ------
    InputError
        The algorithm is not known.
    """

    def __init__(self, algorithm: str = "pixels_per_joule") -> None:
        if algorithm not in UNITS:
            raise InputError(f"expected one of {', '.join(UNITS)}, got {algorithm!r}", subject="algorithm")
        self.algorithm = algorithm

    @property
    def unit(self) -> str:
        """The unit of every score."""
        return UNITS[self.algorithm]

    def score(self, scenario: Scenario | Mapping[str, object], run: Run | None = None) -> float | None:
        """The score of one scenario in `unit`, None where its data do not carry it.

        Raises
        ------
        PricingError
            A mapping that is no scenario as result files hold it.

        >>> EnergyEfficiencyScorer("quality_per_watt").score({"vmaf_score": 90, "power": {"mean_watts": 60}})
        1.5
        """
        return scores(as_scenario(scenario), run).get(self.algorithm)

    def rank(self, runs: Iterable[Run]) -> list[Ranking]:
        """One ranking per tier that occurs (measured, modelled, unsaid), best first, ties by name.

        Scenarios without the score, and those that are not valid, are left out with their reason, in the
        ranking of their tier.
        """
        places: dict[Tier | None, list[Ranked]] = {}
        left_out: dict[Tier | None, list[Unranked]] = {}
        for run in runs:
            for scenario in run.scenarios:
                if scenario.type == "baseline":
                    continue
                tier = scenario.power.tier if scenario.power else None
                value = self.score(scenario, run)
                if value is None or validity_of(scenario):
                    reason = _why_not(self.algorithm, scenario, run)
                    left_out.setdefault(tier, []).append(Unranked(run.run_id, scenario.name, reason))
                else:
                    places.setdefault(tier, []).append(Ranked(run.run_id, scenario.name, value))
        return [
            Ranking(
                self.algorithm,
                self.unit,
                tier,
                tuple(sorted(places.get(tier, []), key=lambda p: (-p.score, p.run_id, p.scenario))),
                tuple(left_out.get(tier, [])),
            )
            for tier in ("measured", "modelled", None)
            if tier in places or tier in left_out
        ]


_NEEDS: dict[str, tuple[str, ...]] = {
    "throughput_per_watt": ("bitrate or size", "duration", "power"),
    "pixels_per_joule": ("resolution and frames", "energy"),
    "pixels_per_net_joule": ("resolution and frames", "energy above idle"),
    "quality_per_watt": ("VMAF", "power"),
    "qoe_efficiency": ("resolution and frames", "VMAF", "energy"),
}
_KNOWN: dict[str, Callable[[Scenario, Run], float | None]] = {
    "bitrate or size": lambda s, _: delivered_megabits(s),
    "duration": lambda s, _: duration_seconds(s),
    "power": lambda s, _: mean_watts(s),
    "energy": lambda s, _: window_energy_joules(s),
    "energy above idle": net_energy_joules,
    "resolution and frames": lambda s, _: delivered_pixels(s),
    "VMAF": lambda s, _: vmaf_mean(s),
}


def _why_not(algorithm: str, scenario: Scenario, run: Run) -> str:
    if scenario.status != "ok":
        return f"the scenario {scenario.status}"
    if reasons := validity_of(scenario):
        return f"not valid: {', '.join(reasons)}"
    missing = [need for need in _NEEDS[algorithm] if not (_KNOWN[need](scenario, run) or 0) > 0]
    return f"no {' and no '.join(missing)}"
