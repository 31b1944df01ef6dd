"""Runs as rows: plain values for tables, data frames and other programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from advisor.errors import InputError
from advisor.results import derived
from advisor.results.records import Run, Scenario

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["COLUMNS", "frame_of", "rows_of"]

COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run_id", "hardware_id", "scenario", "type", "status"), str),
    "repeat": int,
    "start_time": float,
    **dict.fromkeys(("input", "encoder", "encoder_type", "preset", "resolution", "output_ladder"), str),
    **dict.fromkeys(("asked_bitrate_kbps", "reached_bitrate_kbps", "crf", "fps"), float),
    **dict.fromkeys(("threads", "streams"), int),
    **dict.fromkeys(("duration_seconds", "video_seconds", "encode_speed_ratio", "cpu_seconds"), float),
    "power_tier": str,
    **dict.fromkeys(("mean_power_watts", "energy_joules", "net_energy_joules"), float),
    "energy_joules_per_video_second": float,
    **dict.fromkeys(("vmaf", "psnr_decibels", "ssim_ratio"), float),
    "validity": str,
}
"""Columns of the table with their types, in order. What is not known is empty (null in Parquet)."""


def rows_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """One row a scenario, each with every one of `COLUMNS`; None is unknown."""
    return [_row(run, scenario) for run in runs for scenario in run.scenarios]


def _row(run: Run, s: Scenario) -> dict[str, Any]:
    used = derived.energy(s)
    return {
        "run_id": run.run_id,
        "hardware_id": derived.machine_of(run),
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
        "output_ladder": derived.output_ladder(s) or None,
        "asked_bitrate_kbps": sum(derived.bitrates_kbps(s)) or None,
        "reached_bitrate_kbps": derived.reached_kbps(s),
        "crf": s.crf,
        "fps": s.fps,
        "threads": s.threads,
        "streams": None if s.type == "baseline" else derived.stream_count(s),
        "duration_seconds": derived.duration_seconds(s),
        "video_seconds": derived.output_seconds(s),
        "encode_speed_ratio": s.encode.speed if s.encode else None,
        "cpu_seconds": s.cpu_seconds,
        "power_tier": used.tier if used else None,
        "mean_power_watts": derived.mean_watts(s),
        "energy_joules": used.joules if used else None,
        "net_energy_joules": None if s.type == "baseline" else derived.net_energy_joules(s, run),
        "energy_joules_per_video_second": derived.joules_per_video_second(s),
        "vmaf": derived.vmaf_mean(s),
        "psnr_decibels": s.psnr_score,
        "ssim_ratio": s.ssim_score,
        "validity": "; ".join(s.validity),
    }


def frame_of(runs: Iterable[Run]) -> DataFrame:
    """`rows_of` as a pandas DataFrame; ``start_time`` as a moment in UTC, what is not known as NaN.

    Raises
    ------
    InputError
        pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as exc:
        raise InputError("needs the package pandas: pip install pandas", subject="to_frame") from exc
    frame = pd.DataFrame(rows_of(runs), columns=list(COLUMNS))
    numbers = [name for name, kind in COLUMNS.items() if kind is not str]
    frame[numbers] = frame[numbers].astype(float)
    frame["start_time"] = pd.to_datetime(frame["start_time"], unit="s", utc=True)
    return frame
