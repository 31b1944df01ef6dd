"""The meter of this machine, opened as the options say; for every exporter that needs the energy."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

from advisor.energy.hwmon import SensorRule, read_sensor_rules
from advisor.energy.meter import Meter, open_meter
from advisor.energy.redfish import read_redfish_config
from exporters.runtime.logs import logger


def sensor_rules(options: argparse.Namespace) -> tuple[SensorRule, ...]:
    """The operator's rules for sensors; InputError where their file is wrong."""
    return () if options.sensors is None else read_sensor_rules(options.sensors)


def meter_opener(options: argparse.Namespace, exporter: str, *, estimate: bool = True) -> Callable[[], Meter]:
    """Reads the operator's files; what it gives opens the meter, as often as it is called.

    Parameters
    ----------
    options
        Of `METER_OPTIONS`, with ``interval`` and ``port``.
    exporter
        Whose state is kept.
    estimate
        Whether the estimate may stand in.

    Raises
    ------
    InputError
        A file that the options name is wrong.
    """
    return functools.partial(
        open_meter,
        sysfs=str(options.sysfs),
        procfs=str(options.procfs),
        interval_seconds=options.interval,
        idle_watts=options.idle_watts,
        max_watts=options.max_watts,
        estimate=estimate,
        sensor_rules=sensor_rules(options),
        redfish=None if options.redfish is None else read_redfish_config(options.redfish),
        host_rule=options.host_energy,
        state=state_path(options, exporter),
        on_unsaved=warn_unsaved,
    )


def state_path(options: argparse.Namespace, name: str) -> Path | None:
    """The file that keeps one exporter's counters over a restart; None where none is wanted."""
    folder: Path | None = options.state_dir
    return None if folder is None else folder / f"{name}-{options.port}.json"


def warn_unsaved(path: Path, exc: OSError) -> None:
    """Log that counters will begin at 0 after a restart."""
    logger().warning(
        "state not kept: counters begin at 0 after a restart", path=str(path), reason=exc.strerror or str(exc)
    )
