"""The engine's own processes and the host's memory, from fixed files."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import structs

from advisor.common.control_group import machine_memory_bytes
from advisor.containers.processes import EngineProcesses
from advisor.containers.records import EngineInfo
from tests.support.container_world import ContainerWorld

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
DOCKER = EngineInfo("27.1.0", "1.46", 0.0)
ID = "ab" * 32
SHIM = f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {ID} -address /run/containerd.sock"


def test_dockerd_containerd_and_shims_are_added_up(tmp_path: Path) -> None:
    """2 s, 1 s and 0.5 s of CPU over 10 s are 35 % of a core; 300 pages are theirs, the shell's are not."""
    world = ContainerWorld(tmp_path)
    names = {10: "dockerd", 11: "containerd", 12: "containerd-shim", 13: "bash"}
    for pid, name in names.items():
        world.daemon(pid, name, ticks=0, pages=100, command=SHIM)
    processes = EngineProcesses(str(world.procfs))
    first = processes.look(100.0, DOCKER, [ID])
    assert first is not None
    assert first.cpu_percent is None
    for pid, seconds in {10: 2.0, 11: 1.0, 12: 0.5, 13: 9.0}.items():
        world.daemon(pid, names[pid], ticks=round(seconds * TICKS), pages=100, command=SHIM)
    usage = processes.look(110.0, DOCKER, [ID])
    assert usage is not None
    assert usage.cpu_percent == 35.0
    assert usage.resident_bytes == 300 * PAGE


def test_a_process_that_begins_or_ends_makes_no_jump(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    world.daemon(11, "containerd-shim", ticks=1000 * TICKS, pages=1, command=SHIM)
    processes = EngineProcesses(str(world.procfs))
    processes.look(100.0, DOCKER, [ID])
    for file in (world.procfs / "11").iterdir():
        file.unlink()
    (world.procfs / "11").rmdir()
    world.daemon(12, "containerd-shim", ticks=500 * TICKS, pages=1, command=SHIM)
    world.daemon(10, "dockerd", ticks=TICKS, pages=1)
    usage = processes.look(110.0, DOCKER, [ID])
    assert usage is not None
    assert usage.cpu_percent == 10.0


def test_containerd_alone_is_no_docker_engine(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.daemon(11, "containerd", ticks=5, pages=1)
    assert EngineProcesses(str(world.procfs)).look(1.0, DOCKER) is None


def test_a_fork_that_became_something_else_is_not_the_engine(tmp_path: Path) -> None:
    """Between fork and exec a child has its parent's name."""
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    world.daemon(14, "dockerd", ticks=0, pages=7, parent=10)
    processes = EngineProcesses(str(world.procfs))
    processes.look(1.0, DOCKER)
    world.daemon(14, "ffmpeg", ticks=50 * TICKS, pages=7, parent=10)
    usage = processes.look(2.0, DOCKER)
    assert usage is not None
    assert (usage.cpu_percent, usage.resident_bytes) == (0.0, PAGE)


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert machine_memory_bytes(str(tmp_path)) is None
    (tmp_path / "meminfo").write_text("MemTotal: lots\n")
    assert machine_memory_bytes(str(tmp_path)) is None
    assert EngineProcesses(str(tmp_path / "none")).look(1.0, DOCKER) is None


def test_of_two_engines_the_one_that_is_followed_counts(tmp_path: Path) -> None:
    """Process 20 listens: its own containerd and the shim of its container, not those of engine 10."""
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    world.daemon(11, "containerd", ticks=0, pages=2, parent=10)
    world.daemon(12, "containerd-shim", ticks=0, pages=4, command=SHIM.replace(ID, "cd" * 32))
    world.daemon(20, "dockerd", ticks=0, pages=8)
    world.daemon(21, "containerd", ticks=0, pages=16, parent=20)
    world.daemon(22, "containerd-shim", ticks=0, pages=32, command=SHIM)
    usage = EngineProcesses(str(world.procfs)).look(1.0, structs.replace(DOCKER, pid=20), [ID])
    assert usage is not None
    assert usage.resident_bytes == (8 + 16 + 32) * PAGE


def test_of_two_engines_that_cannot_be_told_apart_nothing_is_said(tmp_path: Path) -> None:
    """systemd (1) listens for one of them."""
    world = ContainerWorld(tmp_path)
    for pid in (10, 20):
        world.daemon(pid, "dockerd", ticks=0, pages=1)
    assert EngineProcesses(str(world.procfs)).look(1.0, structs.replace(DOCKER, pid=1)) is None


def test_an_engine_on_another_host_has_no_processes_here(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    assert EngineProcesses(str(world.procfs)).look(1.0, structs.replace(DOCKER, is_local=False)) is None


def test_podman_is_its_service_and_its_monitors(tmp_path: Path) -> None:
    """Not dockerd beside it, nor the podman command of a user."""
    world = ContainerWorld(tmp_path)
    world.daemon(10, "dockerd", ticks=0, pages=1)
    world.daemon(30, "podman", ticks=0, pages=2, command="podman system service -t 0")
    world.daemon(31, "podman", ticks=0, pages=4, command="podman run debian")
    world.daemon(32, "conmon", ticks=0, pages=8, command=f"/usr/bin/conmon --api-version 1 -c {ID} -u {ID}")
    podman = EngineInfo("4.9", "1.41", 0.0, kind="podman", pid=30)
    usage = EngineProcesses(str(world.procfs)).look(1.0, podman, [ID])
    assert usage is not None
    assert usage.resident_bytes == (2 + 8) * PAGE
