"""The powercap source over trees laid out as the kernel does, which misbehave as hardware does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from advisor.energy.powercap import PowercapSource, describe
from advisor.energy.source import ZoneReport
from tests.support.clock import FakeClock
from tests.support.hanging_file import hanging_file
from tests.support.moving import moving
from tests.support.powercap_tree import LARGE_RANGE_UJ, SMALL_RANGE_UJ, PowercapTree
from tests.support.users import nobody, open_folder


class Driven:
    """A tree, a source over it and the clock of both."""

    def __init__(self, sysfs: Path) -> None:
        self.clock = FakeClock()
        self.sysfs, self.tree = sysfs, PowercapTree(sysfs)
        self.source = PowercapSource(str(sysfs), slept=lambda: self.slept)
        self.slept = 0.0
        self._begun = False

    def tick(self, seconds: float = 1.0, **joules: float) -> None:
        """Let time pass, draw ``joules`` by the registers' short names (``p0``, ``p0_1``), then sample.

        Every register moves by a microjoule after the first sample: one that stands is not believed.
        """
        self.clock.advance(seconds)
        for short, energy in joules.items():
            self.tree[f"intel-rapl:{short.removeprefix('p').replace('_', ':')}"].add(energy)
        self.source.sample(self.clock)
        if not self._begun:
            self._begun = True
            self.tree.nudge()
            self.source.sample(self.clock)

    def restart(self) -> None:
        """Go on in another process."""
        saved, self.source = self.source.save(), PowercapSource(str(self.sysfs), slept=lambda: self.slept)
        self.source.restore(saved)

    def joules(self, name: str) -> float:
        return round(self.zone(name).joules, 5)

    def zone(self, name: str) -> ZoneReport:
        return next(z for z in self.source.report() if z.name == name and z.role != "twin")

    def shown(self) -> dict[str, float]:
        return {z.name: round(z.joules, 5) for z in self.source.report() if z.is_shown}


@pytest.fixture
def driven(tmp_path: Path) -> Driven:
    return Driven(tmp_path)


def test_zones_are_named_by_domain_and_socket(driven: Driven) -> None:
    """Two sockets with subzones, and psys, whose directory number is no socket."""
    for socket in range(2):
        driven.tree.add(f"intel-rapl:{socket}", f"package-{socket}", start_uj=socket * 10**9)
        for number, domain in enumerate(("core", "uncore", "dram")):
            driven.tree.add(f"intel-rapl:{socket}:{number}", domain, start_uj=socket * 10**9)
    driven.tree.add("intel-rapl:2", "psys")
    driven.tick()
    assert list(driven.shown()) == [
        *("package_0", "package_1", "core_0", "core_1", "uncore_0", "uncore_1", "dram_0", "dram_1", "psys_0")
    ]


def test_a_directory_number_that_is_not_the_socket_is_not_taken_for_it(driven: Driven) -> None:
    """psys registered first moves the packages to 1 and 2."""
    driven.tree.add("intel-rapl:0", "psys")
    driven.tree.add("intel-rapl:1", "package-0")
    driven.tree.add("intel-rapl:1:0", "dram")
    driven.tick()
    assert set(driven.shown()) == {"psys_0", "package_0", "dram_0"}


def test_dies_of_one_socket_have_names_of_their_own(driven: Driven) -> None:
    for die in range(2):
        driven.tree.add(f"intel-rapl:{die}", f"package-1-die-{die}", start_uj=die * 10**9)
        driven.tree.add(f"intel-rapl:{die}:0", "dram", start_uj=die * 10**9)
    driven.tick()
    assert set(driven.shown()) == {
        *("package_1_die_0", "package_1_die_1", "dram_1_die_0", "dram_1_die_1"),
    }


def test_a_domain_nobody_knows_is_left_out(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tree.add("intel-rapl:0:0", "accelerator")
    driven.tick()
    assert set(driven.shown()) == {"package_0"}


def test_subzones_are_found_inside_their_package_where_the_flat_listing_lacks_them(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tree.add("intel-rapl:0:0", "dram")
    (driven.tree.sysfs / "class/powercap/intel-rapl:0:0").unlink()
    driven.tick()
    assert set(driven.shown()) == {"package_0", "dram_0"}


def test_a_tree_of_plain_folders_is_read_as_well(tmp_path: Path) -> None:
    """As a container or a copy may show it: no links, subzones beside their packages."""
    for entry, name in {"intel-rapl:1": "package-1", "intel-rapl:1:0": "dram"}.items():
        folder = tmp_path / "class/powercap" / entry
        folder.mkdir(parents=True)
        (folder / "name").write_text(name)
        (folder / "energy_uj").write_text("5")
    source = PowercapSource(str(tmp_path))
    source.sample(FakeClock())
    assert [zone.name for zone in source.report()] == ["package_1", "dram_1"]


def test_an_mmio_twin_is_listed_and_not_counted(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tree.add("intel-rapl-mmio:0", "package-0")
    driven.tick()
    driven.tick(p0=100.0)
    twins = [z for z in driven.source.report() if z.role == "twin"]
    assert [(z.duplicate_of, z.path) for z in twins] == [("package_0", "class/powercap/intel-rapl-mmio:0")]
    assert driven.shown() == {"package_0": 100.0}


def test_mmio_alone_is_counted(driven: Driven) -> None:
    register = driven.tree.add("intel-rapl-mmio:0", "package-0")
    driven.tick()
    register.add(7.0)
    driven.tick()
    assert driven.shown() == {"package_0": 7.0}


def test_a_twin_that_takes_over_goes_on_from_its_own_value(driven: Driven) -> None:
    """The msr zone drew 50 J and goes; the mmio zone, whose register reads 400 J more, draws another 20 J."""
    driven.tree.add("intel-rapl:0", "package-0")
    twin = driven.tree.add("intel-rapl-mmio:0", "package-0", start_uj=400_000_000)
    driven.tick()
    twin.add(50.0)
    driven.tick(p0=50.0)
    driven.tree.remove("intel-rapl:0")
    driven.tick(10.0)
    twin.add(20.0)
    driven.tick()
    driven.tick(2.0)
    assert driven.shown() == {"package_0": 70.0}


def test_what_a_twin_brought_is_not_counted_again_after_a_restart(driven: Driven) -> None:
    """The msr zone cannot be read while its twin counts 50 J, and serves again in the next process."""
    registers = [
        driven.tree.add(entry, "package-0", range_uj=LARGE_RANGE_UJ)
        for entry in ("intel-rapl:0", "intel-rapl-mmio:0")
    ]
    driven.tick()
    registers[0].show_instead("?")
    for second in range(15):
        if second == 5:
            driven.restart()
            registers[0].heal()
        for register in registers:
            register.add(10.0)
        driven.tick()
    assert driven.shown() == {"package_0": 150.0}


def test_a_zone_that_began_again_does_not_fall_when_its_twin_takes_over(driven: Driven) -> None:
    """Both registers are set back while nobody looks; much later the first one fails as the power rises."""
    registers = [driven.tree.add(e, "package-0") for e in ("intel-rapl:0", "intel-rapl-mmio:0")]
    joules = []
    for second in range(40):
        if second == 5:
            driven.restart()
        if second == 30:
            registers[0].show_instead("?")
        for register in registers:
            register.add(10.0 if second < 26 else 100.0)
            if second == 5:
                register.jump(-50.0)
        if 26 <= second <= 30:
            registers[1].show_instead("?")
        elif second == 31:
            registers[1].heal()
        driven.tick()
        if second > 10:
            joules.append(driven.joules("package_0"))
    assert joules == sorted(joules)


def test_a_mirrored_die_is_never_shown(driven: Driven) -> None:
    """Both dies show the socket's counter: 3 x 40 J are 120 J, at every moment."""
    for die in range(2):
        driven.tree.add(f"intel-rapl:{die}", f"package-0-die-{die}", start_uj=5 * 10**9)
    driven.tick()
    for total in (40.0, 80.0, 120.0):
        driven.tick(p0=40.0, p1=40.0)
        assert driven.shown() == {"package_0_die_0": total}
    assert driven.zone("package_0_die_1").role == "mirror"
    assert driven.zone("package_0_die_1").duplicate_of == "package_0_die_0"


def test_two_dies_that_began_alike_are_both_counted_from_the_first_joule(driven: Driven) -> None:
    """Held back while their values are equal, shown with all their joules once they differ."""
    for die in range(2):
        driven.tree.add(f"intel-rapl:{die}", f"package-0-die-{die}")
    driven.tick()
    assert driven.shown() == {"package_0_die_0": 0.0}
    for _ in range(3):  # one small difference may be one register, read while the machine was busy
        driven.tick(p0=40.0, p1=41.0)
    assert driven.shown() == {"package_0_die_0": 120.0, "package_0_die_1": 123.0}


@pytest.mark.parametrize("stalled_round", [1, 2])
def test_a_mirror_that_is_read_by_a_busy_machine_is_one(tmp_path: Path, stalled_round: int) -> None:
    """300 W; 20 ms pass between the reads of two dies that show one register: 6 J apart, and one."""
    tree, clock = PowercapTree(tmp_path), FakeClock()
    dies = [tree.add(f"intel-rapl:{n}", f"package-0-die-{n}", start_uj=10**9) for n in range(2)]

    def draw(seconds: float) -> None:
        clock.advance(seconds)
        for die in dies:
            die.add(300.0 * seconds)

    def sample(stalls: bool) -> None:
        calls = iter(range(100))

        def ticking() -> float:
            # the fourth call is the one before the second die is read
            draw(0.02 if stalls and next(calls) == 3 else 0.0)
            return clock()

        source.sample(ticking)

    source = PowercapSource(str(tmp_path), str(tmp_path), slept=lambda: 0.0)
    for second in range(8):
        sample(second == stalled_round)
        draw(1.0)
    sample(stalls=False)
    shown = [zone.joules for zone in source.report() if zone.is_shown]
    assert shown == pytest.approx([8 * 300.0 + 6.0])


def test_two_sockets_at_one_constant_power_are_two(driven: Driven) -> None:
    for socket in range(2):
        driven.tree.add(f"intel-rapl:{socket}", f"package-{socket}")
    driven.tick()
    for _ in range(30):
        driven.tick(p0=50.0, p1=50.0)
    assert driven.shown() == {"package_0": 1500.0, "package_1": 1500.0}


def test_two_sockets_that_follow_each_other_through_every_change_are_one(driven: Driven) -> None:
    for socket in range(2):
        driven.tree.add(f"intel-rapl:{socket}", f"package-{socket}")
    driven.tick()
    for second in range(12):
        driven.tick(p0=50.0 + second, p1=50.0 + second)
    assert set(driven.shown()) == {"package_0"}


def test_a_failed_read_keeps_the_base(driven: Driven) -> None:
    """100 W with one read in the middle failing are 300 J after three seconds, and no wrap."""
    register = driven.tree.add("intel-rapl:0", "package-0", start_uj=10**9)
    driven.tick()
    driven.tick(p0=100.0)
    register.show_instead("")
    driven.tick(p0=100.0)
    register.heal()
    driven.tick(p0=100.0)
    zone = driven.zone("package_0")
    assert (round(zone.joules, 5), zone.wraps, zone.read_errors) == (300.0, 0, {"malformed": 1})


@pytest.mark.parametrize("text", ["", "abc", "-5", "12 34", "1.5e9", "\0" * 20, "²"])
def test_nonsense_in_a_file_is_counted_and_the_rest_stands(driven: Driven, text: str) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    bad = driven.tree.add("intel-rapl:1", "package-1", start_uj=10**9)
    driven.tick()
    bad.show_instead(text)
    driven.tick(p0=30.0)
    assert driven.joules("package_0") == 30.0
    assert driven.zone("package_1").read_errors == {"malformed": 1}


def test_a_file_that_would_block_stops_nothing(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tree.add("intel-rapl:1", "package-1", start_uj=10**9).block()
    driven.tick()
    driven.tick(p0=30.0)
    assert driven.joules("package_0") == 30.0
    assert driven.zone("package_1").read_errors == {"blocked": 3}, "one a sample"


def test_a_file_that_hangs_in_the_kernel_costs_its_zone_alone(driven: Driven) -> None:
    """Hung for three samples, in which 30 J are drawn; when it answers again, all of them are there."""
    driven.tree.add("intel-rapl:0", "package-0")
    hung = driven.tree.add("intel-rapl:1", "package-1", start_uj=10**9)
    with hanging_file(lambda: f"{hung.raw_uj}\n".encode()) as file:
        hung.serve_from(file.path)
        driven.tick()
        file.hang()
        for second in range(1, 4):
            driven.tick(p0=30.0, p1=10.0)
            assert driven.joules("package_0") == 30.0 * second
        assert file.readers == 1, "one thread is left behind, whatever the number of samples"
        assert driven.joules("package_1") == 0.0
        assert driven.zone("package_1").read_errors == {"blocked": 3}
        file.release()
        while driven.joules("package_1") == 0.0:
            driven.tick()
        assert driven.joules("package_1") == 30.0


def test_a_file_that_hangs_is_told_from_the_others(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    hung = driven.tree.add("intel-rapl:0:0", "dram")
    with hanging_file(lambda: b"0\n") as file:
        hung.serve_from(file.path)
        file.hang()
        with moving(driven.tree):
            status = describe(str(driven.tree.sysfs))
    assert [(zone.name, zone.reason) for zone in status.zones] == [("package_0", None), ("dram_0", "blocked")]
    assert status.advice == ("unusable energy counters: dram_0 (blocked)",)


def test_a_folder_in_place_of_the_file_is_an_error_of_that_zone(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    bad = driven.tree.add("intel-rapl:1", "package-1")
    bad.vanish()
    bad.file.mkdir()
    driven.tick()
    driven.tick(p0=30.0)
    assert driven.shown()["package_0"] == 30.0
    assert driven.zone("package_1").read_errors == {"io": 3}, "one a sample"


def test_a_zone_that_has_no_name_is_counted_by_its_directory(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tree.add("intel-rapl:1", "package-1").folder.joinpath("name").write_text("?!\n")
    driven.tick()
    assert driven.shown() == {"package_0": 0.0}
    assert driven.zone("intel-rapl:1").read_errors == {"malformed": 1}
    with moving(driven.tree):
        (advice,) = describe(str(driven.tree.sysfs)).advice
    assert advice == "left out because their names are not readable: intel-rapl:1 (malformed)"


def test_a_name_and_a_range_that_cannot_be_read_again_are_remembered(driven: Driven) -> None:
    """The look of every ten seconds meets nonsense, and the wrap in it is counted all the same."""
    package = driven.tree.add("intel-rapl:0", "package-0", start_uj=LARGE_RANGE_UJ - 10_000_000)
    driven.tick()
    for file in ("name", "max_energy_range_uj"):
        (package.folder / file).write_text("nonsense!")
    driven.tick(10.0, p0=30.0)
    assert driven.zone("package_0").wraps == 1
    assert driven.shown() == {"package_0": 30.0}


def test_devices_without_the_class_are_found(driven: Driven) -> None:
    """A container may be given /sys/devices/virtual/powercap and nothing else."""
    for socket in range(2):
        driven.tree.add(f"intel-rapl:{socket}", f"package-{socket}", start_uj=socket * 10**9)
        driven.tree.add(f"intel-rapl:{socket}:0", "dram", start_uj=socket * 10**9)
    driven.tree.add("intel-rapl-mmio:0", "package-0")
    shutil.rmtree(driven.tree.sysfs / "class")
    driven.tick()
    assert list(driven.shown()) == ["package_0", "package_1", "dram_0", "dram_1"]
    assert driven.zone("dram_1").path == ("devices/virtual/powercap/intel-rapl/intel-rapl:1/intel-rapl:1:0")


def test_links_that_lead_nowhere_do_not_hide_the_devices(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    link = driven.tree.sysfs / "class/powercap/intel-rapl:0"
    link.unlink()
    link.symlink_to("../../nowhere/intel-rapl:0")
    driven.tick()
    assert driven.shown() == {"package_0": 0.0}


def test_a_zone_that_vanishes_and_returns_goes_on_counting(driven: Driven) -> None:
    """Away for 30 s, in which it drew 500 J, which its register still knows."""
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tick()
    driven.tick(p0=100.0)
    driven.tree.remove("intel-rapl:0")
    driven.tick()
    assert driven.zone("package_0").read_errors == {"missing": 1}
    driven.tick(20.0)
    assert driven.shown() == {}
    driven.tree.put_back("intel-rapl:0")
    driven.tick(10.0, p0=500.0)
    assert driven.shown() == {"package_0": 600.0}


def test_a_zone_that_appears_later_is_found_within_ten_seconds(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0")
    driven.tick()
    driven.tree.add("intel-rapl:0:0", "dram")
    driven.tick(9.0)
    assert "dram_0" not in driven.shown()
    driven.tick(1.0)
    driven.tick(p0_0=5.0)
    assert driven.shown()["dram_0"] == 5.0


def test_a_leap_that_stays_and_that_the_part_cannot_have_drawn_is_lost(driven: Driven) -> None:
    """1 000 J in a second from a 65 W part with limits of 90 W: counted as lost once the register goes on."""
    limits = {"constraint_0_max_power_uw": 65_000_000, "constraint_1_power_limit_uw": 90_000_000}
    driven.tree.add("intel-rapl:0", "package-0", limits_uw=limits)
    driven.tick()
    driven.tree["intel-rapl:0"].jump(1000.0)
    for _ in range(7):
        driven.tick(p0=10.0)
    assert driven.joules("package_0") == 60.0
    assert driven.zone("package_0").rejected == {"too_fast": 1}


@pytest.mark.parametrize(
    ("limits", "enabled"),
    [
        ({"constraint_0_power_limit_uw": 4_095_875_000, "constraint_1_power_limit_uw": 4_095_875_000}, "1"),
        ({"constraint_0_max_power_uw": 65_000_000, "constraint_1_power_limit_uw": 4_095_875_000}, "1"),
        ({"constraint_0_power_limit_uw": 30_000_000}, "0"),
        ({"constraint_0_power_limit_uw": 30_000_000}, "1"),
        ({}, "1"),
    ],
)
@pytest.mark.parametrize("watts", [250.0, 430.0])
def test_nothing_is_lost_of_a_part_that_draws_more_than_it_is_said_to(
    driven: Driven, limits: dict[str, int], enabled: str, watts: float
) -> None:
    """40 W for 10 s, 250 or 430 W for 15 s, 40 W again: whatever the limits say, all of it is counted."""
    driven.tree.add("intel-rapl:0", "package-0", limits_uw=limits)
    (driven.tree["intel-rapl:0"].folder / "enabled").write_text(f"{enabled}\n")
    driven.tick()
    for second in range(35):
        driven.tick(p0=watts if 10 <= second < 25 else 40.0)
    assert driven.joules("package_0") == 20 * 40.0 + 15 * watts
    assert driven.zone("package_0").rejected == {}


def test_the_interval_is_a_quarter_of_the_shortest_wrap(driven: Driven) -> None:
    """65 532.610987 J at three times 400 W come round in 54.6 s."""
    limits = {"constraint_0_max_power_uw": 400_000_000}
    driven.tree.add("intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, limits_uw=limits)
    driven.tick()
    assert driven.source.longest_interval_seconds() == pytest.approx(13.6526, abs=1e-4)


def test_no_range_known_asks_for_no_interval(driven: Driven) -> None:
    driven.tree.add("intel-rapl:0", "package-0", range_uj=None)
    driven.tick()
    assert driven.source.longest_interval_seconds() is None


def test_no_permission_is_explained_with_both_ways_out() -> None:
    with open_folder() as sysfs:
        tree = PowercapTree(sysfs)
        tree.add("intel-rapl:0", "package-0").deny()
        with nobody():
            status = describe(str(sysfs))
    assert [zone.reason for zone in status.zones] == ["permission"]
    assert len(status.advice) == 2
    assert "package_0" in status.advice[0]
    assert "DAC_READ_SEARCH" in status.advice[0]
    assert "tmpfiles.d" in status.advice[1]


def test_no_permission_is_counted_by_the_source() -> None:
    with open_folder() as sysfs:
        driven = Driven(sysfs)
        driven.tree.add("intel-rapl:0", "package-0").deny()
        with nobody():
            driven.source.sample(driven.clock)
        assert driven.zone("package_0").read_errors == {"permission": 1}


def test_a_machine_without_counters_is_told_so(tmp_path: Path) -> None:
    status = describe(str(tmp_path))
    assert status.zones == ()
    assert "virtual machine" in status.advice[0]


def test_zones_masked_by_a_container_engine_are_told_apart(tmp_path: Path) -> None:
    """The engine hides the directories and leaves the links to them."""
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    (tmp_path / "devices/virtual/powercap").rename(tmp_path / "hidden")
    assert "masked by the container engine" in describe(str(tmp_path)).advice[0]


def test_a_readable_tree_needs_no_advice(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    with moving(tree):
        status = describe(str(tmp_path))
    assert [zone.reason for zone in status.zones] == [None]
    assert status.advice == ()


def test_a_counter_that_stands_is_told_from_one_that_counts(tmp_path: Path) -> None:
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0")
    status = describe(str(tmp_path))
    assert status.advice == ("unusable energy counters: package_0 (standing)",)


def test_a_broken_file_is_named_in_the_advice(tmp_path: Path) -> None:
    PowercapTree(tmp_path).add("intel-rapl:0", "package-0").show_instead("nonsense")
    assert describe(str(tmp_path)).advice == ("unusable energy counters: package_0 (malformed)",)
