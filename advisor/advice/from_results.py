"""Scenarios of result files as options of the recommender: priced, grouped, predicted where not measured."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from advisor.advice.configuration import Option
from advisor.common.statistics import MEASURED_NOISE_RATIO
from advisor.cost.model import CostModel
from advisor.errors import NotEnoughDataError
from advisor.regression.features import video_seconds
from advisor.regression.predictions import Estimate, Prediction
from advisor.results import Power, Run, Scenario
from advisor.results.derived import (
    bitrates_kbps,
    delivered_megabits,
    energy,
    machine_of,
    mean_watts,
    net_energy_joules,
    output_seconds,
    settings_of,
    vmaf_mean,
)

__all__ = ["Found", "options_of"]

_SHORT_SECONDS = 5.0
_SHORT_NOISE_RATIO = 0.25
"""Repeats of clips under five seconds vary by a quarter."""
Settings = tuple[object, ...]


class Found(Struct, frozen=True):
    """The options, and what was set aside on the way."""

    options: list[Option]
    notes: list[str]


class _Measured(Struct, frozen=True):
    run: Run
    scenario: Scenario
    prediction: Prediction | None


def options_of(
    runs: Sequence[Run],
    model: CostModel,
    predictions: Mapping[tuple[str, str], Prediction],
    *,
    input_name: str | None = None,
) -> Found:
    """One option for each configuration that was run, on one machine, of one tier of power.

    Repeats are averaged. Where several inputs were run, only configurations that all inputs had are
    compared: by the geometric mean of costs and energies, the worst quality and speed.

    Raises
    ------
    NotEnoughDataError
        Inputs that share no configuration.
    """
    notes: list[str] = []
    seen = [
        _Measured(run, s, predictions.get((run.run_id, s.name)))
        for run in runs
        for s in run.scenarios
        if s.type != "baseline" and s.status == "ok"
    ]
    seen = _one_machine(seen, notes)
    seen = _one_tier(seen, notes)
    if input_name is not None:
        seen = [m for m in seen if _input(m.scenario) == input_name]
    groups: dict[Settings, dict[str, list[_Measured]]] = defaultdict(lambda: defaultdict(list))
    for m in seen:
        groups[_settings(m.scenario)][_input(m.scenario)].append(m)
    inputs = sorted({_input(m.scenario) for m in seen})
    complete = [by_input for by_input in groups.values() if len(by_input) == len(inputs)]
    if seen and not complete:
        raise NotEnoughDataError(
            f"no configuration was run on all of {len(inputs)} inputs ({', '.join(inputs[:5])}): "
            "choose one with --input"
        )
    if len(complete) < len(groups):
        left = len(groups) - len(complete)
        notes.append(f"{left} configurations left out: not run on all of {len(inputs)} inputs")
    return Found([_combined([_option(ms, model) for ms in by.values()]) for by in complete], notes)


def _input(s: Scenario) -> str:
    return (s.input.name or s.input.path or "unnamed input") if s.input else "unnamed input"


def _settings(s: Scenario) -> Settings:
    return (*settings_of(s, but=("type", "input", "viewers")), *(o.resolution for o in s.outputs))


def _one_machine(seen: Sequence[_Measured], notes: list[str]) -> list[_Measured]:
    """The machine of the newest run; figures of different machines do not compare."""
    machines = {machine_of(m.run) for m in seen}
    if len(machines) < 2:
        return list(seen)
    newest = machine_of(max(seen, key=lambda m: m.run.start_time or 0.0).run)
    notes.append(f"only the scenarios of {newest} are compared, of {len(machines)} machines")
    return [m for m in seen if machine_of(m.run) == newest]


def _one_tier(seen: Sequence[_Measured], notes: list[str]) -> list[_Measured]:
    """Measured power before modelled; what has no power of its own stays, for its prediction."""
    own = {_tier(m) for m in seen if mean_watts(m.scenario) is not None}
    if len(own) < 2:
        return list(seen)
    kept = "measured" if "measured" in own else "modelled"
    notes.append(f"only {kept} power is compared")
    return [m for m in seen if mean_watts(m.scenario) is None or _tier(m) == kept]


def _tier(m: _Measured) -> str | None:
    return m.scenario.power.tier if m.scenario.power else None


def _option(repeats: Sequence[_Measured], model: CostModel) -> Option:
    """Repeats of one configuration on one input: measured where any of them was, else predicted."""
    measured = [m for m in repeats if mean_watts(m.scenario) is not None and energy(m.scenario) is not None]
    if measured:
        return _averaged([_known(m.run, m.scenario, model) for m in measured], measured)
    m = repeats[-1]
    if m.prediction is None or m.prediction.mean_power_watts is None:
        return _known(m.run, m.scenario, model)
    return _predicted(m, m.prediction, model)


def _known(run: Run, s: Scenario, model: CostModel) -> Option:
    """What one scenario says of itself."""
    priced = model.price(s, run_id=run.run_id, host_threads=run.host.threads if run.host else None)
    seconds, joules = output_seconds(s), energy(s)
    megabits = delivered_megabits(s)
    net = net_energy_joules(s, run)
    speed = s.encode.speed if s.encode else None
    per_second = 1 / seconds if seconds else None
    grams = priced.co2_per_stream_hour_kg
    return Option(
        run_id=run.run_id,
        scenario=s.name,
        basis="measured",
        tier=joules.tier if joules else None,
        energy_joules_per_video_second=joules.joules * per_second if joules and per_second else None,
        net_energy_joules_per_video_second=net * per_second if net is not None and per_second else None,
        cost_per_video_hour=priced.cost_per_stream_hour,
        carbon_grams_per_video_hour=None if grams is None else grams * 1000,
        bitrate_kbps=megabits * 1000 * per_second
        if megabits and per_second
        else sum(bitrates_kbps(s)) or None,
        vmaf=vmaf_mean(s),
        vmaf_p5=_lowest_p5(s),
        encode_speed_ratio=speed,
        mean_power_watts=mean_watts(s),
        currency=priced.currency,
        noise_ratio=_noise(s),
        family=" ".join(part for part in (s.encoder, s.preset, s.resolution) if part),
    )


def _noise(s: Scenario) -> float:
    short = s.duration is not None and s.duration < _SHORT_SECONDS
    own = s.power.uncertainty_ratio if s.power and s.power.uncertainty_ratio else 0.0
    # an estimate's own uncertainty is shared by all scenarios of the machine: a part of it sets them apart
    return max(_SHORT_NOISE_RATIO if short else MEASURED_NOISE_RATIO, own / 4)


def _lowest_p5(s: Scenario) -> float | None:
    found = [o.quality.vmaf.p5 if o.quality and o.quality.vmaf else None for o in s.outputs]
    known = [p for p in found if p is not None]
    return min(known) if known and len(known) == len(found) else None


def _averaged(options: Sequence[Option], measured: Sequence[_Measured]) -> Option:
    """The mean of repeats; their spread tells the noise of the mean."""
    if len(options) == 1:
        return options[0]
    values = [o.energy_joules_per_video_second for o in options if o.energy_joules_per_video_second]
    spread = (
        statistics.stdev(values) / statistics.fmean(values) if len(values) > 1 else options[0].noise_ratio
    )
    # two or three repeats may agree by chance: what repeats vary by at least is known
    noise = max(spread, MEASURED_NOISE_RATIO) / math.sqrt(len(options))
    means = {
        name: statistics.fmean(found)
        for name in _AVERAGED
        if len(found := [v for o in options if (v := getattr(o, name)) is not None]) == len(options)
    }
    newest = max(zip(options, measured, strict=True), key=lambda pair: pair[1].scenario.start_time or 0.0)[0]
    return msgspec.structs.replace(newest, **means, noise_ratio=noise, repeats=len(options))


_AVERAGED = (
    *("energy_joules_per_video_second", "net_energy_joules_per_video_second", "cost_per_video_hour"),
    *("carbon_grams_per_video_hour", "bitrate_kbps", "vmaf", "vmaf_p5", "encode_speed_ratio"),
    "mean_power_watts",
)
_GEOMETRIC = (
    *("energy_joules_per_video_second", "cost_per_video_hour", "carbon_grams_per_video_hour"),
    "bitrate_kbps",
)


def _predicted(m: _Measured, p: Prediction, model: CostModel) -> Option:
    """The same from predictions: power, energy and time stand in for what was not measured."""
    watts, joules = p.mean_power_watts, p.total_energy_joules
    seconds = joules.mean / watts.mean if joules and watts else m.scenario.duration
    stand_in = msgspec.structs.replace(
        m.scenario,
        duration=seconds,
        outputs=[
            msgspec.structs.replace(o, duration=o.duration or video_seconds(m.scenario))
            for o in m.scenario.outputs
        ],
        power=Power(
            mean_watts=watts.mean if watts else None, total_energy_joules=joules.mean if joules else None
        ),
    )
    made = _known(m.run, stand_in, model)
    return msgspec.structs.replace(
        made,
        basis="predicted",
        tier=p.tier,
        encode_speed_ratio=made.encode_speed_ratio
        or (p.encode_speed_ratio.mean if p.encode_speed_ratio else None),
        noise_ratio=_doubt(joules or watts, p.confidence),
    )


def _doubt(estimate: Estimate | None, confidence: float) -> float:
    """Relative standard deviation that a prediction interval stands for."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return 1.0
    quantile = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    return math.log(estimate.high / estimate.low) / 2 / quantile


def _combined(options: Sequence[Option]) -> Option:
    """One configuration over several inputs."""
    if len(options) == 1:
        return options[0]
    changed: dict[str, float | None] = {}
    for name in _GEOMETRIC:
        values = [getattr(o, name) for o in options]
        changed[name] = statistics.geometric_mean(values) if all(values) else None
    for name, worst in (
        ("vmaf", min),
        ("vmaf_p5", min),
        ("encode_speed_ratio", min),
        ("mean_power_watts", max),
    ):
        values = [getattr(o, name) for o in options]
        changed[name] = worst(values) if all(v is not None for v in values) else None
    noise = math.sqrt(sum(o.noise_ratio**2 for o in options)) / len(options)
    basis = "predicted" if any(o.basis == "predicted" for o in options) else "measured"
    return msgspec.structs.replace(
        options[-1],
        **changed,
        net_energy_joules_per_video_second=None,
        basis=basis,
        noise_ratio=noise,
        repeats=sum(o.repeats for o in options),
    )


def by_scenario(predictions: Iterable[Prediction]) -> dict[tuple[str, str], Prediction]:
    """Predictions by run and scenario."""
    return {(p.run_id, p.scenario): p for p in predictions}
