"""A whole run and its file: written after each scenario, on full disks, by runs that start together."""

from __future__ import annotations

import datetime
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from advisor.energy.hwmon import SensorRule
from advisor.energy.meter_files import OperatorMeters
from advisor.errors import WorkError
from advisor.results import Power, Run, Scenario, read_run
from advisor.results.derived import host_mean_watts
from advisor.video.ffmpeg import Capabilities
from runner.cli import main
from runner.display import Display
from runner.jobs import baseline, resolve
from runner.result_files import new_result_path
from runner.session import EnergySources, RunSettings, Session, open_session
from runner.spec import Spec
from runner.stop import StopRequest
from tests.support.hwmon_tree import hwmon_device
from tests.support.meters import ConstantMeter

SETTINGS = RunSettings(
    ffmpeg=Path("/opt/ffmpeg"),
    capabilities=Capabilities(version="9", encoders=frozenset(), filters=frozenset()),
)


class _NoGpus:
    infos = ()


def _session(path: Path, settings: RunSettings = SETTINGS) -> Session:
    return Session(
        path,
        settings,
        ConstantMeter(5.0),
        _NoGpus(),
        StopRequest(),
        Display([60.0], quiet=True),  # type: ignore[arg-type]
    )


def _saved(session: Session, *names: str) -> Run:
    session.save(Run(run_id="r", scenarios=tuple(Scenario(name=name) for name in names)))
    return session.run


def test_two_runs_of_one_second_get_files_of_their_own(tmp_path: Path) -> None:
    first, second = new_result_path(tmp_path), new_result_path(tmp_path)
    assert first != second
    assert second.stem > first.stem
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"{p.stem}_outputs" for p in (first, second)]


def test_a_name_whose_result_exists_is_not_taken_again(tmp_path: Path) -> None:
    first = new_result_path(tmp_path)
    first.write_text("{}")
    first.with_name(f"{first.stem}_outputs").rmdir()
    assert new_result_path(tmp_path) != first


def test_the_file_says_who_wrote_it_and_where(tmp_path: Path) -> None:
    path = tmp_path / "test_results_20260101_000000.json"
    session = _session(path)
    session.save(session.run)
    document = json.loads(path.read_text())
    assert document["tool"]["name"] == "wattframe"
    assert document["tool"]["ffmpeg_version"] == "9"
    assert document["host"]["threads"] == os.cpu_count()
    assert datetime.datetime.fromisoformat(document["test_date"]).tzinfo is not None


def test_a_file_that_cannot_be_written_now_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full at the second scenario, with room again at the third: the file holds all three."""
    session = _session(tmp_path / "r.json")
    _saved(session, "a")
    with monkeypatch.context() as full:
        full.setattr("runner.session.write_run", _raise_full)
        _saved(session, "a", "b")
    assert [s.name for s in read_run(session.path).scenarios] == ["a"]
    _saved(session, "a", "b", "c")
    session.require_written()
    assert [s.name for s in read_run(session.path).scenarios] == ["a", "b", "c"]


def test_a_file_that_can_never_be_written_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.session.write_run", _raise_full)
    session = _session(tmp_path / "r.json")
    _saved(session, "a")
    with pytest.raises(WorkError, match=r"r\.json: the last results could not be written: No space left on"):
        session.require_written()


def _raise_full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a disk can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.ffmpeg
def test_an_encode_that_fills_the_disk_fails_and_the_rest_goes_on(
    small_disk: Path, tmp_path: Path, clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first and last encode fit; the one between does not, and its remains are removed."""
    batch = tmp_path / "b.yaml"
    batch.write_text(
        "defaults: {preset: ultrafast, media_duration: 2}\n"
        "scenarios:\n"
        "  - {name: before, bitrate: 100k}\n"
        "  - {name: large, crf: 0, media_duration: 60}\n"
        "  - {name: after, bitrate: 100k}\n"
    )
    options = ["--input", str(clip), "--output-dir", str(small_disk), "--stabilization", "0", "--quiet"]
    code = main(["batch", str(batch), *options])
    (path,) = small_disk.glob("*.json")
    scenarios = read_run(path).scenarios
    assert code == 1
    assert [(s.name, s.status) for s in scenarios] == [("before", "ok"), ("large", "failed"), ("after", "ok")]
    assert scenarios[1].error is not None
    assert "No space left on device" in scenarios[1].error
    assert capfd.readouterr().err.count("\n") == 1
    assert [p.name for p in small_disk.iterdir()] == [path.name]


def test_only_what_the_run_writes_is_deleted(tmp_path: Path) -> None:
    """A user's own notes beside an encode stay, whatever their names begin with."""
    session = _session(tmp_path / "r.json", replace(SETTINGS, stabilization_seconds=0.0))
    folder = tmp_path / "r_outputs"
    folder.mkdir()
    own = {"a_1.json", "a_1_notes.txt", "a_1_pass.txt", "a_1.mp4.md5", "a_1_r2.mp4", "b_1.mp4"}
    written = {"a_1.mp4", "a_1_pass-0.log", "a_1_pass-0.log.mbtree"}
    for name in own | written:
        (folder / name).touch()
    spec = Spec(name="a", encoder="libx264", bitrate="500k", passes=2)
    job = resolve(spec, input_path="lavfi:testsrc2", duration_seconds=1.0, media_seconds=1.0)
    session.measure([job], {})
    assert session.run.scenarios[0].status == "failed"
    assert {file.name for file in folder.iterdir()} == own


def test_a_run_is_unfinished_on_disk_until_all_is_done(tmp_path: Path) -> None:
    """Others on this machine see that it still measures."""
    session = _session(tmp_path / "test_results_a.json")
    session.save(Run(run_id="r", scenarios=(Scenario(name="a"),), finished=session.run.finished))
    assert read_run(session.path).finished is False
    session.finish()
    assert read_run(session.path).finished is True


def test_a_baseline_that_cannot_be_trusted_gives_no_idle_power(tmp_path: Path) -> None:
    """The calibration stands in for it."""
    session = _session(tmp_path / "r.json", msgspec.structs.replace(SETTINGS, calibrated_idle_watts=7.0))
    power = Power(source="powercap", tier="measured", mean_watts=9.0, domains={"package_0": 9.0})
    disturbed = Scenario(name="a", type="baseline", power=power, validity=["other_load"])
    session.run = Run(run_id="r", scenarios=(disturbed,))
    assert session.idle_watts == 7.0
    session.run = Run(run_id="r", scenarios=(disturbed, msgspec.structs.replace(disturbed, validity=[])))
    assert session.idle_watts == 9.0


def test_a_session_measures_by_the_rules_of_an_operator(tmp_path: Path) -> None:
    """A board of which nobody knows: one label is the machine's power, by the operator's word."""
    sysfs = tmp_path / "sys"
    hwmon_device(sysfs, 0, "ina999", power1_label="VCC_12V", power1_input=20_000_000)
    rules = (SensorRule("ina.*", "psys", "VCC_12V"),)
    settings = replace(SETTINGS, sysfs=str(sysfs), stabilization_seconds=0.0)
    path, energy = tmp_path / "r.json", EnergySources(meters=OperatorMeters(sensor_rules=rules))
    with (
        Display((), quiet=True) as display,
        open_session(path, settings, energy, StopRequest(), display) as session,
    ):
        session.measure([baseline(0.6)], {})
    (idle,) = session.run.scenarios
    assert host_mean_watts(idle) == pytest.approx(20.0)
