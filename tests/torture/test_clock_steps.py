"""The wall clock jumps, as at a first synchronisation or when an administrator sets it: no number changes.

The clock is moved for the exporters alone, by libfaketime.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.results import Output, Power, Run, Scenario, write_run
from tests.support.exporter_client import Served, ask, scrape, served
from tests.support.moving import moving
from tests.support.powercap_tree import PowercapTree
from tests.support.waiting import wait_until

DAY = 86_400
RUN = "test_results_20260301_080000"


class SteppedClock:
    """How far the exporters' wall clock is off; their monotonic clock goes on as it is."""

    def __init__(self, folder: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        if not libraries:
            pytest.skip("libfaketime is not installed (Debian: faketime)")
        self._file = folder / "offset"
        self.step(0)
        self.environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """Set the clock; in one step, so that no reader sees half of it."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    return SteppedClock(tmp_path)


def write(folder: Path, watts: float) -> None:
    power = Power(tier="measured", mean_watts=watts, total_energy_joules=10 * watts)
    scenario = Scenario(
        name="a",
        encoder="libx264",
        duration=10.0,
        start_time=1_772_438_400.0,
        outputs=[Output(resolution="640x360", frames=250, duration=10.0)],
        power=power,
    )
    write_run(Run(run_id=RUN, scenarios=(scenario,)), folder / f"{RUN}.json")


def test_the_clock_does_move(clock: SteppedClock, tmp_path: Path) -> None:
    """What the others rest on: the exporter's idea of the time is the one that was set."""
    with served("exporters.results", "--results-dir", str(tmp_path), env=clock.environment) as exporter:
        clock.step(-400 * DAY)
        year = time.gmtime(time.time() - 400 * DAY).tm_year
        wait_until(lambda: f" {year} " in ask(exporter, "/health")[1]["date"])


def test_energy_counts_on_through_steps(clock: SteppedClock, tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path / "sys")
    package = tree.add("intel-rapl:0", "package-0")

    def shown(exporter: Served) -> float | None:
        key = 'rapl_energy_joules_total{"domain": "package", "zone": "package_0"}'
        return scrape(exporter).get(key)

    options = ("--sysfs", str(tmp_path / "sys"), "--interval", "0.1")
    with moving(tree), served("exporters.rapl", *options, env=clock.environment) as exporter:
        wait_until(lambda: shown(exporter) is not None)
        for step in (DAY, -DAY, 400 * DAY, -400 * DAY, 0, 3600):
            clock.step(step)
            package.add(7.5)
            time.sleep(0.3)  # so that the energy is not beyond what the zone can draw
            wait_until(lambda: shown(exporter) == pytest.approx(package.joules, abs=0.1))
        page = scrape(exporter)
        assert [v for k, v in page.items() if k.startswith("rapl_rejected_samples_total") and v] == []


@pytest.mark.parametrize(
    ("module", "family", "of"),
    [
        ("exporters.results", "results_scenario_mean_power_watts", lambda watts: watts),
        ("exporters.cost", "cost_energy", lambda watts: 10 * watts / 3.6e6 * 0.12),
    ],
)
def test_files_are_followed_through_steps(
    clock: SteppedClock, tmp_path: Path, module: str, family: str, of: Callable[[float], float]
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    environment = {**clock.environment, "ENERGY_COST_PER_KWH": "0.12"}
    with served(module, "--results-dir", str(folder), env=environment) as exporter:
        for step in (0, DAY, -DAY, -400 * DAY, 400 * DAY):
            clock.step(step)
            watts = 50.0 + step / DAY
            write(folder, watts + 400)

            def follows(watts: float = watts + 400) -> bool:
                values = [v for k, v in scrape(exporter).items() if k.startswith(f"{family}{{")]
                return values == [pytest.approx(of(watts))]

            wait_until(follows)
