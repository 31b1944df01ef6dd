"""The docker_stats exporter on a real podman, by its Docker-compatible socket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exporter_client import served
from tests.support.page_values import value
from tests.support.podman_engine import PodmanEngine, RootlessPodman, running_podman
from tests.support.waiting import wait_until

BURN = "i=0; while [ $i -lt {} ]; do i=$((i+1)); done"
CPUACCT = Path("/sys/fs/cgroup/cpuacct")


@pytest.fixture(scope="module")
def podman() -> Iterator[PodmanEngine]:
    with running_podman() as engine:
        yield usable(engine)


def usable(engine: PodmanEngine) -> PodmanEngine:
    """The engine, if it runs containers here."""
    try:
        engine.run("probe", "true")
    except RuntimeError as exc:
        pytest.skip(f"podman runs no container here: {exc}")
    return engine


def kernel_seconds(container_id: str) -> float:
    for root in (CPUACCT, Path("/sys/fs/cgroup")):
        for folder in root.glob(f"**/libpod-{container_id}*"):
            if (folder / "cpuacct.usage").is_file():
                return int((folder / "cpuacct.usage").read_text()) / 1e9
            if (folder / "cpu.stat").is_file():
                usage = re.search(r"usage_usec (\d+)", (folder / "cpu.stat").read_text())
                return int(usage[1]) / 1e6 if usage else 0.0
    raise AssertionError(f"no control group of {container_id}")


def frozen(podman: PodmanEngine, name: str) -> bool:
    """Freeze a container, if it gets enough of the processors for that just now."""
    try:
        podman.podman("pause", name)
    except RuntimeError as exc:
        if "unable to freeze" not in str(exc):
            raise
        return False
    return True


def containers_seconds(parent: Path) -> float:
    """What all containers below a group have used so far, podman's monitors left out."""
    monitors = sum(int(path.read_text()) for path in parent.parent.glob("conmon*/cpuacct.usage"))
    return (int(parent.read_text()) - monitors) / 1e9


def test_busy_and_limited_containers_are_what_the_kernel_says(podman: PodmanEngine) -> None:
    """One that computes all the time and one held to 0.2 of a CPU, frozen: what is shown is the kernel's."""
    ids = {
        "busy": podman.run("busy", "while :; do :; done"),
        "limited": podman.run("limited", "while :; do :; done", "--cpus", "0.2"),
    }
    with served("exporters.docker_stats", "--docker-host", podman.host, "--interval", "0.5") as exporter:
        series = {name: f'docker_container_cpu_seconds_total{{container="{name}"}}' for name in ids}
        wait_until(lambda: all((value(exporter.url, one) or 0.0) > 0.5 for one in series.values()))
        for name in ids:
            wait_until(lambda name=name: frozen(podman, name))
        for name, container_id in ids.items():
            used = pytest.approx(kernel_seconds(container_id), rel=0.02)
            wait_until(lambda name=name, used=used: value(exporter.url, series[name]) == used)
        assert value(exporter.url, "docker_engine_up") == 1.0
        podman.podman("unpause", *ids)
        podman.podman("rm", "--force", "--time", "0", *ids)
        wait_until(lambda: value(exporter.url, "docker_exited_containers_total") == 2.0)


@pytest.mark.parametrize("loops", [600_000, 60_000], ids=["a second", "a tenth of it"])
def test_short_lived_containers_are_counted_with_what_the_kernel_kept(
    podman: PodmanEngine, loops: int
) -> None:
    """Five containers that end at once; the parent group keeps all that they used."""
    podman.run(f"steady{loops}", "sleep 1000")
    with served("exporters.docker_stats", "--docker-host", podman.host, "--interval", "0.5") as exporter:
        series = f'docker_container_cpu_seconds_total{{container="steady{loops}"}}'
        wait_until(lambda: value(exporter.url, series) is not None)
        parent = CPUACCT / "libpod_parent/cpuacct.usage"
        if not parent.is_file():
            pytest.skip("no group that holds podman's containers alone")
        before = containers_seconds(parent)
        for number in range(5):
            podman.run(f"short{loops}_{number}", BURN.format(loops))
        wait_until(
            lambda: (value(exporter.url, "docker_exited_containers_total") or 0.0) >= 5.0, limit_seconds=180.0
        )
        used = pytest.approx(containers_seconds(parent) - before, rel=0.02)
        wait_until(lambda: value(exporter.url, "docker_exited_containers_cpu_seconds_total") == used)


def test_rootless_containers_without_control_groups_have_no_energy_and_are_counted() -> None:
    """Their processes are in the caller's group, whose CPU time is not theirs."""
    with running_podman(RootlessPodman) as engine:
        usable(engine)
        engine.run("rootless", "while :; do :; done")
        with served("exporters.docker_stats", "--docker-host", engine.host, "--interval", "0.5") as exporter:
            unknown = 'docker_read_errors_total{reason="unknown_cpu",source="container"}'
            wait_until(lambda: (value(exporter.url, unknown) or 0.0) >= 1.0)
            assert value(exporter.url, "docker_containers_running") == 1.0
            assert value(exporter.url, 'docker_container_cpu_seconds_total{container="rootless"}') is None
            energy = 'docker_container_energy_joules_total{container="rootless",policy="full"}'
            assert value(exporter.url, energy) is None
            assert value(exporter.url, 'docker_unattributed_energy_joules_total{policy="full"}') is not None
