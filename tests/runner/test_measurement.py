"""Power and energy of a window, from readings whose truth is known."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource
from advisor.energy.source import ZoneReport
from runner.measurement import Measurement
from tests.support.clock import FakeClock
from tests.support.meters import ScriptedMeter, reading
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree


def _closed(*readings: object, cpu: tuple[float, ...] = (), interval: float = 1.0) -> Measurement:
    """A window over the readings; ``cpu`` are the encoder's CPU seconds at each reading but the first."""
    window = Measurement(ScriptedMeter(readings), interval)  # type: ignore[arg-type]
    cpu = cpu or (0.0,) * (len(readings) - 1)
    window.open()
    for used in cpu[:-1]:
        window.sample(used)
    window.close(cpu[-1])
    return window


def test_energy_is_packages_plus_dram_and_nothing_twice() -> None:
    """40 J of package_0, 30 J of package_1 and 5 J of dram_0; core and psys lie inside or around them."""
    window = _closed(
        reading(0, {"package_0": 100, "package_1": 50, "core_0": 10, "dram_0": 7, "psys_0": 1}),
        reading(10, {"package_0": 140, "package_1": 80, "core_0": 30, "dram_0": 12, "psys_0": 99}),
    )
    power = window.power(None, None)
    assert power is not None
    assert power.total_energy_joules == 75
    assert power.mean_watts == 7.5
    assert power.domains == {"package_0": 40, "package_1": 30, "core_0": 20, "dram_0": 5, "psys_0": 98}


def test_net_energy_is_what_lies_above_idle() -> None:
    """200 J in 10 s above 12 W of idle: 200 - 120."""
    power = _closed(reading(0, {"package_0": 0}), reading(10, {"package_0": 200})).power(12.0, None)
    assert power is not None
    assert (power.idle_watts, power.net_energy_joules) == (12.0, 80.0)


def test_without_a_baseline_net_energy_is_unknown() -> None:
    power = _closed(reading(0, {"package_0": 0}), reading(10, {"package_0": 200})).power(None, None)
    assert power is not None
    assert power.net_energy_joules is None


def test_the_process_gets_its_share_of_busy_time() -> None:
    """200 J, 4 of 20 CPU seconds busy, 3 of them the encoder's: 200 * 4/20 * 3/4 = 30 J."""
    window = _closed(
        reading(0, {"package_0": 0}, busy=1.0, total=100.0),
        reading(10, {"package_0": 200}, busy=5.0, total=120.0),
    )
    power = window.power(None, 3.0)
    assert power is not None
    assert power.process_energy_joules == pytest.approx(30.0)


def test_samples_are_means_over_their_intervals() -> None:
    """10, 30 and 20 W over three seconds; median 20, stdev 10; the encoder used 0.5, 1.5 and 1 cores."""
    window = _closed(
        reading(0, {"package_0": 0}),
        reading(1, {"package_0": 10}),
        reading(2, {"package_0": 40}),
        reading(3, {"package_0": 60}),
        cpu=(0.5, 2.0, 3.0),
    )
    samples, power = window.samples(), window.power(None, None)
    assert samples.timestamps == [1_000_001, 1_000_002, 1_000_003]
    assert samples.power_watts == [10, 30, 20]
    assert samples.cpu_usage_cores == [0.5, 1.5, 1.0]
    assert power is not None
    assert (power.min_watts, power.median_watts, power.max_watts, power.stdev_watts) == (10, 20, 30, 10)


def test_a_short_rest_is_in_the_total_and_makes_no_sample() -> None:
    """0.2 s at the end of a 1 s interval: too short for a power, not for the energy."""
    window = _closed(
        reading(0, {"package_0": 0}), reading(1, {"package_0": 10}), reading(1.2, {"package_0": 16})
    )
    power = window.power(None, None)
    assert window.samples().power_watts == [10]
    assert power is not None
    assert power.total_energy_joules == 16


def test_a_zone_that_is_lost_leaves_no_total() -> None:
    """Without dram_0 at the end the sum would be too low, so there is none."""
    window = _closed(reading(0, {"package_0": 0, "dram_0": 0}), reading(10, {"package_0": 200}))
    assert window.energy_lost
    assert window.power(None, None) is None


def test_a_zone_whose_last_good_read_is_old_counts_as_lost() -> None:
    zone = ZoneReport(name="package_0", domain="package", path="p", joules=100, sampled_seconds=6.0)
    end = msgspec.structs.replace(reading(10, {"package_0": 100}), zones=(zone,))
    assert _closed(reading(0, {"package_0": 0}), end).energy_lost


def test_a_twin_beside_its_zone_loses_no_energy() -> None:
    """The mmio register of a package bears its name and has no values of its own."""
    counted = ZoneReport("package_0", "package", "intel-rapl:0", 50.0, 10.0)
    twin = ZoneReport("package_0", "package", "intel-rapl-mmio:0", 0.0, None, role="twin")
    end = msgspec.structs.replace(reading(10, {"package_0": 50}), zones=(counted, twin))
    assert not _closed(reading(0, {"package_0": 0}), end).energy_lost


def test_a_core_zone_that_is_lost_costs_only_itself() -> None:
    window = _closed(reading(0, {"package_0": 0, "core_0": 0}), reading(10, {"package_0": 200}))
    power = window.power(None, None)
    assert power is not None
    assert power.domains == {"package_0": 200}


def test_a_zone_still_being_checked_at_the_start_counts_from_there() -> None:
    """package_1 was held back at first; its counter stood at 5 J when the window opened."""
    held = ZoneReport(
        name="package_1", domain="package", path="p", joules=5.0, sampled_seconds=0.0, held_back=True
    )
    start = msgspec.structs.replace(reading(0, {"package_0": 0}), zones=(held,))
    power = _closed(start, reading(10, {"package_0": 100, "package_1": 45})).power(None, None)
    assert power is not None
    assert power.total_energy_joules == 140


def test_a_machine_without_any_zone_has_no_power() -> None:
    window = _closed(reading(0, {}), reading(10, {}))
    assert window.power(None, None) is None
    assert window.samples().power_watts == [None]
    assert not window.energy_lost


def test_a_window_of_many_samples_begins_where_it_began(tmp_path: Path) -> None:
    """40 W for 1 100 s on a register that leaps, after 10 W for 10 s: at the start 4 s of 40 W are shown as
    10 W until the values that follow confirm them. 150 J too many were counted, and a sample of 190 W."""
    clock, tree = FakeClock(), PowercapTree(tmp_path)
    register = tree.add("intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, start_uj=10**9, limits_uw={})
    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=clock)
    meter.read()
    for second in range(20):
        register.add(10.0 if second < 10 else 40.0)
        clock.advance(1.0)
        register.jump(96.0 if second == 5 else 0.0)
        meter.read()
        register.jump(-96.0 if second == 5 else 0.0)
    window = Measurement(meter, 1.0)
    window.open()
    for _ in range(1100):
        register.add(40.0)
        clock.advance(1.0)
        window.sample(0.0)
    register.add(2.0)
    clock.advance(0.05)
    meter.settled = lambda readings: [meter.settle(one) for one in readings]  # type: ignore[method-assign]
    window.close(0.0)
    assert window.samples().power_watts[:1000] == pytest.approx([40.0] * 1000)
