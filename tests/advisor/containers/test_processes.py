"""The engine's own processes and the host's memory, from fixed files."""

from __future__ import annotations

import os
from pathlib import Path

from advisor.containers.processes import EngineProcesses, memory_total_bytes
from tests.support.container_world import ContainerWorld

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def test_dockerd_containerd_and_shims_are_added_up(tmp_path: Path) -> None:
    """2 s, 1 s and 0.5 s of CPU over 10 s are 35 % of a core; 300 pages are theirs, the shell's are not."""
    world = ContainerWorld(tmp_path)
    names = {10: "dockerd", 11: "containerd", 12: "containerd-shim", 13: "bash"}
    for pid, name in names.items():
        world.daemon(pid, name, ticks=0, pages=100)
    processes = EngineProcesses(str(world.procfs))
    first = processes.look(100.0)
    assert first is not None
    assert first.cpu_percent is None
    for pid, seconds in {10: 2.0, 11: 1.0, 12: 0.5, 13: 9.0}.items():
        world.daemon(pid, names[pid], ticks=round(seconds * TICKS), pages=100)
    usage = processes.look(110.0)
    assert usage is not None
    assert usage.cpu_percent == 35.0
    assert usage.resident_bytes == 300 * PAGE


def test_a_process_that_begins_or_ends_makes_no_jump(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    world.daemon(11, "containerd-shim", ticks=1000 * TICKS, pages=1)
    processes = EngineProcesses(str(world.procfs))
    processes.look(100.0)
    for file in (world.procfs / "11").iterdir():
        file.unlink()
    (world.procfs / "11").rmdir()
    world.daemon(12, "containerd-shim", ticks=500 * TICKS, pages=1)
    world.daemon(10, "dockerd", ticks=TICKS, pages=1)
    usage = processes.look(110.0)
    assert usage is not None
    assert usage.cpu_percent == 10.0


def test_containerd_alone_is_no_docker_engine(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.daemon(11, "containerd", ticks=5, pages=1)
    assert EngineProcesses(str(world.procfs)).look(1.0) is None


def test_a_fork_that_became_something_else_is_not_the_engine(tmp_path: Path) -> None:
    """Between fork and exec a child has its parent's name."""
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    world.daemon(14, "dockerd", ticks=0, pages=7)
    processes = EngineProcesses(str(world.procfs))
    processes.look(1.0)
    world.daemon(14, "ffmpeg", ticks=50 * TICKS, pages=7)
    usage = processes.look(2.0)
    assert usage is not None
    assert (usage.cpu_percent, usage.resident_bytes) == (0.0, PAGE)


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert memory_total_bytes(str(tmp_path)) is None
    (tmp_path / "meminfo").write_text("MemTotal: lots\n")
    assert memory_total_bytes(str(tmp_path)) is None
    assert EngineProcesses(str(tmp_path / "none")).look(1.0) is None
