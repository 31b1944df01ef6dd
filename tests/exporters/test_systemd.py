"""Units of a real systemd (Debian's, as the first process of a podman container) on the exporter's page."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exporter_client import served
from tests.support.page_values import value
from tests.support.podman_engine import IMAGE, PodmanEngine, running_podman
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long
ROOT = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")
INSTALL = "apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


@pytest.fixture(scope="module")
def systemd() -> Iterator[PodmanEngine]:
    """A container ``sd`` in which systemd has started everything."""
    with running_podman() as engine:
        mounts = [f"--volume={path}:{path}:ro" for path in ("/etc/resolv.conf", "/etc/apt", "/etc/ssl")]
        proxies = [
            f"--env={name}={text}" for name, text in os.environ.items() if name.lower().endswith("_proxy")
        ]
        try:
            engine.podman(
                *("run", "--name", "install", "--network", "host", *LIMITS, *mounts, *proxies),
                *(IMAGE, "sh", "-c", INSTALL),
            )
            engine.podman("commit", "--quiet", "install", "with-systemd")
            # v1 hierarchies are read-only in a container otherwise, and systemd could not count CPU time
            tree = ("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw")
            first = ("--systemd=always", "with-systemd", "/lib/systemd/systemd")
            engine.podman("run", "--detach", "--name", "sd", "--network", "none", *LIMITS, *tree, *first)
            wait_until(lambda: inside(engine, "systemctl", "is-active", "basic.target") == "active")
        except (RuntimeError, AssertionError) as exc:
            pytest.skip(f"no systemd in a container here: {exc}")
        yield engine


def inside(engine: PodmanEngine, *command: str) -> str:
    """What a command says in the container, its failure as text."""
    try:
        return engine.podman("exec", "sd", *command)
    except RuntimeError as exc:
        return str(exc)


def kernel_seconds(unit: str) -> float:
    (folder,) = ROOT.glob(f"**/{unit}")
    return int((folder / "cpu.stat").read_text().split()[1]) / 1e6


def test_units_are_what_the_kernel_says(systemd: PodmanEngine) -> None:
    """One that computes all the time and one held to a fifth of a CPU, frozen: within 2 % of the kernel."""
    accounted = ("--property", "CPUAccounting=yes")
    spin = ("sh", "-c", "while :; do :; done")
    inside(systemd, "systemd-run", "--unit", "wf-busy", *accounted, *spin)
    inside(systemd, "systemd-run", "--unit", "wf-held", *accounted, "--property", "CPUQuota=20%", *spin)
    series = {
        unit: f'cgroup_cpu_seconds_total{{group="{unit}"}}' for unit in ("wf-busy.service", "wf-held.service")
    }
    options = ("--docker-host", systemd.host, "--interval", "0.5", "--units", r"wf-.*\.service")
    with served("exporters.docker_stats", *options) as exporter:
        wait_until(lambda: all((value(exporter.url, one) or 0.0) > 0.5 for one in series.values()))
        systemd.podman("pause", "sd")
        time.sleep(1.5)  # two samples more
        for unit, one in series.items():
            assert value(exporter.url, one) == pytest.approx(kernel_seconds(unit), rel=0.02)
        systemd.podman("unpause", "sd")
