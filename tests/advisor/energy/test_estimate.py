"""Power from utilisation."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.energy.estimate import EstimateSource, PowerModel, power_model, shape
from advisor.errors import InputError
from advisor.machine import CpuInfo
from tests.support.clock import FakeClock

MILAN = CpuInfo("AMD EPYC 7763", "AuthenticAMD", 25, 1, 1, 1, 64, 128, False)
CASCADE_LAKE = CpuInfo("Intel Xeon", "GenuineIntel", 6, 85, 7, 1, 28, 56, False)
SKYLAKE = CpuInfo("Intel Xeon", "GenuineIntel", 6, 85, 4, 1, 28, 56, False)
UNKNOWN = CpuInfo(None, "0x41", 8, 0xD0C, 1, 1, 4, 4, False)


def test_given_watts_are_the_ends_of_the_curve() -> None:
    model = power_model(MILAN, idle_watts=20.0, max_watts=120.0)
    assert (model.watts(0.0), model.watts(1.0), model.basis) == (20.0, 120.0, "given")


def test_half_load_lies_in_what_servers_measure() -> None:
    """At an idle share of 0.2 servers draw between 0.6/1.17 and 0.6/0.99 of the maximum at half load."""
    watts = PowerModel(20.0, 100.0, "given", 0.1).watts(0.5)
    assert 60 / 1.17 < watts < 60 / 0.99


@pytest.mark.parametrize("load", [-0.5, 1.5])
def test_utilisation_beyond_its_ends_is_taken_for_the_end(load: float) -> None:
    assert shape(load) == (0.0 if load < 0 else 1.0)


def test_power_rises_with_every_step_of_utilisation() -> None:
    model = power_model(MILAN)
    watts = [model.watts(step / 20) for step in range(21)]
    assert watts == sorted(set(watts))


def test_a_known_family_has_its_own_watts_per_thread() -> None:
    """128 threads at 0.46 W idle and 1.96 W busy (SPECpower averages of EPYC, Zen 3)."""
    model = power_model(MILAN)
    assert (model.idle_watts, model.max_watts) == pytest.approx((58.88, 250.88))
    assert model.basis == "family"


def test_the_stepping_tells_families_of_one_model_apart() -> None:
    assert power_model(SKYLAKE).max_watts == pytest.approx(56 * 4.10)
    assert power_model(CASCADE_LAKE).max_watts == pytest.approx(56 * 4.06)


def test_an_unknown_cpu_is_estimated_by_its_threads_and_less_sure() -> None:
    model = power_model(UNKNOWN)
    assert (model.idle_watts, model.max_watts) == pytest.approx((4 * 0.72, 4 * 3.18))
    assert model.basis == "per_core"
    assert model.uncertainty_ratio > power_model(MILAN).uncertainty_ratio


def test_a_given_maximum_alone_keeps_the_family_s_idle_share() -> None:
    model = power_model(MILAN, max_watts=196.0)
    assert model.idle_watts == pytest.approx(46.0)


def test_a_given_idle_above_the_table_s_maximum_lifts_the_maximum() -> None:
    model = power_model(UNKNOWN, idle_watts=72.0)
    assert model.max_watts == pytest.approx(318.0)


@pytest.mark.parametrize(("idle", "top"), [(100.0, 50.0), (50.0, 50.0), (-1.0, 50.0)])
def test_impossible_watts_are_refused(idle: float, top: float) -> None:
    with pytest.raises(InputError, match="power estimate: expected 0 <= idle watts < maximum watts"):
        power_model(MILAN, idle_watts=idle, max_watts=top)


class Proc:
    """A /proc/stat of two CPUs under an estimate of 10 W idle and 110 W full."""

    def __init__(self, root: Path) -> None:
        self.file = root / "stat"
        self.clock = FakeClock()
        self.show(0, 0)
        self.source = EstimateSource(str(root), idle_watts=10.0, max_watts=110.0)
        self.source.sample(self.clock)

    def show(self, busy: int, idle: int) -> None:
        self.file.write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0\ncpu1 0\nintr 0\n")

    def joules_after(self, seconds: float) -> float:
        self.clock.advance(seconds)
        self.source.sample(self.clock)
        return self.source.report()[0].joules


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_ten_seconds_of_full_load(proc: Proc) -> None:
    """Two CPUs busy for ten seconds: 110 W x 10 s."""
    proc.show(2000, 0)
    assert proc.joules_after(10.0) == pytest.approx(1100.0)


def test_ten_idle_seconds(proc: Proc) -> None:
    proc.show(0, 2000)
    assert proc.joules_after(10.0) == pytest.approx(100.0)


def test_time_without_a_clock_tick_belongs_to_the_next_sample(proc: Proc) -> None:
    assert proc.joules_after(0.004) == 0.0
    proc.show(200, 0)
    assert proc.joules_after(0.996) == pytest.approx(110.0)


def test_a_failed_read_is_counted_and_its_time_is_not_lost(proc: Proc) -> None:
    proc.file.rename(proc.file.with_name("away"))
    assert proc.joules_after(5.0) == 0.0
    assert proc.source.report()[0].read_errors == {"malformed": 1}
    proc.show(2000, 0)
    assert proc.joules_after(5.0) == pytest.approx(1100.0)
