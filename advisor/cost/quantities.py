"""Plain quantities as callers give them, brought to one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import SupportsFloat

from advisor.cost import formulas
from advisor.cost.checks import Checker, amount
from advisor.cost.formulas import JOULES_PER_KWH
from advisor.cost.power_curve import LoadCurve
from advisor.errors import PricingError

__all__ = [
    "core_seconds_used",
    "energy_curve",
    "is_number",
    "one_unit",
    "optional",
    "sum_known",
    "wall_seconds",
    "whole_threads",
]


def is_number(value: object) -> bool:
    """Whether a first argument is a quantity and no scenario; an array can be a float, and is none."""
    return isinstance(value, SupportsFloat) and not isinstance(value, Iterable)


def optional(value: float | None, field: str, **limits: float) -> float | None:
    """A quantity that need not be given, checked where it is (see `advisor.cost.checks.amount`)."""
    return None if value is None else Checker().amount(value, field, **limits)


def sum_known(parts: Sequence[float | None]) -> float | None:
    """The sum; None for no parts, and as soon as one is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def one_unit(
    first: float | None, second: float | None, factor: float, first_name: str, second_name: str
) -> float | None:
    """One quantity that was given in one of two units; ``first`` as it is, for others to check."""
    if second is None:
        return first
    if first is not None:
        raise PricingError(f"expected {first_name} or {second_name}, not both", field=second_name)
    return amount(second, field=second_name) * factor


def wall_seconds(seconds: float | None, hours: float | None) -> float | None:
    """Wall time, given in seconds or in hours."""
    return optional(one_unit(seconds, hours, 3600.0, "duration_seconds", "hours"), "duration_seconds")


def whole_threads(threads: int | None) -> int | None:
    """CPUs of a machine."""
    return None if threads is None else int(amount(threads, field="host_threads", minimum=1))


def core_seconds_used(
    core_seconds: float | None,
    cores: Sequence[float | None] | None,
    timestamps: Sequence[float] | None,
    step_seconds: float | None,
) -> float | None:
    """CPU time, given as such or as samples of cores in use."""
    if cores is None:
        return optional(core_seconds, "core_seconds")
    if core_seconds is not None:
        raise PricingError("expected core_seconds or cpu_usage_cores, not both", field="cpu_usage_cores")
    curve = formulas.integrate(
        cores, timestamps=timestamps, step_seconds=step_seconds, field="cpu_usage_cores"
    )
    return curve.total()


def energy_curve(
    joules: float | None,
    kwh: float | None,
    watts: float | Iterable[float | None] | None,
    seconds: float | None,
    timestamps: Sequence[float] | None,
    step_seconds: float | None,
    start: float | None,
) -> LoadCurve:
    """Energy as it was given, as power over time."""
    start = optional(start, "start_time", minimum=-math.inf)
    if isinstance(watts, Iterable):
        step_seconds = optional(step_seconds, "step_seconds", above=True)
        if timestamps is None and start is not None and step_seconds is not None:
            timestamps, step_seconds = [start + i * step_seconds for i, _ in enumerate(watts)], None
        return formulas.integrate(
            watts, timestamps=timestamps, step_seconds=step_seconds, field="power_watts"
        )
    seconds = None if seconds is None else amount(seconds, field="duration_seconds", above=True)
    joules = one_unit(joules, kwh, JOULES_PER_KWH, "energy_joules", "energy_kwh")
    if joules is None and watts is not None and seconds is not None:
        joules = amount(watts, field="power_watts") * seconds
    if joules is None:
        raise PricingError(
            "expected energy_joules, energy_kwh, power_watts over duration_seconds or hours, or samples",
            field="energy_joules",
        )
    if start is not None and seconds is None:
        raise PricingError("expected how long it took from start_time on", field="duration_seconds")
    length = seconds if seconds is not None else 1.0
    return LoadCurve.constant(
        start or 0.0, (start or 0.0) + length, amount(joules, field="energy_joules") / length
    )
