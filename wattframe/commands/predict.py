"""``wattframe predict``: power and energy of scenarios that were or were not run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from advisor.common.exit import print_json
from advisor.regression.predictions import Estimate, Prediction
from advisor.regression.service import predict_runs
from wattframe.commands.arguments import DEFAULT_RESULTS, Json, ModelsDir, Results, application, read_runs
from wattframe.console import note, print_table
from wattframe.planned import planned_run

app = application()


@app.command()
def predict(
    paths: Results = None,
    # not from RESULTS_DIR: with --matrix nothing else is predicted unless it is named
    results_option: Annotated[
        list[Path] | None, typer.Option("--results", "--results-dir", help="Same as PATH.", readable=False)
    ] = None,
    models_dir: ModelsDir = Path("models"),
    matrix: Annotated[
        Path | None, typer.Option(help="Matrix or batch file (as for run_tests.py) of planned scenarios.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Result file of more runs: probes of the video, or calibration runs."),
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="The video, if the matrix names none.")
    ] = None,
    media_duration: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds of video to encode (default: the input's length).")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals, 0 to 1.")] = 0.9,
    hardware_id: Annotated[
        str | None, typer.Option(help="Machine of the models, and of a matrix's encodes (default: this).")
    ] = None,
    json_: Json = False,
) -> int:
    """Predict power and energy of scenarios, with prediction intervals.

    Scenarios with measured power correct the predictions for others of the same video or machine. A machine
    or encoder that was never measured gets a note and no prediction.
    """
    planned = None
    result_paths = list(paths or results_option or ([DEFAULT_RESULTS] if matrix is None else ()))
    runs, code = read_runs("predict", result_paths) if result_paths else ([], 0)
    measured_runs, code_of_measured = read_runs("predict", measured) if measured else ([], 0)
    if matrix is not None:
        planned = planned_run(
            matrix, input_path=input_, hardware_id=hardware_id, media_seconds=media_duration
        )
        runs.append(planned.run)
    predictions = predict_runs(
        models_dir,
        runs,
        measured=measured_runs,
        hardware_id=hardware_id if matrix is None else None,
        confidence=confidence,
    )
    for run in (*runs, *measured_runs):
        for s in run.scenarios:
            if s.validity and s.type != "baseline" and s.power is not None:
                reasons = ", ".join(s.validity)
                note(
                    "predict",
                    f"{run.run_id}: {s.name} is not used for corrections, because it is not valid: {reasons}",
                )
    if planned is not None:
        predictions = [_by_the_clock(p, planned.run.run_id, planned.wall_seconds) for p in predictions]
    if json_:
        print_json(predictions)
    else:
        _table(predictions)
    return code or code_of_measured


def _by_the_clock(p: Prediction, run_id: str, wall_seconds: dict[str, float]) -> Prediction:
    """Energy of a scenario that ends by the clock: its power over that time."""
    seconds = wall_seconds.get(p.scenario) if p.run_id == run_id else None
    if seconds is None or p.mean_power_watts is None or p.total_energy_joules is not None:
        return p
    return msgspec.structs.replace(p, total_energy_joules=p.mean_power_watts.times(seconds))


def _table(predictions: Sequence[Prediction]) -> None:
    level = f"{predictions[0].confidence:.0%}" if predictions else ""
    print_table(
        ("scenario", "mean W", "J", "speed\nx real time", "tier", "notes"),
        [
            (
                p.scenario,
                _shown(p.mean_power_watts),
                _shown(p.total_energy_joules),
                _shown(p.encode_speed_ratio),
                p.tier or "unknown",
                "; ".join(p.notes),
            )
            for p in predictions
        ],
        text=("tier", "notes"),
        caption=f"In brackets: prediction interval of {level}.",
    )


def _shown(e: Estimate | None) -> str:
    if e is None:
        return "-"
    if e.low is None or e.high is None:
        return f"{e.mean:.4g}\n(no interval)"
    return f"{e.mean:.4g}\n({e.low:.4g} to {e.high:.4g})"
