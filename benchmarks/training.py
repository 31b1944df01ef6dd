"""Training on many scenarios: wall time, memory; an exporter with the model; 100 retrainings that are killed.

Half of the kills are spread evenly over a retraining, half fall where it writes: within some hundredths of a
second after the first file of the new version is there.

    python -m benchmarks.training [--scenarios 10000] [--kills 100] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from advisor.errors import ModelError
from advisor.regression import registry
from advisor.results import EncodeStats, Host, InputMedia, Output, Power, Run, Scenario, write_run
from benchmarks.figures import Figure, report, resident_mib
from tests.support.exporter_client import Served, served

ROOT = Path(__file__).resolve().parents[1]
ENCODERS = {"libx264": ("veryfast", "medium", "slow"), "libsvtav1": ("6", "8", "10")}


def scenario(index: int, chance: random.Random) -> Scenario:
    """One of a law with noise: watts by encoder and preset, seconds by pixels."""
    encoder = chance.choice(sorted(ENCODERS))
    step = chance.randrange(3)
    height = chance.choice((360, 720, 1080))
    rate = chance.choice((800, 1500, 3000, 6000))
    seconds = 5 + height * height / 40_000 * (3 - step) * math.exp(chance.gauss(0, 0.1))
    watts = (90 + 8 * step + height / 60) * math.exp(chance.gauss(0, 0.02))
    size = f"{height * 16 // 9}x{height}"
    return Scenario(
        name=f"s{index}",
        encoder=encoder,
        preset=ENCODERS[encoder][step],
        bitrate=f"{rate}k",
        resolution=size,
        fps=30.0,
        duration=seconds,
        start_time=1.7e9 + 100 * index,
        input=InputMedia(name=f"video {index % 200}", duration=10.0 + index % 50),
        outputs=[Output(resolution=size, duration=10.0 + index % 50)],
        encode=EncodeStats(speed=(10 + index % 50) / seconds),
        power=Power(mean_watts=watts, total_energy_joules=watts * seconds, tier="measured"),
    )


def write(folder: Path, count: int) -> None:
    """Result files of 100 scenarios each."""
    folder.mkdir()
    chance = random.Random(1)
    for first in range(0, count, 100):
        path = folder / f"test_results_20260101_{first // 100:06d}.json"
        made = tuple(scenario(i, chance) for i in range(first, min(first + 100, count)))
        write_run(Run(run_id=path.stem, scenarios=made, host=Host(hardware_id="lab-1", threads=16)), path)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "results", options.scenarios)
        models = folder / "models"
        command = [sys.executable, str(ROOT / "retrain_models.py"), "--results-dir", str(folder / "results")]
        command += ["--models-dir", str(models)]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = (models / "lab-1" / "latest" / "model.skops").stat().st_size
        put, of = options.scenarios, "scenarios"
        found = [
            Figure("training", seconds, "s", size=put, of=of),
            Figure("CPU of training", used.ru_utime + used.ru_stime, "s", size=put, of=of),
            Figure("memory of training, at most", used.ru_maxrss / 1024, "MiB", size=put, of=of),
            Figure("model file", size / 2**20, "MiB", size=put, of=of),
        ]
        found += in_service(folder / "results", models, put)
        if options.kills:
            small = folder / "few"
            write(small, 30)
            command[3] = str(small)
            good = killed(command, models, options.kills)
            what = f"model loads after a kill, of {options.kills}"
            found.append(Figure(what, good, "kills", goal=options.kills, at_least=True))
    return report(found, as_json=options.json)


def in_service(results: Path, models: Path, scenarios: int) -> list[Figure]:
    """Memory of the results exporter without and with the model, and of its child while that predicts."""
    few, size, of = ("--results-dir", str(results), "--runs", "10"), scenarios, "scenarios"
    with served("exporters.results", *few, "--models-dir", str(models / "nowhere"), cwd=ROOT) as plain:
        _until_ready(plain)
        without = resident_mib(plain.process.pid)
    child = 0.0
    with served("exporters.results", *few, "--models-dir", str(models), cwd=ROOT) as running:
        _until_ready(running)
        until = time.monotonic() + 120
        while time.monotonic() < until and b"results_scenario_predicted_power_watts{" not in _page(running):
            child = max([child, *map(_most_mib, _children(running.process.pid))])
            time.sleep(0.05)
        predicted = _page(running).count(b"\nresults_scenario_predicted_power_watts{")
        with_model = resident_mib(running.process.pid)
    return [
        Figure("predictions of an exporter", predicted, "", size=size, of=of),
        Figure("memory, model in service", with_model, "MiB", "without a model", without, size=size, of=of),
        Figure("memory of its child, at most", child, "MiB", size=size, of=of),
    ]


def _until_ready(running: Served) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and b"results_scenario_mean_power_watts{" not in _page(running):
        time.sleep(0.05)


def _page(running: Served) -> bytes:
    return requests.get(f"{running.url}/metrics", timeout=30).content


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _most_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # ended meanwhile
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def killed(command: list[str], models: Path, times: int) -> int:
    """Kill retrainings at moments of their course; how often ``latest`` loads afterwards."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    whole = time.perf_counter() - began
    chance = random.Random(2)
    good = 0
    for index in range(times):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            if index % 2:
                _until_writing(models / "lab-1", child)
                time.sleep(chance.uniform(0, 0.05))
            else:
                time.sleep(whole * (index + 1) / times)
            child.send_signal(signal.SIGKILL)
        with contextlib.suppress(ModelError):
            registry.load(models, "lab-1")
            good += 1
    return good


def _until_writing(home: Path, child: subprocess.Popen[bytes]) -> None:
    """Until a version that was not there has its first file."""
    known = {path.name for path in home.iterdir()}
    while child.poll() is None and not {path.name for path in home.iterdir()} - known:
        time.sleep(0.0005)


if __name__ == "__main__":
    sys.exit(main())
