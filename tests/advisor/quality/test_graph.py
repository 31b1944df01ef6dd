"""What is decided from two probes, as plan and as text for ffmpeg."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from msgspec.structs import replace

from advisor.errors import InputError, MediaError
from advisor.quality.graph import filter_graph, plan, seconds_compared
from advisor.quality.probe import Media
from advisor.quality.settings import QualitySettings

HD = Media(
    path="r.mkv",
    width=1920,
    height=1080,
    depth=8,
    chroma="420",
    rgb=False,
    full_range=False,
    matrix="bt709",
    hdr=None,
    display_aspect=16 / 9,
    rate=Fraction(25),
    frames=250,
    seconds=10.0,
    bitrate=5e6,
)


def media(**changes: Any) -> Media:
    return replace(HD, **changes)


def graph(reference: Media, distorted: Media, **settings: Any) -> str:
    return filter_graph(plan(reference, distorted, QualitySettings(**settings)), threads=3)


def test_the_distorted_stream_is_scaled_to_the_reference_by_bicubic() -> None:
    text = graph(HD, media(width=640, height=360))
    assert text.startswith("[0:V:0]setpts=PTS-STARTPTS,scale=1920:1080:flags=bicubic,format=yuv420p,")
    assert text.count("flags=bicubic") == 1


def test_every_comparison_is_by_the_nearest_time_and_ends_with_the_shorter() -> None:
    text = graph(HD, HD, xpsnr=True)
    # psnr, ssim, xpsnr, libvmaf and the probe's three in each of four windows
    assert text.count("ts_sync_mode=nearest") == 4 + 3 * 4
    assert text.count("shortest=1:repeatlast=0") == 4 + 3 * 4


def test_no_path_is_part_of_the_graph() -> None:
    odd = "/tmp/it's [a], file: 'x'.mkv"
    assert "tmp" not in graph(media(path=odd), media(path=odd))


def test_another_rate_puts_the_same_filter_on_the_reference_only() -> None:
    text = graph(HD, media(rate=Fraction(30000, 1001), frames=300))
    assert text.count("fps=30000/1001") == 1
    assert "[whole]fps=30000/1001," in text
    assert "[p0_paired][rf0s]psnr" in text


def test_as_many_frames_at_another_rate_are_paired_by_their_number() -> None:
    """25 fps played at 23.976, for instance."""
    text = graph(HD, media(rate=Fraction(24000, 1001), seconds=250 * 1001 / 24000))
    assert text.count("setpts=N/(25)/TB") == 2


def test_rates_that_differ_by_a_thousandth_are_paired_by_time_when_the_counts_differ() -> None:
    decided = plan(
        media(rate=Fraction(30000, 1001), frames=3000, seconds=100.1),
        media(rate=Fraction(30), frames=3003, seconds=100.1),
        QualitySettings(),
    )
    assert (decided.pairing, decided.rate) == ("time", Fraction(30000, 1001))


def test_a_stream_without_times_is_paired_by_number() -> None:
    assert plan(HD, media(rate=None, seconds=0.0), QualitySettings()).pairing == "index"


def test_the_output_s_one_frame_too_many_is_left_out() -> None:
    decided = plan(HD, media(frames=251, seconds=10.04), QualitySettings())
    assert decided.frames_limit == 250
    assert "trim=end_frame=250" in filter_graph(decided, threads=1)


@pytest.mark.parametrize(
    ("size", "codec_comparison", "model"),
    [
        ((2560, 1440), False, "vmaf_v0.6.1"),
        ((3840, 2160), False, "vmaf_4k_v0.6.1"),
        ((3840, 1600), False, "vmaf_4k_v0.6.1"),
        ((1080, 1920), False, "vmaf_v0.6.1"),
        ((1920, 1080), True, "vmaf_v0.6.1neg"),
        ((3840, 2160), True, "vmaf_4k_v0.6.1neg"),
    ],
)
def test_the_model_follows_from_the_lines_compared(
    size: tuple[int, int], codec_comparison: bool, model: str
) -> None:
    reference = media(width=size[0], height=size[1])
    decided = plan(
        reference, media(width=640, height=360), QualitySettings(codec_comparison=codec_comparison)
    )
    assert decided.models == (model,)


def test_several_models_share_one_pass() -> None:
    text = graph(HD, HD, model="hd", extra_models=("neg", "phone"))
    assert text.count("libvmaf=") == 1
    assert (
        r"model='version=vmaf_v0.6.1\:name=m0|version=vmaf_v0.6.1neg\:name=m1|"
        r"version=vmaf_v0.6.1\:name=m2\:enable_transform=true'" in text
    )


@pytest.mark.parametrize(
    ("model", "size", "fits"),
    [
        ("v1", (320, 180), True),
        ("v1", (318, 180), False),
        ("v1", (180, 320), True),
        ("v1", (192, 108), False),
        ("vmaf_v1.0.16_5d0h", (426, 240), False),
        ("vmaf_v1.0.16_5d0h", (480, 270), True),
        ("hd", (64, 64), True),
    ],
)
def test_a_model_that_small_pictures_crash_is_refused(model: str, size: tuple[int, int], fits: bool) -> None:
    reference = media(width=size[0], height=size[1])
    if fits:
        plan(reference, reference, QualitySettings(model=model))
    else:
        with pytest.raises(MediaError, match="needs at least"):
            plan(reference, reference, QualitySettings(model=model))


@pytest.mark.parametrize("hdr", ["PQ", "HLG"])
def test_hdr_is_refused_on_either_side(hdr: str) -> None:
    for pair in ((media(hdr=hdr), HD), (HD, media(hdr=hdr))):
        with pytest.raises(MediaError, match=rf"is HDR \({hdr}\), for which there is no public VMAF model"):
            plan(*pair, QualitySettings())


@pytest.mark.parametrize(
    ("reference", "distorted", "pixels"),
    [
        ((8, "420"), (8, "420"), "yuv420p"),
        ((10, "420"), (8, "420"), "yuv420p10le"),
        ((8, "422"), (10, "420"), "yuv422p10le"),
        ((8, "444"), (8, "420"), "yuv444p"),
        ((12, "420"), (16, "420"), "yuv420p12le"),
        ((9, "420"), (8, "420"), "yuv420p10le"),
    ],
)
def test_samples_are_compared_in_the_reference_s_chroma_and_the_deeper_bits(
    reference: tuple[int, str], distorted: tuple[int, str], pixels: str
) -> None:
    decided = plan(
        media(depth=reference[0], chroma=reference[1]),
        media(depth=distorted[0], chroma=distorted[1]),
        QualitySettings(),
    )
    assert decided.pixel_format == pixels


def test_ranges_that_differ_are_brought_to_the_reference_s() -> None:
    assert ":in_range=pc:out_range=tv" in graph(HD, media(full_range=True))
    assert ":in_range=tv:out_range=pc" in graph(media(full_range=True), HD)
    assert "range=" not in graph(media(full_range=True), media(full_range=True))


def test_matrices_are_converted_only_when_both_are_known_and_differ() -> None:
    assert ":in_color_matrix=smpte170m:out_color_matrix=bt709" in graph(HD, media(matrix="smpte170m"))
    assert "matrix" not in graph(HD, media(matrix=None))
    assert "matrix" not in graph(media(matrix=None), HD)


def test_the_probe_looks_at_the_first_second_the_thirds_and_the_end() -> None:
    windows = plan(HD, HD, QualitySettings()).windows
    assert windows[0] == pytest.approx((0.06, 1.0))
    assert [round(begin, 2) for begin, _ in windows[1:]] == [3.33, 6.67, 9.4]
    assert windows[-1][1] == pytest.approx(9.9)


def test_a_video_of_a_few_frames_is_not_probed() -> None:
    few = media(frames=3, seconds=0.12)
    assert plan(few, few, QualitySettings()).windows == ()
    assert "nullsink" not in graph(few, few)


def test_seconds_compared_of_loops_and_starts() -> None:
    long = media(seconds=35.0, frames=875)
    assert seconds_compared(HD, long, QualitySettings()) == 10.0
    assert seconds_compared(HD, long, QualitySettings(reference_loops=2)) == 30.0
    assert seconds_compared(HD, long, QualitySettings(reference_loops=-1)) == 35.0
    assert seconds_compared(HD, long, QualitySettings(reference_start=4.0)) == 6.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subsample": 4}, "subsample: expected an odd number from 1 up, found 4"),
        ({"subsample": 0}, "subsample: expected an odd number"),
        ({"model": "best"}, "model: expected one of hd, 4k, neg, phone, v1, .*found 'best'"),
        ({"extra_models": ("x",)}, "model: expected one of"),
        ({"reference_loops": -2}, "reference_loops: expected -1 or more, found -2"),
        ({"reference_start": -1.0}, "reference_start: expected seconds from 0 up"),
        ({"reference_start": 1.0, "reference_loops": 1}, "reference_start: cannot be combined"),
        ({"model": "hd", "codec_comparison": True}, "codec_comparison: it chooses the model itself"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(HD, HD, QualitySettings(**settings))
