"""The docker_stats exporter on a real podman, by its Docker-compatible socket."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exporter_client import served
from tests.support.podman_engine import PodmanEngine, running_podman
from tests.support.waiting import wait_until

BURN = "i=0; while [ $i -lt {} ]; do i=$((i+1)); done"
CPUACCT = Path("/sys/fs/cgroup/cpuacct")


@pytest.fixture(scope="module")
def podman() -> Iterator[PodmanEngine]:
    with running_podman() as engine:
        try:
            engine.run("probe", "true")
        except RuntimeError as exc:
            pytest.skip(f"podman runs no container here: {exc}")
        yield engine


def kernel_seconds(container_id: str) -> float:
    for root in (CPUACCT, Path("/sys/fs/cgroup")):
        for folder in root.glob(f"**/libpod-{container_id}*"):
            if (folder / "cpuacct.usage").is_file():
                return int((folder / "cpuacct.usage").read_text()) / 1e9
            if (folder / "cpu.stat").is_file():
                usage = re.search(r"usage_usec (\d+)", (folder / "cpu.stat").read_text())
                return int(usage[1]) / 1e6 if usage else 0.0
    raise AssertionError(f"no control group of {container_id}")


def containers_seconds(parent: Path) -> float:
    """What all containers below a group have used so far, podman's monitors left out."""
    monitors = sum(int(path.read_text()) for path in parent.parent.glob("conmon*/cpuacct.usage"))
    return (int(parent.read_text()) - monitors) / 1e9


def value(url: str, series: str) -> float | None:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310
        page = answer.read().decode()
    match = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return None if match is None else float(match[1])


def test_busy_and_limited_containers_are_what_the_kernel_says(podman: PodmanEngine) -> None:
    """One that computes all the time and one held to 0.2 of a CPU: within 2 % of the kernel's seconds."""
    ids = {
        "busy": podman.run("busy", "while :; do :; done"),
        "limited": podman.run("limited", "while :; do :; done", "--cpus", "0.2"),
    }
    with served("exporters.docker_stats", "--docker-host", podman.host, "--interval", "0.5") as exporter:
        for name, container_id in ids.items():
            series = f'docker_container_cpu_seconds_total{{container="{name}"}}'
            wait_until(lambda series=series: (value(exporter.url, series) or 0.0) > 1.0)
            time.sleep(3.0)  # so that the age of a sample is little beside what it counts
            before, shown = kernel_seconds(container_id), value(exporter.url, series)
            assert shown is not None
            assert before * 0.9 <= shown <= kernel_seconds(container_id) * 1.0001
        assert value(exporter.url, "docker_engine_up") == 1.0
        podman.podman("rm", "--force", "--time", "0", "busy", "limited")
        # what has ended is exact: nothing of it is older than the last look
        wait_until(lambda: value(exporter.url, "docker_exited_containers_total") == 2.0)


def test_short_lived_containers_are_counted_with_what_the_kernel_kept(podman: PodmanEngine) -> None:
    """Five containers that end within a second or so; the parent group keeps all that they used."""
    podman.run("steady", "sleep 1000")
    with served("exporters.docker_stats", "--docker-host", podman.host, "--interval", "0.5") as exporter:
        wait_until(
            lambda: value(exporter.url, 'docker_container_cpu_seconds_total{container="steady"}') is not None
        )
        parent = CPUACCT / "libpod_parent/cpuacct.usage"
        if not parent.is_file():
            pytest.skip("no group that holds podman's containers alone")
        before = containers_seconds(parent)
        for number in range(5):
            podman.run(f"short{number}", BURN.format(600_000))
        wait_until(
            lambda: (value(exporter.url, "docker_exited_containers_total") or 0.0) >= 5.0, limit_seconds=180.0
        )
        time.sleep(2.0)
        used = containers_seconds(parent) - before
        assert value(exporter.url, "docker_exited_containers_cpu_seconds_total") == pytest.approx(
            used, rel=0.05
        )
