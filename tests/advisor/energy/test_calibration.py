"""Idle and full-load power, measured and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.energy.calibration import (
    Calibration,
    LoadPoint,
    calibration_path,
    load_calibration,
    measure_point,
    save_calibration,
)
from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource
from advisor.errors import EnergyError, ModelError
from tests.support.clock import FakeClock
from tests.support.powercap_tree import PowercapTree

IDLE = LoadPoint(mean_watts=12.5, stdev_watts=0.5, duration_seconds=60.0, busy_ratio=0.01)
KEPT = Calibration(
    hardware_id="box-8t-1a2b3c4d",
    source="powercap",
    tier="measured",
    measured_at="2025-01-02T03:04:05+00:00",
    idle=IDLE,
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert save_calibration(KEPT, tmp_path) == calibration_path(tmp_path, KEPT.hardware_id)
    assert load_calibration(tmp_path, KEPT.hardware_id) == KEPT


def test_nothing_kept_is_none(tmp_path: Path) -> None:
    assert load_calibration(tmp_path, KEPT.hardware_id) is None


def test_modelled_idle_is_not_taken_for_measured_energies(tmp_path: Path) -> None:
    save_calibration(KEPT, tmp_path)
    assert load_calibration(tmp_path, KEPT.hardware_id, source="estimate") is None
    assert load_calibration(tmp_path, KEPT.hardware_id, source="powercap") == KEPT


@pytest.mark.parametrize("text", ["", "{", "[]", '{"hardware_id": 5}', "[" * 100_000])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = save_calibration(KEPT, tmp_path)
    path.write_text(text)
    with pytest.raises(ModelError, match=r"calibration\.json: expected a calibration"):
        load_calibration(tmp_path, KEPT.hardware_id)


def test_a_negative_idle_power_is_refused(tmp_path: Path) -> None:
    path = save_calibration(KEPT, tmp_path)
    path.write_text(path.read_text().replace("12.5", "-12.5"))
    with pytest.raises(ModelError, match="mean_watts"):
        load_calibration(tmp_path, KEPT.hardware_id)


def test_a_file_of_another_machine_is_refused(tmp_path: Path) -> None:
    path = save_calibration(KEPT, tmp_path)
    other = calibration_path(tmp_path, "other")
    other.parent.mkdir()
    path.rename(other)
    with pytest.raises(ModelError, match="expected other, got box-8t-1a2b3c4d"):
        load_calibration(tmp_path, "other")


def test_a_folder_in_its_place_is_one_error(tmp_path: Path) -> None:
    calibration_path(tmp_path, "box").mkdir(parents=True)
    with pytest.raises(ModelError, match="cannot be read"):
        load_calibration(tmp_path, "box")


class Machine:
    """A package with dram and core whose power a test sets, second by second."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        tree = PowercapTree(root)
        self.package = tree.add("intel-rapl:0", "package-0")
        self.core = tree.add("intel-rapl:0:0", "core", start_uj=10**9)
        self.dram = tree.add("intel-rapl:0:1", "dram", start_uj=10**9)
        self.meter = Meter(PowercapSource(str(root)), procfs=str(root), clock=self.clock)
        self.busy = self.total = 0
        self.show()

    def show(self) -> None:
        (self.root / "stat").write_text(f"cpu  {self.busy} 0 0 {self.total - self.busy} 0 0 0 0\n")

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.package.add((10.0 if int(self.clock.seconds) % 2 else 14.0) * seconds)
        self.core.add(9.0 * seconds)
        self.dram.add(3.0 * seconds)
        self.busy, self.total = self.busy + 4, self.total + 200
        self.show()


def test_a_point_is_packages_plus_dram_over_the_whole_window(tmp_path: Path) -> None:
    """10 and 14 W by turns with 3 W of dram over ten seconds: 15 W; 4 of 200 ticks are 2 % busy."""
    machine = Machine(tmp_path)
    point = measure_point(machine.meter, 10.0, sleep=machine.sleep)
    assert point.mean_watts == 15.0
    assert point.duration_seconds == 10.0
    assert point.busy_ratio == pytest.approx(0.02)
    assert point.domain_watts == {"package_0": 12.0, "core_0": 9.0, "dram_0": 3.0}


def test_the_spread_is_that_of_the_seconds(tmp_path: Path) -> None:
    """Five times 13 W and five times 17 W around 15: sqrt(10 x 4 / 9)."""
    machine = Machine(tmp_path)
    point = measure_point(machine.meter, 10.0, sleep=machine.sleep)
    assert point.stdev_watts == pytest.approx((40 / 9) ** 0.5)


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    machine, told = Machine(tmp_path), []
    measure_point(machine.meter, 4.0, sleep=machine.sleep, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_unknown_cpu_times_leave_the_busy_share_unknown(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.show = lambda: None  # type: ignore[method-assign]
    (tmp_path / "stat").unlink()
    assert measure_point(machine.meter, 2.0, sleep=machine.sleep).busy_ratio is None


@pytest.mark.parametrize("lost_at", [5, 19])
def test_a_zone_that_is_lost_within_the_window_is_an_error(tmp_path: Path, lost_at: int) -> None:
    """Without the 3 W of dram 12 W would be kept as the idle power, and every net energy be too high."""
    machine = Machine(tmp_path)

    def sleep(seconds: float) -> None:
        machine.sleep(seconds)
        if machine.clock.seconds >= begun + lost_at:
            machine.dram.block()

    begun = machine.clock.seconds
    with pytest.raises(EnergyError, match="could not be read from the beginning to the end"):
        measure_point(machine.meter, 20.0, sleep=sleep)


def test_no_zone_over_the_window_is_an_error(tmp_path: Path) -> None:
    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=FakeClock())
    with pytest.raises(EnergyError, match="from the beginning to the end"):
        measure_point(meter, 1.0, sleep=lambda seconds: None)
