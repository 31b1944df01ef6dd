"""What people name their scenarios reaches every table as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wattframe.cli import main

NAMES = ("x264 [fast]", "closing [/b]", "live :fire: [red]")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scenarios whose names rich would take for markup and pictures, shown without a break."""
    monkeypatch.setenv("COLUMNS", "200")
    scenarios = [
        {
            "name": name,
            "encoder": "libx264",
            "bitrate": f"{1000 * (i + 1)}k",
            "resolution": "1280x720",
            "fps": 30,
            "duration": 10,
            "start_time": 1.79e9 + 100 * i,
            "power": {"tier": "measured", "mean_watts": 50.0 + i, "total_energy_joules": 500.0 + 10 * i},
            "vmaf_score": 80 + i,
            "outputs": [{"resolution": "1280x720", "fps": 30, "frames": 300, "duration": 10}],
        }
        for i, name in enumerate(NAMES)
    ]
    document = {"schema_version": 1, "host": {"hardware_id": "h"}, "scenarios": scenarios}
    (tmp_path / "test_results_20260922_000000.json").write_text(json.dumps(document))
    return tmp_path


@pytest.mark.parametrize("command", ["cost", "forecast", "recommend --results-dir"])
def test_names_are_shown_as_they_are(command: str, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), str(results)]) == 0
    shown = capsys.readouterr().out
    assert [name for name in NAMES if name not in shown] == []


def test_nothing_to_price_draws_no_empty_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "none" in said.err


@pytest.mark.parametrize("command", ["cost", "forecast", "recommend --results-dir"])
def test_a_name_does_not_act_on_the_terminal(
    command: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What sets a title, clears the screen or turns the direction of a line is shown by its number."""
    (path,) = results.iterdir()
    document = json.loads(path.read_text())
    document["scenarios"][0]["name"] = "a\x1b]0;owned\x07\x1b[2J\u202eb"
    document["scenarios"].append({"name": "broken", "fps": "\x1b[2J", "type": "\x1b[31m"})
    path.write_text(json.dumps(document))
    assert main([*command.split(), str(results)]) in (0, 2)
    said = capsys.readouterr()
    assert r"a\x1b]0;owned\x07\x1b[2J\u202eb" in said.out
    assert not any(character in said.out + said.err for character in "\x1b\x07\u202e")
