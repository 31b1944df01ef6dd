"""What is decided from two probes, as plan and as text for ffmpeg."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from advisor.errors import InputError, MediaError
from advisor.quality.crop import Crop
from advisor.quality.graph import Comparison, Plan, filter_graph, partner_times, plan
from advisor.quality.pairing import Pairing
from advisor.quality.probe import Colour, Media
from advisor.quality.settings import Area, QualitySettings, RawFormat

HD = Media(
    path="r.mkv",
    width=1920,
    height=1080,
    depth=8,
    chroma="420",
    rgb=False,
    colour=Colour(range="tv", matrix="bt709"),
    display_aspect=16 / 9,
    rate=Fraction(25),
    frames=250,
    seconds=10.0,
    bitrate=5e6,
)


def media(**changes: Any) -> Media:
    return replace(HD, **changes)


def coloured(**changes: Any) -> Media:
    return media(colour=Colour(**changes))


def decided(reference: Media, output: Media, crop: Crop = Crop(), **settings: Any) -> Plan:  # noqa: B008
    return plan(reference, output, QualitySettings(**settings), crop)


def graph(*plans: Plan) -> str:
    pairing = Pairing("index", 0, np.arange(250))
    comparisons = [Comparison(one, pairing) for one in plans]
    return filter_graph(comparisons, threads=3, before="", reference_frames=None)


def test_the_output_is_scaled_to_the_reference_by_bicubic() -> None:
    assert "scale=1920:1080:flags=bicubic," in decided(HD, media(width=640, height=360)).output_filters


def test_no_path_is_part_of_the_graph() -> None:
    odd = media(path="/tmp/it's [a], file: 'x'.mkv")
    assert "tmp" not in graph(decided(odd, odd))


def test_one_decoded_reference_serves_every_output() -> None:
    text = graph(decided(HD, HD), decided(HD, media(width=640, height=360)), decided(HD, HD))
    assert text.count("[0:V:0]") == 1
    assert [text.count(f"[{n}:V:0]") for n in (1, 2, 3)] == [1, 1, 1]
    assert text.count("libvmaf=") == 3


def _shown(partners: np.ndarray) -> list[int]:
    """Which frame of the reference the filters meet at each slot: the last one that is not later."""
    expression = partner_times(partners)
    times = [_evaluated(expression, number) for number in range(int(partners[-1] - partners[0]) + 1)]
    assert all(a < b for a, b in itertools.pairwise(times))
    slots = [n << 20 for n in range(len(partners))]
    return [int(partners[0]) + max(k for k, time in enumerate(times) if time <= slot) for slot in slots]


def _evaluated(expression: str, number: int) -> float:
    names = {
        "floor": np.floor,
        "lt": lambda a, b: a < b,
        "when": lambda condition, yes, no: yes if condition else no,
        "N": number,
    }
    return float(eval(expression.replace("if(", "when("), {"__builtins__": {}}, names))  # noqa: S307


@pytest.mark.parametrize(
    "partners",
    [
        pytest.param(list(range(7, 60)), id="one by one, from the seventh on"),
        pytest.param(list(range(0, 100, 2)), id="every second"),
        pytest.param([n * 4 // 5 for n in range(100)], id="five of four"),
        pytest.param([n * 5 // 4 for n in range(100)], id="four of five"),
        pytest.param([*range(20), *[19] * 100, *range(20, 60)], id="a gap that is filled"),
        pytest.param([*range(20), *range(500, 520)], id="a part left out"),
        pytest.param(sorted(np.random.default_rng(1).integers(0, 400, 300).tolist()), id="by chance"),
        pytest.param([5], id="one frame"),
    ],
)
def test_every_frame_meets_its_partner(partners: list[int]) -> None:
    assert _shown(np.array(partners)) == partners


def test_the_filters_tell_two_ticks_apart() -> None:
    """They round times to half a microsecond at the finest (AV_TIME_BASE / 2 in ffmpeg's framesync)."""
    bases = re.findall(r"\[[es]0\].*settb=1/(\d+)", graph(decided(HD, HD)))
    assert len(bases) == 2
    assert all(int(base) <= 500_000 for base in bases)


def test_an_even_pairing_is_one_straight_line() -> None:
    """However long: the text for ffmpeg does not grow with the video."""
    assert len(partner_times(np.arange(100_000))) < 50
    assert len(partner_times(np.arange(0, 100_000, 2))) < 50
    assert len(partner_times(np.arange(100_000) * 4 // 5)) < 50


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
    output = media(width=640, height=360)
    assert decided(reference, output, codec_comparison=codec_comparison).models == (model,)


def test_several_models_and_metrics_share_one_pass() -> None:
    text = graph(decided(HD, HD, model="hd", extra_models=("neg", "phone"), metrics=("vif", "cambi")))
    assert text.count("libvmaf=") == 1
    assert (
        r"model='version=vmaf_v0.6.1\:name=m0|version=vmaf_v0.6.1neg\:name=m1|"
        r"version=vmaf_v0.6.1\:name=m2\:enable_transform=true'" in text
    )
    assert r"feature='name=float_vif\:debug=true|name=cambi'" in text


@pytest.mark.parametrize(
    ("model", "size", "fits"),
    [
        ("v1", (320, 180), True),
        ("v1", (318, 180), False),
        ("v1", (180, 320), True),
        ("v1", (192, 108), False),
        ("vmaf_v1.0.16_5d0h", (426, 240), False),
        ("vmaf_v1.0.16_5d0h", (480, 270), True),
        ("hd", (64, 17), True),
        ("hd", (64, 16), False),
    ],
)
def test_a_model_that_small_pictures_crash_is_refused(model: str, size: tuple[int, int], fits: bool) -> None:
    reference = media(width=size[0], height=size[1])
    if fits:
        assert decided(reference, reference, model=model).models
    else:
        with pytest.raises(MediaError, match="needs at least"):
            decided(reference, reference, model=model)


def test_small_pictures_have_no_vmaf_where_no_model_was_asked_for() -> None:
    small = decided(media(width=64, height=16), HD)
    assert (small.models, small.lacks_vmaf) == ((), "vmaf_v0.6.1 needs at least 17x17, found 64x16")
    assert "libvmaf" not in graph(small)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_has_no_vmaf_and_what_is_untagged_beside_it_is_hdr_too(transfer: int, name: str) -> None:
    hdr = coloured(transfer=transfer)
    for pair in ((hdr, hdr), (hdr, coloured()), (coloured(), hdr)):
        one = decided(*pair)
        assert (one.models, one.lacks_vmaf) == ((), f"there is no public model for HDR ({name})")
    with pytest.raises(MediaError, match=f"the reference is {name} and the output is not HDR"):
        decided(hdr, coloured(transfer=1))
    # an output whose matrix is another was brought to SDR, though it has no tag for its transfer
    with pytest.raises(MediaError, match=f"the reference is {name} and the output is not HDR"):
        decided(coloured(transfer=transfer, matrix="bt2020nc"), coloured(matrix="bt709"))


@pytest.mark.parametrize(
    ("reference", "output", "pixels"),
    [
        ((8, "420"), (8, "420"), "yuv420p"),
        ((10, "420"), (8, "420"), "yuv420p10le"),
        ((8, "422"), (10, "420"), "yuv422p10le"),
        ((8, "444"), (8, "420"), "yuv444p"),
        ((12, "420"), (16, "420"), "yuv420p12le"),
        ((9, "420"), (8, "420"), "yuv420p10le"),
        ((8, "400"), (8, "400"), "gray"),
        ((8, "400"), (8, "444"), "yuv420p"),
        ((8, "444"), (10, "400"), "yuv444p10le"),
    ],
)
def test_samples_are_compared_in_the_reference_s_chroma_and_the_deeper_bits(
    reference: tuple[int, str], output: tuple[int, str], pixels: str
) -> None:
    one = decided(media(depth=reference[0], chroma=reference[1]), media(depth=output[0], chroma=output[1]))
    assert f"format={pixels}," in one.reference_filters
    assert f"format={pixels}," in one.output_filters


def test_grey_is_full_range_and_gives_way_to_colour() -> None:
    """As ffmpeg takes it when it codes grey as 4:2:0; the chroma that it then adds counts nowhere."""
    one = decided(media(chroma="400", colour=Colour()), HD)
    assert "in_range=pc:out_range=tv" in one.reference_filters
    assert "in_range" not in one.output_filters
    assert one.luma_only
    assert decided(media(chroma="400"), media(chroma="400")).luma_only
    assert not decided(HD, HD).luma_only


def test_rgb_is_brought_to_what_the_other_side_is() -> None:
    rgb = media(rgb=True, chroma="444", colour=Colour(range="pc"))
    one = decided(rgb, HD)
    assert ":out_range=tv:out_color_matrix=bt709" in one.reference_filters
    assert "in_range" not in one.output_filters
    assert ":out_range=tv:out_color_matrix=bt709" in decided(HD, rgb).output_filters


def test_ranges_that_differ_are_brought_to_the_reference_s() -> None:
    full, limited = coloured(range="pc"), coloured(range="tv")
    assert ":in_range=pc:out_range=tv" in decided(limited, full).output_filters
    assert ":in_range=tv:out_range=pc" in decided(full, limited).output_filters
    assert "in_range" not in decided(full, full).output_filters


def test_what_one_side_does_not_say_is_the_other_s() -> None:
    full, silent = coloured(range="pc", matrix="bt2020nc"), coloured()
    for pair in ((full, silent), (silent, full)):
        one = decided(*pair)
        assert "in_range" not in one.output_filters
        assert "color_matrix" not in one.output_filters
        for filters in (one.reference_filters, one.output_filters):
            assert filters.startswith("setparams=range=pc:colorspace=bt2020nc:")
    assert decided(full, silent).notes == (
        "the output has no tag for its colour range; the reference's was used",
        "the output has no tag for its colour matrix; the reference's was used",
    )


def test_matrices_are_converted_only_when_both_are_known_and_differ() -> None:
    sd = coloured(matrix="smpte170m")
    assert ":in_color_matrix=smpte170m:out_color_matrix=bt709" in decided(HD, sd).output_filters
    assert "color_matrix" not in decided(HD, coloured()).output_filters
    assert decided(HD, sd).notes == (
        "different colour matrix (bt709 and smpte170m); the output was converted",
    )


def test_a_matrix_that_ffmpeg_does_not_scale_is_compared_as_it_is_or_refused() -> None:
    """`scale` refuses frames that are tagged YCgCo, which some screen recorders write for BT.709."""
    odd = coloured(matrix="ycgco")
    one = decided(odd, coloured())
    assert "ycgco" not in one.reference_filters + one.output_filters
    with pytest.raises(MediaError, match="does not convert between colour matrix bt709 and ycgco"):
        decided(HD, odd)


def test_primaries_and_transfer_are_never_converted_and_said() -> None:
    one = decided(coloured(primaries=1, transfer=1), coloured(primaries=5, transfer=1))
    assert one.notes == ("different colour primaries (1 and 5 of ITU-T H.273); nothing was converted",)
    assert one.output_filters.count("color_primaries=unknown:color_trc=unknown") == 2


@pytest.mark.parametrize(("width", "depth", "there"), [(854, 8, True), (640, 10, True), (854, 10, False)])
def test_xpsnr_of_deep_samples_needs_a_width_that_the_filter_reads_rightly(
    width: int, depth: int, there: bool
) -> None:
    video = media(width=width, depth=depth)
    one = decided(video, video, xpsnr=True)
    assert one.xpsnr is there
    assert ("xpsnr" in graph(one)) is there
    assert any(note.startswith("no XPSNR") for note in one.notes) is not there


@pytest.mark.parametrize(
    ("size", "metrics"),
    [
        ((176, 176), ("ms_ssim", "vif")),
        ((240, 160), ("vif", "cambi")),
        ((175, 400), ("vif", "cambi")),
        ((3840, 2160), ("ms_ssim", "vif", "cambi")),
        ((4096, 2160), ("ms_ssim", "vif")),
        ((1024, 64), ("vif",)),
    ],
)
def test_a_metric_that_libvmaf_cannot_give_costs_no_other_score(
    size: tuple[int, int], metrics: tuple[str, ...]
) -> None:
    """Each was tried against itself: no value, or SIGABRT."""
    one = media(width=size[0], height=size[1])
    found = decided(one, one, metrics=("ms_ssim", "vif", "cambi"))
    assert found.features == metrics
    lacking = [name for name in ("ms_ssim", "cambi") if name not in metrics]
    assert [note.partition(":")[0] for note in found.notes] == [f"no {name}" for name in lacking]


def test_pictures_without_a_block_of_ssim_in_their_chroma_are_refused() -> None:
    with pytest.raises(MediaError, match=r"r\.mkv: expected at least 16 lines and columns, found 320x14"):
        decided(media(width=320, height=14), HD)


def test_both_sides_are_cropped_before_anything_is_scaled() -> None:
    crop = Crop(Area(1920, 800, 0, 140), Area(1280, 534, 0, 93))
    one = decided(HD, media(width=1280, height=720), crop)
    assert (one.width, one.height) == (1920, 800)
    assert "crop=1920:800:0:140,scale=1920:800" in one.reference_filters
    assert "crop=1280:534:0:93,scale=1920:800" in one.output_filters


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
        ({"model": "hd", "codec_comparison": True}, "codec_comparison: it selects the model itself"),
        ({"offset": float("nan")}, "offset: expected seconds, found nan"),
        ({"metrics": ("psnr_hvs",)}, "metric: expected one of ms_ssim, vif, cambi; found 'psnr_hvs'"),
        ({"reference_filter": "movie=/etc/passwd"}, "reference_filter: expected filters of bwdif"),
        ({"reference_filter": "yadif,[x]null"}, r"reference_filter: .*found '\[x\]null'"),
        ({"raw": RawFormat(rate="fast")}, "rate: expected frames a second such as 30000/1001, found 'fast'"),
        ({"raw": RawFormat(pixel_format="a:b")}, "pixel_format: expected ffmpeg's name"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decided(HD, HD, **settings)
