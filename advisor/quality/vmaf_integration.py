"""`compute_quality` and `compute_vmaf`: the quality of one encode in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from advisor.errors import MediaError
from advisor.quality.measure import measure
from advisor.quality.settings import QualitySettings
from advisor.results import Quality


def compute_quality(
    reference: Path | str,
    distorted: Path | str,
    *,
    ffmpeg: str | None = None,
    threads: int | None = None,
    nice: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Quality:
    """VMAF, PSNR and SSIM of ``distorted`` against ``reference``, in one pass.

    Parameters
    ----------
    ffmpeg
        Path or name of the program; default: see `advisor.video.ffmpeg.find_ffmpeg`.
    threads
        Threads of libvmaf; default: the CPUs at hand. The scores do not depend on it.
    nice
        Added to the niceness of ffmpeg.
    progress
        Called with the number of frames compared and in total.
    settings
        Fields of `advisor.quality.settings.QualitySettings`, which says what they mean: ``model``,
        ``extra_models``, ``codec_comparison``, ``xpsnr``, ``subsample``, ``reference_start``,
        ``reference_loops``, ``reference_filter``, ``offset``, ``crop``, ``metrics``, ``raw``.

    Returns
    -------
    Quality
        If the frames do not match: ``aligned`` False, a ``reason`` and no scores. If no model fits the video
        (HDR): no VMAF, and a ``reason``.

    Raises
    ------
    MediaError
        A file is missing, empty, not a video, truncated or damaged from its start.
    FfmpegError
        ffmpeg is missing, crashed or was killed.
    """
    chosen = QualitySettings(**settings)
    return measure(
        reference, distorted, chosen, ffmpeg=ffmpeg, threads=threads, nice=nice, progress=progress
    ).quality


def compute_vmaf(reference: Path | str, distorted: Path | str, **options: Any) -> float:
    """Mean VMAF, 0-100; ``options`` as in `compute_quality`, and MediaError for an unaligned pair."""
    vmaf = aligned_quality(reference, distorted, **options).vmaf
    assert vmaf is not None  # noqa: S101 -- an aligned pair is scored
    return vmaf.mean


def aligned_quality(reference: Path | str, distorted: Path | str, **options: Any) -> Quality:
    """`compute_quality`, with MediaError instead of a result without scores."""
    quality = compute_quality(reference, distorted, **options)
    if not quality.aligned:
        raise MediaError(f"is not aligned with {reference}: {quality.reason}", subject=distorted)
    return quality
