"""The thread that ticks a monitor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.containers.cgroups import Cgroups
from advisor.containers.changes import Ended, EngineUp, Listed, Started
from advisor.containers.exits import ExitWatch
from advisor.containers.monitor import Monitor, Snapshot
from advisor.containers.records import EngineInfo
from advisor.containers.sampler import ContainerSampler
from advisor.errors import WorkError
from tests.support.cgroup_tree import CgroupTree
from tests.support.container_world import container
from tests.support.waiting import wait_until

WEB = container("a", "web")


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    return CgroupTree(tmp_path / "cgroup", "v2", parent="system.slice/docker-{}.scope")


def sampler_of(tree: CgroupTree, interval_seconds: float) -> ContainerSampler:
    watch = ExitWatch()
    monitor = Monitor(Cgroups(str(tree.root)), procfs="/none", watch=watch)
    return ContainerSampler(monitor, watch, interval_seconds)


@pytest.fixture
def sampler(tree: CgroupTree) -> Iterator[ContainerSampler]:
    one = sampler_of(tree, 0.05)
    yield one
    one.stop()


def wait_for(sampler: ContainerSampler, exited: int) -> Snapshot:
    wait_until(lambda: (now := sampler.snapshot()) is not None and now.exited_containers >= exited)
    snapshot = sampler.snapshot()
    assert snapshot is not None
    return snapshot


def test_the_first_snapshot_is_there_after_the_start(sampler: ContainerSampler, tree: CgroupTree) -> None:
    """With what was posted before."""
    tree.add(WEB.id, cpu_seconds=2.0)
    assert sampler.snapshot() is None
    sampler.post(EngineUp(EngineInfo("27", "1.46", 0.0)))
    sampler.post(Listed((WEB,)))
    sampler.start(wait_seconds=20.0)
    snapshot = sampler.snapshot()
    assert snapshot is not None
    assert [one.cpu_seconds for one in snapshot.containers] == [2.0]


def test_a_container_that_ends_while_young_is_seen_between_ticks(tree: CgroupTree) -> None:
    """Ticks are 30 s apart; its CPU time was read in between, and its end makes it vanish."""
    sampler = sampler_of(tree, 30.0)
    sampler.start(wait_seconds=20.0)
    tree.add(WEB.id, cpu_seconds=0.1)
    sampler.post(Started(WEB, 0.0))
    monitor = sampler.monitor
    wait_until(lambda: WEB.id in monitor._lives and monitor._lives[WEB.id].clock.cpu == 0.1)
    tree.remove(WEB.id)
    wait_until(lambda: WEB.id not in monitor._lives)
    assert monitor._ended[0].clock.cpu == 0.1
    sampler.stop()


def test_ends_are_counted_at_the_next_tick(sampler: ContainerSampler, tree: CgroupTree) -> None:
    tree.add(WEB.id, cpu_seconds=0.1)
    sampler.start(wait_seconds=20.0)
    sampler.post(Started(WEB, 0.0))
    wait_until(lambda: (now := sampler.snapshot()) is not None and bool(now.containers))
    tree.remove(WEB.id)
    sampler.post(Ended(WEB.id))
    assert wait_for(sampler, 1).exited_cpu_seconds == 0.1


def test_a_sampler_that_failed_says_so_until_it_has_passed(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks is told, and is given nothing stale."""
    fails = True
    sampler = sampler_of(tree, 0.05)
    tick = sampler.monitor.tick

    def fail_or_tick() -> Snapshot:
        if fails:
            raise RuntimeError("no such thing")
        return tick()

    monkeypatch.setattr(sampler.monitor, "tick", fail_or_tick)
    sampler.start(wait_seconds=20.0)
    with pytest.raises(WorkError, match="the sampler failed: no such thing"):
        sampler.snapshot()
    fails = False

    def works() -> bool:
        with contextlib.suppress(WorkError):
            return sampler.snapshot() is not None
        return False

    wait_until(works)
    sampler.stop()


def test_a_sampler_that_hangs_says_so(sampler: ContainerSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler.start(wait_seconds=20.0)
    sampler.stop()
    assert sampler.snapshot() is not None
    later = time.monotonic() + 100
    monkeypatch.setattr("advisor.containers.sampler.time.monotonic", lambda: later)
    with pytest.raises(WorkError, match=r"has not ticked for \d+ s"):
        sampler.snapshot()


def test_stopping_twice_and_without_a_start_is_harmless(sampler: ContainerSampler) -> None:
    sampler.stop()
    sampler.stop()
