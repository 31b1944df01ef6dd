"""Inputs as people have them: every frame is encoded, and lengths follow the times of the frames."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest

from advisor.errors import InputError
from advisor.results import Scenario
from advisor.video.ffmpeg import capabilities
from runner.jobs import Job, resolve
from runner.measure import Laboratory, RunSettings, measure
from runner.preflight import look_at_inputs, unsuitable
from runner.source import look_at_source
from runner.spec import RungSpec, Spec
from tests.support.meters import ConstantMeter
from tests.support.videos import GRID, KnownVideo, make_video, random_video

pytestmark = pytest.mark.ffmpeg

# 60 and 30 frames a second in turn, as a phone gives them: five frames in 14 of 120 ticks
ENCODE_IN_ORDER = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0")
PHONE_TICKS = [14 * group + tick for group in range(12) for tick in (0, 2, 4, 6, 10)]


def _job(path: Path, **fields: Any) -> Job:
    media = fields.pop("media", None)
    common = {"name": "s", "preset": "ultrafast", "crf": 40, "input": str(path)}
    return resolve(Spec(**common | fields), input_path=None, duration_seconds=60, media_seconds=media)


@pytest.fixture
def run_one(ffmpeg: Path, tmp_path: Path) -> Callable[..., Scenario]:
    laboratory = Laboratory(
        settings=RunSettings(ffmpeg=ffmpeg, capabilities=capabilities(ffmpeg), interval_seconds=0.1),
        meter=ConstantMeter(1.0),
        folder=tmp_path,
        stopping=lambda: False,
        notice=lambda progress: None,
    )

    def run_one(path: Path, **fields: Any) -> Scenario:
        job = _job(path, **fields)
        return measure(job, laboratory, look_at_inputs([job], ffmpeg)[job.input or ""], None)

    return run_one


@pytest.fixture
def phone(ffmpeg: Path, tmp_path: Path) -> KnownVideo:
    """60 frames in 1.4 s; the last one too is shown for as long as its place in the pattern says."""
    steady = make_video(ffmpeg, tmp_path / "steady.mp4", range(0, 300, 5), encode=ENCODE_IN_ORDER)
    path = tmp_path / "phone.mp4"
    with av.open(str(steady.path)) as source, av.open(str(path), "w") as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        ends = [*PHONE_TICKS[1:], 14 * 12]
        for packet, tick, end in zip(packets, PHONE_TICKS, ends, strict=True):
            packet.stream, packet.time_base = stream, Fraction(1, 120)
            packet.pts = packet.dts = tick
            packet.duration = end - tick
            file.mux(packet)
    return msgspec.structs.replace(steady, path=path, times=tuple(tick / 120 for tick in PHONE_TICKS))


def _times_in(path: str | None) -> list[float]:
    assert path is not None
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [float((frame.pts or 0) * stream.time_base) for frame in container.decode(stream)]


def test_a_variable_rate_loses_no_frame_and_no_time(
    run_one: Callable[..., Scenario], phone: KnownVideo
) -> None:
    """1.05 s are 9 groups of five frames."""
    s = run_one(phone.path, media=1.05)
    assert s.encode is not None
    assert s.duration is not None
    assert (s.encode.frames, s.encode.dropped_frames) == (45, 0)
    assert s.outputs[0].duration == pytest.approx(1.05, abs=0.001)
    assert s.encode.speed == pytest.approx(1.05 / s.duration, rel=0.01)
    assert _times_in(s.outputs[0].path) == pytest.approx(phone.times[:45], abs=1e-4)


def test_a_variable_rate_goes_on_where_the_input_begins_again(
    run_one: Callable[..., Scenario], phone: KnownVideo
) -> None:
    """10 s are 7 times 60 frames in 9.8 s and those of the first 0.2 s: 24 ticks, nine frames."""
    s = run_one(phone.path, media=10)
    assert s.encode is not None
    assert s.encode.frames == 7 * 60 + 9
    assert s.outputs[0].duration == pytest.approx(10.0, abs=0.04)


def test_frames_that_share_a_time_are_kept_and_make_nothing_longer(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """50 frames at 25 a second, of which every fifth has the time of the one before; 3.2 s are 80 frames."""
    steady = make_video(ffmpeg, tmp_path / "steady.mp4", range(0, 250, 5), encode=ENCODE_IN_ORDER)
    with av.open(steady.path) as source, av.open(tmp_path / "a.mkv", "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 1000), 40
            packet.pts = packet.dts = 40 * (number - (number % 5 == 4))
            target.mux(packet)
    s = run_one(tmp_path / "a.mkv", media=3.2)
    assert s.encode is not None
    assert s.encode.frames == pytest.approx(80, abs=1)
    assert s.outputs[0].duration == pytest.approx(3.2, abs=0.05)


@pytest.mark.parametrize(
    "second",
    ["s=32x24:r=25:d=0.4", "s=64x48:r=25:d=0.4,setparams=range=pc:colorspace=bt709"],
    ids=["size", "colours"],
)
def test_what_changes_inside_ends_neither_time_nor_the_encode(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path, second: str
) -> None:
    """ffmpeg would begin its filters, and with them the times, anew; 2 s are 2.5 passes of 20 frames."""
    for name, source in (("1", "s=64x48:r=25:d=0.4"), ("2", second)):
        coder = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", f"{tmp_path}/{name}.ts"]
        drawn = ["-f", "lavfi", "-i", f"testsrc2={source},format=yuv420p"]
        subprocess.run([ffmpeg, "-v", "error", *drawn, *coder], check=True)
    joined = tmp_path / "a.ts"
    joined.write_bytes((tmp_path / "1.ts").read_bytes() + (tmp_path / "2.ts").read_bytes())
    s = run_one(joined, media=2)
    assert s.encode is not None
    assert s.encode.frames == 50
    assert (s.outputs[0].resolution, s.outputs[0].duration) == ("64x48", pytest.approx(2.0, abs=0.01))


@pytest.mark.parametrize("start", ["0.013", "3600"], ids=["back", "ahead"])
def test_joined_transport_streams_last_as_long_as_both(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path, start: str
) -> None:
    """Twice 24 frames at 24 a second; 3 s are one and a half passes, with a new clock in each."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=24:d=1", "-c:v", "libx264", "-preset", "ultrafast"]
    for name, begin in (("1.ts", "0"), ("2.ts", start)):
        command = [ffmpeg, "-v", "error", *source, "-output_ts_offset", begin, tmp_path / name]
        subprocess.run(command, check=True)
    joined = tmp_path / "a.ts"
    joined.write_bytes((tmp_path / "1.ts").read_bytes() + (tmp_path / "2.ts").read_bytes())
    s = run_one(joined, media=3)
    assert (s.input and s.input.duration, s.input and s.input.fps) == (pytest.approx(2.0), 24.0)
    assert s.encode is not None
    assert s.encode.frames == 72
    assert s.outputs[0].duration == pytest.approx(3.0, abs=0.001)


def test_where_a_file_with_a_gap_begins_again_there_is_no_gap(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """24 frames at 24 a second with a gap of 1 s among them, and sound that begins 0.4 s before."""
    ticks = [*range(0, 60, 5), *range(180, 240, 5)]
    video = make_video(ffmpeg, tmp_path / "g.mp4", ticks, sound_first_seconds=0.4)
    s = run_one(video.path, media=4.02)
    # two passes of 2 s, the second one from its first frame on, and one frame of the third
    assert s.outputs[0].frames == 24 + 24 + 1


def test_the_mean_rate_of_a_variable_input_is_recorded(ffmpeg: Path, phone: KnownVideo) -> None:
    media = look_at_source(str(phone.path), ffmpeg).media
    assert (media.frames, media.duration, media.fps) == (60, pytest.approx(1.4), pytest.approx(60 / 1.4))


@pytest.mark.parametrize(
    "fields",
    [
        {"sink": "null"},
        {"streams": 2},
        {"ladder": [RungSpec(resolution="64x48", crf=40), RungSpec(resolution="32x24", crf=40)], "crf": None},
        {"encoder": "libx265"},
        {"encoder": "libsvtav1", "preset": 13},
        {"encoder": "libvpx-vp9", "preset": 8},
    ],
    ids=["null", "streams", "ladder", "x265", "svt-av1", "vp9"],
)
def test_a_variable_rate_is_kept_by_every_way_of_encoding(
    fields: dict[str, Any], run_one: Callable[..., Scenario], phone: KnownVideo
) -> None:
    """1.4 s and five groups more: 85 frames of each output."""
    s = run_one(phone.path, media=1.4 + 5 * 14 / 120, **fields)
    assert s.error is None
    assert [o.frames for o in s.outputs] == [85] * len(s.outputs)
    assert all(o.duration == pytest.approx(1.9833, abs=0.04) for o in s.outputs)


def test_a_constant_rate_is_made_when_it_is_asked_for(
    run_one: Callable[..., Scenario], phone: KnownVideo
) -> None:
    s = run_one(phone.path, media=1.0, fps="30000/1001")
    times = _times_in(s.outputs[0].path)
    assert (s.fps, len(times)) == (pytest.approx(29.97003), 30)
    assert times == pytest.approx([n * 1001 / 30000 for n in range(30)], abs=1e-4)


def test_vvc_takes_a_variable_rate_only_with_a_constant_one_named(ffmpeg: Path, phone: KnownVideo) -> None:
    jobs = [_job(phone.path, encoder="libvvenc", preset=None, fps=fps) for fps in (None, 30)]
    problems = unsuitable(jobs, look_at_inputs(jobs, ffmpeg), ffmpeg)
    assert problems == {
        jobs[0].name: f"fps: libvvenc accepts only a constant frame rate, and that of {phone.path} varies: "
        "give fps"
    }


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize(("seconds", "frames"), [(0.5, 12), (1.0, 24), (2.5, 60)])
def test_a_video_that_begins_after_its_sound_is_encoded_from_its_first_picture(
    suffix: str, seconds: float, frames: int, run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """36 frames at 24 a second, 1.5 s after the sound."""
    video = make_video(ffmpeg, tmp_path / f"late{suffix}", range(0, 180, 5), sound_first_seconds=1.5)
    s = run_one(video.path, media=seconds)
    assert s.encode is not None
    assert s.encode.frames == frames


def test_beside_its_sound_a_late_video_gives_as_much(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    video = make_video(ffmpeg, tmp_path / "late.mp4", range(0, 180, 5), sound_first_seconds=0.5)
    s = run_one(video.path, media=1.0, audio="copy")
    assert s.outputs[0].frames == 24
    with av.open(s.outputs[0].path or "") as container:
        sound = container.streams.audio[0]
        assert sound.duration is not None
        assert sound.time_base is not None
        assert float(sound.duration * sound.time_base) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("seconds", [1.0, 1.015, 5.0])
def test_avi_with_reordered_frames_gives_as_much_video_as_is_asked_for(
    seconds: float, run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """AVI has no times: 40 frames at 30 a second, in a loop."""
    video = make_video(ffmpeg, tmp_path / "b.avi", range(0, 160, 4))
    s = run_one(video.path, media=seconds)
    assert s.encode is not None
    assert s.encode.frames == {1.0: 30, 1.015: 31, 5.0: 150}[seconds]


def test_a_stream_without_a_container_is_encoded_once(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """It cannot be read again from its start; its head says 120 frames a second, and it has 24."""
    make_video(ffmpeg, tmp_path / "a.mkv", range(0, 120, 5))
    raw = tmp_path / "a.h264"
    subprocess.run([ffmpeg, "-v", "error", "-i", tmp_path / "a.mkv", "-c", "copy", raw], check=True)
    assert not look_at_source(str(raw), ffmpeg).loops
    s = run_one(raw, media=30)
    assert (s.status, s.error) == ("failed", "the input has only 0.20 of 30 s of video")


def test_more_video_than_an_input_has_is_refused_where_it_cannot_be_read_twice(
    ffmpeg: Path, tmp_path: Path
) -> None:
    """A transport stream of one group of pictures, whose first picture a seek misses."""
    video = make_video(ffmpeg, tmp_path / "a.ts", range(0, 150, 5))
    job = _job(video.path, media=10)
    sources = look_at_inputs([job], ffmpeg)
    if sources[str(video.path)].loops:
        pytest.skip("this libavformat finds the first picture again")
    (problem,) = unsuitable([job], sources, ffmpeg).values()
    assert problem == f"media_duration: {video.path} lasts 1.25 s and cannot be read twice"


def test_an_input_without_key_frames_is_not_read_twice(ffmpeg: Path, tmp_path: Path) -> None:
    """Matroska cannot seek where its blocks of VC-2 are not marked as key frames."""
    path = tmp_path / "a.mkv"
    draw = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "5", "-pix_fmt", "yuv422p")
    subprocess.run([ffmpeg, "-v", "error", *draw, "-c:v", "vc2", path], check=True)
    source = look_at_source(str(path), ffmpeg)
    assert (source.media.frames, source.loops) == (5, False)


@pytest.mark.parametrize(("rotation", "size"), [(90, "48x64"), (180, "64x48"), (270, "48x64")])
def test_a_turned_picture_is_encoded_as_it_is_shown(
    rotation: int, size: str, run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    video = make_video(ffmpeg, tmp_path / "t.mp4", range(0, 60, 5), rotation=rotation)
    s = run_one(video.path, media=0.4)
    with av.open(s.outputs[0].path or "") as container:
        stream = container.streams.video[0]
        assert f"{stream.width}x{stream.height}" == s.resolution == s.outputs[0].resolution == size


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cover_is_not_the_video(
    suffix: str, run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    video = make_video(ffmpeg, tmp_path / f"c{suffix}", range(0, 60, 5), cover=True, sound_first_seconds=0.0)
    s = run_one(video.path, media=0.4)
    assert (s.resolution, s.outputs[0].frames) == ("64x48", 10)


def test_of_two_videos_the_first_is_taken(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """ffmpeg's own choice would be the larger one."""
    sources = [
        part for size in ("64x48", "128x96") for part in ("-f", "lavfi", "-i", f"testsrc2=s={size}:d=1")
    ]
    path = tmp_path / "two.mkv"
    subprocess.run(
        [ffmpeg, "-v", "error", *sources, "-map", "0:v", "-map", "1:v", "-c:v", "ffv1", path], check=True
    )
    s = run_one(path, media=0.4)
    assert (s.resolution, s.outputs[0].frames) == ("64x48", 10)


def test_a_url_in_place_of_a_path_is_said_without_its_password(ffmpeg: Path) -> None:
    with pytest.raises(InputError) as caught:
        look_at_source("rtsp://user:secret@camera/live", ffmpeg)
    assert str(caught.value) == "rtsp:/...: expected a file, found a URL: download it first"


def test_numbered_pictures_are_refused_by_name(ffmpeg: Path, tmp_path: Path) -> None:
    make_video(ffmpeg, tmp_path / "v.mp4", range(3))
    subprocess.run([ffmpeg, "-v", "error", "-i", tmp_path / "v.mp4", tmp_path / "%03d.png"], check=True)
    with pytest.raises(InputError, match=r"%03d\.png: expected one video file, found numbered pictures"):
        look_at_source(str(tmp_path / "%03d.png"), ffmpeg)


def test_a_colour_matrix_that_ffmpeg_does_not_scale_is_encoded_all_the_same(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """A recorder that tags BT.709 as YCgCo."""
    tag = ("-x264-params", "colormatrix=YCgCo")
    video = make_video(ffmpeg, tmp_path / "y.mp4", range(0, 60, 5), encode=(*ENCODE_IN_ORDER, *tag))
    s = run_one(video.path, media=0.4, resolution="32x32")
    assert (s.error, s.outputs[0].frames) == (None, 10)


def test_two_rates_joined_in_one_file_keep_their_times(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """Reported of HandBrake: 24 and 30 frames a second in two halves were evened out."""
    ticks = [*range(0, 120, 5), *range(120, 240, 4)]
    video = make_video(ffmpeg, tmp_path / "j.mkv", ticks, encode=("-c:v", "ffv1"))
    s = run_one(video.path, media=1.99)
    assert _times_in(s.outputs[0].path) == pytest.approx(video.times, abs=0.0011)


def test_a_screen_recording_of_ten_to_sixty_frames_is_not_sped_up(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """Reported of auto-editor: all frames were there, at the highest rate, and half the time was lost."""
    chance = random.Random(7)
    ticks = [0]
    while ticks[-1] < 360:
        ticks.append(ticks[-1] + chance.choice((2, 2, 5, 12)))
    video = make_video(ffmpeg, tmp_path / "screen.mp4", ticks)
    s = run_one(video.path, media=2.9)
    assert s.outputs[0].frames == video.frames_within(2.9)
    assert s.outputs[0].duration == pytest.approx(2.9, abs=0.05)


def test_pictures_left_out_of_an_avi_keep_their_time(
    run_one: Callable[..., Scenario], ffmpeg: Path, tmp_path: Path
) -> None:
    """Reported of capture programs: an empty chunk stands for a picture that was not captured in time."""
    video = make_video(
        ffmpeg,
        tmp_path / "n.mkv",
        [t for t in range(0, 150, 5) if t not in (20, 25)],
        encode=("-c:v", "mjpeg"),
    )
    path = tmp_path / "n.avi"
    subprocess.run([ffmpeg, "-v", "error", "-i", video.path, "-c", "copy", "-r", "24", path], check=True)
    s = run_one(path, media=1.25)
    assert s.outputs[0].frames == 28
    assert s.outputs[0].duration == pytest.approx(1.25, abs=0.05)


def _check_random(seed: int, ffmpeg: Path, folder: Path, run_one: Callable[..., Scenario]) -> None:
    chance = random.Random(seed)
    video = random_video(chance, ffmpeg, folder)
    even = all(side % 2 == 0 for side in video.size)
    # between two ticks, where no container's rounding reaches
    seconds = (chance.randint(13, int(video.times[-1] * GRID)) - 0.5) / GRID
    sink = chance.choice(("file", "null"))
    s = run_one(video.path, media=seconds, sink=sink, resolution=None if even else "64x48")
    what = (seed, video.described, seconds, s.error)
    assert s.input is not None, what
    assert (s.status, (s.input.width, s.input.height)) == ("ok", video.size), what
    assert s.outputs[0].frames == video.frames_within(seconds), what
    longest = max(b - a for a, b in zip(video.times, video.times[1:], strict=False))
    assert s.outputs[0].duration == pytest.approx(seconds, abs=longest + 0.005), what
    if sink == "file":
        times = _times_in(s.outputs[0].path)
        assert times == pytest.approx(video.times[: len(times)], abs=0.0021), what
        assert len(times) == s.outputs[0].frames, what


@pytest.mark.parametrize("seed", range(8))
def test_random_inputs_give_the_frames_and_times_they_were_made_of(
    seed: int, ffmpeg: Path, tmp_path: Path, run_one: Callable[..., Scenario]
) -> None:
    _check_random(seed, ffmpeg, tmp_path, run_one)


@pytest.mark.long
def test_three_hundred_random_inputs(ffmpeg: Path, tmp_path: Path, run_one: Callable[..., Scenario]) -> None:
    for seed in range(100, 400):
        _check_random(seed, ffmpeg, tmp_path, run_one)


def test_a_source_of_a_thousand_frames_a_second_is_one(ffmpeg: Path) -> None:
    """ffmpeg writes its rate as 1k."""
    media = look_at_source("lavfi:testsrc=s=64x48:r=1000", ffmpeg).media
    assert (media.width, media.height, media.fps) == (64, 48, 1000.0)
