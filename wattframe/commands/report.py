"""``wattframe report``: one self-contained HTML file of the results."""

from __future__ import annotations

import contextlib
import datetime
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from advisor.common.atomic import write_atomically
from advisor.common.exit import print_json
from advisor.cost.price_inputs import PriceOptions
from advisor.errors import InputError
from runner.result_files import outputs_folder
from wattframe.commands.arguments import Json, Results, ResultsOption, application, named_paths, read_runs
from wattframe.commands.prices import EMISSIONS_OF_MAKING, regional_models, takes_prices
from wattframe.report.choice import Tuned, choice_of
from wattframe.report.page import RunView, page
from wattframe.tuning import NOTEBOOK

app = application()


@app.command()
@takes_prices(*EMISSIONS_OF_MAKING)
def report(
    paths: Results = None,
    results_option: ResultsOption = None,
    runs: Annotated[int, typer.Option(min=1, help="Number of newest runs to show if no file is named.")] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="Output file.")] = Path("report.html"),
    min_vmaf: Annotated[float, typer.Option(min=0, max=100, help="Minimum VMAF of the choice.")] = 80.0,
    baseline: Annotated[
        str | None, typer.Option(help="Scenario to compare with (default: libx264 medium).")
    ] = None,
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Write one self-contained HTML report: recommendation, saving, charts, cost, every scenario.

    Given a folder, it shows the newest run. Given two files, it also compares them.
    """
    chosen, code = read_runs("report", named_paths(paths, results_option))
    if not paths or all(path.is_dir() for path in paths):
        chosen = sorted(chosen, key=lambda run: run.start_time or 0.0)[-runs:]
    model = regional_models("report", prices, one_region=True).models[0]
    folders = {path if path.is_dir() else path.parent for path in named_paths(paths, results_option)}
    views = [
        RunView(
            run=run,
            model=model,
            answer=choice_of(run, model, min_vmaf, baseline, _tuned(run.run_id, folders)),
        )
        for run in chosen
    ]
    data = page(views, datetime.datetime.now().astimezone(), version("wattframe")).encode()
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, data)
    if json_:
        print_json({"path": str(output), "runs": [run.run_id for run in chosen], "bytes": len(data)})
    else:
        sys.stdout.write(f"{output}\n")
    return code


def _tuned(run_id: str, folders: set[Path]) -> Tuned | None:
    """What `wattframe tune` chose, where it made the run, of one video."""
    for folder in folders:
        results = folder / f"{run_id}.json"
        if (outputs_folder(results) / NOTEBOOK).is_file():
            from wattframe.tuning.encodes import Notebook  # brings numpy

            with contextlib.suppress(InputError):
                choices = Notebook.read(results).choices
                return choices[0] if len(choices) == 1 else None
    return None
