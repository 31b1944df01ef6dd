"""What the monitor makes of changes and files: numbers, energy, and containers that come and go."""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.containers.changes import Ended, EngineDown, EngineUp, Inspected, Listed, Started, Used
from advisor.containers.ledger import Sums
from advisor.containers.monitor import ContainerView, Snapshot
from advisor.containers.records import ApiUsage, Container, EngineInfo
from advisor.energy.attribution import POLICIES
from tests.support.cgroup_tree import Layout
from tests.support.container_world import ContainerWorld, container

INFO = EngineInfo("27.1.0", "1.46", 0.0)
WEB, JOB = container("a", "web"), container("b", "job")


def running(world: ContainerWorld, *containers: Container, cpu_seconds: float = 0.0) -> Snapshot:
    """An engine with containers that ran before, after the first tick."""
    for one in containers:
        world.tree.add(one.id, cpu_seconds=cpu_seconds)
    world.tree.parent_cpu(cpu_seconds * len(containers))
    world.monitor.apply(EngineUp(INFO))
    world.monitor.apply(Listed(containers))
    return world.monitor.tick()


def view(snapshot: Snapshot, name: str) -> ContainerView:
    return next(one for one in snapshot.containers if one.container.name == name)


def known(energy: Sums | None) -> Sums:
    assert energy is not None
    return energy


def holds(energy: Sums) -> bool:
    """Running + exited + unattributed = host, for both policies."""
    return all(
        math.isclose(
            math.fsum(
                [
                    *(one.joules[p] for one in energy.containers.values()),
                    energy.exited_joules[p],
                    energy.unattributed_joules[p],
                ]
            ),
            energy.host_joules,
            rel_tol=1e-9,
            abs_tol=1e-9,
        )
        for p in POLICIES
    )


def test_cpu_from_before_the_exporter_gets_no_energy(tmp_path: Path) -> None:
    """100 s were used before; 1 of 4 busy seconds of 40 J active in this window: 10 J."""
    world = ContainerWorld(tmp_path)
    running(world, WEB, cpu_seconds=100.0)
    world.pass_time(2.0, package=80.0, busy=4.0)
    world.tree.cpu(WEB.id, 101.0)
    energy = known(world.monitor.tick().energy)
    assert energy.containers[WEB.id].joules["active"] == 10.0
    assert energy.containers[WEB.id].joules["full"] == 20.0
    assert energy.host_joules == 80.0
    assert holds(energy)


def test_all_cpu_of_a_container_that_starts_is_counted(tmp_path: Path) -> None:
    """It used 0.5 s before it was first read."""
    world = ContainerWorld(tmp_path)
    running(world)
    world.pass_time(1.0, package=8.0, busy=1.0)
    world.tree.add(WEB.id, cpu_seconds=0.5)
    world.monitor.apply(Started(WEB, age_seconds=0.6))
    snapshot = world.monitor.tick()
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 4.0
    assert view(snapshot, "web").cpu_seconds == 0.5


def test_a_container_that_ends_keeps_its_energy_among_the_exited(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    world.pass_time(1.0, package=8.0, busy=2.0)
    world.tree.cpu(WEB.id, 1.0)
    world.tree.parent_cpu(1.0)
    before = known(world.monitor.tick().energy)
    world.tree.remove(WEB.id)
    world.monitor.apply(Ended(WEB.id))
    world.pass_time(1.0, package=8.0, busy=2.0)
    after = world.monitor.tick()
    energy = known(after.energy)
    assert [one.container.name for one in after.containers] == ["job"]
    assert WEB.id not in energy.containers
    assert energy.exited_joules["full"] == before.containers[WEB.id].joules["full"] == 4.0
    assert (after.exited_containers, after.exited_cpu_seconds) == (1, 1.0)
    assert holds(energy)


@pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
def test_what_a_container_used_after_its_last_reading_comes_from_the_parent(
    tmp_path: Path, layout: Layout
) -> None:
    """Its group is gone; the parent gained 1.5 s of which job has 0.5: the other second was its own."""
    world = ContainerWorld(tmp_path, layout)
    running(world, WEB, JOB)
    world.pass_time(1.0, package=8.0, busy=2.0)
    world.tree.cpu(JOB.id, 0.5)
    world.tree.parent_cpu(1.5)
    world.tree.remove(WEB.id)
    snapshot = world.monitor.tick()
    energy = known(snapshot.energy)
    assert snapshot.exited_cpu_seconds == 1.0
    assert energy.exited_joules["full"] == 4.0
    assert energy.containers[JOB.id].joules["full"] == 2.0
    assert snapshot.counts == {}, "that it ended is no error"


@pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
def test_the_first_container_of_a_folder_of_another_name_loses_nothing(
    tmp_path: Path, layout: Layout
) -> None:
    """Others used 5 s there before; it has 0.1 s when it is found, 0.35 s at its end, in one tick."""
    world = ContainerWorld(tmp_path, layout)
    running(world)
    world.tree.parent = "of-another-name/{}"
    world.tree.add(WEB.id, cpu_seconds=0.1)
    world.tree.parent_cpu(5.1)
    world.monitor.apply(Started(WEB, age_seconds=0.1))
    world.tree.parent_cpu(5.35)
    world.tree.remove(WEB.id)
    world.monitor.apply(Ended(WEB.id))
    world.pass_time(1.0, package=8.0, busy=1.0)
    assert world.monitor.tick().exited_cpu_seconds == pytest.approx(0.35)


def test_netdata_797_a_container_is_where_its_process_is(tmp_path: Path) -> None:
    """A list does not tell the process: an empty group of the usual name was followed. 1 of 2 busy s."""
    world = ContainerWorld(tmp_path)
    world.tree.parent = "system.slice/docker-{}.scope"
    running(world, WEB)
    world.tree.parent = "init.scope/system.slice/docker-{}.scope"
    world.tree.add(WEB.id, cpu_seconds=36.76)
    (world.procfs / "77").mkdir()
    (world.procfs / "77/cgroup").write_text(f"0::/init.scope/system.slice/docker-{WEB.id}.scope\n")
    world.monitor.apply(Inspected(Container(id=WEB.id, name="web", image="i", pid=77)))
    world.monitor.tick()
    world.tree.cpu(WEB.id, 37.76)
    world.pass_time(1.0, package=16.0, busy=2.0)
    snapshot = world.monitor.tick()
    assert view(snapshot, "web").cpu_seconds == 37.76
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 8.0


@pytest.mark.parametrize("parent", ["system.slice/app.service/{}", "app.slice/{}", "user.slice/s-2.scope/{}"])
def test_what_a_unit_does_itself_is_no_container_s(tmp_path: Path, parent: str) -> None:
    """cadvisor 2791: a service's own group is its container's parent. It works 6 s, the container 1."""
    world = ContainerWorld(tmp_path, "v1")
    world.tree.parent = parent
    running(world, WEB)
    world.tree.parent_cpu(0.0)
    world.monitor.tick()
    world.tree.cpu(WEB.id, 1.0)
    world.tree.parent_cpu(7.0)
    world.pass_time(2.0, package=80.0, busy=8.0)
    world.monitor.tick()
    world.tree.remove(WEB.id)
    world.pass_time(1.0)
    snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (1, 1.0)
    assert known(snapshot.energy).exited_joules["full"] == 10.0


def test_a_container_that_came_and_went_between_two_ticks_is_accounted(tmp_path: Path) -> None:
    """Nothing of it could ever be read; the parent kept its 0.3 s."""
    world = ContainerWorld(tmp_path)
    running(world, JOB)
    world.pass_time(0.5)
    world.monitor.apply(Started(WEB, age_seconds=0.4))
    world.monitor.apply(Ended(WEB.id))
    world.tree.parent_cpu(0.3)
    world.pass_time(0.5, package=8.0, busy=0.6)
    snapshot = world.monitor.tick()
    assert snapshot.exited_cpu_seconds == pytest.approx(0.3)
    assert known(snapshot.energy).exited_joules["full"] == pytest.approx(4.0)
    assert snapshot.counts == {}


def test_an_end_that_is_told_after_the_tick_has_its_part_in_the_window_that_it_ran_in(tmp_path: Path) -> None:
    """The parent shows 0.3 s that no group has: of one that ended, whatever its name was."""
    world = ContainerWorld(tmp_path)
    running(world, JOB)
    world.tree.parent_cpu(0.3)
    world.pass_time(1.0, package=8.0, busy=0.6)
    assert world.monitor.tick().exited_cpu_seconds == pytest.approx(0.3)
    world.monitor.apply(Started(WEB, age_seconds=0.4))
    world.monitor.apply(Ended(WEB.id))
    world.pass_time(1.0, package=80.0, busy=0.6)
    snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (1, pytest.approx(0.3))
    assert known(snapshot.energy).exited_joules["full"] == pytest.approx(4.0)
    assert snapshot.counts == {}


def test_a_container_that_was_read_and_gone_between_two_ticks_is_counted_once(tmp_path: Path) -> None:
    """0.2 s were read of it, and 0.1 s are the parent's to tell."""
    world = ContainerWorld(tmp_path)
    running(world, JOB)
    world.tree.add(WEB.id, cpu_seconds=0.2)
    world.monitor.apply(Started(WEB, age_seconds=0.0))
    world.tree.remove(WEB.id)
    world.tree.parent_cpu(0.3)
    world.monitor.apply(Ended(WEB.id))
    assert world.monitor.tick().exited_cpu_seconds == pytest.approx(0.3)


def test_an_end_of_which_nothing_is_known_is_counted(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world)
    world.monitor.apply(Started(WEB, age_seconds=0.0))
    world.monitor.apply(Ended(WEB.id))
    snapshot = world.monitor.tick()
    assert snapshot.exited_containers == 1
    assert snapshot.counts == {("container", "unseen"): 1}


def test_young_containers_are_read_between_ticks(tmp_path: Path) -> None:
    """Under the systemd driver no parent helps: what was read while it was young is what is known."""
    world = ContainerWorld(tmp_path)
    world.tree.parent = "system.slice/docker-{}.scope"
    running(world)
    world.tree.add(WEB.id)
    world.monitor.apply(Started(WEB, age_seconds=0.0))
    assert world.monitor.young() == [WEB.id]
    world.pass_time(0.25)
    world.tree.cpu(WEB.id, 0.25)
    world.monitor.sample(WEB.id)
    world.tree.remove(WEB.id)
    world.monitor.sample(WEB.id)
    world.pass_time(0.75, package=4.0, busy=1.0)
    snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (1, 0.25)
    assert known(snapshot.energy).exited_joules["full"] == 1.0
    assert world.monitor.young() == []


def test_cpu_percent_is_over_the_time_between_two_ticks(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    assert view(running(world, WEB, cpu_seconds=10.0), "web").cpu_percent is None
    world.pass_time(2.0)
    world.tree.cpu(WEB.id, 13.0)
    assert view(world.monitor.tick(), "web").cpu_percent == 150.0


def test_a_counter_that_goes_backwards_is_counted_and_loses_nothing_after(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB, cpu_seconds=10.0)
    world.pass_time(1.0, package=8.0, busy=1.0)
    world.tree.cpu(WEB.id, 9.0)
    snapshot = world.monitor.tick()
    assert view(snapshot, "web").cpu_percent is None
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 0.0
    assert snapshot.counts == {("cgroup", "backwards"): 1}
    world.pass_time(1.0, package=8.0, busy=1.0)
    world.tree.cpu(WEB.id, 9.5)
    assert known(world.monitor.tick().energy).containers[WEB.id].joules["full"] == 4.0


@pytest.mark.parametrize("parent", ["docker/{}", "system.slice/docker-{}.scope"])
def test_a_restart_is_seen_before_it_is_told(tmp_path: Path, parent: str) -> None:
    """Of 8 J over 4 busy seconds the former start had 1 s, the new one 2, at the same path."""
    world = ContainerWorld(tmp_path)
    world.tree.parent = parent
    running(world, WEB, cpu_seconds=3.0)
    world.pass_time(4.0, package=8.0, busy=4.0)
    world.tree.cpu(WEB.id, 4.0)
    world.monitor.sample(WEB.id)
    world.tree.folder("cpuacct", WEB.id).rename(tmp_path / "former")
    world.tree.add(WEB.id, cpu_seconds=2.0)
    world.tree.parent_cpu(6.0)
    for told in (None, Ended(WEB.id), Started(WEB, age_seconds=0.1)):
        if told is not None:
            world.monitor.apply(told)
        snapshot = world.monitor.tick()
        energy = known(snapshot.energy)
        assert energy.containers[WEB.id].joules["full"] == 4.0
        assert energy.exited_joules["full"] == 2.0
        assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (1, 4.0)
        assert view(snapshot, "web").cpu_seconds == 2.0
        assert snapshot.counts == {}
    world.tree.remove(WEB.id)
    world.monitor.apply(Ended(WEB.id))
    assert world.monitor.tick().exited_containers == 2


def test_ends_that_were_seen_are_not_counted_again_when_they_are_told(tmp_path: Path) -> None:
    """It was started again and ended again before the engine told of its first end."""
    world = ContainerWorld(tmp_path)
    world.tree.parent = "system.slice/docker-{}.scope"
    running(world, WEB)
    world.tree.folder("cpuacct", WEB.id).rename(tmp_path / "former")
    world.tree.add(WEB.id)
    world.monitor.tick()
    world.tree.remove(WEB.id)
    assert world.monitor.tick().exited_containers == 2
    for told in (Ended(WEB.id), Started(WEB, 0.5), Ended(WEB.id)):
        world.monitor.apply(told)
    snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, snapshot.counts) == (2, {})
    world.tree.add(WEB.id)
    world.monitor.apply(Started(WEB, 0.0))
    assert len(world.monitor.tick().containers) == 1


@pytest.mark.parametrize(
    ("parent", "exited"), [("docker/{}", 0.75), ("system.slice/docker-{}.scope", 0.25)], ids=["all", "seen"]
)
def test_a_restart_that_is_told_late_gives_the_exited_each_cpu_second_once(
    tmp_path: Path, parent: str, exited: float
) -> None:
    """The first start had 0.5 s, and what is told of it finds the group of the second, which has 0.25 s."""
    world = ContainerWorld(tmp_path)
    world.tree.parent = parent
    running(world, JOB)
    world.tree.add(WEB.id, cpu_seconds=0.5)
    world.tree.folder("cpuacct", WEB.id).rename(tmp_path / "former")
    world.tree.add(WEB.id, cpu_seconds=0.25)
    world.tree.parent_cpu(0.75)
    for told in (Started(WEB, 0.2), Ended(WEB.id), Started(WEB, 0.1)):
        world.monitor.apply(told)
    world.monitor.tick()
    world.tree.remove(WEB.id)
    world.monitor.apply(Ended(WEB.id))
    snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (2, exited)


@pytest.mark.parametrize(
    "is_earlier", [True, False], ids=["of an earlier start", "before its group is removed"]
)
def test_an_end_that_is_told_while_the_group_is_there_is_one_end(tmp_path: Path, is_earlier: bool) -> None:
    """It has 3 s in one window and half a second in the next, and all of it once."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.monitor.tick()
    for seconds, told in ((3.0, ()), (3.5, (Ended(WEB.id), *(Started(WEB, 0.1) for _ in range(is_earlier))))):
        world.pass_time(1.0, package=8.0, busy=4.0)
        world.tree.cpu(WEB.id, seconds)
        world.tree.parent_cpu(seconds)
        for change in told:
            world.monitor.apply(change)
        snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, view(snapshot, "web").cpu_seconds) == (1, 3.5)
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 7.0
    world.tree.remove(WEB.id)
    snapshot = world.monitor.tick()
    for _ in range(is_earlier):
        world.monitor.apply(Ended(WEB.id))
        snapshot = world.monitor.tick()
    assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (1 + is_earlier, 3.5)
    assert (snapshot.containers, snapshot.counts) == ((), {})


def test_an_end_is_one_where_a_list_comes_between_it_and_the_removal_of_the_group(tmp_path: Path) -> None:
    """Lists come every half a minute. It is started again after that, and ends again."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    for ends, cpu in enumerate((1.0, 0.5), start=1):
        world.tree.cpu(WEB.id, cpu)
        world.tree.parent_cpu(cpu if ends == 1 else 1.5)
        world.monitor.apply(Ended(WEB.id))
        world.monitor.apply(Listed(()))
        world.tree.remove(WEB.id)
        snapshot = world.monitor.tick()
        assert (snapshot.containers, snapshot.exited_containers) == ((), ends)
        world.tree.add(WEB.id)
        world.monitor.apply(Started(WEB, 0.0))
    assert snapshot.exited_cpu_seconds == 1.5


def test_a_container_that_is_inspected_while_its_groups_go_has_its_energy_once(tmp_path: Path) -> None:
    """Version 1 has a group for each controller, removed one by one: memory's is gone, CPU time's is not."""
    world = ContainerWorld(tmp_path, "v1")
    running(world)
    world.tree.add(WEB.id)
    world.monitor.apply(Started(WEB, 0.0))
    world.monitor.tick()
    world.tree.cpu(WEB.id, 1.0)
    world.pass_time(1.0, package=8.0, busy=2.0)
    world.monitor.tick()
    shutil.rmtree(world.tree.folder("memory", WEB.id))
    world.monitor.apply(Inspected(WEB))
    world.pass_time(1.0, package=8.0, busy=2.0)
    assert known(world.monitor.tick().energy).containers[WEB.id].joules["full"] == 4.0


def test_ends_of_before_a_reconnection_are_counted_once_when_they_are_told_after_it(tmp_path: Path) -> None:
    """The lists of two connections did not name it, and neither lasted until its events were told."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.tree.remove(WEB.id)
    for _ in range(2):
        world.monitor.apply(EngineDown())
        world.monitor.apply(EngineUp(INFO))
        world.monitor.apply(Listed(()))
    for told in (Started(WEB, 9.0), Ended(WEB.id)):
        world.monitor.apply(told)
    assert world.monitor.tick().exited_containers == 1


def test_a_list_that_is_older_than_an_end_that_was_seen_starts_nothing(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.tree.parent = "system.slice/docker-{}.scope"
    running(world, WEB, cpu_seconds=3.0)
    world.tree.remove(WEB.id)
    world.monitor.tick()
    for told in (Listed((WEB,), age_seconds=2.0), Ended(WEB.id), Listed(())):
        world.monitor.apply(told)
        snapshot = world.monitor.tick()
        assert (snapshot.containers, snapshot.exited_containers, snapshot.counts) == ((), 1, {})


def test_a_restart_that_the_engine_tells_after_it_was_away_is_one_end(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.tree.parent = "system.slice/docker-{}.scope"
    running(world, WEB, cpu_seconds=3.0)
    world.monitor.apply(EngineDown())
    world.tree.folder("cpuacct", WEB.id).rename(tmp_path / "former")
    world.tree.add(WEB.id)
    for told in (None, EngineUp(INFO), Listed((WEB,)), Ended(WEB.id), Started(WEB, 9.0)):
        if told is not None:
            world.monitor.apply(told)
        snapshot = world.monitor.tick()
        assert (len(snapshot.containers), snapshot.exited_containers) == (1, 1)


def test_a_unit_that_is_back_when_it_is_listed_again_has_all_its_cpu_seconds(tmp_path: Path) -> None:
    """coroot-node-agent 340. A tick saw it gone; of 8 J over 4 busy seconds the new start had 2 s."""
    world = ContainerWorld(tmp_path)
    world.tree.parent = "system.slice/docker-{}.scope"
    running(world, WEB, cpu_seconds=3.0)
    world.tree.remove(WEB.id)
    assert world.monitor.tick().containers == ()
    world.tree.add(WEB.id, cpu_seconds=2.0)
    world.pass_time(4.0, package=8.0, busy=4.0)
    world.monitor.apply(Listed((WEB,), age_seconds=2.0))
    assert known(world.monitor.tick().energy).containers[WEB.id].joules["full"] == 4.0


def test_a_group_that_is_half_removed_is_gone_once(tmp_path: Path) -> None:
    """The kernel takes its files away before the folder."""
    world = ContainerWorld(tmp_path)
    running(world, WEB, cpu_seconds=3.0)
    (world.tree.folder("cpuacct", WEB.id) / "cpu.stat").unlink()
    snapshot = world.monitor.tick()
    assert (snapshot.containers, snapshot.exited_containers) == ((), 1)


def test_nonsense_in_one_container_leaves_the_others_right(tmp_path: Path) -> None:
    """And what it used meanwhile is no ended one's: it has all its 3 s when it can be read again."""
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    (world.tree.folder("cpuacct", WEB.id) / "cpu.stat").write_text("nonsense\n")
    world.tree.cpu(JOB.id, 1.0)
    world.tree.parent_cpu(3.0)
    world.pass_time(1.0, package=8.0, busy=2.0)
    snapshot = world.monitor.tick()
    assert known(snapshot.energy).containers[JOB.id].joules["full"] == 4.0
    assert ("cgroup", "malformed") in snapshot.counts
    assert {one.container.name for one in snapshot.containers} == {"web", "job"}
    world.tree.cpu(WEB.id, 3.0)
    world.tree.parent_cpu(4.0)
    world.pass_time(1.0, package=8.0, busy=4.0)
    snapshot = world.monitor.tick()
    assert (snapshot.exited_cpu_seconds, view(snapshot, "web").cpu_seconds) == (0.0, 3.0)
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 6.0


@pytest.mark.parametrize(
    ("instead", "counted"), [(Path.mkdir, "unreadable"), (os.mkfifo, "malformed")], ids=["folder", "pipe"]
)
def test_a_file_that_is_none_ends_no_container(
    tmp_path: Path, instead: Callable[[Path], None], counted: str
) -> None:
    """Only a group that is gone is an end; and a pipe nobody writes to keeps nobody waiting."""
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    file = world.tree.folder("cpuacct", WEB.id) / "cpu.stat"
    file.unlink()
    instead(file)
    snapshot = world.monitor.tick()
    assert {one.container.name for one in snapshot.containers} == {"web", "job"}
    assert ("cgroup", counted) in snapshot.counts


def test_a_meter_that_fails_loses_no_joule(tmp_path: Path) -> None:
    """The window stays open until the next reading."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.meter_fails = True
    world.pass_time(1.0, package=8.0, busy=2.0)
    world.tree.cpu(WEB.id, 1.0)
    assert world.monitor.tick().energy is None
    world.meter_fails = False
    world.pass_time(1.0, package=8.0, busy=2.0)
    world.tree.cpu(WEB.id, 2.0)
    snapshot = world.monitor.tick()
    assert known(snapshot.energy).host_joules == 16.0
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 8.0
    assert snapshot.counts == {("meter", "unreadable"): 1}


def test_a_zone_that_vanishes_for_a_while_loses_no_joule(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    package = world.joules.pop("package_0")
    world.joules["psys_0"] = 1000.0
    world.clock.advance(1.0)
    world.joules["dram_0"] += 1.0
    assert known(world.monitor.tick().energy).host_joules == 1.0, (
        "psys contains the package and is no stand-in"
    )
    world.clock.advance(1.0)
    world.joules["package_0"] = package + 16.0
    assert known(world.monitor.tick().energy).host_joules == 17.0


def test_without_the_host_s_cpu_time_no_energy_is_shared(tmp_path: Path) -> None:
    """A share of nobody knows what is absent, and no 0; it is counted."""
    world = ContainerWorld(tmp_path)
    world.busy = None
    running(world, WEB)
    world.pass_time(1.0, package=8.0)
    world.tree.cpu(WEB.id, 1.0)
    snapshot = world.monitor.tick()
    assert snapshot.energy is None
    assert view(snapshot, "web").energy_joules == {}
    assert snapshot.counts == {("meter", "unknown_cpu"): 2}


def test_a_second_without_the_host_s_cpu_time_comes_with_the_next(tmp_path: Path) -> None:
    """1 of 2 busy seconds of 16 J over two seconds."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.pass_time(1.0, package=8.0, busy=1.0)
    busy, world.busy = world.busy, None
    world.tree.cpu(WEB.id, 0.5)
    world.monitor.tick()
    world.busy = busy
    world.pass_time(1.0, package=8.0, busy=1.0)
    world.tree.cpu(WEB.id, 1.0)
    energy = known(world.monitor.tick().energy)
    assert energy.containers[WEB.id].joules["full"] == 8.0
    assert holds(energy)


def test_without_a_meter_there_is_no_energy(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path, has_meter=False)
    running(world, WEB)
    world.pass_time(1.0)
    assert world.monitor.tick().energy is None


def test_an_engine_that_goes_leaves_the_containers_that_still_run(tmp_path: Path) -> None:
    """With live restore they outlive dockerd; without, their groups vanish."""
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    world.monitor.apply(EngineDown())
    world.tree.remove(JOB.id)
    world.tree.cpu(WEB.id, 1.0)
    world.pass_time(1.0)
    snapshot = world.monitor.tick()
    assert snapshot.engine is None
    assert [one.container.name for one in snapshot.containers] == ["web"]
    assert view(snapshot, "web").cpu_seconds == 1.0


def test_a_list_ends_what_it_does_not_name(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    world.monitor.apply(Listed((JOB,)))
    assert [one.container.name for one in world.monitor.tick().containers] == ["job"]


def test_a_list_brings_the_name_of_now_and_keeps_what_an_inspection_told(tmp_path: Path) -> None:
    """A rename of which nobody told. The image's name in a list becomes a hash when its tag moves on."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.monitor.apply(Inspected(container("a", "web", pid=7, restarts=1)))
    world.monitor.apply(Listed((container("a", "api", image="sha256:4f", labels={"team": "video"}),)))
    # moby 23319: a container that was given its own name has none in the list
    world.monitor.apply(Listed((container("a", "a" * 12),)))
    (one,) = world.monitor.tick().containers
    assert one.container == container("a", "api", pid=7, restarts=1, labels={"team": "video"})


def test_a_start_that_is_told_a_tick_late_has_all_its_cpu_seconds(tmp_path: Path) -> None:
    """The look of the tick before saw its first 0.5 s; of 1.5 busy seconds and 12 J since, 1 s is its own."""
    world = ContainerWorld(tmp_path)
    running(world)
    world.tree.add(WEB.id, cpu_seconds=0.5)
    world.tree.parent_cpu(0.5)
    world.pass_time(1.0, package=8.0, busy=1.0)
    world.monitor.tick()
    world.tree.cpu(WEB.id, 1.0)
    world.tree.parent_cpu(1.0)
    world.monitor.apply(Started(WEB, age_seconds=1.2))
    world.pass_time(1.0, package=12.0, busy=1.5)
    assert known(world.monitor.tick().energy).containers[WEB.id].joules["full"] == 8.0


def test_a_start_that_is_told_twice_is_one_container(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB, cpu_seconds=5.0)
    world.monitor.apply(Started(WEB, age_seconds=0.0))
    world.pass_time(1.0, package=8.0, busy=1.0)
    snapshot = world.monitor.tick()
    assert len(snapshot.containers) == 1
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 0.0


def test_names_and_inspections_arrive_later(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.process(7, WEB.id, received=70, sent=9)
    world.monitor.apply(Inspected(container("a", "api", pid=7, own_network=True, restarts=1)))
    world.pass_time(6.0)
    container_view = view(world.monitor.tick(), "api")
    assert container_view.container.restarts == 1
    assert (container_view.details.network_receive_bytes, container_view.details.network_transmit_bytes) == (
        70,
        9,
    )
    world.monitor.apply(Inspected(container("f", "x")))
    world.monitor.apply(Ended("none"))
    assert len(world.monitor.tick().containers) == 1, "what is told of strangers changes nothing"


def test_the_network_of_another_is_not_its_own(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.process(7, WEB.id, received=70, sent=9)
    running(world, container("a", "web", pid=7, own_network=False))
    assert view(world.monitor.tick(), "web").details.network_receive_bytes is None


def test_a_process_number_of_another_host_gives_no_network(tmp_path: Path) -> None:
    """An exporter in a container of its own sees other processes under the same numbers."""
    world = ContainerWorld(tmp_path)
    world.process(7, JOB.id, received=70, sent=9)
    running(world, container("a", "web", pid=7, own_network=True))
    assert view(world.monitor.tick(), "web").details.network_receive_bytes is None


def test_a_broken_network_table_hides_nothing_else(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.process(7, WEB.id)
    (world.procfs / "7/net/dev").write_text("a\nb\n eth0: 1 2\n")
    snapshot = running(world, container("a", "web", pid=7, own_network=True))
    assert view(snapshot, "web").details.memory_working_set_bytes == 0
    assert snapshot.counts == {("proc", "malformed"): 1}


def usage(cpu_seconds: float, at: float, limit: int = 64_000_000) -> ApiUsage:
    return ApiUsage(
        cpu_seconds=cpu_seconds,
        unix_seconds=at,
        throttled_seconds=0.5,
        memory_working_set_bytes=32_000_000,
        memory_limit_bytes=limit,
        block_read_bytes=1,
        block_write_bytes=2,
        network_receive_bytes=3,
        network_transmit_bytes=4,
    )


def without_files(world: ContainerWorld) -> None:
    """A container of which no group can be seen, and one round of the engine's statistics."""
    world.monitor.apply(EngineUp(INFO))
    world.monitor.apply(Listed((WEB,)))
    world.monitor.tick()
    assert world.monitor.without_files() == (WEB.id,)
    world.monitor.apply(Used({WEB.id: usage(10.0, 100.0)}))
    world.monitor.tick()


def test_the_engine_tells_what_files_do_not(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    without_files(world)
    world.pass_time(5.0, package=80.0, busy=4.0)
    world.monitor.apply(Used({WEB.id: usage(11.0, 105.0)}))
    snapshot = world.monitor.tick()
    web = view(snapshot, "web")
    assert (web.cpu_seconds, web.cpu_percent, web.memory_percent) == (11.0, 20.0, 50.0)
    assert web.details.throttled_seconds == 0.5
    assert known(snapshot.energy).containers[WEB.id].joules["full"] == 20.0


def test_files_that_are_found_later_take_over_from_the_engine(tmp_path: Path) -> None:
    """Else all energy would wait for a round of statistics that nobody asks for any more."""
    world = ContainerWorld(tmp_path)
    without_files(world)
    world.tree.add(WEB.id, cpu_seconds=11.0)
    world.pass_time(6.0, package=80.0, busy=4.0)
    world.monitor.tick()
    assert world.monitor.without_files() == ()
    before = 0.0
    for seconds in (12.0, 13.0):
        world.pass_time(1.0, package=8.0, busy=1.0)
        world.tree.cpu(WEB.id, seconds)
        snapshot = world.monitor.tick()
        energy = known(snapshot.energy)
        assert energy.containers[WEB.id].joules["full"] >= before + 8.0
        before = energy.containers[WEB.id].joules["full"]
    assert view(snapshot, "web").cpu_percent == 100.0


def test_after_the_engine_s_clock_was_set_back_no_percent_is_left_from_before(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    without_files(world)
    for cpu_seconds, at, percent in ((11.0, 105.0, 20.0), (12.0, 10.0, None), (14.0, 20.0, 20.0)):
        world.monitor.apply(Used({WEB.id: usage(cpu_seconds, at)}))
        assert view(world.monitor.tick(), "web").cpu_percent == percent


def test_a_window_waits_for_the_engines_next_round(tmp_path: Path) -> None:
    """Ticks come each second and rounds every five: the joules of all five belong to the round's CPU time."""
    world = ContainerWorld(tmp_path)
    without_files(world)
    for _ in range(4):
        world.pass_time(1.0, package=16.0, busy=1.0)
        assert known(world.monitor.tick().energy).host_joules == 0.0
    world.pass_time(1.0, package=16.0, busy=1.0)
    world.monitor.apply(Used({WEB.id: usage(12.5, 105.0)}))
    energy = known(world.monitor.tick().energy)
    assert (energy.host_joules, energy.containers[WEB.id].joules["full"]) == (80.0, 40.0)


def test_what_the_engine_told_is_forgotten_when_it_goes(tmp_path: Path) -> None:
    """Stale numbers are not published, and what was used meanwhile goes to nobody."""
    world = ContainerWorld(tmp_path)
    without_files(world)
    world.monitor.apply(EngineDown())
    web = view(world.monitor.tick(), "web")
    assert (web.cpu_seconds, web.cpu_percent, web.memory_percent) == (None, None, None)
    world.pass_time(60.0, package=100.0, busy=10.0)
    world.monitor.apply(EngineUp(INFO))
    world.monitor.apply(Used({WEB.id: usage(20.0, 160.0)}))
    energy = known(world.monitor.tick().energy)
    assert WEB.id not in energy.containers or energy.containers[WEB.id].joules["full"] == 0.0


def test_what_the_engine_told_last_has_its_joules_when_it_goes(tmp_path: Path) -> None:
    """Of 80 J over 4 busy seconds the container had 1 s."""
    world = ContainerWorld(tmp_path)
    without_files(world)
    world.pass_time(5.0, package=80.0, busy=4.0)
    world.monitor.apply(Used({WEB.id: usage(11.0, 105.0)}))
    world.monitor.apply(EngineDown())
    assert known(world.monitor.tick().energy).containers[WEB.id].joules["full"] == 20.0


@pytest.mark.parametrize("own_network", [False, True, None])
def test_the_engine_s_traffic_of_a_pod_belongs_to_one_container(
    tmp_path: Path, own_network: bool | None
) -> None:
    """podman 6470: each container of a pod is told the traffic of all of it."""
    world = ContainerWorld(tmp_path)
    without_files(world)
    world.monitor.apply(Inspected(container("a", "web", own_network=own_network)))
    world.monitor.apply(Used({WEB.id: usage(11.0, 105.0)}))
    received = view(world.monitor.tick(), "web").details.network_receive_bytes
    assert received == (3 if own_network else None)


def test_the_hosts_memory_as_a_limit_is_no_limit(tmp_path: Path) -> None:
    """The engine writes it for a container that has none. The host has 1 000 000 kB."""
    world = ContainerWorld(tmp_path)
    without_files(world)
    world.monitor.apply(Used({WEB.id: usage(11.0, 105.0, limit=1_024_000_000)}))
    web = view(world.monitor.tick(), "web")
    assert web.details.memory_limit_bytes is None
    assert web.memory_percent == 100.0 * 32_000_000 / 1_024_000_000


def test_a_remote_engine_gets_no_energy_of_this_machine(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path, is_local=False)
    without_files(world)
    world.pass_time(5.0, package=80.0, busy=4.0)
    world.monitor.apply(Used({WEB.id: usage(11.0, 105.0)}))
    assert world.monitor.tick().energy is None


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32), layout=st.sampled_from(["v1", "v2", "hybrid"]))
def test_containers_that_come_and_go_never_break_the_sums(
    tmp_path_factory: pytest.TempPathFactory, seed: int, layout: Layout
) -> None:
    """Random starts, ends, lost events and vanishing groups: no sum breaks and no counter decreases."""
    chance = random.Random(seed)
    world = ContainerWorld(tmp_path_factory.mktemp("world"), layout)
    running(world)
    alive: dict[str, float] = {}
    parent = 0.0
    last: Sums | None = None
    for step in range(12):
        for number in range(chance.randint(0, 3)):
            one = Container(id=f"{step:032x}{number:032x}", name=f"c{step}-{number}", image="i")
            alive[one.id] = 0.0
            world.tree.add(one.id)
            if chance.random() < 0.9:
                world.monitor.apply(Started(one, age_seconds=chance.random()))
        for id in alive:
            more = chance.random()
            alive[id] += more
            parent += more
            world.tree.cpu(id, alive[id])
        world.tree.parent_cpu(parent)
        for id in [id for id in alive if chance.random() < 0.3]:
            world.tree.remove(id)
            del alive[id]
            if chance.random() < 0.7:
                world.monitor.apply(Ended(id))
        if chance.random() < 0.5:
            for id in world.monitor.young():
                world.monitor.sample(id)
        world.pass_time(1.0, package=chance.random() * 100, busy=chance.random() * 4)
        energy = world.monitor.tick().energy
        if energy is None:
            continue
        assert holds(energy)
        if last is not None:
            for policy in POLICIES:
                assert energy.exited_joules[policy] >= last.exited_joules[policy]
                assert energy.unattributed_joules[policy] >= last.unattributed_joules[policy]
        last = energy


@pytest.mark.parametrize("seed", range(8))
def test_of_containers_that_start_again_and_again_each_end_and_second_is_counted_once(
    tmp_path: Path, seed: int
) -> None:
    """Two in a loop for ten seconds, of which the engine tells late; groups go before or after that."""
    chance = random.Random(seed)
    world = ContainerWorld(tmp_path)
    running(world)
    is_early, latest, due = chance.random() < 0.4, chance.choice((0.0, 0.3, 3.0)), 0.0
    alive: dict[str, float] = {}
    dying: dict[str, int] = {}
    told: list[tuple[float, float, str]] = []
    total, ends = 0.0, 0
    for step in range(160):
        now = step / 8
        for one in (WEB, JOB):
            if one.id in alive and dying.get(one.id) == step:
                world.tree.folder("cpu", one.id).rename(tmp_path / f"former{step}{one.name}")
                del alive[one.id], dying[one.id]
            elif one.id in alive:
                alive[one.id] += 0.0625
                total += 0.0625
                world.tree.cpu(one.id, alive[one.id])
            elif step < 80 and chance.random() < 0.5:
                alive[one.id] = 0.0
                world.tree.add(one.id)
                due = max(due, now + chance.random() * latest)
                told.append((due, now, one.name))
            if one.id in alive and one.id not in dying and step < 80 and chance.random() < 0.3:
                ends += 1
                dying[one.id] = step + (chance.randint(2, 4) if is_early else 1)
                due = max(due, now + chance.random() * latest + 0.25 * (not is_early))
                told.append((due, now, one.id))
        world.tree.parent_cpu(total)
        world.pass_time(1 / 8, package=5.0, busy=0.5)
        while told and told[0][0] <= now:
            _, at, name = told.pop(0)
            start = next((Started(one, now - at) for one in (WEB, JOB) if one.name == name), None)
            world.monitor.apply(start or Ended(name))
        if step % 8 == 7:
            snapshot = world.monitor.tick()
            assert holds(known(snapshot.energy))
    left = sum(one.cpu_seconds or 0.0 for one in snapshot.containers)
    assert snapshot.exited_containers == ends
    assert snapshot.exited_cpu_seconds + left == pytest.approx(total)


def test_a_thousand_containers_come_and_go(tmp_path: Path) -> None:
    """Each burns 10 ms of CPU, 10 s in all, of 20 busy seconds and 400 J; a tenth had files."""
    world = ContainerWorld(tmp_path)
    running(world)
    parent = 0.0
    for batch in range(10):
        for number in range(100):
            one = Container(id=f"{batch:032x}{number:032x}", name=f"c{batch}-{number}", image="i")
            if number % 10 == 0:
                world.tree.add(one.id)
            world.monitor.apply(Started(one, age_seconds=0.0))
            world.tree.remove(one.id)
            world.monitor.apply(Ended(one.id))
            parent += 0.01
        world.tree.parent_cpu(parent)
        world.pass_time(1.0, package=40.0, busy=2.0)
        snapshot = world.monitor.tick()
    energy = known(snapshot.energy)
    assert snapshot.exited_containers == 1000
    assert snapshot.exited_cpu_seconds == pytest.approx(10.0)
    assert energy.exited_joules["full"] == pytest.approx(200.0)
    assert snapshot.containers == ()
    assert holds(energy)


def test_joules_that_are_certain_seconds_later_belong_to_who_ran_then(tmp_path: Path) -> None:
    """80 J in the second of 1 s of CPU of 1.1 s; the meter is sure of them when it is long gone."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    for _ in range(3):
        world.pass_time(1.0, package=6.0, busy=0.1)
        world.monitor.tick()
    world.doubtful_seconds = 3.0
    world.pass_time(1.0, package=80.0, busy=1.1)
    world.tree.cpu(WEB.id, 1.0)
    world.tree.parent_cpu(1.0)
    early = known(world.monitor.tick().energy)
    world.tree.remove(WEB.id)
    world.monitor.apply(Ended(WEB.id))
    for _ in range(4):
        world.pass_time(1.0, package=6.0, busy=0.1)
        energy = known(world.monitor.tick().energy)
    assert early.host_joules == 18.0
    assert energy.host_joules == 18.0 + 80.0 + 6.0
    assert energy.exited_joules["full"] == pytest.approx(80.0 / 1.1)
    assert holds(energy)


def test_windows_whose_joules_are_not_certain_yet_are_shared_after_a_restart(tmp_path: Path) -> None:
    """60 J of 1 s of CPU in 2; the process ends before the meter is sure of them."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.pass_time(1.0, package=6.0, busy=0.1)
    world.monitor.tick()
    world.doubtful_seconds = 3.0
    world.pass_time(1.0, package=60.0, busy=2.0)
    world.tree.cpu(WEB.id, 1.0)
    world.monitor.tick()
    restarted(world, WEB)
    world.doubtful_seconds = 0.0
    energy = known(world.monitor.tick().energy)
    assert energy.host_joules == 66.0
    assert energy.containers[WEB.id].joules["full"] == 30.0
    assert holds(energy)


def test_a_counter_that_takes_a_step_back_was_not_begun_again(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    for joules in (1000.0, -50.0, 100.0):
        world.pass_time(1.0, package=joules, busy=1.0)
        energy = known(world.monitor.tick().energy)
    assert energy.host_joules == 1050.0


def restarted(world: ContainerWorld, *containers: Container) -> None:
    """Another process takes over the same host from what the first saved; the engine lists ``containers``."""
    saved = world.monitor.save()
    assert saved is not None
    world.open_monitor(saved)
    world.monitor.apply(EngineUp(INFO))
    world.monitor.apply(Listed(containers))


def test_after_a_restart_the_sums_go_on_and_the_gap_is_shared(tmp_path: Path) -> None:
    """100 J with web the only busy one, then 300 J over a gap in which web used 1 s of 3, job the rest."""
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    world.pass_time(1.0, package=100.0, busy=1.0)
    world.tree.cpu(WEB.id, 1.0)
    world.monitor.tick()
    world.pass_time(60.0, package=300.0, busy=3.0)
    world.tree.cpu(WEB.id, 2.0)
    world.tree.cpu(JOB.id, 2.0)
    restarted(world, WEB, JOB)
    energy = known(world.monitor.tick().energy)
    assert energy.host_joules == 400.0
    assert {id: one.joules["full"] for id, one in energy.containers.items()} == pytest.approx(
        {WEB.id: 200.0, JOB.id: 200.0}
    )
    assert holds(energy)


def test_a_container_that_ended_while_nobody_looked_is_among_the_exited(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB, JOB)
    world.pass_time(1.0, package=100.0, busy=1.0)
    world.tree.cpu(WEB.id, 1.0)
    world.monitor.tick()
    world.tree.remove(WEB.id)
    world.pass_time(10.0, package=50.0, busy=2.0)
    world.tree.cpu(JOB.id, 1.0)
    restarted(world, JOB)
    snapshot = world.monitor.tick()
    energy = known(snapshot.energy)
    assert energy.exited_joules["full"] == 100.0
    assert {id: one.joules["full"] for id, one in energy.containers.items()} == {JOB.id: 25.0}
    assert (snapshot.exited_containers, snapshot.exited_cpu_seconds) == (1, 1.0)
    assert holds(energy)


def test_a_container_that_began_while_nobody_looked_has_all_its_cpu_seconds_in_the_gap(
    tmp_path: Path,
) -> None:
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.pass_time(1.0, package=10.0, busy=1.0)
    world.monitor.tick()
    world.tree.add(JOB.id, cpu_seconds=2.0)
    world.pass_time(10.0, package=80.0, busy=4.0)
    restarted(world, WEB, JOB)
    assert known(world.monitor.tick().energy).containers[JOB.id].joules["full"] == 40.0


def test_a_unit_that_was_started_again_while_nobody_looked_has_all_its_new_group_s_cpu_seconds(
    tmp_path: Path,
) -> None:
    """Its group counts from 0 again: 9 s before, and 2 of the 4 busy seconds of the gap."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.pass_time(10.0, package=100.0, busy=9.0)
    world.tree.cpu(WEB.id, 9.0)
    world.monitor.tick()
    world.tree.cpu(WEB.id, 2.0)
    world.pass_time(10.0, package=80.0, busy=4.0)
    restarted(world, WEB)
    assert known(world.monitor.tick().energy).containers[WEB.id].joules["full"] == 140.0


def test_nothing_is_shown_before_the_first_window_after_a_restart(tmp_path: Path) -> None:
    """A sum that went back would look like a counter that began again."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.pass_time(1.0, package=10.0, busy=1.0)
    world.monitor.tick()
    saved = world.monitor.save()
    world.open_monitor(saved)
    assert world.monitor.tick().energy is None


def test_a_container_whose_cpu_time_nobody_knows_has_no_energy_and_is_counted_once(tmp_path: Path) -> None:
    """The engine lists it, its group cannot be seen, and four rounds of statistics know nothing of it."""
    world = ContainerWorld(tmp_path)
    running(world, WEB)
    world.monitor.apply(Listed((WEB, JOB)))
    for _ in range(4):
        world.pass_time(1.0, package=10.0, busy=1.0)
        world.monitor.apply(Used({}))
        snapshot = world.monitor.tick()
    assert view(snapshot, "job").energy_joules == {}
    assert set(view(snapshot, "web").energy_joules) == set(POLICIES)
    assert snapshot.counts == {("container", "unknown_cpu"): 1}
