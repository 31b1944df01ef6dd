"""What is believed of encoders before anything of a video was encoded.

The means are straight lines through encodes of three short clips (two cameras, one drawn) with six encoders,
two to four presets and four CRFs each; spreads say how far videos, encoders and presets lie from them.
The spreads are those under which these encodes are the most likely, somewhat widened. All of it only decides
what is tried first: what is answered was measured.
"""

from __future__ import annotations

from msgspec.structs import replace

from advisor.advice.curves import Curve, Spread, Usual

__all__ = ["BITRATE", "SECONDS", "VMAF", "objective_curve"]


VMAF = Curve(
    usual={
        "libx264": Usual(2.4, 5.0, 0.0),
        "libx265": Usual(2.35, 4.6, 0.4),
        "libsvtav1": Usual(2.1, 2.5, 0.3),
        "libvpx-vp9": Usual(2.05, 3.0, 0.1),
        "libaom-av1": Usual(2.0, 2.6, 0.1),
        "libvvenc": Usual(2.35, 5.5, 0.2),
    },
    spreads=(
        Spread(0.1, 0.45, 0.14),
        Spread(0.6, 1.2, 0.12),
        Spread(0.1, 0.3, 0.05),
        Spread(0.12, 0.2, 0.03),
        Spread(0.06, 0.33, 0.08),
        Spread(0.07, 0.08, 0.04),
    ),
    noise=0.01,
)
"""Logarithm of 101 - VMAF."""

BITRATE = Curve(
    usual={
        "libx264": Usual(4.1, -5.8, 1.0),
        "libx265": Usual(4.1, -5.8, 0.0),
        "libsvtav1": Usual(4.25, -3.8, 0.4),
        "libvpx-vp9": Usual(4.4, -4.1, 0.1),
        "libaom-av1": Usual(4.1, -3.5, 0.0),
        "libvvenc": Usual(3.5, -6.7, 0.0),
    },
    spreads=(
        Spread(0.1, 0.3, 0.05),
        Spread(0.8, 0.9, 0.15),
        Spread(0.12, 0.3, 0.07),
        Spread(0.2, 0.25, 0.03),
        Spread(0.13, 0.35, 0.08),
        Spread(0.08, 0.5, 0.05),
    ),
    noise=0.01,
    per_pixel=True,
)
"""Logarithm of kbit/s, for each million pixels a second."""

SECONDS = Curve(
    usual={
        "libx264": Usual(-3.4, -0.9, -1.9),
        "libx265": Usual(-2.7, -1.2, -2.4),
        "libsvtav1": Usual(-2.8, -0.3, -3.5),
        "libvpx-vp9": Usual(-2.4, -0.8, -2.0),
        "libaom-av1": Usual(-1.2, -1.3, -3.0),
        "libvvenc": Usual(-0.4, -3.2, -3.5),
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


def objective_curve(noise: float) -> Curve:
    """Of energy, cost or carbon: as time, in a unit of its own."""
    machine, *others = SECONDS.spreads
    return replace(SECONDS, spreads=(replace(machine, level=6.0), *others), noise=noise)
