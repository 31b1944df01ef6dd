"""``wattframe export``: results as a table, one row a scenario."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.errors import InputError
from advisor.results.frames import COLUMNS, rows_of
from wattframe.commands.arguments import (
    Results,
    ResultsOption,
    application,
    named_paths,
    read_runs,
    result_files,
)
from wattframe.console import note

app = application()

_ROWS_OF_A_GROUP = 10_000
_Write = Callable[[list[dict[str, Any]]], Any]


@app.command()
def export(
    paths: Results = None,
    results_option: ResultsOption = None,
    csv_: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write a Parquet file (needs pyarrow).")] = None,
) -> int:
    """Write results as a table, one row per scenario, for a spreadsheet, pandas or DuckDB."""
    if csv_ is None and parquet is None:
        raise InputError("expected --csv FILE or --parquet FILE")
    codes: list[int] = []
    named = named_paths(paths, results_option)
    for target in filter(None, (csv_, parquet)):
        if target.exists() and any(os.access(f, os.F_OK) and target.samefile(f) for f in result_files(named)):
            raise InputError("expected another file than the results themselves", subject=target)
    tables = _tables(named, codes)
    if (first := next(tables, None)) is None:
        return max(codes) if codes else read_runs("export", named)[1]
    count = 0
    with contextlib.ExitStack() as files:
        writers = [
            files.enter_context(writer(path))
            for path, writer in ((csv_, _csv_writer), (parquet, _parquet_writer))
            if path is not None
        ]
        for table in itertools.chain([first], tables):
            count += len(table)
            for write in writers:
                write(table)
    for path in filter(None, (csv_, parquet)):
        note("export", f"{count} row{'s' * (count != 1)} written to {path}")
    return max(codes)


def _tables(paths: Sequence[Path], codes: list[int]) -> Iterator[list[dict[str, Any]]]:
    """The rows of one file after another, so that a million scenarios take no more memory than a file's.

    ``codes`` gets the exit code of each file.
    """
    for path in result_files(paths):
        try:
            runs, code = read_runs("export", [path])
        except InputError as exc:
            note("export", str(exc))
            codes.append(exc.exit_code)
            continue
        codes.append(code)
        yield rows_of(runs)


@contextlib.contextmanager
def _csv_writer(path: Path) -> Iterator[_Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        yield writer.writerows


@contextlib.contextmanager
def _parquet_writer(path: Path) -> Iterator[_Write]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as exc:
        raise InputError(
            "needs the package pyarrow: pip install '.[parquet]' in the checkout", subject="--parquet"
        ) from exc
    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    waiting: list[dict[str, Any]] = []
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema=schema))
            waiting.clear()

        def write(table: list[dict[str, Any]]) -> None:
            waiting.extend(table)
            if len(waiting) >= _ROWS_OF_A_GROUP:
                flush()

        yield write
        flush()
