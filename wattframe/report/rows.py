"""One run as the rows that the page shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from advisor.cost.model import CostModel
from advisor.cost.scenario_cost import REASONS as UNPRICED
from advisor.cost.scenario_cost import ScenarioCost
from advisor.results import Run, Scenario, derived
from runner.validity import REASONS as DOUBTS


class Row(Struct, frozen=True, kw_only=True):
    """One scenario. None is unknown; energy is the host's, idle included."""

    scenario: Scenario
    name: str
    encoder: str
    setting: str
    """Preset, threads, streams, size: what beside the encoder makes the scenario."""
    reached_kbps: float | None
    speed: float | None
    """Seconds of video a second; below 1 is slower than real time."""
    watts: float | None
    tier: str | None
    joules: float | None
    net_joules: float | None
    joules_per_video_second: float | None
    vmaf: float | None
    cost: ScenarioCost | None
    remarks: tuple[str, ...]
    """In words: why the figures should not be trusted, or what is missing."""

    @property
    def is_baseline(self) -> bool:
        """Whether this is the idle run."""
        return self.scenario.type == "baseline"

    @property
    def is_slow(self) -> bool:
        """Whether it is slower than real time."""
        return self.speed is not None and self.speed < 1

    @property
    def asked_kbps(self) -> float | None:
        """The bitrates asked for, summed over a ladder."""
        return sum(derived.bitrates_kbps(self.scenario)) or None

    @property
    def cost_per_video_hour(self) -> float | None:
        """Electricity and machine of an hour of video."""
        return self.cost.cost_per_stream_hour if self.cost else None

    @property
    def carbon_grams_per_video_hour(self) -> float | None:
        """CO2e of the electricity of an hour of video."""
        kilograms = self.cost.co2_per_stream_hour_kg if self.cost else None
        return None if kilograms is None else 1000 * kilograms


def report_rows(run: Run, model: CostModel | None = None) -> list[Row]:
    """The scenarios of ``run`` in their order."""
    costs: Sequence[ScenarioCost | None] = (
        model.price_run(run, scenarios=run.scenarios) if model else [None] * len(run.scenarios)
    )
    return [_row(scenario, run, cost) for scenario, cost in zip(run.scenarios, costs, strict=True)]


def _row(scenario: Scenario, run: Run, cost: ScenarioCost | None) -> Row:
    idle = scenario.type == "baseline"
    used = derived.energy(scenario)
    return Row(
        scenario=scenario,
        name=scenario.name,
        encoder=scenario.encoder or ("idle" if idle else "unknown"),
        setting=_setting(scenario),
        reached_kbps=derived.reached_kbps(scenario),
        speed=scenario.encode.speed if scenario.encode else None,
        watts=derived.mean_watts(scenario),
        tier=used.tier if used else None,
        joules=derived.window_energy_joules(scenario),
        net_joules=None if idle else derived.net_energy_joules(scenario, run),
        joules_per_video_second=derived.joules_per_video_second(scenario),
        vmaf=derived.vmaf_mean(scenario),
        cost=None if idle else cost,
        remarks=tuple(_remarks(scenario, None if idle else cost)),
    )


def _setting(scenario: Scenario) -> str:
    size = derived.output_ladder(scenario).replace(",", ", ") or scenario.resolution
    parts = [scenario.preset, f"crf {scenario.crf:g}" if scenario.crf is not None else None]
    parts += [f"{scenario.threads} threads" if scenario.threads else None]
    parts += [f"{scenario.streams} streams" if (scenario.streams or 1) > 1 else None]
    return ", ".join(part for part in (*parts, size) if part)


def _remarks(scenario: Scenario, cost: ScenarioCost | None) -> Iterator[str]:
    if scenario.status != "ok":
        yield f"{scenario.status}: {scenario.error or 'no reason given'}"
    yield from doubts(scenario.validity)
    for output in scenario.outputs:
        if output.quality is not None and output.quality.reason:
            yield f"{output.resolution or 'output'} not scored: {output.quality.reason}"
    if derived.lacks_gpu_energy(scenario):
        yield UNPRICED["no_gpu_energy"]
    for code in cost.unpriced if cost else ():
        yield f"no cost: {UNPRICED.get(code, code)}"
    if cost and "sample_gaps" in cost.missing:
        small = "carbon is" if cost.mode == "cloud" else "cost and carbon are"
        yield f"{small} too small: the samples have gaps, which are not counted"


def doubts(validity: Sequence[str]) -> list[str]:
    """Why figures should not be trusted, in words."""
    return [f"not reliable: {DOUBTS.get(code, code)}" for code in validity]


def shared(remarks: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What is said of every one of several scenarios.

    >>> shared([["a", "b"], ["b", "c"]]), shared([["a"]])
    (('b',), ())
    """
    if len(remarks) < 2:
        return ()
    return tuple(line for line in remarks[0] if all(line in others for others in remarks))
