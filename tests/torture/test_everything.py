"""Everything at once against a known truth; 40 seconds and one kill, with --long ten minutes and 29."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.torture.everything import EXPORTERS, everything, failed


def test_no_number_is_wrong_and_no_series_lost(request: pytest.FixtureRequest) -> None:
    long = bool(request.config.getoption("--long"))
    found: dict[str, Any] = everything(600.0 if long else 40.0)
    assert not failed(found), {what: found[what] for what in ("wrong", "lost", "grown", "supervisor_alive")}
    assert sum(found["kills"].values()) == (29 if long else 1)
    assert found["file_changes"] > 10
    for what in ("cost_energy", "qoe_vmaf_score", "results_scenario_mean_power_watts", "rapl joules"):
        assert found["checks"][what] > 0
    assert found["scrapes"].keys() == set(EXPORTERS)
    if shutil.which("prometheus"):
        assert found["checks"]["Prometheus cost_energy"] > 0
