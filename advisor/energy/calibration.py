"""Idle and full-load power of one kind of machine, measured once and kept for its net energies.

Kept in ``<models>/<hardware_id>/calibration.json``, beside the models of the same machine.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from advisor.common.atomic import NO_JSON, write_atomically
from advisor.common.regular_file import read_regular
from advisor.energy.cpu import utilisation
from advisor.energy.meter import Meter, energy_between, energy_lost, host_watts
from advisor.energy.source import SourceName, Tier
from advisor.errors import EnergyError, ModelError

_Watts = Annotated[float, Meta(ge=0)]


class LoadPoint(Struct, frozen=True, kw_only=True):
    """Power of the machine (packages plus dram) over one measuring window."""

    mean_watts: _Watts
    stdev_watts: Annotated[float, Meta(ge=0)] | None
    """Standard deviation of the power of the window's seconds; None for fewer than two."""
    duration_seconds: Annotated[float, Meta(gt=0)]
    busy_ratio: Annotated[float, Meta(ge=0, le=1)] | None
    """Busy share of the CPUs' time in the window, 0-1."""
    domain_watts: dict[str, _Watts] = {}
    """Mean watts by zone."""


class Calibration(Struct, frozen=True, kw_only=True):
    """What `wattframe calibrate` found on one kind of machine."""

    hardware_id: str
    source: SourceName
    tier: Tier
    measured_at: str
    """ISO 8601 with offset."""
    idle: LoadPoint
    full_load: LoadPoint | None = None
    schema_version: int = 1


def calibration_path(models_dir: str | Path, hardware_id: str) -> Path:
    """Where the calibration of one kind of machine is kept."""
    return Path(models_dir, hardware_id, "calibration.json")


def load_calibration(
    models_dir: str | Path, hardware_id: str, *, source: SourceName | None = None
) -> Calibration | None:
    """The stored calibration, None when there is none.

    Parameters
    ----------
    source
        Only a calibration by this source will do: idle watts that were modelled are not taken from energies
        that were measured, nor the other way round.

    Raises
    ------
    ModelError
        The file is there and is not a calibration of this hardware.
    """
    path = calibration_path(models_dir, hardware_id)
    try:
        data = read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ModelError(f"cannot be read: {exc.strerror}", subject=path) from exc
    try:
        calibration = msgspec.json.decode(data, type=Calibration)
    except NO_JSON as exc:
        raise ModelError(f"expected a calibration: {exc}", subject=path) from exc
    if calibration.hardware_id != hardware_id:
        raise ModelError(
            f"expected {hardware_id}, got {calibration.hardware_id}", subject=path, field="hardware_id"
        )
    return calibration if source in (None, calibration.source) else None


def save_calibration(calibration: Calibration, models_dir: str | Path) -> Path:
    """Store it in place of a former one; returns where."""
    path = calibration_path(models_dir, calibration.hardware_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    return path


def measure_point(
    meter: Meter,
    seconds: float,
    *,
    sleep: Callable[[float], object] = time.sleep,
    progress: Callable[[float], object] = lambda done: None,
) -> LoadPoint:
    """Mean power of the machine over ``seconds``, from the difference of two readings.

    ``progress`` is told the share that is done, 0-1.

    Raises
    ------
    EnergyError
        A zone that counts could not be read over the whole window, or there is none.
    """
    readings = [meter.read()]
    steps = max(round(seconds), 1)
    for step in range(1, steps + 1):
        sleep(seconds / steps)
        readings.append(meter.read())
        progress(step / steps)
    readings = meter.settled(readings, sleep=sleep)
    start, end = readings[0], readings[-1]
    duration = end.monotonic_seconds - start.monotonic_seconds
    # a register has to move before it is known to count, which may be after the first reading
    since = [host_watts(reading, end) for reading in readings[:-1]]
    if since[0] is None or None in since or energy_lost(start, end):
        raise EnergyError("an energy counter could not be read from the beginning to the end of the window")
    by_second = [w for a, b in itertools.pairwise(readings) if (w := host_watts(a, b)) is not None]
    return LoadPoint(
        mean_watts=since[0],
        stdev_watts=statistics.stdev(by_second) if len(by_second) > 1 else None,
        duration_seconds=duration,
        busy_ratio=utilisation(start.cpu, end.cpu) if start.cpu and end.cpu else None,
        domain_watts={zone: joules / duration for zone, joules in energy_between(start, end).items()},
    )
