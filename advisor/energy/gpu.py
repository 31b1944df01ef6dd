"""GPUs: energy, power and use, NVIDIA's through NVML and others through the kernel's sensors (hwmon).

No library, driver or card is normal and gives no GPUs. A card that both know is NVML's.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, Self, TypeVar

from msgspec import Struct, structs

from advisor.energy.hwmon import SENSORS, Sensor, SensorRule, hwmon_sensors, read_sensor
from advisor.energy.integrator import Integrator
from advisor.energy.meter import PowerWindow
from advisor.energy.sampler import Sampler
from advisor.energy.source import Clock, shown_seconds
from advisor.energy.zones import try_line
from advisor.results import GpuInfo

_T = TypeVar("_T")
Problem = Callable[[str], object]
# the largest board sold draws 1.2 kW; what is beyond is a driver's mistake
_MOST_WATTS = 3000.0
_PCI = re.compile(r"([0-9a-f]{4,8})(:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])", re.IGNORECASE)


class GpuReading(Struct, frozen=True, kw_only=True):
    """One GPU as of the last sample; ``None`` where the card does not say."""

    index: int
    uuid: str
    name: str
    driver: str | None
    joules: float | None
    """Joules since the meter's first sample, never decreasing; None while the card does not answer."""
    energy_source: str
    """``counter`` (the card's own) or ``power`` (its power, integrated by trapezoids)."""
    meter: Literal["nvml", "hwmon"]
    """Who was asked."""
    power_watts: float | None
    """As the card says, else the mean over the meter's interval by its counter."""
    utilization_ratio: float | None
    encoder_utilization_ratio: float | None = None
    decoder_utilization_ratio: float | None = None
    memory_used_bytes: int | None
    errors: int


class _Card(Protocol):
    """One card and its energy so far."""

    info: GpuInfo

    def sample(self, clock: Clock) -> GpuReading: ...


class _NvmlCard:
    """A card that NVML knows."""

    def __init__(self, nvml: Any, index: int, driver: str | None, interval_seconds: float) -> None:
        self._nvml, self._interval = nvml, interval_seconds
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self._index = index
        name, uuid = nvml.nvmlDeviceGetName(self._handle), nvml.nvmlDeviceGetUUID(self._handle)
        self.info = GpuInfo(name=_text(name), uuid=_text(uuid), driver=driver)
        self._errors: Counter[str] = Counter()
        self._has_counter = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption) is not None
        self._energy = Integrator(is_counter=self._has_counter, most_watts=_MOST_WATTS)

    @property
    def pci_address(self) -> str | None:
        """As the kernel writes it, ``0000:01:00.0``."""
        pci = self._ask(self._nvml.nvmlDeviceGetPciInfo)
        return None if pci is None else _pci_address(_text(pci.busId))

    @property
    def tells_energy(self) -> bool:
        """Whether it answers how much it draws."""
        return self._has_counter or self._ask(self._nvml.nvmlDeviceGetPowerUsage) is not None

    def _ask(self, question: Callable[[Any], _T]) -> _T | None:
        """The answer, None where this card has none; other failures are counted."""
        try:
            return question(self._handle)
        except self._nvml.NVMLError as exc:
            # an older driver has fewer functions, as an older card has fewer answers
            absent = self._nvml.NVML_ERROR_NOT_SUPPORTED, self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND
            if getattr(exc, "value", None) not in absent:
                self._errors[type(exc).__name__] += 1
            return None

    def _memory_used_bytes(self) -> int | None:
        """Bytes in use, as `nvidia-smi` has them: the first version of the function adds the driver's own
        reserve, which an idle H100 shows as 480 MiB."""
        nvml = self._nvml
        memory = self._ask(lambda handle: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
        if memory is None:
            memory = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        return None if memory is None else int(memory.used)

    def sample(self, clock: Clock) -> GpuReading:
        nvml = self._nvml
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage)
        watts = None if milliwatts is None else milliwatts / 1e3
        energy = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption) if self._has_counter else milliwatts
        if energy is not None:
            self._energy.take((energy * 1000, clock()))
        use = self._ask(nvml.nvmlDeviceGetUtilizationRates)
        encoder = self._ask(nvml.nvmlDeviceGetEncoderUtilization)
        decoder = self._ask(nvml.nvmlDeviceGetDecoderUtilization)
        return GpuReading(
            index=self._index,
            **structs.asdict(self.info),
            joules=_joules(self._energy, self._energy.sampled_seconds, clock(), self._interval),
            energy_source="counter" if self._has_counter else "power",
            meter="nvml",
            power_watts=watts,
            utilization_ratio=None if use is None else use.gpu / 100,
            # the answer is a percentage and the driver's sampling period
            encoder_utilization_ratio=None if encoder is None else encoder[0] / 100,
            decoder_utilization_ratio=None if decoder is None else decoder[0] / 100,
            memory_used_bytes=self._memory_used_bytes(),
            errors=self._errors.total() + self._energy.errors,
        )


class _SensorCard:
    """A card that the kernel's sensors know: AMD's, Intel's, and NVIDIA's by the free driver."""

    def __init__(self, sensor: Sensor, index: int, interval_seconds: float) -> None:
        self._sensor, self._index, self._interval = sensor, index, interval_seconds
        self._energy = sensor.integrator()
        self._asleep_seconds: float | None = None
        self._window = PowerWindow()
        ids = [text.removeprefix("0x") for name in ("vendor", "device") if (text := self._tell(name))]
        name = self._tell("product_name") or " ".join([sensor.driver, ":".join(ids)]).strip()
        uuid = self._tell("unique_id") or Path(sensor.device).name
        self.info = GpuInfo(name=name, uuid=uuid, driver=sensor.driver)

    def _tell(self, name: str) -> str | None:
        """A file of the device, None where it has none."""
        return try_line(f"{self._sensor.device}/{name}")

    def _count(self, name: str) -> int | None:
        text = self._tell(name)
        return int(text) if text is not None and text.isdigit() else None

    def sample(self, clock: Clock) -> GpuReading:
        energy = self._energy
        # a question would wake a card that sleeps, which draws next to nothing
        is_asleep = self._sensor.is_asleep
        if is_asleep:
            self._asleep_seconds = clock()
        else:
            energy.take(read_sensor(self._sensor, clock))
        watts, sampled = energy.watts, energy.sampled_seconds
        answered = None if sampled is None else max(sampled, self._asleep_seconds or sampled)
        if energy.is_counter and sampled is not None:
            self._window.add(sampled, energy.joules, self._interval, energy.broken_seconds)
            watts = self._window.watts(self._interval)
        busy = None if is_asleep else self._count("gpu_busy_percent")
        return GpuReading(
            index=self._index,
            **structs.asdict(self.info),
            joules=None if energy.is_standing else _joules(energy, answered, clock(), self._interval),
            energy_source="counter" if energy.is_counter else "power",
            meter="hwmon",
            power_watts=None if is_asleep or energy.is_standing else watts,
            utilization_ratio=None if busy is None else busy / 100,
            memory_used_bytes=None if is_asleep else self._count("mem_info_vram_used"),
            errors=energy.errors,
        )


def _joules(energy: Integrator, answered: float | None, now: float, interval_seconds: float) -> float | None:
    """None where the card does not say what it draws: a total that stands would be 0 W."""
    is_fresh = answered is not None and now - answered <= shown_seconds(interval_seconds)
    return energy.joules if is_fresh else None


def _pci_address(text: str) -> str | None:
    """The address with a domain of four digits (NVML writes eight), None for another device's name.

    >>> _pci_address("00000000:0A:00.0")
    '0000:0a:00.0'
    """
    match = _PCI.fullmatch(text)
    return None if match is None else f"{int(match[1], 16):04x}{match[2].lower()}"


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class GpuMeter:
    """Samples every GPU in a thread of its own: a card that hangs must not stop the CPU's meter.

    Parameters
    ----------
    nvml
        The module ``pynvml`` after ``nvmlInit``, or what behaves like it; None for none of its GPUs.
    sensors
        Of the domain ``gpu``; those of a card that NVML knows are left out.
    interval_seconds
        Seconds between samples of the thread.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        nvml: Any | None,
        *,
        sensors: Iterable[Sensor] = (),
        interval_seconds: float = 1.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        cards, sensors = [] if nvml is None else _nvml_cards(nvml, interval_seconds), list(sensors)
        # NVML knows the GPU of a Tegra and nothing that it draws, which a sensor on its rail tells
        has_rail = any(_pci_address(Path(sensor.device).name) is None for sensor in sensors)
        cards = [card for card in cards if card.tells_energy or not has_rail]
        addresses = {card.pci_address for card in cards} - {None}
        others = (sensor for sensor in sensors if _pci_address(Path(sensor.device).name) not in addresses)
        first = 0 if nvml is None else nvml.nvmlDeviceGetCount()
        self._gpus: list[_Card] = [
            *cards,
            *(_SensorCard(sensor, index, interval_seconds) for index, sensor in enumerate(others, first)),
        ]
        self._latest: tuple[GpuReading, ...] = ()
        self._lock = threading.Lock()
        self.sampled_seconds: float | None = None
        self.interval_seconds = interval_seconds
        self._sampler = Sampler("gpu sampler", self.read, lambda: interval_seconds)

    @property
    def infos(self) -> tuple[GpuInfo, ...]:
        """The cards, for a result file."""
        return tuple(gpu.info for gpu in self._gpus)

    def read(self) -> tuple[GpuReading, ...]:
        """Take a fresh sample of every card now."""
        with self._lock:
            self._latest = tuple(gpu.sample(self._clock) for gpu in self._gpus)
            self.sampled_seconds = self._clock()
            return self._latest

    def latest(self) -> tuple[GpuReading, ...]:
        """What the last sample saw, without asking the driver."""
        return self._latest

    def start(self) -> None:
        """Take the first sample now and go on in a thread; without a GPU there is nothing to do."""
        if self._gpus:
            self.read()
            self._sampler.start()

    def stop(self) -> None:
        """End the thread and leave the driver."""
        self._sampler.stop()
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None
        self._gpus = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _nvml_cards(nvml: Any, interval_seconds: float) -> list[_NvmlCard]:
    """The cards that answer; one that has fallen off the bus leaves the others standing."""
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        driver = None
    cards = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            cards.append(_NvmlCard(nvml, index, driver, interval_seconds))
        except nvml.NVMLError:
            continue
    return cards


def load_nvml(on_problem: Problem = lambda problem: None) -> ModuleType | None:
    """The NVML binding, initialised; None without the package, the driver's library or a driver.

    ``on_problem`` is told why a driver that is there does not answer.
    """
    try:
        import pynvml
    except ImportError:
        if Path("/proc/driver/nvidia").exists():
            on_problem(
                "an NVIDIA driver is loaded, but nvidia-ml-py is not installed: "
                "pip install '.[gpu]' in the checkout"
            )
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        nothing = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED
        if exc.value not in nothing or Path("/proc/driver/nvidia").exists():
            on_problem(f"NVML does not start: {exc}")
        return None
    return pynvml  # type: ignore[no-any-return]


def open_gpus(
    sysfs: str = "/sys",
    sensor_rules: Sequence[SensorRule] = (),
    *,
    interval_seconds: float = 1.0,
    on_problem: Problem = lambda problem: None,
) -> GpuMeter:
    """A meter over this machine's GPUs, with none where there are none.

    Parameters
    ----------
    sysfs
        Root of the kernel's file system.
    sensor_rules
        An operator's rules for hwmon sensors, before those that are known.
    interval_seconds
        Seconds between samples of the thread.
    on_problem
        Told why NVIDIA's driver, where it is there, does not answer.
    """
    every_sensor = hwmon_sensors(sysfs, (*sensor_rules, *SENSORS))
    sensors = [sensor for sensor in every_sensor if sensor.domain == "gpu"]
    return GpuMeter(load_nvml(on_problem), sensors=sensors, interval_seconds=interval_seconds)
