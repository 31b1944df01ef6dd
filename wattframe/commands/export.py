"""``wattframe export``: results as a table, one row a scenario."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.errors import InputError
from advisor.results.frames import rows_of
from wattframe.commands.arguments import Results, ResultsOption, application, named_paths, read_runs
from wattframe.console import note

app = application()

_TEXT = {
    *("run_id", "scenario", "type", "status", "validity", "machine", "input", "encoder", "encoder_type"),
    *("preset", "resolution", "output_ladder", "energy_tier"),
}
_WHOLE = {"repeat", "threads", "streams", "dropped_frames"}


@app.command()
def export(
    paths: Results = None,
    results_option: ResultsOption = None,
    csv_: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write a Parquet file (needs pyarrow).")] = None,
) -> int:
    """Results as a table, one row a scenario: for a spreadsheet, pandas, DuckDB.

    What is not known is empty in CSV and null in Parquet. Units are in the names of the columns.
    """
    if csv_ is None and parquet is None:
        raise InputError("expected --csv FILE or --parquet FILE", subject="export")
    runs, code = read_runs("export", named_paths(paths, results_option))
    rows = rows_of(runs)
    for path, write in ((csv_, _write_csv), (parquet, _write_parquet)):
        if path is not None and rows:
            write(path, rows)
            note("export", f"{len(rows)} rows written to {path}")
    return code


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as exc:
        needs = "needs the package pyarrow: pip install 'wattframe[parquet]'"
        raise InputError(needs, subject="--parquet") from exc
    text, whole, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    kinds = [(name, text if name in _TEXT else whole if name in _WHOLE else number) for name in rows[0]]
    table = pyarrow.Table.from_pylist(list(rows), schema=pyarrow.schema(kinds))
    pyarrow.parquet.write_table(table, path)
