"""What a user sees of a run."""

from __future__ import annotations

import io
import sys

import pytest

from advisor.results import EncodeStats, Power, Quality, Run, Scenario, Vmaf
from advisor.results import Output as ResultOutput
from runner.display import Display, outcome, rows, summary_table
from runner.jobs import baseline, resolve
from runner.measure import Progress
from runner.spec import Spec


def _scenario(repeat: int, joules: float, **fields: object) -> Scenario:
    power = Power(mean_watts=joules / 10, total_energy_joules=joules, tier="measured")
    return Scenario(name="a", repeat=repeat, duration=10.0, power=power, **fields)  # type: ignore[arg-type]


def test_repeats_are_one_row_with_their_interval() -> None:
    """90, 100 and 110 J: mean 100, stdev 10, half-width 4.3027 * 10 / sqrt(3) = 24.84."""
    run = Run(run_id="r", scenarios=tuple(_scenario(i, j) for i, j in enumerate([90.0, 100.0, 110.0], 1)))
    (row,) = rows(run)
    energy = row.measures["energy_joules"]
    assert (row.finished, row.valid) == (3, 3)
    assert energy is not None
    assert (energy.mean, energy.stdev, energy.half_width) == (100.0, 10.0, pytest.approx(24.84, abs=0.01))
    assert summary_table(run).splitlines()[1].split() == [
        *("a", "3", "3", "10.0", "+-0.0", "10.0", "+-2.5", "100.0", "+-24.8"),
    ]


def test_failed_and_aborted_repeats_count_for_nothing() -> None:
    failed = Scenario(name="a", repeat=2, status="failed", error="x", duration=1.0)
    (row,) = rows(Run(run_id="r", scenarios=(_scenario(1, 90.0), failed)))
    assert row.finished == 1
    assert row.measures["duration_seconds"] is not None
    assert row.measures["duration_seconds"].mean == 10.0


def test_doubtful_repeats_are_counted_apart() -> None:
    run = Run(run_id="r", scenarios=(_scenario(1, 90.0), _scenario(2, 90.0, validity=["steal"])))
    assert (rows(run)[0].finished, rows(run)[0].valid) == (2, 1)


def test_unknown_is_an_empty_cell_and_never_a_zero() -> None:
    run = Run(run_id="r", scenarios=(Scenario(name="a"),))
    assert summary_table(run).splitlines()[1].split() == ["a", "1", "1"]


def test_quality_is_the_mean_over_the_rungs() -> None:
    rungs = [ResultOutput(quality=Quality(aligned=True, vmaf=Vmaf(mean=m))) for m in (90.0, 80.0)]
    (row,) = rows(Run(run_id="r", scenarios=(_scenario(1, 90.0, outputs=rungs),)))
    assert row.measures["vmaf"] is not None
    assert row.measures["vmaf"].mean == 85.0


@pytest.mark.parametrize(
    ("scenario", "line"),
    [
        (_scenario(1, 90.0, encode=EncodeStats(speed=2.5)), "10.0 s, 9.0 W measured, 90 J, 2.50x"),
        (_scenario(1, 90.0, validity=["steal"]), "10.0 s, 9.0 W measured, 90 J, not valid: steal"),
        (Scenario(name="a", duration=3.0), "3.0 s, energy unknown"),
        (Scenario(name="a", status="aborted", error="interrupted"), "aborted: interrupted"),
    ],
)  # fmt: skip
def test_a_scenario_is_one_line(scenario: Scenario, line: str) -> None:
    assert outcome(scenario) == line


def _job(name: str) -> object:
    return resolve(Spec(name=name, bitrate="1M"), input_path="x", duration_seconds=60, media_seconds=None)


def test_without_a_terminal_every_scenario_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Display([1.0, 60.0], quiet=False) as display:
        display.begin(baseline(1.0))
        display.notice(Progress(0.5, 0))
        display.end(Scenario(name="baseline", duration=1.0))
        display.begin(_job("b [bold]"))  # type: ignore[arg-type]
        display.end(Scenario(name="b [bold]", status="failed", error="[x]"))
    said = capsys.readouterr()
    assert said.err == "1/2 baseline: 1.0 s, energy unknown\n2/2 b [bold]: failed: [x]\n"
    assert said.out == ""


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display([60.0], quiet=True) as display:
        display.begin(baseline(1.0))
        display.end(Scenario(name="baseline"))
    assert capsys.readouterr().err == ""


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_shows_name_and_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names in brackets are no markup."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Display([60.0], quiet=False) as display:
        display.begin(_job("x264 [a]"))  # type: ignore[arg-type]
        display.notice(Progress(30.0, 750))
        display.phase("quality 1/1 x264 [a]")
        display.advance(5, 10)
        display.end(Scenario(name="x264 [a]", status="failed", error="[red]no[/red]"))
    shown = terminal.getvalue()
    assert "1/1 x264 [a], 750 frames" in shown
    assert "quality 1/1 x264 [a]" in shown
    assert "failed: [red]no[/red]" in shown


def test_the_upper_bar_is_the_run_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 of 160 s are done after 20 s of the clock: 60 s are left at that pace."""
    clock = [0.0]
    monkeypatch.setattr("rich.console.monotonic", lambda: clock[0])
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Display([100.0, 60.0], quiet=False) as display:
        display.begin(_job("a"))  # type: ignore[arg-type]
        clock[0] = 20.0
        display.notice(Progress(40.0, 750))
    assert "whole run, 60 s left" in terminal.getvalue()


def test_joules_are_of_the_host_and_its_gpus() -> None:
    """Seen on an H100: 743.9 J of the host look thriftier than 753.2 J, and the card drew 863 J more."""
    idle = Scenario(
        name="baseline",
        type="baseline",
        duration=10.0,
        power=Power(mean_watts=13.0, total_energy_joules=130.0, tier="modelled"),
        gpu_power=Power(mean_watts=74.0, total_energy_joules=740.0, tier="measured"),
    )
    decoded = Scenario(
        name="nvdec",
        duration=10.0,
        power=Power(mean_watts=47.0, total_energy_joules=470.0, net_energy_joules=340.0, tier="modelled"),
        gpu_power=Power(mean_watts=126.0, total_energy_joules=1260.0, tier="measured"),
    )
    line = summary_table(Run(run_id="r", scenarios=[idle, decoded])).splitlines()[2].split()
    assert line == ["nvdec", "1", "1", "10.0", "173.0", "1730", "860.0"]
    assert outcome(decoded) == "10.0 s, 173.0 W modelled, 1730 J"
