"""Encodes of one reference in one pass beside one pass each: wall time, CPU time and memory as ratios.

python benchmarks/quality_ladder.py [--seconds 4] [--lines 720 1080] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.figures import Figure, report
from benchmarks.quality_pairs import SAMPLE, ffmpeg_run

_CODE = """
import sys
from advisor.quality.measure import measure, measure_all
way, reference, *outputs = sys.argv[1:]
if way == "together":
    found = measure_all(reference, outputs)
else:
    found = [measure(reference, output) for output in outputs]
print([round(m.quality.vmaf.mean, 6) for m in found])
"""
_RUNGS = (24, 28, 32, 36, 40, 44)


def clips(ffmpeg: str, folder: Path, lines: int, seconds: float) -> tuple[Path, Path, list[Path]]:
    """A lossless reference, one in H.264, and six encodes."""
    scale = f"scale=-2:{lines}:flags=bicubic"
    source = ["-stream_loop", "-1", "-i", str(SAMPLE), "-t", str(seconds), "-an", "-vf", scale]
    ffmpeg_run(ffmpeg, [*source, "-c:v", "ffv1", "-slices", "4", "r.mkv"], folder)
    ffmpeg_run(ffmpeg, ["-i", "r.mkv", "-c:v", "libx264", "-preset", "fast", "-crf", "12", "r.mp4"], folder)
    outputs = [folder / f"{crf}.mp4" for crf in _RUNGS]
    for crf, output in zip(_RUNGS, outputs, strict=True):
        coder = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf)]
        ffmpeg_run(ffmpeg, ["-i", "r.mkv", *coder, output.name], folder)
    return folder / "r.mkv", folder / "r.mp4", outputs


def run(way: str, reference: Path, outputs: Sequence[Path]) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak MiB of one ffmpeg, and the scores, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    code = _CODE + "import resource; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    command = [sys.executable, "-c", code, way, str(reference), *map(str, outputs)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    wall = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    scores, peak = done.stdout.splitlines()
    return wall, cpu, float(peak), scores


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--lines", type=int, nargs="+", default=[720, 1080])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    ffmpeg, figures = str(find_ffmpeg()), []
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        for lines in options.lines:
            with tempfile.TemporaryDirectory(prefix="quality-ladder-") as name:
                lossless, delivered, outputs = clips(ffmpeg, Path(name), lines, options.seconds)
                for kind, reference in (("FFV1", lossless), ("H.264", delivered)):
                    for rungs in (3, 6):
                        figures += _figures(kind, lines, reference, outputs[:rungs])
    return report(figures, as_json=True) if options.json else 0


def _figures(kind: str, lines: int, reference: Path, outputs: Sequence[Path]) -> list[Figure]:
    apart, together = (run(way, reference, outputs) for way in ("apart", "together"))
    if apart[3] != together[3]:
        raise RuntimeError(f"the scores differ: {apart[3]} and {together[3]}")
    what = f"{len(outputs)} encodes of one reference in {kind}, together / one each"
    ratios = [ours / theirs for ours, theirs in zip(together[:3], apart[:3], strict=True)]
    print(
        f"{what}, {lines} lines: wall {ratios[0]:.2f}, CPU {ratios[1]:.2f}, memory {ratios[2]:.2f} "
        f"({together[2]:.0f} MiB)",
        flush=True,
    )
    return [
        Figure(f"{what}: {name}", ours, unit, "one each", theirs, size=lines, of="lines")
        for name, unit, ours, theirs in zip(
            ("wall", "CPU", "memory"), ("s", "s", "MiB"), together[:3], apart[:3], strict=True
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
