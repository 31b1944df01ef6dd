"""``wattframe export``: results as a table, one row a scenario."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.errors import InputError
from advisor.results.frames import COLUMNS, rows_of
from wattframe.commands.arguments import Results, ResultsOption, application, named_paths, read_runs
from wattframe.console import note

app = application()


@app.command()
def export(
    paths: Results = None,
    results_option: ResultsOption = None,
    csv_: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write a Parquet file (needs pyarrow).")] = None,
) -> int:
    """Results as a table, one row a scenario: for a spreadsheet, pandas, DuckDB."""
    if csv_ is None and parquet is None:
        raise InputError("expected --csv FILE or --parquet FILE", subject="export")
    runs, code = read_runs("export", named_paths(paths, results_option))
    table = rows_of(runs)
    if csv_ is not None:
        _write_csv(csv_, table)
    if parquet is not None:
        _write_parquet(parquet, table)
    for path in filter(None, (csv_, parquet)):
        note("export", f"{len(table)} rows written to {path}")
    return code


def _write_csv(path: Path, table: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        writer.writerows(table)


def _write_parquet(path: Path, table: Sequence[dict[str, Any]]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as exc:
        raise InputError(
            "needs the package pyarrow: pip install 'wattframe[parquet]'", subject="--parquet"
        ) from exc
    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(table), schema=schema), path)
