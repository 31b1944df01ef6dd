"""``wattframe quality`` as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from advisor.video.ffmpeg import find_ffmpeg
from tests.support.users import OBEYING
from wattframe.cli import main

pytestmark = pytest.mark.ffmpeg

KEYS = [
    "reference",
    "distorted",
    "aligned",
    "reason",
    "frames",
    "comparison_height_pixels",
    "vmaf",
    "psnr_decibels",
    "lossless",
    "ssim_ratio",
    "xpsnr_decibels",
    "notes",
    "crop",
    "offset_seconds",
    "computation_seconds",
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ref.mkv``, two encodes, and one behind a slate of a frame."""
    folder = tmp_path_factory.mktemp("videos")

    def ffmpeg(*arguments: str) -> None:
        subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments], cwd=folder, check=True)

    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1", "-pix_fmt", "yuv420p", "-c:v", "ffv1", "ref.mkv"
    )
    ffmpeg("-i", "ref.mkv", "-c:v", "libx264", "-crf", "20", "good.mp4")
    ffmpeg("-i", "ref.mkv", "-c:v", "libx264", "-crf", "40", "line\nbreak.mp4")
    late = "tpad=start=1:color=navy,trim=end_frame=25"
    ffmpeg("-i", "ref.mkv", "-vf", late, "-c:v", "libx264", "late.mp4")
    return folder


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(videos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line in the folder of the videos."""
    monkeypatch.chdir(videos)

    def call(*arguments: str) -> Done:
        code = main(["quality", *arguments])
        return Done(code, *capsys.readouterr())

    return call


def test_json_is_the_contract_s_and_nothing_else(run: Run) -> None:
    done = run("ref.mkv", "good.mp4", "line\nbreak.mp4", "--json", "--xpsnr")
    documents = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert [list(document) for document in documents] == [KEYS, KEYS]
    assert [document["distorted"] for document in documents] == ["good.mp4", "line\nbreak.mp4"]
    good, bad = documents
    assert (good["aligned"], good["reason"], good["frames"]) == (True, None, 25)
    assert good["comparison_height_pixels"] == 180
    assert list(good["vmaf"]) == ["mean", "harmonic_mean", "min", "p1", "p5", "model"]
    assert (list(good["psnr_decibels"]), list(good["ssim_ratio"])) == (["average", "y"], ["all", "y"])
    assert 100 > good["vmaf"]["mean"] > bad["vmaf"]["mean"] > 0
    assert good["xpsnr_decibels"] > bad["xpsnr_decibels"] > 10
    assert good["computation_seconds"] > 0


def test_what_cannot_be_scored_has_its_reason_after_the_others_are_done(run: Run) -> None:
    done = run("ref.mkv", "gone.mp4", "late.mp4", "good.mp4", "--json", "--jobs", "2")
    gone, late, good = json.loads(done.stdout)
    assert done.returncode == 1
    assert (gone["aligned"], gone["reason"], gone["vmaf"]) == (False, "gone.mp4: no such file", None)
    assert (late["aligned"], late["vmaf"], late["frames"]) == (False, None, 24)
    assert good["aligned"] is True
    behind = (
        "the output begins with 1 frame of one picture that the reference does not begin with; "
        "--offset -0.040 compares what follows"
    )
    assert done.stderr.splitlines() == [
        "wattframe quality: gone.mp4: no score: no such file",
        f"wattframe quality: late.mp4: no score: {behind}",
    ]


def test_an_encode_that_may_not_be_read_costs_nothing_beside_it(videos: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes((videos / "good.mp4").read_bytes())
    secret.chmod(0)
    names = ["ref.mkv", secret, "good.mp4"]
    command = [*OBEYING, sys.executable, "-m", "wattframe", "quality", *names, "--json"]
    done = subprocess.run(command, cwd=videos, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    closed, good = json.loads(done.stdout)
    assert (closed["aligned"], good["aligned"]) == (False, True)
    assert closed["reason"].endswith("Permission denied")


@pytest.mark.parametrize(
    "url", ["http://u:secret@h/a.mp4", "https:/h/a?token=secret", "srt://h?passphrase=secret"]
)
def test_a_url_in_place_of_an_encode_is_told_without_its_password(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # with the progress that a terminal shows
    for done in run("ref.mkv", url), run("ref.mkv", url, "--json"):
        assert done.returncode == 1
        assert "secret" not in done.stdout + done.stderr
        assert ":/...: no score: expected a file, found a URL: download it first" in done.stderr


def test_a_name_that_is_no_text_costs_nothing_beside_it(run: Run, videos: Path) -> None:
    """JSON is UTF-8; a file's name need not be."""
    strange = os.fsdecode(b"caf\xe9.mp4")
    shutil.copyfile(videos / "good.mp4", videos / strange)
    done = run("ref.mkv", strange, os.fsdecode(b"gone\xe9.mp4"), "good.mp4", "--json")
    found = json.loads(done.stdout)
    names = ["caf\N{REPLACEMENT CHARACTER}.mp4", "gone\N{REPLACEMENT CHARACTER}.mp4", "good.mp4"]
    assert [document["distorted"] for document in found] == names
    assert [document["aligned"] for document in found] == [True, False, True]


def test_the_table_has_one_line_an_encode(run: Run) -> None:
    done = run("ref.mkv", "good.mp4", "line\nbreak.mp4", "--model", "hd", "--model", "neg")
    lines = done.stdout.splitlines()
    assert lines.pop(0).split() == ["PSNR"]
    assert " ".join(lines[0].split()) == "encode VMAF 5 % 1 % worst dB SSIM model"
    assert lines.pop() == "Compared: 25 frames at 180 lines."
    names = [line.split()[0] for line in lines[1:]]
    assert names == ["good.mp4"] * 2 + ["line\ufffdbreak.mp4"] * 2
    assert [line.split()[-1] for line in lines[1:]] == ["vmaf_v0.6.1", "vmaf_v0.6.1neg"] * 2


def test_further_models_are_an_addition_to_the_document(run: Run) -> None:
    done = run("ref.mkv", "good.mp4", "--json", "--model", "hd", "--model", "phone")
    (document,) = json.loads(done.stdout)
    assert list(document["vmaf_extra"]) == ["vmaf_v0.6.1 phone"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["gone.mkv", "good.mp4"], "wattframe quality: gone.mkv: no such file\n"),
        (["ref.mkv", "good.mp4", "--model", "best"], "wattframe quality: model: expected one of hd, 4k"),
        (["ref.mkv", "good.mp4", "--subsample", "2"], "wattframe quality: subsample: expected an odd number"),
        (
            ["ref.mkv", "good.mp4", "--plot", "a.png"],
            "wattframe quality: a.png: --plot: expected a name",
        ),
        (["ref.mkv"], "wattframe quality: expected REF DIST..., or --pairs LIST"),
        (
            ["https://u:pw@a/ref.mkv", "good.mp4"],
            "wattframe quality: https:/...: expected a file, found a URL",
        ),
        (
            ["ref.mkv", "good.mp4", "--crop", "1:2"],
            "wattframe quality: --crop: expected auto, none or W:H:X:Y",
        ),
        (["ref.mkv", "good.mp4", "--size", "big"], "wattframe quality: --size: expected a size such as"),
        (["ref.mkv", "good.mp4", "--rate", "fast"], "wattframe quality: rate: expected frames a second"),
        (["ref.mkv", "good.mp4", "--metric", "siti"], "wattframe quality: metric: expected one of ms_ssim"),
        (["ref.mkv", "good.mp4", "--frames", "a.txt"], "wattframe quality: a.txt: --frames: expected a name"),
        (
            ["ref.mkv", "good.mp4", "--reference-filter", "movie=x"],
            "wattframe quality: reference_filter: expected filters of",
        ),
    ],
)
def test_bad_usage_is_one_line_and_two(run: Run, arguments: list[str], line: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_an_offset_by_hand_compares_what_follows(run: Run) -> None:
    (document,) = json.loads(run("ref.mkv", "late.mp4", "--offset", "-0.04", "--json").stdout)
    assert (document["aligned"], document["frames"], document["offset_seconds"]) == (True, 24, -0.04)
    assert document["notes"] == [
        "the output begins 0.040 s earlier than the reference",
        "the output's first 0.040 s are not in the reference; they are not scored",
    ]


def test_raw_samples_are_scored_as_the_file_that_they_came_from(run: Run, videos: Path) -> None:
    command = [find_ffmpeg(), "-v", "error", "-y", "-i", "good.mp4", "-pix_fmt", "yuv420p", "good.yuv"]
    subprocess.run(command, cwd=videos, check=True)
    (raw,) = json.loads(run("ref.mkv", "good.yuv", "--size", "320x180", "--rate", "25", "--json").stdout)
    (coded,) = json.loads(run("ref.mkv", "good.mp4", "--json").stdout)
    assert raw["vmaf"] == coded["vmaf"]


def test_the_frames_of_every_encode_are_written_with_the_worst_scenes(run: Run, tmp_path: Path) -> None:
    table, document = tmp_path / "f.csv", tmp_path / "f.json"
    done = run("ref.mkv", "good.mp4", "line\nbreak.mp4", "--frames", str(table))
    assert "good.mp4: worst scene from 0.00 to 0.96 s: VMAF " in done.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["distorted"] == "good.mp4" for row in rows) == 25
    run("ref.mkv", "good.mp4", "--frames", str(document))
    (found,) = json.loads(document.read_text())
    assert [frame["number"] for frame in found["frames"]] == list(range(25))
    mean = sum(frame["vmaf"] for frame in found["frames"]) / 25
    assert found["worst_scenes"][0]["vmaf"] == pytest.approx(mean)


def test_further_metrics_are_an_addition_to_the_document(run: Run) -> None:
    metrics = ("--metric", "ms_ssim", "--metric", "vif", "--metric", "cambi")
    (document,) = json.loads(run("ref.mkv", "ref.mkv", "--json", *metrics).stdout)
    assert document["metrics"]["ms_ssim"] == pytest.approx(1, abs=1e-4)
    assert document["metrics"]["vif"] == pytest.approx(1, abs=1e-4)
    assert document["metrics"]["cambi"] >= 0


def test_the_plot_is_a_drawing_that_names_every_encode(run: Run, tmp_path: Path) -> None:
    plot = tmp_path / "a&b.svg"
    assert run("ref.mkv", "good.mp4", "line\nbreak.mp4", "--plot", str(plot)).returncode == 0
    root = ElementTree.parse(plot).getroot()  # noqa: S314 -- our own file
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"good.mp4", "line\ufffdbreak.mp4", "VMAF", "frame"} <= set(shown)
    assert root.get("width") == "960px"


def test_a_page_holds_the_same_drawing(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "plot.html"
    assert run("ref.mkv", "good.mp4", "--plot", str(page)).returncode == 0
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert ">good.mp4</text>" in text


def test_a_program_of_its_own_prints_the_same(videos: Path, run: Run) -> None:
    """As a user starts it: nothing but the document is on stdout."""
    pair = [str(videos / "ref.mkv"), str(videos / "good.mp4")]
    command = [sys.executable, "-m", "wattframe", "quality", *pair, "--json"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    (theirs,), (ours,) = json.loads(done.stdout), json.loads(run("ref.mkv", "good.mp4", "--json").stdout)
    assert theirs["vmaf"] == ours["vmaf"]
    assert done.stderr == ""
