"""``wattframe export``: results as a table, one row a scenario."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.errors import InputError
from advisor.results import Run, Scenario
from advisor.results.derived import (
    bitrates_kbps,
    duration_seconds,
    energy,
    machine_of,
    mean_watts,
    net_energy_joules,
    output_ladder,
    output_seconds,
    stream_count,
    vmaf_mean,
)
from wattframe.commands.arguments import Results, ResultsOption, application, named_paths, read_runs
from wattframe.console import note

app = application()

COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run_id", "hardware_id", "scenario", "type", "status"), str),
    "repeat": int,
    "start_time": float,
    **dict.fromkeys(("input", "encoder", "encoder_type", "preset", "resolution", "output_ladder"), str),
    **dict.fromkeys(("bitrate_kbps", "crf", "fps"), float),
    **dict.fromkeys(("threads", "streams"), int),
    **dict.fromkeys(("duration_seconds", "video_seconds", "encode_speed_ratio", "cpu_seconds"), float),
    "power_tier": str,
    **dict.fromkeys(("mean_power_watts", "energy_joules", "net_energy_joules"), float),
    "energy_joules_per_video_second": float,
    **dict.fromkeys(("vmaf", "psnr_decibels", "ssim_ratio"), float),
    "validity": str,
}
"""Columns of the table with their types, in order. What is not known is empty (null in Parquet)."""


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
    table = [row for run in runs for row in rows(run)]
    if csv_ is not None:
        _write_csv(csv_, table)
    if parquet is not None:
        _write_parquet(parquet, table)
    for path in filter(None, (csv_, parquet)):
        note("export", f"{len(table)} rows written to {path}")
    return code


def rows(run: Run) -> Iterator[dict[str, Any]]:
    """The scenarios of a run as rows, each with every one of `COLUMNS`."""
    return (_row(run, scenario) for scenario in run.scenarios)


def _row(run: Run, s: Scenario) -> dict[str, Any]:
    used, video = energy(s), output_seconds(s)
    joules = used.joules if used else None
    return {
        "run_id": run.run_id,
        "hardware_id": machine_of(run),
        "scenario": s.name,
        "type": s.type,
        "status": s.status,
        "repeat": s.repeat,
        "start_time": s.start_time,
        "input": (s.input.name or s.input.path) if s.input else None,
        "encoder": s.encoder,
        "encoder_type": s.encoder_type,
        "preset": s.preset,
        "resolution": s.resolution,
        "output_ladder": output_ladder(s) or None,
        "bitrate_kbps": sum(bitrates_kbps(s)) or None,
        "crf": s.crf,
        "fps": s.fps,
        "threads": s.threads,
        "streams": None if s.type == "baseline" else stream_count(s),
        "duration_seconds": duration_seconds(s),
        "video_seconds": video,
        "encode_speed_ratio": s.encode.speed if s.encode else None,
        "cpu_seconds": s.cpu_seconds,
        "power_tier": used.tier if used else None,
        "mean_power_watts": mean_watts(s),
        "energy_joules": joules,
        "net_energy_joules": None if s.type == "baseline" else net_energy_joules(s, run),
        "energy_joules_per_video_second": joules / video if joules is not None and video else None,
        "vmaf": vmaf_mean(s),
        "psnr_decibels": s.psnr_score,
        "ssim_ratio": s.ssim_score,
        "validity": "; ".join(s.validity),
    }


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
