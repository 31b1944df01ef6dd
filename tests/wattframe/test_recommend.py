"""``wattframe recommend``: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattframe.cli import main

COMMON = {"type": "single", "status": "ok", "encoder": "libx264", "resolution": "1280x720", "duration": 60}


def _scenario(name: str, joules: float, vmaf: float, **more: Any) -> dict[str, Any]:
    return COMMON | {
        "name": name,
        "preset": name,
        "outputs": [{"resolution": "1280x720", "duration": 60}],
        "power": {"tier": "measured", "mean_watts": joules / 60, "total_energy_joules": joules},
        "vmaf_score": vmaf,
        **more,
    }


def _folder(tmp_path: Path, *scenarios: dict[str, Any]) -> list[str]:
    document = {"schema_version": 1, "scenarios": scenarios}
    (tmp_path / "test_results_20260101_000000.json").write_text(json.dumps(document))
    return ["recommend", "--results-dir", str(tmp_path)]


LADDER = [_scenario("low", 600, 70), _scenario("mid", 840, 90), _scenario("high", 2400, 95)]


def _asked(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_what_is_not_valid_is_left_out_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt = _scenario("spoilt", 60, 90, validity=["throttled"])
    arguments = [*_folder(tmp_path, *LADDER, spoilt), "--min-vmaf", "85"]
    answer = _asked(arguments, capsys)
    assert (answer["choice"]["scenario"], answer["choice"]["validity"]) == ("mid", [])
    assert answer["left_out"] == {"not valid: throttled": 1, "VMAF below 85": 1}
    answer = _asked([*arguments, "--accept-invalid"], capsys)
    assert (answer["choice"]["scenario"], answer["choice"]["validity"]) == ("spoilt", ["throttled"])
    assert main(arguments) == 0
    assert "left out 1: not valid: throttled" in capsys.readouterr().out


def test_what_is_not_valid_is_on_no_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves = [
        _scenario(f"{preset}{crf}", 600, 90 - crf, preset=preset, crf=crf, bitrate=f"{9000 - 100 * crf}k")
        for preset in ("fast", "slow")
        for crf in (10, 15, 20, 25)
    ]
    curves[0] |= {"validity": ["throttled"]}
    arguments = [*_folder(tmp_path, *curves), "--min-vmaf", "1"]
    assert _asked(arguments, capsys)["encoder_differences"] == []
    assert len(_asked([*arguments, "--accept-invalid"], capsys)["encoder_differences"]) == 1


def test_the_headline_of_a_knee_says_that_it_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _folder(tmp_path, *LADDER)
    answer = _asked(arguments, capsys)
    assert answer["choice"]["probability_knee"] == 1.0
    assert answer["choice"]["probability_best"] == answer["front"][1]["probability_best"] < 0.05
    assert main(arguments) == 0
    headline = capsys.readouterr().out.splitlines()[0]
    assert headline == "mid (measured, the knee with a probability of 100%)"


def test_a_file_that_was_refused_ends_with_2_beside_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*_folder(tmp_path, *LADDER), "--min-vmaf", "85"]
    (tmp_path / "test_results_20260102_000000.json").write_text("{")
    assert _asked(arguments, capsys, code=2)["choice"]["scenario"] == "mid"
