"""A batch on a real cluster of two hosts."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from advisor.results import read_run
from runner.cli import main

pytestmark = pytest.mark.ffmpeg

SETTINGS = ("--media-duration", "0.5", "--stabilization", "0", "--quiet", "--json")


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    path = tmp_path / "batch.json"
    matrix = {"encoder": ["libx264"], "preset": ["ultrafast"], "bitrate": ["100k", "200k"]}
    document = {"defaults": {"resolution": "64x36"}, "matrix": matrix}
    unable = {
        "name": "unable",
        "encoder": "libx264",
        "bitrate": "100k",
        "encoder_options": {"tune": "nobody"},
    }
    document["scenarios"] = [unable, {"name": "idle", "type": "baseline", "duration": 0.3}]
    path.write_text(json.dumps(document))
    return path


def test_every_host_measures_the_batch_into_a_file_of_its_own(
    address: str, batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rules = tmp_path / "results", tmp_path / "sensors.yaml"
    rules.write_text("- {driver: ina999, label: VCC, domain: psys}")
    command = ["batch", str(batch), "--cluster", address, "--output-dir", str(folder)]
    assert main([*command, "--sensors", str(rules), *SETTINGS]) == 1
    documents = json.loads(capsys.readouterr().out)
    runs = [read_run(Path(document["file"])) for document in documents]
    assert sorted(p.name.rpartition("_")[2] for p in folder.iterdir()) == ["a.json", "b.json"]
    assert [run.host.name for run in runs if run.host] == ["a", "b"]
    for run in runs:
        assert run.finished
        assert [s.status for s in run.scenarios] == ["failed", "ok", "ok", "ok"]
        assert [s.name for s in run.scenarios][:2] == ["unable", "idle"]
        windows = [(s.start_time or 0.0, s.end_time or 0.0) for s in run.scenarios[1:]]
        assert all(end <= begin for (_, end), (begin, _) in pairwise(windows))


def test_an_interrupted_batch_goes_on_where_each_host_was(
    address: str, batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    command = [
        "batch",
        str(batch),
        "--cluster",
        address,
        "--output-dir",
        str(folder),
        "--hosts",
        "b",
        *SETTINGS,
    ]
    main(command)
    (path,) = folder.glob("*.json")
    document = json.loads(path.read_text())
    lost = document["scenarios"].pop(2)
    path.write_text(json.dumps(document | {"finished": False}))
    main([*command, "--resume"])
    assert list(folder.glob("*.json")) == [path]
    run = read_run(path)
    assert run.finished
    kept = [s["name"] for s in document["scenarios"] if s["status"] == "ok"]
    assert [s.name for s in run.scenarios] == [*kept, "unable", lost["name"]]
    assert run.scenarios[0].start_time == document["scenarios"][1]["start_time"]


def test_rules_for_sensors_that_cannot_be_read_are_one_line(
    address: str, batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "sensors.yaml"
    rules.write_text("- {driver: ina, domain: kitchen}")
    command = ["batch", str(batch), "--cluster", address, "--output-dir", str(tmp_path)]
    assert main([*command, "--sensors", str(rules)]) == 2
    assert capsys.readouterr().err.startswith(f"run_tests.py: {rules}: expected a list of driver, label")


def test_a_host_that_is_not_there_is_one_line(
    address: str, batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["batch", str(batch), "--cluster", address, "--output-dir", str(tmp_path), "--hosts", "b,c"]
    assert main(command) == 2
    assert capsys.readouterr().err == "run_tests.py: --hosts: expected hosts of a, b; found 'c'\n"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://192.0.2.1:8786", "expected tls:// for anything but this machine"),
        ("192.0.2.1:8786", "expected tls://HOST:PORT or tcp://127.0.0.1:PORT"),
        ("tls://192.0.2.1:8786", "needs --cluster-tls DIR"),
    ],
)
def test_beyond_this_machine_nothing_goes_without_certificates(
    address: str, expected: str, batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", str(batch), "--cluster", address, "--output-dir", str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err
