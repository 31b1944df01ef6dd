"""The report in a real browser: its own script runs, and nothing else does."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from advisor.results import Output, Power, Run, Samples, Scenario
from wattframe.report.page import RunView, page

pytestmark = pytest.mark.browser
NASTY = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=390,900"),
)


def scenario(name: str, joules: float) -> Scenario:
    return Scenario(
        name=name,
        encoder="libx264",
        preset="medium",
        duration=10.0,
        power=Power(tier="measured", mean_watts=joules / 10, total_energy_joules=joules),
        samples=Samples(timestamps=[0.0, 5.0, 10.0], power_watts=[30.0, 40.0, 38.0]),
        outputs=[Output(resolution="1280x720", duration=60.0)],
        vmaf_score=90.0,
    )


@pytest.fixture
def opened(tmp_path: Path) -> str:
    """The document of the page once the browser has run it."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    run = Run(run_id="run", scenarios=(scenario(NASTY, 360.0), scenario("b", 700.0)))
    path = tmp_path / "report.html"
    path.write_text(page([RunView(run=run)], datetime.datetime.now(datetime.UTC), "1"))
    done = subprocess.run(
        ["chromium", *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_headings_sort_and_marks_explain_themselves(opened: str) -> None:
    headings = re.findall(r"<th scope=\"col\"[^>]*><button", opened)
    assert len(headings) == 8  # scenario, bitrate, speed, power, energy twice, VMAF, PSNR
    assert len(re.findall(r'data-hint="[^"]+" tabindex="0" role="img"', opened)) == 2 * (2 + 2)
    assert "<title>b: VMAF" not in opened  # the page's own hints stand in for the browser's


def test_a_hostile_name_does_nothing(opened: str) -> None:
    assert "<title>Wattframe: run</title>" in opened
    assert "owned</title>" not in opened
