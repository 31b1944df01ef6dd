"""Machines at random, with joules that are known by construction: vendors, sockets, dies, limits, and faults.

A machine is a powercap tree and a load. Second by second its registers draw; on the way reads fail, files
vanish, registers leap ahead for a read, are set back, stand still or wrap. `Zone.lost_joules` says how much
the faults alone made unknowable; everything else has to be counted.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource
from tests.support.clock import FakeClock
from tests.support.powercap_tree import INTEL_LIMITS, LARGE_RANGE_UJ, SMALL_RANGE_UJ, PowercapTree, Register

__all__ = ["Machine", "Outcome", "drive"]

CPUS = (
    # vendor, model name, cores, idle and full watts of a package, what the board says
    ("GenuineIntel", "13th Gen Intel(R) Core(TM) i9-13900K", 24, (8.0, 430.0), "lifted"),
    ("GenuineIntel", "Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz", 4, (0.8, 44.0), "limits"),
    ("GenuineIntel", "Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz", 20, (25.0, 190.0), "limits"),
    ("GenuineIntel", "Intel(R) Core(TM) i7-9700 CPU @ 3.00GHz", 8, (4.0, 160.0), "off"),
    ("AuthenticAMD", "AMD Ryzen 7 7840HS w/ Radeon 780M Graphics", 8, (2.0, 80.0), "none"),
    ("AuthenticAMD", "AMD Ryzen 9 7950X 16-Core Processor", 16, (20.0, 230.0), "none"),
    ("AuthenticAMD", "AMD EPYC 7763 64-Core Processor", 64, (60.0, 300.0), "none"),
)


class Zone:
    """One register and what may befall it."""

    def __init__(self, name: str, register: Register, share: float, twin: Register | None) -> None:
        self.name, self.register, self.share, self.twin = name, register, share, twin
        self.is_standing = False
        self.lost_joules = 0.0
        """Of set-backs: what was drawn around them, at most."""


class Machine:
    """A machine of the seed, under a meter with a clock of its own."""

    def __init__(self, root: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        vendor, model, self.cores, (self.idle, self.full), self.limits = self.chance.choice(CPUS)
        self.sockets = self.chance.choice((1, 1, 2)) if self.cores >= 16 else 1
        self.label = f"{seed}: {self.sockets} x {model}, {self.limits}"
        self._cpuinfo(root, vendor, model)
        self.tree, self.clock = PowercapTree(root), FakeClock()
        self.zones = list(self._zones(vendor))
        self.leaps = self.chance.random() < (0.6 if vendor == "AuthenticAMD" else 0.3)
        self.leap_share = self.chance.choice((0.02, 0.2))
        # of registers that list limits, the first step after the start is believed
        self.leaps_from = self.clock() + (0.0 if vendor == "AuthenticAMD" else 2.5)
        self.watts = self.idle
        self.slept = 0.0
        self.meter = Meter(
            PowercapSource(str(root), str(root), slept=lambda: self.slept),
            procfs=str(root),
            clock=self.clock,
        )

    def _cpuinfo(self, root: Path, vendor: str, model: str) -> None:
        blocks = [
            f"processor\t: {core}\nvendor_id\t: {vendor}\nmodel name\t: {model}\n"
            f"physical id\t: {socket}\ncore id\t\t: {core}\n"
            for socket in range(self.sockets)
            for core in range(self.cores)
        ]
        (root / "cpuinfo").write_text("\n".join(blocks))

    def _constraints(self) -> dict[str, int]:
        nominal = round(self.full / 2 * 1e6)
        match self.limits:
            case "limits":
                return {"constraint_0_max_power_uw": nominal, "constraint_1_power_limit_uw": 2 * nominal}
            case "lifted":
                lifted = 4_095_875_000
                return {
                    "constraint_0_max_power_uw": 125_000_000,
                    "constraint_0_power_limit_uw": lifted,
                    "constraint_1_power_limit_uw": lifted,
                }
            case "off":
                return {"constraint_0_max_power_uw": 65_000_000, "constraint_0_power_limit_uw": 30_000_000}
        return {}

    def _zones(self, vendor: str) -> Iterator[Zone]:
        intel = vendor == "GenuineIntel"
        range_uj = LARGE_RANGE_UJ if intel and self.chance.random() < 0.7 else SMALL_RANGE_UJ
        for socket in range(self.sockets):
            start = self.chance.randrange(range_uj)
            package = self.tree.add(
                f"intel-rapl:{socket}",
                f"package-{socket}",
                range_uj=range_uj,
                start_uj=start,
                limits_uw=self._constraints(),
            )
            (package.folder / "enabled").write_text("0\n" if self.limits == "off" else "1\n")
            twin = None
            if intel and self.chance.random() < 0.5:
                twin = self.tree.add(
                    f"intel-rapl-mmio:{socket}", f"package-{socket}", range_uj=range_uj, start_uj=start
                )
            yield Zone(f"package_{socket}", package, 1.0, twin)
            start = self.chance.randrange(range_uj)
            limits = INTEL_LIMITS if intel else {}
            core = self.tree.add(
                f"intel-rapl:{socket}:0", "core", range_uj=range_uj, start_uj=start, limits_uw=limits
            )
            yield Zone(f"core_{socket}", core, 0.8, None)
            if intel and self.chance.random() < 0.7:
                start = self.chance.randrange(range_uj)
                dram = self.tree.add(f"intel-rapl:{socket}:1", "dram", range_uj=range_uj, start_uj=start)
                zone = Zone(f"dram_{socket}", dram, 0.1, None)
                zone.is_standing = self.chance.random() < 0.3
                yield zone

    def step(self) -> list[Register]:
        """A second passes; returns the registers that are to be healed after the meter has read."""
        chance = self.chance
        if chance.random() < 0.05:
            self.watts = chance.choice(
                (self.idle, self.idle, self.full, chance.uniform(self.idle, self.full))
            )
        self.clock.advance(1.0)
        broken: list[Register] = []
        for zone in self.zones:
            drawn = 0.0 if zone.is_standing else self.watts * zone.share * chance.uniform(0.9, 1.0)
            zone.register.add(drawn)
            if zone.twin is not None:
                zone.twin.add(drawn)
            to_end = (zone.register.range_uj or 0) - zone.register.raw_uj
            # nobody can tell a set-back from a register that comes round just then
            if chance.random() < 0.002 and to_end > 2e9 and not zone.is_standing and zone.twin is None:
                self._set_back(zone, drawn)
            elif self._may_leap(zone) and chance.random() < self.leap_share:
                self._leap(zone.register)
                broken.append(zone.register)
            elif chance.random() < 0.02:
                self._break(zone.register)
                broken.append(zone.register)
        return broken

    def _may_leap(self, zone: Zone) -> bool:
        return self.leaps and not zone.is_standing and self.clock() >= self.leaps_from

    def _set_back(self, zone: Zone, drawn: float) -> None:
        zone.register.jump(-zone.register.raw_uj / 1e6)
        # what was drawn since the last good value, which may be some seconds old
        zone.lost_joules += 8 * max(drawn, self.full * zone.share)

    def _leap(self, register: Register) -> None:
        ahead = round(self.chance.uniform(50.0, 900.0) * 1e6)
        range_uj = register.range_uj or 0
        register.show_instead(f"{(register.raw_uj + ahead) % range_uj}\n")

    def _break(self, register: Register) -> None:
        if self.chance.random() < 0.5:
            register.show_instead(self.chance.choice(("", "nonsense", "99999999999999999", "0\n")))
        else:
            register.vanish()


class Outcome:
    """What a machine's counters said at the end, and the most that one was ever above the truth."""

    def __init__(self, machine: Machine) -> None:
        self.label = machine.label
        self.problems: list[str] = []
        self.worst_error = 0.0
        self.rejected = 0
        self.largest_excess_joules = 0.0


def drive(root: Path, seed: int, seconds: int = 300) -> Outcome:
    """Drive the machine of ``seed`` and compare every counter with the truth, at every second."""
    machine = Machine(root, seed)
    outcome = Outcome(machine)
    machine.meter.read()
    base = {zone.name: zone.register.joules for zone in machine.zones}
    for second in range(seconds + 120):
        broken = machine.step() if second < seconds else _quiet(machine)
        reading = machine.meter.read()
        for zone in machine.zones:
            truth = zone.register.joules - base[zone.name]
            excess = reading.joules.get(zone.name, 0.0) - truth
            # the load scatters by a tenth from second to second, and a leap may hide that, or a few watts
            if excess > 0.1 * machine.full * zone.share + 5.0:
                outcome.problems.append(f"{zone.name} {excess:.3f} J too high at second {second}")
            outcome.largest_excess_joules = max(outcome.largest_excess_joules, excess)
        for register in broken:
            register.heal()
    reports = {zone.name: zone for zone in reading.zones if zone.role == "counted"}
    for zone in machine.zones:
        truth, report = zone.register.joules - base[zone.name], reports[zone.name]
        rejected = sum(report.rejected.values())
        outcome.rejected += rejected
        if zone.is_standing:
            if zone.name in reading.joules or "standing" not in report.read_errors:
                outcome.problems.append(f"{zone.name} stands and is shown")
            continue
        error = report.joules - truth
        # leaps in the seconds of a set-back or a rise leave nobody sure of those seconds
        unsure = 10 * machine.full * zone.share if machine.leaps else 0.0
        is_counted_as_lost = rejected > 0 and -error <= zone.lost_joules + unsure
        if error > 0.005 * truth:
            outcome.problems.append(f"{zone.name} too high: {report.joules:.1f} J of {truth:.1f} J")
        elif -error > 0.005 * truth and not is_counted_as_lost:
            outcome.problems.append(f"{zone.name} too low: {report.joules:.1f} J of {truth:.1f} J, {report}")
        outcome.worst_error = max(outcome.worst_error, abs(error) / truth if zone.lost_joules == 0 else 0.0)
    return outcome


def _quiet(machine: Machine) -> list[Register]:
    """A second without faults, so that what is doubtful at the end is decided."""
    machine.clock.advance(1.0)
    for zone in machine.zones:
        drawn = 0.0 if zone.is_standing else machine.idle * zone.share
        zone.register.add(drawn)
        if zone.twin is not None:
            zone.twin.add(drawn)
    return []
