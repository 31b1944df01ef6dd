"""The process's own figures, from a checked-in /proc."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporters.runtime.process import ProcessMetrics

from exporters.runtime.families import render

# proc(5): field 14 utime, 15 stime, 20 threads, 22 starttime (ticks), 23 vsize (bytes), 24 rss (pages)
STAT = (
    "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 12300 33554432 2000 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
)


@pytest.fixture
def procfs(tmp_path: Path) -> Path:
    (tmp_path / "self" / "fd").mkdir(parents=True)
    for number in range(7):
        (tmp_path / "self" / "fd" / str(number)).touch()
    (tmp_path / "self" / "stat").write_text(STAT)
    (tmp_path / "stat").write_text("cpu  1 2 3\nbtime 1700000000\nprocesses 5\n")
    return tmp_path


def values(metrics: ProcessMetrics) -> dict[str, float]:
    lines = "".join(render(f).lines for f in metrics.collect()).splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines}


def test_figures_are_those_of_proc(procfs: Path) -> None:
    """At 100 ticks a second and pages of 4096 bytes, which every Linux on x86 and most on ARM have."""
    metrics = ProcessMetrics(str(procfs))
    metrics._ticks, metrics._page = 100, 4096
    found = values(metrics)
    del found["process_max_fds"]
    assert found == {
        "process_cpu_seconds_total": 3.0,
        "process_virtual_memory_bytes": 33554432,
        "process_resident_memory_bytes": 8192000,
        "process_start_time_seconds": 1700000123.0,
        "process_open_fds": 7,
    }


def test_proc_is_read_once_a_second(procfs: Path) -> None:
    now = [100.0]
    metrics = ProcessMetrics(str(procfs), clock=lambda: now[0])
    assert values(metrics)["process_open_fds"] == 7
    (procfs / "self" / "fd" / "7").touch()
    now[0] = 100.9
    assert values(metrics)["process_open_fds"] == 7
    now[0] = 101.0
    assert values(metrics)["process_open_fds"] == 8


def test_without_proc_there_are_no_figures(tmp_path: Path) -> None:
    assert ProcessMetrics(str(tmp_path)).collect() == []


def test_the_real_proc_has_this_process() -> None:
    found = values(ProcessMetrics())
    assert found["process_resident_memory_bytes"] > 10_000_000
    assert found["process_open_fds"] >= 3
