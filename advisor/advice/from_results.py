"""Scenarios of result files as options of the recommender: priced, grouped, predicted where not measured."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.advice.configuration import VALUES, Option
from advisor.advice.noise import Noise, is_short, learned_noise
from advisor.cost.model import CostModel
from advisor.cost.price_inputs import PriceInputs
from advisor.cost.scenario_cost import price_scenario
from advisor.errors import InputError, ModelError, NotEnoughDataError
from advisor.regression.features import video_seconds
from advisor.regression.predictions import Estimate, Prediction
from advisor.results import Power, Run, RunFolder, Scenario, derived, read_folder, read_run

_OWN_SHARE = 0.25
"""Of an estimate's uncertainty: the rest is common to all scenarios of the machine."""


class OptionSet(Struct, frozen=True):
    """The options, and what was set aside on the way."""

    options: list[Option]
    notes: list[str]
    invalid_repeats: list[tuple[str, str]]
    """Of a configuration's repeats how many were left out, and the codes of why they are not valid."""


class _Measured(Struct, frozen=True):
    """One scenario with what is predicted of it."""

    run: Run
    scenario: Scenario
    prediction: Prediction | None


def options_of(
    results: str | PathLike[str] | Run | Sequence[str | PathLike[str] | Run],
    model: CostModel | None = None,
    predictions: Mapping[tuple[str, str], Prediction] | None = None,
    *,
    models_dir: str | PathLike[str] | None = None,
    own_error_ratio: float | None = None,
    input_name: str | None = None,
    accept_invalid: bool = False,
) -> OptionSet:
    """One option per configuration, from one machine and one tier of power.

    Repeats are averaged; valid ones take precedence. With several inputs, only configurations run on all of
    them are compared, by the geometric mean of costs and energies and by the worst quality and speed. All use
    one mean price and intensity, because the hour of a run does not belong to its configuration.

    Parameters
    ----------
    results
        A result file, a folder of them, runs, or several of these.
    model
        Prices and intensities; default: those of `CostModel`.
    predictions
        Predictions of unmeasured values, by run and scenario; ``own_error_ratio`` is the standard deviation
        of errors that the configurations of one video do not share.
    models_dir
        Trained models to predict with if ``predictions`` is not given.
    input_name
        Use only scenarios of this input.
    accept_invalid
        Use repeats with validity reasons like the others.

    Raises
    ------
    InputError
        There are no results, or an argument is not a result.
    NotEnoughDataError
        The inputs have no common configuration.
    """
    notes: list[str] = []
    all_runs = derived.with_whole_inputs(derived.without_copies(list(_runs(results)), notes))
    runs = _one_machine(all_runs, notes)
    invalid: list[tuple[str, str]] = []
    if predictions is None:
        predictions, own_error_ratio = _predicted_runs(models_dir, runs, all_runs, notes)
    prices = (model or CostModel()).planned().prices
    measured = [
        _Measured(run, s, predictions.get((run.run_id, s.name))) for run in runs for s in _compared(run)
    ]
    measured = _one_tier(measured, notes)
    for verb, was_run in (("used", True), ("would use", False)):
        some = [m.scenario for m in measured if (m.scenario.duration is not None) is was_run]
        if count := sum(map(derived.lacks_gpu_energy, some)):
            notes.append(
                f"{count} scenarios {verb} a GPU whose energy was not measured: their energy is the CPU's, "
                "and NVENC's is unknown"
            )
    if input_name is not None:
        measured = [m for m in measured if input_name in _names(m.scenario)]
    complete = _run_on_all_inputs(measured, notes)
    if not accept_invalid:
        complete = [{name: _valid(repeats, invalid) for name, repeats in by.items()} for by in complete]
    noise = learned_noise([[m.scenario for m in repeats] for by in complete for repeats in by.values()])
    options = [
        _combined([_option(repeats, prices, noise, own_error_ratio) for repeats in by.values()])
        for by in complete
    ]
    return OptionSet(options, notes, list(dict.fromkeys(invalid)))


def _run_on_all_inputs(
    measured: Sequence[_Measured], notes: list[str]
) -> list[dict[object, list[_Measured]]]:
    """The repeats of each configuration that was run on every input, by input."""
    groups: dict[tuple[object, ...], dict[object, list[_Measured]]] = defaultdict(lambda: defaultdict(list))
    inputs: dict[object, list[str]] = {}
    for m in measured:
        s, video = m.scenario, derived.video_of(m.scenario)
        outputs = tuple(o.resolution for o in s.outputs)
        # where nothing says what encoded and how well, as of a ladder of CRFs, only the name tells it
        is_told = s.encoder and s.preset and (s.bitrate or s.crf is not None)
        name = None if is_told else s.name
        settings = derived.settings_of(s, but=("type", "input", "viewers"))
        groups[*settings, outputs, name][video].append(m)
        inputs[video] = _names(s)
    complete = [by_input for by_input in groups.values() if len(by_input) == len(inputs)]
    if measured and not complete:
        told = max((set(kind) for kind in zip(*inputs.values(), strict=True)), key=len)
        raise NotEnoughDataError(
            f"no configuration was run on all {len(inputs)} inputs ({', '.join(sorted(told)[:5])}): "
            "choose one with --input"
        )
    if len(complete) < len(groups):
        incomplete = len(groups) - len(complete)
        notes.append(f"{incomplete} configurations left out: not run on all {len(inputs)} inputs")
    if len(inputs) > 1:
        notes.append(
            f"over {len(inputs)} inputs: the mean of energies and costs, the worst quality and speed"
        )
    return complete


def _runs(results: object) -> Iterable[Run]:
    if isinstance(results, Run):
        yield results
    elif isinstance(results, (str, PathLike)):
        path = Path(results)
        yield from read_folder(path) if path.is_dir() else [read_run(path)]
    elif isinstance(results, (Sequence, Iterator, RunFolder)):
        for one in results:
            yield from _runs(one)
    else:
        raise InputError(f"expected a path or a Run, got {type(results).__name__}", subject="results")


def _predicted_runs(
    models_dir: str | PathLike[str] | None,
    runs: Sequence[Run],
    all_runs: Sequence[Run],
    notes: list[str],
) -> tuple[dict[tuple[str, str], Prediction], float | None]:
    """Predictions for runs that hold scenarios without energy, and ``own_error_ratio`` as in `options_of`.

    What other machines measured tells of the videos.
    """
    lacking = [run for run in runs if any(derived.energy(s) is None for s in _compared(run))]
    if models_dir is None or not lacking:
        return {}, None
    from advisor.regression import registry
    from advisor.regression.service import predict_runs

    try:
        others = [run for run in all_runs if run not in lacking]
        predictions = predict_runs(models_dir, lacking, measured=others)
        manifest = registry.latest_manifest(
            models_dir, registry.choose_hardware(models_dir, derived.machine_of(lacking[-1]))
        )
    except ModelError as exc:
        notes.append(f"nothing predicted: {exc}")
        return {}, None
    target = manifest.targets.get("energy_joules_per_video_second") or manifest.targets["mean_power_watts"]
    return {(p.run_id, p.scenario): p for p in predictions}, target.own_error_ratio


def _names(s: Scenario) -> list[str]:
    """What the input is called, ever more exactly: its name, its path, its name with size and length."""
    name, path = (s.input.name, s.input.path) if s.input else (None, None)
    return [called or "unnamed input" for called in (name or path, path or name, derived.video_in_words(s))]


def _compared(run: Run) -> list[Scenario]:
    return [s for s in run.scenarios if s.type != "baseline" and s.status == "ok"]


def _one_machine(runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """The runs of the newest run's machine; figures of different machines do not compare."""
    runs = [run for run in runs if _compared(run)]
    machines = {derived.machine_of(run) for run in runs}
    if len(machines) < 2:
        return list(runs)
    newest = derived.machine_of(max(runs, key=lambda run: run.start_time or 0.0))
    notes.append(f"the results are of {len(machines)} machines: only those of {newest} are compared")
    return [run for run in runs if derived.machine_of(run) == newest]


def _one_tier(measured: Sequence[_Measured], notes: list[str]) -> list[_Measured]:
    """Measured power before modelled; what has no power of its own stays, for its prediction."""
    tiers = {_tier(m) for m in measured if derived.mean_watts(m.scenario) is not None}
    if len(tiers) < 2:
        return list(measured)
    chosen_tier = "measured" if "measured" in tiers else "modelled"
    notes.append(f"only scenarios with {chosen_tier} power are compared")
    return [m for m in measured if derived.mean_watts(m.scenario) is None or _tier(m) == chosen_tier]


def _tier(m: _Measured) -> str | None:
    return m.scenario.power.tier if m.scenario.power else None


def _valid(repeats: list[_Measured], invalid: list[tuple[str, str]]) -> list[_Measured]:
    """The valid ones of some repeats; all where none is."""
    valid = [m for m in repeats if not derived.validity_of(m.scenario)]
    if valid and len(valid) < len(repeats):
        spoilt = [m.scenario for m in repeats if derived.validity_of(m.scenario)]
        reasons = ", ".join(dict.fromkeys(reason for s in spoilt for reason in derived.validity_of(s)))
        invalid.append((f"{spoilt[0].name}: {len(spoilt)} of {len(repeats)} repeats left out", reasons))
    return valid or repeats


def _option(
    repeats: Sequence[_Measured],
    prices: PriceInputs,
    noise: Mapping[bool, Noise],
    own_error_ratio: float | None,
) -> Option:
    """Repeats of one configuration on one input: measured where any of them was, else predicted."""
    figures = (derived.mean_watts, derived.energy)
    measured = [m for m in repeats if all(figure(m.scenario) is not None for figure in figures)]
    if measured:
        return _averaged(measured, prices, noise)
    m = repeats[-1]
    if m.prediction is None or m.prediction.mean_power_watts is None:
        return _of_scenario(m.run, m.scenario, prices)
    return _predicted(m, m.prediction, prices, own_error_ratio)


def _of_scenario(run: Run, s: Scenario, prices: PriceInputs) -> Option:
    """What one scenario says of itself."""
    cost = price_scenario(s, prices, run_id=run.run_id, host_threads=run.host.threads if run.host else None)
    used, net = derived.energy(s), derived.net_energy_joules(s, run)
    seconds, kilograms = derived.output_seconds(s), cost.co2_per_stream_hour_kg
    price, rate = cost.cost_per_stream_hour, derived.joules_per_video_second(s)
    lacks_board = derived.lacks_board_energy(s)
    if lacks_board:
        rate = net = None
    if lacks_board or "sample_gaps" in cost.missing:  # what was used in gaps is in neither
        kilograms = None
        price = price if prices.mode == "cloud" else None  # a rate of the cloud holds all electricity
    return Option(
        run_id=run.run_id,
        scenario=s.name,
        basis="measured",
        tier=used.tier if used else None,
        energy_joules_per_video_second=rate,
        net_energy_joules_per_video_second=net / seconds if net is not None and seconds else None,
        cost_per_video_hour=price,
        carbon_grams_per_video_hour=None if kilograms is None else kilograms * 1000,
        bitrate_kbps=derived.reached_kbps(s) or sum(derived.bitrates_kbps(s)) or None,
        vmaf=derived.vmaf_mean(s),
        vmaf_p5=_if_all(
            min, [o.quality.vmaf.p5 if o.quality and o.quality.vmaf else None for o in s.outputs]
        ),
        encode_speed_ratio=s.encode.speed if s.encode else None,
        mean_power_watts=derived.mean_watts(s),
        currency=cost.currency,
        family=family_of(s),
        validity=tuple(derived.validity_of(s)),
    )


def family_of(s: Scenario) -> str:
    """All that was asked for but the bitrate or the quality, in words."""
    sizes = "+".join(dict.fromkeys(o.resolution for o in s.outputs if o.resolution)) or s.resolution
    rate = None if s.fps is None else f"{s.fps:.6g} fps"
    streams = s.streams if s.streams != 1 else None
    asked = derived.asked_besides(s)
    pixel_format = asked.pop("pix_fmt", None)
    sound = {"audio": s.audio, "audio_bitrate": s.audio_bitrate}
    settings = {"threads": s.threads, "streams": streams, **asked, **sound}
    options = (f"{name}={value}" for name, value in settings.items() if value is not None)
    return " ".join(filter(None, (s.encoder, s.preset, sizes, rate, pixel_format, *options)))


def _averaged(measured: Sequence[_Measured], prices: PriceInputs, noise: Mapping[bool, Noise]) -> Option:
    """The mean of repeats, under the name of the newest."""
    options = [_of_scenario(m.run, m.scenario, prices) for m in measured]
    newest = max(range(len(options)), key=lambda i: measured[i].scenario.start_time or 0.0)
    # repeats make the same pictures, so that scoring one of them is enough
    known = {name: [v for o in options if (v := getattr(o, name)) is not None] for name in VALUES}
    means = {name: statistics.fmean(values) if values else None for name, values in known.items()}
    single = noise[is_short(measured[newest].scenario)]
    stated = max((m.scenario.power.uncertainty_ratio or 0.0) if m.scenario.power else 0.0 for m in measured)
    repeated = single.ratio / math.sqrt(len(options))
    estimated = stated * _OWN_SHARE
    return msgspec.structs.replace(
        options[newest],
        **means,
        noise_ratio=max(repeated, estimated),
        noise_degrees=single.degrees if repeated >= estimated else None,
        shared_noise_ratio=stated * math.sqrt(1 - _OWN_SHARE**2),
        repeats=len(options),
        validity=tuple(dict.fromkeys(reason for o in options for reason in o.validity)),
    )


def _if_all(combine: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    """``combine`` of values that are all known, else None."""
    numbers = [v for v in values if v is not None]
    return combine(numbers) if numbers and len(numbers) == len(values) else None


def _predicted(m: _Measured, p: Prediction, prices: PriceInputs, own_error_ratio: float | None) -> Option:
    """The same from predictions: power, energy and time stand in for what was not measured."""
    watts, joules = p.mean_power_watts, p.total_energy_joules
    seconds = joules.mean / watts.mean if joules and watts else m.scenario.duration
    stand_in = msgspec.structs.replace(
        m.scenario,
        duration=seconds,
        video_seconds=video_seconds(m.scenario),
        power=Power(
            mean_watts=watts.mean if watts else None, total_energy_joules=joules.mean if joules else None
        ),
    )
    option = _of_scenario(m.run, stand_in, prices)
    doubt = _doubt(joules or watts, p.confidence)
    own_error = doubt if own_error_ratio is None else min(own_error_ratio, doubt)
    return msgspec.structs.replace(
        option,
        basis="predicted",
        tier=p.tier,
        encode_speed_ratio=option.encode_speed_ratio
        or (p.encode_speed_ratio.mean if p.encode_speed_ratio else None),
        noise_ratio=own_error,
        shared_noise_ratio=math.sqrt(doubt**2 - own_error**2),
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
    values = {
        name: _if_all(combine, [getattr(o, name) for o in options]) for name, combine in _OVER_INPUTS.items()
    }
    degrees = [o.noise_degrees for o in options]
    return msgspec.structs.replace(
        options[-1],
        **values,
        net_energy_joules_per_video_second=None,
        basis="predicted" if any(o.basis == "predicted" for o in options) else "measured",
        noise_ratio=math.hypot(*(o.noise_ratio for o in options)) / len(options),
        noise_degrees=min((d for d in degrees if d), default=None) if all(degrees) else None,
        shared_noise_ratio=math.hypot(*(o.shared_noise_ratio for o in options)) / len(options),
        repeats=sum(o.repeats for o in options),
        validity=tuple(dict.fromkeys(reason for o in options for reason in o.validity)),
    )


def _mean_over_inputs(values: Sequence[float]) -> float:
    """Geometric, so that no input counts for more than another; plain where one is not positive."""
    return statistics.geometric_mean(values) if min(values) > 0 else statistics.fmean(values)


_OVER_INPUTS: dict[str, Callable[[list[float]], float]] = {
    "energy_joules_per_video_second": _mean_over_inputs,
    "cost_per_video_hour": _mean_over_inputs,
    "carbon_grams_per_video_hour": _mean_over_inputs,
    "bitrate_kbps": _mean_over_inputs,
    **dict.fromkeys(("vmaf", "vmaf_p5", "encode_speed_ratio"), min),
    "mean_power_watts": max,
}
"""What several inputs come to: the mean of what adds up, the worst of what must hold."""
