"""Meters whose truth is known: what they say follows from their arguments alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from advisor.energy.cpu import CpuTimes
from advisor.energy.meter import MeterReading

__all__ = ["ConstantMeter", "ScriptedMeter", "reading"]


def reading(
    seconds: float,
    joules: dict[str, float],
    *,
    busy: float | None = None,
    total: float | None = None,
    unix: float | None = None,
) -> MeterReading:
    """A reading at ``seconds`` on both clocks (Unix time from 1 000 000)."""
    return MeterReading(
        unix_seconds=1_000_000.0 + seconds if unix is None else unix,
        monotonic_seconds=seconds,
        joules=joules,
        power_watts={},
        cpu=None if busy is None or total is None else CpuTimes(busy, total),
        uncertainty_ratio=None,
    )


class ScriptedMeter:
    """Gives the readings it was given, one a call."""

    source = "powercap"
    tier = "measured"

    def __init__(self, readings: Sequence[MeterReading]) -> None:
        self._readings: Iterator[MeterReading] = iter(readings)

    def read(self) -> MeterReading:
        return next(self._readings)

    def settled(self, readings: Sequence[MeterReading]) -> list[MeterReading]:
        return list(readings)


class ConstantMeter:
    """Draws ``watts`` by the real clock."""

    source = "powercap"
    tier = "measured"

    def __init__(self, watts: float) -> None:
        self._watts = watts

    def read(self) -> MeterReading:
        now = time.monotonic()
        return reading(now, {"package_0": now * self._watts}, unix=time.time())

    def settled(self, readings: Sequence[MeterReading]) -> list[MeterReading]:
        return list(readings)
