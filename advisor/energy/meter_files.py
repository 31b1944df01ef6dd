"""The files in which an operator describes meters that nothing else tells of.

`METER_FILES` declares each once: the flags of the runner, the options of the exporters and what is read of
them are made from it. A new meter is a field of `OperatorMeters`, a row of the table, and the parameter of
`advisor.energy.meter.open_meter` that has the field's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from advisor.energy.hwmon import SensorRule, read_sensor_rules
from advisor.energy.redfish import RedfishConfig, read_redfish_config


class OperatorMeters(Struct, frozen=True, kw_only=True):
    """What the files say."""

    sensor_rules: tuple[SensorRule, ...] = ()
    redfish: RedfishConfig | None = None


class MeterFile(Struct, frozen=True, kw_only=True):
    """One kind of file."""

    option: str
    """Its flag without dashes, and its name among parsed options."""
    env: str
    help: str
    field: str
    """Of `OperatorMeters`."""
    read: Callable[[Path], Any]
    """Raises InputError where the file is wrong."""
    of_one_machine: bool
    """Whether it describes a single machine, so that it has no meaning on the hosts of a cluster."""

    @property
    def flag(self) -> str:
        """``--option``."""
        return f"--{self.option.replace('_', '-')}"


METER_FILES = (
    MeterFile(
        option="sensors",
        env="HWMON_SENSORS_FILE",
        help="rules for hwmon sensors, YAML: driver, label, domain",
        field="sensor_rules",
        read=read_sensor_rules,
        of_one_machine=False,
    ),
    MeterFile(
        option="redfish",
        env="REDFISH_FILE",
        help="Redfish meter of the machine, YAML",
        field="redfish",
        read=read_redfish_config,
        of_one_machine=True,
    ),
)


def read_meter_files(options: Mapping[str, Any]) -> OperatorMeters:
    """What the files say that ``options`` name; other options, and those that are None, are ignored.

    Raises
    ------
    InputError
        A file cannot be read, or holds something else.
    """
    named = ((file, options.get(file.option)) for file in METER_FILES)
    return OperatorMeters(**{file.field: file.read(path) for file, path in named if path is not None})
