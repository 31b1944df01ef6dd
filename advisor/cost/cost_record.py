"""What pricing a scenario results in: every figure, or the reason why it is absent."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

__all__ = ["REASONS", "UNPRICED_REASONS", "Figure", "Inputs", "Priced"]

REASONS = {
    "malformed": "the result file's entry cannot be read",
    "failed": "the scenario did not finish",
    "no_energy": "neither energy nor power was measured",
    "no_gpu_energy": "the GPU's energy was not measured: only the CPU's is counted",
    "sample_gaps": "the samples have gaps: what was used in them is not counted",
    "no_duration": "how long it took is not known",
    "zero_duration": "it took no time",
    "no_price": "no price of electricity is known for the region: give one",
    "no_start_time": "the price changes over time, and when the scenario ran is not known",
    "outside_tariff": "the tariff does not cover the time at which it ran",
    "no_rate": "no price of the machine's time was given: the total of an owned one is electricity alone",
    "no_gpu_rate": "no price of the GPU's time was given",
    "no_cpu_time": "CPU time was not measured",
    "no_host_threads": "how many CPUs the machine has is not known, so its price cannot be split by use",
    "no_carbon_intensity": "no carbon intensity is known: name a region or give one",
    "outside_carbon_series": "the carbon series does not cover the time at which it ran",
    "no_pixels": "the size or the number of frames delivered is not known",
    "no_viewers": "the number of viewers is not known",
    "zero_viewers": "nobody watched",
    "no_video_time": "how much video was made is not known",
    "no_embodied": "what making the machine emitted was not given",
}
"""Why a figure is absent (or, for gaps and GPUs, too small), by code."""

UNPRICED_REASONS = (
    *("failed", "malformed", "no_duration", "no_energy", "no_gpu_rate", "no_price"),
    *("no_rate", "no_start_time", "outside_tariff", "zero_duration"),
)
"""Those for which a scenario has no total cost."""


class Figure(NamedTuple):
    """A number, or the codes of why there is none."""

    value: float | None
    reasons: tuple[str, ...] = ()

    def times(self, factor: float | None, reason: str) -> Figure:
        """Times ``factor``; the reason is for where that is unknown."""
        if self.value is None:
            return self
        return Figure(None, (reason,)) if factor is None else Figure(self.value * factor)


class Inputs(Struct, frozen=True, kw_only=True):
    """What a scenario was priced with. A price that changed meanwhile is the mean that was paid."""

    electricity_price_per_kwh: float | None
    price_source: str | None
    carbon_grams_per_kwh: float | None
    carbon_basis: str | None
    carbon_year: str | None
    carbon_source: str | None
    pue: float
    pue_source: str
    cpu_cost_per_hour: float | None
    machine_cost_per_hour: float | None
    gpu_cost_per_hour: float | None


class Priced(Struct, frozen=True, kw_only=True):
    """One scenario in one region; money in ``currency``, None for unknown with its reason in ``missing``."""

    run_id: str
    scenario: str
    region: str | None
    currency: str
    mode: str
    energy_joules: float | None = None
    facility_energy_joules: float | None = None
    energy_tier: str | None = None
    energy_basis: str | None = None
    energy_uncertainty_ratio: float | None = None
    """Half-width of a modelled source's own uncertainty over its figure."""
    cost_energy: float | None = None
    cost_compute: float | None = None
    cost_gpu: float | None = None
    """The part of ``cost_compute`` that is the GPU's time."""
    cost_total: float | None = None
    cost_energy_load_aware: float | None = None
    cost_compute_load_aware: float | None = None
    cost_total_load_aware: float | None = None
    cost_per_pixel: float | None = None
    cost_per_watch_hour: float | None = None
    cost_per_stream: float | None = None
    cost_per_stream_hour: float | None = None
    """Per hour of video of one stream."""
    cost_by_rung: dict[str, float] = {}
    """What each rung of a ladder adds, where the run also measured the ladder without it."""
    cost_shared_by_rungs: float | None = None
    rate_per_hour: float | None = None
    monthly_projection: float | None = None
    co2_operational_kg: float | None = None
    co2_embodied_kg: float | None = None
    co2_embodied_minimum_kg: float | None = None
    co2_embodied_maximum_kg: float | None = None
    co2_per_stream_hour_kg: float | None = None
    functional_unit: str | None = None
    sci_grams_per_unit: float | None = None
    inputs: Inputs
    missing: list[str] = []
    unpriced: list[str] = []
    """The reasons among ``missing`` for which ``cost_total`` is absent."""
