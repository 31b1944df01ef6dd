"""What is cut off where bars were found: areas that are worked out by hand."""

from __future__ import annotations

import pytest

from advisor.errors import InputError
from advisor.quality.crop import Crop, crop_by_bars, crop_by_hand
from advisor.quality.probe import Colour, Media
from advisor.quality.settings import Area


def media(width: int, height: int, aspect: float | None = None) -> Media:
    return Media(
        path="v.mkv",
        width=width,
        height=height,
        depth=8,
        chroma="420",
        rgb=False,
        colour=Colour(),
        display_aspect=aspect or width / height,
        rate=None,
        frames=10,
        seconds=1.0,
        bitrate=None,
    )


HD, WIDE = media(1920, 1080), media(1920, 804)
INSIDE = Area(1920, 804, 0, 138)


def test_a_reference_in_bars_is_cut_to_an_output_without() -> None:
    assert crop_by_bars(HD, WIDE, (INSIDE, Area(1920, 804, 0, 0))) == Crop(reference=INSIDE)


def test_an_output_in_bars_is_cut_to_a_reference_without() -> None:
    assert crop_by_bars(WIDE, HD, (Area(1920, 804, 0, 0), INSIDE)) == Crop(output=INSIDE)


def test_bars_on_both_sides_are_cut_from_both() -> None:
    assert crop_by_bars(HD, HD, (INSIDE, INSIDE)) == Crop(INSIDE, INSIDE)


def test_edges_that_a_coder_blurred_are_the_same_edges() -> None:
    """The output's bars look two lines thinner on either side: the reference's are the true ones."""
    assert crop_by_bars(HD, HD, (INSIDE, Area(1920, 808, 0, 136))) == Crop(INSIDE, INSIDE)


def test_bars_that_a_starved_encode_filled_with_noise_are_bars_all_the_same() -> None:
    assert crop_by_bars(HD, HD, (INSIDE, Area(1920, 1080, 0, 0))) == Crop(INSIDE, INSIDE)


def test_an_area_is_given_the_size_of_the_other_picture_when_it_nearly_has_it() -> None:
    """A dark first line: 802 lines from 140 on were found, the output has 804."""
    found = crop_by_bars(HD, WIDE, (Area(1920, 802, 0, 140), None))
    assert found == Crop(reference=Area(1920, 804, 0, 139))


def test_a_smaller_encode_of_the_area_is_of_its_shape() -> None:
    assert crop_by_bars(HD, media(1280, 536), (INSIDE, None)) == Crop(reference=INSIDE)


def test_nothing_is_cut_where_the_shapes_would_differ() -> None:
    """An output whose upper third is black, where the reference shows a picture."""
    assert crop_by_bars(HD, HD, (None, Area(1920, 720, 0, 360))) == Crop()


@pytest.mark.parametrize(
    "area", [None, Area(1920, 1080, 0, 0), Area(1918, 1078, 0, 2), Area(400, 300, 700, 400)]
)
def test_no_bars_thin_edges_and_a_dark_video_are_left_alone(area: Area | None) -> None:
    assert crop_by_bars(HD, HD, (area, area)) == Crop()


def test_an_area_by_hand_is_of_the_reference() -> None:
    assert crop_by_hand(INSIDE, HD) == Crop(reference=INSIDE)
    for area in (Area(1920, 1081, 0, 0), Area(100, 100, 1900, 0), Area(0, 10, 0, 0)):
        with pytest.raises(InputError, match="crop: expected W:H:X:Y inside 1920x1080"):
            crop_by_hand(area, HD)
