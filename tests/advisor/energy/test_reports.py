"""Inputs from public reports on tools that read these counters: what they showed, and what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.energy.bounds import part_bounds
from advisor.energy.counter import EnergyCounter
from advisor.energy.explanations import Bounds
from advisor.energy.meter import host_joules
from advisor.energy.powercap import PowercapSource
from advisor.machine import CpuInfo
from tests.support.clock import FakeClock
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree

SERVER = CpuInfo(
    "Intel(R) Xeon(R) Platinum 8352V CPU @ 2.10GHz", "GenuineIntel", 6, 106, 6, 2, 72, 144, False
)


class Tree:
    """A tree, driven second by second."""

    def __init__(self, root: Path) -> None:
        self.tree, self.clock = PowercapTree(root), FakeClock()
        self.source = PowercapSource(str(root), str(root), slept=lambda: 0.0)

    def run(self, seconds: int, **watts: float) -> None:
        for _ in range(seconds):
            self.source.sample(self.clock)
            self.clock.advance(1.0)
            for entry, drawn in watts.items():
                self.tree[f"intel-rapl:{entry.removeprefix('z').replace('_', ':')}"].add(drawn)
        self.source.sample(self.clock)

    def shown(self) -> dict[str, float]:
        return {zone.name: zone.joules for zone in self.source.report() if zone.is_shown}


@pytest.fixture
def machine(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_kepler_575_a_register_that_comes_round_every_few_minutes(machine: Tree) -> None:
    """128 cores at 400 W over 65.5 kJ: three rounds in nine minutes were taken for noise; 216 kJ."""
    limits = {"constraint_0_max_power_uw": 400_000_000}
    machine.tree.add("intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, limits_uw=limits)
    machine.run(540, z0=400.0)
    assert machine.shown() == {"package_0": pytest.approx(216_000.0)}


def test_codecarbon_1309_a_register_that_comes_round_without_a_known_range(machine: Tree) -> None:
    """From 4 000 J to 10 J at 30 W: energy went negative. Unknown is what one second drew."""
    register = machine.tree.add("intel-rapl:0", "package-0", range_uj=None, start_uj=3_900_000_000)
    machine.run(10, z0=30.0)
    register.jump(-register.raw_uj / 1e6)
    machine.run(10, z0=30.0)
    assert machine.shown()["package_0"] == pytest.approx(20 * 30.0, abs=60.0)
    assert machine.source.report()[0].rejected == {"backwards": 1}


def test_scaphandre_108_and_kepler_1346_a_domain_that_stands_is_absent(machine: Tree) -> None:
    """dram and core of parts that do not have them: 0 W were shown as measured."""
    machine.tree.add("intel-rapl:0", "package-0")
    machine.tree.add("intel-rapl:0:0", "core")
    machine.tree.add("intel-rapl:0:1", "dram")
    machine.run(10, z0=90.0)
    assert set(machine.shown()) == {"package_0"}


def test_node_exporter_2147_one_package_under_two_control_types(machine: Tree) -> None:
    """msr and mmio: collected twice with the same labels; here once."""
    for kind in ("intel-rapl", "intel-rapl-mmio"):
        machine.tree.add(f"{kind}:0", "package-0")
    machine.run(5, z0=30.0)
    assert machine.shown() == {"package_0": pytest.approx(150.0)}


def test_powertelemetry_3_a_register_far_beyond_32_bits(machine: Tree) -> None:
    """60 293 987 J in the register, the zone switched off, both limits 0, a range of 65.5 kJ."""
    limits = {"constraint_0_power_limit_uw": 0, "constraint_1_power_limit_uw": 0}
    register = machine.tree.add("intel-rapl:1", "package-1", range_uj=None, limits_uw=limits)
    (register.folder / "max_energy_range_uj").write_text("65532610987\n")
    (register.folder / "enabled").write_text("0\n")
    register.jump(60_293_987.0)
    machine.run(30, z1=120.0)
    assert machine.shown() == {"package_1": pytest.approx(3600.0)}


def test_thermal_daemon_45_a_limit_in_no_unit_of_this_world(machine: Tree, tmp_path: Path) -> None:
    """dram of a desktop with a limit of 3 408.25 W: that bounds nothing, so what no memory draws does."""
    limits = {"constraint_0_power_limit_uw": 3_408_250_000}
    folder = machine.tree.add("intel-rapl:0:2", "dram", limits_uw=limits).folder
    assert part_bounds(str(folder), "dram", SERVER).possible_watts == 600.0


def test_powerstat_16_a_leap_is_no_wrap_on_its_way_back() -> None:
    """6 W, a value 696 J ahead, and back: 702 W and then 64 826 W were shown."""
    counter, joules = EnergyCounter(SMALL_RANGE_UJ, Bounds(240.0)), []
    for second, ahead in enumerate([0, 0, 696, 0, 0, 0, 0, 696, 0, 0]):
        counter.observe(1_000_000_000 + (second * 6 + ahead) * 1_000_000, float(second))
        joules.append(counter.joules)
    assert joules == [0.0, 6.0, 6.0, 6.0, 18.0, 24.0, 30.0, 30.0, 36.0, 48.0]


def test_mangohud_507_the_first_value_is_no_power() -> None:
    """A register that had counted for days gave thousands of watts on the first frame."""
    counter = EnergyCounter(None, Bounds(400.0))
    counter.observe(250_000_000_000_000, 0.0)
    assert counter.joules == 0.0


def test_tracarbon_97_and_powerjoular_45_a_round_is_no_negative_power(machine: Tree) -> None:
    machine.tree.add("intel-rapl:0", "package-0", start_uj=262_143_328_850 - 45_000_000)
    machine.run(6, z0=20.0)
    assert machine.shown() == {"package_0": pytest.approx(120.0)}
    assert machine.source.report()[0].wraps == 1


def test_libmsr_27_two_sockets_that_show_one_register(machine: Tree) -> None:
    """The same values on both sockets through every change: one, and named as such."""
    for socket in range(2):
        machine.tree.add(f"intel-rapl:{socket}", f"package-{socket}")
    for second in range(12):
        machine.run(1, z0=40.0 + second, z1=40.0 + second)
    assert set(machine.shown()) == {"package_0"}


def test_raplcap_4_a_limit_below_what_is_drawn(machine: Tree) -> None:
    """Capped to 55 W, drawing 120 W: the limit is no measure of the possible within a margin."""
    limits = {"constraint_0_power_limit_uw": 55_000_000, "constraint_1_power_limit_uw": 55_000_000}
    machine.tree.add("intel-rapl:0", "package-0", limits_uw=limits)
    machine.run(20, z0=120.0)
    assert machine.shown() == {"package_0": pytest.approx(2400.0)}


def test_s_tui_29_and_raplcap_13_a_register_in_another_unit_is_unknown(machine: Tree) -> None:
    """An N3060 of 6 W whose register adds 4.5 kJ a second (its unit is 2^ESU): no power, counted."""
    register = machine.tree.add("intel-rapl:0", "package-0", range_uj=137_438_953_471, limits_uw={})
    for second in range(180):
        machine.run(1)
        register.add(4500.0 + second % 7 * 300.0)
    report = machine.source.report()[0]
    assert report.joules < 0.01 * 180 * 4500.0, "a value in a hundred falls on the line by chance"
    assert report.rejected["too_fast"] > 100
    assert len(machine.source._tracked["package_0"].counter._undecided) < 100


def test_powercap_3_a_supply_s_meter_and_its_twins_are_each_counted_once(machine: Tree) -> None:
    """A T480s: psys 21 W holds the package's 9 W, which an mmio zone shows once more."""
    limits = {"constraint_0_power_limit_uw": 44_000_000}
    for entry, name in (("intel-rapl:0", "package-0"), ("intel-rapl-mmio:0", "package-0")):
        machine.tree.add(entry, name, limits_uw=limits)
    machine.tree.add("intel-rapl:1", "psys", limits_uw={})
    for _ in range(10):
        machine.run(1, z0=9.0, z1=21.0)
        machine.tree["intel-rapl-mmio:0"].add(9.0)
    assert host_joules(machine.shown()) == pytest.approx(90.0)
    assert host_joules(machine.shown(), "system") == pytest.approx(210.0)


def test_powerjoular_87_only_the_memory_s_register_comes_round(machine: Tree) -> None:
    """260 kW were shown: the range of the package was added as well."""
    machine.tree.add("intel-rapl:0", "package-0")
    start = SMALL_RANGE_UJ - 20_000_000
    machine.tree.add("intel-rapl:0:0", "dram", range_uj=SMALL_RANGE_UJ, start_uj=start)
    machine.run(10, z0=30.0, z0_0=5.0)
    assert machine.shown() == pytest.approx({"package_0": 300.0, "dram_0": 50.0})


def test_codecarbon_1305_memory_beside_its_package_counts(machine: Tree) -> None:
    """dram at the top of the tree was read and never added."""
    machine.tree.add("intel-rapl:0", "package-0")
    machine.tree.add("intel-rapl:1", "dram")
    machine.run(10, z0=30.0, z1=5.0)
    assert host_joules(machine.shown()) == pytest.approx(350.0)
