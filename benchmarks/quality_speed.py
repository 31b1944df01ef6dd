"""Wall time of one measurement beside the bare ffmpeg command and beside ffmpeg-quality-metrics.

    python benchmarks/quality_speed.py [--rounds N] [--seconds S] [--pairs N]

VMAF, PSNR and SSIM of the same 720p and 1080p encodes, by turns: `compute_quality`; ffmpeg alone with the
graph of one pass (what a user would type, without any check); ffmpeg-quality-metrics as it comes, from an
environment of its own; and the same told how many threads to use. Each against a lossless reference (FFV1,
whose decoding is half of the work) and against one in H.264. Then N pairs by ``wattframe quality``, one after
another and several at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.quality import compute_quality
from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.figures import Figure, report
from benchmarks.quality_pairs import SAMPLE, ffmpeg_run
from benchmarks.quality_truth import peer

THREADS = len(os.sched_getaffinity(0))
_SYNC = "shortest=1:repeatlast=0:ts_sync_mode=nearest"
_BARE = (
    "[1:v]setpts=PTS-STARTPTS,format=yuv420p,split=3[r1][r2][r3];"
    "[0:v]setpts=PTS-STARTPTS,scale={size}:flags=bicubic,format=yuv420p[d];"
    f"[d][r1]psnr=stats_file=p.log:{_SYNC}[d1];[d1][r2]ssim=stats_file=s.log:{_SYNC}[d2];"
    f"[d2][r3]libvmaf=log_fmt=json:log_path=v.json:n_threads={THREADS}:{_SYNC}"
)
_PEER = "ffmpeg-quality-metrics"
_GOALS = {"ffmpeg alone": 1.05, _PEER: 0.85}
Values = tuple[float, float, float]
"""VMAF, PSNR (average) and SSIM (all)."""


def clips(ffmpeg: str, folder: Path, lines: int, seconds: float) -> tuple[Path, Path, Path]:
    """A lossless reference, the same in H.264 of high quality, and an encode of the first."""
    reference, delivered = folder / f"ref{lines}.mkv", folder / f"ref{lines}.mp4"
    encode = folder / f"enc{lines}.mp4"
    source = ["-stream_loop", "-1", "-i", str(SAMPLE), "-t", f"{seconds:g}", "-an"]
    scale = ["-vf", f"scale=-2:{lines}:flags=lanczos"]
    ffmpeg_run(
        ffmpeg, [*source, *scale, "-c:v", "ffv1", "-level", "3", "-slices", "4", str(reference)], folder
    )
    for path, crf in ((delivered, "12"), (encode, "28")):
        ffmpeg_run(ffmpeg, ["-i", str(reference), "-c:v", "libx264", "-crf", crf, str(path)], folder)
    return reference, delivered, encode


def ours(ffmpeg: str, reference: Path, encode: Path) -> Values:
    quality = compute_quality(reference, encode, ffmpeg=ffmpeg)
    assert quality.vmaf
    assert quality.psnr_decibels
    assert quality.ssim_ratio
    return quality.vmaf.mean, quality.psnr_decibels.average, quality.ssim_ratio.all


def bare(ffmpeg: str, reference: Path, encode: Path, lines: int) -> Values:
    size = f"{lines * 16 // 9 // 2 * 2}:{lines}"
    inputs = ["-i", str(encode), "-i", str(reference)]
    graph = ["-filter_complex", _BARE.format(size=size), "-f", "null", "-"]
    done = subprocess.run(
        [ffmpeg, "-nostdin", "-hide_banner", "-nostats", *inputs, *graph],
        cwd=reference.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [re.search(pattern, done.stderr) for pattern in (r"average:([0-9.]+)", r"All:([0-9.]+)")]
    vmaf = json.loads((reference.parent / "v.json").read_text())["pooled_metrics"]["vmaf"]["mean"]
    psnr, ssim = (float(match[1]) if match else float("nan") for match in found)
    return float(vmaf), psnr, ssim


def metrics(ffmpeg: str, program: Path, reference: Path, encode: Path, *options: str) -> Values:
    command = [program, str(encode), str(reference), "-m", "vmaf", "psnr", "ssim", "--ffmpeg-path", ffmpeg]
    command += options
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=reference.parent)
    found = json.loads(done.stdout)["global"]
    return (
        float(found["vmaf"]["vmaf"]["average"]),
        float(found["psnr"]["psnr_avg"]["average"]),
        float(found["ssim"]["ssim_avg"]["average"]),
    )


def timed(ways: dict[str, Callable[[], Values]], rounds: int) -> dict[str, tuple[float, Values]]:
    """Median seconds and values of each way; by turns, so that a busy moment meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    values: dict[str, Values] = {}
    for turn in range(rounds):
        names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for name in names:
            start = time.perf_counter()
            values[name] = ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(seconds[name]), values[name]) for name in ways}


def several(ffmpeg: str, folder: Path, count: int) -> Figure:
    """``count`` encodes by one command, one after another and as many at a time as there are CPUs."""
    reference, *_ = clips(ffmpeg, folder, 360, 5)
    encodes = [folder / f"e{n}.mp4" for n in range(count)]
    for n, encode in enumerate(encodes):
        arguments = ["-i", str(reference), "-c:v", "libx264", "-preset", "veryfast", "-crf", str(20 + n)]
        ffmpeg_run(ffmpeg, [*arguments, str(encode)], folder)
    seconds = {}
    for jobs in (1, THREADS):
        command = [sys.executable, "-m", "wattframe", "quality", "--json", "--jobs", str(jobs)]
        start = time.perf_counter()
        subprocess.run([*command, str(reference), *map(str, encodes)], check=True, capture_output=True)
        seconds[jobs] = time.perf_counter() - start
    one, many = seconds[1], seconds[THREADS]
    print(f"{count} pairs 360p: one by one {one:.2f} s, {THREADS} at a time {many:.2f} s ({many / one:.2f})")
    return Figure(f"{count} pairs at 360p, {THREADS} at a time", many, "s", "one by one", one)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        found = _measured(options)
    return report(found, as_json=True) if options.json else 0


def _measured(options: argparse.Namespace) -> list[Figure]:
    ffmpeg, found = str(find_ffmpeg()), []
    with tempfile.TemporaryDirectory(prefix="quality-speed-") as name:
        folder = Path(name)
        program = None if options.no_peer else peer(folder / "peer")
        for lines in (720, 1080):
            lossless, delivered, encode = clips(ffmpeg, folder, lines, options.seconds)
            for kind, reference in (("FFV1", lossless), ("H.264", delivered)):
                measured = timed(_ways(ffmpeg, program, reference, encode, lines), options.rounds)
                what = f"VMAF, PSNR and SSIM of {options.seconds:g} s, reference in {kind}"
                found += _figures(measured, what, lines)
        if options.pairs:
            found.append(several(ffmpeg, folder, options.pairs))
    return found


def _ways(
    ffmpeg: str, program: Path | None, reference: Path, encode: Path, lines: int
) -> dict[str, Callable[[], Values]]:
    ways: dict[str, Callable[[], Values]] = {
        "wattframe": lambda: ours(ffmpeg, reference, encode),
        "ffmpeg alone": lambda: bare(ffmpeg, reference, encode, lines),
    }
    if program is None:
        return ways
    threads = ("--vmaf-threads", str(THREADS))
    return ways | {
        _PEER: lambda: metrics(ffmpeg, program, reference, encode),
        f"{_PEER}, threads told": lambda: metrics(ffmpeg, program, reference, encode, *threads),
    }


def _figures(measured: dict[str, tuple[float, Values]], what: str, lines: int) -> list[Figure]:
    own = measured["wattframe"][0]
    print(f"{what}, {lines} lines, {THREADS} CPUs")
    for way, (seconds, (vmaf, psnr, ssim)) in measured.items():
        figures = f"VMAF {vmaf:.4f}  PSNR {psnr:.4f} dB  SSIM {ssim:.6f}"
        print(f"  {way:<38}{seconds:7.2f} s  wattframe/this {own / seconds:.3f}   {figures}", flush=True)
    return [
        Figure(what, own, "s", way, took, _GOALS.get(way), size=lines, of="lines")
        for way, (took, _) in measured.items()
        if way != "wattframe"
    ]


if __name__ == "__main__":
    sys.exit(main())
