"""The meter of this machine, opened as the options say; for every exporter that needs the energy."""

from __future__ import annotations

import argparse
from pathlib import Path

from advisor.energy.hwmon import SensorRule, read_sensor_rules
from advisor.energy.meter import Meter, open_meter
from advisor.energy.redfish import RedfishConfig, read_redfish_config
from exporters.runtime.logs import logger


class MeterOpener:
    """Reads the operator's files once, and opens the meter as often as it is asked to.

    Parameters
    ----------
    options
        Of `METER_OPTIONS`, with ``interval`` and ``port``.
    exporter
        Whose state is kept.
    estimate
        Whether the estimate may stand in.

    Attributes
    ----------
    sensor_rules
        The operator's, for those who read sensors themselves.

    Raises
    ------
    InputError
        A file that the options name is wrong.
    """

    def __init__(self, options: argparse.Namespace, exporter: str, *, estimate: bool = True) -> None:
        self._options, self._estimate = options, estimate
        self._state = state_path(options, exporter)
        self.sensor_rules: tuple[SensorRule, ...] = ()
        self._redfish: RedfishConfig | None = None
        if options.sensors is not None:
            self.sensor_rules = read_sensor_rules(options.sensors)
        if options.redfish is not None:
            self._redfish = read_redfish_config(options.redfish)

    def __call__(self) -> Meter:
        """A meter; EnergyError where this machine tells nothing at all."""
        options = self._options
        return open_meter(
            sysfs=str(options.sysfs),
            procfs=str(options.procfs),
            interval_seconds=options.interval,
            idle_watts=options.idle_watts,
            max_watts=options.max_watts,
            estimate=self._estimate,
            sensor_rules=self.sensor_rules,
            redfish=self._redfish,
            host_rule=options.host_energy,
            state=self._state,
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
