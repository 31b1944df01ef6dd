"""The encoders a scenario may name, each with its own preset scale and its own words for quality.

Presets are ordered from fast to slow. Scales of different encoders do not compare: SVT-AV1's 8 is no more
"the same" as x264's ``medium`` than libaom's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

__all__ = ["ENCODERS", "Encoder"]


def _numbers(fast: int, slow: int) -> tuple[str, ...]:
    return tuple(str(n) for n in range(fast, slow - 1, -1))


_X26X = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_VVENC = ("faster", "fast", "medium", "slow", "slower")
_NVENC = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
_QSV = ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_VAAPI = _numbers(7, 1)


class Encoder(Struct, frozen=True, kw_only=True):
    """How to ask one encoder for what a scenario wants. ``{}`` in a template is the value."""

    name: str
    """ffmpeg's name of it."""
    kind: Literal["cpu", "gpu"] = "cpu"
    presets: tuple[str, ...]
    default_preset: str
    preset: tuple[str, ...] = ("-preset", "{}")
    bitrate: tuple[str, ...] = ("-b:v", "{}")
    constant_quality: tuple[str, ...] = ("-crf", "{}")
    quality_range: tuple[float, float] = (0, 51)
    """The scale of ``crf`` for this encoder, best first."""
    threads: tuple[str, ...] = ("-threads", "{}")
    fixed: tuple[str, ...] = ()
    """Always given."""
    offline: tuple[str, ...] = ()
    """Given when the input is read as fast as it can be."""
    live: tuple[str, ...] = ()
    """Given when the input is read in real time."""
    device: tuple[str, ...] = ()
    """Before the input: the device that the encoder needs."""
    upload: str | None = None
    """The filter that brings frames to the device."""
    even_sides: bool = False
    """Whether it refuses an odd width or height with the usual sampling, 4:2:0 (tried)."""


def _nvenc(name: str) -> Encoder:
    return Encoder(
        name=name,
        kind="gpu",
        presets=_NVENC,
        default_preset="p4",
        bitrate=("-rc", "vbr", "-b:v", "{}"),
        constant_quality=("-rc", "vbr", "-cq", "{}", "-b:v", "0"),
        threads=(),
    )


def _qsv(name: str) -> Encoder:
    return Encoder(
        name=name,
        kind="gpu",
        presets=_QSV,
        default_preset="medium",
        constant_quality=("-global_quality", "{}"),
        quality_range=(1, 51),
        threads=(),
        upload="format=nv12",
    )


def _vaapi(name: str) -> Encoder:
    return Encoder(
        name=name,
        kind="gpu",
        presets=_VAAPI,
        default_preset="4",
        preset=("-compression_level", "{}"),
        bitrate=("-rc_mode", "VBR", "-b:v", "{}"),
        constant_quality=("-rc_mode", "CQP", "-qp", "{}"),
        quality_range=(1, 52),
        threads=(),
        device=("-vaapi_device", "/dev/dri/renderD128"),
        upload="format=nv12,hwupload",
    )


_TABLE: Sequence[Encoder] = (
    Encoder(name="libx264", presets=_X26X, default_preset="medium", even_sides=True),
    Encoder(
        name="libx265",
        presets=_X26X,
        default_preset="medium",
        threads=("-x265-params", "pools={}"),
        even_sides=True,
    ),
    Encoder(
        name="libsvtav1",
        presets=_numbers(13, 0),
        default_preset="10",
        quality_range=(1, 63),
        threads=("-svtav1-params", "lp={}"),
    ),
    Encoder(
        name="libvpx-vp9",
        presets=_numbers(8, 0),
        default_preset="4",
        preset=("-cpu-used", "{}"),
        constant_quality=("-crf", "{}", "-b:v", "0"),
        quality_range=(0, 63),
        fixed=("-row-mt", "1"),
        offline=("-deadline", "good"),
        live=("-deadline", "realtime"),
    ),
    Encoder(
        name="libaom-av1",
        presets=_numbers(8, 0),
        default_preset="6",
        preset=("-cpu-used", "{}"),
        constant_quality=("-crf", "{}", "-b:v", "0"),
        quality_range=(0, 63),
        fixed=("-row-mt", "1"),
        offline=("-usage", "good"),
        live=("-usage", "realtime"),
    ),
    Encoder(
        name="libvvenc",
        presets=_VVENC,
        default_preset="faster",
        constant_quality=("-qp", "{}"),
        quality_range=(0, 63),
        even_sides=True,
    ),
    *(_nvenc(name) for name in ("h264_nvenc", "hevc_nvenc", "av1_nvenc")),
    *(_qsv(name) for name in ("h264_qsv", "hevc_qsv", "av1_qsv", "vp9_qsv")),
    *(_vaapi(name) for name in ("h264_vaapi", "hevc_vaapi", "av1_vaapi", "vp9_vaapi")),
)

ENCODERS: dict[str, Encoder] = {encoder.name: encoder for encoder in _TABLE}
