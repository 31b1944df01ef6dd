"""Counters that go on after a restart, and what keeps them from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.energy.meter import Meter, open_meter
from advisor.energy.powercap import PowercapSource
from advisor.energy.state import SavedMeter, StateFile, boot_id
from tests.support.clock import FakeClock
from tests.support.powercap_tree import LARGE_RANGE_UJ, PowercapTree


class Machine:
    """A tree and a /proc in one folder, on which meters are opened one after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        self.tree = PowercapTree(root)
        self.package = self.tree.add("intel-rapl:0", "package-0", start_uj=LARGE_RANGE_UJ - 10_000_000)
        self.boot("one")

    def boot(self, name: str) -> None:
        folder = self.root / "sys/kernel/random"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "boot_id").write_text(f"{name}\n")

    def meter(self) -> Meter:
        folders = {"sysfs": str(self.root), "procfs": str(self.root)}
        return open_meter(
            **folders,
            state=self.root / "state/m.json",
            clock=self.clock,
            sleep=lambda _: self.tree.nudge(),
        )

    def draw(self, joules: float) -> None:
        """In a second."""
        self.clock.advance(1.0)
        self.package.add(joules)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def joules(meter: Meter) -> float:
    return round(meter.read().joules["package_0"], 3)


def test_what_was_drawn_while_nobody_looked_is_counted_after_a_kill(machine: Machine) -> None:
    """20 J before, 100 J while there was no process, over the register's end, 5 J after."""
    meter = machine.meter()
    machine.draw(20.0)
    assert joules(meter) == 20.0
    machine.draw(100.0)  # the first process is gone without a word
    later = machine.meter()
    machine.draw(5.0)
    assert joules(later) == 125.0


def test_the_state_of_a_former_version_is_read(machine: Machine) -> None:
    """It kept the power that a register was seen to draw."""
    meter = machine.meter()
    machine.draw(20.0)
    meter.stop()
    file = machine.root / "state/m.json"
    file.write_text(file.read_text().replace('"raw":', '"proven_watts":0.0,"raw":'))
    machine.draw(100.0)
    assert joules(machine.meter()) == 120.0


def test_after_a_reboot_counters_begin_at_0(machine: Machine) -> None:
    machine.draw(20.0)
    machine.meter().stop()
    machine.boot("two")
    assert joules(machine.meter()) == 0.0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot_id": "one", "place": "x", "state": 5}', "\0" * 50])
def test_a_state_that_is_malformed_is_as_none(machine: Machine, text: str) -> None:
    machine.meter().stop()
    (machine.root / "state/m.json").write_text(text)
    assert joules(machine.meter()) == 0.0


def test_a_state_of_other_folders_is_not_taken(tmp_path: Path) -> None:
    first, second = Machine(tmp_path / "a"), Machine(tmp_path / "b")
    meter = first.meter()
    first.draw(50.0)
    meter.stop()
    (second.root / "state").mkdir()
    (second.root / "state/m.json").write_bytes((first.root / "state/m.json").read_bytes())
    assert joules(second.meter()) == 0.0


def test_a_state_that_cannot_be_written_is_told_once_and_leaves_nothing_old(machine: Machine) -> None:
    told: list[Path] = []
    (machine.root / "state").write_text("a file in the folder's place")
    meter = open_meter(
        sysfs=str(machine.root),
        procfs=str(machine.root),
        state=machine.root / "state/m.json",
        on_unsaved=lambda path, exc: told.append(path),
        sleep=lambda _: machine.tree.nudge(),
    )
    meter.read()
    meter.stop()
    assert told == [machine.root / "state/m.json"]


def test_without_a_boot_id_nothing_is_kept(machine: Machine) -> None:
    (machine.root / "sys/kernel/random/boot_id").unlink()
    machine.meter().stop()
    assert boot_id(str(machine.root)) is None
    assert not (machine.root / "state").exists()


def test_the_estimate_goes_on_too(tmp_path: Path) -> None:
    """The kernel sums the CPU time meanwhile: 10 W idle to 90 W busy, all busy."""
    machine = Machine(tmp_path)
    machine.package.vanish()
    (tmp_path / "stat").write_text("cpu  0 0 0 0\n")

    def opened() -> Meter:
        folders = {"sysfs": str(tmp_path), "procfs": str(tmp_path)}
        return open_meter(**folders, idle_watts=10.0, max_watts=90.0, state=tmp_path / "state/m.json")

    first = opened()
    began = first.read().monotonic_seconds
    first.stop()
    (tmp_path / "stat").write_text("cpu  100000 0 0 0\n")
    reading = opened().read()
    assert reading.joules["package_0"] == pytest.approx(90.0 * (reading.monotonic_seconds - began), rel=0.05)


def test_a_file_holds_one_type(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "s.json", SavedMeter, boot_id="b", place="p")
    file.save(SavedMeter({"powercap": {}}))
    assert file.load() == SavedMeter({"powercap": {}})
    assert StateFile(tmp_path / "s.json", int, boot_id="b", place="p").load() is None


def test_a_register_that_may_leap_never_shows_less_after_a_kill(tmp_path: Path) -> None:
    """50 W, saved in the tenth second, killed 4 s later: it is absent until what was drawn since is sure."""
    package = PowercapTree(tmp_path).add("intel-rapl:0", "package-0", limits_uw={})
    clock = FakeClock()

    def seconds(source: PowercapSource, count: int) -> list[float | None]:
        shown = []
        for _ in range(count):
            clock.advance(1.0)
            package.add(50.0)
            source.sample(clock)
            zone = source.report()[0]
            shown.append(zone.joules if zone.is_shown else None)
        return shown

    killed = PowercapSource(str(tmp_path), str(tmp_path), slept=lambda: 0.0)
    seconds(killed, 10)
    saved = killed.save()
    *_, last = seconds(killed, 4)
    later = PowercapSource(str(tmp_path), str(tmp_path), slept=lambda: 0.0)
    later.restore(saved)
    assert last == 650.0
    assert seconds(later, 5) == [None, None, None, 850.0, 900.0]
