"""Trees as people own them, second by second through the meter: the truth beside what is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from advisor.energy.meter import Meter, MeterReading, host_joules
from advisor.energy.powercap import PowercapSource
from tests.support.clock import FakeClock
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree


class Field:
    """A tree under a meter whose clock is driven by hand, a second at a time."""

    def __init__(self, root: Path) -> None:
        self.clock, self.tree = FakeClock(), PowercapTree(root)
        self.meter = Meter(
            PowercapSource(str(root), str(root), slept=lambda: 0.0), procfs=str(root), clock=self.clock
        )

    def run(self, seconds: int, drive: Callable[[int], None]) -> list[MeterReading]:
        readings = [self.meter.read()]
        for second in range(1, seconds + 1):
            self.clock.advance(1.0)
            drive(second)
            readings.append(self.meter.read())
        return readings


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path)


def watts(readings: list[MeterReading]) -> list[float | None]:
    return [reading.power_watts.get("package_0") for reading in readings]


def test_an_amd_register_that_reads_ahead_one_time_in_five(field: Field) -> None:
    """6.2 W for 30 s, one read in five 696 J ahead and the next right again: 186 J, 6.2 W throughout."""
    register = field.tree.add(
        "intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, start_uj=2_000_000_000, limits_uw={}
    )

    def drive(second: int) -> None:
        register.add(6.2)
        if second % 5 == 4:
            register.file.write_text(f"{register.raw_uj + 696_000_000}\n")

    readings = field.run(30, drive)
    assert readings[-1].joules["package_0"] == pytest.approx(186.0)
    assert watts(readings[3:]) == pytest.approx([6.2] * 28)


def test_three_false_values_in_a_row_at_the_start_are_no_rise(field: Field) -> None:
    """2 W; the third to fifth values are 180, 290 and 420 J ahead: 8 J after four seconds, not 188."""
    register = field.tree.add("intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, limits_uw={})
    ahead = {3: 180, 4: 290, 5: 420}

    def drive(second: int) -> None:
        register.add(2.0)
        register.file.write_text(f"{register.raw_uj + ahead.get(second, 0) * 1_000_000}\n")

    readings = field.run(12, drive)
    shown = [reading.joules.get("package_0", 0.0) for reading in readings]
    assert all(joules <= 2.0 * second for second, joules in enumerate(shown))
    assert shown[-1] == pytest.approx(24.0)


def test_a_part_on_a_board_that_lifts_its_limits(field: Field) -> None:
    """65 W by its papers, 4095.875 W in both limits, 253 W for 15 s between 20 s at 40 W: 4 595 J."""
    limits = {
        "constraint_0_max_power_uw": 65_000_000,
        "constraint_0_power_limit_uw": 4_095_875_000,
        "constraint_1_power_limit_uw": 4_095_875_000,
    }
    register = field.tree.add("intel-rapl:0", "package-0", limits_uw=limits)
    readings = field.run(35, lambda second: register.add(253.0 if 10 < second <= 25 else 40.0))
    assert readings[-1].joules["package_0"] == pytest.approx(4595.0)


def test_a_register_that_never_moves_is_unknown_and_counted(field: Field) -> None:
    field.tree.add("intel-rapl:0", "package-0", start_uj=777_123_456)
    readings = field.run(20, lambda second: None)
    assert all(not reading.joules and not reading.power_watts for reading in readings)
    assert readings[-1].zones[0].read_errors == {"standing": 1}


def test_a_dram_register_that_never_moves_leaves_its_package_standing(field: Field) -> None:
    package = field.tree.add("intel-rapl:0", "package-0")
    field.tree.add("intel-rapl:0:0", "dram")
    readings = field.run(20, lambda second: package.add(30.0))
    assert host_joules(readings[-1].joules) == pytest.approx(600.0)
    assert "dram_0" not in readings[-1].joules
    assert next(z for z in readings[-1].zones if z.name == "dram_0").read_errors == {"standing": 1}


def test_a_package_that_stops_is_unknown_until_it_moves_again(field: Field) -> None:
    """30 W for 10 s, then nothing for a minute: no package draws nothing."""
    package = field.tree.add("intel-rapl:0", "package-0")
    readings = field.run(70, lambda second: package.add(30.0) if second <= 10 else None)
    assert "package_0" in readings[39].joules
    assert "package_0" not in readings[41].joules
    readings = field.run(3, lambda second: package.add(30.0))
    assert "package_0" in readings[1].joules
    assert readings[3].joules["package_0"] == pytest.approx(390.0)


def test_a_twin_serves_where_the_first_register_cannot_be_read(field: Field) -> None:
    """The msr zone's file is a folder; its mmio twin draws 15 W for 12 s."""
    twin = field.tree.add("intel-rapl-mmio:0", "package-0")
    first = field.tree.add("intel-rapl:0", "package-0")
    first.vanish()
    first.file.mkdir()
    readings = field.run(12, lambda second: twin.add(15.0))
    assert readings[-1].joules == {"package_0": pytest.approx(180.0)}
    assert watts(readings[2:]) == pytest.approx([15.0] * 11)


def test_a_twin_goes_on_where_the_first_register_fails(field: Field) -> None:
    """20 W throughout; the msr file cannot be read from the tenth to the twentieth second."""
    first = field.tree.add("intel-rapl:0", "package-0", start_uj=5_000_000)
    twin = field.tree.add("intel-rapl-mmio:0", "package-0", start_uj=900_000_000)

    def drive(second: int) -> None:
        first.add(20.0)
        twin.add(20.0)
        if second == 10:
            first.show_instead("nonsense")
        if second == 20:
            first.heal()

    readings = field.run(30, drive)
    assert [reading.joules["package_0"] for reading in readings[1:]] == pytest.approx(
        [20.0 * second for second in range(1, 31)]
    )


@pytest.mark.parametrize(
    ("away", "high"),
    [
        # the one that takes over was away for 40 s, and in doubt what it says of them: 1 150 J too many
        ((((78, 118), (119, 124)), ((118, 158),)), range(79, 118)),
        # the other goes as the power rises at the return: what was drawn meanwhile was guessed, 77 J lost
        ((((151, 200),), ((130, 150),)), (*range(120, 136), *range(150, 170))),
    ],
)
def test_registers_that_fail_in_turn_count_each_joule_once(
    field: Field, away: tuple[tuple[tuple[int, int], ...], ...], high: Collection[int]
) -> None:
    registers = [field.tree.add(e, "package-0") for e in ("intel-rapl:0", "intel-rapl-mmio:0")]
    drawn = [0.0]

    def drive(second: int) -> None:
        watts = 120.0 if second in high else 5.0
        drawn.append(drawn[-1] + watts)
        for register, spans in zip(registers, away, strict=True):
            register.add(watts)
            if any(second == end for _, end in spans):
                register.heal()
            if any(second == start for start, _ in spans):
                register.show_instead("nonsense")

    readings = field.run(220, drive)
    shown = [reading.joules.get("package_0", 0.0) for reading in readings]
    assert all(joules <= true + 1e-3 for joules, true in zip(shown, drawn, strict=True))
    assert shown[-1] == pytest.approx(drawn[-1])


def test_a_twin_that_was_never_read_before_brings_what_is_drawn_since(field: Field) -> None:
    """20 W; the msr register goes after 100 s, its twin is opened to the exporter 10 s later: nobody knows of
    these. It stood still for 100 s more."""
    first, twin = (field.tree.add(e, "package-0") for e in ("intel-rapl:0", "intel-rapl-mmio:0"))
    twin.show_instead("nonsense")

    def drive(second: int) -> None:
        first.add(20.0)
        twin.add(20.0)
        if second == 101:
            first.show_instead("nonsense")
        if second == 110:
            twin.heal()

    readings = field.run(150, drive)
    assert readings[-1].joules["package_0"] == pytest.approx(100 * 20.0 + 40 * 20.0)
    assert watts(readings[115:]) == pytest.approx([20.0] * 36)


@pytest.mark.parametrize(("first_share", "share"), [(0.0, 1.0), (0.9, 0.9), (1.1, 1.1)])
def test_a_twin_that_stood_or_counts_another_amount_goes_on_at_once(
    field: Field, first_share: float, share: float
) -> None:
    """20 W; the msr register goes after 100 s. The twin stood for 90 s, or counts a tenth less or more."""
    first, twin = (field.tree.add(e, "package-0") for e in ("intel-rapl:0", "intel-rapl-mmio:0"))

    def drive(second: int) -> None:
        first.add(20.0)
        twin.add(20.0 * (first_share if second <= 90 else share))
        if second == 101:
            first.show_instead("nonsense")

    readings = field.run(150, drive)
    assert readings[-1].joules["package_0"] == pytest.approx(100 * 20.0 + 50 * 20.0 * share)
    assert watts(readings[102:]) == pytest.approx([20.0 * share] * 49)


def test_what_was_left_out_stays_counted_when_a_twin_takes_over(field: Field) -> None:
    """20 W; the msr register leaps once and then goes away: `rapl_rejected_samples_total` does not fall."""
    first = field.tree.add("intel-rapl:0", "package-0")
    twin = field.tree.add("intel-rapl-mmio:0", "package-0")

    def drive(second: int) -> None:
        first.add(20.0)
        twin.add(20.0)
        if second == 10:
            first.show_instead(f"{first.raw_uj + 5_000_000_000}\n")
        if second == 11:
            first.heal()
        if second == 20:
            first.vanish()

    readings = field.run(30, drive)
    package = next(zone for zone in readings[-1].zones if zone.role == "counted")
    assert package.path.endswith("intel-rapl-mmio:0")
    assert package.rejected == {"too_fast": 1}
    assert readings[-1].joules["package_0"] == pytest.approx(600.0)


def test_a_range_smaller_than_the_register_loses_nothing(field: Field) -> None:
    """The range file says 1 J; the register counts on past it at 12 W."""
    register = field.tree.add("intel-rapl:0", "package-0", range_uj=None)
    (register.folder / "max_energy_range_uj").write_text("1000000\n")
    readings = field.run(30, lambda second: register.add(12.0))
    assert readings[-1].joules["package_0"] == pytest.approx(360.0)


def test_power_after_a_set_back_is_that_of_the_time_since(field: Field) -> None:
    """12 W; the register is set back to 0 in the tenth second. No figure below 12 W is ever shown."""
    register = field.tree.add("intel-rapl:0", "package-0", start_uj=900_000_000)

    def drive(second: int) -> None:
        register.add(12.0)
        if second == 10:
            register.jump(-register.raw_uj / 1e6)

    readings = field.run(20, drive)
    assert watts(readings[2:]) == pytest.approx([12.0] * 19)
    assert readings[-1].joules["package_0"] == pytest.approx(240.0 - 12.0)
    assert readings[-1].zones[0].rejected == {"backwards": 1}
