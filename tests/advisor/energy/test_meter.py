"""The meter: counters, power over its own window, and its thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.energy.cpu import CpuTimes
from advisor.energy.meter import Meter, MeterReading, PowerWindow, energy_between, host_joules, open_meter
from advisor.energy.powercap import PowercapSource
from advisor.energy.sampler import Sampler, next_tick
from advisor.energy.source import Clock, SavedZone, SourceName, Tier, ZoneReport
from advisor.errors import EnergyError, InputError
from tests.support.clock import FakeClock
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree
from tests.support.waiting import wait_until

STAT = "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\nintr 5\n"


class Bench:
    """One package and its dram under a meter with a clock of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        self.tree = PowercapTree(root)
        limits = {"constraint_0_max_power_uw": 400_000_000}
        self.package = self.tree.add("intel-rapl:0", "package-0", start_uj=10**9, limits_uw=limits)
        self.dram = self.tree.add("intel-rapl:0:0", "dram", range_uj=SMALL_RANGE_UJ)
        self.meter = Meter(
            PowercapSource(str(root)), procfs=str(root), clock=self.clock, wall_clock=lambda: 1e9
        )
        self.meter.read()
        self.tree.nudge()

    def joules(self) -> dict[str, float]:
        """By zone as of a reading now, without the microjoule with which the registers were seen to move."""
        return {zone: round(joules, 5) for zone, joules in self.meter.read().joules.items()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_counters_begin_at_zero(bench: Bench) -> None:
    assert bench.joules() == {"package_0": 0.0, "dram_0": 0.0}


def test_a_reading_says_when_it_was_taken(bench: Bench) -> None:
    reading = bench.meter.read()
    assert (reading.unix_seconds, reading.monotonic_seconds) == (1e9, 1000.0)


def test_power_is_unknown_until_a_whole_window_has_passed(bench: Bench) -> None:
    bench.meter.read()
    bench.package.add(5.0)
    bench.clock.advance(0.5)
    assert bench.meter.read().power_watts["package_0"] is None


def test_power_is_the_mean_over_the_window_however_often_it_is_read(bench: Bench) -> None:
    """50 J in the first half second and 10 J in the second are 60 W over the second."""
    bench.meter.read()
    for joules in (50.0, 10.0):
        for part in range(5):
            bench.package.add(joules if part == 0 else 0.0)
            bench.clock.advance(0.1)
            reading = bench.meter.read()
    assert reading.power_watts["package_0"] == pytest.approx(60.0)


def test_power_follows_the_last_window_alone(bench: Bench) -> None:
    bench.meter.read()
    for joules in (100.0, 20.0):
        bench.package.add(joules)
        bench.clock.advance(1.0)
        reading = bench.meter.read()
    assert reading.power_watts["package_0"] == 20.0


def test_power_over_a_failed_read_is_the_mean_and_no_drop(bench: Bench) -> None:
    """80 W throughout: the failed second shows the last known power, the next one the mean of both."""
    bench.meter.read()
    watts = []
    for fails in (False, True, False):
        bench.package.add(80.0)
        if fails:
            bench.package.show_instead("")
        bench.clock.advance(1.0)
        watts.append(bench.meter.read().power_watts["package_0"])
        if fails:
            bench.package.heal()
    assert watts == pytest.approx([80.0, 80.0, 80.0])


def test_a_zone_unreadable_for_long_is_absent_and_returns_with_its_joules(bench: Bench) -> None:
    bench.meter.read()
    bench.package.show_instead("nonsense")
    for _ in range(6):
        bench.clock.advance(1.0)
        reading = bench.meter.read()
    assert "package_0" not in reading.joules
    assert "dram_0" in reading.joules
    bench.package.heal()
    bench.package.add(300.0)
    assert bench.joules()["package_0"] == 300.0


def test_cpu_times_come_with_the_same_reading(bench: Bench) -> None:
    (bench.root / "stat").write_text(STAT.format(busy=500, idle=1500))
    reading = bench.meter.read()
    assert reading.cpu is not None
    assert (reading.cpu.busy_seconds, reading.cpu.total_seconds) == (5.0, 20.0)


def test_unknown_cpu_times_are_absent(bench: Bench) -> None:
    assert bench.meter.read().cpu is None


def test_measured_readings_have_no_uncertainty_of_a_model(bench: Bench) -> None:
    assert bench.meter.read().uncertainty_ratio is None
    assert (bench.meter.source, bench.meter.tier) == ("powercap", "measured")


def test_the_interval_is_shortened_where_a_wrap_could_be_lost(tmp_path: Path) -> None:
    """A range of 100 J at three times 50 W comes round in 2/3 s: a quarter of that is 1/6 s."""
    PowercapTree(tmp_path).add(
        "intel-rapl:0", "package-0", range_uj=10**8, limits_uw={"constraint_0_max_power_uw": 50_000_000}
    )
    meter = open_meter(sysfs=str(tmp_path), interval_seconds=5.0, estimate=False)
    meter.read()
    assert meter.interval_seconds == pytest.approx(1 / 6)


def test_a_range_of_nonsense_does_not_keep_the_machine_busy(tmp_path: Path) -> None:
    """1 mJ would come round in microseconds."""
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0", range_uj=1000)
    meter = open_meter(sysfs=str(tmp_path), estimate=False)
    meter.read()
    assert meter.interval_seconds == 0.1


def test_an_interval_below_what_can_be_kept_is_refused(tmp_path: Path) -> None:
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0")
    with pytest.raises(InputError, match=r"sampling interval: expected at least 0\.01 s, got 0\.001"):
        open_meter(sysfs=str(tmp_path), interval_seconds=0.001)


def test_latest_is_none_before_the_first_sample_and_the_last_one_after(tmp_path: Path) -> None:
    meter = Meter(PowercapSource(str(tmp_path)))
    assert meter.latest() is None
    assert meter.read() is meter.latest()


def test_the_thread_samples_on_its_own(tmp_path: Path) -> None:
    register = PowercapTree(tmp_path).add("intel-rapl:0", "package-0", start_uj=10**9)
    with Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), interval_seconds=0.01) as meter:
        register.add(10.0)
        wait_until(lambda: (latest := meter.latest()) is not None and latest.joules == {"package_0": 10.0})


class _Signalling:
    """A source that tells each time it has been sampled ``samples`` times."""

    def __init__(self, inner: PowercapSource, samples: int) -> None:
        self.name: SourceName = "powercap"
        self.tier: Tier = "measured"
        self.uncertainty_ratio: float | None = None
        self.done = threading.Event()
        self._inner = inner
        self._samples = samples
        self._taken = 0

    def sample(self, clock: Clock) -> None:
        self._inner.sample(clock)
        self._taken += 1
        if self._taken % self._samples == 0:
            self.done.set()

    def report(self) -> tuple[ZoneReport, ...]:
        return self._inner.report()

    def longest_interval_seconds(self) -> float | None:
        return None

    def settled_joules(self, zone: str, seconds: float) -> float | None:
        return self._inner.settled_joules(zone, seconds)

    def save(self) -> Mapping[str, SavedZone]:
        return self._inner.save()

    def restore(self, zones: Mapping[str, SavedZone]) -> None:
        self._inner.restore(zones)

    def stop(self) -> None:
        self._inner.stop()


def test_a_stopped_meter_can_be_started_again(tmp_path: Path) -> None:
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0")
    source = _Signalling(PowercapSource(str(tmp_path)), samples=1)
    meter = Meter(source, procfs=str(tmp_path), interval_seconds=0.01)
    for _ in range(2):
        with meter:
            source.done.clear()
            assert source.done.wait(60)


def test_a_late_tick_is_counted_and_the_grid_is_kept() -> None:
    """Due at 10, done at 13.4 in steps of 1: 11, 12 and 13 are lost, the next is 14."""
    assert next_tick(10.0, 13.4, 1.0) == (14.0, 3)


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=50))
def test_ticks_do_not_drift(delays: list[float]) -> None:
    """However late each tick ends, the next is due on the grid of the first: 100, 101, 102 ..."""
    due, missed_total = 100.0, 0
    for count, delay in enumerate(delays, start=1):
        due, missed = next_tick(due, due + delay, 1.0)
        missed_total += missed
        assert due == 100.0 + count + missed_total


def test_a_sampler_that_is_late_counts_it() -> None:
    gate, ticks = threading.Event(), []

    def work() -> None:
        ticks.append(1)
        if len(ticks) == 1:
            gate.wait(0.2)  # nobody opens it: the first tick takes 0.2 s of intervals of 0.01 s
        if len(ticks) == 2:
            done.set()

    done = threading.Event()
    sampler = Sampler("test", work, lambda: 0.01)
    sampler.start()
    assert done.wait(60)
    sampler.stop()
    assert sampler.missed_ticks >= 19


@pytest.mark.parametrize(
    ("zones", "moving", "source"),
    [
        ({"intel-rapl:0": "package-0"}, True, "powercap"),
        ({"intel-rapl:0": "psys"}, True, "powercap"),
        ({"intel-rapl:0": "package-0"}, False, "estimate"),
        ({"intel-rapl:0:0": "core"}, True, "estimate"),
        ({}, True, "estimate"),
    ],
)
def test_open_meter_takes_the_counters_where_the_host_s_joules_come_out_of_them(
    tmp_path: Path, zones: dict[str, str], moving: bool, source: str
) -> None:
    """A register that stands (guests) is readable and tells nothing; core alone is no host."""
    tree = PowercapTree(tmp_path)
    for entry, name in zones.items():
        tree.add(entry, name)
    (tmp_path / "stat").write_text(STAT.format(busy=0, idle=100))
    folders = {"sysfs": str(tmp_path), "procfs": str(tmp_path)}
    meter = open_meter(**folders, sleep=lambda _: tree.nudge() if moving else time.sleep(0.1))
    assert meter.source == source


def test_counters_with_an_unreadable_first_register_serve_by_their_twin(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0").vanish()
    tree.add("intel-rapl-mmio:0", "package-0")
    meter = open_meter(sysfs=str(tmp_path), sleep=lambda _: tree["intel-rapl-mmio:0"].jump(1e-6))
    assert meter.source == "powercap"
    assert "package_0" in meter.read().joules


def test_open_meter_estimates_where_no_counter_can_be_read(tmp_path: Path) -> None:
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0").show_instead("nonsense")
    (tmp_path / "stat").write_text(STAT.format(busy=0, idle=100))
    meter = open_meter(sysfs=str(tmp_path), procfs=str(tmp_path))
    assert (meter.source, meter.tier) == ("estimate", "modelled")


def test_without_estimate_counters_that_appear_later_are_taken(tmp_path: Path) -> None:
    meter = open_meter(sysfs=str(tmp_path), estimate=False)
    assert meter.read().joules == {}
    assert meter.source == "powercap"


def test_a_machine_that_says_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnergyError, match="no energy counters under"):
        open_meter(sysfs=str(tmp_path), procfs=str(tmp_path))


@pytest.mark.parametrize(
    ("joules", "expected"),
    [
        ({"package_0": 100.0, "package_1": 50.0, "dram_0": 10.0, "core_0": 80.0, "psys_0": 300.0}, 160.0),
        ({"package_0_die_0": 30.0, "package_0_die_1": 20.0}, 50.0),
        ({"psys_0": 300.0}, 300.0),
        ({"core_0": 80.0, "dram_0": 10.0}, None),
        ({}, None),
    ],
)
def test_the_host_is_packages_and_dram_each_once(joules: dict[str, float], expected: float | None) -> None:
    """psys stands in where there is no package; parts of a package alone are no host."""
    assert host_joules(joules) == expected


def test_energy_between_readings_leaves_out_a_zone_that_only_one_has(bench: Bench) -> None:
    start = bench.meter.read()
    bench.package.add(25.0)
    bench.tree.add("intel-rapl:1", "package-1", start_uj=5)
    bench.clock.advance(10.0)
    assert energy_between(start, bench.meter.read()) == pytest.approx({"package_0": 25.0, "dram_0": 0.0})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_published_joules_never_decrease_and_end_at_the_truth(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Random power, pauses, failed reads, nonsense and vanishing files on a socket with dram and a twin."""
    bench = Bench(tmp_path_factory.mktemp("sysfs"))
    bench.tree.add("intel-rapl-mmio:0", "package-0")
    before = dict(bench.meter.read().joules)
    for _ in range(data.draw(st.integers(1, 25))):
        seconds = data.draw(st.floats(0.1, 30.0))
        bench.clock.advance(seconds)
        bench.package.add(seconds * data.draw(st.floats(0.1, 400.0)))
        bench.dram.add(seconds * data.draw(st.floats(0.1, 40.0)))
        broken = data.draw(st.sampled_from([None, "", "nonsense", "99999999999999999", "vanish", "block"]))
        if broken == "vanish":
            bench.package.vanish()
        elif broken == "block":
            bench.package.block()
        elif broken is not None:
            bench.package.show_instead(broken)
        joules = bench.meter.read().joules
        assert all(joules.get(zone, value) >= value for zone, value in before.items())
        before |= joules
        bench.package.heal()
    for _ in range(6):
        end = bench.meter.read()
        bench.clock.advance(2.0)
    assert end.joules["package_0"] == pytest.approx(bench.package.joules, abs=2e-6)
    assert end.joules["dram_0"] == pytest.approx(bench.dram.joules, abs=2e-6)


def test_a_register_beyond_its_range_is_seen_to_move_at_the_start(tmp_path: Path) -> None:
    """A range of 1 J and a register at 500 J: to prove the range wrong takes seconds, to see it move none."""
    tree = PowercapTree(tmp_path)
    register = tree.add("intel-rapl:0", "package-0", range_uj=None, start_uj=500_000_000)
    (register.folder / "max_energy_range_uj").write_text("1000000\n")
    assert (
        open_meter(sysfs=str(tmp_path), sleep=lambda seconds: register.add(12.0 * seconds)).tier == "measured"
    )


def test_what_a_later_value_takes_back_was_never_drawn(tmp_path: Path) -> None:
    """100 J were shown while a leap was believed; by the next reading 97 J are known to be right."""
    shown = [
        MeterReading(
            unix_seconds=float(at), monotonic_seconds=float(at), joules=joules, power_watts={}, cpu=None,
            uncertainty_ratio=None,
        )
        for at, joules in enumerate([{"package_0": 90.0}, {"package_0": 100.0}, {}, {"package_0": 97.0}])
    ]  # fmt: skip
    assert [dict(reading.joules) for reading in Bench(tmp_path).meter.settled(shown)] == [
        {"package_0": 90.0},
        {"package_0": 97.0},
        {},
        {"package_0": 97.0},
    ]


def _leaping(
    tmp_path: Path,
    until: int,
    leaps: Collection[int],
    rises_at: float = 4.0,
    high: float = 40.0,
    ahead: float = 96.0,
) -> tuple[list[float], list[float]]:
    """Joules of a reading a second, settled, and the truth: 10 W, then 40 W; 96 J ahead at the leaps."""
    clock, tree = FakeClock(), PowercapTree(tmp_path)
    register = tree.add("intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, start_uj=10**9, limits_uw={})
    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=clock)
    meter.read()
    tree.nudge()

    def draw(seconds: float) -> None:
        register.add((10.0 if clock() < 1000.0 + rises_at else high) * seconds)
        clock.advance(seconds)

    readings, truth = [meter.read()], [0.0]
    for second in range(1, until + 1):
        draw(1.0)
        leap = ahead if second in leaps else 0.0
        register.jump(leap)
        readings.append(meter.read())
        register.jump(-leap)
        truth.append(register.joules)
    settled = [reading.joules["package_0"] for reading in meter.settled(readings, sleep=draw)]
    return [joules - settled[0] for joules in settled], truth


def test_readings_are_settled_up_to_a_last_one_that_leaps(tmp_path: Path) -> None:
    """The value after a leap denies it, and its joules are known then; those of the five seconds before it
    not yet. Left as they were shown, they gave a sample of -110 W, or of 0 W and then of 190 W."""
    settled, truth = _leaping(tmp_path, 20, leaps=(2, 20))
    assert settled == pytest.approx(truth, abs=1e-5)


def test_of_several_false_values_in_a_row_the_first_is_false_too(tmp_path: Path) -> None:
    """The value after them is above the first, from which 8 W would lead to it: 136 W were left."""
    settled, truth = _leaping(tmp_path, 24, leaps=(12, 13, 14))
    assert settled == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("leap", [14, 15, 16])
def test_a_leap_after_a_change_of_power_leaves_that_where_it_was(tmp_path: Path, leap: int) -> None:
    """What the machine draws is not what it usually drew: that led to a point before the change."""
    settled, truth = _leaping(tmp_path, 24, leaps=(leap,), rises_at=12.0)
    assert settled == pytest.approx(truth, abs=1e-5)


def test_a_leap_beyond_a_rise_that_waits_to_be_believed_is_settled_with_it(tmp_path: Path) -> None:
    """200 W since the eighth second; left as it was shown, the leap took 1 200 J from those before it."""
    settled, truth = _leaping(tmp_path, 20, leaps=(14,), rises_at=8.0, high=200.0, ahead=900.0)
    assert settled == pytest.approx(truth, abs=1e-5)


def test_what_was_believed_at_the_start_is_corrected_when_it_is_denied(tmp_path: Path) -> None:
    """Two false values in a row at the start are believed after 1.5 s, and denied by the third."""
    settled, truth = _leaping(tmp_path, 10, leaps=(1, 2, 3))
    assert settled == pytest.approx(truth, abs=1e-5)


def test_what_is_drawn_asleep_is_no_power_of_the_moment_after(tmp_path: Path) -> None:
    """6 W, then eight hours asleep at 0.4 W, which no clock shows: 11 526 J are no 11 526 W."""
    clock, slept = FakeClock(), [0.0]
    register = PowercapTree(tmp_path).add("intel-rapl:0", "package-0")
    source = PowercapSource(str(tmp_path), str(tmp_path), slept=lambda: slept[0])
    meter = Meter(source, procfs=str(tmp_path), clock=clock, slept=lambda: slept[0])
    meter.read()
    watts = []
    for second in range(12):
        if second == 6:
            slept[0] += 8 * 3600
            register.add(0.4 * 8 * 3600)
        clock.advance(1.0)
        register.add(6.0)
        reading = meter.read()
        watts.append(reading.power_watts["package_0"])
    assert [power for power in watts if power is not None] == pytest.approx([6.0] * (len(watts) - 1))
    assert watts[6] is None
    assert reading.joules["package_0"] == pytest.approx(12 * 6.0 + 11_520.0)


def test_power_is_absent_and_not_0_where_sleep_set_the_register_back() -> None:
    window = PowerWindow()
    window.add(101.0, 50.0, 1.0, None)
    window.add(101.0, 50.0, 1.0, None, awake_seconds=200.0)
    window.add(203.0, 200.0, 1.0, 200.1, awake_seconds=200.0)
    assert window.watts(1.0) is None
    window.add(204.0, 250.0, 1.0, 200.1, awake_seconds=200.0)
    assert window.watts(1.0) == 50.0


def test_a_register_that_takes_over_does_not_spread_its_power_since_it_was_set_back() -> None:
    window = PowerWindow()
    for second in range(100, 110):
        window.add(float(second), second * 50.0, 1.0, None)
    window.add(110.0, 5500.0, 1.0, 20.0)
    assert window.watts(1.0) == 50.0


def test_nobody_computed_asleep(tmp_path: Path) -> None:
    """100 of 2 000 ticks busy in 10 s of two CPUs; asleep as long again: 1 s of 40 s."""
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0")
    (tmp_path / "stat").write_text("cpu  100 0 0 1900 0 0 0 0 0 0\n")
    meter = Meter(
        PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=FakeClock(10.0), slept=lambda: 10.0
    )
    assert meter.read().cpu == CpuTimes(busy_seconds=1.0, total_seconds=40.0, steal_seconds=0.0)
