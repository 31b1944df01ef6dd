"""The last CPU seconds of containers that are gone, also from the real kernel."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from advisor.containers.cgroups import Cgroups
from advisor.containers.changes import Ended, EngineUp, Listed
from advisor.containers.clocks import Clock, GroupClocks
from advisor.containers.counts import Counts
from advisor.containers.exits import ExitWatch
from advisor.containers.monitor import Monitor
from advisor.containers.records import Container, EngineInfo
from advisor.energy.cpu import CpuTimes
from advisor.energy.meter import MeterReading
from tests.support.cgroup_tree import CgroupTree, cpu_seconds
from tests.support.waiting import wait_until

ID, OTHER = "4f" * 32, "5e" * 32


class Readings:
    """A parent whose files say what a test wants, look by look."""

    def __init__(self, folder: Path) -> None:
        self.tree = CgroupTree(folder / "cgroup", "v2")
        self.clocks = GroupClocks(Cgroups(str(self.tree.root)), Counts(), time.monotonic)
        self.held: dict[str, Clock] = {}

    def look(self, total: float, **groups: float) -> float:
        """CPU seconds that nobody read. ``groups``: CPU seconds by name; the others are gone."""
        self.tree.parent_cpu(total)
        for folder in (self.tree.root / "docker").iterdir():
            if folder.is_dir() and folder.name not in groups:
                shutil.rmtree(folder)
        for name, seconds in groups.items():
            self.tree.add(name, cpu_seconds=seconds)
        return self.clocks.look(self.held.values())[1]

    def follow(self, name: str) -> Clock:
        """The clock of a container that is known."""
        folder = self.tree.root / "docker" / name
        clock = self.clocks.clock((str(folder), folder.stat().st_ino), is_v2=True)
        self.held[name] = clock
        return clock


def test_what_ended_has_what_no_clock_shows(tmp_path: Path) -> None:
    """The parent gained 3 s and nothing is left: 1 s was read of a after the first look, none of b."""
    group = Readings(tmp_path)
    group.look(10.0, a=1.0)
    group.follow("a").read(2.0, 0.0)
    assert group.look(13.0) == 2.0


@pytest.mark.parametrize("again", [0.25, 9001.0])
def test_a_container_that_is_there_again_counts_from_zero(tmp_path: Path, again: float) -> None:
    """web had 9 000 s and half a second more at its end, whatever it has since it was started again."""
    group = Readings(tmp_path)
    group.look(9000.0, web=9000.0)
    group.follow("web")
    (group.tree.root / "docker" / "web").rename(tmp_path / "kept")  # else its inode is free for the next
    assert group.look(9000.5 + again, web=again) == 0.5
    assert group.follow("web").owed == again
    assert group.look(9000.5 + again) == 0.0, "and nobody has it once more"


def test_readings_that_cross_cancel_out(tmp_path: Path) -> None:
    """A group that is read late seems to have more than the whole, and less at the next look."""
    group = Readings(tmp_path)
    for total, seconds in ((10.0, 10.0), (11.0, 11.5), (12.0, 12.0)):
        assert group.look(total, a=seconds) == 0.0
        group.follow("a")
    assert group.look(12.25) == 0.25


def test_an_end_that_nobody_told_has_what_the_looks_showed(tmp_path: Path) -> None:
    """Nothing was read of it but by looks: 0.5 s in one, and 0.25 more before it was gone in the next."""
    group = Readings(tmp_path)
    for total, groups in ((1.0, {}), (1.5, {"a": 0.5})):
        assert group.look(total, **groups) == 0.0
    assert group.look(1.75) == 0.75


def test_what_was_there_before_and_ended_has_what_it_used_since(tmp_path: Path) -> None:
    group = Readings(tmp_path)
    group.look(5000.0, a=4000.0)
    assert group.look(5000.5) == 0.5


def test_a_parent_that_was_made_again_counts_from_zero(tmp_path: Path) -> None:
    """Of its 9 s, a had 5 before; then there are two other groups, and half a second of a third is unread."""
    group = Readings(tmp_path)
    for total, groups in ((5.0, {"a": 5.0}), (9.0, {"a": 9.0})):
        assert group.look(total, **groups) == 0.0
    (group.tree.root / "docker").rename(tmp_path / "former")
    assert group.look(1.5, b=1.0) == 0.5
    group.follow("b")
    assert group.look(2.0) == 0.5


def test_a_parent_that_takes_a_step_back_owes_nothing(tmp_path: Path) -> None:
    group = Readings(tmp_path)
    for total in (5.0, 9.0, 8.5, 9.0):
        assert group.look(total, a=total) == 0.0


def test_a_parent_that_the_engine_makes_later_begins_at_zero(tmp_path: Path) -> None:
    """The first container of all came and went before it could be read."""
    group = Readings(tmp_path)
    assert group.clocks.look() == (set(), 0.0)
    assert group.look(0.25) == 0.25


def test_a_broken_parent_claims_nothing(tmp_path: Path) -> None:
    group = Readings(tmp_path)
    group.look(1.0, a=1.0)
    stat = group.tree.root / "docker" / "cpu.stat"
    stat.write_text("nonsense\n")
    assert group.clocks.look() == (set(), 0.0)
    assert group.look(7.0) == 0.0


def test_a_wake_up_ends_the_wait() -> None:
    watch = ExitWatch()
    threading.Timer(0.05, watch.wake).start()
    assert watch.wait(30.0) == []
    watch.close()


def test_v1_groups_and_missing_files_are_not_watched(tmp_path: Path) -> None:
    watch = ExitWatch()
    for layout in ("v1", "v2"):
        tree = CgroupTree(tmp_path / layout, layout)  # type: ignore[arg-type]
        tree.add(ID)
        location = Cgroups(str(tree.root)).locate(ID)
        assert location is not None
        watch.add(ID, location)
    assert watch.wait(0.0) == []
    watch.close()


@pytest.fixture
def unified() -> Iterator[Path]:
    """A group of one's own in the machine's unified hierarchy."""
    roots = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
    root = next((r for r in roots if (r / "cgroup.controllers").exists()), None)
    if root is None or os.geteuid() != 0:
        pytest.skip("needs root and a unified control group hierarchy")
    parent = root / f"wattframe-{uuid.uuid4().hex[:8]}"
    try:
        parent.mkdir()
    except OSError as exc:
        pytest.skip(f"no control group can be made here: {exc.strerror}")
    yield parent
    for group in sorted((p for p in [parent, *parent.rglob("*")] if p.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()


def test_a_group_that_is_made_again_wakes_once(unified: Path) -> None:
    """As a unit's that is restarted: the file of the former one would tell of its end for ever."""
    group = unified / "web.service"
    group.mkdir()
    location = Cgroups(str(unified.parent)).location(f"{unified.name}/web.service")
    location = structs.replace(location, cpuacct=str(group), unified=frozenset({"cpuacct"}))
    watch = ExitWatch()
    watch.add("web", location)
    group.rmdir()
    group.mkdir()
    watch.wait(0.2)
    assert watch.wait(0.05) == []
    watch.close()


def test_the_kernel_tells_of_the_last_process_in_time_to_read_it(unified: Path) -> None:
    """A process burns 0.2 s of CPU in a group; the watch wakes at its end, when the count is final."""
    group = unified / f"docker-{ID}.scope"
    group.mkdir()
    cgroups = Cgroups(str(unified.parent))
    location = cgroups.locate(ID)
    assert location is not None, "found by looking through the tree"
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    enter = f"import os; open('{group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
    watch = ExitWatch()
    with subprocess.Popen([sys.executable, "-c", enter + burn]) as process:
        wait_until(lambda: "populated 1" in (group / "cgroup.events").read_text())
        watch.add(ID, location)
        told: list[str] = []
        wait_until(lambda: told.extend(watch.wait(1.0)) or told)
    assert process.returncode == 0
    assert told == [ID]
    seen = cpu_seconds(cgroups, location)
    time.sleep(0.05)
    assert seen >= 0.15
    assert cpu_seconds(cgroups, location) == pytest.approx(seen, abs=0.01)
    assert watch.wait(0.0) == [], "one end is told once"
    watch.discard(ID)
    watch.close()


def test_the_systemd_driver_s_containers_are_accounted_to_their_end(unified: Path) -> None:
    """``system.slice`` keeps no count of containers alone: only the kernel's word of the end tells the rest.

    0.3 s of CPU between two ticks, in the last of which the scope is gone; its joules go to the exited.
    """
    scope = unified / "system.slice" / f"docker-{ID}.scope"
    scope.mkdir(parents=True)
    cgroups, watch = Cgroups(str(unified)), ExitWatch()
    assert list(cgroups.parents()) == [(str(unified / "docker"), True)], "system.slice is not among them"
    readings = [
        MeterReading(0, 0, {"package_0": 0.0}, {}, CpuTimes(0.0, 0.0), None),
        MeterReading(10, 10, {"package_0": 400.0}, {}, CpuTimes(2.0, 20.0), None),
    ]
    monitor = Monitor(cgroups, procfs="/nowhere", watch=watch, read_meter=lambda: readings.pop(0))
    monitor.apply(EngineUp(EngineInfo("27.1.0", "1.46", 0.0)))
    monitor.apply(Listed((Container(id=ID, name="job", image="debian"),)))
    enter = f"import os; open('{scope}/cgroup.procs', 'w').write(str(os.getpid())); input()\n"
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", enter + burn], stdin=subprocess.PIPE) as process:
        wait_until(lambda: "populated 1" in (scope / "cgroup.events").read_text())
        before = monitor.tick().containers[0].cpu_seconds
        assert before is not None
        process.communicate(b"\n")
    wait_until(lambda: [monitor.sample(id) for id in watch.wait(1.0)])
    kernel = int((scope / "cpu.stat").read_text().split()[1]) / 1e6
    wait_until(lambda: gone(scope))
    monitor.apply(Ended(ID))
    after = monitor.tick()
    assert kernel >= before + 0.3
    assert (after.exited_containers, after.exited_cpu_seconds) == (1, pytest.approx(kernel, rel=0.02))
    assert after.energy is not None
    # active: 400 J * 2 / 20, and its part by CPU seconds within the window
    assert after.energy.exited_joules["active"] == pytest.approx(40.0 * (kernel - before) / 2.0, rel=0.02)
    assert after.energy.exited_joules["active"] + after.energy.unattributed_joules["active"] == pytest.approx(
        400.0
    )
    watch.close()


def gone(group: Path) -> bool:
    """Remove a group, as soon as the kernel lets go of its last process."""
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()
