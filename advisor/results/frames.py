"""Runs as rows: plain values for tables, data frames and other programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from advisor.errors import InputError
from advisor.results.derived import (
    bitrates_kbps,
    delivered_megabits,
    delivered_pixels,
    duration_seconds,
    energy,
    idle_watts,
    machine_of,
    mean_watts,
    net_energy_joules,
    output_ladder,
    output_seconds,
    stream_count,
    vmaf_mean,
)
from advisor.results.records import Run, Scenario

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["frame_of", "rows_of"]


def rows_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """One row a scenario, all with the same columns, units in their names; None is unknown."""
    return [_row(run, scenario) for run in runs for scenario in run.scenarios]


def _row(run: Run, s: Scenario) -> dict[str, Any]:
    used, seconds, megabits = energy(s), output_seconds(s), delivered_megabits(s)
    return {
        "run_id": run.run_id,
        "scenario": s.name,
        "repeat": s.repeat,
        "type": s.type,
        "status": s.status,
        "validity": ", ".join(s.validity),
        "machine": machine_of(run),
        "start_time": s.start_time,
        "input": (s.input.name or s.input.path) if s.input else None,
        "encoder": s.encoder,
        "encoder_type": s.encoder_type,
        "preset": s.preset,
        "crf": s.crf,
        "asked_bitrate_kbps": sum(bitrates_kbps(s)) or None,
        "resolution": s.resolution,
        "fps": s.fps,
        "threads": s.threads,
        "streams": stream_count(s),
        "output_ladder": output_ladder(s),
        "duration_seconds": duration_seconds(s),
        "video_seconds": seconds,
        "encode_speed_ratio": s.encode.speed if s.encode else None,
        "dropped_frames": s.encode.dropped_frames if s.encode else None,
        "cpu_seconds": s.cpu_seconds,
        "mean_power_watts": mean_watts(s),
        "idle_watts": idle_watts(s, run),
        "energy_joules": used.joules if used else None,
        "energy_tier": used.tier if used else None,
        "net_energy_joules": net_energy_joules(s, run),
        "energy_joules_per_video_second": used.joules / seconds if used and seconds else None,
        "bitrate_kbps": megabits * 1000 / seconds if megabits and seconds else None,
        "pixels": delivered_pixels(s),
        "vmaf": vmaf_mean(s),
        "psnr_decibels": s.psnr_score,
        "ssim_ratio": s.ssim_score,
    }


def frame_of(runs: Iterable[Run]) -> DataFrame:
    """`rows_of` as a pandas DataFrame; ``start_time`` as UTC.

    Raises
    ------
    InputError
        pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as exc:
        raise InputError("needs pandas: pip install pandas", subject="to_frame") from exc
    frame = pd.DataFrame(rows_of(runs))
    if len(frame):
        frame["start_time"] = pd.to_datetime(frame["start_time"], unit="s", utc=True)
    return frame
