"""Files that describe meters: every one is a field, a parameter of the meter and an option of each door."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from advisor.energy.hwmon import SensorRule
from advisor.energy.meter import open_meter
from advisor.energy.meter_files import METER_FILES, MeterFile, OperatorMeters, read_meter_files
from wattframe.commands.tune import main as tune

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "energy.md").read_text()


@pytest.mark.parametrize("file", METER_FILES, ids=lambda file: file.option)
def test_a_kind_of_file_reaches_every_door(file: MeterFile) -> None:
    """The runner's flags and the exporters' options are made from the table."""
    assert file.field in OperatorMeters.__struct_fields__, "advisor/energy/meter_files.py: its field"
    assert file.field in inspect.signature(open_meter).parameters, "advisor/energy/meter.py: its parameter"
    assert file.option in inspect.signature(tune).parameters, "wattframe/commands/tune.py: its flag"
    assert f"`{file.flag}" in PAGE, "docs/energy.md: its flag"


def test_only_what_is_named_is_read(tmp_path: Path) -> None:
    assert read_meter_files({"sensors": None, "preset": "fast"}) == OperatorMeters()
    rules = tmp_path / "rules.yaml"
    rules.write_text('- {driver: "ina.*", label: VCC_12V, domain: psys}\n')
    meters = read_meter_files({"sensors": rules, "redfish": None})
    assert meters == OperatorMeters(sensor_rules=(SensorRule("ina.*", "psys", "VCC_12V"),))
