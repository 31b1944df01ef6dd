"""Power and energy sensors of the kernel's hwmon class: ARM boards, power meters, AMD's sockets, GPUs.

A sensor is an energy counter (``energy*_input``, microjoules) or a power (``power*_average`` over its own
interval, ``power*_input`` of the moment, in microwatts; or a voltage and a current of one channel), which is
integrated by trapezoids. Which domain a sensor measures is in `SENSORS`, each row from the driver's
documentation or source; an operator's file says it of boards that are not there.

Interface: Documentation/hwmon/sysfs-interface.rst of the Linux kernel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from advisor.common.regular_file import read_input
from advisor.energy.integrator import Integrator
from advisor.energy.patience import Patience
from advisor.energy.source import Clock, SavedZone, Source, SourceName, ZoneReport
from advisor.energy.zones import ZoneReadError, read_line, try_line
from advisor.errors import InputError

SensorKind: TypeAlias = Literal["counter", "average", "instant", "volts_amperes"]
Domain: TypeAlias = Literal["package", "core", "uncore", "dram", "psys", "gpu"]
_FILE = re.compile(r"^(energy|power|in|curr)(\d+)_(input|average|label)$")
_NUMBER = re.compile(r"(?:socket|chip|node) ?(\d+)", re.IGNORECASE)
_VALUE = re.compile(r"-?\d{1,20}")
# a sensor is integrated at least this often
_INTEGRATION_SECONDS = 1.0
_RESCAN_SECONDS = 30.0
# what counters are believed; the largest GPU sold draws 1.2 kW
_MOST_WATTS, _MOST_GPU_WATTS = 20_000.0, 3000.0
# what is switched on draws something: a sensor of these that says less tells nothing
_LEAST_WATTS = dict.fromkeys(("package", "psys", "gpu"), 1e-6)
# amdgpu shows the milliwatts of some APUs as microwatts: 120 W as 0.12
_LEAST_APU_WATTS = 0.2


class SensorRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Sensors of one driver whose label matches measure one domain."""

    driver: str
    """The content of the device's ``name`` file, as a regular expression that matches all of it."""
    domain: Domain
    label: str = ".*"
    """Of ``*_label``, or an ACPI meter's ``power1_oem_info``; a sensor without one has its file's name
    (``power1``)."""
    beside: str = ""
    """A file that the device must have as well, to tell two kinds of one driver; empty for none."""

    def matches(self, driver: str, label: str, place: str) -> bool:
        return bool(
            re.fullmatch(self.driver, driver, re.IGNORECASE)
            and re.fullmatch(self.label, label, re.IGNORECASE)
            and (not self.beside or Path(place, self.beside).exists())
        )


SENSORS: tuple[SensorRule, ...] = (
    # AMD EPYC and Ryzen counters: Documentation/hwmon/amd_energy.rst (Linux 5.8-5.12); zenergy continues it
    SensorRule("amd_energy|zenergy", "package", r"Esocket\d+"),
    # AMD family 15h and 16h: Documentation/hwmon/fam15h_power.rst, power1 is the processor's
    SensorRule("fam15h_power", "package", "power1"),
    # NVIDIA Grace: Grace Performance Tuning Guide, "Power and Thermals": ACPI meters told by their OEM info.
    # The module holds the socket, and the socket its CPU and SoC rails
    SensorRule("power_meter", "psys", r"Module Power Socket \d+"),
    SensorRule("power_meter", "package", r"Grace Power Socket \d+"),
    SensorRule("power_meter", "core", r"CPU Power Socket \d+"),
    SensorRule("power_meter", "uncore", r"SysIO Power Socket \d+"),
    # any other ACPI 4.0 power meter measures the machine: Documentation/hwmon/acpi_power_meter.rst
    SensorRule("power_meter", "psys", "(?!.* Socket ).*"),
    # Ampere Altra: drivers/hwmon/smpro-hwmon.c
    SensorRule("smpro_hwmon", "package", r"power\d CORE VRD|power\d SoC|power\d RCA VRD"),
    SensorRule("smpro_hwmon", "dram", r"power\d DIMM VRD\d"),
    # Applied Micro X-Gene, Ampere Altra: Documentation/hwmon/xgene-hwmon.rst, the cores and the rest
    SensorRule("apm_xgene", "package", "(CPU|IO) power"),
    # IBM POWER: Documentation/hwmon/ibmpowernv.rst, labels of the OPAL firmware
    SensorRule("ibmpowernv", "psys", "System"),
    SensorRule("ibmpowernv", "package", r"Chip \d+"),
    # Corsair's power supplies: Documentation/hwmon/corsair-psu.rst, power1 is the sum of the rails
    SensorRule("corsairpsu", "psys", "power total"),
    # Apple's machines by drivers/hwmon/macsmc-hwmon.c: the controller's PSTR, as the device tree labels it
    SensorRule("macsmc_hwmon", "psys", "Total System Power"),
    # NVIDIA Jetson: Jetson Linux Developer Guide, "Power Monitors": VDD_IN, POM_5V_IN and VIN are the whole
    # board's input, in which the other rails lie
    SensorRule(r"ina3221x?|ina238", "psys", "VDD_IN|POM_5V_IN|VIN"),
    SensorRule(r"ina3221x?", "package", "VDD_CPU_GPU_CV|VDD_CPU_CV|VDD_CPU|POM_5V_CPU|CPU"),
    SensorRule(r"ina3221x?", "dram", "VDDQ.*|VDDRQ|VDD2_1V8AO"),
    SensorRule(r"ina3221x?", "gpu", "VDD_GPU_SOC|VDD_GPU|VDD_SYS_GPU|POM_5V_GPU|GPU"),
    # AMD GPUs: Documentation/gpu/amdgpu/thermal.rst. The power is the SoC's, on APUs with the CPU; only
    # these have a second voltage (in1, the northbridge's)
    SensorRule("amdgpu", "package", "PPT|slowPPT|power1", beside="in1_input"),
    SensorRule("amdgpu", "gpu", "PPT|power1"),
    # Intel GPUs on a card: Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and -xe-hwmon. i915's
    # devices of single tiles (i915_gt0) lie in its own, and xe's pkg in its card
    SensorRule("i915", "gpu", "energy1"),
    SensorRule("xe", "gpu", "card|energy1"),
    SensorRule("xe", "gpu", "pkg"),
    # NVIDIA GPUs by the free driver, which shuts NVML out: drivers/gpu/drm/nouveau/nouveau_hwmon.c
    SensorRule("nouveau", "gpu", "power1"),
)
"""What is known of sensors; the first row that matches counts."""


class Sensor(Struct, frozen=True):
    """One sensor and the files that tell it."""

    zone: str
    domain: Domain
    driver: str
    label: str
    kind: SensorKind
    paths: tuple[str, ...]
    """The file of the value; voltage and current. Below the device, as the class gives its numbers anew."""
    shown_path: str
    device: str
    """The kernel's folder of the device, with its links resolved: a PCI address is its last part."""

    @property
    def is_asleep(self) -> bool:
        """Whether the device is suspended: a question would wake it."""
        return try_line(f"{self.device}/power/runtime_status") == "suspended"

    def continues(self, former: Sensor | None) -> bool:
        """Whether its values go on from those of ``former``, which is not there any more."""
        own = self.driver, self.label, self.kind
        return former is None or own == (former.driver, former.label, former.kind)

    def integrator(self) -> Integrator:
        """What adds up its values."""
        is_apu = self.driver == "amdgpu" and self.domain == "package"
        return Integrator(
            is_counter=self.kind == "counter",
            most_watts=_MOST_GPU_WATTS if self.domain == "gpu" else _MOST_WATTS,
            least_watts=_LEAST_APU_WATTS if is_apu else _LEAST_WATTS.get(self.domain, 0.0),
        )


def read_sensor_rules(path: Path) -> tuple[SensorRule, ...]:
    """An operator's rules, a YAML list of ``{driver, label, domain}``; they come before `SENSORS`.

    Raises
    ------
    InputError
        The file cannot be read, or holds something else.
    """
    from advisor.common.yaml_text import YamlError, parse_yaml

    try:
        rules = msgspec.convert(parse_yaml(read_input(path)), list[SensorRule])
        for rule in rules:
            re.compile(rule.driver), re.compile(rule.label)
    except (YamlError, msgspec.ValidationError) as exc:
        raise InputError(f"expected a list of driver, label and domain: {exc}", subject=path) from exc
    except re.error as exc:
        raise InputError(f"expected regular expressions: {exc}", subject=path) from exc
    return tuple(rules)


def hwmon_sensors(
    sysfs: str, rules: Sequence[SensorRule] = SENSORS, former: Mapping[str, Sensor] = MappingProxyType({})
) -> list[Sensor]:
    """The sensors under ``sysfs`` that a rule knows, each domain numbered by socket or in order.

    One of ``former``, by zone, keeps its zone.

    Of one label, an energy counter is taken before a power, and an average before the power of a moment. Of a
    GPU, the sensor of the earliest rule is taken, and one whose counter is empty last.
    """
    chosen: dict[tuple[str, str], tuple[tuple[bool, int, int], Sensor]] = {}
    for folder in _devices(sysfs):
        for rank, sensor in _sensors(sysfs, folder, rules):
            key = folder, "" if sensor.domain == "gpu" else sensor.label
            order = _is_empty_counter(sensor), rank, _ORDER.index(sensor.kind)
            if key not in chosen or order < chosen[key][0]:
                chosen[key] = order, sensor
    return _numbered([sensor for _, sensor in chosen.values()], former)


def _is_empty_counter(sensor: Sensor) -> bool:
    """Whether a card that is awake lists a counter that it does not keep (``xe`` on some parts)."""
    is_gpu_counter = sensor.domain == "gpu" and sensor.kind == "counter"
    return is_gpu_counter and not sensor.is_asleep and try_line(sensor.paths[0]) == "0"


_ORDER: tuple[SensorKind, ...] = ("counter", "average", "instant", "volts_amperes")


def _numbered(sensors: Sequence[Sensor], former: Mapping[str, Sensor]) -> list[Sensor]:
    # of two with one device and label, the first
    known = {(sensor.device, sensor.label): zone for zone, sensor in reversed([*former.items()])}
    taken: dict[str, Sensor] = {}
    for sensor in sorted(sensors, key=lambda one: (one.device, one.label) not in known):
        index = int(number[1]) if (number := _NUMBER.search(sensor.label)) else 0
        name = known.get((sensor.device, sensor.label), f"{sensor.domain}_{index}")
        while name in taken or not sensor.continues(former.get(name)):
            name = f"{sensor.domain}_{index}"
            index += 1
        taken[name] = structs.replace(sensor, zone=name)
    return list(taken.values())


def _devices(sysfs: str) -> Iterator[str]:
    root = f"{sysfs}/class/hwmon"
    try:
        names = sorted(os.listdir(root), key=lambda name: (len(name), name))  # noqa: PTH208
    except OSError:
        return
    yield from (f"{root}/{name}" for name in names)


def _sensors(sysfs: str, folder: str, rules: Sequence[SensorRule]) -> Iterator[tuple[int, Sensor]]:
    """The sensors of one device, and which rule knows them."""
    # ACPI's power meter keeps its files with the device
    places = [place for place in (folder, f"{folder}/device") if Path(place).is_dir()]
    driver = next((name for place in places if (name := try_line(f"{place}/name"))), None)
    if driver is None:
        return
    for place in places:
        channels: dict[tuple[str, str], set[str]] = {}
        for name in os.listdir(place):  # noqa: PTH208
            if (file := _FILE.match(name)) is not None:
                channels.setdefault((file[1], file[2]), set()).add(file[3])
        has_power = any(quantity in ("power", "energy") for quantity, _ in channels)
        for (quantity, number), files in sorted(channels.items()):
            label = _label(place, quantity, number)
            rank = next((n for n, rule in enumerate(rules) if rule.matches(driver, label, place)), None)
            value = _value(os.path.realpath(place), quantity, number, files, channels)
            if value is not None and value[0] == "volts_amperes" and has_power:
                continue  # the device has multiplied them
            if rank is not None and value is not None:
                kind, paths = value
                shown = f"{os.path.relpath(place, sysfs)}/{paths[0].rpartition('/')[2]}"
                device = os.path.realpath(places[-1])
                yield rank, Sensor("", rules[rank].domain, driver, label, kind, paths, shown, device)


def _label(place: str, quantity: str, number: str) -> str:
    return (
        try_line(f"{place}/{quantity}{number}_label")
        or (try_line(f"{place}/power{number}_oem_info") if quantity == "power" else None)
        or f"{quantity}{number}"
    )


def _value(
    place: str, quantity: str, number: str, files: set[str], channels: Mapping[tuple[str, str], set[str]]
) -> tuple[SensorKind, tuple[str, ...]] | None:
    path = f"{place}/{quantity}{number}"
    match quantity:
        case "energy" if "input" in files:
            return "counter", (f"{path}_input",)
        case "power" if "average" in files:
            return "average", (f"{path}_average",)
        case "power" if "input" in files:
            return "instant", (f"{path}_input",)
        case "in" if "input" in files and "input" in channels.get(("curr", number), ()):
            return "volts_amperes", (f"{path}_input", f"{place}/curr{number}_input")
    return None


class HwmonSource(Source):
    """The sensors that `SENSORS` and the operator's rules know, but for those of GPUs.

    Parameters
    ----------
    sysfs
        Root of the file system.
    rules
        The operator's, before those that are known.
    """

    name: SourceName = "hwmon"

    def __init__(self, sysfs: str = "/sys", rules: Sequence[SensorRule] = ()) -> None:
        self._sysfs = sysfs
        self._rules = (*rules, *SENSORS)
        self._patience = Patience()
        self._zones: dict[str, Integrator] = {}
        self._sensors: dict[str, Sensor] = {}
        self._scanned_seconds: float | None = None

    def sample(self, clock: Clock) -> None:
        """Read every sensor once."""
        now = clock()
        if self._scanned_seconds is None or now - self._scanned_seconds >= _RESCAN_SECONDS:
            self._scan()
            self._scanned_seconds = now
        values = self._patience.each(lambda zone: read_sensor(self._sensors[zone], clock), list(self._zones))
        for name, zone in self._zones.items():
            zone.take(values.get(name, ZoneReadError("blocked")))

    def _scan(self) -> None:
        for sensor in hwmon_sensors(self._sysfs, self._rules, self._sensors):
            if sensor.domain == "gpu":
                continue
            self._sensors[sensor.zone] = sensor
            if sensor.zone not in self._zones:
                zone = self._zones[sensor.zone] = sensor.integrator()
                saved = self._saved.get(sensor.zone)
                register = None if saved is None else saved.registers.get(sensor.shown_path)
                if register is not None:
                    zone.counter.restore(register)

    def report(self) -> tuple[ZoneReport, ...]:
        """Every sensor known."""
        sensors = ((zone, self._sensors[name]) for name, zone in self._zones.items())
        return tuple(
            zone.report(one.zone, one.domain, one.shown_path, f"{one.driver} {one.label}", one.kind)
            for zone, one in sensors
        )

    def settled_joules(self, zone: str, seconds: float) -> float | None:
        """See `Source.settled_joules`."""
        return self._zones[zone].counter.settled_joules(seconds)

    def longest_interval_seconds(self) -> float | None:
        """What integration needs; any where there are only counters."""
        integrates = any(not zone.is_counter for zone in self._zones.values())
        return _INTEGRATION_SECONDS if integrates else None

    def save(self) -> Mapping[str, SavedZone]:
        """See `Source.save`: a power's joules are lost with the time in which nobody read it."""
        return {
            name: SavedZone(point.published, {self._sensors[name].shown_path: point})
            for name, zone in self._zones.items()
            if zone.is_counter and (point := zone.counter.saved()) is not None
        }


def read_sensor(sensor: Sensor, clock: Clock) -> tuple[int, float] | ZoneReadError:
    """Microjoules or microwatts, and the middle of the read."""
    before = clock()
    try:
        values = [_number(path) for path in sensor.paths]
    except ZoneReadError as exc:
        return exc
    # millivolts times milliamperes are microwatts
    value = values[0] if len(values) == 1 else values[0] * values[1]
    return value, (before + clock()) / 2


def _number(path: str) -> int:
    text = read_line(path)
    if not _VALUE.fullmatch(text):
        raise ZoneReadError("malformed")
    return int(text)
