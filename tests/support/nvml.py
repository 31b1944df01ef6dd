"""NVML as `pynvml` shows it, with cards that a test drives; the error classes are the real binding's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml

__all__ = ["FakeCard", "FakeNvml"]


class FakeCard:
    """One card; what is None is not supported by it, what is an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.name: Any = "NVIDIA L4"
        self.uuid = "GPU-0"
        self.bus_id: Any = b"00000000:0A:00.0"
        self.energy: Any = 5_000_000
        self.power: Any = 72_000
        self.gpu: Any = 35
        self.encoder: Any = 80
        self.decoder: Any = 12
        self.memory: Any = 2**30
        self.reserved_memory = 480 * 2**20
        self.has_second_memory_function = True
        self.__dict__.update(answers)


class FakeNvml:
    """The functions of `pynvml` that the meter asks, over `FakeCard` handles."""

    NVMLError = pynvml.NVMLError
    NVML_ERROR_NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
    NVML_ERROR_FUNCTION_NOT_FOUND = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    nvmlMemory_v2 = pynvml.nvmlMemory_v2  # noqa: N815 - the name is the binding's

    def __init__(self, *cards: Any, driver: Any = "550.54") -> None:
        self.cards = cards
        self.driver = driver
        self.shut_down = False

    def nvmlSystemGetDriverVersion(self) -> Any:
        return _answer(self.driver)

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return _answer(self.cards[index])

    def nvmlDeviceGetName(self, card: FakeCard) -> Any:
        return _answer(card.name)

    def nvmlDeviceGetUUID(self, card: FakeCard) -> Any:
        return _answer(card.uuid)

    def nvmlDeviceGetPciInfo(self, card: FakeCard) -> Any:
        return SimpleNamespace(busId=_answer(card.bus_id))

    def nvmlDeviceGetTotalEnergyConsumption(self, card: FakeCard) -> Any:
        return _answer(card.energy)

    def nvmlDeviceGetPowerUsage(self, card: FakeCard) -> Any:
        return _answer(card.power)

    def nvmlDeviceGetUtilizationRates(self, card: FakeCard) -> Any:
        return SimpleNamespace(gpu=_answer(card.gpu), memory=0)

    def nvmlDeviceGetEncoderUtilization(self, card: FakeCard) -> Any:
        return [_answer(card.encoder), 167000]

    def nvmlDeviceGetDecoderUtilization(self, card: FakeCard) -> Any:
        return [_answer(card.decoder), 167000]

    def nvmlDeviceGetMemoryInfo(self, card: FakeCard, version: int | None = None) -> Any:
        """The first version counts the driver's reserve as used."""
        used = _answer(card.memory)
        if version is None:
            return SimpleNamespace(used=used + card.reserved_memory)
        if not card.has_second_memory_function:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(used=used, reserved=card.reserved_memory)

    def nvmlShutdown(self) -> None:
        self.shut_down = True


def _answer(value: Any) -> Any:
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    if isinstance(value, Exception):
        raise value
    return value
