"""The RAPL exporter: a golden page from a fixed tree, and what happens when the tree misbehaves."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.energy.calibration import Calibration, LoadPoint, calibration_path, save_calibration
from advisor.energy.estimate import EstimateSource, PowerModel
from advisor.energy.gpu import GpuMeter
from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource, PowercapStatus, describe
from advisor.errors import EnergyError, InputError
from advisor.machine import cpu_info, hardware_id
from exporters.rapl import EXPORTER, GpuCollector, RaplCollector, Survey
from exporters.runtime import Collector
from tests.support.clock import FakeClock
from tests.support.exporter_client import page_of, render, served
from tests.support.exporter_options import parse_options
from tests.support.hanging_file import hanging_file
from tests.support.moving import moving
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree
from tests.support.waiting import wait_until

MODEL = PowerModel(10.0, 90.0, "given", 0.15)


def collector(meter: Meter, sysfs: Path, clock: FakeClock) -> RaplCollector:
    return RaplCollector(lambda: meter, lambda *_: Survey(describe(str(sysfs)), MODEL), clock)


def whole(root: Path, **options: str) -> list[Collector]:
    """The collectors as the program makes them, over a tree and a /proc in one folder."""
    folders = {"sysfs": str(root), "procfs": str(root), "models_dir": str(root / "models")}
    flags = {f"--{name.replace('_', '-')}": value for name, value in (folders | options).items()}
    words = [word for flag in flags.items() for word in flag]
    return list(EXPORTER.build(parse_options(EXPORTER, words, {})))


def two_sockets(sysfs: Path) -> PowercapTree:
    tree = PowercapTree(sysfs)
    for socket in range(2):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", start_uj=socket * 10**10)
        tree.add(f"intel-rapl:{socket}:0", "core", start_uj=socket * 10**10)
        tree.add(f"intel-rapl:{socket}:1", "dram", range_uj=SMALL_RANGE_UJ, start_uj=socket * 10**10)
    tree.add("intel-rapl-mmio:0", "package-0")
    tree.add("intel-rapl:2", "psys")
    return tree


def test_golden_page_of_two_sockets(tmp_path: Path, golden: Callable[[str, bytes], None]) -> None:
    """Two sockets with dram, core, psys and an mmio twin, after a second of work and one unreadable file."""
    clock = FakeClock()
    tree = two_sockets(tmp_path)
    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=clock)
    meter.read()
    for entry, joules in {
        "intel-rapl:0": 100,
        "intel-rapl:0:1": 12.5,
        "intel-rapl:1": 50,
        "intel-rapl:2": 180,
    }.items():
        tree[entry].add(joules)
    tree["intel-rapl:1:1"].show_instead("nonsense")
    clock.advance(1.0)
    meter.read()
    golden("rapl.prom", render([collector(meter, tmp_path, clock)]))


def series(page: bytes, name: str) -> list[str]:
    return [line for line in page.decode().splitlines() if line.startswith((f"{name}{{", f"{name} "))]


def measured(root: Path) -> bytes:
    """A page of two sockets, by the real way in."""
    with moving(two_sockets(root)):
        return render(whole(root))


def test_a_regular_expression_for_packages_finds_nothing_inside_them(tmp_path: Path) -> None:
    """``zone=~"package.*"`` is what existing dashboards sum."""
    page = measured(tmp_path)
    found = [line for line in series(page, "rapl_energy_joules_total") if 'zone="package' in line]
    assert len(found) == 2
    assert all('domain="package"' in line for line in found)


def test_power_is_absent_before_the_first_window(tmp_path: Path) -> None:
    page = measured(tmp_path)
    assert series(page, "rapl_power_watts") == []


def test_without_counters_the_estimate_is_published_as_modelled(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  0 0 0 0\ncpu0 0\nintr 0\n")
    clock = FakeClock()
    source = EstimateSource(str(tmp_path), idle_watts=10.0, max_watts=90.0)
    meter = Meter(source, procfs=str(tmp_path), clock=clock)
    meter.read()
    (tmp_path / "stat").write_text("cpu  100 0 0 0\ncpu0 0\nintr 0\n")
    clock.advance(1.0)
    page = render([collector(meter, tmp_path, clock)])
    assert series(page, "rapl_energy_joules_total") == [
        'rapl_energy_joules_total{domain="package",zone="package_0"} 90.0'
    ]
    assert series(page, "rapl_power_watts") == ['rapl_power_watts{domain="package",zone="package_0"} 90.0']
    assert series(page, "rapl_source_info") == ['rapl_source_info{source="estimate",tier="modelled"} 1.0']
    assert series(page, "rapl_available") == ["rapl_available 0.0"]
    assert series(page, "rapl_estimate_uncertainty_ratio") == ["rapl_estimate_uncertainty_ratio 0.1"]
    assert series(page, "rapl_estimate_max_watts") == ['rapl_estimate_max_watts{basis="given"} 90.0']


def test_the_estimate_does_not_hide_counters_that_cannot_be_read(tmp_path: Path) -> None:
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0").show_instead("nonsense")
    (tmp_path / "stat").write_text("cpu  0 0 0 0\ncpu0 0\nintr 0\n")
    page = render(whole(tmp_path))
    assert series(page, "rapl_read_errors_total") == [
        'rapl_read_errors_total{reason="malformed",zone="package_0"} 1.0'
    ]
    assert len(series(page, "rapl_zone_info")) == 1


def joules(page: str, zone: str) -> float:
    """A zone's counter on a page; 0 where there is none."""
    value = re.search(rf'^rapl_energy_joules_total{{domain="\w+",zone="{zone}"}} (\S+)$', page, re.MULTILINE)
    return 0.0 if value is None else float(value[1])


def text(published: Collector) -> str:
    return page_of(published).decode()


def test_counters_that_appear_take_the_estimates_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the driver is loaded after the exporter: measured from then on, counting from 0."""
    monkeypatch.setattr("exporters.rapl._LOOK_AGAIN_SECONDS", 0.01)
    (tmp_path / "stat").write_text("cpu  0 0 0 0\ncpu0 0\nintr 0\n")
    published, _ = whole(tmp_path)
    published.start()
    try:
        assert 'source="estimate",tier="modelled"' in text(published)
        tree = PowercapTree(tmp_path)
        tree.add("intel-rapl:0", "package-0", start_uj=10**9)
        with moving(tree):
            wait_until(lambda: "\nrapl_available 1.0\n" in text(published))
            page = text(published)
        assert 'source="powercap",tier="measured"' in page
        assert joules(page, "package_0") < 1.0
    finally:
        published.close()


def test_without_an_estimate_nothing_is_published_as_power(tmp_path: Path) -> None:
    page = render(whole(tmp_path, no_estimate="true"))
    assert series(page, "rapl_energy_joules_total") == []
    assert series(page, "rapl_available") == ["rapl_available 0.0"]


def test_a_sampler_that_hangs_shows_nothing_stale(tmp_path: Path) -> None:
    clock = FakeClock()
    two_sockets(tmp_path)
    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=clock, interval_seconds=60.0)
    published = collector(meter, tmp_path, clock)
    published.start()
    try:
        assert published.parts()
        clock.advance(211.0)
        with pytest.raises(EnergyError, match="no sample for 211 s"):
            published.parts()
    finally:
        published.close()


def test_a_collector_that_was_not_started_says_so(tmp_path: Path) -> None:
    meter = Meter(PowercapSource(str(tmp_path)))
    with pytest.raises(EnergyError, match="has not been started"):
        collector(meter, tmp_path, FakeClock()).parts()


def test_golden_page_of_gpus(golden: Callable[[str, bytes], None]) -> None:
    """One card with everything, and one that knows only its power."""
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py (the extra gpu)")
    from tests.support.nvml import FakeCard, FakeNvml

    clock = FakeClock()
    cards = FakeCard(), FakeCard(uuid="GPU-1", energy=None, encoder=None, decoder=None, memory=None)
    meter = GpuMeter(FakeNvml(*cards), clock=clock, interval_seconds=60.0)
    meter.read()
    cards[0].energy += 36_500
    clock.advance(0.5)
    golden("rapl_gpu.prom", render([GpuCollector(lambda: meter, clock)]))


def test_no_gpu_publishes_nothing() -> None:
    assert render([GpuCollector(lambda: GpuMeter(None))]) == b""


def test_a_gpu_whose_driver_comes_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py (the extra gpu)")
    from tests.support.nvml import FakeCard, FakeNvml

    monkeypatch.setattr("exporters.rapl._LOOK_FOR_GPUS_SECONDS", 0.01)
    drivers = iter([None, None])
    published = GpuCollector(lambda: GpuMeter(next(drivers, FakeNvml(FakeCard()))))
    published.start()
    try:
        wait_until(published.parts)
    finally:
        published.close()


def test_a_gpu_driver_that_hangs_shows_nothing_stale() -> None:
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py (the extra gpu)")
    from tests.support.nvml import FakeCard, FakeNvml

    clock = FakeClock()
    published = GpuCollector(
        lambda: GpuMeter(FakeNvml(FakeCard()), clock=clock, interval_seconds=60.0), clock
    )
    published.start()
    try:
        clock.advance(300.0)
        with pytest.raises(EnergyError, match="no sample for 300 s"):
            published.parts()
    finally:
        published.close()


def options(*argv: str) -> argparse.Namespace:
    return parse_options(EXPORTER, argv, {})


def test_impossible_watts_are_refused_before_anything_starts() -> None:
    with pytest.raises(InputError, match="power estimate"):
        EXPORTER.build(options("--idle-watts", "50", "--max-watts", "20"))


def test_every_family_that_is_published_is_declared(tmp_path: Path) -> None:
    """docs/metrics.md is made from the declaration."""
    page = measured(tmp_path)
    declared = {family.name for family in EXPORTER.families}
    assert {line.split()[2] for line in page.decode().splitlines() if line.startswith("# TYPE")} <= declared


def fetched(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_the_exporter_serves_a_tree_that_moves(tmp_path: Path) -> None:
    """A process of its own, over HTTP: 50 W, and no joule that was not drawn."""
    tree = two_sockets(tmp_path)
    options = ("--sysfs", str(tmp_path), "--interval", "0.01", "--state-dir", str(tmp_path / "state"))
    with moving(tree, watts=50.0), served("exporters.rapl", *options) as exporter:
        wait_until(lambda: joules(fetched(exporter.url), "package_0") > 20.0)
        page = fetched(exporter.url)
        assert joules(page, "package_0") <= tree["intel-rapl:0"].joules
    assert 'rapl_exporter_collector_success{collector="rapl"} 1' in page


def test_a_file_that_hangs_in_the_kernel_costs_its_zone_alone(tmp_path: Path) -> None:
    """The exporter starts, serves the other zones fresh, and says why one is absent."""
    tree = two_sockets(tmp_path)
    with hanging_file(lambda: b"0\n") as file:
        tree["intel-rapl:1"].serve_from(file.path)
        file.hang()
        options = ("--sysfs", str(tmp_path), "--interval", "0.01", "--state-dir", str(tmp_path / "state"))
        with moving(tree, watts=50.0), served("exporters.rapl", *options) as exporter:
            wait_until(lambda: joules(fetched(exporter.url), "package_0") > 10.0)
            page = fetched(exporter.url)
    assert 'rapl_exporter_collector_success{collector="rapl"} 1' in page
    assert 'rapl_energy_joules_total{domain="package",zone="package_1"' not in page
    assert 'rapl_energy_joules_total{domain="dram",zone="dram_1"}' in page
    assert 'rapl_read_errors_total{reason="blocked",zone="package_1"}' in page


def test_a_file_that_hangs_holds_one_thread_however_often_the_machine_is_looked_at(tmp_path: Path) -> None:
    """A look every 10 s for a month would leave 260 000 threads behind."""

    def waiting() -> int:
        return sum(thread.name == "patient reader" for thread in threading.enumerate())

    tree = two_sockets(tmp_path)
    with hanging_file(lambda: b"0\n") as file:
        tree["intel-rapl:1"].serve_from(file.path)
        file.hang()
        measured, _ = whole(tmp_path, procfs="/proc", state_dir="none")
        measured.start()
        try:
            measured._look_again()
            before = waiting()
            for _ in range(3):
                measured._look_again()
            assert waiting() == before
        finally:
            measured.close()


def test_every_file_is_looked_at_again_only_where_a_zone_has_failed(tmp_path: Path) -> None:
    """A look at all files every 10 s was a fifth of what the exporter costs."""
    clock, tree, looks = FakeClock(), two_sockets(tmp_path), []

    def survey(_: object, known: PowercapStatus | None) -> Survey:
        looks.append("kept" if known else "looked")
        return Survey(known or describe(str(tmp_path)), MODEL)

    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=clock, interval_seconds=60.0)
    published = RaplCollector(lambda: meter, survey, clock)
    published.start()
    try:
        published._look_again()
        published._look_again()
        tree["intel-rapl:1:1"].show_instead("nonsense")
        meter.read()
        published._look_again()
    finally:
        published.close()
    assert looks == ["looked", "looked", "kept", "looked"]


def test_a_wrong_option_is_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporters.rapl", "--interval", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--interval" in done.stderr


def calibration(root: Path) -> Calibration:
    point = LoadPoint(mean_watts=42.5, stdev_watts=None, duration_seconds=60.0, busy_ratio=None)
    return Calibration(
        hardware_id=hardware_id(cpu_info(str(root))),
        source="powercap",
        tier="measured",
        measured_at="2025-01-02T03:04:05+00:00",
        idle=point,
    )


def test_the_calibrated_idle_power_is_published_beside_what_it_was_measured_with(tmp_path: Path) -> None:
    save_calibration(calibration(tmp_path), tmp_path / "models")
    assert series(measured(tmp_path), "rapl_calibrated_idle_watts") == [
        'rapl_calibrated_idle_watts{source="powercap",tier="measured"} 42.5'
    ]


def test_a_broken_calibration_hides_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = calibration_path(tmp_path / "models", hardware_id(cpu_info(str(tmp_path))))
    path.parent.mkdir(parents=True)
    path.write_text("{")
    page = measured(tmp_path)
    assert series(page, "rapl_available") == ["rapl_available 1.0"]
    assert series(page, "rapl_calibrated_idle_watts") == []
    told = [str(vars(record).get("values")) for record in caplog.records]
    assert any("expected a calibration" in values for values in told)


def test_a_calibration_that_comes_later_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be read at the start, or was not made yet."""
    monkeypatch.setattr("exporters.rapl._LOOK_AGAIN_SECONDS", 0.01)
    tree = two_sockets(tmp_path)
    path = calibration_path(tmp_path / "models", hardware_id(cpu_info(str(tmp_path))))
    path.parent.mkdir(parents=True)
    path.write_text("{")
    published, _ = whole(tmp_path)
    with moving(tree):
        published.start()
        try:
            assert "rapl_calibrated_idle_watts" not in text(published)
            save_calibration(calibration(tmp_path), tmp_path / "models")
            wait_until(lambda: "rapl_calibrated_idle_watts{" in text(published))
        finally:
            published.close()


def test_the_limit_of_the_control_group_is_published(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/app\n")
    (tmp_path / "fs/cgroup/app").mkdir(parents=True)
    (tmp_path / "fs/cgroup/app/cpu.max").write_text("150000 100000\n")
    assert series(measured(tmp_path), "rapl_cpu_quota_cores") == ["rapl_cpu_quota_cores 1.5"]


def test_killed_and_started_again_under_load_it_loses_nothing(tmp_path: Path) -> None:
    """Four processes one after the other, each killed; the register draws 50 W all the time.

    What was drawn and is not shown stays the same, to the joules of one interval and one scrape.
    """
    tree = two_sockets(tmp_path)
    package = tree["intel-rapl:0"]
    options = ("--sysfs", str(tmp_path), "--state-dir", str(tmp_path / "state"), "--interval", "0.1")

    def published(url: str) -> float:
        return joules(fetched(url), "package_0")

    def unseen(url: str) -> float:
        """What was drawn and is not shown; a busy machine adds to it for a moment."""
        shown = published(url)
        return package.joules - shown

    with moving(tree, watts=50.0):
        first = package.joules
        with served("exporters.rapl", *options) as exporter:
            wait_until(lambda: published(exporter.url) > 0.0)
            before = min(unseen(exporter.url) for _ in range(5))
            shown = published(exporter.url)
            exporter.process.kill()
        for _ in range(3):
            with served("exporters.rapl", *options) as exporter:
                wait_until(lambda: published(exporter.url) > shown)  # noqa: B023 - called before the next
                wait_until(lambda: unseen(exporter.url) < before + 15.0)
                shown = published(exporter.url)
                assert unseen(exporter.url) >= first, "nothing is shown twice"
                exporter.process.kill()
