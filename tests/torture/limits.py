"""Large inputs under the memory limits of the compose file: ``python -m tests.torture.limits``.

Each exporter of result files runs in a real control group of its container's limit (as root) with one honest
run beside one input that was made to be large. Prints the peak memory, whether the honest run is published,
and how long SIGTERM took, as a table; ends with 1 when an exporter was killed, lost the honest run, or took
more than two seconds to end.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HONEST = "test_results_20260101_000000"
BAD = "test_results_20260102_000000"
MOST_SECONDS_TO_END = 2.0
_UNITS = {"m": 1 << 20, "g": 1 << 30}


def limit_bytes(service: str) -> int:
    """The container's limit in docker-compose.yml."""
    text = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["mem_limit"]
    return int(text[:-1]) * _UNITS[text[-1]]


@contextlib.contextmanager
def memory_group(most_bytes: int) -> Iterator[tuple[Path, Callable[[], int]]]:
    """A control group of its own with a limit: where process numbers are written, and the peak so far."""
    root = Path("/sys/fs/cgroup")
    first = not (root / "cgroup.controllers").exists()
    folder = (root / "memory" if first else root) / f"wattframe-limits-{os.getpid()}"
    limit, peak = (
        ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if first else ("memory.max", "memory.peak")
    )
    folder.mkdir()
    try:
        (folder / limit).write_text(str(most_bytes))
        if not first:
            (folder / "memory.swap.max").write_text("0")
        yield folder / "cgroup.procs", lambda: int((folder / peak).read_text())
    finally:
        wait_until(lambda: _removed(folder))


def _removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def scenario(name: str, **more: object) -> dict[str, object]:
    power = {"mean_watts": 50, "total_energy_joules": 3000, "tier": "measured"}
    return {"name": name, "duration": 60, "start_time": 1.7e9, "end_time": 1.7e9 + 60, "power": power, **more}


def document(scenarios: list[Any], version: int | None = 1, **more: object) -> bytes:
    known = {} if version is None else {"schema_version": version}
    return json.dumps({**known, "scenarios": scenarios, **more}).encode()


def samples(count: int) -> dict[str, object]:
    return {"timestamps": [1.7e9 + 0.1 * i for i in range(count)], "power_watts": [50.5] * count}


def filled(part: bytes, count: int, **given: object) -> bytes:
    """A document in which ``count`` times ``part`` stands in the place of the word HERE."""
    return document(**given).replace(b'"HERE"', b",".join([part] * count))


def unknown(version: int | None) -> bytes:
    return filled(b"[0]", 31_000_000, version=version, scenarios=[scenario("a", more=["HERE"])])


def names(letters: int) -> bytes:
    return document([scenario(f"{i:05d}{'n' * (letters - 5)}") for i in range(10_000)])


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
    "10 000 honest scenarios": lambda: document([scenario(f"scenario {i}") for i in range(10_000)]),
    "a path of 20 MB": lambda: document(
        [scenario("a", input={"path": "i.mp4"}, outputs=[{"path": "/p" * 10_000_000}])]
    ),
}


def measured(service: str, data: bytes, copies: int, folder: Path) -> dict[str, object]:
    """One exporter beside one input."""
    results = folder / "results"
    results.mkdir()
    (results / f"{HONEST}.json").write_bytes(document([scenario("honest")]))
    for number in range(copies if data else 0):
        (results / f"{BAD[:-3]}{number:03d}.json").write_bytes(data)
    limit = limit_bytes(service)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", f"exporters.{service}", f"--port={port}", f"--results-dir={results}"]
    environment = {
        **os.environ,
        "RESULTS_RUNS": "1000",
        "RESULTS_MAX_SCENARIOS": "20000",
        "QOE_CACHE_DIR": str(folder),
        "MODELS_DIR": str(folder),
    }
    with memory_group(limit) as (procs, peak):
        shell = ["/bin/sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", *command]
        with subprocess.Popen(shell, env=environment, stderr=subprocess.PIPE, text=True) as process:
            published, honest = 0, False
            try:
                wait_until(lambda: process.poll() is not None or _ready(port), limit_seconds=180)
                for _ in range(4):  # what is read again at each look shows
                    if process.poll() is None:
                        body = _get(port, "/metrics").decode()
                        published = len(body)
                        honest = HONEST in body or service == "qoe"
                        time.sleep(1.0)
            finally:
                begun = time.monotonic()
                killed = process.poll() is not None
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                seconds = time.monotonic() - begun
                assert process.stderr is not None
                log = process.stderr.read()
            return {
                "exporter": service,
                "limit_mib": limit >> 20,
                "peak_mib": peak() >> 20,
                "page_kib": published >> 10,
                "honest": not killed and honest,
                "killed": killed,
                "seconds_to_end": round(seconds, 2),
                "refused": re.findall(r'reason="?([^"]{0,160})', log)[-1:],
            }


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
    for name, make in INPUTS.items():
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        data, copies = make(), 100 if name.startswith("100 ") else 1
        for service in ("results", "cost", "qoe"):
            with tempfile.TemporaryDirectory() as folder:
                row = measured(service, data, copies, Path(folder))
            sys.stdout.write(json.dumps({"input": name, **row}) + "\n")
            sys.stdout.flush()
            late = isinstance(row["seconds_to_end"], float) and row["seconds_to_end"] > MOST_SECONDS_TO_END
            failed = failed or bool(row["killed"]) or not row["honest"] or late
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
