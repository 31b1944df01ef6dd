"""Systemd units and pods on the page of the docker_stats exporter, from a control group tree of files."""

from __future__ import annotations

from pathlib import Path

from advisor.containers.engine import EngineAddress
from advisor.containers.group_watcher import Groups
from advisor.energy.meter import Meter
from advisor.errors import EnergyError
from exporters.docker_stats import GroupCollector, Settings
from tests.support.exporter_client import render

UID = "8f4d7a0e-1c2b-4d3e-9f5a-6b7c8d9e0f1a"


def no_meter() -> Meter:
    raise EnergyError("no counters here")


def test_units_and_pods_are_published_with_their_cpu_time(tmp_path: Path) -> None:
    """3 s of nginx.service, 7 s of a pod; without a meter there is no energy."""
    (tmp_path / "cgroup.controllers").parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    pod = f"kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice"
    for folder, seconds in {"system.slice/nginx.service": 3, pod: 7}.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cpu.stat").write_text(f"usage_usec {seconds}000000\n")
    settings = Settings(
        address=EngineAddress(),
        cgroupfs=str(tmp_path),
        procfs=str(tmp_path),
        sysfs=str(tmp_path),
    )
    groups = Groups(units=("nginx.service",), pods=True)
    page = render([GroupCollector(settings, groups, no_meter)]).decode()
    assert 'cgroup_cpu_seconds_total{group="nginx.service"} 3.0' in page
    assert f'cgroup_cpu_seconds_total{{group="{UID}"}} 7.0' in page
    assert (
        'cgroup_info{group="nginx.service",id="system.slice/nginx.service",namespace="",pod=""} 1.0' in page
    )
    assert "cgroup_energy_joules_total{" not in page
