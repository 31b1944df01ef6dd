"""``wattframe export``: one row a scenario, what is unknown stays empty."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advisor.results import EncodeStats, Host, Output, Power, Run, Scenario, write_run
from wattframe.cli import main


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """360 J for 60 s of video, and a scenario of which nothing is known."""
    known = Scenario(
        name='a, "b"\nc',
        encoder="libx264",
        encoder_options={"tune": "grain", "g": "48"},
        bitrate="1000k,500k",
        duration=10.0,
        power=Power(tier="measured", mean_watts=36.0, total_energy_joules=360.0),
        encode=EncodeStats(speed=6.0),
        outputs=[Output(resolution="1280x720", duration=60.0)],
        vmaf_score=90.0,
        validity=["steal", "thermal"],
    )
    run = Run(run_id="x", scenarios=(known, Scenario(name="bare")), host=Host(hardware_id="h"))
    write_run(run, tmp_path / "test_results_20260301_120000.json")
    return tmp_path


def test_a_csv_file_has_one_row_a_scenario(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results / "out.csv"
    assert main(["export", str(results), "--csv", str(path)]) == 0
    with path.open(newline="") as file:
        known, bare = csv.DictReader(file)
    assert (known["scenario"], known["hardware_id"]) == ('a, "b"\nc', "h")
    assert float(known["energy_joules_per_video_second"]) == pytest.approx(6.0)  # 360 J / 60 s
    assert float(known["asked_bitrate_kbps"]) == pytest.approx(1500.0)
    assert (known["validity"], known["encoder_options"]) == ("steal; thermal", "tune=grain; g=48")
    assert (bare["scenario"], bare["energy_joules"], bare["vmaf"]) == ("bare", "", "")
    assert f"2 rows written to {path}" in capsys.readouterr().err


def test_a_parquet_file_has_types_and_nulls(results: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = results / "out.parquet"
    assert main(["export", str(results), "--parquet", str(path)]) == 0
    table = parquet.read_table(path)
    kinds = {name: str(table.schema.field(name).type) for name in ("scenario", "repeat", "psnr_decibels")}
    assert kinds == {"scenario": "string", "repeat": "int64", "psnr_decibels": "double"}
    assert table["energy_joules"].to_pylist() == [360.0, None]


def test_results_are_not_written_over_by_their_table(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = results.iterdir()
    before = path.read_bytes()
    assert main(["export", str(results), "--csv", str(path)]) == 2
    assert "expected another file than the results" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_table_has_to_go_somewhere(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(results)]) == 2
    assert capsys.readouterr().err == "wattframe export: expected --csv FILE or --parquet FILE\n"


def test_everything_that_keeps_a_table_empty_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "video.mp4").write_bytes(b"\0")
    names = [str(tmp_path / name) for name in ("video.mp4", "gone.json")]
    assert main(["export", *names, "--csv", str(tmp_path / "out.csv")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["wattframe export", name] for name in names]
    assert not (tmp_path / "out.csv").exists()


def test_a_name_that_is_not_there_keeps_no_former_table_from_being_written_anew(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "out.csv"
    table.write_text("former")
    assert main(["export", str(results), str(tmp_path / "gone.json"), "--csv", str(table)]) == 2
    assert "gone.json: cannot be read" in capsys.readouterr().err
    assert table.read_text().startswith("run_id,")
