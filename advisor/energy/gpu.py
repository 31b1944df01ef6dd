"""NVIDIA GPUs through NVML: energy, power and use. No library, driver or card is normal and gives no GPUs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar

from msgspec import Struct

from advisor.energy.counter import EnergyCounter
from advisor.energy.sampler import Sampler
from advisor.energy.source import Clock
from advisor.results import GpuInfo

__all__ = ["GpuMeter", "GpuReading", "load_nvml", "open_gpus"]

_T = TypeVar("_T")
# the largest board sold draws 1.2 kW; what is beyond is a driver's mistake
_MOST_WATTS = 3000.0
# two power readings further apart than this are not joined: the time between is unknown
_LONGEST_GAP_SECONDS = 10.0


class GpuReading(Struct, frozen=True):
    """One GPU as of the last sample; ``None`` where the card does not say."""

    index: int
    uuid: str
    name: str
    driver: str | None
    joules: float | None
    """Joules since the meter's first sample, never decreasing."""
    energy_source: str
    """``counter`` (the card's own) or ``power`` (its power, integrated by trapezoids)."""
    power_watts: float | None
    utilization_ratio: float | None
    encoder_utilization_ratio: float | None
    decoder_utilization_ratio: float | None
    memory_used_bytes: int | None
    errors: int


class _Gpu:
    """One card and its energy so far."""

    def __init__(self, nvml: Any, index: int, driver: str | None) -> None:
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self._index = index
        self._driver = driver
        self._name = _text(nvml.nvmlDeviceGetName(self._handle))
        self._uuid = _text(nvml.nvmlDeviceGetUUID(self._handle))
        self._errors: Counter[str] = Counter()
        self._counter = EnergyCounter(None, _MOST_WATTS)
        self._integral = 0.0
        self._last_power: tuple[float, float] | None = None
        self._has_counter = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption) is not None

    @property
    def info(self) -> GpuInfo:
        return GpuInfo(name=self._name, uuid=self._uuid, driver=self._driver)

    def _ask(self, question: Callable[[Any], _T]) -> _T | None:
        """The answer, None where this card has none; other failures are counted."""
        try:
            return question(self._handle)
        except self._nvml.NVMLError as exc:
            if getattr(exc, "value", None) != self._nvml.NVML_ERROR_NOT_SUPPORTED:
                self._errors[type(exc).__name__] += 1
            return None

    def sample(self, clock: Clock) -> GpuReading:
        nvml = self._nvml
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage)
        watts = None if milliwatts is None else milliwatts / 1e3
        joules = self._counted(clock) if self._has_counter else self._integrated(watts, clock)
        use = self._ask(nvml.nvmlDeviceGetUtilizationRates)
        encoder = self._ask(nvml.nvmlDeviceGetEncoderUtilization)
        decoder = self._ask(nvml.nvmlDeviceGetDecoderUtilization)
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        return GpuReading(
            index=self._index,
            uuid=self._uuid,
            name=self._name,
            driver=self._driver,
            joules=joules,
            energy_source="counter" if self._has_counter else "power",
            power_watts=watts,
            utilization_ratio=None if use is None else use.gpu / 100,
            # the answer is a percentage and the driver's sampling period
            encoder_utilization_ratio=None if encoder is None else encoder[0] / 100,
            decoder_utilization_ratio=None if decoder is None else decoder[0] / 100,
            memory_used_bytes=None if memory is None else memory.used,
            errors=self._errors.total() + self._counter.rejected.total(),
        )

    def _counted(self, clock: Clock) -> float | None:
        millijoules = self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)
        if millijoules is not None:
            self._counter.observe(millijoules * 1000, clock())
        return None if self._counter.last_good_seconds is None else self._counter.joules

    def _integrated(self, watts: float | None, clock: Clock) -> float | None:
        if watts is not None:
            now = clock()
            if self._last_power is not None:
                then, before = self._last_power
                if now - then <= _LONGEST_GAP_SECONDS:
                    self._integral += (watts + before) / 2 * (now - then)
            self._last_power = (now, watts)
        return None if self._last_power is None else self._integral


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class GpuMeter:
    """Samples every GPU in a thread of its own: a card that hangs must not stop the CPU's meter.

    Parameters
    ----------
    nvml
        The module ``pynvml`` after ``nvmlInit``, or what behaves like it; None for no GPUs.
    interval_seconds
        Seconds between samples of the thread.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, nvml: Any | None, *, interval_seconds: float = 1.0, clock: Clock = time.monotonic
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        self._gpus = [] if nvml is None else _cards(nvml)
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
            self._nvml, self._gpus = None, []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _cards(nvml: Any) -> list[_Gpu]:
    """The cards that answer; one that has fallen off the bus leaves the others standing."""
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        driver = None
    cards = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            cards.append(_Gpu(nvml, index, driver))
        except nvml.NVMLError:
            continue
    return cards


def load_nvml() -> ModuleType | None:
    """The NVML binding, initialised; None without the package, the driver's library or a driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml  # type: ignore[no-any-return]


def open_gpus(*, interval_seconds: float = 1.0) -> GpuMeter:
    """A meter over this machine's GPUs, with none where there are none."""
    return GpuMeter(load_nvml(), interval_seconds=interval_seconds)
