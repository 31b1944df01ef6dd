"""What a probe says of a file, and how it refuses what is no whole video."""

from __future__ import annotations

import os
import subprocess
import threading
from fractions import Fraction
from pathlib import Path

import pytest

from advisor.errors import MediaError
from advisor.quality.probe import count_frames, probe
from advisor.video.ffmpeg import find_ffmpeg

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
    assert (found.full_range, found.rgb, found.hdr) == (False, False, None)


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "30", "60000/1001"])
def test_the_rate_survives_matroska_s_milliseconds(tmp_path: Path, rate: str) -> None:
    ffmpeg(tmp_path, "-f", "lavfi", "-i", f"testsrc2=s=64x64:r={rate}:d=2", *_H264, "a.mkv")
    assert probe(tmp_path / "a.mkv").rate == Fraction(rate)


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
    ("pixels", "depth", "chroma", "rgb"),
    [
        ("yuv420p", 8, "420", False),
        ("yuv422p10le", 10, "422", False),
        ("yuv444p", 8, "444", False),
        ("yuv411p", 8, "422", False),
        ("gray", 8, "420", False),
        ("gbrp", 8, "444", True),
        ("yuv420p12le", 12, "420", False),
    ],
)
def test_depth_and_chroma(tmp_path: Path, pixels: str, depth: int, chroma: str, rgb: bool) -> None:
    found = probe(video(tmp_path, "a.mkv", "-pix_fmt", pixels, "-c:v", "ffv1"))
    assert (found.depth, found.chroma, found.rgb) == (depth, chroma, rgb)


def test_full_range_and_matrix(tmp_path: Path) -> None:
    tags = ("-color_range", "pc", "-colorspace", "smpte170m")
    found = probe(video(tmp_path, "a.mp4", "-vf", "scale=out_range=pc", *tags, *_H264))
    assert found.full_range
    assert found.matrix == "smpte170m"


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
    reader.join(20)
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


def _cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_an_mp4_without_its_index(tmp_path: Path) -> None:
    assert _refused(_cut(video(tmp_path, "a.mp4"), 0.6)).startswith("expected a video file")


def test_an_mp4_whose_end_is_missing(tmp_path: Path) -> None:
    path = video(tmp_path, "a.mp4", *_H264, "-movflags", "faststart")
    assert _refused(_cut(path, 0.6)).startswith("is damaged or cut off after ")


def test_a_matroska_file_whose_end_is_missing(tmp_path: Path) -> None:
    """It declares 2 s and holds about half of it."""
    problem = _refused(_cut(video(tmp_path, "a.mkv"), 0.6))
    assert problem.startswith("is cut off: ")
    assert problem.endswith(" of 2.00 s are there")


def test_a_start_offset_is_no_missing_end(tmp_path: Path) -> None:
    """Matroska declares when the video ends, not how long it is."""
    assert probe(video(tmp_path, "a.mkv", *_H264, "-output_ts_offset", "1.3")).frames == 50


def test_counting_by_decoding_agrees_with_the_packets(tmp_path: Path) -> None:
    path = video(tmp_path, "a.mp4")
    assert count_frames(path) == probe(path).frames == 50


def test_counting_says_which_file_is_damaged(tmp_path: Path) -> None:
    path = video(tmp_path, "a.mkv", "-c:v", "ffv1", "-level", "3", "-slicecrc", "1")
    path.write_bytes(b"")
    with pytest.raises(MediaError, match=r"a\.mkv: the file is empty"):
        count_frames(path)
