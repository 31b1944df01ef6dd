"""What is believed of encoders before anything of a video was encoded.

The means are straight lines through encodes of three short clips (two cameras, one drawn) with six encoders
and four CRFs each, and what presets add to them: of x264, x265 and SVT-AV1 eight presets each, of the others
two or three; spreads say how far videos, encoders and presets lie from them.
The spreads are those under which these encodes are the most likely, somewhat widened. All of it only decides
what is tried first: what is answered was measured.
"""

from __future__ import annotations

from msgspec.structs import replace

from advisor.advice.curves import Curve, Spread, Usual
from advisor.video.encoders import effort


def _line(slope: float) -> tuple[tuple[float, float], ...]:
    """Presets on a line from the slowest to the fastest."""
    return (0.0, -slope / 2), (1.0, slope / 2)


def _of(encoder: str, names: str, *added: float) -> tuple[tuple[float, float], ...]:
    """Presets by their names."""
    places = [effort(encoder, name) or 0.0 for name in names.split()]
    return tuple(sorted(zip(places, added, strict=True)))


_X264 = "ultrafast superfast veryfast fast medium slow slower veryslow"
_X265 = "ultrafast superfast veryfast fast medium slow slower"
_SVT_AV1 = "12 10 9 8 6 5 4"


VMAF_NOISE = 0.01
VMAF = Curve(
    usual={
        "libx264": Usual(
            2.4, 5.0, _of("libx264", _X264, -0.24, -0.07, 0.25, -0.04, -0.04, -0.01, -0.03, -0.03)
        ),
        "libx265": Usual(2.35, 4.6, _of("libx265", _X265, 0.35, 0.15, 0.16, 0.07, 0.07, -0.11, -0.32)),
        "libsvtav1": Usual(
            2.1, 2.5, _of("libsvtav1", _SVT_AV1, 0.14, 0.06, 0.01, -0.01, -0.02, -0.04, -0.12)
        ),
        "libvpx-vp9": Usual(2.05, 3.0, _line(0.1)),
        "libaom-av1": Usual(2.0, 2.6, _line(0.1)),
        "libvvenc": Usual(2.35, 5.5, _line(0.2)),
    },
    spreads=(
        Spread(0.1, 0.45, 0.14),
        Spread(0.6, 1.2, 0.12),
        Spread(0.1, 0.3, 0.05),
        Spread(0.07, 0.1, 0.02),
        Spread(0.06, 0.33, 0.08),
        Spread(0.07, 0.08, 0.04),
    ),
    noise=VMAF_NOISE,
)
"""Logarithm of 101 - VMAF."""

BITRATE = Curve(
    usual={
        "libx264": Usual(
            4.1, -5.8, _of("libx264", _X264, 1.0, 0.45, -0.15, 0.01, -0.03, -0.05, -0.06, -0.13)
        ),
        "libx265": Usual(4.1, -5.8, _of("libx265", _X265, -0.06, -0.01, -0.05, -0.02, -0.01, 0.07, 0.05)),
        "libsvtav1": Usual(
            4.25, -3.8, _of("libsvtav1", _SVT_AV1, 0.11, 0.12, 0.06, 0.02, -0.06, -0.14, -0.08)
        ),
        "libvpx-vp9": Usual(4.4, -4.1, _line(0.1)),
        "libaom-av1": Usual(4.1, -3.5, _line(0.0)),
        "libvvenc": Usual(3.5, -6.7, _line(0.0)),
    },
    spreads=(
        Spread(0.1, 0.3, 0.05),
        Spread(0.8, 0.9, 0.15),
        Spread(0.12, 0.3, 0.07),
        Spread(0.08, 0.15, 0.02),
        Spread(0.13, 0.35, 0.08),
        Spread(0.08, 0.5, 0.05),
    ),
    noise=0.01,
    per_pixel=True,
)
"""Logarithm of kbit/s, for each million pixels a second."""

SECONDS = Curve(
    usual={
        "libx264": Usual(-3.4, -0.9, _line(-1.9)),
        "libx265": Usual(-2.7, -1.2, _line(-2.4)),
        "libsvtav1": Usual(-2.8, -0.3, _line(-3.5)),
        "libvpx-vp9": Usual(-2.4, -0.8, _line(-2.0)),
        "libaom-av1": Usual(-1.2, -1.3, _line(-3.0)),
        "libvvenc": Usual(-0.4, -3.2, _line(-3.5)),
    },
    spreads=(
        Spread(1, 0.1, 0),
        Spread(0.5, 0.25, 0.03),
        Spread(0.25, 0.25, 0.06),
        Spread(0.35, 0.35, 0.02),
        Spread(0.2, 0.2, 0.03),
        Spread(0.1, 0.12, 0.05),
    ),
    noise=0.05,
    per_pixel=True,
)
"""Logarithm of wall seconds for each million pixels."""

ENERGY = replace(SECONDS, spreads=(replace(SECONDS.spreads[0], level=6.0), *SECONDS.spreads[1:]), noise=None)
"""Logarithm of energy, cost or carbon: as time, in a unit of its own; its noise is that of each encode."""
