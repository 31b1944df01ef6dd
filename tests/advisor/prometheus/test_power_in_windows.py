"""Spans over series whose course is known: 100 W in the package, 4 W in the dram, a scrape every 5 s."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.prometheus.power_in_windows import PowerInWindow, power_in_window
from advisor.prometheus.window_statistics import ScrapedSeries, TimeSpan

TIMES = np.arange(1.0, 600.0, 5.0)


def _series(name: str, values: np.ndarray, times: np.ndarray = TIMES, **labels: str) -> ScrapedSeries:
    return ScrapedSeries({"__name__": name, "instance": "a", **labels}, times, values)


def _joules(watts: float, times: np.ndarray = TIMES, **labels: str) -> ScrapedSeries:
    return _series("rapl_energy_joules_total", watts * times, times, **labels)


PACKAGE = _joules(100.0, zone="package_0")
DRAM = _joules(4.0, zone="dram_0")


def _power(
    *series: ScrapedSeries, windows: tuple[tuple[float, float], ...] = ((100, 160),)
) -> list[PowerInWindow]:
    return [power_in_window(TimeSpan(*window), series) for window in windows]


def _joules_of(one: PowerInWindow) -> float:
    assert one.power is not None, one.reason
    assert one.power.total_energy_joules is not None
    return one.power.total_energy_joules


def test_packages_and_dram_are_added_and_psys_is_not() -> None:
    """(100 + 4) W over 60 s; psys holds both of them already."""
    (one,) = _power(PACKAGE, DRAM, _joules(150.0, zone="psys_0"))
    assert _joules_of(one) == pytest.approx(6240)
    assert one.power is not None
    assert one.power.mean_watts == pytest.approx(104)
    assert one.power.domains == pytest.approx({"package_0": 6000, "dram_0": 240, "psys_0": 9000})


def test_psys_alone_holds_the_gpus() -> None:
    """9 000 J of the whole machine: a GPU's joules beside them are not added again."""
    (alone,) = _power(_joules(150.0, zone="psys_0"))
    (beside,) = _power(PACKAGE, _joules(150.0, zone="psys_0"))
    assert alone.power is not None
    assert alone.power.includes_gpus
    assert beside.power is not None
    assert not beside.power.includes_gpus


def test_each_window_is_read_by_the_series_that_are_near_it() -> None:
    """The dram zone comes 300 s later: the first window is the package's alone."""
    late = TIMES[TIMES > 300]
    early, later = _power(PACKAGE, _joules(4.0, late, zone="dram_0"), windows=((100, 160), (400, 500)))
    assert _joules_of(early) == pytest.approx(6000)
    assert _joules_of(later) == pytest.approx(10_400)


def test_windows_keep_their_order_and_may_overlap() -> None:
    windows = _power(PACKAGE, windows=((400, 500), (100, 160), (120, 420)))
    assert [_joules_of(one) for one in windows] == pytest.approx([10_000, 6000, 30_000])


def test_a_machine_that_was_measured_at_another_time_does_not_matter() -> None:
    """Machine b ends 40 s before the window, which is more than the three scrapes that count as near."""
    other = TIMES[TIMES < 60]
    b = ScrapedSeries({**PACKAGE.metric, "instance": "b"}, other, 50 * other)
    assert _joules_of(_power(PACKAGE, b)[0]) == pytest.approx(6000)
    (both,) = _power(PACKAGE, b, windows=((50, 110),))
    assert both.reason == "2 machines were measured at the time (a, b): choose one with --selector"


def test_a_window_that_one_scrape_tells_of_is_left_out() -> None:
    """A scrape a minute of 30 W, and 230 W from 50 to 62 s: of these 2 760 J the counter says nothing."""
    times = np.arange(0.0, 600.0, 60.0)
    joules = 30 * times + 200 * np.clip(times - 50, 0, 12)
    (one,) = _power(_series("rapl_energy_joules_total", joules, times, zone="package_0"), windows=((50, 62),))
    assert one.reason == "the window of 12.0 s holds less than two scrapes, which come every 60.0 s"


def test_samples_of_two_clocks_in_one_series_are_no_restarts() -> None:
    """Two servers scrape 100 W each second, give or take 0.2 s; one's samples are 0.5 s older than they say.

    Taken as restarts, their falls made it 4 597 W.
    """
    draw = np.random.default_rng(1)
    moments = np.arange(0.0, 300) + draw.uniform(-0.2, 0.2, (2, 300))
    times, joules = moments.ravel(), 100 * (moments - [[0.0], [0.5]]).ravel()
    order = np.argsort(times)
    (one,) = _power(_series("rapl_energy_joules_total", joules[order], times[order], zone="package_0"))
    assert one.reason is not None
    assert "restarts of the exporter inside" in one.reason


@pytest.mark.parametrize(("watts", "joules"), [(300.0, 65_532.0), (100.0, 6_000.0)])
def test_a_counter_that_begins_again_all_along_is_taken(watts: float, joules: float) -> None:
    """16 wraps of a register of 65 532 J in an hour, 60 restarts of an exporter that falls each minute."""
    times = np.arange(0.0, 4200, 5)
    counter = _series("rapl_energy_joules_total", watts * (times + 37) % joules, times, zone="package_0")
    (one,) = _power(counter, windows=((200.3, 3800.3),))
    assert _joules_of(one) == pytest.approx(3600 * watts)


def test_a_window_without_a_whole_interval_gets_what_idle_leaves() -> None:
    """A scrape a minute, one of them in the window; 200 W over it, 40 W around it (in proportion 120 W)."""
    times = np.arange(0.0, 900.0, 60.0)
    for start, end in ((330, 390), (301, 400), (350, 418)):
        load = 40 * times + 160 * np.clip(times - start, 0, end - start)
        counter = _series("rapl_energy_joules_total", load, times, zone="package_0")
        (one,) = _power(counter, windows=((start, end),))
        assert _joules_of(one) == pytest.approx(200 * (end - start))
    (one,) = _power(_joules(100.0, times, zone="package_0"), windows=((330, 390),))
    assert _joules_of(one) == pytest.approx(6000)


def test_a_window_whose_two_intervals_tell_two_loads_is_left_out() -> None:
    """Another load of 400 W ends 10 s before it, in the interval where it begins."""
    times = np.arange(0.0, 900.0, 60.0)
    load = 40 * times + 360 * np.clip(times - 150, 0, 170) + 160 * np.clip(times - 330, 0, 60)
    (one,) = _power(_series("rapl_energy_joules_total", load, times, zone="package_0"), windows=((330, 390),))
    assert one.reason == (
        "the window of 60.0 s is too short: power changed within 60.0 s, the time between two scrapes"
    )


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_that_watched_the_same_zone_the_one_without_a_gap_counts(first: int) -> None:
    """A pair of servers behind one store; one of them was down from 90 to 130 s."""
    kept = TIMES[(TIMES < 90) | (TIMES > 130)]
    pair = [
        _joules(100.0, kept, zone="package_0", replica="0"),
        _joules(100.0, zone="package_0", replica="1"),
    ]
    (one,) = _power(pair[first], pair[1 - first])
    assert _joules_of(one) == pytest.approx(6000)
    assert one.notes == ()


def test_without_counters_energy_is_the_gauges_mean_over_time() -> None:
    watts = np.where(TIMES < 130, 40.0, 80.0)
    gauges = [
        _series("rapl_power_watts", watts, zone="package_0"),
        _series("rapl_power_watts", np.full(len(TIMES), 4.0), zone="dram_0"),
    ]
    (one,) = _power(*gauges, windows=((98.5, 158.5),))
    # samples at 101, 106 ... 156, the first at 80 W at 131: halfway is 128.5
    assert _joules_of(one) == pytest.approx(30 * 44 + 30 * 84)
    assert one.power is not None
    assert (one.power.min_watts, one.power.max_watts) == (44, 84)
    assert one.notes == ("no energy counter: energy is the mean of the power gauge over time",)
    # the last sample is at 596: 1 s before the first, 35 between, half of 2.5 steps after the last
    assert _power(*gauges, windows=((560, 660),))[0].reason == "Prometheus covers 42.2 of 100.0 s"


def test_gpus_stand_beside_one_another() -> None:
    gpus = [_series("gpu_energy_joules_total", 70.0 * TIMES, gpu=str(i)) for i in range(2)]
    (one,) = _power(PACKAGE, *gpus)
    assert one.gpu_power is not None
    assert one.gpu_power.total_energy_joules == pytest.approx(2 * 70 * 60)
    assert _joules_of(one) == pytest.approx(6000)


def test_processor_time_of_containers_and_of_the_host() -> None:
    """0.5 cores for 60 s, and 0.1."""
    old, new = TIMES[TIMES < 130], TIMES[TIMES > 85]
    (one,) = _power(
        PACKAGE,
        _series("docker_container_cpu_seconds_total", 0.5 * TIMES, container="encoder"),
        _series("docker_container_cpu_seconds_total", 0.1 * new, new, container="web"),
        _series("docker_container_cpu_seconds_total", 0.1 * old, old, container="gone"),
        _series("docker_engine_cpu_percent", np.full(len(TIMES), 55.0)),
    )
    # the one that ended in the middle is not told: what it used after its last scrape is unknown
    assert one.container_cpu_seconds == pytest.approx({"encoder": 30, "web": 6})
    assert one.host_cpu_percent == pytest.approx(55)


def test_what_two_servers_scraped_counts_once() -> None:
    """Prometheus in pairs: every series is there twice, with another external label."""
    seconds, percent = 0.5 * TIMES, np.full(len(TIMES), 55.0)
    pairs = [
        (
            _joules(100.0, zone="package_0", replica=replica),
            _series("gpu_energy_joules_total", 70.0 * TIMES, gpu="0", replica=replica),
            _series("docker_container_cpu_seconds_total", seconds, container="encoder", replica=replica),
            _series("docker_engine_cpu_percent", percent, replica=replica),
        )
        for replica in ("1", "2")
    ]
    (one,) = _power(*pairs[0], *pairs[1])
    assert _joules_of(one) == pytest.approx(6000)
    assert one.gpu_power is not None
    assert one.gpu_power.total_energy_joules == pytest.approx(4200)
    assert one.container_cpu_seconds == pytest.approx({"encoder": 30})
    assert one.host_cpu_percent == pytest.approx(55)


def test_machines_whose_exporters_have_one_name_are_not_taken_for_one() -> None:
    """The stack's instance is ``rapl:9500`` on every host: an external label tells, and the counters do."""
    a = _joules(100.0, zone="package_0", host="a")
    b = _series("rapl_energy_joules_total", 9e6 + 30.0 * TIMES, zone="package_0", host="b")
    (one,) = _power(a, b)
    assert (
        one.reason == '2 machines were measured at the time (host="a", host="b"): choose one with --selector'
    )
    # two exporters of one host, the second started later: both saw the same joules
    second = _series("rapl_energy_joules_total", 9e6 + 100.0 * TIMES, zone="package_0", job="second")
    (one,) = _power(a, second)
    assert one.power is not None
    assert one.power.mean_watts == pytest.approx(100.0)
    # one took over from the other: of the first window each saw a half
    early, late = TIMES < 130, TIMES > 135
    halves = [_series("rapl_energy_joules_total", 100 * TIMES[i], TIMES[i], zone="package_0", replica=r)
              for i, r in ((early, "1"), (late, "2"))]  # fmt: skip
    assert [w.reason for w in _power(*halves, windows=((100, 160), (200, 260)))] == [
        "Prometheus covers 26.0 of 60.0 s",
        None,
    ]


@pytest.mark.parametrize(("rapl_port", "docker_port"), [(":9500", ":9501"), ("", "")])
def test_gpus_and_containers_of_another_machine_are_not_this_ones(rapl_port: str, docker_port: str) -> None:
    """Only one of two hosts has counters of its processors; both have GPUs and containers of one name."""
    rows = [
        (100.0, f"a{rapl_port}", f"a{docker_port}", 0.5),
        (None, f"b{rapl_port}", f"b{docker_port}", 3.0),
    ]
    series = [_joules(watts, zone="package_0", instance=rapl) for watts, rapl, _, _ in rows if watts]
    for _, rapl, docker, cores in rows:
        labels = {"container": "encoder", "instance": docker}
        series.append(_series("gpu_energy_joules_total", 70.0 * cores * TIMES, gpu="0", instance=rapl))
        series.append(_series("docker_container_cpu_seconds_total", cores * TIMES, **labels))
        series.append(_series("docker_engine_cpu_percent", np.full(len(TIMES), 10 * cores), instance=docker))
    (one,) = _power(*reversed(series))
    assert one.gpu_power is not None
    assert one.gpu_power.total_energy_joules == pytest.approx(70 * 0.5 * 60)
    assert one.container_cpu_seconds == pytest.approx({"encoder": 30})
    assert one.host_cpu_percent == pytest.approx(5)
    (alone,) = _power(series[0], series[4])
    assert alone.gpu_power is None


def test_gpus_in_a_container_of_their_own_are_the_hosts() -> None:
    """The stack's profile `nvidia`: another job, and an address for an instance; on several hosts a port."""
    gpu = _series("gpu_energy_joules_total", 70.0 * TIMES, gpu="0", job="gpu", instance="10.0.0.7:9500")
    (one,) = _power(_joules(100.0, zone="package_0", instance="rapl:9500"), gpu)
    assert one.gpu_power is not None
    assert one.gpu_power.total_energy_joules == pytest.approx(4200)
    pairs = [
        _series("gpu_energy_joules_total", watts * TIMES, gpu="0", job="gpu", instance=f"{host}:9510")
        for host, watts in (("a", 70.0), ("b", 300.0))
    ]
    (one,) = _power(_joules(100.0, zone="package_0", instance="a:9500"), *pairs)
    assert one.gpu_power is not None
    assert one.gpu_power.total_energy_joules == pytest.approx(4200)


def test_the_tier_is_that_of_the_window_and_modelled_where_both_were() -> None:
    tiers = [
        _series("rapl_source_info", np.ones(len(times)), times, tier=tier)
        for tier, times in (("modelled", TIMES[TIMES < 300]), ("measured", TIMES[TIMES > 300]))
    ]
    windows = _power(PACKAGE, *tiers, windows=((100, 160), (290, 350), (450, 510)))
    assert [one.power.tier for one in windows if one.power] == ["modelled", "modelled", "measured"]


def test_a_counter_that_holds_no_number_near_a_window_says_so() -> None:
    dark = PACKAGE.values.copy()
    dark[(TIMES > 80) & (TIMES < 180)] = np.nan
    broken = ScrapedSeries(PACKAGE.metric, TIMES, dark)
    assert [one.reason for one in _power(broken, windows=((100, 160), (400, 460)))] == [
        "Prometheus has no samples of package_0 inside this window",
        None,
    ]
    absurd = np.where(TIMES > 130, 1.5e308, 0.0)
    two = [_series("rapl_energy_joules_total", absurd, zone=f"package_{i}") for i in range(2)]
    assert _power(*two)[0].reason == "the samples around this window are not finite"
