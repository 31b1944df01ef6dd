"""``wattframe report``: one self-contained HTML file of the results."""

from __future__ import annotations

import datetime
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from advisor.cost.model import CostModel
from advisor.cost.price_inputs import PriceOptions
from advisor.errors import InputError
from advisor.results import Run
from advisor.results.folder import ResultStore
from wattframe.commands import shared
from wattframe.report.advice import Advice, advice_of
from wattframe.report.page import RunView, page

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@shared.takes_prices(*shared.EMISSIONS_OF_MAKING)
def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Result files and folders; without any, the newest of --results-dir."),
    ] = None,
    results_dir: Annotated[Path, typer.Option(envvar="RESULTS_DIR", help="Folder of result files.")] = Path(
        "test_results"
    ),
    runs: Annotated[
        int, typer.Option(min=1, help="How many of the newest runs, where no file is named.")
    ] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    min_vmaf: Annotated[
        float, typer.Option(min=0, max=100, help="Least VMAF of what the advisor may choose.")
    ] = 80.0,
    json_: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
    *,
    prices: PriceOptions,
) -> int:
    """One self-contained HTML file: summary, quality against energy, power over time, cost, advice."""
    chosen, code = shared.read_runs("report", results) if results else (_newest(results_dir, runs), 0)
    if not chosen:
        return code
    model = shared.regional_models("report", prices, one_region=True).models[0]
    views = [RunView(run=run, model=model, advice=_advice(run, model, min_vmaf)) for run in chosen]
    text = page(views, datetime.datetime.now().astimezone(), version("wattframe"))
    _write(output, text)
    if json_:
        document = {"path": str(output), "runs": [run.run_id for run in chosen], "bytes": len(text.encode())}
        shared.print_json(document)
    else:
        sys.stdout.write(f"{output}\n")
    return code


def _advice(run: Run, model: CostModel, min_vmaf: float) -> tuple[Advice, ...]:
    try:
        return advice_of(run, model, min_vmaf)
    except ModuleNotFoundError as exc:
        shared.note("report", f"no advice: needs the package {exc.name}")
        return ()


def _newest(folder: Path, count: int) -> list[Run]:
    store = ResultStore(folder)
    store.refresh()
    for broken in store.broken.values():
        shared.note("report", f"left out: {broken.reason}")
    newest = store.newest(count)
    if not newest:
        raise InputError("expected a folder with test_results_*.json, found none", subject=folder)
    return newest


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a page that is open in a browser is never half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
