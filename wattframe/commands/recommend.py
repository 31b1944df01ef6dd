"""``wattframe recommend``: which configuration to use, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from advisor.advice.bjontegaard import PairDelta, pair_deltas
from advisor.advice.configuration import Constraints, Pick, Recommendation
from advisor.advice.recommender import TranscodingRecommender
from advisor.common.exit import print_json
from advisor.cost.price_inputs import PriceOptions
from advisor.errors import InputError
from wattframe.commands.arguments import Json, Results, ResultsOption, application, named_paths, read_runs
from wattframe.commands.prices import EMISSIONS_OF_MAKING, regional_models, takes_prices
from wattframe.console import console, note, print_table

app = application()

_UNITS = {
    "energy_joules_per_video_second": "J per second of video",
    "cost_per_video_hour": "per hour of video",
    "carbon_grams_per_video_hour": "g CO2e per hour of video",
    "bitrate_kbps": "kbit/s",
    "seconds_per_video_second": "s per second of video",
}


@app.command()
@takes_prices(*EMISSIONS_OF_MAKING)
def recommend(
    paths: Results = None,
    results_option: ResultsOption = None,
    models_dir: Annotated[
        Path | None, typer.Option(help="Models to use where power was not measured.")
    ] = None,
    objective: Annotated[
        str, typer.Option(help="cost, energy, carbon, bitrate or speed; or weights: energy=1,bitrate=0.5.")
    ] = "energy",
    min_vmaf: Annotated[float | None, typer.Option(min=0, max=100, help="Minimum mean VMAF.")] = None,
    min_vmaf_p5: Annotated[
        float | None, typer.Option(min=0, max=100, help="Minimum 5th percentile of VMAF over the frames.")
    ] = None,
    max_bitrate_kbps: Annotated[
        float | None, typer.Option(min=1, max=1e6, help="Maximum bitrate, kbit/s.")
    ] = None,
    min_speed: Annotated[
        float | None, typer.Option(min=0, help="Minimum encode speed; 1 is real time.")
    ] = None,
    max_watts: Annotated[float | None, typer.Option(min=1, help="Maximum mean power, watts.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="Compare only scenarios of this input, by name.")
    ] = None,
    accept_invalid: Annotated[
        bool, typer.Option("--accept-invalid", help="Also compare scenarios that are not valid.")
    ] = False,
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Recommend a configuration, with the probability that it is the best.

    If the data do not support a choice, the reason is printed instead. Without --min-vmaf, the choice is the
    knee of the front of the objective and VMAF.
    """
    constraints = Constraints(
        min_vmaf=min_vmaf,
        min_vmaf_p5=min_vmaf_p5,
        max_bitrate_kbps=max_bitrate_kbps,
        min_speed=min_speed,
        max_watts=max_watts,
    )
    weights = _objective(objective)
    TranscodingRecommender(weights)  # a wrong objective is told before anything is read
    model = regional_models("recommend", prices, one_region=True).models[0]
    runs, code = read_runs("recommend", named_paths(paths, results_option))
    recommender = TranscodingRecommender.from_results(
        runs,
        weights,
        constraints,
        accept_invalid=accept_invalid,
        model=model,
        models_dir=models_dir,
        input_name=input_,
    )
    for line in recommender.notes:
        note("recommend", line)
    answer = recommender.recommend()
    differences = pair_deltas([o for o in recommender.options if accept_invalid or not o.validity])
    if json_:
        document: dict[str, Any] = msgspec.to_builtins(answer)
        document["encoder_differences"] = msgspec.to_builtins(differences)
        print_json(document)
    else:
        _print(answer, differences)
    return code


def _objective(text: str) -> str | dict[str, float]:
    if "=" not in text:
        return text
    parts = [part.partition("=") for part in text.split(",")]
    try:
        weights = {name.strip(): float(value) for name, _, value in parts}
    except ValueError as exc:
        problem = f"expected weights such as energy=1,bitrate=0.5, got {text!r}"
        raise InputError(problem, subject="--objective") from exc
    if len(weights) < len(parts):
        raise InputError(f"expected each objective once, got {text!r}", subject="--objective")
    return weights


def _standing(choice: Pick) -> Iterator[str]:
    """What the choice rests on: run or predicted, power measured or modelled, how surely the best."""
    yield choice.basis
    if choice.tier == "modelled":
        yield "power modelled"
    if choice.validity:
        yield f"not valid: {', '.join(choice.validity)}"
    if choice.probability_knee is not None:
        yield f"the knee with a probability of {choice.probability_knee:.0%}"
    elif choice.probability_best is not None:
        yield f"the least with a probability of {choice.probability_best:.0%}"


_SHOWN = {
    "energy_joules_per_video_second": "{:.4g} J per second of video",
    "net_energy_joules_per_video_second": "{:.4g} J above idle",
    "cost_per_video_hour": "{:.4g} {currency} per hour of video",
    "carbon_grams_per_video_hour": "{:.4g} g CO2e per hour of video",
    "bitrate_kbps": "{:.0f} kbit/s",
    "vmaf": "VMAF {:.2f}",
    "vmaf_p5": "5th percentile {:.2f}",
    "encode_speed_ratio": "{:.3g} x real time",
    "mean_power_watts": "{:.4g} W",
}
"""The values of the choice, and how each is shown."""


def _print(answer: Recommendation, differences: Sequence[PairDelta]) -> None:
    out, choice = console(), answer.choice
    if choice is None:
        out.print(f"No choice: {answer.reason}")
    else:
        out.print(f"{choice.scenario} ({', '.join(_standing(choice))})")
        out.print(f"  {answer.reason}")
        values = [(choice.values[name], shape) for name, shape in _SHOWN.items()]
        currency = choice.values["currency"]
        out.print(
            "  " + ", ".join(shape.format(v, currency=currency) for v, shape in values if v is not None)
        )
    for reason, count in answer.left_out.items():
        out.print(f"  left out {count}: {reason}")
    if answer.front:
        out.print()
        print_table(
            ("scenario", "basis", _UNITS.get(answer.unit, answer.unit), "VMAF", "least", "next\nVMAF point"),
            [
                (
                    p.scenario,
                    p.basis,
                    f"{p.objective_value:.4g}",
                    "-" if p.vmaf is None else f"{p.vmaf:.2f}",
                    "-" if p.probability_best is None else f"{p.probability_best:.0%}",
                    "-" if p.next_vmaf_point_ratio is None else f"{p.next_vmaf_point_ratio:+.1%}",
                )
                for p in answer.front
            ],
            text=("basis",),
            title=f"Front of {answer.objective} and VMAF",
        )
    if answer.knee is not None:
        out.print(f"Knee of the front: {answer.knee.scenario}")
    for run in answer.next_runs:
        out.print(f"Run next: {run.scenario} ({run.why})")
    for pair in differences:
        parts = [
            f"{label} {delta.ratio:+.1%} ({delta.ratio_low:+.0%} to {delta.ratio_high:+.0%}) over "
            f"{delta.overlap_ratio:.0%} of the quality range"
            for label, delta in (("bitrate", pair.bd_rate), ("energy", pair.bd_energy))
            if delta is not None
        ]
        out.print(f"{pair.test} against {pair.reference}: {', '.join(parts) or pair.reason}")
