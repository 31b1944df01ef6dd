"""Which part of a picture an output shows: parts that are cut out of a drawn picture of known size."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.quality.alignment import fit
from advisor.quality.geometry import part_shown
from advisor.quality.pairing import Pairing

SIDE, SCALE, FRAMES = 48, 8, 5


def thumbnails(
    left: float = 0, top: float = 0, right: float = 1, bottom: float = 1, *, pan: float = 0, late: float = 0
) -> np.ndarray:
    """Of a part of waves that drift, which are known everywhere: the mean of 8x8 points is a sample.

    ``pan`` is the share of the picture that the camera moves to the right in a frame, ``late`` in frames.
    """
    chance = np.random.default_rng(3)
    waves = [(*chance.uniform(-5, 5, 2), chance.uniform(0, 6), chance.uniform(0.1, 0.4)) for _ in range(12)]
    points = (np.arange(SIDE * SCALE) + 0.5) / (SIDE * SCALE)
    frames = []
    for n in np.arange(FRAMES) - late:
        across, down = (
            pan * n + left + (right - left) * points[None, :],
            top + (bottom - top) * points[:, None],
        )
        light = sum(np.sin(2 * np.pi * (a * across + b * down) + c + d * n) for a, b, c, d in waves)
        blocks = (128 + 12 * light).reshape(SIDE, SCALE, SIDE, SCALE).mean(axis=(1, 3))
        frames.append(np.clip(blocks, 0, 255).round().astype(np.uint8))
    return np.stack(frames)


def part(reference: np.ndarray, output: np.ndarray) -> np.ndarray | None:
    return part_shown(fit(reference, output, Pairing("index", 0, np.arange(len(output)))))


@pytest.mark.parametrize(
    "edges",
    [
        (0.025, 0.025, 0.975, 0.975),
        (0.0, 0.0, 1.0, 0.9926),  # 1080 of 1088 lines
        (0.0, 0.0, 0.85, 1.0),
        (-0.05, 0.0, 1.05, 1.0),
    ],
)
def test_the_part_that_is_shown_is_found(edges: tuple[float, float, float, float]) -> None:
    """To a thousandth of the side: two columns of 1920."""
    assert part(thumbnails(), thumbnails(*edges)) == pytest.approx(edges, abs=0.001)


def test_a_whole_picture_is_no_part_however_noisy_or_dark() -> None:
    noise = np.random.default_rng(4).normal(0, 20, (FRAMES, SIDE, SIDE))
    pictures = thumbnails()
    for changed in (pictures, pictures + noise, pictures * 0.7, pictures[:, ::-1], np.full_like(noise, 40)):
        assert part(pictures, np.clip(changed, 0, 255).astype(np.uint8)) is None


@pytest.mark.parametrize("late", [0.25, -0.4, 1.0])
def test_what_lags_behind_a_moving_camera_is_no_part(late: float) -> None:
    """One of two fields is early by a quarter of a frame, and a starved coder is late by more."""
    assert part(thumbnails(pan=0.02), thumbnails(pan=0.02, late=late)) is None
    zoomed = part(thumbnails(pan=0.02), thumbnails(0.025, 0.025, 0.975, 0.975, pan=0.02))
    assert zoomed == pytest.approx((0.025, 0.025, 0.975, 0.975), abs=0.002)
