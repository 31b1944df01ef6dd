"""GPUs by the kernel's sensors, in trees as the drivers' documentation lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.energy.combined import CombinedSource
from advisor.energy.gpu import GpuMeter, GpuReading
from advisor.energy.hwmon import HwmonSource, hwmon_sensors
from advisor.energy.meter import Meter, open_meter
from advisor.energy.powercap import PowercapSource
from tests.support.clock import FakeClock
from tests.support.hwmon_tree import gpu_device, hwmon_device
from tests.support.powercap_tree import PowercapTree

RADEON = {"vendor": "0x1002", "device": "0x73bf", "unique_id": "f2a1c5c0e43b6d1a"}


def metered(root: Path, nvml: object | None = None) -> tuple[GpuMeter, FakeClock]:
    clock = FakeClock()
    sensors = [sensor for sensor in hwmon_sensors(str(root)) if sensor.domain == "gpu"]
    return GpuMeter(nvml, sensors=sensors, clock=clock), clock


def only(meter: GpuMeter) -> GpuReading:
    (reading,) = meter.read()
    return reading


def test_a_radeon_s_power_is_integrated(tmp_path: Path) -> None:
    """40 W, then 200 W two seconds later: 240 J by the trapezoid; the average is taken before the moment."""
    folder = gpu_device(
        tmp_path,
        4,
        "amdgpu",
        "0000:0a:00.0",
        card=RADEON | {"gpu_busy_percent": 35, "mem_info_vram_used": 2**30},
        power1_label="PPT",
        power1_average=40_000_000,
        power1_input=90_000_000,
        power1_cap=255_000_000,
        in0_input=1031,
        in0_label="vddgfx",
    )
    meter, clock = metered(tmp_path)
    first = only(meter)
    assert (first.joules, first.power_watts) == (0.0, 40.0)
    (folder / "power1_average").write_text("200000000\n")
    clock.advance(2.0)
    reading = only(meter)
    assert (reading.joules, reading.power_watts, reading.utilization_ratio) == (240.0, 200.0, 0.35)
    assert (reading.name, reading.uuid, reading.driver) == ("amdgpu 1002:73bf", "f2a1c5c0e43b6d1a", "amdgpu")
    assert (reading.memory_used_bytes, reading.energy_source, reading.meter) == (2**30, "power", "hwmon")


def test_newer_radeons_tell_the_power_of_the_moment(tmp_path: Path) -> None:
    gpu_device(tmp_path, 0, "amdgpu", "0000:03:00.0", power1_label="PPT", power1_input=31_000_000)
    meter, _ = metered(tmp_path)
    assert only(meter).power_watts == 31.0


def test_an_apu_s_power_is_its_package_s_and_of_no_gpu(tmp_path: Path) -> None:
    """It holds the CPU; beside RAPL it is a second meter of the package, without it the package's own."""
    gpu_device(
        tmp_path,
        2,
        "amdgpu",
        "0000:05:00.0",
        power1_label="PPT",
        power1_input=12_000_000,
        in0_label="vddgfx",
        in0_input=750,
        in1_label="vddnb",
        in1_input=680,
    )
    meter, _ = metered(tmp_path)
    assert meter.read() == ()
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    source.sample(clock)
    clock.advance(1.0)
    source.sample(clock)
    assert {zone.name: zone.joules for zone in source.report()} == {"package_0": 12.0}


def test_a_steam_deck_s_slow_power_is_the_package_s_and_its_fast_one_is_left_out(tmp_path: Path) -> None:
    """Its sensors: slowPPT 5.03 W (4.09 W on average), fastPPT with a cap and no reading."""
    gpu_device(
        tmp_path,
        4,
        "amdgpu",
        "0000:04:00.0",
        **{"power1_label": "slowPPT", "power1_input": 5_030_000, "power1_average": 4_090_000},
        **{"power2_label": "fastPPT", "power2_cap": 15_000_000, "power2_average": ""},
        **{"in0_label": "vddgfx", "in0_input": 655, "in1_label": "vddnb", "in1_input": 669},
    )
    (sensor,) = hwmon_sensors(str(tmp_path))
    assert (sensor.zone, sensor.label, sensor.kind) == ("package_0", "slowPPT", "average")


def test_an_apu_beside_rapl_is_counted_once(tmp_path: Path) -> None:
    register = PowercapTree(tmp_path).add("intel-rapl:0", "package-0")
    gpu_device(tmp_path, 2, "amdgpu", "0000:05:00.0", power1_input=12_000_000, in1_input=680)
    clock = FakeClock()
    source = CombinedSource([PowercapSource(str(tmp_path), str(tmp_path)), HwmonSource(str(tmp_path))])
    for _ in range(3):
        source.sample(clock)
        clock.advance(1.0)
        register.add(11.0)
    zones = {zone.path: (zone.role, zone.duplicate_of) for zone in source.report()}
    assert zones["class/hwmon/hwmon2/power1_input"] == ("twin", "package_0")


@pytest.mark.parametrize("watts", [12, 150])
def test_mangohud_1874_an_apu_of_milliwatts_is_no_meter(tmp_path: Path, watts: int) -> None:
    """A desktop Zen 5: PPT says 12 mW. Where RAPL is root's, all of the machine was 0.012 W, measured."""
    files = {"in0_input": 1210, "in1_label": "vddnb", "in1_input": 1190, "power1_label": "PPT"}
    folder = gpu_device(tmp_path, 2, "amdgpu", "0000:74:00.0", **files, power1_input=watts * 1000)
    (tmp_path / "stat").write_text("cpu 1 0 0 9 0 0 0 0\n")
    meter = open_meter(sysfs=str(tmp_path), procfs=str(tmp_path))
    assert (meter.source, meter.tier) == ("estimate", "modelled")
    (folder / "power1_input").write_text(f"{watts * 1_000_000}\n")
    meter = open_meter(sysfs=str(tmp_path), procfs=str(tmp_path))
    assert (meter.source, meter.tier) == ("hwmon", "measured")


def test_an_arc_by_i915_counts_its_card_and_not_its_tiles(tmp_path: Path) -> None:
    """8 000 J, then 8 150 J five seconds later: 150 J, 30 W."""
    card = {"vendor": "0x8086", "device": "0x56a0"}
    folder = gpu_device(tmp_path, 1, "i915", "0000:03:00.0", card=card, energy1_input=8_000_000_000)
    tile = tmp_path / "devices/pci0000:00/0000:03:00.0/hwmon/hwmon2"
    tile.mkdir()
    (tile / "name").write_text("i915_gt0\n")
    (tile / "energy1_input").write_text("7000000000\n")
    (tile / "device").symlink_to("../..")
    (tmp_path / "class/hwmon/hwmon2").symlink_to(tile)
    meter, clock = metered(tmp_path)
    assert only(meter).joules is None, "a counter that has not moved tells nothing"
    (folder / "energy1_input").write_text("8150000000\n")
    clock.advance(5.0)
    reading = only(meter)
    assert (reading.joules, reading.power_watts) == (150.0, 30.0)
    assert (reading.name, reading.uuid, reading.energy_source) == (
        "i915 8086:56a0",
        "0000:03:00.0",
        "counter",
    )


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (
            {"energy1_label": "card", "energy1_input": 900, "energy2_label": "pkg", "energy2_input": 700},
            "card",
        ),
        ({"energy2_label": "pkg", "energy2_input": 700}, "pkg"),
        ({"energy1_label": "card", "energy1_input": 0, "energy2_label": "pkg", "energy2_input": 700}, "pkg"),
        ({"energy1_label": "card", "energy1_input": 9, "energy2_label": "pkg", "power1_cap": 275}, "card"),
        ({"energy1_input": 900, "power1_label": "pkg-pwr-src"}, "energy1"),
    ],
    ids=["card and package", "package alone", "a card's that is empty", "a label alone", "before Linux 6.13"],
)
def test_of_xe_s_counters_the_one_that_holds_the_others_counts(
    tmp_path: Path, files: dict[str, object], wanted: str
) -> None:
    gpu_device(tmp_path, 0, "xe", "0000:03:00.0", **files)
    (sensor,) = hwmon_sensors(str(tmp_path))
    assert (sensor.label, sensor.domain, sensor.kind) == (wanted, "gpu", "counter")


def test_a_counter_that_leaps_is_no_million_of_watts(tmp_path: Path) -> None:
    """100 W; one read in between says 0, as from a card that wakes, and the next goes on: 400 J after 4 s."""
    folder = gpu_device(tmp_path, 0, "xe", "0000:03:00.0", energy1_label="card", energy1_input=7_000_000_000)
    meter, clock = metered(tmp_path)
    only(meter)
    joules = []
    for microjoules in (7_100_000_000, 0, 7_300_000_000, 7_400_000_000):
        (folder / "energy1_input").write_text(f"{microjoules}\n")
        clock.advance(1.0)
        reading = only(meter)
        joules.append(reading.joules)
        assert reading.power_watts is None or reading.power_watts <= 100.0
    assert joules == [100.0, 100.0, 300.0, 400.0]


def test_a_card_that_sleeps_is_not_woken_and_draws_nothing_that_is_known(tmp_path: Path) -> None:
    """30 W for a second, asleep for a minute, 30 W for a second: 60 J."""
    card: dict[str, object] = {"power/runtime_status": "active"}
    folder = gpu_device(tmp_path, 0, "amdgpu", "0000:03:00.0", card=card, power1_input=30_000_000)
    status = tmp_path / "devices/pci0000:00/0000:03:00.0/power/runtime_status"
    meter, clock = metered(tmp_path)
    only(meter)
    clock.advance(1.0)
    only(meter)
    status.write_text("suspended\n")
    (folder / "power1_input").write_text("a question wakes it\n")
    for _ in range(60):
        clock.advance(1.0)
        reading = only(meter)
        assert (reading.power_watts, reading.joules, reading.errors) == (None, 30.0, 0)
    status.write_text("active\n")
    (folder / "power1_input").write_text("30000000\n")
    only(meter)
    clock.advance(1.0)
    assert only(meter).joules == 60.0


def test_a_card_that_says_0_tells_nothing(tmp_path: Path) -> None:
    gpu_device(tmp_path, 0, "nouveau", "0000:01:00.0", power1_input=0)
    meter, _ = metered(tmp_path)
    reading = only(meter)
    assert (reading.joules, reading.power_watts, reading.errors) == (None, None, 1)


def test_a_card_that_nvml_knows_is_counted_once(tmp_path: Path) -> None:
    """NVML writes the address 00000000:0A:00.0; a Radeon beside it comes after it."""
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py (the extra gpu)")
    from tests.support.nvml import FakeCard, FakeNvml

    gpu_device(tmp_path, 0, "nouveau", "0000:0a:00.0", power1_input=70_000_000)
    gpu_device(tmp_path, 1, "amdgpu", "0000:0b:00.0", power1_input=30_000_000)
    meter, _ = metered(tmp_path, FakeNvml(FakeCard()))
    assert [(card.index, card.meter, card.power_watts) for card in meter.read()] == [
        (0, "nvml", 72.0),
        (1, "hwmon", 30.0),
    ]


def test_intelligence_per_watt_40_a_tegra_s_gpu_is_measured_on_its_rail(tmp_path: Path) -> None:
    """NVML lists an Orin and supports no question about it: 5 V and 400 mA on VDD_GPU_SOC are 2 W."""
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py (the extra gpu)")
    from tests.support.nvml import FakeCard, FakeNvml

    hwmon_device(tmp_path, 1, "ina3221", in1_label="VDD_GPU_SOC", in1_input=5000, curr1_input=400)
    orin = FakeCard(bus_id=None, energy=None, power=None, gpu=None, encoder=None, decoder=None, memory=None)
    meter, _ = metered(tmp_path, FakeNvml(orin))
    assert [(card.meter, card.power_watts) for card in meter.read()] == [("hwmon", 2.0)]


def test_gpus_are_no_zones_of_the_machine(tmp_path: Path) -> None:
    """Their energy is published and added beside the host's, not within it."""
    gpu_device(tmp_path, 0, "amdgpu", "0000:03:00.0", power1_input=30_000_000)
    source = HwmonSource(str(tmp_path))
    meter = Meter(source, procfs=str(tmp_path), clock=FakeClock())
    assert meter.read().zones == ()
