"""``wattframe tune`` as a user runs it, on videos that are drawn."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from advisor.advice.curves import Configuration
from advisor.advice.samples import Piece, sampled
from advisor.quality.frames import Frame
from advisor.quality.measure import measure
from advisor.results import Host, Run, Scenario, read_run, write_run
from advisor.video.ffmpeg import find_ffmpeg
from runner.source import look_at_file
from tests.support.waiting import wait_until
from wattframe.cli import main
from wattframe.tuning.answer import command
from wattframe.tuning.clip import Clip, cut, look_at_video
from wattframe.tuning.encodes import Encodes, Notebook, by_sample
from wattframe.tuning.request import heights_of

pytestmark = pytest.mark.ffmpeg

QUICK = ("--encoders", "libx264", "--presets", "ultrafast", "--objective", "bitrate", "--min-vmaf", "90")


def ffmpeg(*arguments: str) -> None:
    subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments], check=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``film.mp4`` of two seconds, a long one with several groups, and what is no video for this."""
    folder = tmp_path_factory.mktemp("videos")
    drawn = ("-f", "lavfi", "-i", "testsrc2=s=192x108:r=25:d=2")
    ffmpeg(*drawn, "-c:v", "libx264", "-crf", "10", str(folder / "film.mp4"))
    long = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25")
    ffmpeg(
        *long,
        "-t",
        "40",
        "-c:v",
        "libx264",
        "-preset",
        "fast",
        "-g",
        "80",
        "-bf",
        "3",
        str(folder / "long.mp4"),
    )
    ffmpeg(
        "-i", str(folder / "long.mp4"), "-c:v", "mpeg2video", "-bf", "2", "-g", "15", str(folder / "open.ts")
    )
    # the clock of the second half goes on from a day later, that of the third from the start
    parts = []
    for offset in ("0", "70000", "0"):
        part = ("-t", "12", "-i", str(folder / "open.ts"), "-c", "copy", "-output_ts_offset", offset)
        ffmpeg(*part, str(folder / "part.ts"))
        parts.append((folder / "part.ts").read_bytes())
    (folder / "joined.ts").write_bytes(b"".join(parts))
    phone = ("-vf", "select='not(mod(n,7))+lt(mod(n,200),90)'", "-fps_mode", "vfr")
    ffmpeg("-i", str(folder / "long.mp4"), *phone, "-g", "40", str(folder / "phone.mkv"))
    turned = ("-display_rotation", "90", "-i", str(folder / "long.mp4"), "-c", "copy")
    ffmpeg(*turned, str(folder / "turned.mov"))
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", str(folder / "sound.m4a"))
    ffmpeg(*drawn, "-frames:v", "1", str(folder / "picture.mp4"))
    ffmpeg(*drawn, "-frames:v", "9", str(folder / "film.h264"))
    hdr = "log-level=none:transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"
    ffmpeg(*drawn, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", hdr, str(folder / "hdr.mp4"))
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def place(videos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder to work in, with the videos beside."""
    for video in videos.iterdir():
        (tmp_path / video.name).symlink_to(video)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Tune = Callable[..., dict[str, Any]]


@pytest.fixture
def tune(place: Path, capsys: pytest.CaptureFixture[str]) -> Tune:
    """Tune, and read the one document on stdout."""

    def call(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["tune", *arguments, "--json", "--quiet"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return call


def test_the_answer_its_result_file_and_its_report(
    tune: Tune, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest CRF that holds the floor, in a file that every other command reads."""
    answer = tune("film.mp4", *QUICK, "--baseline", "libx264:veryfast:10", "--region", "eu-west-1")
    choice, baseline = answer["choice"], answer["baseline"]
    assert choice["values"]["vmaf"]["mean"] >= 90
    assert (answer["stopped"], answer["encodes"]) == ("sure", len(read_run(answer["results"]).scenarios))
    assert choice["command"][:3] == ["ffmpeg", "-i", "film.mp4"]
    assert f"{choice['crf']:g}" in choice["command"]
    less = 1 - choice["bitrate_kbps"] / baseline["bitrate_kbps"]
    assert answer["savings"]["ratios"]["bitrate_kbps"] == pytest.approx(less)
    assert answer["savings"]["month"]["hours"] == 100
    run = read_run(answer["results"])
    assert {s.input.name for s in run.scenarios if s.input} == {"film.mp4"}
    assert all(s.outputs[0].quality and s.outputs[0].quality.vmaf for s in run.scenarios)
    assert not list(place.rglob("test_results_*_outputs/*.mp4"))

    assert main(["report", answer["results"], "-o", "report.html"]) == 0
    page = (place / "report.html").read_text()
    heading = page.partition('class="answer">')[2]
    assert heading.removeprefix("Not reliable: ").startswith(choice["scenario"])
    assert "Found by wattframe tune" in heading.partition("</p>")[0]

    again = tune("film.mp4", *QUICK, "--baseline", "libx264:veryfast:10", "--resume")
    assert (again["encodes"], again["results"]) == (answer["encodes"], answer["results"])
    assert again["choice"]["scenario"] == choice["scenario"]

    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # no ffmpeg there
    arguments = ["film.mp4", *QUICK, "--baseline", "libx264:veryfast:10", "--resume", "--quiet"]
    capsys.readouterr()
    assert main(["tune", *arguments]) == 0
    name, said, *rest = capsys.readouterr().out.splitlines()
    assert name == "film.mp4"
    saved = re.search(
        r"instead of libx264 veryfast crf 10 saves\s+(\d+)\s%\s+of the bitrate", f"{said} {rest[0]}"
    )
    assert saved is not None
    # the container's share of two seconds is in one of the figures
    assert float(saved[1]) == pytest.approx(100 * less, abs=2)
    (line,) = (line for line in rest if " -i film.mp4 " in line)
    subprocess.run([*shlex.split(line), "-v", "error"], check=True)
    assert (place / shlex.split(line)[-1]).stat().st_size > 1000

    document = json.loads(Path(answer["results"]).read_text())
    document["host"]["hardware_id"] = "another machine"
    Path(answer["results"]).write_text(json.dumps(document))
    assert main(["tune", "film.mp4", *QUICK, "--resume"]) == 2
    assert "found another machine" in capsys.readouterr().err


def test_resume_takes_the_search_that_was_begun_last(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File names have the local time, which stands twice in the night in which clocks go back."""
    videos = {"film.mp4": (place / "film.mp4").stat().st_size}
    (place / "test_results").mkdir()
    for name, start in (("20251026_022000", 1761441600.0), ("20251026_023000", 1761438600.0)):
        path = place / f"test_results/test_results_{name}.json"
        scenarios = (Scenario(name="a", start_time=start),)
        write_run(Run(run_id=path.stem, scenarios=scenarios, host=Host(hardware_id="another")), path)
        Notebook.path(path).parent.mkdir()
        Notebook.path(path).write_bytes(msgspec.json.encode(Notebook(videos=videos)))
    assert main(["tune", "film.mp4", *QUICK, "--resume"]) == 2
    assert "test_results_20251026_022000.json" in capsys.readouterr().err


def test_one_configuration_for_several_videos(tune: Tune, place: Path) -> None:
    second = place / "second.mp4"
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=s=128x72:r=25", "-t", "1", "-crf", "8", str(second))
    answers: Any = tune("film.mp4", "second.mp4", *QUICK, "--baseline", "none", "--for-all")
    first, other = answers
    assert (first["input"], other["input"]) == ("film.mp4", "second.mp4")
    assert first["choice"]["crf"] == other["choice"]["crf"]
    assert min(answer["choice"]["values"]["vmaf"]["mean"] for answer in answers) >= 90


def test_a_floor_out_of_reach_is_one_line_and_what_was_tried_is_kept(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*QUICK[:-2], "--baseline", "none", "--max-bitrate", "1k", "--min-vmaf", "90"]
    assert main(["tune", "film.mp4", *arguments, "--json", "--quiet"]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["choice"] is None
    assert err.startswith("wattframe tune: film.mp4: no configuration holds VMAF 90 and at most 1 kbit/s")
    assert err.count("\n") == 1
    assert len(read_run(answer["results"]).scenarios) == answer["encodes"] > 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["sound.m4a"], "sound.m4a: expected a video stream, found audio streams only"),
        (["hdr.mp4"], "hdr.mp4: expected SDR video: VMAF has no model for HDR (PQ)"),
        (["picture.mp4"], "picture.mp4: expected a video, found a single picture"),
        (["film.h264"], "film.h264: expected a video, found frames without timestamps: remux it to MP4"),
        (["empty.mp4"], "empty.mp4: the file is empty"),
        (["nothing.mp4"], "nothing.mp4: no such file"),
        (["."], ".: expected a file"),
        (["lavfi:testsrc"], "lavfi:testsrc: no such file"),
        (["http:/u:secret@h/a.mp4"], "http:/...: expected a file, found a URL: download it first"),
        (["film.mp4", "--encoders", "libx246"], "--encoders: no encoder 'libx246', did you mean"),
        (["film.mp4", "--presets", "ultrafst"], "--presets: none of the encoders has a preset 'ultrafst'"),
        (["film.mp4", "--budget", "soon"], "--budget: expected a time such as 90s, 10m or 1h, found 'soon'"),
        (["film.mp4", "--max-bitrate", "low"], "--max-bitrate: expected a bitrate such as 6M or 2500k"),
        (["film.mp4", "--objective", "watts"], "--objective 'watts': expected one of"),
        (["film.mp4", "--objective", "carbon"], "--objective: carbon needs --region"),
        (["film.mp4", "--min-vmaf", "0.9"], "min_vmaf: VMAF ranges from 0 to 100, found 0.9: is it a share"),
        (["film.mp4", "--baseline", "libx264:medium:60"], "--baseline: expected ENCODER:PRESET:CRF with"),
        (["film.mp4", "--baseline", "libx264"], "--baseline: expected ENCODER:PRESET:CRF with"),
        (["film.mp4", "--ladder", "1080,720"], "--ladder: expected at most the 108 lines of film.mp4"),
        (["film.mp4", "--resume"], "--resume: expected the result file of a tune on these videos"),
    ],
)
def test_bad_input_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert main(["tune", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"wattframe tune: {line}")
    assert err.count("\n") == 1


def test_what_costs_nothing_has_no_least_cost(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free = ["--objective", "cost", "--energy-cost-per-kwh", "0", "--cpu-cost-per-hour", "0"]
    assert main(["tune", "film.mp4", *QUICK, *free, "--min-vmaf", "100", "--quiet"]) == 1
    assert "cost of libx264" in (err := capsys.readouterr().err)
    assert err.endswith("is 0: choose another --objective\n")


def test_an_encoder_that_the_ffmpeg_lacks(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ffmpeg_without = place / "ffmpeg"
    script = f'#!/bin/sh\n"{find_ffmpeg()}" "$@" | grep -v libsvtav1\n'
    ffmpeg_without.write_text(script)
    ffmpeg_without.chmod(0o755)
    arguments = ["film.mp4", "--encoders", "libsvtav1", "--ffmpeg", str(ffmpeg_without)]
    assert main(["tune", *arguments]) == 2
    assert "was built without libsvtav1" in capsys.readouterr().err


def test_a_budget_too_small_for_one_encode(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "film.mp4", "--budget", "0.01s"]) == 1
    assert capsys.readouterr().err.endswith("a budget of 0.01s is too small for one encode\n")


def test_ctrl_c_gives_the_best_so_far(place: Path) -> None:
    arguments = ["film.mp4", "--min-vmaf", "99.5", "--objective", "energy", "--json"]
    with (place / "err").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "wattframe", "tune", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        wait_until(lambda: "VMAF" in (place / "err").read_text())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    err = (place / "err").read_text()
    answer = json.loads(out)
    assert (process.returncode, answer["stopped"]) == (130, "interrupted")
    assert answer["encodes"] >= 1
    assert err.endswith("wattframe tune: interrupted: this is the best so far\n")


def test_a_dry_run_encodes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "film.mp4", "--dry-run", "--encoders", "libx264", "--presets", "fast,slow"]) == 0
    assert "104 configurations of 2 encoders and presets" in capsys.readouterr().out
    assert not (place / "test_results").exists()


def test_a_plan_is_one_document(tune: Tune) -> None:
    """One file by two names is one video, and the usual encoders without the preset are left out."""
    plan = tune("film.mp4", "./film.mp4", "--dry-run", "--presets", "medium", "--budget", "90s")
    assert plan["videos"] == [{"input": "film.mp4", "seconds": 2.0, "pieces": 0}]
    assert plan["presets"] == {"libx264": ["medium"], "libx265": ["medium"]}
    assert (plan["configurations"], plan["budget_seconds"]) == (104, 90.0)
    assert plan["first_command"][:3] == ["ffmpeg", "-i", "film.mp4"]


def pictures(path: Path) -> list[tuple[float, np.ndarray]]:
    """Decoded frames, and when they are shown; where the clock of a file jumps, 25 a second."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
    times = [f.time or 0.0 for f in frames]
    if times != sorted(times):
        times = [n / 25 for n in range(len(frames))]
    return [(t - times[0], f.to_ndarray(format="gray")) for t, f in zip(times, frames, strict=True)]


@pytest.mark.parametrize("name", ["long.mp4", "open.ts", "joined.ts", "phone.mkv", "turned.mov"])
def test_samples_are_the_frames_of_the_video_bit_for_bit(place: Path, name: str) -> None:
    """With B-frames, where frames before a key frame need the group before it, at a varying rate, turned."""
    video = look_at_video(name)
    clip = cut(video, 4, place / "samples.mkv", seed=3)
    assert not clip.is_whole
    assert clip.source.media.name == name
    decoded = [picture for _, picture in pictures(clip.path)]
    shown = pictures(place / name)
    assert len(decoded) == len(clip.source.times) == sum(s.piece.frames for s in clip.samples)
    at = 0
    for sample in clip.samples:
        piece = sample.piece
        expected = [picture for time, picture in shown if time > piece.begin_seconds - 0.01][: piece.frames]
        assert all((a == b).all() for a, b in zip(decoded[at : at + piece.frames], expected, strict=True))
        at += piece.frames


def test_a_video_shorter_than_a_sample_is_encoded_as_a_whole(place: Path) -> None:
    assert cut(look_at_video("film.mp4"), 12, place / "samples.mkv").path == place / "film.mp4"
    assert not (place / "samples.mkv").exists()


def test_frames_and_bits_go_to_their_sample(place: Path) -> None:
    """Two pieces of 10 and 40 frames, encoded twice: the second time counts for the same pieces."""
    source = look_at_file("film.mp4")
    pieces = [
        Piece(begin_seconds=0.0, seconds=0.4, frames=10, difficulty=1.0),
        Piece(begin_seconds=9.0, seconds=1.6, frames=40, difficulty=2.0),
    ]
    clip = Clip(path=place / "film.mp4", source=source, samples=tuple(sampled(pieces, 4)), of_pieces=2)
    frames = [
        Frame(
            number=n,
            time_seconds=n / 25,
            reference_number=n,
            vmaf=90.0 if n % 50 < 10 else 80.0,
            psnr_decibels=40.0,
            psnr_y_decibels=40.0,
            ssim_ratio=1.0,
            ssim_y_ratio=1.0,
        )
        for n in range(100)
    ]
    packets = [(round(n / 25, 3), 1000.0 if n % 50 < 10 else 10.0) for n in range(100)]
    first, second = by_sample(clip, 2, frames, packets)
    assert (first.vmaf, second.vmaf) == (90.0, 80.0)
    assert (first.bits, second.bits) == (10_000.0, 400.0)


def test_a_notebook_that_is_no_notebook_is_named(tmp_path: Path) -> None:
    path = Notebook.path(tmp_path / "test_results_1.json")
    path.parent.mkdir()
    path.write_text("[]")
    with pytest.raises(Exception, match="expected what a tune wrote"):
        Notebook.read(tmp_path / "test_results_1.json")


def test_the_command_encodes_the_whole_video_with_its_sound(place: Path) -> None:
    video = look_at_video("film.mp4")
    words = command(video, Configuration("libvpx-vp9", "4", 31.0), "96x54")
    assert words == [
        *("ffmpeg", "-i", "film.mp4", "-map", "0:V:0", "-c:a", "copy"),
        *("-vf", "scale=96:54:flags=bicubic", "-c:v", "libvpx-vp9", "-cpu-used", "4", "-deadline", "good"),
        *("-row-mt", "1", "-crf", "31", "-b:v", "0", "film-libvpx-vp9-4-31.mp4"),
    ]


def test_the_command_encodes_what_was_measured_where_times_are_rounded(place: Path, tune: Tune) -> None:
    """Matroska says 33, 33 and 34 ms at 30 frames a second, by which x264 spends its bits."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=192x108:r=30:d=3", "-c:v", "ffv1", "rounded.mkv")
    choice = tune("rounded.mkv", *QUICK, "--baseline", "none", "--output-dir", "out")["choice"]
    ffmpeg(*choice["command"][1:])
    vmaf = measure(place / "rounded.mkv", place / choice["command"][-1]).quality.vmaf
    assert vmaf is not None
    assert vmaf.mean == pytest.approx(choice["values"]["vmaf"]["mean"], abs=1e-4)


def test_what_can_be_read_only_once_is_encoded_once_in_a_window(place: Path, tune: Tune) -> None:
    """A transport stream of a second, far too short a window for its energy."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x54:r=25:d=1", "-c:v", "libx264", "once.ts")
    answer = tune("once.ts", *QUICK, "--objective", "energy", "--baseline", "none", "--budget", "60s")
    assert answer["choice"]["encoder"] == "libx264"


def test_sound_of_a_coding_that_ffmpeg_cannot_copy_is_left_out(place: Path) -> None:
    """A phone's second track of sound, ``apac``: ffmpeg ends before the first frame where it is mapped."""
    tones = ("-f", "lavfi", "-i", "sine=d=2", "-map", "0", "-map", "1", "-map", "1", "-c:v", "copy")
    ffmpeg("-i", "film.mp4", *tones, "-c:a", "aac", "phone.mp4")
    data = Path("phone.mp4").read_bytes()
    begin = data.rindex(b"mp4a")
    described = data.index(b"esds", begin)
    coded = data[:begin] + b"apac" + data[begin + 4 : described] + b"free" + data[described + 4 :]
    Path("phone.mp4").write_bytes(coded)
    words = command(look_at_video("phone.mp4"), Configuration("libx264", "ultrafast", 40.0))
    assert words[3:7] == ["-map", "0:V:0", "-map", "0:1"]
    ffmpeg(*words[1:])
    with av.open(words[-1]) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_a_name_that_looks_like_an_option_is_none(place: Path) -> None:
    (place / "-y.mp4").symlink_to(place / "film.mp4")
    words = command(look_at_video("-y.mp4"), Configuration("libx264", "ultrafast", 40.0))
    assert words[-1] == "./-y-libx264-ultrafast-40.mp4"
    ffmpeg(*words[1:])


def test_the_bitrate_of_a_video_is_without_its_sound(place: Path) -> None:
    """As the elementary stream is long; AAC takes another 69 kbit/s."""
    ffmpeg("-i", "film.mp4", "-f", "lavfi", "-i", "sine=d=2", "-c:v", "copy", "-c:a", "aac", "loud.mp4")
    ffmpeg("-i", "film.mp4", "-map", "0:v", "-c", "copy", "film.h264")
    bits = (place / "film.h264").stat().st_size * 8
    assert look_at_video("loud.mp4").kbps == pytest.approx(bits / 1000 / 2, rel=0.01)


def test_a_full_disk_leaves_no_part_of_the_samples(place: Path) -> None:
    path = place / "samples.mkv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            cut(look_at_video("long.mp4"), 4, path, seed=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert not path.exists()


def test_videos_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    notebook = Notebook(videos={"a/film.mp4": 1, "b/film.mp4": 1, "c/other.mp4": 1})
    encodes = Encodes(_NoSession(), Path("ffmpeg"), notebook, {})  # type: ignore[arg-type]
    assert [encodes.prefix(name) for name in notebook.videos] == ["a/film.mp4: ", "b/film.mp4: ", "other: "]


class _NoSession:
    """Nothing is encoded."""


def test_rungs_keep_the_shape_and_have_even_sides(place: Path) -> None:
    video = look_at_video("film.mp4")
    assert heights_of("54, 108p") == [108, 54]
    assert heights_of("54") == [54]
    assert (video.size(108), video.size(54)) == (None, "96x54")


@pytest.mark.long
def test_a_ladder_has_rungs_and_switching_points(tune: Tune) -> None:
    answer = tune("film.mp4", *QUICK, "--baseline", "none", "--ladder", "108,72,54")
    ladder = answer["ladder"]
    rates = [rung["bitrate_kbps"] for rung in ladder["rungs"]]
    assert rates == sorted(rates, reverse=True)
    assert ladder["rungs"][0]["resolution"] == "192x108"
    assert len(ladder["rungs"]) + len(ladder["never_best"]) == 3
