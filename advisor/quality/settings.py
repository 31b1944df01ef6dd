"""What a score depends on beside the two files: the models, and how the two are read and compared."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from advisor.errors import InputError, MediaError
from advisor.video.ffmpeg import VMAF_MODELS

PHONE = " phone"
"""At the end of a model's name: scores as seen on a phone."""

_HD_LINES = 1440

_V0_MIN_SIZE = (17, 17)
_V1_MIN_SIZE = (320, 180)
_MIN_SIZE = {
    "vmaf_v1.0.16_5d0h": (480, 270),
    "vmaf_v1.0.16_hfr_5d0h": (480, 270),
    "vmaf_v1.0.16_3d0h_2160": (640, 360),
    "vmaf_v1.0.16_hfr_3d0h_2160": (640, 360),
}
"""Longer and shorter side below which libvmaf crashes or gives 0, tried with the one in ffmpeg 9.0.2."""


METRICS = {"ms_ssim": "float_ms_ssim", "vif": "vif", "cambi": "cambi"}
"""Further metrics of libvmaf and their names in its log. They cost several times what VMAF does."""

_MS_SSIM_LEAST_SIDE = 176
_CAMBI_LONGER_SIDE, _CAMBI_LONGEST_SHAPE = (216, 3840), 10
"""Beyond these there is no number, or a crash; tried with the libvmaf in ffmpeg 9.0.2."""

REFERENCE_FILTERS = (
    *("bwdif", "crop", "decimate", "dejudder", "deflicker", "detelecine", "estdif", "fieldmatch"),
    *("fieldorder", "fps", "hflip", "kerndeint", "pad", "pullup", "setfield", "transpose", "vflip"),
    *("w3fdif", "yadif"),
)
"""Filters that may be put on the reference: they change fields, rate, direction or frame and open no file."""
_FILTER = re.compile(rf"({'|'.join(REFERENCE_FILTERS)})(=[A-Za-z0-9_:=./+*()-]*)?")


class Area(Struct, frozen=True):
    """A part of a picture, in pixels."""

    width: int
    height: int
    x: int
    y: int

    def __str__(self) -> str:
        return f"{self.width}:{self.height}:{self.x}:{self.y}"


class RawFormat(Struct, frozen=True, kw_only=True):
    """What a file of raw samples, or numbered pictures, do not say of themselves."""

    size: tuple[int, int] | None = None
    pixel_format: str = "yuv420p"
    rate: str = "25"
    """Frames a second, also as a fraction: ``30000/1001``."""


class QualitySettings(Struct, frozen=True, kw_only=True):
    """Everything beside the two files that a score depends on."""

    model: str | None = None
    """A libvmaf model, or ``hd``, ``4k``, ``neg``, ``phone``, ``v1``; None: by the comparison height."""
    extra_models: tuple[str, ...] = ()
    codec_comparison: bool = False
    """Choose the ``neg`` model, which does not reward what an encoder sharpens."""
    xpsnr: bool = False
    subsample: int = 1
    """VMAF of every n-th frame; odd, because even steps meet the same kind of B-frame each time."""
    reference_start: float = 0.0
    """Seconds to seek into the reference, as the encode did (``-ss``)."""
    reference_loops: int = 0
    """Repetitions of the reference, as in the encode (``-stream_loop``); -1 for ever."""
    reference_filter: str | None = None
    """What the encode did to the pictures before it coded them: ``yadif``, ``fieldmatch,decimate``,
    ``crop=iw:800`` ..."""
    offset: float | None = None
    """Seconds of the reference before the output begins, negative where the output has more in front; None:
    looked for."""
    crop: Area | Literal["auto", "none"] = "auto"
    """What of the reference is compared; ``auto`` cuts black bars off on both sides."""
    metrics: tuple[str, ...] = ()
    """Of `METRICS`."""
    raw: RawFormat | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """Of ffmpeg's, those that it may be built without."""
        return ("libvmaf", "xpsnr") if self.xpsnr else ("libvmaf",)


def known_models() -> tuple[str, ...]:
    """What `QualitySettings.model` takes."""
    return (*_aliases(uhd=False), *VMAF_MODELS)


def check_settings(settings: QualitySettings) -> None:
    """Raise InputError for settings that cannot be."""
    models = (*([settings.model] if settings.model is not None else []), *settings.extra_models)
    for model in models:
        if model not in known_models():
            raise InputError(f"expected one of {', '.join(known_models())}; found {model!r}", subject="model")
    if settings.subsample < 1 or settings.subsample % 2 == 0:
        raise InputError(f"expected an odd number from 1 up, found {settings.subsample}", subject="subsample")
    if settings.reference_loops < -1:
        raise InputError(f"expected -1 or more, found {settings.reference_loops}", subject="reference_loops")
    if not 0 <= settings.reference_start < float("inf"):
        problem = f"expected seconds from 0 up, found {settings.reference_start}"
        raise InputError(problem, subject="reference_start")
    if settings.reference_start and settings.reference_loops:
        # ffmpeg repeats the whole file at times that overlap with the part that it began with
        raise InputError("cannot be combined with reference_loops", subject="reference_start")
    if settings.raw is not None:
        _check_raw(settings.raw)
    for metric in settings.metrics:
        if metric not in METRICS:
            raise InputError(f"expected one of {', '.join(METRICS)}; found {metric!r}", subject="metric")
    if settings.offset is not None and not abs(settings.offset) < float("inf"):
        raise InputError(f"expected seconds, found {settings.offset}", subject="offset")
    for text in (settings.reference_filter or "").split(",") if settings.reference_filter is not None else ():
        if not _FILTER.fullmatch(text.strip()):
            expected = f"filters of {', '.join(REFERENCE_FILTERS)} with commas between them"
            raise InputError(f"expected {expected}; found {text.strip()!r}", subject="reference_filter")
    if settings.model is not None and settings.codec_comparison:
        raise InputError("it selects the model itself: give only one of the two", subject="codec_comparison")


def _check_raw(raw: RawFormat) -> None:
    if not re.fullmatch(r"[1-9]\d{0,5}(\.\d{1,6})?(/[1-9]\d{0,5})?", raw.rate):
        raise InputError(f"expected frames a second such as 30000/1001, found {raw.rate!r}", subject="rate")
    if not re.fullmatch(r"[a-z0-9]{3,20}", raw.pixel_format):
        raise InputError(
            f"expected ffmpeg's name of a format, found {raw.pixel_format!r}", subject="pixel_format"
        )


def shared_filters(filters: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Of an encode's filters those that its reference gets as well, and the others: part of the loss.

    >>> shared_filters("yadif=1, hqdn3d=4:3")
    ('yadif=1', ('hqdn3d=4:3',))
    """
    texts = (filters or "").replace(" ", "").split(",")
    shared = [text for text in texts if text.partition("=")[0] in REFERENCE_FILTERS]
    return ",".join(shared) or None, tuple(text for text in texts if text and text not in shared)


def chosen_models(settings: QualitySettings, width: int, height: int, subject: str) -> tuple[str, ...]:
    """libvmaf's names of the models for a comparison of this size, the main one first.

    Raises
    ------
    MediaError
        The pictures of ``subject`` are too small for a model.
    """
    longer, lines = max(width, height), min(width, height)  # a phone's upright 1080x1920 has 1080 lines
    main = settings.model or ("neg" if settings.codec_comparison else "4k" if lines > _HD_LINES else "hd")
    aliases = _aliases(uhd=lines > _HD_LINES)
    models = tuple(dict.fromkeys(aliases.get(name, name) for name in (main, *settings.extra_models)))
    for model in models:
        least = _MIN_SIZE.get(model, _V1_MIN_SIZE if "_v1." in model else _V0_MIN_SIZE)
        if longer < least[0] or lines < least[1]:
            raise MediaError(
                f"{model} needs at least {least[0]}x{least[1]}, found {width}x{height}", subject=subject
            )
    return models


def metric_problem(metric: str, width: int, height: int) -> str | None:
    """Why one of `METRICS` cannot be had of such pictures; None where it can."""
    longer, lines = max(width, height), min(width, height)
    if metric == "ms_ssim" and lines < _MS_SSIM_LEAST_SIDE:
        return f"libvmaf needs {_MS_SSIM_LEAST_SIDE} lines and columns"
    least, most = _CAMBI_LONGER_SIDE
    if metric == "cambi" and not least <= longer <= min(most, _CAMBI_LONGEST_SHAPE * lines):
        return f"libvmaf needs a longer side of {least} to {most} pixels, at most ten times the shorter one"
    return None


def _aliases(*, uhd: bool) -> dict[str, str]:
    return {
        "hd": "vmaf_v0.6.1",
        "4k": "vmaf_4k_v0.6.1",
        "neg": "vmaf_4k_v0.6.1neg" if uhd else "vmaf_v0.6.1neg",
        "phone": f"vmaf_v0.6.1{PHONE}",
        "v1": "vmaf_v1.0.16_1d5h_2160" if uhd else "vmaf_v1.0.16_3d0h",
    }
