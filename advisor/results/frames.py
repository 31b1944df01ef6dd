"""Runs as rows: plain values for tables, data frames and other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from advisor.errors import InputError
from advisor.results import derived
from advisor.results.records import Run, Scenario, stream_count

if TYPE_CHECKING:
    from pandas import DataFrame

_FIGURES: dict[str, tuple[type, Callable[[Run, Scenario], Any]]] = {
    "run_id": (str, lambda run, s: run.run_id),
    "hardware_id": (str, lambda run, s: derived.machine_of(run)),
    "scenario": (str, lambda run, s: s.name),
    "type": (str, lambda run, s: s.type),
    "status": (str, lambda run, s: s.status),
    "repeat": (int, lambda run, s: s.repeat),
    "start_time": (float, lambda run, s: s.start_time),
    "input": (str, lambda run, s: (s.input.name or s.input.path) if s.input else None),
    "encoder": (str, lambda run, s: s.encoder),
    "encoder_type": (str, lambda run, s: s.encoder_type),
    "preset": (str, lambda run, s: s.preset),
    "resolution": (str, lambda run, s: s.resolution),
    "output_ladder": (str, lambda run, s: derived.output_ladder(s) or None),
    "asked_bitrate_kbps": (float, lambda run, s: sum(derived.bitrates_kbps(s)) or None),
    "reached_bitrate_kbps": (float, lambda run, s: derived.reached_kbps(s)),
    "crf": (float, lambda run, s: s.crf),
    "fps": (float, lambda run, s: s.fps),
    "threads": (int, lambda run, s: s.threads),
    "streams": (int, lambda run, s: None if s.type == "baseline" else stream_count(s)),
    "duration_seconds": (float, lambda run, s: derived.duration_seconds(s)),
    "video_seconds": (float, lambda run, s: derived.output_seconds(s)),
    "encode_speed_ratio": (float, lambda run, s: s.encode.speed if s.encode else None),
    "cpu_seconds": (float, lambda run, s: s.cpu_seconds),
    "power_tier": (str, lambda run, s: used.tier if (used := derived.energy(s)) else None),
    "mean_power_watts": (float, lambda run, s: derived.mean_watts(s)),
    "energy_joules": (float, lambda run, s: derived.window_energy_joules(s)),
    "net_energy_joules": (
        float,
        lambda run, s: None if s.type == "baseline" else derived.net_energy_joules(s, run),
    ),
    "energy_joules_per_video_second": (float, lambda run, s: derived.joules_per_video_second(s)),
    "vmaf": (float, lambda run, s: derived.vmaf_mean(s)),
    "psnr_decibels": (float, lambda run, s: s.psnr_score),
    "ssim_ratio": (float, lambda run, s: s.ssim_score),
    "validity": (str, lambda run, s: "; ".join(s.validity)),
    "pixel_format": (str, lambda run, s: s.pixel_format),
    "filters": (str, lambda run, s: s.filters),
    "encoder_options": (str, lambda run, s: "; ".join(map("=".join, s.encoder_options.items())) or None),
    "passes": (int, lambda run, s: s.passes),
    "hardware_decoding": (str, lambda run, s: s.hardware_decoding),
    "realtime": (int, lambda run, s: None if (live := derived.is_realtime(s)) is None else int(live)),
    "audio": (str, lambda run, s: s.audio),
    "audio_bitrate": (str, lambda run, s: s.audio_bitrate),
}
COLUMNS = {name: kind for name, (kind, _) in _FIGURES.items()}
"""Columns of the table with their types, in order. What is not known is empty (null in Parquet)."""


def rows_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """One row a scenario, each with every one of `COLUMNS`; None is unknown."""
    return [
        {name: figure(run, scenario) for name, (_, figure) in _FIGURES.items()}
        for run in runs
        for scenario in run.scenarios
    ]


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
