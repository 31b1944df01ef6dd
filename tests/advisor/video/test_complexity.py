"""Content of pictures whose spatial and temporal information can be worked out by hand."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from advisor.errors import FfmpegError
from advisor.video.complexity import ContentCache, measure_content
from advisor.video.ffmpeg import Capabilities, capabilities, find_ffmpeg, run

pytestmark = pytest.mark.ffmpeg

FFMPEG = find_ffmpeg()
ABLE = capabilities(FFMPEG)


def _drawn(path: Path, source: str, frames: int = 20) -> Path:
    """A lossless video of 640x360 at 25 frames a second."""
    graph = f"{source},format=yuv420p"
    arguments = ["-f", "lavfi", "-i", graph, "-frames:v", str(frames)]
    coder = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"]
    subprocess.run([FFMPEG, "-v", "error", "-y", *arguments, *coder, path], check=True)
    return path


def _halves(swapping: str) -> str:
    """Black and white halves of the picture, in limited range."""
    return f"nullsrc=s=640x360:r=25,geq=lum='if({swapping},16,235)':cb=128:cr=128"


def test_an_edge_from_black_to_white_has_the_spatial_information_of_its_two_columns(tmp_path: Path) -> None:
    """Sobel finds 4 * 255 in 2 of 638 inner columns: the deviation is 1020 sqrt(p (1 - p)), p = 2 / 638."""
    found = measure_content(_drawn(tmp_path / "v.mp4", _halves("lt(X,320)")), FFMPEG, ABLE)
    assert found["spatial_information"] == pytest.approx(57.02, rel=1e-3)
    assert found["temporal_information"] == 0
    assert 0 < found["probe_bits_per_pixel"] < 0.05


def test_halves_that_change_places_have_the_temporal_information_of_the_change(tmp_path: Path) -> None:
    """Every frame but the first differs by 255 up in one half and 255 down in the other."""
    swap = "mod(lt(X,320)+N,2)"
    found = measure_content(_drawn(tmp_path / "v.mp4", _halves(swap)), FFMPEG, ABLE)
    assert found["temporal_information"] == pytest.approx(255 * 19 / 20)


def test_a_small_picture_may_have_odd_sides(tmp_path: Path) -> None:
    """x264 takes none in 4:2:0; the file has full colours."""
    path = tmp_path / "v.mkv"
    drawing = ["-f", "lavfi", "-i", "testsrc2=s=321x181:r=25:d=0.2", "-c:v", "ffv1"]
    subprocess.run([FFMPEG, "-v", "error", *drawing, path], check=True)
    assert measure_content(path, FFMPEG, ABLE)["probe_bits_per_pixel"] > 0


def test_noise_is_harder_than_a_drawing_and_a_drawing_than_grey(tmp_path: Path) -> None:
    sources = {
        "grey": "color=gray:s=640x360:r=25",
        "drawing": "testsrc2=s=640x360:r=25",
        "noise": "nullsrc=s=640x360:r=25,geq=random(1)*255:128:128",
    }
    bits = [
        measure_content(_drawn(tmp_path / f"{name}.mp4", source), FFMPEG, ABLE)["probe_bits_per_pixel"]
        for name, source in sources.items()
    ]
    assert bits == sorted(bits)
    assert bits[0] < 0.01
    assert bits[2] > 1


def test_an_ffmpeg_without_the_filter_or_the_encoder_tells_less(tmp_path: Path) -> None:
    video = _drawn(tmp_path / "v.mp4", "testsrc2=s=640x360:r=25")
    plain = Capabilities(version="9", encoders=frozenset(), filters=ABLE.filters)
    assert set(measure_content(video, FFMPEG, plain)) == {"spatial_information", "temporal_information"}
    bare = Capabilities(version="4", encoders=ABLE.encoders, filters=frozenset())
    assert measure_content(video, FFMPEG, bare) == {}


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_text("no video")
    with pytest.raises(FfmpegError, match=r"v\.mp4: its content cannot be measured: "):
        measure_content(tmp_path / "v.mp4", FFMPEG, ABLE)


def test_an_ffmpeg_that_floods_is_read_to_its_end_and_not_kept(tmp_path: Path) -> None:
    """40 MB on either pipe between its first and its last line."""
    program = tmp_path / "ffmpeg"
    flood = "head -c 40000000 /dev/zero | tr '\\0' '\\n'"
    program.write_text(f"#!/bin/sh\necho first >&2\n{flood}\n{flood} >&2\necho last >&2\n")
    program.chmod(0o755)
    printed, said = run(program, [], timeout_seconds=60)
    assert (len(printed), said.split()) == (2 << 20, ["first", "last"])
    assert len(said) == 2 << 20


def test_a_video_is_measured_once_until_it_changes(tmp_path: Path) -> None:
    video, kept = _drawn(tmp_path / "v.mp4", "color=gray:s=640x360:r=25"), tmp_path / "content.json"
    first = ContentCache(kept).measure(video, FFMPEG, ABLE)
    # an ffmpeg that cannot be run shows that none was
    assert ContentCache(kept).measure(video, Path("/nowhere"), ABLE) == first
    assert list(json.loads(kept.read_text()).values()) == [first]
    _drawn(video, "testsrc2=s=640x360:r=25")
    assert ContentCache(kept).measure(video, FFMPEG, ABLE) != first


def test_what_an_ffmpeg_without_the_encoder_left_out_is_measured_by_one_that_has_it(tmp_path: Path) -> None:
    video, kept = _drawn(tmp_path / "v.mp4", "testsrc2=s=640x360:r=25"), tmp_path / "content.json"
    without = structs.replace(ABLE, encoders=ABLE.encoders - {"libx264"})
    assert "probe_bits_per_pixel" not in ContentCache(kept).measure(video, FFMPEG, without)
    assert "probe_bits_per_pixel" in ContentCache(kept).measure(video, FFMPEG, ABLE)


def test_a_damaged_cache_and_one_that_cannot_be_written_only_cost_time(tmp_path: Path) -> None:
    video = _drawn(tmp_path / "v.mp4", "color=gray:s=640x360:r=25")
    (tmp_path / "kept").write_text("{broken")
    found = ContentCache(tmp_path / "kept").measure(video, FFMPEG, ABLE)
    assert ContentCache(tmp_path / "kept" / "below").measure(video, FFMPEG, ABLE) == found
    assert ContentCache(tmp_path / "kept").measure(video, Path("/nowhere"), ABLE) == found
