"""Scores of small real videos beside figures worked out another way, and failures of ffmpeg."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from advisor import quality
from advisor.errors import FfmpegError, MediaError
from advisor.quality.measure import Measurement, measure, measure_all
from advisor.quality.pooling import harmonic_mean, pool
from advisor.quality.settings import QualitySettings
from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.quality_pairs import SAMPLE
from tests.support.processes import command_line
from tests.support.waiting import wait_until

pytestmark = pytest.mark.ffmpeg

WIDTH, HEIGHT, FRAMES = 320, 180, 30
_OLD_FFMPEG = r"""#!/bin/sh
case "$*" in
*"-h filter=setparams") echo "   range  <int> ..FV....... select color range" ;;
*-/filter_complex*) exit 8 ;;
*)  if grep -q chroma_location graph.txt; then exit 8; fi
    graph=$(cat graph.txt)
    for word; do
        shift
        case $word in
        -filter_complex_script) set -- "$@" -filter_complex ;;
        graph.txt) set -- "$@" "$graph" ;;
        *) set -- "$@" "$word" ;;
        esac
    done
    exec NEW "$@" ;;
esac
"""


def ffmpeg(folder: Path, *arguments: str) -> str:
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-y", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stderr


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ref.mkv`` lossless, ``enc.mp4`` coded, both in 8 bit; ``ref10.mkv`` and ``enc10.mkv`` in 10."""
    folder = tmp_path_factory.mktemp("videos")
    clip = ("-f", "lavfi", "-i", f"testsrc2=s={WIDTH}x{HEIGHT}:r=30:d=1")
    ffmpeg(folder, *clip, "-pix_fmt", "yuv420p", "-c:v", "ffv1", "ref.mkv")
    ffmpeg(folder, "-i", "ref.mkv", "-c:v", "libx264", "-crf", "35", "-threads", "1", "enc.mp4")
    ffmpeg(folder, "-i", "ref.mkv", "-c", "copy", "-f", "nut", "copy.nut")
    ffmpeg(folder, "-i", "ref.mkv", "-pix_fmt", "yuv420p10le", "-c:v", "ffv1", "ref10.mkv")
    return folder


def luma_and_all(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Raw samples: luma as (frames, pixels), all planes as (frames, samples)."""
    ffmpeg(folder, "-i", name, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "x.yuv")
    raw = np.fromfile(folder / "x.yuv", dtype=np.uint8).reshape(FRAMES, -1).astype(float)
    return raw[:, : WIDTH * HEIGHT], raw


def test_psnr_is_of_the_mean_squared_error(videos: Path) -> None:
    """numpy on the raw frames; not the mean of the frames' decibels, which is higher."""
    (ref_y, ref), (enc_y, enc) = luma_and_all(videos, "ref.mkv"), luma_and_all(videos, "enc.mp4")
    found = quality.compute_quality(videos / "ref.mkv", videos / "enc.mp4").psnr_decibels
    assert found is not None
    assert found.y == pytest.approx(10 * np.log10(255**2 / np.mean((ref_y - enc_y) ** 2)), abs=1e-4)
    assert found.average == pytest.approx(10 * np.log10(255**2 / np.mean((ref - enc) ** 2)), abs=1e-4)
    of_frames = np.mean(10 * np.log10(255**2 / np.mean((ref - enc) ** 2, axis=1)))
    assert of_frames > found.average


def test_an_ffmpeg_before_7_gives_the_same_scores(videos: Path, tmp_path: Path) -> None:
    """It reads its graph by another option, and has no location of chroma."""
    old = tmp_path / "ffmpeg"
    old.write_text(_OLD_FFMPEG.replace("NEW", str(find_ffmpeg())))
    old.chmod(0o755)
    pair = videos / "ref.mkv", videos / "enc.mp4"
    scores = [measure(*pair, ffmpeg=path).quality for path in (None, str(old))]
    assert scores[0].vmaf is not None
    assert replace(scores[0], computation_seconds=None) == replace(scores[1], computation_seconds=None)


def test_the_small_functions_are_parts_of_the_whole(videos: Path) -> None:
    pair = videos / "ref.mkv", videos / "enc.mp4"
    whole = quality.compute_quality(*pair)
    assert whole.vmaf is not None
    assert whole.psnr_decibels is not None
    assert quality.compute_vmaf(*pair) == whole.vmaf.mean
    assert quality.compute_psnr(str(pair[0]), str(pair[1])) == whole.psnr_decibels.average


@pytest.mark.parametrize(
    ("reference", "copy", "cap"), [("ref.mkv", "copy.nut", 60), ("ref10.mkv", "ref10.mkv", 72)]
)
def test_identical_videos_are_lossless_at_the_cap(
    videos: Path, reference: str, copy: str, cap: float
) -> None:
    found = quality.compute_quality(videos / reference, videos / copy, xpsnr=True)
    assert found.lossless
    assert found.psnr_decibels is not None
    assert (found.psnr_decibels.average, found.psnr_decibels.y) == (cap, cap)
    assert found.xpsnr_decibels == cap
    assert found.ssim_ratio is not None
    assert found.ssim_ratio.all == 1.0


def test_eight_bit_seen_in_ten_is_lossless(videos: Path) -> None:
    """An 8-bit value times four is exact; the comparison is at 10 bit, so is its cap."""
    found = quality.compute_quality(videos / "ref10.mkv", videos / "ref.mkv")
    assert found.lossless
    assert found.psnr_decibels is not None
    assert found.psnr_decibels.average == 72


def test_ssim_and_xpsnr_are_those_of_the_filters_alone(videos: Path) -> None:
    index = "settb=1/30,setpts=N"
    both = f"[0:v]{index}[d];[1:v]{index}[r];[d][r]"
    said = ffmpeg(videos, "-i", "enc.mp4", "-i", "ref.mkv", "-lavfi", f"{both}ssim", "-f", "null", "-")
    ssim = re.search(r"SSIM Y:([0-9.]+).*All:([0-9.]+)", said)
    said = ffmpeg(videos, "-i", "enc.mp4", "-i", "ref.mkv", "-lavfi", f"{both}xpsnr", "-f", "null", "-")
    xpsnr = re.search(r"XPSNR +y: *([0-9.]+)", said)
    assert ssim
    assert xpsnr
    found = quality.compute_quality(videos / "ref.mkv", videos / "enc.mp4", xpsnr=True)
    assert found.ssim_ratio is not None
    # the filters round what they say of each frame and of all
    assert found.ssim_ratio.y == pytest.approx(float(ssim[1]), abs=1e-6)
    assert found.ssim_ratio.all == pytest.approx(float(ssim[2]), abs=1e-6)
    assert found.xpsnr_decibels == pytest.approx(float(xpsnr[1]), abs=1e-4)


def test_pooling_is_of_the_frames(videos: Path) -> None:
    """numpy's linear percentile over the per-frame scores."""
    measured = measure(videos / "ref.mkv", videos / "enc.mp4")
    scores = [frame.vmaf for frame in measured.frames]
    assert len(scores) == FRAMES
    vmaf = measured.quality.vmaf
    assert vmaf is not None
    assert (vmaf.mean, vmaf.min) == (pytest.approx(np.mean(scores)), min(s for s in scores if s is not None))
    assert [vmaf.p1, vmaf.p5] == pytest.approx(list(np.percentile(scores, [1, 5])))


def test_a_still_beside_a_video_has_no_score(videos: Path, tmp_path: Path) -> None:
    """The cover that some files begin with, for instance."""
    ffmpeg(videos, "-i", "ref.mkv", "-frames:v", "1", "-c:v", "ffv1", str(tmp_path / "still.mkv"))
    with pytest.raises(MediaError, match="is a single picture"):
        quality.compute_quality(videos / "ref.mkv", tmp_path / "still.mkv")


def test_percentiles_and_harmonic_mean_by_hand() -> None:
    pooled = pool([4.0, 1.0, 3.0, 2.0], "m")
    # of three steps between four values 0.03 and 0.15 are gone
    assert [pooled.p1, pooled.p5] == pytest.approx([1.03, 1.15])
    assert pool([7.0], "m").p5 == 7.0
    # 1/2 and 1/4 of (1 + 1) and (3 + 1): 2 / 0.75 - 1
    assert harmonic_mean([1.0, 3.0]) == pytest.approx(5 / 3)
    assert pool([50.0, 100.0], "m").mean == 75.0


def test_models_asked_for_are_scored_in_one_pass(videos: Path) -> None:
    found = quality.compute_quality(
        videos / "ref.mkv", videos / "enc.mp4", model="hd", extra_models=["neg", "phone", "v1"]
    )
    assert found.vmaf is not None
    names = ["vmaf_v0.6.1neg", "vmaf_v0.6.1 phone", "vmaf_v1.0.16_3d0h"]
    assert list(found.vmaf_extra) == names
    neg, phone = found.vmaf_extra["vmaf_v0.6.1neg"], found.vmaf_extra["vmaf_v0.6.1 phone"]
    assert phone.mean > found.vmaf.mean > neg.mean
    alone = quality.compute_quality(videos / "ref.mkv", videos / "enc.mp4", codec_comparison=True).vmaf
    assert alone == neg


def test_the_number_of_threads_changes_no_score(videos: Path) -> None:
    one, four = (
        quality.compute_vmaf(videos / "ref.mkv", videos / "enc.mp4", threads=threads) for threads in (1, 4)
    )
    assert one == four


def test_a_subsample_scores_every_third_frame_and_compares_all(videos: Path) -> None:
    measured = measure(videos / "ref.mkv", videos / "enc.mp4", QualitySettings(subsample=3))
    scored = [frame.number for frame in measured.frames if frame.vmaf is not None]
    assert scored == list(range(0, FRAMES, 3))
    assert measured.quality.frames == FRAMES


def test_a_measurement_travels_between_processes(videos: Path) -> None:
    settings = QualitySettings(extra_models=("neg",), reference_loops=-1)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 -- our own bytes
    assert pickle.loads(pickle.dumps(measure)) is measure  # noqa: S301


def counted(folder: Path) -> tuple[Path, Path]:
    """ffmpeg, and a file that gets a line at each call that does something."""
    program, calls = folder / "counted", folder / "calls"
    program.write_text(f'#!/bin/sh\n[ "$2" = -h ] || echo >> {calls}\nexec {find_ffmpeg()} "$@"\n')
    program.chmod(0o755)
    return program, calls


def test_a_ladder_of_ten_is_one_pass(videos: Path, tmp_path: Path) -> None:
    """Its threads' stacks alone are a gigabyte to the kernel that holds ffmpeg to its bounds."""
    program, calls = counted(tmp_path)
    outputs = [videos / "enc.mp4"] * 10
    measured = measure_all(videos / "ref.mkv", outputs, ffmpeg=str(program))
    assert all(isinstance(one, Measurement) for one in measured)
    assert calls.read_text().count("\n") == 1


def test_several_outputs_share_a_pass_and_score_what_each_scores_alone(videos: Path, tmp_path: Path) -> None:
    """One of them is no video, one another video: neither costs the others anything."""
    (tmp_path / "no.mp4").write_text("no video")
    ffmpeg(tmp_path, "-f", "lavfi", "-i", "mandelbrot=s=320x180:r=30", "-frames:v", "30", "other.mp4")
    program, calls = counted(tmp_path)
    outputs = [videos / "enc.mp4", tmp_path / "no.mp4", tmp_path / "other.mp4", videos / "copy.nut"]
    encode, no_video, other, copy = measure_all(videos / "ref.mkv", outputs, ffmpeg=str(program))
    assert isinstance(encode, Measurement)
    assert isinstance(copy, Measurement)
    assert isinstance(other, Measurement)
    assert isinstance(no_video, MediaError)
    assert encode.quality.vmaf == quality.compute_quality(videos / "ref.mkv", videos / "enc.mp4").vmaf
    assert copy.quality.lossless
    assert other.quality.reason == "the output is a different video than the reference"
    assert calls.read_text().count("\n") == 1


def test_a_crash_over_several_outputs_is_tried_one_by_one(videos: Path, tmp_path: Path) -> None:
    """As where one of them is what ffmpeg crashes on."""
    program = tmp_path / "crashes"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *enc.mp4*copy.nut*) kill -SEGV $$;; esac\nexec {find_ffmpeg()} "$@"\n'
    )
    program.chmod(0o755)
    outputs = [videos / "enc.mp4", videos / "copy.nut"]
    measured = measure_all(videos / "ref.mkv", outputs, ffmpeg=str(program))
    assert [isinstance(one, Measurement) for one in measured] == [True, True]


@pytest.mark.parametrize("lost", [(3, 9, 14, 21, 39), (5, 6, 7, 30, 44, 45), (1, 48)])
def test_every_frame_is_compared_with_its_partner_whichever_were_dropped(
    tmp_path: Path, lost: tuple[int, ...]
) -> None:
    """Lossless whatever frames are missing; one frame beside its partner would show."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=24000/1001")
    ffmpeg(tmp_path, *source, "-frames:v", "50", "-pix_fmt", "yuv420p", "-c:v", "ffv1", "r.nut")
    chosen = "select=not(" + "+".join(rf"eq(n\,{n})" for n in lost) + ")"
    coder = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-c:v", "libx264", "-qp", "0")
    ffmpeg(tmp_path, "-i", "r.nut", "-vf", chosen, *coder, "d.mp4")
    found = quality.compute_quality(tmp_path / "r.nut", tmp_path / "d.mp4")
    assert (found.lossless, found.frames) == (True, 50 - len(lost))


def test_looped_input_is_reproduced_frame_by_frame(videos: Path, tmp_path: Path) -> None:
    """Lossless over two borders of the loop, from a file whose sound is longer than its pictures."""
    source = videos / "ref.mkv"
    sound = ("-f", "lavfi", "-i", "sine=d=1.21", "-c:a", "aac")
    ffmpeg(
        tmp_path, "-i", str(source), *sound, "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "in.mp4"
    )
    encode = ("-map", "0:v:0", "-frames:v", "75", "-c:v", "ffv1")
    ffmpeg(tmp_path, "-stream_loop", "-1", "-i", "in.mp4", *encode, "out.mkv")
    found = quality.compute_quality(tmp_path / "in.mp4", tmp_path / "out.mkv", reference_loops=-1)
    assert (found.aligned, found.lossless, found.frames, found.notes) == (True, True, 75, [])
    short = quality.compute_quality(tmp_path / "in.mp4", tmp_path / "out.mkv")
    assert short.reason == "the reference ends before the output: 1.00 against 2.50 s"


def test_a_filter_may_make_more_frames_than_the_reference_has(tmp_path: Path) -> None:
    """Every field becomes a picture; how many are needed is not known from the file."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=160x96:r=20", "-frames:v", "80")
    fields = ("-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "ffv1")
    ffmpeg(tmp_path, *source, *fields, "fields.mkv")
    ffmpeg(tmp_path, "-i", "fields.mkv", "-vf", "yadif=1", "-c:v", "ffv1", "pictures.mkv")
    found = quality.compute_quality(
        tmp_path / "fields.mkv", tmp_path / "pictures.mkv", reference_filter="yadif=1"
    )
    assert (found.reason, found.lossless, found.frames) == (None, True, 160)


def test_noise_on_a_dark_start_is_no_place_of_a_picture(tmp_path: Path) -> None:
    """Ten seconds of black with noise in its lowest lines, as of a tape: without them less is wrong."""
    dark = "color=c=0x101010:s=240x136:r=25:d=10.4,noise=alls=40:allf=t"
    box = "drawbox=x=0:y=0:w=240:h=132:c=0x101010:t=fill[a]"
    graph = f"[0:v]{box};[a][1:v]concat,format=yuv420p"
    film = ("-f", "lavfi", "-i", "testsrc2=s=240x136:r=25:d=2")
    ffmpeg(tmp_path, *("-f", "lavfi", "-i", dark, *film, "-filter_complex", graph, "-c:v", "ffv1", "a.mkv"))
    encode = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "35")
    ffmpeg(tmp_path, "-i", "a.mkv", "-vf", "scale=200:114", *encode, "b.mp4")
    found = quality.compute_quality(tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert (found.aligned, found.crop) == (True, None)


@pytest.mark.parametrize(("begin", "seconds"), [(6, 3), (5, 7)])
def test_an_output_of_a_later_part_is_found_in_a_long_reference(
    tmp_path: Path, begin: int, seconds: int
) -> None:
    """Three seconds from the sixth on: the first pass reads no further than the fourth. Seven from the
    fifth on: it reads up to the eighth, and finds the beginning of what goes on behind that.
    """
    source = ("-f", "lavfi", "-i", "mandelbrot=s=160x90:r=10:end_scale=0.01:end_pts=60")
    ffmpeg(tmp_path, *source, "-t", "12", "-pix_fmt", "yuv420p", "-c:v", "ffv1", "long.mkv")
    ffmpeg(tmp_path, "-ss", f"{begin}", "-i", "long.mkv", "-t", f"{seconds}", "-c:v", "libx264", "part.mp4")
    found = quality.compute_quality(tmp_path / "long.mkv", tmp_path / "part.mp4")
    assert (found.aligned, found.frames, found.offset_seconds) == (True, 10 * seconds, pytest.approx(begin))


def test_a_cut_input_is_reproduced(videos: Path, tmp_path: Path) -> None:
    start = ("-ss", "0.5", "-i", str(videos / "ref.mkv"))
    ffmpeg(tmp_path, *start, "-frames:v", "12", "-c:v", "ffv1", "out.mkv")
    found = quality.compute_quality(videos / "ref.mkv", tmp_path / "out.mkv", reference_start=0.5)
    assert (found.lossless, found.frames) == (True, 12)


def test_notes_say_what_does_not_make_a_score_wrong(videos: Path, tmp_path: Path) -> None:
    clip = ("-i", str(videos / "ref.mkv"))
    drop = ("-vf", r"select=mod(n\,5)-2", "-fps_mode", "passthrough", "-frames:v", "20")
    ffmpeg(tmp_path, *clip, *drop, "-c:v", "libx264", "dropped.mp4")
    assert quality.compute_quality(videos / "ref.mkv", tmp_path / "dropped.mp4").notes == [
        "5 of 25 frames of the reference are missing in the output",
        "the output ends 0.17 s before the reference",
    ]
    ffmpeg(tmp_path, *clip, "-vf", "scale=640:480,setsar=1", "-c:v", "libx264", "-crf", "20", "larger.mp4")
    assert quality.compute_quality(videos / "ref.mkv", tmp_path / "larger.mp4").notes == [
        "the reference is smaller than the output: are they swapped?",
        "display aspects differ (1.778 and 1.333): whole frames were compared",
    ]


def test_fields_are_seen_in_the_pictures_where_no_flag_tells_of_them(tmp_path: Path) -> None:
    woven = "tinterlace=interleave_top,setfield=prog"
    ffmpeg(tmp_path, "-i", str(SAMPLE), "-an", "-frames:v", "50", "-vf", woven, "-c:v", "ffv1", "woven.mkv")
    coder = ("-c:v", "libx264", "-preset", "ultrafast")
    ffmpeg(tmp_path, "-i", "woven.mkv", *coder, "woven.mp4")
    ffmpeg(tmp_path, "-i", "woven.mkv", "-vf", "yadif", *coder, "film.mp4")
    woven_mp4, film = measure_all(tmp_path / "woven.mkv", [tmp_path / "woven.mp4", tmp_path / "film.mp4"])
    assert isinstance(woven_mp4, Measurement)
    assert isinstance(film, Measurement)
    assert woven_mp4.quality.notes == []
    assert film.quality.notes[0].startswith("the reference is interlaced and the output is not")


def test_a_frame_late_under_a_moving_camera_is_no_other_part_of_the_picture(tmp_path: Path) -> None:
    pan = "crop=320:180:n*4:n*2"
    ffmpeg(tmp_path, "-i", str(SAMPLE), "-an", "-frames:v", "50", "-vf", pan, "-c:v", "ffv1", "pan.mkv")
    late = ("-vf", "loop=1:1:10,setpts=N/25/TB", "-frames:v", "50")
    ffmpeg(tmp_path, "-i", "pan.mkv", *late, "-c:v", "libx264", "-preset", "ultrafast", "late.mp4")
    reason = quality.compute_quality(tmp_path / "pan.mkv", tmp_path / "late.mp4").reason
    assert reason is not None
    assert reason.startswith("the output is a frame or more behind the reference")


def test_an_unaligned_pair_is_an_error_of_the_small_functions(videos: Path, tmp_path: Path) -> None:
    late = ("-vf", "tpad=start=1:color=navy,trim=end_frame=30")
    ffmpeg(tmp_path, "-i", str(videos / "ref.mkv"), *late, "-c:v", "libx264", "late.mp4")
    with pytest.raises(MediaError, match=r"is not aligned with .*: the output begins with 1 frame of"):
        quality.compute_psnr(videos / "ref.mkv", tmp_path / "late.mp4")


def test_a_picture_in_a_window_is_compared_without_its_bars(videos: Path, tmp_path: Path) -> None:
    """Each of 81 places around the edges takes threads, more than one process may have."""
    window = ("-vf", f"scale={WIDTH - 48}:{HEIGHT - 28},pad={WIDTH}:{HEIGHT}:24:14")
    ffmpeg(tmp_path, "-i", str(videos / "ref.mkv"), *window, "-c:v", "libx264", "window.mp4")
    crop = quality.compute_quality(videos / "ref.mkv", tmp_path / "window.mp4").crop
    assert crop is not None
    assert crop["output"] == f"{WIDTH - 48}:{HEIGHT - 28}:24:14"


@pytest.mark.parametrize("name", ["it's, [a]; b:c=%d.mp4", "line\nbreak.mp4", "-i.mp4", "concat:x|y.mp4"])
def test_any_name_is_measured(videos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes((videos / "enc.mp4").read_bytes())
    expected = quality.compute_vmaf(videos / "ref.mkv", videos / "enc.mp4")
    assert quality.compute_vmaf(videos / "ref.mkv", tmp_path / name) == expected


@pytest.mark.parametrize("which", ["reference", "output"])
def test_a_damaged_file_is_scored_up_to_the_damage(videos: Path, tmp_path: Path, which: str) -> None:
    """The frames before it score what they score in the whole file."""
    coder = ("-c:v", "libx264", "-g", "10", "-bf", "0", "-threads", "1")
    ffmpeg(tmp_path, "-i", str(videos / "ref.mkv"), *coder, "bad.ts")
    whole = measure(videos / "ref.mkv", tmp_path / "bad.ts").frames
    data = bytearray((tmp_path / "bad.ts").read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 3000):
        data[place] ^= 0x5A
    (tmp_path / "bad.ts").write_bytes(data)
    bad = tmp_path / "bad.ts"
    if which == "reference":
        part = quality.compute_quality(bad, videos / "ref.mkv")
    else:
        measured = measure(videos / "ref.mkv", bad)
        part = measured.quality
        assert [f.vmaf for f in measured.frames[:-1]] == [f.vmaf for f in whole[: len(measured.frames) - 1]]
    assert part.aligned
    assert part.frames is not None
    assert 5 < part.frames < 25
    assert any(note.startswith(f"the {which} is damaged after {part.frames} frames") for note in part.notes)


def test_a_file_that_is_damaged_from_the_start_is_named(videos: Path, tmp_path: Path) -> None:
    ffmpeg(tmp_path, "-i", str(videos / "ref.mkv"), "-c:v", "libx264", "-g", "50", "bad.ts")
    data = bytearray((tmp_path / "bad.ts").read_bytes())
    for place in range(188 * 6, len(data) - 188 * 10):
        data[place] ^= 0x5A if place % 188 > 20 else 0
    (tmp_path / "bad.ts").write_bytes(data)
    for pair in ((videos / "ref.mkv", tmp_path / "bad.ts"), (tmp_path / "bad.ts", videos / "ref.mkv")):
        with pytest.raises(MediaError, match=r"bad\.ts: "):
            quality.compute_quality(*pair)


def test_what_a_decoder_repaired_is_noted(videos: Path, tmp_path: Path) -> None:
    """The container is whole; a slice inside fails its checksum, and the decoder goes on."""
    ffv1 = ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1")
    ffmpeg(tmp_path, "-i", str(videos / "ref.mkv"), *ffv1, "bad.mkv")
    data = bytearray((tmp_path / "bad.mkv").read_bytes())
    place = len(data) // 2
    data[place : place + 40] = bytes(value ^ 0xFF for value in data[place : place + 40])
    (tmp_path / "bad.mkv").write_bytes(data)
    notes = quality.compute_quality(videos / "ref.mkv", tmp_path / "bad.mkv").notes
    assert len(notes) == 1
    assert notes[0].startswith("ffmpeg said: ")
    assert "CRC" in notes[0]


def _instead(folder: Path, body: str) -> str:
    """A program in ffmpeg's place that ends as the real one can."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "ffmpeg was killed by SIGKILL: out of memory?"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ffmpeg was killed by SIGSEGV"),
        ("sys.exit(139)", "ffmpeg was killed by SIGSEGV"),
        (
            "sys.stderr.write('[Parsed_x @ 0x5] [error] could not load libvmaf model\\n'); sys.exit(234)",
            "ffmpeg ended with code 234: could not load libvmaf model",
        ),
        ("sys.exit(1)", "ffmpeg ended with code 1: no message"),
        ("sys.exit(0)", "ffmpeg succeeded, but its logs are incomplete"),
    ],
)
def test_every_end_of_ffmpeg_is_named(videos: Path, tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(FfmpegError, match=re.escape(message)):
        quality.compute_quality(videos / "ref.mkv", videos / "enc.mp4", ffmpeg=_instead(tmp_path, body))


def test_progress_counts_to_the_number_of_frames(videos: Path) -> None:
    seen: list[tuple[int, int]] = []
    quality.compute_quality(videos / "ref.mkv", videos / "enc.mp4", progress=lambda *at: seen.append(at))
    assert seen[-1] == (FRAMES, FRAMES)
    assert seen == sorted(seen)


def test_an_interrupt_ends_ffmpeg(videos: Path, tmp_path: Path) -> None:
    """Ctrl-C arrives as an exception while ffmpeg works; nothing is left behind."""
    note = tmp_path / "pid"
    works = f"open({str(note)!r}, 'w').write(str(os.getpid())); print('frame=1', flush=True); time.sleep(600)"
    body = f"if '-progress' in sys.argv: {works}"  # it is asked for its version before

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quality.compute_quality(
            videos / "ref.mkv", videos / "enc.mp4", ffmpeg=_instead(tmp_path, body), progress=interrupt
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_the_work_is_as_modest_as_asked(videos: Path, tmp_path: Path) -> None:
    note = tmp_path / "nice"
    body = f"time.sleep(0.3)\nopen({str(note)!r}, 'w').write(str(os.nice(0)))\nsys.exit(1)"
    with pytest.raises(FfmpegError):
        quality.compute_quality(
            videos / "ref.mkv", videos / "enc.mp4", ffmpeg=_instead(tmp_path, body), nice=7
        )
    assert int(note.read_text()) == min(19, os.nice(0) + 7)


def test_importing_the_package_loads_neither_av_nor_numpy() -> None:
    code = "import sys, advisor.quality; print([m for m in ('av', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_comparison_holds_in_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Between two windows of the probe nothing may be read ahead: 33 s of these frames are 71 MB."""
    peaks = []
    for seconds in (10, 100):
        source = ("-f", "lavfi", "-i", f"testsrc2=s=320x180:r=25:d={seconds}")
        coder = ("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1")
        ffmpeg(tmp_path, *source, *coder, "-crf", "10", "ref.mp4")
        ffmpeg(tmp_path, "-i", "ref.mp4", *coder, "-crf", "35", "enc.mp4")
        code = (
            "import resource; from advisor import quality;"
            "assert quality.compute_quality('ref.mp4', 'enc.mp4').aligned;"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 30


def test_ffmpeg_ends_with_whoever_measures(tmp_path: Path) -> None:
    """One that is killed cannot clean up."""
    script, pid_file = tmp_path / "ffmpeg", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 1000\n")
    script.chmod(0o755)
    code = (
        "from pathlib import Path; from advisor.quality.process import run_ffmpeg\n"
        f"run_ffmpeg([{str(script)!r}], folder=Path({str(tmp_path)!r}), inputs=[])"
    )
    measuring = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[3])
    wait_until(pid_file.exists)
    measuring.kill()
    measuring.wait()
    wait_until(lambda: not command_line(int(pid_file.read_text())))
