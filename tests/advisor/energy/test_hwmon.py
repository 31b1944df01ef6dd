"""Sensors of the hwmon class, in trees as drivers lay them out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from advisor.energy.combined import CombinedSource
from advisor.energy.hwmon import HwmonSource, SensorRule, hwmon_sensors, read_sensor_rules
from advisor.energy.meter import Meter, MeterReading, host_joules, open_meter
from advisor.energy.powercap import PowercapSource
from advisor.errors import InputError
from tests.support.clock import FakeClock
from tests.support.hwmon_tree import device_at, hwmon_device
from tests.support.powercap_tree import PowercapTree


def sensors(root: Path) -> dict[str, tuple[str, str]]:
    return {sensor.zone: (sensor.label, sensor.kind) for sensor in hwmon_sensors(str(root))}


def test_amd_s_sockets_are_packages_and_its_cores_are_left_out(tmp_path: Path) -> None:
    hwmon_device(
        tmp_path,
        0,
        "amd_energy",
        **{"energy1_label": "Ecore000", "energy1_input": 2120, "energy65_label": "Esocket0"},
        **{"energy65_input": 114_150, "energy66_label": "Esocket1", "energy66_input": 99_000},
    )
    assert sensors(tmp_path) == {"package_0": ("Esocket0", "counter"), "package_1": ("Esocket1", "counter")}


def test_grace_s_meters_are_told_by_their_oem_info(tmp_path: Path) -> None:
    labels = (
        *("Module Power Socket 0", "Grace Power Socket 0", "CPU Power Socket 0"),
        *("SysIO Power Socket 0", "Grace Power Socket 1"),
    )
    for number, label in enumerate(labels):
        files = {"power1_oem_info": label, "power1_average": 50_000_000, "power1_average_interval": 50}
        hwmon_device(tmp_path, number, "power_meter", below="device", **files)
    assert set(sensors(tmp_path)) == {"psys_0", "package_0", "package_1", "core_0", "uncore_0"}


def test_an_acpi_meter_without_a_name_is_the_machine_s(tmp_path: Path) -> None:
    hwmon_device(tmp_path, 3, "power_meter", below="device", power1_average=217_000_000)
    assert sensors(tmp_path) == {"psys_0": ("power1", "average")}


def test_altra_s_rails_are_packages_and_dram(tmp_path: Path) -> None:
    labels = ("power1 CORE VRD", "power2 SoC", "power3 DIMM VRD1", "power4 DIMM VRD2", "power5 RCA VRD")
    files = {f"power{n}_label": label for n, label in enumerate(labels, start=1)}
    hwmon_device(tmp_path, 0, "smpro_hwmon", **files, **{f"power{n}_input": 10_000_000 for n in range(1, 6)})
    zones = sensors(tmp_path)
    assert [zone for zone in zones if zone.startswith("package")] == ["package_0", "package_1", "package_2"]
    assert [zone for zone in zones if zone.startswith("dram")] == ["dram_0", "dram_1"]


def test_jetson_s_input_is_the_machine_and_voltage_times_current_its_power(tmp_path: Path) -> None:
    """VDD_IN: 5 V and 1 200 mA are 6 W; the GPU's own rail is left out."""
    hwmon_device(
        tmp_path,
        1,
        "ina3221",
        **{"in1_label": "VDD_IN", "in1_input": 5000, "curr1_input": 1200},
        **{"in2_label": "VDD_CPU_GPU_CV", "in2_input": 5000, "curr2_input": 300},
        **{"in3_label": "VDD_SOC", "in3_input": 5000, "curr3_input": 200},
    )
    assert set(sensors(tmp_path)) == {"psys_0", "package_0"}
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    source.sample(clock)
    clock.advance(1.0)
    source.sample(clock)
    assert {zone.name: zone.joules for zone in source.report()} == {"psys_0": 6.0, "package_0": 1.5}


def test_apple_s_total_is_the_machine_and_no_other_rail(tmp_path: Path) -> None:
    """Labels of an M1 Pro under Asahi Linux."""
    labels = ("Total System Power", "AC Input Power", "3.8 V Rail Power", "Heatpipe Power")
    files = {f"power{n}_label": label for n, label in enumerate(labels, start=1)}
    hwmon_device(tmp_path, 2, "macsmc_hwmon", **files, **{f"power{n}_input": 8_000_000 for n in range(1, 5)})
    assert sensors(tmp_path) == {"psys_0": ("Total System Power", "instant")}


def test_of_one_sensor_a_counter_comes_before_a_power(tmp_path: Path) -> None:
    hwmon_device(
        tmp_path,
        0,
        "ibmpowernv",
        **{"power1_label": "System", "power1_input": 1, "energy1_label": "System", "energy1_input": 5},
    )
    assert sensors(tmp_path) == {"psys_0": ("System", "counter")}


def test_an_unknown_driver_is_left_to_the_operator_s_file(tmp_path: Path) -> None:
    hwmon_device(tmp_path, 0, "ina226", power1_label="VCC_12V", power1_input=9_000_000)
    assert sensors(tmp_path) == {}
    rules = tmp_path / "sensors.yaml"
    rules.write_text("- {driver: ina2.*, label: VCC_12V, domain: psys}\n")
    source = HwmonSource(str(tmp_path), read_sensor_rules(rules))
    source.sample(FakeClock())
    assert [(zone.name, zone.sensor) for zone in source.report()] == [("psys_0", "ina226 VCC_12V")]


@pytest.mark.parametrize(
    "text",
    ["driver: x", "- {driver: x}", "- {driver: '(', domain: psys}", "- {driver: x, domain: house}", "["],
)
def test_a_wrong_operator_s_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sensors.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as told:
        read_sensor_rules(path)
    assert str(path) in str(told.value)


def test_a_sensor_that_fails_is_counted_and_a_long_gap_is_not_bridged(tmp_path: Path) -> None:
    """10 W, a second of nonsense, 10 W after it: 20 J. Then twenty seconds of silence: unknown."""
    file = (
        hwmon_device(tmp_path, 0, "power_meter", below="device", power1_average=10_000_000) / "power1_average"
    )
    clock, source = FakeClock(), HwmonSource(str(tmp_path))

    def sample(seconds: float, text: str) -> tuple[float, dict[str, int]]:
        clock.advance(seconds)
        file.write_text(text)
        source.sample(clock)
        (zone,) = source.report()
        return zone.joules, dict(zone.read_errors)

    sample(0.0, "10000000")
    assert sample(1.0, "nonsense") == (0.0, {"malformed": 1})
    assert sample(1.0, "10000000") == (20.0, {"malformed": 1})
    assert sample(20.0, "10000000") == (20.0, {"malformed": 1, "gap": 1})


def test_a_machine_with_sensors_alone_is_measured(tmp_path: Path) -> None:
    hwmon_device(tmp_path, 0, "power_meter", below="device", power1_average=217_000_000)
    (tmp_path / "stat").write_text("cpu  1 2 3 4\n")
    meter = open_meter(sysfs=str(tmp_path), procfs=str(tmp_path))
    assert (meter.source, meter.tier) == ("hwmon", "measured")
    assert meter.interval_seconds <= 1.0, "what integration needs"


def test_a_package_known_twice_is_counted_once_and_the_machine_beside_it(tmp_path: Path) -> None:
    """RAPL and amd_energy know the package, RAPL and ACPI the machine."""
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:1", "psys")
    hwmon_device(tmp_path, 0, "amd_energy", energy1_label="Esocket0", energy1_input=1000)
    hwmon_device(tmp_path, 1, "power_meter", below="device", power1_average=100_000_000)
    meter = open_meter(sysfs=str(tmp_path), procfs=str(tmp_path), sleep=lambda _: tree.nudge())
    reading = meter.read()
    assert set(reading.joules) == {"package_0", "psys_0", "psys_0_hwmon"}
    assert {(zone.name, zone.duplicate_of) for zone in reading.zones if zone.role == "twin"} == {
        ("package_0", "package_0")
    }


def test_a_doubtful_reading_of_a_sensor_outlives_the_register_s_return(tmp_path: Path) -> None:
    """The sensor stands in for a register that is gone, is set back, and is a twin when that returns."""
    clock, tree = FakeClock(), PowercapTree(tmp_path)
    register = tree.add("intel-rapl:0", "package-0")

    def read(microjoules: int) -> MeterReading:
        hwmon_device(tmp_path, 0, "amd_energy", energy1_label="Esocket0", energy1_input=microjoules)
        clock.advance(10.0)
        return meter.read()

    source = CombinedSource([PowercapSource(str(tmp_path), str(tmp_path)), HwmonSource(str(tmp_path))])
    meter = Meter(source, procfs=str(tmp_path), clock=clock)
    read(10**9)
    register.add(1.0)
    read(10**9)
    tree.remove("intel-rapl:0")
    read(2 * 10**9)
    doubtful = read(1000)
    assert not doubtful.is_settled
    tree.put_back("intel-rapl:0")
    register.add(1.0)
    read(2000)
    assert set(meter.settle(doubtful).joules) == {"package_0_hwmon"}


@pytest.mark.parametrize(
    ("rule", "zones", "joules"),
    [
        ("cpu", {"package_0": 60.0, "dram_0": 10.0, "psys_0": 100.0, "psys_redfish": 130.0}, 70.0),
        ("system", {"package_0": 60.0, "dram_0": 10.0, "psys_0": 100.0, "psys_redfish": 130.0}, 130.0),
        ("system", {"package_0": 60.0, "psys_0": 100.0, "psys_0_hwmon": 50.0, "psys_1_hwmon": 60.0}, 110.0),
        ("system", {"package_0": 60.0, "dram_0": 10.0}, 70.0),
        ("cpu", {"psys_redfish": 130.0}, 130.0),
    ],
)
def test_one_rule_says_which_joules_are_the_machine_s(
    rule: str, zones: dict[str, float], joules: float
) -> None:
    assert host_joules(zones, rule) == joules  # type: ignore[arg-type]


def test_a_reading_says_by_which_rule_it_is_read(tmp_path: Path) -> None:
    meter = Meter(HwmonSource(str(tmp_path)), procfs=str(tmp_path), host_rule="system")
    assert meter.read().host_rule == "system"


def test_a_meter_that_says_all_ones_is_no_meter(tmp_path: Path) -> None:
    """lm-sensors 460: power_meter shows 4.29 MW for "no reading"; the estimate serves, and it is counted."""
    device = hwmon_device(tmp_path, 0, "power_meter", below="device", power1_average=4_294_967_295_000)
    source = HwmonSource(str(tmp_path))
    source.sample(lambda: 1.0)
    assert source.report()[0].sampled_seconds is None
    assert source.report()[0].rejected == {"too_fast": 1}
    (tmp_path / "stat").write_text("cpu 1 0 0 9 0 0 0 0\n")
    meter = open_meter(sysfs=str(tmp_path), procfs=str(tmp_path), sleep=lambda seconds: None)
    assert meter.tier == "modelled"
    (device / "power1_average").write_text("212000000\n")
    assert open_meter(sysfs=str(tmp_path), procfs=str(tmp_path)).source == "hwmon"


def test_what_a_device_has_multiplied_is_not_multiplied_again(tmp_path: Path) -> None:
    """nut 2960: an INA219 on battery, -40 mA and 4 228 mV beside its own 176 mW: one sensor."""
    files = {"in0_input": -4, "in1_input": 4228, "power1_input": 176_000, "curr1_input": -40}
    hwmon_device(tmp_path, 2, "ina219", **files)
    assert sensors(tmp_path) == {}
    rules = (SensorRule("ina219", "psys"),)
    assert [(s.zone, s.label, s.kind) for s in hwmon_sensors(str(tmp_path), rules)] == [
        ("psys_0", "power1", "instant")
    ]


@pytest.mark.parametrize("driver", ["n6000bmc", "wormhole", "blackhole", "occ", "p9-occ"])
def test_drivers_in_other_units_are_left_out(tmp_path: Path, driver: str) -> None:
    """linux-dfl 25 and tt-kmd 5 show milliwatts, openbmc 2136 watts: none is taken without a word."""
    hwmon_device(tmp_path, 0, driver, power1_input=27_320, power1_label="Board Power")
    assert sensors(tmp_path) == {}


def test_jetson_stats_344_a_rail_of_the_carrier_is_not_the_machine(tmp_path: Path) -> None:
    """An AGX Orin measures no input: VIN_SYS_5V0, which feeds its connectors, was shown as all of it."""
    rails = {"in1_label": "VDD_CPU_CV", "in1_input": 5000, "curr1_input": 200}
    rails |= {"in3_label": "VIN_SYS_5V0", "in3_input": 5000, "curr3_input": 600}
    hwmon_device(tmp_path, 1, "ina3221", **rails)
    assert set(sensors(tmp_path)) == {"package_0"}


def test_kepler_2062_a_power_in_microwatts_is_integrated(tmp_path: Path) -> None:
    """Ampere's "CPU power" of 22.04 W was taken for a counter of joules: 0.4 J. Ten seconds are 220.4 J."""
    hwmon_device(tmp_path, 0, "apm_xgene", power1_label="CPU power", power1_input=22_040_000)
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    for _ in range(11):
        source.sample(clock)
        clock.advance(1.0)
    assert {zone.name: zone.joules for zone in source.report()} == {"package_0": pytest.approx(220.4)}


def test_ampere_lts_kernel_186_a_soc_is_its_cores_and_its_rest(tmp_path: Path) -> None:
    """An Altra: 16.28 W of the cores, 31.90 W of all else in the SoC, which was left out: 48.18 W."""
    files = {"power1_label": "CPU power", "power1_input": 16_280_000}
    hwmon_device(tmp_path, 0, "apm_xgene", **files, power2_label="IO power", power2_input=31_900_000)
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    source.sample(clock)
    clock.advance(1.0)
    source.sample(clock)
    assert host_joules({zone.name: zone.joules for zone in source.report()}) == pytest.approx(48.18)


def test_sensors_that_get_other_numbers_stay_what_they_were(tmp_path: Path) -> None:
    """Two supplies of 10 W and 100 W whose driver is loaded again: the class numbers them the other way
    round, and gives the first one's number to a disk of 3 kW that no rule knows."""

    def supply(number: int, place: str, watts: int) -> None:
        files = {"power1_label": "power total", "power1_input": watts * 1_000_000}
        device_at(tmp_path, number, "corsairpsu", place, **files)

    def sampled(seconds: int) -> dict[str, float]:
        for _ in range(seconds):
            clock.advance(1.0)
            source.sample(clock)
        return {zone.name: zone.joules for zone in source.report()}

    supply(3, "usb1/1-1", 10)
    supply(4, "usb1/1-2", 100)
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    source.sample(clock)
    assert sampled(5) == pytest.approx({"psys_0": 50.0, "psys_1": 500.0})
    for number, place in ((3, "usb1/1-1"), (4, "usb1/1-2")):
        (tmp_path / f"class/hwmon/hwmon{number}").unlink()
        shutil.rmtree(tmp_path / f"devices/{place}")
    device_at(tmp_path, 3, "drivetemp", "ata1", power1_input=3_000_000_000, power1_label="power total")
    supply(5, "usb1/1-2", 100)
    supply(6, "usb1/1-1", 10)
    before = sampled(40)
    assert before["psys_0"] < 50.0 + 40 * 10.0
    after = sampled(10)
    assert [after[zone] - before[zone] for zone in ("psys_0", "psys_1")] == pytest.approx([100.0, 1000.0])


def test_sensors_of_one_device_and_label_do_not_change_places(tmp_path: Path) -> None:
    """10 W and 100 W in two hwmon folders of one device, over three looks at the class."""
    for number, watts in ((3, 10), (4, 100)):
        files = {"power1_label": "power total", "power1_input": watts * 1_000_000}
        device_at(tmp_path, number, "corsairpsu", "usb1/1-1", **files)
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    for _ in range(71):
        source.sample(clock)
        clock.advance(1.0)
    joules = {zone.name: zone.joules for zone in source.report()}
    assert joules == pytest.approx({"psys_0": 700.0, "psys_1": 7000.0})


def test_another_kind_of_sensor_does_not_go_on_with_a_zone(tmp_path: Path) -> None:
    """A power of 10 W, and after a kernel module was changed a counter: it was integrated as watts."""
    device = device_at(tmp_path, 0, "ibmpowernv", "opal", power1_label="System", power1_input=10_000_000)
    clock, source = FakeClock(), HwmonSource(str(tmp_path))
    for second in range(40):
        if second == 3:
            (device / "power1_input").unlink()
            (device / "energy1_label").write_text("System\n")
        if second >= 3:
            (device / "energy1_input").write_text(f"{10**12 + second * 20_000_000}\n")
        source.sample(clock)
        clock.advance(1.0)
    zones = {zone.name: (zone.kind, zone.joules) for zone in source.report()}
    assert zones == {"psys_0": ("instant", 20.0), "psys_1": ("counter", pytest.approx(20.0 * 9))}
