"""The encoder table: its scales, and what ffmpeg itself says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.errors import FfmpegError
from advisor.video.encoders import ALIASES, ENCODERS, Encoder, effort, quality_level
from advisor.video.ffmpeg import capabilities, find_ffmpeg, run_text

ENDS = {
    "libx264": ("ultrafast", "placebo"),
    "libx265": ("ultrafast", "placebo"),
    "libsvtav1": ("13", "0"),
    "libvpx-vp9": ("8", "0"),
    "libaom-av1": ("8", "0"),
    "libvvenc": ("faster", "slower"),
    **{f"{codec}_nvenc": ("p1", "p7") for codec in ("h264", "hevc", "av1")},
    **{f"{codec}_qsv": ("veryfast", "veryslow") for codec in ("h264", "hevc", "av1", "vp9")},
    **{f"{codec}_vaapi": ("7", "1") for codec in ("h264", "hevc", "av1", "vp9")},
}
"""The fastest and the slowest preset of each encoder, from its manual."""


@pytest.mark.parametrize("encoder", ENCODERS)
def test_effort_is_1_for_the_fastest_preset_and_0_for_the_slowest(encoder: str) -> None:
    assert encoder in ENDS, f"its fastest and slowest preset, in ENDS of {Path(__file__).name}"
    fastest, slowest = ENDS[encoder]
    assert (effort(encoder, fastest), effort(encoder, slowest)) == (1.0, 0.0)


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=lambda encoder: encoder.name)
def test_only_the_list_of_parameters_is_given_twice(encoder: Encoder) -> None:
    """Of any other option given twice ffmpeg heeds the last, and the first is lost without a word."""
    common = [*encoder.preset, *encoder.fixed, *encoder.threads]
    for rate in (encoder.bitrate, encoder.constant_quality):
        for pace in (encoder.live, encoder.offline):
            names = [*common, *rate, *pace][::2]
            assert {name for name in names if names.count(name) > 1} <= {encoder.parameters}


@pytest.mark.parametrize(
    ("encoder", "preset", "expected"),
    [
        ("libx265", "medium", 4 / 9),
        ("libsvtav1", "8", 8 / 13),
        ("libvvenc", "medium", 0.5),
        ("h264_qsv", "medium", 0.5),
        ("h264_vaapi", "4", 0.5),
        ("h264_nvenc", "p4", 0.5),
        ("libvpx", "16", 1.0),
        ("libvpx-vp9", "medium", 4 / 9),
        ("libsvtav1", "99", None),
        ("libx264", "warp", None),
        ("libx264", None, None),
        (None, "medium", None),
    ],
)
def test_effort_is_the_position_on_the_encoders_own_scale(
    encoder: str | None, preset: str | None, expected: float | None
) -> None:
    assert effort(encoder, preset) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("encoder", [*ENCODERS, "librav1e", "unheard-of"])
@pytest.mark.parametrize("crf", [-3.0, 0.0, 1.0, 30.0, 51.0, 63.0, 255.0, 1e9])
def test_a_quality_level_is_between_0_and_1(encoder: str, crf: float) -> None:
    assert 0.0 <= quality_level(encoder, crf) <= 1.0


def test_a_quality_level_is_the_position_on_the_encoders_own_scale() -> None:
    assert (
        quality_level("libx264", 51) == quality_level("libvvenc", 63) == quality_level("vp9_vaapi", 255) == 1
    )
    assert quality_level("libx264", 25.5) == 0.5


def test_every_default_preset_is_on_its_scale() -> None:
    assert [e.name for e in ENCODERS.values() if e.default_preset not in e.presets] == []


def test_a_format_stands_for_a_software_encoder() -> None:
    assert {ENCODERS[name].kind for name in ALIASES.values()} == {"cpu"}


@pytest.mark.ffmpeg
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=lambda encoder: encoder.name)
def test_ffmpeg_lists_the_same_ends_of_the_scale(encoder: Encoder) -> None:
    """Named presets in ffmpeg's own order, whole numbers by their range; x264's and x265's are in no list."""
    try:
        ffmpeg: Path = find_ffmpeg()
    except FfmpegError as exc:
        pytest.skip(str(exc))
    option = encoder.preset[0]
    if encoder.name not in capabilities(ffmpeg).encoders or encoder.presets[0] == "ultrafast":
        pytest.skip("this ffmpeg does not tell")
    text = run_text(ffmpeg, ["-hide_banner", "-h", f"encoder={encoder.name}"])
    if option not in text:
        pytest.skip(f"{option} is a general option, whose range is the driver's")
    block = re.search(rf"^  {option} .*\n((?:     \S.*\n)*)", text, re.MULTILINE)
    assert block is not None
    listed = [line.split()[0] for line in block[1].splitlines()]
    if encoder.presets[0].isdigit():
        top = re.search(r"from -?\d+ to (\d+)", block[0])
        assert top is not None
        assert encoder.presets[0] == top[1]
    else:
        ours = [word for word in listed if word in encoder.presets]
        assert tuple(ours) in (encoder.presets, encoder.presets[::-1])
