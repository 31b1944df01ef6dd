"""Which parts of two pictures show the same: bars cut off on both sides, or an area given by hand."""

from __future__ import annotations

from msgspec import Struct

from advisor.errors import InputError
from advisor.quality.probe import Media
from advisor.quality.settings import Area

_SLACK_PIXELS = 4
"""By so much edges that were found may be off: a dark first line, an encoder that rounds to even numbers."""
_THIN_PIXELS = 2
"""An edge so thin is no bar: analogue captures have them, and odd sizes."""
_LEAST_SHARE = 0.25
"""Of the picture; what is darker than that is a dark video, not one in bars."""
_ASPECT_SHARE = 0.025


class Crop(Struct, frozen=True):
    """What is taken of each picture; None for the whole."""

    reference: Area | None = None
    output: Area | None = None


def crop_by_hand(area: Area, reference: Media) -> Crop:
    """``area`` of the reference, and the whole output.

    Raises
    ------
    InputError
        The area is not inside the reference's picture.
    """
    inside = area.x >= 0 and area.y >= 0 and min(area.width, area.height) > 0
    if not inside or area.x + area.width > reference.width or area.y + area.height > reference.height:
        size = f"{reference.width}x{reference.height}"
        raise InputError(f"expected W:H:X:Y inside {size}, found {area}", subject="crop")
    return Crop(reference=area)


def crop_by_bars(reference: Media, output: Media, bars: tuple[Area | None, Area | None]) -> Crop:
    """What black bars leave on both sides; nothing is cut where the two would then differ in shape.

    Parameters
    ----------
    bars
        What `Track.inside_bars` says of both.
    """
    inside = [
        _inside(media, area, other)
        for media, area, other in zip((reference, output), bars, (output, reference), strict=True)
    ]
    if inside == [None, None]:
        return Crop()
    source, encode = (area or _whole(media) for area, media in zip(inside, (reference, output), strict=True))
    source, encode = _agreeing(source, encode, reference, output)
    shapes = [
        area.width / area.height * media.display_aspect * media.height / media.width
        for area, media in ((source, reference), (encode, output))
    ]
    if abs(shapes[0] / shapes[1] - 1) > _ASPECT_SHARE:
        return Crop()
    return Crop(None if source == _whole(reference) else source, None if encode == _whole(output) else encode)


def _whole(media: Media) -> Area:
    return Area(media.width, media.height, 0, 0)


def _inside(media: Media, area: Area | None, other: Media) -> Area | None:
    """The area inside the bars, None where there are none.

    A thin edge is one where the picture inside has the other's size: coders that fill up their blocks.
    """
    if area is None:
        return None
    margins = area.x, area.y, media.width - area.x - area.width, media.height - area.y - area.height
    fills_up = (area.width, area.height) == (other.width, other.height)
    if max(margins) <= _THIN_PIXELS and not (fills_up and max(margins)):
        return None
    if area.width * area.height < _LEAST_SHARE * media.width * media.height:
        return None
    return area


def _agreeing(source: Area, encode: Area, reference: Media, output: Media) -> tuple[Area, Area]:
    """Both areas, with edges that were found a little apart brought together."""
    if (reference.width, reference.height) == (output.width, output.height):
        apart = [a - b for a, b in zip(_edges(source), _edges(encode), strict=True)]
        # outside the reference's edges the encode is blurred, however far
        around = min(*apart[:2], *(-n for n in apart[2:])) >= -_SLACK_PIXELS
        if around and source != _whole(reference):
            return source, source
    if encode == _whole(output):
        return _of_size(source, encode.width, encode.height), encode
    if source == _whole(reference):
        return source, _of_size(encode, source.width, source.height)
    return source, encode


def _edges(area: Area) -> tuple[int, int, int, int]:
    return area.x, area.y, area.x + area.width, area.y + area.height


def _of_size(area: Area, width: int, height: int) -> Area:
    """``area`` with the size of the other picture where it is that but for a few pixels."""
    apart = width - area.width, height - area.height
    if max(map(abs, apart)) > _SLACK_PIXELS:
        return area
    return Area(width, height, max(0, area.x - apart[0] // 2), max(0, area.y - apart[1] // 2))
