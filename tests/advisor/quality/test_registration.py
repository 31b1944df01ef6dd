"""Areas that are tried around edges that were found, and the choice between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advisor.errors import FfmpegError
from advisor.quality.crop import Crop
from advisor.quality.graph import plan
from advisor.quality.pairing import Pairing
from advisor.quality.probe import Colour, Media
from advisor.quality.registration import areas_around, best_of, registration_graph
from advisor.quality.settings import Area, QualitySettings


def media(width: int, height: int) -> Media:
    return Media(
        path="v.mkv",
        width=width,
        height=height,
        depth=8,
        chroma="420",
        rgb=False,
        colour=Colour(),
        display_aspect=width / height,
        rate=None,
        frames=10,
        seconds=1.0,
        bitrate=None,
    )


HD, WIDE, SMALL = media(1920, 1080), media(1920, 804), media(1280, 536)
FOUND = Crop(reference=Area(1920, 804, 0, 138))


def test_an_area_of_known_size_is_moved_along_its_bars() -> None:
    """Four lines up to four lines down, and never sideways, where it fills the picture."""
    areas = [crop.reference for crop in areas_around(FOUND, HD, WIDE) if crop.reference]
    assert areas[0] == FOUND.reference
    assert sorted(area.y for area in areas) == list(range(134, 143))
    assert {(area.width, area.height, area.x) for area in areas} == {(1920, 804, 0)}


def test_both_edges_are_tried_where_the_output_was_scaled() -> None:
    areas = [crop.reference for crop in areas_around(FOUND, HD, SMALL) if crop.reference]
    assert len(areas) == 25
    assert {area.y for area in areas} == {134, 136, 138, 140, 142}
    assert {area.y + area.height for area in areas} == {938, 940, 942, 944, 946}


def test_bars_of_the_output_are_tried_on_its_side() -> None:
    crops = areas_around(Crop(output=Area(1920, 804, 0, 138)), WIDE, HD)
    assert all(crop.reference is None for crop in crops)
    assert len(crops) == 9


def test_beside_bars_of_another_shape_the_output_s_edges_are_tried() -> None:
    """The encode blurs what is sharp in the reference."""
    both = Crop(Area(1920, 804, 0, 138), Area(640, 270, 0, 105))
    crops = areas_around(both, HD, media(640, 480))
    assert all(crop.reference == both.reference for crop in crops)
    assert len(crops) == 25


def test_around_a_window_fewer_are_tried() -> None:
    crops = areas_around(Crop(output=Area(640, 360, 80, 60)), HD, media(800, 480))
    assert len(crops) == 81


def test_an_output_that_is_a_few_pixels_smaller_may_have_been_cut() -> None:
    """To the left, in the middle or to the right; or filled up if it is larger; not if it is much smaller."""
    cut = [crop.reference for crop in areas_around(Crop(), HD, media(1916, 1080))]
    assert cut == [None, *(Area(1916, 1080, x, 0) for x in (0, 2, 4))]
    filled = [crop.output for crop in areas_around(Crop(), HD, media(1920, 1082))]
    assert filled == [None, *(Area(1920, 1080, 0, y) for y in (0, 1, 2))]
    for other in (HD, media(1280, 720), media(1924, 1076)):
        assert areas_around(Crop(), HD, other) == [Crop()]


def test_the_middle_may_have_been_cut_to_another_shape() -> None:
    """The square of 1080 lines in the middle of 1920 columns, at any size; a lost pixel aspect keeps all."""
    for square in (media(1080, 1080), media(640, 640)):
        cut = [crop.reference for crop in areas_around(Crop(), HD, square)]
        assert cut == [None, *(Area(1080 + n, 1080, (840 - n) // 2, 0) for n in range(-2, 3))]
    assert areas_around(Crop(), HD, media(1600, 900))[1:] == [
        Crop(Area(1600, 900, x, y)) for x in (0, 160, 320) for y in (0, 90, 180)
    ]


def test_bars_on_both_sides_are_taken_as_they_are() -> None:
    both = Crop(Area(1920, 804, 0, 138), Area(1920, 804, 0, 138))
    assert areas_around(both, HD, HD) == [both]


def test_the_frames_that_are_compared_are_partners() -> None:
    plans = [plan(HD, WIDE, QualitySettings(), crop) for crop in areas_around(FOUND, HD, WIDE)[:2]]
    graph = registration_graph(dict(enumerate(plans)), Pairing("index", 3, np.arange(10, 19)))
    assert r"select='eq(n\,10)+eq(n\,12)+eq(n\,14)+eq(n\,16)+eq(n\,18)'" in graph
    assert r"select='eq(n\,3)+eq(n\,5)+eq(n\,7)+eq(n\,9)+eq(n\,11)'" in graph
    assert graph.count("psnr=") == 2


@pytest.mark.parametrize(("errors", "best"), [((30.0, 12.0, 29.0), 1), ((30.0, 29.9, 31.0), 0)])
def test_the_least_error_decides_when_it_is_clear(
    tmp_path: Path, errors: tuple[float, ...], best: int
) -> None:
    for n, error in enumerate(errors):
        lines = [f"n:{k} mse_avg:9.00 mse_y:{error:.2f} psnr_y:30.00\n" for k in (1, 2)]
        (tmp_path / f"area{n}.log").write_text("".join(lines))
    crops = areas_around(FOUND, HD, WIDE)[:3]
    assert best_of(tmp_path, crops) == crops[best]


def test_a_log_that_is_missing_is_an_error_of_ffmpeg(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match="logs are incomplete"):
        best_of(tmp_path, [FOUND])
