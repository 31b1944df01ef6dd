"""docs/python.md is a session that runs, block after block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.results import EncodeStats, InputMedia, Output, Power, Run, Scenario, write_run

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _matrix() -> Run:
    """An idle machine of 20 W, and two encoders at six bitrates of three videos."""
    idle = Scenario(
        name="idle", type="baseline", duration=30.0, power=Power(mean_watts=20.0, tier="measured")
    )
    scenarios = [idle]
    for video in ("calm", "film", "sport"):
        for encoder, seconds, quality in (("libx264", 20.0, 80.0), ("libx265", 45.0, 86.0)):
            for i, kbps in enumerate((500, 1000, 2000, 3000, 4500, 6000)):
                watts = 60.0 + 0.002 * kbps
                scenarios.append(
                    Scenario(
                        name=f"{encoder} {kbps}k",
                        encoder=encoder,
                        preset="medium",
                        bitrate=f"{kbps}k",
                        resolution="1280x720",
                        fps=30.0,
                        threads=2 + i % 2,
                        input=InputMedia(name=video),
                        duration=seconds,
                        start_time=1_767_225_600.0 + 100 * len(scenarios),
                        outputs=[Output(resolution="1280x720", fps=30.0, duration=30.0, frames=900)],
                        encode=EncodeStats(speed=30.0 / seconds),
                        power=Power(mean_watts=watts, total_energy_joules=watts * seconds, tier="measured"),
                        vmaf_score=quality + 2 * i,
                    )
                )
    return Run(run_id="test_results_20260101_000000", scenarios=tuple(scenarios))


def test_the_session_on_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cheapest of at least 85 in VMAF is libx264's at 3000k: 86, and less than half of libx265's time."""
    for package in ("pandas", "sklearn", "matplotlib"):
        pytest.importorskip(package)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_results").mkdir()
    write_run(_matrix(), tmp_path / "test_results" / "test_results_20260101_000000.json")
    names: dict[str, object] = {}
    assert len(BLOCKS) >= 7
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)  # noqa: S102 - the page itself
    said = capsys.readouterr().out
    assert "1 runs, 37 scenarios; refused: {}" in said
    assert "libx264 3000k" in said
    assert "hardware encoder" in said
    assert (tmp_path / "front.png").stat().st_size > 1000
