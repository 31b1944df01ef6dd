"""What a probe says of a file, and how it refuses what is no whole video."""

from __future__ import annotations

import os
import subprocess
import threading
from fractions import Fraction
from pathlib import Path

import av
import pytest

from advisor.errors import InputError, MediaError
from advisor.quality.probe import Colour, intact_frames, probe, seen_through
from advisor.quality.settings import RawFormat
from advisor.video.ffmpeg import find_ffmpeg
from runner.source import look_at_file
from tests.support.boxes import add_to_the_sample_entry, clean_aperture, dolby_vision_5

pytestmark = pytest.mark.ffmpeg

_CLIP = ("-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=2")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p")


def ffmpeg(folder: Path, *arguments: str) -> None:
    subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments], cwd=folder, check=True)


def video(folder: Path, name: str, *arguments: str) -> Path:
    ffmpeg(folder, *_CLIP, *(arguments or _H264), name)
    return folder / name


def test_size_rate_and_frames_of_an_mp4(tmp_path: Path) -> None:
    found = probe(video(tmp_path, "a.mp4"))
    assert (found.width, found.height, found.depth, found.chroma) == (128, 72, 8, "420")
    assert (found.rate, found.frames, found.seconds) == (Fraction(25), 50, pytest.approx(2.0))
    assert (found.rgb, found.colour.range, found.colour.hdr) == (False, None, None)


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "30", "60000/1001"])
def test_the_rate_survives_matroska_s_milliseconds(tmp_path: Path, rate: str) -> None:
    ffmpeg(tmp_path, "-f", "lavfi", "-i", f"testsrc2=s=64x64:r={rate}:d=2", *_H264, "a.mkv")
    assert probe(tmp_path / "a.mkv").rate == Fraction(rate)


def test_a_rate_near_a_standard_one_is_not_that_one(tmp_path: Path) -> None:
    """-r 23.98 is 1199/50 frames a second: two and a half frames more in ten minutes than 24000/1001."""
    assert probe(video(tmp_path, "a.mp4", "-r", "23.98", *_H264)).rate == Fraction(1199, 50)


def test_dropped_frames_do_not_change_the_rate(tmp_path: Path) -> None:
    select = ("-vf", r"select=mod(n\,5)-2", "-fps_mode", "passthrough")
    found = probe(video(tmp_path, "a.mp4", *select, *_H264))
    assert (found.rate, found.frames) == (Fraction(25), 40)


def test_a_turned_phone_video_is_seen_upright(tmp_path: Path) -> None:
    video(tmp_path, "flat.mp4")
    ffmpeg(tmp_path, "-display_rotation", "90", "-i", "flat.mp4", "-c", "copy", "a.mp4")
    found = probe(tmp_path / "a.mp4")
    assert (found.width, found.height) == (72, 128)
    assert found.display_aspect == pytest.approx(72 / 128)


@pytest.mark.parametrize(
    ("rotation", "size"),
    [((), (96, 64)), (("-display_rotation", "90"), (64, 96))],
)
def test_the_picture_is_what_the_container_leaves_of_it(
    tmp_path: Path, rotation: tuple[str, ...], size: tuple[int, int]
) -> None:
    """ffmpeg cuts a clean aperture out before it turns the picture."""
    video(tmp_path, "whole.mp4")
    ffmpeg(tmp_path, *rotation, "-i", "whole.mp4", "-c", "copy", "a.mp4")
    add_to_the_sample_entry(tmp_path / "a.mp4", clean_aperture(96, 64))
    found = probe(tmp_path / "a.mp4")
    assert (found.width, found.height) == size
    assert found.display_aspect == pytest.approx(size[0] / size[1])


def test_dolby_vision_without_tags_is_hdr(tmp_path: Path) -> None:
    video(tmp_path, "a.mp4")
    add_to_the_sample_entry(tmp_path / "a.mp4", dolby_vision_5())
    assert probe(tmp_path / "a.mp4").colour.hdr == "PQ"


@pytest.mark.parametrize(
    "coder",
    [
        "-c:v mpeg2video -g 12 -bf 2 -sc_threshold 1000000000",
        "-c:v libx264 -preset ultrafast -x264-params open-gop=1:keyint=12:scenecut=0:bframes=3",
        "-c:v libx264 -preset ultrafast -x264-params intra-refresh=1:keyint=20:bframes=0",
        "-c:v libx265 -preset ultrafast -x265-params open-gop=1:keyint=12:bframes=3:log-level=none",
    ],
)
def test_a_capture_from_within_a_group_has_the_frames_that_can_be_shown(tmp_path: Path, coder: str) -> None:
    """As many, and from the same moment on, as ffmpeg decodes."""
    tables, ts = 3 * 188, tmp_path / "a.ts"
    whole = video(tmp_path, "whole.ts", "-pix_fmt", "yuv420p", *coder.split()).read_bytes()
    ts.write_bytes(whole[:tables] + whole[len(whole) // 188 // 3 * 188 :])
    decode = [find_ffmpeg(), "-v", "quiet", "-i", ts, "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    shown = subprocess.run(decode, check=True, capture_output=True, text=True).stdout.splitlines()
    media, source = probe(ts), look_at_file(str(ts))
    frames = sum(not line.startswith("#") for line in shown)
    assert (media.frames, len(media.times), len(source.times)) == (frames, frames, frames)
    assert (media.rate, source.media.fps, source.seconds) == (25, 25, pytest.approx(frames / 25))


@pytest.mark.parametrize("start", ["0.013", "3600"], ids=["back", "ahead"])
def test_joined_transport_streams_follow_each_other(tmp_path: Path, start: str) -> None:
    """Twice 50 frames at 25 a second; the second clock begins again, or an hour later."""
    one = video(tmp_path, "1.ts")
    other = video(tmp_path, "2.ts", *_H264, "-output_ts_offset", start)
    (tmp_path / "a.ts").write_bytes(one.read_bytes() + other.read_bytes())
    found = probe(tmp_path / "a.ts")
    assert (found.rate, found.frames, found.seconds) == (Fraction(25), 100, pytest.approx(4.0))


def test_a_picture_that_its_stream_cuts_at_the_left_has_the_size_that_is_left(tmp_path: Path) -> None:
    """HEVC of 480x270: 16 columns are cut off at the left and 8 at the right."""
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
    ffmpeg(tmp_path, "-f", "lavfi", "-i", "testsrc2=s=480x270", "-frames:v", "2", *x265, "whole.mp4")
    cut = ("-bsf:v", "hevc_metadata=crop_left=16:crop_right=8")
    ffmpeg(tmp_path, "-i", "whole.mp4", "-c", "copy", *cut, "a.mp4")
    found = probe(tmp_path / "a.mp4")
    assert (found.width, found.height, found.display_aspect) == (456, 270, pytest.approx(456 / 270))


def test_what_frames_say_to_last(tmp_path: Path) -> None:
    """Matroska has one duration for all, of 25 frames a second, however long they are shown."""
    times = ("-vf", "settb=1/1000,setpts=N*17", "-fps_mode", "passthrough", "-enc_time_base", "1/1000")
    for one in (video(tmp_path, "a.mkv", *times, "-c:v", "ffv1"), video(tmp_path, "a.mp4")):
        durations = probe(one).durations
        assert durations
        assert durations == pytest.approx([0.04] * len(durations))


@pytest.mark.parametrize(
    ("filters", "size", "aspect"),
    [
        ("yadif", (128, 72), 16 / 9),
        ("transpose", (72, 128), 9 / 16),
        ("hflip, transpose=2,transpose", (128, 72), 16 / 9),
        ("crop=iw-28:50:3:1", (100, 50), 2.0),
        ("crop=101:51", (100, 50), 2.0),  # 4:2:0 has even sides
        ("fps=10,pad=iw+16:ih+28:8:14,crop=72:50", (72, 50), 72 / 50),
    ],
)
def test_filters_leave_a_picture_of_another_size(
    tmp_path: Path, filters: str, size: tuple[int, int], aspect: float
) -> None:
    found = seen_through(probe(video(tmp_path, "a.mp4", *_H264)), filters)
    assert (found.width, found.height) == size
    assert found.display_aspect == pytest.approx(aspect)


def test_a_filter_that_does_not_fit_is_named(tmp_path: Path) -> None:
    message = r"reference_filter: ffmpeg refuses 'crop=900:50' for 128x72: "
    with pytest.raises(InputError, match=message):
        seen_through(probe(video(tmp_path, "a.mp4", *_H264)), "crop=900:50")


@pytest.mark.parametrize(
    ("pixels", "depth", "chroma", "rgb"),
    [
        ("yuv420p", 8, "420", False),
        ("yuv422p10le", 10, "422", False),
        ("yuv444p", 8, "444", False),
        ("yuv411p", 8, "422", False),
        ("gray", 8, "400", False),
        ("gbrp", 8, "444", True),
        ("pal8", 8, "444", True),
        ("yuv420p12le", 12, "420", False),
    ],
)
def test_depth_and_chroma(tmp_path: Path, pixels: str, depth: int, chroma: str, rgb: bool) -> None:
    found = probe(video(tmp_path, "a.nut", "-pix_fmt", pixels, "-c:v", "rawvideo"))
    assert (found.depth, found.chroma, found.rgb) == (depth, chroma, rgb)


def test_full_range_and_matrix(tmp_path: Path) -> None:
    tags = ("-color_range", "pc", "-colorspace", "smpte170m")
    found = probe(video(tmp_path, "a.mp4", "-vf", "scale=out_range=pc", *tags, *_H264))
    assert (found.colour.range, found.colour.matrix) == ("pc", "smpte170m")


def test_what_a_file_does_not_say_of_its_colours_is_unknown(tmp_path: Path) -> None:
    assert probe(video(tmp_path, "a.mp4")).colour == Colour()
    tags = "setparams=colorspace=bt709:color_primaries=bt470bg:color_trc=smpte170m"
    told = probe(video(tmp_path, "b.mp4", "-vf", tags, *_H264)).colour
    assert told == Colour(range="tv", matrix="bt709", primaries=5, transfer=6)


@pytest.mark.parametrize(
    "name",
    [
        "it's.mp4",
        "a, [b]; c=d.mp4",
        "line\nbreak.mp4",
        "-y.mp4",
        "concat:a|b.mp4",
        "http:x.mp4",
        "100%d.mp4",
        "ünï.mp4",
        "back\\slash:colon.mp4",
    ],
)
def test_any_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    video(tmp_path, "a.mp4").rename(tmp_path / name)
    assert probe(tmp_path / name).frames == 50


def test_a_relative_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video(tmp_path, "a.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe("a.mp4").frames == 50


def _refused(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert str(caught.value).startswith(str(path).split("\n")[0])
    return caught.value.problem


def test_what_is_no_file(tmp_path: Path) -> None:
    assert _refused(tmp_path / "none.mp4") == "no such file"
    assert _refused(tmp_path) == "expected a file"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert _refused(tmp_path / "a.mp4") == "the file is empty"


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", PLAYLIST),
        ("a.ffconcat", "ffconcat version 1.0\nfile '{}'\n"),
        ("a.concat", "ffconcat version 1.0\noption safe 0\nfile '{}'\n"),
        ("a.mpd", '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{}</BaseURL></Period></MPD>'),
        ("a.mp4", PLAYLIST),
        ("a.nfo", "some text\n" * 50),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_a_file_that_names_others_or_is_text_is_refused_and_opens_nothing(
    tmp_path: Path, name: str, text: str
) -> None:
    """The trap is a pipe: as soon as somebody opened it to read, it can be opened to write."""
    trap = tmp_path / "trap.ts"
    os.mkfifo(trap)
    (tmp_path / name).write_text(text.format(trap))
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(_refused(tmp_path / name)), daemon=True)
    reader.start()
    reader.join(60)
    with pytest.raises(OSError, match="No such device or address"):
        os.close(os.open(trap, os.O_WRONLY | os.O_NONBLOCK))
    assert said
    assert said[0].startswith("expected a video file")


def test_a_picture_of_a_gigabyte_in_a_hundred_bytes_is_refused(tmp_path: Path) -> None:
    """A GIF of one empty picture: header, screen of 12000x12000, two colours, image, end."""
    side = (12_000).to_bytes(2, "little")
    picture = b",\0\0\0\0" + side + side + b"\0" + b"\2\2\x44\1\0"
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + side + side + b"\x80\0\0" + bytes(6) + picture + b";")
    assert _refused(tmp_path / "a.gif") == "expected at most 8192x8192 pixels, found 12000x12000"


def test_bytes_that_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)) * 20)
    assert _refused(tmp_path / "a.mp4").startswith("expected a video file: Invalid data")


def test_sound_alone(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "-f", "lavfi", "-i", "sine", "-t", "1", "a.m4a")
    assert _refused(tmp_path / "a.m4a") == "expected a video stream, found audio streams only"


def test_a_record_sleeve_is_no_video(tmp_path: Path) -> None:
    """Cover art is a stream of one picture in an audio file."""
    sleeve = ("-f", "lavfi", "-i", "color=s=64x64:d=0.04", "-map", "0", "-map", "1", "-c:v", "mjpeg")
    ffmpeg(
        tmp_path, "-f", "lavfi", "-i", "sine", *sleeve, "-t", "1", "-disposition:v", "attached_pic", "a.mp3"
    )
    assert _refused(tmp_path / "a.mp3") == "expected a video stream, found audio streams only"


def test_films_are_counted_without_cover_art(tmp_path: Path) -> None:
    cover = ("-f", "lavfi", "-i", "color=s=64x64:d=0.04")
    small, large = video(tmp_path, "a.mp4"), video(tmp_path, "b.mp4", "-s", "320x180", *_H264)
    maps = ("-map", "0", "-map", "1", "-map", "2", "-c", "copy", "-c:v:2", "mjpeg")
    ffmpeg(
        tmp_path,
        *("-i", str(small), "-i", str(large), *cover, *maps, "-disposition:v:2", "attached_pic", "c.mp4"),
    )
    assert (probe(tmp_path / "c.mp4").films, probe(small).films) == (2, 1)


def _cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_an_mp4_without_its_index(tmp_path: Path) -> None:
    assert _refused(_cut(video(tmp_path, "a.mp4"), 0.6)).startswith("expected a video file")


def test_an_mp4_whose_end_is_missing(tmp_path: Path) -> None:
    path = video(tmp_path, "a.mp4", *_H264, "-movflags", "faststart")
    assert _refused(_cut(path, 0.6)).startswith("is cut off: ")


def test_a_matroska_file_whose_end_is_missing(tmp_path: Path) -> None:
    problem = _refused(_cut(video(tmp_path, "a.mkv"), 0.6))
    assert problem.startswith("is cut off: ")
    assert problem.endswith(" s) are there")


def test_a_start_offset_is_no_missing_end(tmp_path: Path) -> None:
    """Matroska declares when the video ends, not how long it is."""
    assert probe(video(tmp_path, "a.mkv", *_H264, "-output_ts_offset", "1.3")).frames == 50


def test_a_last_frame_that_is_held_is_no_missing_end(tmp_path: Path) -> None:
    """The track says 3 s, its last packet begins at 1 s and lasts for two: nothing lacks."""
    video(tmp_path, "a.mp4", *_H264, "-bf", "0", "-frames:v", "26")
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.duration = 1 if number < 25 else 50
            target.mux(packet)
    assert probe(tmp_path / "b.mp4").frames == 26


def test_a_duration_that_was_copied_from_another_file_is_no_missing_end(tmp_path: Path) -> None:
    """ffmpeg copies Matroska's DURATION of 2 s into a NUT file that holds one."""
    video(tmp_path, "a.mkv", "-c:v", "rawvideo")
    ffmpeg(tmp_path, "-i", "a.mkv", "-frames:v", "25", "-c:v", "rawvideo", "a.nut")
    assert probe(tmp_path / "a.nut").frames == 25


def test_intact_frames_are_those_before_the_first_that_was_guessed(tmp_path: Path) -> None:
    """Groups of 10 frames; transport packets in the second half are lost."""
    path = video(tmp_path, "a.ts", *_H264)
    assert intact_frames(probe(path)) == 50
    packets = path.read_bytes()
    count = len(packets) // 188
    lost = range(count // 2, count // 2 + 4)
    path.write_bytes(b"".join(packets[188 * n : 188 * n + 188] for n in range(count) if n not in lost))
    assert 15 < intact_frames(probe(path)) < 35


def test_a_loss_inside_a_key_frame_is_damage_and_a_joint_is_none(tmp_path: Path) -> None:
    """The third key frame is number 20; the decoder of HEVC says nothing of what it lacks."""
    keys = "log-level=none:keyint=10:min-keyint=10:scenecut=0"
    noise = ("-vf", "noise=alls=60:allf=t,format=yuv420p", "-qp", "10")
    x265 = (*noise, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", keys)
    whole = video(tmp_path, "whole.ts", *x265)
    packets = [whole.read_bytes()[at : at + 188] for at in range(0, whole.stat().st_size, 188)]
    with av.open(str(whole)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe][2] // 188
    lossy, joined = tmp_path / "lossy.ts", tmp_path / "joined.ts"
    lossy.write_bytes(b"".join(packets[: place + 5] + packets[place + 8 :]))
    joined.write_bytes(whole.read_bytes() * 2)
    assert 10 < intact_frames(probe(lossy)) <= 20
    assert intact_frames(probe(joined)) == 100


def test_fields_are_seen(tmp_path: Path) -> None:
    fields = ("-vf", "setfield=tff", *_H264, "-flags", "+ildct+ilme")
    assert probe(video(tmp_path, "a.mp4", *fields)).interlaced
    assert not probe(video(tmp_path, "b.mp4")).interlaced


def test_raw_samples_are_what_the_user_says(tmp_path: Path) -> None:
    """128x72 in 4:2:0: 13 824 bytes a frame."""
    path = video(tmp_path, "a.yuv", "-pix_fmt", "yuv420p")
    found = probe(path, RawFormat(size=(128, 72), rate="30000/1001"))
    assert (found.frames, found.rate, found.width) == (50, Fraction(30000, 1001), 128)
    with pytest.raises(MediaError, match="raw samples need a size"):
        probe(path)
    with pytest.raises(MediaError, match=r"expected whole frames of 12096 bytes \(112x72, yuv420p\)"):
        probe(path, RawFormat(size=(112, 72)))
    with pytest.raises(MediaError, match="ffmpeg has no pixel format 'yuv421'"):
        probe(path, RawFormat(size=(128, 72), pixel_format="yuv421"))


def test_numbered_pictures_are_a_video_of_the_rate_that_the_user_says(tmp_path: Path) -> None:
    ffmpeg(tmp_path, *_CLIP, "-frames:v", "5", "-start_number", "7", "p%03d.png")
    pattern = tmp_path / "p%03d.png"
    found = probe(pattern, RawFormat(rate="50"))
    assert (found.frames, found.rate, found.rgb) == (5, Fraction(50), True)
    (tmp_path / "p009.png").unlink()
    with pytest.raises(MediaError, match="numbered without a gap, 9 is missing"):
        probe(pattern)
    with pytest.raises(MediaError, match="no picture has such a name"):
        probe(tmp_path / "q%03d.png")


def test_a_url_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="expected a file, found a URL"):
        probe("https://example.org/a.mp4")
