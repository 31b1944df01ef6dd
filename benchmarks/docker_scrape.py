"""What a scrape of the docker_stats exporter costs with many real containers, beside ``docker stats``.

    python benchmarks/docker_scrape.py [--containers 100] [--scrapes 100]

Needs root, dockerd and debootstrap: an engine of its own is started and removed.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from exporters.runtime.testing import Served, served
from tests.support.docker_engine import BASE_IMAGE, DockerEngine, import_base_image, running_engine

GOAL = 1 / 20
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, by the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def start_containers(engine: DockerEngine, count: int) -> None:
    """Start idle containers, and wait for the last."""
    for number in range(count):
        engine.run("--name", f"c{number}", "--memory", "64m", BASE_IMAGE, "sleep", "100000")


def scrape(exporter: Served, count: int) -> tuple[list[float], float, int]:
    """Wall seconds of each scrape on one connection, CPU seconds of the exporter, and bytes of the last."""
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=30)
    seconds = []
    before = cpu_seconds(exporter.process.pid)
    size = 0
    for _ in range(count):
        start = time.perf_counter()
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        size = len(answer.read())
        assert answer.status == 200, (answer.status, answer.headers.items())
        seconds.append(time.perf_counter() - start)
    connection.close()
    return seconds, cpu_seconds(exporter.process.pid) - before, size


def docker_stats_seconds(engine: DockerEngine, repeats: int = 3) -> float:
    """Median wall seconds of ``docker stats --no-stream``."""
    walls = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(
            ["docker", "-H", engine.host, "stats", "--no-stream"], check=True, stdout=subprocess.DEVNULL
        )
        walls.append(time.perf_counter() - start)
    return statistics.median(walls)


def main() -> int:
    """Measure and print; 1 when the goal was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--scrapes", type=int, default=100)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    options = parser.parse_args()
    with running_engine() as engine:
        import_base_image(engine)
        start_containers(engine, options.containers)
        with served("exporters.docker_stats", "--docker-host", engine.host) as exporter:
            time.sleep(8)  # two rounds of the slow files
            pid = exporter.process.pid
            before = cpu_seconds(pid)
            time.sleep(options.idle_seconds)
            sampling = (cpu_seconds(pid) - before) / options.idle_seconds
            walls, cpu, size = scrape(exporter, options.scrapes)
            resident = resident_mib(pid)
            peer = docker_stats_seconds(engine)
    walls.sort()
    p50, p99 = statistics.median(walls), walls[min(len(walls) - 1, int(len(walls) * 0.99))]
    ratio = p50 / peer
    own = max(0.0, cpu - sampling * sum(walls)) / len(walls)
    print(f"{options.containers} containers, {options.scrapes} scrapes of {size} bytes")
    print(f"scrape               p50 {p50 * 1e3:8.2f} ms   p99 {p99 * 1e3:8.2f} ms")
    print(f"CPU per scrape           {own * 1e3:8.2f} ms")
    print(f"CPU of the sampler       {sampling * 100:8.2f} % of a core")
    print(f"resident memory          {resident:8.1f} MiB")
    print(f"docker stats --no-stream {peer * 1e3:8.0f} ms")
    print(f"p50 of a scrape is 1/{1 / ratio:.0f} of it (goal 1/{1 / GOAL:.0f})")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
