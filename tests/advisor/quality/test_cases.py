"""Every case in which common recipes pair the wrong frames: scores against raw frames of known order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.errors import FfmpegError
from advisor.quality import compute_quality
from advisor.video.ffmpeg import find_ffmpeg, vmaf_models
from benchmarks.quality_pairs import PAIRS, Pair, base, ffmpeg_run, make, true_vmaf

pytestmark = pytest.mark.ffmpeg

RIGHT = [pair for pair in PAIRS if pair.truth is not None]
# the same paths through the code as a pair that is always run: with --long
LONG = {
    "23.976 fps",
    "50 fps",
    "60 to 24 fps by -r",
    "30 to 24 fps by -r",
    "AV1 (SVT) in MP4",
    "AV1 (SVT) in WebM",
    "FLV",
    "HDR (HLG)",
    "HEVC in MKV",
    "MKV and MP4, 30",
    "MPEG-2 4:2:2 in MXF",
    "MPEG-4 in AVI",
    "VVC in MP4",
    "every tenth frame dropped",
    "fragmented MP4",
    "24 to 30 fps by -r",
    "7 fps, copied from MP4 to MKV",
    "MP4 to FLV with B-frames",
    "a gap filled by -r",
    "a slate in front",
    "filled up to whole blocks",
    "zoomed by a fiftieth",
    "interlaced, and every field a frame",
    "letterbox on both sides",
    "one frame more than the reference",
    "raw video in AVI",
    "reference begins later",
    "tags: bt2020 on the output",
    "tags: limited range on the output",
    "tags: smpte170m on the output",
    "turned by 180 degrees",
    "upside down",
}


def _cases(pairs: list[Pair]) -> list[Any]:
    marks = [[pytest.mark.long] if pair.name in LONG else [] for pair in pairs]
    return [pytest.param(pair, id=pair.name, marks=mark) for pair, mark in zip(pairs, marks, strict=True)]


HDR = [pair for pair in PAIRS if "HDR" in pair.name]
WRONG = [pair for pair in PAIRS if pair.truth is None and pair not in HDR]


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    try:
        found = find_ffmpeg()
    except FfmpegError as exc:
        pytest.skip(str(exc))
    if not vmaf_models(found):
        pytest.skip("this ffmpeg has no libvmaf")
    return str(found)


@pytest.fixture(scope="module")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the frames that all pairs are made of."""
    folder = tmp_path_factory.mktemp("pairs")
    base(ffmpeg, folder)
    return folder


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    (tmp_path / "base.mkv").symlink_to(clip / "base.mkv")
    return tmp_path


@pytest.mark.parametrize("pair", _cases(RIGHT))
def test_the_score_is_that_of_the_raw_frames(pair: Pair, ffmpeg: str, folder: Path) -> None:
    """Within 0.05 VMAF, over exactly the frames that belong together."""
    reference, distorted = make(pair, ffmpeg, folder)
    quality = compute_quality(reference, distorted, ffmpeg=ffmpeg, **pair.options)
    truth, frames = true_vmaf(pair, ffmpeg, folder)
    assert quality.reason is None
    assert quality.vmaf is not None
    assert quality.vmaf.mean == pytest.approx(truth, abs=0.05)
    assert quality.frames == frames


@pytest.mark.parametrize("pair", _cases(WRONG))
def test_frames_that_do_not_belong_together_get_no_score(pair: Pair, ffmpeg: str, folder: Path) -> None:
    reference, distorted = make(pair, ffmpeg, folder)
    quality = compute_quality(reference, distorted, ffmpeg=ffmpeg, **pair.options)
    assert quality.aligned is False
    assert quality.reason
    assert (quality.vmaf, quality.psnr_decibels, quality.ssim_ratio) == (None, None, None)


@pytest.mark.parametrize(
    ("made", "copied"),
    [
        pytest.param(
            "-c:v prores_ks -profile:v 4 -pix_fmt yuva444p10le r.mov", "d.mkv", id="alpha beside its colours"
        ),
        pytest.param("-c:v utvideo -pix_fmt gbrp r.avi", "d.avi", id="RGB in AVI"),
        pytest.param("-c:v tiff -pix_fmt rgb24 r.mov", "d.mkv", id="TIFF in MOV"),
    ],
)
def test_a_lossless_copy_is_lossless(made: str, copied: str, ffmpeg: str, folder: Path) -> None:
    ffmpeg_run(ffmpeg, ["-i", "base.mkv", "-frames:v", "12", *made.split()], folder)
    reference = made.split()[-1]
    ffmpeg_run(ffmpeg, ["-i", reference, "-c:v", "ffv1", copied], folder)
    quality = compute_quality(folder / reference, folder / copied, ffmpeg=ffmpeg)
    assert (quality.lossless, quality.frames, quality.notes) == (True, 12, [])


def test_a_cut_in_the_middle_of_a_group_is_compared_from_its_first_shown_frame(
    ffmpeg: str, folder: Path
) -> None:
    """The edit list hides the frames in front, which the decoder needs."""
    coder = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-bf", "2"]
    ffmpeg_run(ffmpeg, ["-i", "base.mkv", *coder, "r.mp4"], folder)
    ffmpeg_run(ffmpeg, ["-ss", "0.6", "-i", "r.mp4", "-c", "copy", "d.mp4"], folder)
    quality = compute_quality(folder / "r.mp4", folder / "d.mp4", ffmpeg=ffmpeg)
    assert (quality.lossless, quality.frames, quality.offset_seconds) == (True, 35, 0.6)


@pytest.mark.parametrize("pair", _cases(HDR))
def test_hdr_has_psnr_and_ssim_and_no_vmaf(pair: Pair, ffmpeg: str, folder: Path) -> None:
    reference, distorted = make(pair, ffmpeg, folder)
    quality = compute_quality(reference, distorted, ffmpeg=ffmpeg)
    assert quality.aligned
    assert quality.vmaf is None
    assert quality.reason is not None
    assert quality.reason.startswith("no VMAF: there is no public model for HDR (")
    assert quality.psnr_decibels is not None
    assert 30 < quality.psnr_decibels.average < 60


def test_every_long_case_is_one_of_the_pairs() -> None:
    assert {pair.name for pair in PAIRS} > LONG
