"""`compute_quality` and `compute_vmaf`: the quality of one encode in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from advisor.errors import MediaError
from advisor.quality.measure import measure
from advisor.quality.settings import Area, QualitySettings, RawFormat
from advisor.results import Quality


def compute_quality(
    reference: Path | str,
    distorted: Path | str,
    *,
    ffmpeg: str | None = None,
    model: str | None = None,
    extra_models: Sequence[str] = (),
    codec_comparison: bool = False,
    xpsnr: bool = False,
    subsample: int = 1,
    threads: int | None = None,
    nice: int = 0,
    reference_start: float = 0.0,
    reference_loops: int = 0,
    reference_filter: str | None = None,
    offset: float | None = None,
    crop: Area | Literal["auto", "none"] = "auto",
    metrics: Sequence[str] = (),
    raw: RawFormat | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Quality:
    """VMAF, PSNR and SSIM of ``distorted`` against ``reference``, in one pass.

    Parameters
    ----------
    ffmpeg
        Path or name of the program; default: see `advisor.video.ffmpeg.find_ffmpeg`.
    model
        ``hd``, ``4k``, ``neg``, ``phone``, ``v1`` or a name of libvmaf's; default: HD up to 1440 lines, else
        4k.
    extra_models
        Further models, scored in the same pass into ``vmaf_extra``.
    codec_comparison
        Choose the ``neg`` model, as is right when encoders are compared.
    xpsnr
        Also XPSNR of the luma plane, in decibels.
    subsample
        VMAF of every n-th frame only; odd.
    threads
        Threads of libvmaf; default: the CPUs at hand. The scores do not depend on it.
    nice
        Added to the niceness of ffmpeg.
    reference_start, reference_loops
        Seconds to seek into the reference and how often to repeat it (-1: without end), as the encode did by
        ``-ss`` and ``-stream_loop``.
    reference_filter
        Filters that the encode applied to fields or rate, such as ``yadif`` or ``fieldmatch,decimate``.
    offset
        Seconds of the reference before the output starts (negative: of the output before the reference);
        default: detected.
    crop
        Part of the reference to compare; default: black bars are removed on both sides.
    metrics
        Further metrics: ``ms_ssim``, ``vif``, ``cambi``.
    raw
        Size, rate and pixel format of raw files (``.yuv``), rate of numbered pictures.
    progress
        Called with the number of frames compared and in total.

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
    settings = QualitySettings(
        model=model,
        extra_models=tuple(extra_models),
        codec_comparison=codec_comparison,
        xpsnr=xpsnr,
        subsample=subsample,
        reference_start=reference_start,
        reference_loops=reference_loops,
        reference_filter=reference_filter,
        offset=offset,
        crop=crop,
        metrics=tuple(metrics),
        raw=raw,
    )
    return measure(
        reference, distorted, settings, ffmpeg=ffmpeg, threads=threads, nice=nice, progress=progress
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
