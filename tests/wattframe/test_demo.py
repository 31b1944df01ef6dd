"""What the demo asks of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import WorkError
from advisor.results import Power, Run, Scenario
from wattframe.commands.demo import Demo, _check


def _shown(folder: Path) -> Demo:
    """A demo that made its model and its report."""
    demo = Demo(folder, duration_seconds=12.0, region="eu-west-1", port_offset=0)
    (demo.models / "cpu").mkdir(parents=True)
    (demo.models / "cpu" / "latest.json").touch()
    demo.report.write_text("Found by wattframe tune")
    return demo


def _run(*baselines: Scenario) -> Run:
    power = Power(mean_watts=10.0, total_energy_joules=100.0, tier="modelled")
    encodes = [Scenario(name=str(i), duration=10.0, power=power, vmaf_score=90.0) for i in range(6)]
    return Run(run_id="r", scenarios=[*baselines, *encodes])


def test_a_busy_machine_shows_all_the_same(tmp_path: Path) -> None:
    busy = Scenario(name="baseline", type="baseline", validity=["other_load"])
    _check(_run(busy), _shown(tmp_path))


def test_a_demo_without_a_baseline_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="did not show: an idle baseline"):
        _check(_run(), _shown(tmp_path))
