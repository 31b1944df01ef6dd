"""Folders of result files as the runner writes them, ten scenarios a file, without samples."""

from __future__ import annotations

from pathlib import Path

from advisor.results import (
    EncodeStats,
    Host,
    Output,
    Power,
    Psnr,
    Quality,
    Run,
    Scenario,
    Ssim,
    Vmaf,
    write_run,
)

__all__ = ["PER_FILE", "options_of", "put_file", "put_files"]

PER_FILE = 10
EXPORTERS = ("results", "qoe", "cost")
"""The exporters that serve such a folder."""


def _scenario(number: int, start: float) -> Scenario:
    watts, vmaf = 60.0 + number % 97 * 0.731, 90.0 + number % 9
    quality = Quality(
        aligned=True,
        frames=1800,
        comparison_height_pixels=720,
        vmaf=Vmaf(
            mean=vmaf, harmonic_mean=vmaf - 0.3, min=vmaf - 20, p1=vmaf - 9, p5=vmaf - 5, model="vmaf_v0.6.1"
        ),
        psnr_decibels=Psnr(average=38.0 + number % 7 / 3),
        ssim_ratio=Ssim(all=0.97 + number % 29 / 1000),
        xpsnr_decibels=36.0 + number % 11 / 3,
        computation_seconds=4.0 + number % 5 / 7,
        libvmaf_version="3.0.0",
    )
    output = Output(
        resolution="1280x720", frames=1800, duration=60.0, size_bytes=18_000_000 + number, quality=quality
    )
    return Scenario(
        name=f"x264 veryfast 1280x720 2500k #{number}",
        bitrate="2500k",
        resolution="1280x720",
        fps=30.0,
        encoder="libx264",
        preset="veryfast",
        duration=30.0,
        start_time=start,
        end_time=start + 30,
        outputs=[output],
        power=Power(
            source="powercap",
            tier="measured",
            mean_watts=watts,
            stdev_watts=watts / 31,
            total_energy_joules=watts * 30,
            idle_watts=41.5,
        ),
        cpu_seconds=55.5 + number % 13,
        encode=EncodeStats(speed=2.0, frames=1800, dropped_frames=0),
        vmaf_score=vmaf,
    )


def put_file(folder: Path, number: int) -> Path:
    """Write file ``number``."""
    start = 1.7e9 + number * 1000
    scenarios = tuple(_scenario(number * PER_FILE + i, start + i * 40) for i in range(PER_FILE))
    path = folder / f"test_results_{number:06d}.json"
    write_run(Run(run_id=path.stem, scenarios=scenarios, host=Host(threads=16), finished=True), path)
    return path


def put_files(folder: Path, scenarios: int) -> int:
    """Write as many files as hold the scenarios, one at the least; how many."""
    files = max(scenarios // PER_FILE, 1)
    for number in range(files):
        put_file(folder, number)
    return files


def options_of(exporter: str, folder: Path) -> list[str]:
    """Arguments with which an exporter serves all of the folder."""
    more = {
        "results": ["--models-dir", str(folder / "none")],
        "qoe": ["--cache-dir", str(folder / "cache")],
        "cost": ["--region", "eu-north-1"],
    }[exporter]
    return ["--results-dir", str(folder), "--runs", "1000000", "--max-scenarios", "1000000", *more]
