"""GPU power of a window, from cards whose energy is known."""

from __future__ import annotations

import pytest

from advisor.energy.gpu import GpuReading
from advisor.results import Scenario
from advisor.results.derived import energy, mean_watts
from runner.measurement import Measurement
from tests.support.meters import ScriptedMeter, reading


def _card(index: int, joules: float | None, use: float | None = None) -> GpuReading:
    return GpuReading(
        index=index,
        uuid=f"GPU-{index}",
        name="card",
        driver="1",
        joules=joules,
        energy_source="counter",
        meter="nvml",
        power_watts=None,
        utilization_ratio=use,
        encoder_utilization_ratio=None,
        decoder_utilization_ratio=None,
        memory_used_bytes=None,
        errors=0,
    )


class _Cards:
    def __init__(self, *readings: tuple[GpuReading, ...]) -> None:
        self._readings = iter(readings)

    def read(self) -> tuple[GpuReading, ...]:
        return next(self._readings)


def _window(*readings: tuple[GpuReading, ...]) -> Measurement:
    """One reading of the cards a second."""
    meter = ScriptedMeter([reading(second, {"package_0": 0.0}) for second in range(len(readings))])
    window = Measurement(meter, 1.0, _Cards(*readings))
    window.open()
    for _ in readings[1:-1]:
        window.sample(0.0)
    window.close(0.0)
    return window


def test_energy_is_the_sum_over_the_cards() -> None:
    """100 then 200 W on one card, 50 W on the other: 400 J in 2 s, 200 W, 150 and 250 W a second."""
    window = _window(
        (_card(0, 1000.0), _card(1, 0.0)),
        (_card(0, 1100.0, 0.5), _card(1, 50.0, 0.1)),
        (_card(0, 1300.0, 1.0), _card(1, 100.0)),
    )
    power = window.gpu_power()
    assert power is not None
    assert (power.source, power.tier) == ("nvml", "measured")
    assert (power.total_energy_joules, power.mean_watts) == (400.0, 200.0)
    assert (power.min_watts, power.max_watts) == (150.0, 250.0)
    assert power.domains == {"gpu_0": 300.0, "gpu_1": 100.0}
    assert window.samples().gpu_usage == [pytest.approx(0.3), 1.0]


def test_a_card_that_does_not_tell_leaves_no_sum() -> None:
    assert _window((_card(0, 0.0), _card(1, None)), (_card(0, 9.0), _card(1, 9.0))).gpu_power() is None


def test_a_card_that_fell_off_the_bus_leaves_no_sum() -> None:
    assert _window((_card(0, 0.0), _card(1, 0.0)), (_card(0, 9.0),)).gpu_power() is None


def test_without_cards_there_is_neither_power_nor_usage() -> None:
    window = _window((), ())
    assert (window.gpu_power(), window.samples().gpu_usage) == (None, [])


def test_a_meter_of_the_whole_machine_holds_the_gpus_energy() -> None:
    """The supply gave 300 J of which the card drew 200: the scenario used 300 J, not 500."""
    meter = ScriptedMeter([reading(0.0, {"psys_0": 0.0}), reading(2.0, {"psys_0": 300.0})])
    window = Measurement(meter, 1.0, _Cards((_card(0, 0.0),), (_card(0, 200.0),)))
    window.open()
    window.close(0.0)
    power, gpu_power = window.power(None, None), window.gpu_power()
    assert power is not None
    assert gpu_power is not None
    scenario = Scenario(name="a", duration=window.seconds, power=power, gpu_power=gpu_power)
    used = energy(scenario)
    assert used is not None
    assert used.joules == 300.0
    assert mean_watts(scenario) == 150.0
    assert gpu_power.total_energy_joules == 200.0
