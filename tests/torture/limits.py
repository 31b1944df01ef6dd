"""Large inputs under the memory limits of the compose file: ``python -m tests.torture.limits [WORD ...]``.

Each exporter of result files, retraining, predictions and the runner run in a real control group of their
container's limit (as root), with something honest beside one input that was made to be large. Prints the peak
memory, whether the honest one was published, trained on, predicted or measured, and how long SIGTERM took, as
lines of JSON; ends with 1 when a process was killed or lost the honest one. Words choose rows by their input.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from advisor.results import read_run
from advisor.video.ffmpeg import find_ffmpeg
from tests.support.prometheus_fake import Reply, Server, vector
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HONEST = "test_results_20260101_000000"
BAD = "test_results_20260102_000000"
_UNITS = {"m": 1 << 20, "g": 1 << 30}
_PATIENCE_SECONDS = 3600.0
"""Nothing here is a matter of time: the machine may be busy."""
Row = dict[str, object]


def limit_bytes(service: str) -> int:
    """The container's limit in docker-compose.yml."""
    text = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["mem_limit"]
    return int(text[:-1]) * _UNITS[text[-1]]


def scenario(name: str, number: int = 0, **more: object) -> Row:
    """One that can be trained on."""
    watts = 40.0 + number % 40
    return {
        "name": name,
        "duration": 60,
        "start_time": 1.7e9 + 60 * number,
        "end_time": 1.7e9 + 60 * number + 60,
        "power": {"mean_watts": watts, "total_energy_joules": 60 * watts, "tier": "measured"},
        "encoder": "libx264",
        "bitrate": f"{500 + 100 * (number % 40)}k",
        "resolution": "640x360",
        **more,
    }


def document(scenarios: list[Any], version: int | None = 1, **more: object) -> bytes:
    known = {} if version is None else {"schema_version": version, "host": {"hardware_id": "lab-1"}}
    return json.dumps({**known, "scenarios": scenarios, **more}).encode()


HONEST_SCENARIOS = [scenario(f"honest {number}", number) for number in range(12)]


def samples(count: int) -> dict[str, object]:
    return {"timestamps": [1.7e9 + 0.1 * i for i in range(count)], "power_watts": [50.5] * count}


def filled(part: bytes, count: int, **given: object) -> bytes:
    """A document in which ``count`` times ``part`` stands in the place of the word HERE."""
    return document(**given).replace(b'"HERE"', b",".join([part] * count))


def unknown(version: int | None) -> bytes:
    return filled(b"[0]", 31_000_000, version=version, scenarios=[scenario("a", more=["HERE"])])


def names(letters: int) -> bytes:
    return document([scenario(f"{i:05d}{'n' * (letters - 5)}", i) for i in range(10_000)])


INPUTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "17 MB of samples": lambda: document([scenario("a", samples=samples(850_000))]),
    "17 MB of samples in ten": lambda: document(
        [scenario(f"{i}", samples=samples(85_000)) for i in range(10)]
    ),
    "100 files of 1 MB of samples": lambda: document([scenario("a", samples=samples(50_000))]),
    "126 MB of an unknown field": lambda: unknown(1),
    "126 MB of one, earlier format": lambda: unknown(None),
    "126 MB beside the scenarios": lambda: filled(b"0", 63_000_000, scenarios=[scenario("a")], more=["HERE"]),
    "126 MB of empty scenarios": lambda: filled(b"{}", 42_000_000, scenarios=["HERE"]),
    "126 MB of empty outputs": lambda: filled(b"{}", 42_000_000, scenarios=[scenario("a", outputs=["HERE"])]),
    "5 MB of names": lambda: names(500),
    "10 MB of names": lambda: names(1000),
    "10 000 honest scenarios": lambda: document([scenario(f"scenario {i}", i) for i in range(10_000)]),
    "a path of 20 MB": lambda: document(
        [scenario("a", input={"path": "i.mp4"}, outputs=[{"path": "/p" * 10_000_000}])]
    ),
}


@contextlib.contextmanager
def memory_group(most_bytes: int) -> Iterator[Path]:
    """A control group of its own with a limit."""
    root = Path("/sys/fs/cgroup")
    first = not (root / "cgroup.controllers").exists()
    folder = (root / "memory" if first else root) / f"wattframe-limits-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(most_bytes))
        if not first:
            (folder / "memory.swap.max").write_text("0")
        yield folder
    finally:
        wait_until(lambda: _removed(folder))


def _removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _number(folder: Path, pattern: str, *names: str) -> int:
    """What the kernel counts under one of these names, by version of control groups."""
    text = next(path.read_text() for name in names if (path := folder / name).exists())
    return int(re.findall(pattern, text, re.MULTILINE)[0])


@contextlib.contextmanager
def limited(
    service: str, command: Sequence[object], row: Row, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command under the limit of a service's container; the row is told the peak, and who was killed."""
    limit = limit_bytes(service)
    with memory_group(limit) as group, tempfile.TemporaryFile("w+") as said:
        words = ["/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *map(str, command)]
        given = {**os.environ, **(environment or {})}
        with subprocess.Popen(
            words, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()
        said.seek(0)
        row |= {
            "limit_mib": limit >> 20,
            "peak_mib": _number(group, r"^\d+", "memory.max_usage_in_bytes", "memory.peak") >> 20,
            "killed": _number(group, r"^oom_kill (\d+)", "memory.oom_control", "memory.events"),
            "said": [line[:200] for line in said.read().splitlines() if "listening" not in line][-2:],
        }


def exporter(service: str, folder: Path, row: Row, *more: str) -> None:
    """An exporter until its page shows the honest run, and what is predicted of it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", f"exporters.{service}", f"--port={port}"]
    environment = {
        "RESULTS_DIR": str(folder / "results"),
        "RESULTS_RUNS": "1000",
        "RESULTS_MAX_SCENARIOS": "20000",
        "QOE_CACHE_DIR": str(folder),
        "MODELS_DIR": str(folder / "models"),
    }
    wanted = {
        "results": rf'^results_scenario_predicted_power_watts{{.*run_id="{HONEST}"',
        "cost": rf'^cost_total{{.*run_id="{HONEST}"',
        "qoe": "^qoe_pending 0",
    }[service]
    with limited(service, [*command, *more], row, environment) as process:

        def shows() -> bool:
            page = _get(port, "/metrics").decode() if _ready(port) else ""
            row["page_kib"] = len(page) >> 10
            return bool(re.search(wanted, page, re.MULTILINE)) or process.poll() is not None

        wait_until(shows, limit_seconds=_PATIENCE_SECONDS)
        time.sleep(3.0)  # what is read again at each look shows
        row["honest"] = shows() and process.poll() is None
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_SECONDS)
        row["seconds_to_end"] = round(time.monotonic() - begun, 2)


def retraining(folder: Path, row: Row, *more: object) -> None:
    """From the folder of results into a folder of its own."""
    command = [sys.executable, "retrain_models.py", "--json", f"--results-dir={folder / 'results'}"]
    with limited("retrain", [*command, f"--models-dir={folder / 'new'}", *more], row) as process:
        out, _ = process.communicate(timeout=_PATIENCE_SECONDS)
    row["honest"] = process.returncode == 0 and HONEST in json.loads(out)["manifest"]["runs"]


def predicting(folder: Path, row: Row) -> None:
    command = [sys.executable, "-m", "wattframe", "predict", "--json", folder / "results"]
    with limited("retrain", [*command, f"--models-dir={folder / 'models'}"], row) as process:
        out, _ = process.communicate(timeout=_PATIENCE_SECONDS)
    runs = [one["run_id"] for one in json.loads(out or "[]") if one["mean_power_watts"] is not None]
    row["honest"] = runs.count(HONEST) == len(HONEST_SCENARIOS)


READERS: dict[str, Callable[[Path, Row], None]] = {
    "results": lambda folder, row: exporter("results", folder, row),
    "cost": lambda folder, row: exporter("cost", folder, row),
    "qoe": lambda folder, row: exporter("qoe", folder, row),
    "retrain": retraining,
    "predict": predicting,
}


def answers(*, megabytes: int) -> Callable[[dict[str, str]], Reply]:
    """A good answer, made of the shortest samples that there are."""
    samples = b'[1,"1"],' * ((megabytes << 20) // 8)
    document = vector({"metric": {"__name__": "rapl_energy_joules_total"}, "values": "HERE"}, kind="matrix")
    status, headers, body = document
    return lambda _: (status, headers, body.replace(b'"HERE"', b"[" + samples[:-1] + b"]"))


def empty(*, megabytes: int) -> Callable[[dict[str, str]], Reply]:
    """A good answer of series without anything."""
    status, headers, body = vector({"metric": "HERE"}, kind="matrix")
    series = b",".join([b"{}"] * ((megabytes << 20) // 3))
    return lambda _: (status, headers, body.replace(b'{"metric": "HERE"}', series))


def unpacks() -> Callable[[dict[str, str]], Reply]:
    """4 MB that stand for 4 GiB."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(1 << 20)
    bomb = b"".join(packer.compress(block) for _ in range(1 << 12)) + packer.flush()
    return lambda _: (200, {"Content-Encoding": "gzip"}, bomb)


def drips(_: dict[str, str]) -> Reply:
    """A head that promises more than ever comes."""
    return 200, {"Content-Length": "1000000000"}, b"{"


SERVERS: dict[str, Callable[[], Callable[[dict[str, str]], Reply]]] = {
    "Prometheus answers 126 MB": lambda: answers(megabytes=126),
    "Prometheus answers 168 MB": lambda: answers(megabytes=168),
    "Prometheus answers 500 MB": lambda: answers(megabytes=500),
    "Prometheus answers 126 MB of empty series": lambda: empty(megabytes=126),
    "Prometheus' 4 MB unpack to 4 GiB": unpacks,
    "Prometheus stops within its answer": lambda: drips,
}


def with_prometheus(make: Callable[[], Callable[[dict[str, str]], Reply]], folder: Path, row: Row) -> None:
    """Retraining that asks for a scenario without power."""
    lacking = {key: value for key, value in scenario("lacking", 99).items() if key != "power"}
    (folder / "results" / f"{BAD}.json").write_bytes(document([lacking]))
    server = Server()
    server.reply = make()
    try:
        retraining(folder, row, f"--prometheus-url={server.url}", "--prometheus-timeout=20")
    finally:
        server.close()


def huge(folder: Path) -> Path:
    """Four pictures of the largest size that is taken, in a small file."""
    path = folder / "huge.mp4"
    source = ["-f", "lavfi", "-i", "color=gray:s=8192x8192:r=4:d=1"]
    coder = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, *coder, path], check=True)
    return path


def of_many_streams(folder: Path) -> Path:
    path = folder / "many.mkv"
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x64:d=1", "-f", "lavfi", "-i", "anullsrc=r=8000:d=1"]
    maps = ["-map", "0:v", *(["-map", "1:a"] * 900)]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, *maps, "-c:a", "pcm_u8", path], check=True)
    return path


def of_many_frames(folder: Path) -> Path:
    path = folder / "long.mkv"
    source = ["-f", "lavfi", "-i", "color=gray:s=16x16:r=1000:d=1000"]
    coder = ["-c:v", "rawvideo", "-pix_fmt", "gray"]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, *coder, path], check=True)
    return path


def sparse(folder: Path) -> Path:
    """A terabyte of nothing."""
    path = folder / "sparse.mp4"
    path.touch()
    os.truncate(path, 1 << 40)
    return path


VIDEOS: dict[str, Callable[[Path], Path]] = {
    "a video of 8192x8192": huge,
    "a video of 901 streams": of_many_streams,
    "a video of a million frames": of_many_frames,
}


def running(video: Path, folder: Path, row: Row, ffmpeg: Path | None = None) -> None:
    """The runner: one scenario on the sample, one on the video, and one on the sample again; with scores."""
    batch, out = folder / "batch.yaml", folder / "out"
    usual = {"preset": "ultrafast", "crf": 40, "media_duration": 1, "resolution": "64x64"}
    inputs = {"honest 1": ROOT / "samples/bigbuckbunny.mp4", "large": video}
    named = [{**usual, "name": name, "input": str(path)} for name, path in inputs.items()]
    named += [{**named[0], "name": "honest 2"}]
    if ffmpeg is None:
        del named[1]["resolution"]
    batch.write_text(json.dumps(named))
    command = [sys.executable, "run_tests.py", "batch", batch, "--output-dir", out, "--stabilization", "0"]
    command += ["--compute-quality", *([] if ffmpeg is None else ["--ffmpeg", ffmpeg, "--duration", "5"])]
    with limited("runner", command, row, {"XDG_CACHE_HOME": str(folder)}) as process:
        process.communicate(timeout=_PATIENCE_SECONDS)
    scenarios = {s.name: s for s in read_run(next(out.glob("*.json"))).scenarios}
    row["honest"] = all(scenarios[name].vmaf_score is not None for name in ("honest 1", "honest 2"))
    row["large"] = scenarios["large"].error or scenarios["large"].vmaf_score or "no score"


def flooding(folder: Path, row: Row) -> None:
    """The runner with an ffmpeg that writes without end in the scenario called ``large``."""
    ffmpeg = folder / "ffmpeg"
    endless = f'exec {sys.executable} -S -c \'while True: print("x" * 60000)\' "$@"'
    ffmpeg.write_text(
        f'#!/bin/sh\ncase "$*" in *-progress*large*) {endless};; esac\nexec {find_ffmpeg()} "$@"\n'
    )
    ffmpeg.chmod(0o755)
    running(ROOT / "samples/bigbuckbunny.mp4", folder, row, ffmpeg)


def scoring(video: Path, folder: Path, row: Row) -> None:
    """The quality exporter with a pair of the video beside an honest one."""
    sample = ROOT / "samples/bigbuckbunny.mp4"
    pairs = [{"reference": str(path), "distorted": str(path), "name": path.stem} for path in (video, sample)]
    (folder / "pairs.yaml").write_text(json.dumps(pairs))
    exporter("qoe", folder, row, f"--pairs={folder / 'pairs.yaml'}", f"--media-dir={ROOT}:{folder}")


@functools.lru_cache(maxsize=1)
def data_of(name: str) -> bytes:
    """Every reader gets the same."""
    return INPUTS[name]()


def prepare(folder: Path) -> None:
    """Honest results, and models of them."""
    (folder / "results").mkdir()
    (folder / "results" / f"{HONEST}.json").write_bytes(document(HONEST_SCENARIOS))
    command = [sys.executable, "retrain_models.py", f"--results-dir={folder / 'results'}"]
    subprocess.run([*command, f"--models-dir={folder / 'models'}"], cwd=ROOT, check=True, capture_output=True)


def rows() -> Iterator[tuple[str, str, Callable[[Path, Row], None]]]:
    """Input, process, and what is done."""
    for name in INPUTS:
        for reader, work in READERS.items():

            def beside(folder: Path, row: Row, work: Any = work, name: str = name) -> None:
                data = data_of(name)
                for number in range((100 if name.startswith("100 ") else 1) if data else 0):
                    (folder / "results" / f"{BAD[:-3]}{number:03d}.json").write_bytes(data)
                work(folder, row)

            yield name, reader, beside
    for name, server in SERVERS.items():
        yield name, "retrain", lambda folder, row, server=server: with_prometheus(server, folder, row)
    for name, video in VIDEOS.items():
        yield name, "runner", lambda folder, row, video=video: running(video(folder), folder, row)
        yield name, "qoe", lambda folder, row, video=video: scoring(video(folder), folder, row)
    yield "a sparse file of 1 TiB", "qoe", lambda folder, row: scoring(sparse(folder), folder, row)
    yield "an ffmpeg that writes without end", "runner", flooding


def _ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(_get(port, "/-/ready"))
    return False


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        data: bytes = answer.read()
        return data


def main() -> int:
    failed = False
    with tempfile.TemporaryDirectory() as prepared:
        prepare(Path(prepared))
        for name, process, work in rows():
            if sys.argv[1:] and not any(word in f"{process}: {name}" for word in sys.argv[1:]):
                continue
            row: Row = {"input": name, "process": process}
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(prepared, folder, symlinks=True, dirs_exist_ok=True)
                work(Path(folder), row)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
            failed = failed or bool(row["killed"]) or not row["honest"]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
