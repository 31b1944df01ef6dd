"""Power of the GPUs over a window, from readings at its ends and between."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from advisor.energy.gpu import GpuReading
from advisor.results import Power
from advisor.results.derived import power_spread

__all__ = ["gpu_power", "mean_utilization"]

Readings = tuple[GpuReading, ...]


def gpu_power(
    ends: tuple[Readings, Readings], points: Sequence[tuple[float, Readings]], seconds: float
) -> Power | None:
    """Power of all cards together; None without a card, or when one did not tell at both ends.

    Parameters
    ----------
    ends
        What the cards said when the window opened and when it closed.
    points
        Monotonic seconds and readings of every sample, the window's start first.
    seconds
        Length of the window.
    """
    domains = _joules_between(*ends)
    if not domains or seconds <= 0:
        return None
    total = sum(domains.values())
    watts = [w for a, b in itertools.pairwise(points) if (w := _watts(a, b)) is not None]
    return Power(
        source="nvml",
        tier="measured",
        mean_watts=total / seconds,
        total_energy_joules=total,
        domains=domains,
        **power_spread(watts),
    )


def _joules_between(start: Readings, end: Readings) -> dict[str, float]:
    """Joules by card; empty as soon as one card's are unknown, since a sum without it would be too low."""
    before = {card.uuid: card.joules for card in start}
    after = {card.uuid: card.joules for card in end}
    found: dict[str, float] = {}
    for card in start:
        first, last = before[card.uuid], after.get(card.uuid)
        if first is None or last is None:
            return {}
        found[f"gpu_{card.index}"] = last - first
    return found


def _watts(a: tuple[float, Readings], b: tuple[float, Readings]) -> float | None:
    joules = _joules_between(a[1], b[1])
    return sum(joules.values()) / (b[0] - a[0]) if joules and b[0] > a[0] else None


def mean_utilization(cards: Readings) -> float | None:
    """Mean share of time in which the cards worked, 0-1."""
    known = [card.utilization_ratio for card in cards if card.utilization_ratio is not None]
    return sum(known) / len(known) if known else None
