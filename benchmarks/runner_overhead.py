"""What the runner itself costs, and whether its CPU seconds are those of GNU time.

Every encode of the runner goes through ``/usr/bin/time -v``, so that both account for one and the same
process; then the very command that the result file records runs once more under GNU time alone. The runner's
own CPU is everything that its process and its children used, less the encodes: interpreter, imports, ffmpeg's
list of capabilities, sampling, progress, writing the file.

    python benchmarks/runner_overhead.py [--rounds 3] [--duration 30]
    python benchmarks/runner_overhead.py --matrix scenarios/repeatability.yaml [--rounds 3] [--duration 20]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from advisor.common.statistics import Summary
from advisor.results import Scenario, read_run
from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.figures import Figure, report
from runner.display import rows as rows_of

ROOT = Path(__file__).resolve().parent.parent
TIME = "/usr/bin/time"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds, or repeats of the matrix")
    parser.add_argument("--duration", type=float, default=30.0, help="seconds of video to encode")
    parser.add_argument("--matrix", type=Path, help="run this batch file instead: spread and own CPU share")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told = sys.stderr if options.json else sys.stdout
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(told):
        if options.matrix is not None:
            found = _matrix(options.matrix.absolute(), Path(name), options.rounds, options.duration)
        else:
            found = _side_by_side(Path(name), options.rounds, options.duration)
    return report(found, as_json=options.json)


def _side_by_side(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    rows = []
    for number in range(1, rounds + 1):
        place = folder / str(number)
        place.mkdir()
        scenario, own, same = _through_the_runner(place, seconds)
        alone = _gnu_time(place, scenario.command or [])
        rows.append((scenario.cpu_seconds or 0.0, same, alone, own))
        said = f"round {number}: runner {scenario.cpu_seconds:.3f} s, GNU time {same:.2f} s (same process)"
        print(f"{said}, {alone:.2f} s (command alone), runner's own {own:.3f} s")
    said, same, alone, own = (statistics.mean(column) for column in zip(*rows, strict=True))
    return [
        Figure("CPU seconds in the result file", said, "s", "/usr/bin/time -v, same process", same),
        Figure("CPU seconds in the result file", said, "s", "/usr/bin/time -v, command alone", alone),
        Figure("CPU of the runner itself", own, "s", "the encode", said, goal=0.01),
    ]


def _matrix(file: Path, folder: Path, repeats: int, seconds: float) -> list[Figure]:
    """Every scenario's spread over its repeats, and the runner's own CPU against that of the encodes."""
    order = ["--repeat", str(repeats), "--order", "random", "--media-duration", str(seconds)]
    used = _run(["batch", str(file), *order, "--output-dir", str(folder)])
    (path,) = folder.glob("test_results_*.json")
    run = read_run(path)
    print(f"{'scenario':44} {'n':>2} {'energy, CV':>10} {'CPU s, CV':>10} {'speed, CV':>10}")
    for row in rows_of(run):
        spread = [_variation(row.measures[key]) for key in ("energy_joules", "cpu_seconds", "speed")]
        print(f"{row.scenario:44} {row.finished:>2} {spread[0]:>10} {spread[1]:>10} {spread[2]:>10}")
    encodes = sum(s.cpu_seconds or 0.0 for s in run.scenarios)
    valid = sum(not s.validity for s in run.scenarios)
    print(f"{valid} of {len(run.scenarios)} scenarios valid")
    return [
        Figure("CPU of the runner itself, matrix", used - encodes, "s", "the encodes", encodes, goal=0.01)
    ]


def _variation(summary: Summary | None) -> str:
    if summary is None or summary.stdev is None:
        return ""
    return f"{summary.stdev / summary.mean:.2%}"


def _run(arguments: list[str]) -> float:
    """Call the runner; gives the CPU seconds of its process and of all that it waited for."""
    process = subprocess.Popen(
        [sys.executable, "run_tests.py", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the runner ended with code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _through_the_runner(folder: Path, seconds: float) -> tuple[Scenario, float, float]:
    """The scenario, the runner's own CPU seconds, and what GNU time saw of the encode."""
    report = folder / "time.txt"
    wrapper = folder / "ffmpeg"
    real = shlex.quote(str(find_ffmpeg()))
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *-progress*) exec {TIME} -v -o {shlex.quote(str(report))} {real} "$@";; esac\n'
        f'exec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    arguments = ["single", "--preset", "veryfast", "--media-duration", str(seconds), "--quiet"]
    used = _run([*arguments, "--ffmpeg", str(wrapper), "--output-dir", str(folder)])
    (path,) = folder.glob("test_results_*.json")
    (scenario,) = read_run(path).scenarios
    return scenario, used - (scenario.cpu_seconds or 0.0), _seconds(report)


def _gnu_time(folder: Path, command: list[str]) -> float:
    """The recorded command once more, without the runner and without its wrapper."""
    report = folder / "alone.txt"
    again = [TIME, "-v", "-o", str(report), str(find_ffmpeg()), *command[1:-1], f"file:{folder}/again.mp4"]
    subprocess.run(again, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return _seconds(report)


def _seconds(report: Path) -> float:
    return sum(
        float(s) for s in re.findall(r"(?:User|System) time \(seconds\): ([\d.]+)", report.read_text())
    )


if __name__ == "__main__":
    sys.exit(main())
