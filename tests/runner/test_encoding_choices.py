"""Scenarios as people encode: what ffmpeg is given, what is accounted, what is refused before a run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from advisor.results import Run, read_run
from advisor.video.encoders import ENCODERS
from runner.cli import main
from runner.jobs import resolve
from runner.spec import Spec, spec_problems

pytestmark = pytest.mark.ffmpeg

QUICK = ("--stabilization", "0", "--interval", "0.1", "--media-duration", "1", "--quiet")
SPEED = ("--preset", "ultrafast")


@pytest.fixture
def call(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*args: str, source: Path = clip, keep: bool = True) -> tuple[int, str]:
        extra = ["--output-dir", str(tmp_path / "out"), "--input", str(source), *QUICK]
        code = main(["single", *args, *extra, *(["--keep-outputs"] if keep else [])])
        return code, capsys.readouterr().err

    return call


def _run(tmp_path: Path) -> Run:
    (path,) = (tmp_path / "out").glob("test_results_*.json")
    return read_run(path)


def _stream(tmp_path: Path) -> Any:
    path = _run(tmp_path).scenarios[0].outputs[0].path
    assert path is not None
    with av.open(path) as container:
        return container.streams.video[0].codec_context.format.name, len(container.streams.audio)


@pytest.fixture
def with_sound(ffmpeg: Path, clip: Path, tmp_path: Path) -> Path:
    path = tmp_path / "sound.mp4"
    sound = ["-f", "lavfi", "-i", "sine=d=1.6", "-c:v", "copy", "-c:a", "aac"]
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, *sound, path], check=True)
    return path


@pytest.mark.parametrize("encoder", [e.name for e in ENCODERS.values() if e.two_pass])
def test_two_passes_are_both_accounted_and_leave_no_log(
    encoder: str, call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    fastest = ENCODERS[encoder].presets[0]
    code, err = call("--encoder", encoder, "--preset", fastest, "--bitrate", "200k", "--passes", "2")
    assert (code, err) == (0, "")
    (scenario,) = _run(tmp_path).scenarios
    assert (scenario.passes, scenario.outputs[0].frames) == (2, 25)
    assert scenario.command is not None
    assert scenario.command[scenario.command.index("-pass:v") + 1] == "2"
    folder = next((tmp_path / "out").glob("*_outputs"))
    assert [p.suffix for p in folder.iterdir()] == [".mp4"]


def test_a_first_pass_that_leaves_nothing_is_no_pass(
    call: Callable[..., tuple[int, str]], tmp_path: Path, ffmpeg: Path
) -> None:
    """Before 8.0 ffmpeg opens a log for x265 and has nothing to write into it."""
    old = tmp_path / "ffmpeg"
    empties = f'{ffmpeg} "$@"; for log in {tmp_path}/out/*/*_pass*; do : > $log; done; exit'
    old.write_text(f'#!/bin/bash\ncase "$*" in *"-pass:v 1"*) {empties};; esac\nexec {ffmpeg} "$@"\n')
    old.chmod(0o755)
    code, err = call(*SPEED, "--bitrate", "200k", "--passes", "2", "--ffmpeg", str(old))
    assert code == 1
    assert "the first pass wrote nothing: this ffmpeg has no two-pass mode for the encoder" in err


def test_the_first_pass_counts_in_time_and_cpu_time(tmp_path: Path, ffmpeg: Path, clip: Path) -> None:
    """An ffmpeg that burns 0.4 s more in its first pass."""
    burner = tmp_path / "ffmpeg"
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    burner.write_text(
        f'#!/bin/bash\ncase "$*" in *"-pass:v 1"*) python3 -S -c "{burn}";; esac\nexec {ffmpeg} "$@"\n'
    )
    burner.chmod(0o755)
    args = ["single", *SPEED, "--bitrate", "200k", "--passes", "2", "--ffmpeg", str(burner)]
    assert main([*args, "--input", str(clip), "--output-dir", str(tmp_path / "out"), *QUICK]) == 0
    (scenario,) = _run(tmp_path).scenarios
    assert (scenario.cpu_seconds or 0) >= 0.4
    assert (scenario.duration or 0) >= 0.4


def test_ten_bit_is_ten_bit(call: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    assert call(*SPEED, "--crf", "30", "--pixel-format", "yuv420p10le") == (0, "")
    assert _stream(tmp_path) == ("yuv420p10le", 0)


def test_sound_is_copied_or_encoded_beside_the_video(
    call: Callable[..., tuple[int, str]], with_sound: Path, tmp_path: Path
) -> None:
    assert call(*SPEED, "--audio", "aac", "--audio-bitrate", "64k", source=with_sound) == (0, "")
    assert _stream(tmp_path) == ("yuv420p", 1)
    (scenario,) = _run(tmp_path).scenarios
    assert (scenario.audio, scenario.audio_bitrate) == ("aac", "64k")


def test_filters_change_what_is_encoded_and_what_is_recorded(
    call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Half the width, and each field a picture: 50 frames a second of 160x180."""
    assert call(*SPEED, "--crf", "30", "--filters", "crop=160:180, yadif=1") == (0, "")
    (scenario,) = _run(tmp_path).scenarios
    (output,) = scenario.outputs
    assert scenario.filters == "crop=160:180, yadif=1"
    assert (output.resolution, output.frames, output.fps) == ("160x180", 50, pytest.approx(50))
    assert output.duration == pytest.approx(1.0)


def test_options_reach_the_encoder_and_join_its_own_list(
    call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    options = ("--encoder-option", "x265-params=keyint=5:log-level=none", "--encoder-option", "tune=grain")
    assert call("--encoder", "libx265", *SPEED, "--threads", "1", *options) == (0, "")
    (scenario,) = _run(tmp_path).scenarios
    command = scenario.command or []
    assert command[command.index("-x265-params") + 1] == "pools=1:keyint=5:log-level=none"
    assert command[command.index("-tune:v") + 1] == "grain"
    assert scenario.encoder_options == {"x265-params": "keyint=5:log-level=none", "tune": "grain"}
    with av.open(scenario.outputs[0].path or "") as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert keys == [n % 5 == 0 for n in range(25)]


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("h264", "libx264"),
        ("hevc", "libx265"),
        ("av1", "libsvtav1"),
        ("vp9", "libvpx-vp9"),
        ("vvc", "libvvenc"),
    ],
)
def test_a_format_means_a_software_encoder_and_that_is_said(
    name: str, encoder: str, call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, err = call("--encoder", name, "--preset", ENCODERS[encoder].presets[0])
    assert (code, err) == (0, f"run_tests.py: {name} is encoded with {encoder}\n")
    assert _run(tmp_path).scenarios[0].encoder == encoder


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--filters", "movie=/etc/passwd"], "--filters: no filter 'movie', did you mean"),
        (["--filters", "yadif,scale=99:99"], "--filters: expected a new size in resolution, found scale"),
        (["--filters", "hflip[a];[a]vflip"], "--filters: expected no quotes, brackets or backslashes"),
        (["--filters", "crop=9:9,drawtext=textfile=/etc/passwd"], "--filters: no filter 'drawtext', "),
        (["--pixel-format", "yuv420p -f nut"], "--pixel-format: expected a name such as yuv420p10le"),
        (["--pixel-format", "yuv999p"], "scenario 'libx264 medium 2500k yuv999p': ffmpeg refuses it: "),
        (["--encoder-option", "f=nut"], "encoder_options: libx264 has no option 'f', "),
        (["--encoder-option", "stats_enc_post=/tmp/x"], "encoder_options: libx264 has no option 'stats_enc"),
        (["--encoder-option", "-y=1"], "argument --encoder-option: expected one argument"),
        (["--encoder-option=-y=1"], "--encoder-options: expected names of options without a dash in front"),
        (["--encoder-option", "tune"], "argument --encoder-option: expected NAME=VALUE such as tune=film"),
        (["--encoder-option", "tune=flim"], "scenario 'libx264 medium 2500k tune=flim': ffmpeg refuses it: "),
        (["--name", "a", "--encoder-option", "x264-params=reff=3"], "scenario 'a': ffmpeg refuses it: Error "
         "parsing option 'reff = 3'."),
        (["--name", "a", "--encoder-option", "x264-params=nombtree"], "scenario 'a': ffmpeg refuses it: "
         "ended with code 234: Error setting option x264-params to value nombtree."),
        (["--encoder-option", "x264-params=stats=/tmp/x"], "--encoder-option x264-params: expected nothing"),
        (["--encoder-option", "x264-params=ref=3:qpfile=/x"], "--encoder-option x264-params: expected noth"),
        (["--encoder-option", "preset=slow"], "--encoder-option preset: expected preset to be given by"),
        (["--encoder-option", "passlogfile=/tmp/x"], "--encoder-option passlogfile: expected bitrate and"),
        (["--passes", "3", "--bitrate", "1M"], "--passes: expected 1 or 2, found 3"),
        (["--passes", "two"], "argument --passes: expected a whole number, found 'two'"),
        (["--passes", "2", "--crf", "30"], "--passes: expected bitrates for two passes, found a crf"),
        (["--audio", "mp7"], "--audio: expected one of copy, aac, "),
        (["--audio-bitrate", "64k"], "--audio-bitrate: expected an encoder in audio beside it"),
        (["--hardware-decoding", "nvdec"], "--hardware-decoding: expected one of cuda, qsv, vaapi, vulkan"),
        (["--fps", "30000/0"], "--fps: expected 1 to 480 frames a second, such as 25 or 30000/1001, found "),
        (["--crf", "23,5"], "argument --crf: expected a finite number, found '23,5'"),
        (["--threads", "all"], "argument --threads: expected a whole number, found 'all'"),
        (["--name", "x" * 1001], "scenario 'xxxxx"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_before_anything_runs(
    args: list[str], line: str, call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, err = call(*args)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"run_tests.py: {line}")
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_known_before_anything_runs(
    call: Callable[..., tuple[int, str]],
) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a device")
    code, err = call(*SPEED, "--hardware-decoding", "cuda")
    assert code == 2
    assert err.startswith("run_tests.py: hardware_decoding: cuda cannot decode ")


def test_hardware_decoding_stands_before_the_input() -> None:
    from runner.command import commands

    spec = Spec(name="h", crf=30, input="/in.mp4", hardware_decoding="vaapi")
    job = resolve(spec, input_path=None, duration_seconds=9, media_seconds=None)
    arguments = commands(job, ffmpeg=Path("/ffmpeg"), folder=Path("/out"))[0].arguments
    assert arguments[arguments.index("-hwaccel") + 1] == "vaapi"
    assert arguments.index("-hwaccel") < arguments.index("-i")


def test_a_device_encoder_has_no_second_pass() -> None:
    spec = Spec(encoder="h264_nvenc", bitrate="1M", passes=2)
    assert spec_problems(spec) == ["passes: expected 1, as h264_nvenc has no second pass in ffmpeg"]


def test_two_passes_need_a_fixed_amount_of_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch = tmp_path / "b.yaml"
    batch.write_text("[{name: a, bitrate: 1M, passes: 2}]")
    assert main(["batch", str(batch)]) == 2
    line = f"run_tests.py: {batch}: media_duration: required for the two passes of 'a'\n"
    assert capsys.readouterr().err == line


def test_all_of_it_can_stand_in_a_batch_file(tmp_path: Path, clip: Path) -> None:
    batch = tmp_path / "b.yaml"
    batch.write_text(
        "- {name: a, encoder: hevc, preset: ultrafast, bitrate: 200k, passes: 2, filters: hflip,\n"
        "   fps: 30000/1001, pixel_format: yuv420p10le, audio: aac,\n"
        "   encoder_options: {g: 10, x265-params: log-level=none}}\n"
    )
    options = ["--input", str(clip), "--output-dir", str(tmp_path / "out"), *QUICK]
    assert main(["batch", str(batch), *options]) == 0
    (path,) = (tmp_path / "out").glob("*.json")
    written = json.loads(path.read_text())["scenarios"][0]
    assert (written["encoder"], written["passes"], written["pixel_format"]) == ("libx265", 2, "yuv420p10le")
    assert written["encoder_options"] == {"g": "10", "x265-params": "log-level=none"}
