"""``run_tests.py`` as a user calls it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from advisor.energy.calibration import Calibration, LoadPoint, save_calibration
from advisor.energy.source import SourceName
from advisor.errors import FfmpegError
from advisor.machine import host
from advisor.quality.measure import Measurement
from advisor.results import Quality, Run, read_run, write_run
from runner.cli import main
from runner.result_files import claimed
from tests.support.hwmon_tree import hwmon_device
from tests.support.moving import moving
from tests.support.powercap_tree import PowercapTree
from tests.support.redfish_service import DELL, redfish

pytestmark = pytest.mark.ffmpeg

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--stabilization", "0", "--interval", "0.1", "--media-duration", "1")


@pytest.fixture
def call(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call the command line; gives the exit code, stdout and stderr."""

    def call(*args: str, output: str = "out", source: str | None = None) -> tuple[int, str, str]:
        extra = ["--output-dir", str(tmp_path / output), "--input", source or str(clip)]
        code = main([*args, *extra])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def _results(tmp_path: Path, output: str = "out") -> Run:
    (path,) = (tmp_path / output).glob("test_results_*.json")
    return read_run(path)


def test_a_single_run_writes_one_file_and_prints_a_table(call: Any, tmp_path: Path) -> None:
    code, out, err = call("single", "--preset", "ultrafast", "--bitrate", "300k", "--name", "mine", *QUICK)
    run = _results(tmp_path)
    assert code == 0
    assert [(s.name, s.status, s.outputs[0].frames) for s in run.scenarios] == [("mine", "ok", 25)]
    assert out.splitlines()[0].split() == [
        *("scenario", "n", "valid", "s", "W", "J", "net", "J", "CPU", "s", "speed", "VMAF"),
    ]
    assert out.splitlines()[-1].endswith(f"{run.run_id}.json")
    assert err.startswith("1/1 mine: ")
    # nothing else is left in the folder
    assert [p.name for p in (tmp_path / "out").iterdir()] == [f"{run.run_id}.json"]


def test_json_is_one_document_on_stdout(call: Any, tmp_path: Path) -> None:
    code, out, _ = call("single", "--preset", "ultrafast", "--json", "--quiet", "--repeat", "2", *QUICK)
    document = json.loads(out)
    assert code == 0
    assert document["run_id"] == _results(tmp_path).run_id
    (row,) = document["scenarios"]
    assert (row["finished"], row["measures"]["duration_seconds"]["count"]) == (2, 2)
    assert document["unfinished"] == []


def test_energy_comes_from_counters_where_there_are_some(call: Any, tmp_path: Path) -> None:
    """A register that draws 20 W."""
    tree = PowercapTree(tmp_path / "sys")
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:0:0", "core")
    sysfs = str(tmp_path / "sys")
    with moving(tree, watts=20.0):
        code, *_ = call("single", "--preset", "ultrafast", "--sysfs", sysfs, *QUICK)
    power = _results(tmp_path).scenarios[0].power
    assert code == 0
    assert power is not None
    assert (power.source, power.tier) == ("powercap", "measured")
    assert power.mean_watts == pytest.approx(20.0, rel=0.1)
    assert set(power.domains) == {"package_0", "core_0"}


def test_without_counters_energy_is_marked_as_modelled(call: Any, tmp_path: Path) -> None:
    """With (almost) 10 W at any load the energy is 10 W times the time between the meter's own samples.

    Those lie before the readings: the last one after the reading before it, the first one after the call.
    """
    watts = ("--idle-watts", "10", "--max-watts", "10.0001", "--sysfs", str(tmp_path))
    called = time.time()
    call("single", "--preset", "ultrafast", "--realtime", *watts, *QUICK)
    (scenario,) = _results(tmp_path).scenarios
    power, start = scenario.power, scenario.start_time
    assert power is not None
    assert power.total_energy_joules is not None
    assert start is not None
    assert (power.source, power.tier) == ("estimate", "modelled")
    last_but_one = scenario.samples.timestamps[-2]
    assert 10.0 * (last_but_one - start) <= power.total_energy_joules <= 10.001 * (time.time() - called)


def test_idle_energy_is_subtracted_by_the_baseline(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What remains is the energy less the baseline's power over the encode's window."""
    # half a second is too short to be trusted, and this machine may be busy
    monkeypatch.setattr("runner.measure.reasons", lambda window: [])
    watts = ("--idle-watts", "10", "--max-watts", "10.0001", "--sysfs", str(tmp_path))
    batch = tmp_path / "b.yaml"
    batch.write_text("- {type: baseline, duration: 0.5}\n- {preset: ultrafast, bitrate: 300k}\n")
    call("batch", str(batch), *watts, *QUICK)
    base, encode = _results(tmp_path).scenarios
    assert (base.type, encode.type) == ("baseline", "single")
    assert encode.power is not None
    assert base.power is not None
    assert base.power.mean_watts is not None
    assert encode.power.total_energy_joules is not None
    assert encode.duration is not None
    assert encode.power.idle_watts == base.power.mean_watts
    idle_joules = base.power.mean_watts * encode.duration
    assert encode.power.net_energy_joules == pytest.approx(encode.power.total_energy_joules - idle_joules)


def _calibrated(tmp_path: Path, source: SourceName, **domain_watts: float) -> tuple[str, ...]:
    """Options of a machine that draws 8 W idle by ``source``."""
    sysfs, models = str(tmp_path / "sys"), tmp_path / "models"
    idle = LoadPoint(
        mean_watts=8.0, stdev_watts=None, duration_seconds=60.0, busy_ratio=0.0, domain_watts=domain_watts
    )
    known = host(sysfs=sysfs).hardware_id or ""
    save_calibration(
        Calibration(hardware_id=known, source=source, tier="measured", measured_at="now", idle=idle), models
    )
    return "--sysfs", sysfs, "--models-dir", str(models)


def test_a_calibration_by_the_boards_own_sensor_stands_in_as_well(call: Any, tmp_path: Path) -> None:
    """20 W all the time, 8 W idle: 12 W above idle."""
    hwmon_device(tmp_path / "sys", 0, "power_meter", power1_average=20_000_000)
    call("single", "--preset", "ultrafast", *_calibrated(tmp_path, "hwmon"), *QUICK)
    (scenario,) = _results(tmp_path).scenarios
    assert scenario.power is not None
    assert scenario.duration is not None
    assert (scenario.power.source, scenario.power.idle_watts) == ("hwmon", 8.0)
    assert scenario.power.net_energy_joules == pytest.approx(12.0 * scenario.duration, rel=0.02)


def test_a_calibration_by_the_boards_own_sensor_says_nothing_of_what_its_controller_sees(
    call: Any, tmp_path: Path
) -> None:
    """The sensor's 8 W idle are behind the power supply, the controller's 464 W before it."""
    hwmon_device(tmp_path / "sys", 0, "power_meter", power1_average=20_000_000)
    calibrated = _calibrated(tmp_path, "hwmon", psys_0=8.0)
    with redfish(DELL) as service:
        file = tmp_path / "redfish.yaml"
        file.write_text(
            f"{{url: {service.url}, username: monitor, password: s3cret \u00fc, interval_seconds: 1}}"
        )
        call("single", "--preset", "ultrafast", "--realtime", "--redfish", str(file), *calibrated, *QUICK)
    (scenario,) = _results(tmp_path).scenarios
    assert scenario.power is not None
    assert "psys_redfish" in scenario.power.domains
    assert (scenario.power.idle_watts, scenario.power.net_energy_joules) == (None, None)


def test_a_calibration_stands_in_for_a_baseline(call: Any, tmp_path: Path) -> None:
    """A register that hardly moves, 8 W idle: the energy above idle is minus 8 W times the window."""
    tree = PowercapTree(tmp_path / "sys")
    tree.add("intel-rapl:0", "package-0")
    with moving(tree):
        call("single", "--preset", "ultrafast", *_calibrated(tmp_path, "powercap"), *QUICK)
    (scenario,) = _results(tmp_path).scenarios
    assert scenario.power is not None
    assert scenario.duration is not None
    assert scenario.power.idle_watts == 8.0
    assert scenario.power.net_energy_joules == pytest.approx(-8.0 * scenario.duration, abs=0.1)


def test_a_failed_scenario_is_recorded_and_the_rest_goes_on(call: Any, tmp_path: Path, ffmpeg: Path) -> None:
    """An ffmpeg that dies when it is to encode with x265, and does all else."""
    picky = tmp_path / "ffmpeg"
    picky.write_text(
        "#!/bin/sh\n"
        'case "$*" in *"-c:v libx265"*) echo "[error] no x265 today" >&2; exit 7;; esac\n'
        f'exec {shlex.quote(str(ffmpeg))} "$@"\n'
    )
    picky.chmod(0o755)
    batch = tmp_path / "b.json"
    batch.write_text(
        json.dumps([{"encoder": e, "preset": "ultrafast", "crf": 30} for e in ("libx265", "libx264")])
    )
    code, _, err = call("batch", str(batch), "--ffmpeg", str(picky), *QUICK)
    assert code == 1
    assert [s.status for s in _results(tmp_path).scenarios] == ["failed", "ok"]
    assert _results(tmp_path).scenarios[0].error == "ffmpeg ended with code 7: no x265 today"
    assert err.splitlines()[-1] == (
        "run_tests.py: 1 of 2 scenarios failed: libx265 ultrafast crf 30: "
        "ffmpeg ended with code 7: no x265 today"
    )


def test_resume_runs_what_is_missing_and_keeps_what_is_there(call: Any, tmp_path: Path) -> None:
    batch = tmp_path / "b.yaml"
    batch.write_text("matrix: {preset: [ultrafast, superfast], bitrate: [300k]}\n")
    assert call("batch", str(batch), *QUICK)[0] == 0
    (path,) = (tmp_path / "out").glob("*.json")
    whole = read_run(path)
    cut = whole.scenarios[1].__class__(name=whole.scenarios[1].name, status="aborted")
    write_run(Run(run_id=whole.run_id, scenarios=(whole.scenarios[0], cut), host=whole.host), path)
    code, _, err = call("batch", str(batch), "--resume", *QUICK)
    after = _results(tmp_path)
    assert code == 0
    assert "1 finished before, 1 to run" in err
    assert after.scenarios[0] == whole.scenarios[0]
    assert [(s.name, s.status) for s in after.scenarios] == [(s.name, "ok") for s in whole.scenarios]


def test_resume_refuses_another_meaning_of_a_name(call: Any, tmp_path: Path) -> None:
    one = ("single", "--name", "a", "--preset", "ultrafast", *QUICK)
    call(*one, "--bitrate", "300k")
    code, _, err = call(*one, "--bitrate", "400k", "--resume")
    assert code == 2
    assert err.endswith("scenario 'a': has other settings in the file than those given now\n")


def test_resume_refuses_a_file_of_another_machine(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "test_results_20200101_000000.json"
    path.write_text(json.dumps({"schema_version": 1, "host": {"hardware_id": "other"}, "scenarios": []}))
    code, _, err = call("single", "--resume", str(path), *QUICK)
    assert code == 2
    assert "host: expected a run of this machine (" in err


def test_resume_without_any_file_says_so(call: Any, tmp_path: Path) -> None:
    code, _, err = call("single", "--resume", *QUICK)
    assert code == 2
    assert err == f"run_tests.py: --resume: expected a result file in {tmp_path}/out to resume\n"


def test_resume_takes_the_run_that_was_begun_last(call: Any, tmp_path: Path) -> None:
    """In the night in which the clock is set back the later run has the earlier name."""
    first, second = "2026-10-25T02:30:00+02:00", "2026-10-25T02:10:00+01:00"
    for name, date in (("test_results_20261025_023000", first), ("test_results_20261025_021000", second)):
        path = tmp_path / "out" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        write_run(Run(run_id=name, scenarios=(), test_date=date, host=host()), path)
    (tmp_path / "out" / "test_results_20270101_000000.json").write_text("no result")
    code, out, _ = call("single", "--preset", "ultrafast", "--resume", *QUICK)
    assert code == 0
    assert out.endswith("test_results_20261025_021000.json\n")


def test_a_file_that_a_run_is_writing_is_not_resumed(call: Any, tmp_path: Path) -> None:
    args = ("single", "--preset", "ultrafast", *QUICK)
    call(*args)
    (path,) = (tmp_path / "out").glob("*.json")
    with claimed(path):
        code, _, err = call(*args, "--resume", str(path))
    assert (code, err) == (2, f"run_tests.py: {path}: expected a file that no other run is writing\n")
    assert call(*args, "--resume", str(path))[0] == 0


def test_a_score_that_ffmpeg_failed_at_is_tried_again_by_resume(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encode is kept for it, and goes once it has its score."""
    args = ("single", "--preset", "ultrafast", "--compute-quality", *QUICK)

    def killed(*_: Any, **__: Any) -> None:
        raise FfmpegError("ffmpeg was killed by SIGKILL")

    with monkeypatch.context() as once:
        once.setattr("advisor.quality.measure.measure_all", killed)
        code, _, err = call(*args)
    assert code == 1
    assert err.endswith("1 encodes could not be scored; the result file has the reasons\n")
    (output,) = _results(tmp_path).scenarios[0].outputs
    assert output.quality is not None
    assert output.quality.reason == "ffmpeg was killed by SIGKILL"
    code, _, _ = call(*args, "--resume")
    (again,) = _results(tmp_path).scenarios[0].outputs
    assert code == 0
    assert again.quality is not None
    assert again.quality.vmaf is not None
    assert not Path(output.path or "").exists()


def test_a_score_that_cannot_be_had_fails_every_resume(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("single", "--preset", "ultrafast", "--compute-quality", *QUICK)
    never = Quality(aligned=False, reason="another video")
    with monkeypatch.context() as once:
        once.setattr("advisor.quality.measure.measure_all", lambda *_, **__: [Measurement(never, ())])
        assert call(*args)[0] == 1
    code, _, err = call(*args, "--resume")
    assert code == 1
    assert err.endswith("1 encodes could not be scored; the result file has the reasons\n")


def test_quality_is_scored_after_the_window_and_the_encode_deleted(call: Any, tmp_path: Path) -> None:
    code, _, _ = call("single", "--preset", "ultrafast", "--crf", "20", "--compute-quality", *QUICK)
    (scenario,) = _results(tmp_path).scenarios
    (output,) = scenario.outputs
    assert code == 0
    assert output.quality is not None
    assert output.quality.vmaf is not None
    assert (output.quality.aligned, output.quality.frames, output.path) == (True, 25, None)
    assert scenario.vmaf_score == output.quality.vmaf.mean
    assert 70 < scenario.vmaf_score <= 100
    assert not list((tmp_path / "out").glob("*_outputs"))


def test_quality_of_a_lavfi_source_uses_the_same_pictures(call: Any, tmp_path: Path) -> None:
    """x264 at crf 0 is lossless for 8-bit 4:2:0, so the drawn reference has to be the same bit by bit."""
    source = "lavfi:testsrc2=s=320x240:r=25,format=yuv420p"
    args = ("single", "--preset", "ultrafast", "--crf", "0", "--compute-quality", *QUICK)
    code, *_ = call(*args, source=source)
    quality = _results(tmp_path).scenarios[0].outputs[0].quality
    assert code == 0
    assert quality is not None
    assert (quality.lossless, quality.frames) == (True, 25)


def test_that_hdr_gets_no_vmaf_is_said_before_the_work(call: Any, tmp_path: Path, ffmpeg: Path) -> None:
    hdr = tmp_path / "hdr.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1.2"]
    colours = ["-vf", "format=yuv420p10le,setparams=color_trc=smpte2084:color_primaries=bt2020"]
    subprocess.run(
        [ffmpeg, "-v", "error", *source, "-c:v", "libx264", "-preset", "ultrafast", *colours, hdr], check=True
    )
    args = ("single", "--preset", "ultrafast", "--crf", "20", "--compute-quality", *QUICK)
    code, _, err = call(*args, source=str(hdr))
    (scenario,) = _results(tmp_path).scenarios
    assert err.startswith(f"run_tests.py: {hdr}: VMAF has no model for HDR (PQ)\n")
    assert (code, scenario.vmaf_score) == (0, None)
    assert scenario.psnr_score is not None


def test_kept_outputs_are_where_the_file_says(call: Any, tmp_path: Path) -> None:
    call("single", "--preset", "ultrafast", "--keep-outputs", *QUICK)
    (output,) = _results(tmp_path).scenarios[0].outputs
    assert output.path is not None
    assert Path(output.path).stat().st_size == output.size_bytes


def test_an_encode_that_cannot_be_scored_is_said_and_fails_the_call(call: Any, tmp_path: Path) -> None:
    """Scores of kept outputs are made up for by --resume; here one was cut off meanwhile."""
    args = ("single", "--preset", "ultrafast", *QUICK)
    call(*args, "--keep-outputs")
    (output,) = _results(tmp_path).scenarios[0].outputs
    assert output.path is not None
    data = Path(output.path).read_bytes()
    Path(output.path).write_bytes(data[: len(data) // 2])
    code, _, err = call(*args, "--compute-quality", "--resume")
    quality = _results(tmp_path).scenarios[0].outputs[0].quality
    assert code == 1
    assert err.endswith("1 encodes could not be scored; the result file has the reasons\n")
    assert quality is not None
    assert quality.vmaf is None
    assert quality.reason


def test_the_length_of_a_run_is_told_before_it_begins(call: Any) -> None:
    """Where no bar shows it either: 2 * (1 + 0.5) = 3 s."""
    args = ("single", "--preset", "ultrafast", "--duration", "1", "--stabilization", "0.5", "--repeat", "2")
    code, _, err = call(*args)
    assert code == 0
    assert "run_tests.py: 2 scenarios, about 3 s\n" in err


def test_dry_run_prints_commands_and_time_and_writes_nothing(call: Any, tmp_path: Path) -> None:
    """2 scenarios, a baseline, 2 repeats: 2 * 2 * (10 + 3 + 4) + 10 + 3 + 4 = 85 s."""
    batch = tmp_path / "b.yaml"
    batch.write_text("matrix: {preset: [ultrafast, superfast], bitrate: [300k]}\n")
    times = ("--duration", "10", "--stabilization", "3", "--cooldown", "4")
    code, out, _ = call("batch", str(batch), "--dry-run", "--with-baseline", "--repeat", "2", *times)
    assert code == 0
    assert out.splitlines()[-1] == "# 5 scenarios, about 85 s"
    lines = [line for line in out.splitlines() if not line.startswith("#")]
    assert [shlex.split(line)[shlex.split(line).index("-preset") + 1] for line in lines] == [
        *("ultrafast", "superfast", "ultrafast", "superfast"),
    ]
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_no_stream_key(call: Any) -> None:
    code, out, err = call("single", "--dry-run", "--rtmp", "rtmp://127.0.0.1/live/s3cret-key")
    assert (code, "rtmp://127.0.0.1/live/..." in out, "s3cret" in out + err) == (0, True, False)


def test_the_default_suite_is_a_baseline_and_the_transcodes_promised(call: Any) -> None:
    code, out, _ = call("--dry-run")
    lines = [shlex.split(line) for line in out.splitlines() if not line.startswith("#")]
    encoders = [line[line.index("-c:v") + 1] for line in lines]
    assert code == 0
    assert out.startswith("# baseline\n# idle for 60 s\n")
    assert len(lines) >= 6
    assert {"libx264", "libx265", "libsvtav1"} <= set(encoders)
    assert sum(line.count("-map") == 3 for line in lines) == 1


def test_ready_matrices_can_run(call: Any) -> None:
    files = sorted((ROOT / "scenarios").glob("*.yaml"))
    assert {"codecs", "presets", "ladder", "streams", "live"} <= {file.stem for file in files}
    for file in files:
        code, out, err = call("batch", str(file), "--dry-run", "--skip-missing")
        assert (code, out.count(" -c:v ") > 0) == (0, True), (file, err)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nope"], "expected one of single, multi, suite, batch, found 'nope'"),
        (["single", "--duration", "0"], "argument --duration: expected seconds from 0.1 to 86400, found '0'"),
        (["single", "--interval", "nan"], "argument --interval: expected seconds from 0.1 to 86400, found"),
        (["single", "--repeat", "0"], "argument --repeat: expected a whole number from 1 to 1000, found '0'"),
        (["single", "--repeat", "2.5"], "argument --repeat: expected a whole number from 1 to 1000, found"),
        (["single", "--crf", "inf"], "argument --crf: expected a finite number, found 'inf' (--help"),
        (["single", "--encoder", "libx246"], "--encoder: no encoder 'libx246', did you mean"),
        (["single", "--encoder", "qqq"], "--encoder: no encoder 'qqq', expected one of libx264, libx265, "
         "libsvtav1, libvpx-vp9, libaom-av1, libvvenc, h264_nvenc"),
        (["single", "--preset", "8"], "--preset: expected one of libx264's ultrafast"),
        (["single", "--bitrate", "1M", "--crf", "3"], "argument --crf: not allowed with argument --bitrate"),
        (["single", "--ladder", "720p"], "--ladder: expected WxH@RATE such as 1280x720@2500k, found '720p'"),
        (["multi", "--streams", "0"], "--streams: expected 1 to 256, found 0"),
        (["single", "--wrong"], "unrecognized arguments: --wrong"),
        (["batch"], "the following arguments are required: FILE"),
        (["batch", "/nope.yaml"], "/nope.yaml: cannot be read: No such file or directory"),
        (["single", "--ffmpeg", "/nope/x"], "--ffmpeg: /nope/x: expected the path of an executable ffmpeg"),
        (["single", "--resolution", "641x360"], "--resolution: expected even sides for libx264, found '641x"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(args: list[str], line: str, call: Any) -> None:
    code, out, err = call(*args)
    assert err.startswith(f"run_tests.py: {line}")
    assert (err.count("\n"), out) == (1, "")
    assert code == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"hello, this is no video at all\n" * 50, "expected a video file"),
    ],
)
def test_an_input_that_is_no_video_is_one_line(
    name: str, content: bytes | None, message: str, call: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code, _, err = call("single", source=str(path))
    assert code == 2
    assert err.startswith(f"run_tests.py: {path}: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "cause"),
    [("nosuchsource", "No such filter: 'nosuchsource'"), ("sine", "Stream map '' matches no streams.")],
)
def test_a_lavfi_source_that_is_none_is_one_line(call: Any, source: str, cause: str) -> None:
    """Sound without end is told at once."""
    code, _, err = call("single", source=f"lavfi:{source}")
    assert code == 2
    assert err.startswith(f"run_tests.py: lavfi:{source}: expected a lavfi video source: ended with code ")
    assert err.endswith(f": {cause}\n")
    assert err.count("\n") == 1


def test_what_ffmpeg_cannot_do_is_known_before_anything_runs(call: Any, tmp_path: Path, ffmpeg: Path) -> None:
    """An ffmpeg whose list of encoders lacks VVenC."""
    poor = tmp_path / "ffmpeg"
    poor.write_text(
        f'#!/bin/sh\ncase "$*" in *-encoders*) {shlex.quote(str(ffmpeg))} "$@" | grep -v vvenc;; '
        f'*) exec {shlex.quote(str(ffmpeg))} "$@";; esac\n'
    )
    poor.chmod(0o755)
    batch = tmp_path / "b.yaml"
    batch.write_text("- {encoder: libvvenc, crf: 30}\n- {preset: ultrafast, crf: 30}\n")
    code, _, err = call("batch", str(batch), "--ffmpeg", str(poor), *QUICK)
    assert code == 2
    assert err.startswith("run_tests.py: encoder: ffmpeg ")
    assert err.endswith(" was built without libvvenc\n")
    assert not (tmp_path / "out").exists()
    code, _, err = call("batch", str(batch), "--ffmpeg", str(poor), "--skip-missing", *QUICK)
    assert code == 0
    assert "left out: encoder: ffmpeg " in err
    assert [s.encoder for s in _results(tmp_path).scenarios] == ["libx264"]


def test_an_encoder_whose_device_is_missing_is_known_too(call: Any) -> None:
    if Path("/dev/dri/renderD128").exists():
        pytest.skip("this machine has a render device")
    code, _, err = call("single", "--encoder", "h264_vaapi")
    assert code == 2
    assert err.startswith("run_tests.py: encoder: h264_vaapi has no device on this machine: ")


def test_an_odd_size_that_the_encoder_refuses_is_known_before_the_start(
    call: Any, tmp_path: Path, ffmpeg: Path
) -> None:
    """x264 names it itself: width not divisible by 2; VP9 and 4:4:4 take it."""
    for sampling in ("yuv420p", "yuv444p"):
        source = ["-f", "lavfi", "-i", "testsrc2=s=640x360:d=0.4", "-vf", f"scale=321:181,format={sampling}"]
        subprocess.run(
            [ffmpeg, "-v", "error", *source, "-c:v", "ffv1", tmp_path / f"{sampling}.mkv"], check=True
        )
    odd, full = tmp_path / "yuv420p.mkv", tmp_path / "yuv444p.mkv"
    code, _, err = call("single", "--preset", "ultrafast", "--crf", "30", *QUICK, source=str(odd))
    assert code == 2
    assert err.startswith("run_tests.py: scenario 'libx264 ultrafast crf 30': ffmpeg refuses it: ")
    assert err.endswith(": width not divisible by 2 (321x181)\n")
    assert not (tmp_path / "out").exists()
    code, _, _ = call("single", "--preset", "ultrafast", "--crf", "30", "--dry-run", source=str(full))
    assert code == 0
    batch = tmp_path / "b.yaml"
    batch.write_text(
        f"- {{input: {odd}, crf: 30}}\n- {{input: {odd}, crf: 30, resolution: 320x180}}\n"
        f"- {{input: {odd}, crf: 30, encoder: libvpx-vp9}}\n"
    )
    code, out, err = call("batch", str(batch), "--dry-run", "--skip-missing")
    assert code == 0
    assert err.startswith("run_tests.py: left out: scenario 'libx264 medium crf 30': ffmpeg refuses it: ")
    assert "2 scenarios" in out


def test_a_folder_that_cannot_be_made_is_one_line(call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = call("single", *QUICK, output="file/out")
    folder = tmp_path / "file/out"
    assert (code, err) == (
        2,
        f"run_tests.py: {folder}: expected a folder that can be created: Not a directory\n",
    )


def test_an_argument_that_is_no_text_is_one_line(call: Any) -> None:
    code, _, err = call("single", "--name", "caf\udce9")
    assert (code, err) == (2, "run_tests.py: argument 3: expected UTF-8, found b'caf\\xe9'\n")


def test_half_a_character_in_a_batch_file_is_one_line(call: Any, tmp_path: Path) -> None:
    batch = tmp_path / "b.json"
    batch.write_text('[{"crf": 30, "name": "\\ud800"}]')
    code, _, err = call("batch", str(batch))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"run_tests.py: {batch}: expected JSON: ")


def test_what_leaves_no_file_is_said_to_get_no_score(call: Any, tmp_path: Path) -> None:
    args = ("single", "--preset", "ultrafast", "--sink", "null", "--compute-quality", "--quiet", *QUICK)
    code, _, err = call(*args)
    assert (code, err) == (
        0,
        "run_tests.py: encodes to null or to a server leave no file and get no score\n",
    )


def test_a_parent_that_ignores_the_end_of_children_changes_nothing(tmp_path: Path, clip: Path) -> None:
    """SIGCHLD ignored is inherited, and would make the kernel throw CPU times away."""
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    args = ["run_tests.py", "single", "--preset", "ultrafast", "--input", clip, *QUICK]
    done = subprocess.run(
        [sys.executable, "-c", ignoring, *args, "--output-dir", tmp_path / "out"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (_results(tmp_path).scenarios[0].cpu_seconds or 0) > 0


def test_two_scenarios_of_one_name_are_refused(call: Any, tmp_path: Path) -> None:
    batch = tmp_path / "b.yaml"
    batch.write_text("- {name: a, crf: 30}\n- {name: a, crf: 31}\n")
    code, _, err = call("batch", str(batch))
    assert (code, err) == (2, f"run_tests.py: {batch}: name: expected one scenario called 'a'\n")


def test_run_tests_py_and_wattframe_test_are_the_same(tmp_path: Path) -> None:
    calls = (
        [sys.executable, "run_tests.py"],
        [sys.executable, "-c", "import sys; from wattframe.cli import main; sys.exit(main())", "test"],
    )
    done = [
        subprocess.run([*c, "single", "--preset", "8"], capture_output=True, text=True, cwd=ROOT, check=False)
        for c in calls
    ]
    assert [d.returncode for d in done] == [2, 2]
    assert done[0].stderr.removeprefix("run_tests.py") == done[1].stderr.removeprefix("wattframe test")


def test_the_content_of_the_input_is_measured_once_and_recorded(
    call: Any, tmp_path: Path, own_cache: Path
) -> None:
    """Before the first window; the second run reads what the first one kept."""
    one = ("single", "--preset", "ultrafast", "--with-baseline", "--duration", "0.5", *QUICK)
    assert call(*one)[0] == 0
    baseline, encode = _results(tmp_path).scenarios
    assert baseline.content is None
    assert encode.content is not None
    assert set(encode.content) == {"spatial_information", "temporal_information", "probe_bits_per_pixel"}
    kept = own_cache / "wattframe" / "content.json"
    kept.write_text(kept.read_text().replace('"temporal_information": ', '"temporal_information": 9'))
    (path,) = (tmp_path / "out").glob("test_results_*.json")
    path.unlink()
    assert call(*one)[0] == 0
    again = _results(tmp_path).scenarios[1].content
    assert again is not None
    assert str(again["temporal_information"]).startswith("9")


def test_a_ladder_is_scored_in_one_pass_by_every_metric_asked_for(
    call: Any, tmp_path: Path, ffmpeg: Path
) -> None:
    """Cut as the encode was; ffmpeg scores once for both rungs."""
    calls, program = tmp_path / "calls", tmp_path / "counted"
    count = f'case "$*" in *-/filter_complex*) echo >> {calls};; esac'
    program.write_text(f'#!/bin/sh\n{count}\nexec {ffmpeg} "$@"\n')
    program.chmod(0o755)
    ladder = ("--ladder", "300x178@300k,150x88@100k", "--filters", "crop=300:178:10:0")
    scores = ("--compute-quality", "--xpsnr", "--metric", "ms_ssim", "--metric", "vif", "--metric", "cambi")
    code, _, _ = call("single", "--preset", "ultrafast", *ladder, *scores, "--ffmpeg", str(program), *QUICK)
    (scenario,) = _results(tmp_path).scenarios
    qualities = [output.quality for output in scenario.outputs]
    assert (code, calls.read_text().count("\n")) == (0, 1)
    assert all(q and q.vmaf and q.frames == 25 and q.comparison_height_pixels == 178 for q in qualities)
    first, second = ({**q.metrics, "xpsnr": q.xpsnr_decibels} if q else {} for q in qualities)
    assert all(first[name] > second[name] for name in ("ms_ssim", "vif", "xpsnr"))
    assert first["cambi"] >= 0
    assert all(q and "the reference was filtered with crop=300:178:10:0" in q.notes for q in qualities)


def test_an_unknown_metric_is_named_before_anything_runs(call: Any, tmp_path: Path) -> None:
    code, _, err = call("single", "--compute-quality", "--metric", "vmaf", *QUICK)
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert err.startswith("run_tests.py: argument --metric: invalid choice: 'vmaf' (choose from ")
