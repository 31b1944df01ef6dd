"""Systemd units and pods on the page of the docker_stats exporter, from a control group tree of files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from advisor.containers.engine import EngineAddress
from advisor.containers.group_watcher import Groups
from advisor.energy.cpu import CpuTimes
from advisor.energy.meter import Meter, MeterReading
from advisor.errors import EnergyError
from exporters.docker_stats import GroupCollector, Settings
from tests.support.exporter_client import page_of, render
from tests.support.meters import ConstantMeter
from tests.support.waiting import wait_until

UID = "8f4d7a0e-1c2b-4d3e-9f5a-6b7c8d9e0f1a"


def no_meter() -> Meter:
    raise EnergyError("no counters here")


@pytest.mark.parametrize("controllers", ["cpu memory\n", "memory pids\n"])
def test_units_and_pods_are_published_with_their_cpu_time(tmp_path: Path, controllers: str) -> None:
    """3 s of nginx.service, 7 s of a pod; without a meter there is no energy.

    Every v2 group counts its CPU time, with and without the controller that limits it.
    """
    (tmp_path / "cgroup.controllers").parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cgroup.controllers").write_text(controllers)
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


def test_on_a_hybrid_host_units_are_counted_by_the_unified_hierarchy(tmp_path: Path) -> None:
    """systemd made the unit's group there and under v1's cpu, and none under cpuacct."""
    unit = "system.slice/nginx.service"
    for folder in (f"unified/{unit}", f"cpu/{unit}", "cpuacct/system.slice"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "unified/cgroup.controllers").write_text("hugetlb\n")
    (tmp_path / f"unified/{unit}/cpu.stat").write_text("usage_usec 4000000\n")
    (tmp_path / "cpuacct/cpuacct.usage").write_text("9000000000\n")
    folder = str(tmp_path)
    settings = Settings(address=EngineAddress(), cgroupfs=folder, procfs=folder, sysfs=folder)
    page = render([GroupCollector(settings, Groups(units=("nginx.service",)), no_meter)]).decode()
    assert 'cgroup_cpu_seconds_total{group="nginx.service"} 4.0' in page


def test_on_a_hybrid_host_each_group_is_counted_once_wherever_it_is(tmp_path: Path) -> None:
    """A unit of both hierarchies, one that was made by hand under v1, a pod of the kubelet's under v1."""
    pod = f"kubepods/burstable/pod{UID}"
    for folder, nanoseconds in {"system.slice/a.service": 9, "hand.slice": 5, pod: 7}.items():
        (tmp_path / "cpuacct" / folder).mkdir(parents=True)
        (tmp_path / "cpuacct" / folder / "cpuacct.usage").write_text(f"{nanoseconds}000000000\n")
    (tmp_path / "unified/system.slice/a.service").mkdir(parents=True)
    (tmp_path / "unified/cgroup.controllers").write_text("\n")
    (tmp_path / "unified/system.slice/a.service/cpu.stat").write_text("usage_usec 4000000\n")
    folder = str(tmp_path)
    settings = Settings(address=EngineAddress(), cgroupfs=folder, procfs=folder, sysfs=folder)
    groups = Groups(units=(".*service", "hand.slice"), pods=True)
    page = render([GroupCollector(settings, groups, no_meter)]).decode()
    counted = {line for line in page.splitlines() if line.startswith("cgroup_cpu_seconds_total{")}
    assert counted == {
        'cgroup_cpu_seconds_total{group="a.service"} 4.0',
        'cgroup_cpu_seconds_total{group="hand.slice"} 5.0',
        f'cgroup_cpu_seconds_total{{group="{UID}"}} 7.0',
    }


def test_units_of_one_name_go_by_their_paths(tmp_path: Path) -> None:
    """Two system containers with a web server each, 10 and 20 s; what has its name alone keeps it."""
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    for folder, seconds in {
        "lxc.payload.a/nginx.service": 10,
        "lxc.payload.b/nginx.service": 20,
        "c.service": 5,
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cpu.stat").write_text(f"usage_usec {seconds}000000\n")
    folder = str(tmp_path)
    settings = Settings(address=EngineAddress(), cgroupfs=folder, procfs=folder, sysfs=folder)
    page = render([GroupCollector(settings, Groups(units=(".*service",)), no_meter)]).decode()
    counted = {line for line in page.splitlines() if line.startswith("cgroup_cpu_seconds_total{")}
    assert counted == {
        'cgroup_cpu_seconds_total{group="lxc.payload.a/nginx.service"} 10.0',
        'cgroup_cpu_seconds_total{group="lxc.payload.b/nginx.service"} 20.0',
        'cgroup_cpu_seconds_total{group="c.service"} 5.0',
    }


class HeldMeter(ConstantMeter):
    """1 000 W by the real clock, as the collector asks it."""

    interval_seconds = 0.05

    def __init__(self) -> None:
        super().__init__(1000.0)

    def read(self) -> MeterReading:
        """Of an idle machine."""
        return structs.replace(super().read(), cpu=CpuTimes(0.0, time.monotonic()))

    def settle(self, reading: MeterReading) -> MeterReading:
        """It is always sure."""
        return reading

    def stop(self) -> None:
        """Nothing to end."""


def test_sums_go_on_after_a_restart_with_what_was_drawn_meanwhile(tmp_path: Path) -> None:
    """Between two processes 0.3 s pass at 1 000 W: the second's sums hold 300 J more than the first's."""
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("a-boot\n")
    folder = str(tmp_path)
    settings = Settings(
        address=EngineAddress(),
        cgroupfs=folder,
        procfs=folder,
        sysfs=folder,
        interval_seconds=0.05,
        state=tmp_path / "state.json",
    )

    def unattributed() -> float:
        """Joules that a process shows before it is ended."""
        collector = GroupCollector(settings, Groups(units=(".*",)), cast("Callable[[], Meter]", HeldMeter))
        pages: list[bytes] = []

        def has_energy() -> bool:
            pages.append(page_of(collector))
            return b'cgroup_unattributed_energy_joules_total{policy="full"}' in pages[-1]

        collector.start()
        try:
            wait_until(has_energy)
        finally:
            collector.close()
        match = re.search(rb'cgroup_unattributed\S+policy="full"} (\S+)', pages[-1])
        assert match is not None
        return float(match[1])

    first = unattributed()
    time.sleep(0.3)
    assert unattributed() >= first + 300.0
