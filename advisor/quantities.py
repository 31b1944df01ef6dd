"""Plain quantities as callers give them, brought to one form."""

from __future__ import annotations

from collections.abc import Sequence

from advisor import money
from advisor.amounts import amount
from advisor.errors import PricingError
from advisor.loadcurve import LoadCurve
from advisor.money import JOULES_PER_KWH

__all__ = ["energy_curve", "one_unit", "sum_known"]


def sum_known(parts: Sequence[float | None]) -> float | None:
    """The sum; None for no parts, and as soon as one is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def one_unit(
    first: float | None, second: float | None, factor: float, first_name: str, second_name: str
) -> float | None:
    """One price that was given in one of two units."""
    if second is None:
        return first
    if first is not None:
        raise PricingError(f"expected {first_name} or {second_name}, not both", field=second_name)
    return amount(second, field=second_name) * factor


def energy_curve(
    joules: float | None,
    kwh: float | None,
    watts: float | Sequence[float | None] | None,
    seconds: float | None,
    timestamps: Sequence[float] | None,
    step_seconds: float | None,
    start: float | None,
) -> LoadCurve:
    """Energy as it was given, as power over time."""
    if watts is not None and not isinstance(watts, (int, float)):
        if timestamps is None and start is not None and step_seconds is not None:
            timestamps, step_seconds = [start + i * step_seconds for i in range(len(watts))], None
        return money.integrate(watts, timestamps=timestamps, step_seconds=step_seconds)
    seconds = None if seconds is None else amount(seconds, field="duration_seconds", above=True)
    if joules is None and kwh is not None:
        joules = kwh * JOULES_PER_KWH
    if joules is None and watts is not None and seconds is not None:
        joules = amount(watts, field="power_watts") * seconds
    if joules is None:
        raise PricingError(
            "expected energy_joules, energy_kwh, power_watts over duration_seconds, or samples",
            field="energy_joules",
        )
    if start is not None and seconds is None:
        raise PricingError("expected how long it took from start_time on", field="duration_seconds")
    length = seconds if seconds is not None else 1.0
    return LoadCurve.constant(
        start or 0.0, (start or 0.0) + length, amount(joules, field="energy_joules") / length
    )
