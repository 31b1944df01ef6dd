"""``wattframe report``: one self-contained HTML file of the results."""

from __future__ import annotations

import datetime
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from advisor.errors import InputError
from advisor.price_book import PriceBook, PriceOptions
from advisor.results import Run, read_run
from advisor.store import ResultStore
from wattframe.report.page import RunView, page

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Result files; without any, the newest of --results-dir.")
    ] = None,
    results_dir: Annotated[Path, typer.Option(envvar="RESULTS_DIR", help="Folder of result files.")] = Path(
        "test_results"
    ),
    runs: Annotated[
        int, typer.Option(min=1, help="How many of the newest runs, where no file is named.")
    ] = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    region: Annotated[
        str | None, typer.Option(envvar="REGION", help="Region of price and carbon, for instance eu-west-1.")
    ] = None,
    energy_cost_per_kwh: Annotated[
        float | None, typer.Option(envvar="ENERGY_COST_PER_KWH", help="Price of electricity.")
    ] = None,
    cpu_cost_per_hour: Annotated[
        float | None, typer.Option(envvar="CPU_COST_PER_HOUR", help="Price of a CPU's wall hour.")
    ] = None,
    currency: Annotated[str, typer.Option(envvar="CURRENCY", help="Three letters.")] = "USD",
    json_: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """One self-contained HTML file: summary, quality against energy, power over time, cost, advice."""
    chosen = [read_run(path) for path in results] if results else _newest(results_dir, runs)
    prices = PriceOptions(
        regions=(region,) if region else (),
        currency=currency,
        energy_cost_per_kwh=energy_cost_per_kwh,
        cpu_cost_per_hour=cpu_cost_per_hour,
    )
    model = PriceBook.load(prices).models[0]
    views = [RunView(run=run, model=model) for run in chosen]
    text = page(views, datetime.datetime.now().astimezone(), version("wattframe"))
    _write(output, text)
    if json_:
        document = {"path": str(output), "runs": [run.run_id for run in chosen], "bytes": len(text.encode())}
        sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    else:
        sys.stdout.write(f"{output}\n")


def _newest(folder: Path, count: int) -> list[Run]:
    store = ResultStore(folder)
    store.refresh()
    for broken in store.broken.values():
        sys.stderr.write(f"wattframe report: left out: {broken.reason}\n")
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
