"""How many pairs of known truth each way of measuring gets right: a table.

    python benchmarks/quality_truth.py [--only WORD] [--no-peer]

Right means: within 0.05 VMAF of the raw frames' score, or no score where the frames do not belong together.
Beside `wattframe` stand the bare filter, the ``setpts`` recipe that is found everywhere, and
ffmpeg-quality-metrics from PyPI, which is installed into a temporary environment of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.errors import WattframeError
from advisor.quality import compute_quality
from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.figures import Figure, report
from benchmarks.quality_pairs import PAIRS, Pair, base, make, true_vmaf

TOLERANCE = 0.05
Way = Callable[[Pair, Path, Path, Path], float | None]


def wattframe(ffmpeg: str) -> Way:
    """This project."""

    def score(pair: Pair, reference: Path, distorted: Path, folder: Path) -> float | None:
        try:
            vmaf = compute_quality(reference, distorted, ffmpeg=ffmpeg, **pair.options).vmaf
        except WattframeError:
            return None
        return vmaf.mean if vmaf is not None else None

    return score


def graph(ffmpeg: str, prepare: str) -> Way:
    """A graph on both streams, scaled to the reference where libvmaf would refuse otherwise."""
    end = "[d][r]libvmaf=log_fmt=json:log_path=peer.json"
    bare = f"[0:v]{prepare}[d];[1:v]{prepare}[r];{end}"
    to_reference = "[d0][r0]scale=w=rw:h=rh:flags=bicubic[d]"
    scaled = f"[0:v]{prepare}[d0];[1:v]{prepare},split[r0][r];{to_reference};{end}"
    same = "format=yuv420p"
    fallback = f"[0:v]{prepare},{same}[d];[1:v]{prepare},{same}[r];{end}"
    names = {"reference_loops": "-stream_loop", "reference_start": "-ss"}

    def score(pair: Pair, reference: Path, distorted: Path, folder: Path) -> float | None:
        for text in (bare, scaled, fallback):
            log = folder / "peer.json"
            log.unlink(missing_ok=True)
            inputs = [
                part
                for name, value in pair.options.items()
                if name in names
                for part in (names[name], str(value))
            ]
            command = [ffmpeg, "-nostdin", "-v", "error", "-i", str(distorted), *inputs, "-i", str(reference)]
            # without "shortest" a reference without end never ends
            command_line = ["timeout", "30", *command, "-lavfi", text, "-f", "null", "-"]
            done = subprocess.run(command_line, cwd=folder, capture_output=True, check=False)
            if done.returncode == 0 and log.exists():
                return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
        return None

    return score


def quality_metrics(ffmpeg: str, program: Path) -> Way:
    """ffmpeg-quality-metrics with its defaults."""

    def score(pair: Pair, reference: Path, distorted: Path, folder: Path) -> float | None:
        command = [
            program,
            str(distorted),
            str(reference),
            "-m",
            "vmaf",
            "--no-summary",
            "--ffmpeg-path",
            ffmpeg,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return None
        return float(json.loads(done.stdout)["global"]["vmaf"]["vmaf"]["average"])

    return score


def peer(folder: Path) -> Path:
    """Install ffmpeg-quality-metrics into ``folder``; its program."""
    venv.create(folder, with_pip=True)
    subprocess.run(
        [folder / "bin" / "pip", "install", "--quiet", "ffmpeg-quality-metrics"],
        check=True,
        capture_output=True,
    )
    return folder / "bin" / "ffmpeg-quality-metrics"


def is_right(score: float | None, truth: float | None) -> bool:
    """Within the tolerance, or rightly nothing."""
    if truth is None or score is None:
        return truth is score
    return abs(score - truth) <= TOLERANCE


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="pairs whose name holds this word")
    parser.add_argument("--no-peer", action="store_true", help="leave ffmpeg-quality-metrics out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    ffmpeg = str(find_ffmpeg())
    with tempfile.TemporaryDirectory(prefix="quality-truth-") as name:
        root = Path(name)
        ways = {
            "wattframe": wattframe(ffmpeg),
            "bare": graph(ffmpeg, "null"),
            "setpts": graph(ffmpeg, "setpts=PTS-STARTPTS"),
        }
        if not options.no_peer:
            ways["f-q-m"] = quality_metrics(ffmpeg, peer(root / "peer"))
        base(ffmpeg, root)
        pairs = [pair for pair in PAIRS if not options.only or options.only in pair.name]
        with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
            right = _table(pairs, ways, ffmpeg, root)
    if options.json:
        what, own = f"pairs of known truth scored right, of {len(pairs)}", float(right["wattframe"])
        found = [Figure(what, own, "pairs", goal=float(len(pairs)), at_least=True)]
        found += [Figure(what, own, "pairs", way, float(n)) for way, n in right.items() if way != "wattframe"]
        return report(found, as_json=True)
    return 0 if right["wattframe"] == len(pairs) else 1


def _table(pairs: Sequence[Pair], ways: dict[str, Way], ffmpeg: str, root: Path) -> dict[str, int]:
    right = dict.fromkeys(ways, 0)
    print(f"{'pair':<42}{'truth':>9}" + "".join(f"{way:>11}" for way in ways))
    for index, pair in enumerate(pairs):
        folder = root / str(index)
        folder.mkdir()
        (folder / "base.mkv").symlink_to(root / "base.mkv")
        reference, distorted = make(pair, ffmpeg, folder)
        truth = true_vmaf(pair, ffmpeg, folder)[0] if pair.truth is not None else None
        cells = []
        for way, score in ways.items():
            found = score(pair, reference, distorted, folder)
            right[way] += is_right(found, truth)
            mark = " " if is_right(found, truth) else "x"
            cells.append(f"{'none' if found is None else format(found, '.2f'):>10}{mark}")
        wanted = "none" if truth is None else f"{truth:.2f}"
        print(f"{pair.name:<42}{wanted:>9}" + "".join(cells), flush=True)
    print(f"{f'right, of {len(pairs)}':<51}" + "".join(f"{right[way]:>10} " for way in ways))
    return right


if __name__ == "__main__":
    sys.exit(main())
