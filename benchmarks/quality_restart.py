"""The quality exporter restarted in the middle of its work: nothing twice, nothing missing.

    python benchmarks/quality_restart.py [--pairs N]

A result file with N encodes is served by the real exporter. When a third is scored the exporter gets SIGKILL,
when two thirds are, SIGTERM; a third run finishes. What each run computed is counted by its records and its
metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.figures import Figure, report
from benchmarks.quality_pairs import SAMPLE, ffmpeg_run
from tests.support.exporter_client import Served, served

RUN = "test_results_20260101_000000"


def prepare(folder: Path, count: int) -> None:
    """``count`` encodes of one clip and the result file that lists them."""
    ffmpeg = str(find_ffmpeg())
    clip = ["-i", str(SAMPLE), "-an", "-vf", "scale=320:180", "-frames:v", "50"]
    ffmpeg_run(ffmpeg, [*clip, "-c:v", "ffv1", "clip.mkv"], folder)
    scenarios = []
    for n in range(count):
        ffmpeg_run(ffmpeg, ["-i", "clip.mkv", "-c:v", "libx264", "-crf", str(15 + n), f"e{n}.mp4"], folder)
        output = {"resolution": "320x180", "frames": 50, "path": f"e{n}.mp4"}
        scenarios.append({"name": f"crf {15 + n}", "input": {"path": "clip.mkv"}, "outputs": [output]})
    document = {"schema_version": 1, "scenarios": scenarios}
    (folder / f"{RUN}.json").write_text(json.dumps(document))


def page(exporter: Served) -> dict[str, float]:
    with urllib.request.urlopen(f"{exporter.url}/metrics", timeout=10) as answer:  # noqa: S310 -- loopback
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def scored(found: dict[str, float]) -> int:
    """Encodes with a VMAF on the page."""
    return sum(series.startswith("qoe_vmaf_score") for series in found)


def until(exporter: Served, count: int) -> dict[str, float]:
    while True:
        found = page(exporter)
        if scored(found) >= count:
            return found
        time.sleep(0.2)


def computed(found: dict[str, float], outcome: str = "scored") -> int:
    return int(found[f'qoe_computations_total{{outcome="{outcome}"}}'])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        twice, missing = _restarted(options.pairs)
    if options.json:
        what = f"of {options.pairs} pairs over two restarts"
        found = [
            Figure(f"computed twice, {what}", twice, "pairs", goal=0),
            Figure(f"missing, {what}", missing, "pairs", goal=0),
        ]
        return report(found, as_json=True)
    return 1 if twice or missing else 0


def _restarted(count: int) -> tuple[int, int]:
    """Pairs that were computed twice, and pairs without a score."""
    with tempfile.TemporaryDirectory(prefix="quality-restart-") as name:
        folder = Path(name)
        prepare(folder, count)
        cache = folder / "cache"
        arguments = ["--results-dir", name, "--cache-dir", str(cache), "--workers", "2"]
        total = 0
        for turn, (goal, end) in enumerate(
            [(count // 3, "kill"), (2 * count // 3, "terminate"), (count, None)]
        ):
            before = len(list(cache.glob("*.json")))
            with served("exporters.qoe", *arguments) as exporter:
                found = until(exporter, goal)
                if end is not None:
                    getattr(exporter.process, end)()
                    exporter.process.wait()
            records = len(list(cache.glob("*.json")))
            total += records - before
            until_when = f"SIG{end.upper()[:4]}" if end else "the end"
            own = f"its metrics: {computed(found)} computed, {computed(found, 'cached')} from the cache"
            print(f"start {turn + 1}: {before} known, {records - before} computed until {until_when} ({own})")
        missing = count - scored(found)
        twice = computed(found) + before - count
        print(f"{count} pairs: {total} computed in three runs, {twice} twice, {missing} missing")
        left = subprocess.run(
            ["pgrep", "-f", re.escape(name)], capture_output=True, text=True, check=False
        ).stdout
        print(f"processes left behind: {len(left.split())}")
    return max(twice, total - count), missing


if __name__ == "__main__":
    sys.exit(main())
