"""What an encode that was not made would give: VMAF, bitrate and time over CRF, and how sure that is.

Every figure is a Gaussian process over encoder, preset and the place of the CRF on the encoder's scale. Its
covariance is a sum over what encodes have in common (the machine, the video, the encoder, the preset, and
the video under each): a level, a slope and a shape each. So one encode of a video tells something of all
others of it, most of those that are like it, and encodes of other videos tell what is the same for every
video. VMAF is taken as the logarithm of what it lacks, in which CRF acts almost straight; bitrate, time
and energy as logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.video.encoders import ALIASES, effort, quality_level

Floats = NDArray[np.float64]
DRAWS = 400
_MOST_VMAF = 101.0
"""A little above what VMAF can be, so that the logarithm of what it lacks stays finite."""
_SHAPE_WIDTH = 0.12
"""Of CRFs, on the scale from 0 to 1, over which what bends a curve is alike."""
_MIDDLE = 0.5
_JITTER = 1e-6


class Configuration(Struct, frozen=True, order=True):
    """What an encode is asked for."""

    encoder: str
    preset: str
    crf: float

    @property
    def family(self) -> tuple[str, str]:
        """Encoder and preset: what one curve belongs to."""
        return self.encoder, self.preset


class Place(Struct, frozen=True):
    """One configuration on one video."""

    video: str
    configuration: Configuration
    megapixels: float = 1.0
    """Of a second of video."""


class Spread(Struct, frozen=True):
    """Standard deviations of what one group of encodes has in common, in natural logarithms."""

    level: float
    slope: float = 0.0
    """Over the whole scale of CRF."""
    shape: float = 0.0


class Usual(Struct, frozen=True):
    """The mean over videos, of one encoder: at its middle CRF and preset, and how it changes."""

    level: float
    crf: float
    """Over the whole scale, best to worst."""
    presets: tuple[tuple[float, float], ...]
    """What presets add, by their place between the slowest (0) and the fastest (1); straight between them."""


class Curve(Struct, frozen=True, kw_only=True):
    """What is believed of one figure before anything was encoded."""

    usual: dict[str, Usual]
    spreads: tuple[Spread, ...]
    """Of everything, a video, an encoder, a preset, an encoder on a video, a preset on a video."""
    noise: float | None
    """Of one encode; None where each says its own."""
    per_pixel: bool = False
    """Whether the figure grows with the pixels of a second of video."""


def lacking(vmaf: float) -> float:
    """VMAF as the models take it."""
    return float(np.log(_MOST_VMAF - vmaf))


def vmaf_of(logs: Floats) -> Floats:
    """The inverse of `lacking`."""
    return np.asarray(_MOST_VMAF - np.exp(logs))


def draws_of(
    curve: Curve,
    known: Sequence[tuple[Place, float, float]],
    asked: Sequence[Place],
    seed: int = 0,
) -> Floats:
    """Draws of a figure's logarithm, shape (DRAWS, asked).

    Parameters
    ----------
    known
        Places, the logarithms measured there, and the standard deviations of their noise.
    """
    places = [*(place for place, _, _ in known), *asked]
    mean = np.array([_usual(curve, place) for place in places])
    covariance = _covariance(curve, places)
    count = len(known)
    noise = np.array([deviation for _, _, deviation in known])
    measured = np.array([value for _, value, _ in known])
    inner = covariance[:count, :count] + np.diag(noise**2 + _JITTER)
    across = covariance[:count, count:]
    root = np.linalg.cholesky(inner)
    half = np.linalg.solve(root, across)
    centre = mean[count:] + half.T @ np.linalg.solve(root, measured - mean[:count])
    left = covariance[count:, count:] - half.T @ half + _JITTER * np.eye(len(asked))
    normal = np.random.default_rng(seed).standard_normal((DRAWS, len(asked)))
    return np.asarray(centre + normal @ np.linalg.cholesky(left).T)


def _usual(curve: Curve, place: Place) -> float:
    configuration = place.configuration
    # of devices nothing is known beforehand: as the encoder of the same format on the CPU
    like = ALIASES.get(configuration.encoder.partition("_")[0], "libx265")
    usual = curve.usual.get(configuration.encoder) or curve.usual[like]
    at = quality_level(configuration.encoder, configuration.crf) - _MIDDLE
    speed = effort(configuration.encoder, configuration.preset)
    places, added = zip(*usual.presets, strict=True)
    level = (
        usual.level + usual.crf * at + float(np.interp(_MIDDLE if speed is None else speed, places, added))
    )
    return level + math.log(place.megapixels) if curve.per_pixel else level


def _covariance(curve: Curve, places: Sequence[Place]) -> Floats:
    names = [(p.video, p.configuration.encoder, p.configuration.preset) for p in places]
    groups: list[Sequence[object]] = [
        [0 for _ in names],
        [video for video, _, _ in names],
        [encoder for _, encoder, _ in names],
        [(encoder, preset) for _, encoder, preset in names],
        [(video, encoder) for video, encoder, _ in names],
        names,
    ]
    at = np.array([quality_level(p.configuration.encoder, p.configuration.crf) for p in places])
    slopes = np.outer(at - _MIDDLE, at - _MIDDLE)
    shapes = np.exp(-(((at[:, None] - at) / _SHAPE_WIDTH) ** 2) / 2)
    total = np.zeros((len(places), len(places)))
    for group, spread in zip(groups, curve.spreads, strict=True):
        numbers = np.unique([str(member) for member in group], return_inverse=True)[1]
        same = numbers[:, None] == numbers
        total += same * (spread.level**2 + spread.slope**2 * slopes + spread.shape**2 * shapes)
    return total
