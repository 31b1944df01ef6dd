"""`compute_psnr`: the PSNR of one encode in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advisor.quality.vmaf_integration import aligned_quality


def compute_psnr(reference: Path | str, distorted: Path | str, **options: Any) -> float:
    """PSNR in decibels of the mean squared error over all frames and planes.

    Capped at 60 dB (8 bit), 72 dB (10 bit); identical videos score the cap. ``options`` are those of
    `advisor.quality.compute_quality`.

    Raises
    ------
    MediaError
        A file cannot be used, or the frames of the two do not belong together.
    """
    psnr = aligned_quality(reference, distorted, **options).psnr_decibels
    assert psnr is not None  # noqa: S101 -- an aligned pair is scored
    return psnr.average
