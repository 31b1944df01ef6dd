"""``wattframe calibrate`` as a user calls it, over a powercap tree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.energy.calibration import load_calibration
from tests.support.moving import moving
from tests.support.powercap_tree import PowercapTree
from tests.support.waiting import wait_until
from wattframe.cli import main

CPUINFO = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n\n"
QUICK = ["--seconds", "0.1", "--settle", "0"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[list[str]]:
    """Arguments for a quiet machine of one CPU whose counter draws 20 W."""
    tree = PowercapTree(tmp_path / "sys")
    tree.add("intel-rapl:0", "package-0")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  0 0 0 1000 0 0 0 0\n")
    (tmp_path / "proc/cpuinfo").write_text(CPUINFO)
    roots = ["--sysfs", str(tmp_path / "sys"), "--procfs", str(tmp_path / "proc")]
    with moving(tree, watts=20.0):
        yield ["calibrate", *QUICK, "--models-dir", str(tmp_path / "models"), *roots]


def about_20_watts(command: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a run printed whose registers moved on time; on a busy machine they may stand still."""
    printed: dict[str, Any] = {}

    def measured() -> bool:
        assert main(command) == 0
        printed.update(json.loads(capsys.readouterr().out))
        return bool(printed[name]["mean_watts"] == pytest.approx(20.0, rel=0.2))

    wait_until(measured)
    return printed


def test_the_idle_power_is_kept_where_net_energies_look(
    machine: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = about_20_watts([*machine, "--json"], "idle", capsys)
    kept = load_calibration(tmp_path / "models", printed["hardware_id"], source="powercap")
    assert kept is not None
    assert (kept.tier, kept.full_load) == ("measured", None)
    assert kept.idle.mean_watts == printed["idle"]["mean_watts"]


def test_the_summary_names_the_tier(machine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(machine) == 0
    printed = capsys.readouterr().out
    assert re.search(r"powercap, measured\nidle +\d+\.\d\d W over 0 s, 0\.0% busy", printed)


def test_full_load_runs_on_every_cpu(machine: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    about_20_watts([*machine, "--full-load", "--json"], "full_load", capsys)


def test_full_load_of_more_cpus_than_one_may_use_is_refused(
    machine: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "proc/cpuinfo").write_text(CPUINFO * 4096)
    assert main([*machine, "--full-load"]) == 2
    assert "--full-load: expected permission to use all 4096 CPUs" in capsys.readouterr().err


def test_a_busy_machine_is_refused_and_nothing_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real CPU times of this machine, on which something runs."""
    PowercapTree(tmp_path / "sys").add("intel-rapl:0", "package-0")
    folders = ["--models-dir", str(tmp_path / "models"), "--sysfs", str(tmp_path / "sys")]
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            code = main(["calibrate", "--seconds", "0.5", "--settle", "0", "--max-busy", "0", *folders])
        finally:
            busy.kill()
    assert code == 1
    assert "the machine was not idle" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_without_counters_it_says_that_this_is_no_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--max-busy", "1", "--models-dir", str(tmp_path / "models"), "--sysfs", str(tmp_path)]
    assert main(["calibrate", *QUICK, *arguments]) == 0
    told = capsys.readouterr()
    assert "idle power of the estimate, not a measurement" in told.err
    assert "estimate, modelled" in told.out


def test_a_killed_calibration_leaves_nothing_running() -> None:
    """The load ends with the command, even when that is killed."""
    code = (
        "import sys, time\nfrom wattframe.commands.calibrate import every_cpu_busy\n"
        "with every_cpu_busy(1) as burners: print(burners[0], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        burner = Path("/proc", command.stdout.readline().strip())
        assert burner.exists()
        command.kill()
    for _ in range(600):
        if not running(burner):
            break
        time.sleep(0.05)
    assert not running(burner)


def running(process: Path) -> bool:
    """Whether a process still computes (an orphan that nobody waited for is a zombie)."""
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except FileNotFoundError:
        return False
