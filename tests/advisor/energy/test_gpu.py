"""GPUs by NVML, over a binding whose cards the tests drive."""

from __future__ import annotations

import sys

import pytest

from advisor.energy.gpu import GpuMeter, GpuReading, load_nvml, open_gpus

pynvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py (the extra gpu)")

from tests.support.clock import FakeClock  # noqa: E402 - after the skip
from tests.support.nvml import FakeCard, FakeNvml  # noqa: E402


def metered(card: FakeCard) -> tuple[GpuMeter, FakeClock]:
    clock = FakeClock()
    return GpuMeter(FakeNvml(card), clock=clock), clock


def only(meter: GpuMeter) -> GpuReading:
    (reading,) = meter.read()
    return reading


def test_energy_is_the_card_s_counter_from_zero() -> None:
    """The card counts millijoules since its driver was loaded: 5 000 000 then 5 072 500 are 72.5 J."""
    card = FakeCard()
    meter, clock = metered(card)
    assert only(meter).joules == 0.0
    card.energy = 5_072_500
    clock.advance(1.0)
    assert only(meter).joules == 72.5


def test_a_reloaded_driver_does_not_set_the_joules_back() -> None:
    card = FakeCard()
    meter, clock = metered(card)
    only(meter)
    joules = []
    for energy in (5_100_000, 0, 50_000, 100_000, 150_000):
        card.energy = energy
        clock.advance(1.0)
        joules.append(only(meter).joules)
    assert joules == [100.0, 100.0, 100.0, 100.0, 250.0], "three values after it say that it was set back"


def test_without_a_counter_power_is_integrated() -> None:
    """60 W, then 100 W two seconds later: 160 J by the trapezoid."""
    card = FakeCard(energy=None, power=60_000)
    meter, clock = metered(card)
    assert only(meter).energy_source == "power"
    card.power = 100_000
    clock.advance(2.0)
    assert only(meter).joules == 160.0


def test_a_long_gap_in_power_is_not_bridged() -> None:
    card = FakeCard(energy=None, power=60_000)
    meter, clock = metered(card)
    only(meter)
    clock.advance(60.0)
    assert only(meter).joules == 0.0


def test_every_figure_in_its_unit() -> None:
    meter, _ = metered(FakeCard())
    reading = only(meter)
    assert (reading.power_watts, reading.utilization_ratio, reading.memory_used_bytes) == (72.0, 0.35, 2**30)
    assert (reading.encoder_utilization_ratio, reading.decoder_utilization_ratio) == (0.8, 0.12)
    assert (reading.name, reading.uuid, reading.driver) == ("NVIDIA L4", "GPU-0", "550.54")


def test_the_driver_s_reserve_is_no_memory_in_use() -> None:
    """An idle H100 (driver 580): 503 316 480 bytes by the first version of the function, 0 by the second."""
    meter, _ = metered(FakeCard(memory=0, reserved_memory=503_316_480))
    assert only(meter).memory_used_bytes == 0


def test_an_older_driver_has_the_first_version_alone() -> None:
    meter, _ = metered(FakeCard(memory=0, reserved_memory=503_316_480, has_second_memory_function=False))
    reading = only(meter)
    assert (reading.memory_used_bytes, reading.errors) == (503_316_480, 0)


def test_what_a_card_does_not_support_is_absent_and_no_error() -> None:
    meter, _ = metered(FakeCard(encoder=None, decoder=None, gpu=None, memory=None, power=None))
    reading = only(meter)
    assert reading.encoder_utilization_ratio is None
    assert reading.utilization_ratio is None
    assert reading.power_watts is None
    assert reading.errors == 0


def test_a_card_that_says_nothing_of_power_has_no_energy() -> None:
    meter, _ = metered(FakeCard(energy=None, power=None))
    assert only(meter).joules is None


def test_a_failing_question_is_counted_and_keeps_the_joules() -> None:
    card = FakeCard()
    meter, clock = metered(card)
    only(meter)
    card.energy = pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
    clock.advance(1.0)
    assert (only(meter).joules, only(meter).errors) == (0.0, 2)


def test_a_card_that_no_longer_answers_is_unknown_and_not_idle() -> None:
    """In a container NVML may answer "Unknown Error" from a reload of systemd on."""
    card = FakeCard()
    meter, clock = metered(card)
    only(meter)
    counted, card.energy = card.energy, pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
    for seconds, joules in ((4.0, 0.0), (2.0, None)):
        clock.advance(seconds)
        assert only(meter).joules == joules
    card.energy = counted + 700_000  # 70 W for 10 s, which its own counter has
    clock.advance(4.0)
    assert only(meter).joules == 700.0


def test_a_driver_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)
    problems: list[str] = []
    assert load_nvml(problems.append) is None
    assert problems == ["NVML does not start: RM has detected an NVML/RM version mismatch."]


def test_a_card_off_the_bus_leaves_the_others_standing() -> None:
    lost = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    meter = GpuMeter(FakeNvml(lost, FakeCard(uuid="GPU-1")))
    assert [gpu.uuid for gpu in meter.read()] == ["GPU-1"]


def test_an_old_binding_that_answers_in_bytes_is_understood() -> None:
    meter, _ = metered(FakeCard(name=b"Tesla T4"))
    assert only(meter).name == "Tesla T4"


def test_cards_are_described_for_the_result_file() -> None:
    meter = GpuMeter(FakeNvml(FakeCard(), driver=pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)))
    (info,) = meter.infos
    assert (info.name, info.uuid, info.driver) == ("NVIDIA L4", "GPU-0", None)


def test_the_driver_is_left_at_the_end() -> None:
    nvml = FakeNvml(FakeCard())
    with GpuMeter(nvml, interval_seconds=60.0) as meter:
        assert len(meter.latest()) == 1
    assert nvml.shut_down


def test_no_gpu_is_normal() -> None:
    with GpuMeter(None) as meter:
        assert meter.latest() == ()
        assert meter.infos == ()


def test_no_binding_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def test_no_driver_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    with open_gpus() as meter:
        assert meter.latest() == ()


def test_an_initialised_binding_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    assert load_nvml() is pynvml
