"""The encoders that a scenario may name: their preset and quality scales, and ffmpeg's options for them.

Presets are ordered from fast to slow, as ``ffmpeg -h encoder=NAME`` lists them. Scales of different encoders
do not compare: SVT-AV1's 8 is no more "the same" as x264's ``medium`` than libaom's is.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ALIASES = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "vvc": "libvvenc",
}
"""Names of formats, and the software encoder that each stands for: never a device that may not be there."""


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
_OTHER_PRESETS = {
    "libvpx": _numbers(16, 0),
    "librav1e": _numbers(10, 0),
    "h264_amf": ("speed", "balanced", "quality"),
    "hevc_amf": ("speed", "balanced", "quality"),
    "av1_amf": ("speed", "balanced", "quality", "high_quality"),
}
"""Of encoders that only results of other suites name, fast to slow."""
_OTHER_WORST_QUALITY = {"libvpx": 63.0, "librav1e": 255.0}
_USUAL_WORST_QUALITY = 51.0


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
    parameters: str | None = None
    """The option that takes its library's own parameters, all in one list: ``key=value:...``."""
    parameter_separator: str = ":"
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
    constant_rate_only: bool = False
    """Whether it gives frames wrong times when they come at unequal distances (tried)."""
    two_pass: bool = False
    """Whether it has ffmpeg's ``-pass``."""


def _nvenc(name: str, worst_quality: float) -> Encoder:
    return Encoder(
        name=name,
        kind="gpu",
        presets=_NVENC,
        default_preset="p4",
        bitrate=("-rc", "vbr", "-b:v", "{}"),
        constant_quality=("-rc", "vbr", "-cq", "{}", "-b:v", "0"),
        quality_range=(1, worst_quality),
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


def _vaapi(name: str, quality_option: str, worst_quality: float) -> Encoder:
    return Encoder(
        name=name,
        kind="gpu",
        presets=_VAAPI,
        default_preset="4",
        preset=("-compression_level", "{}"),
        bitrate=("-rc_mode", "VBR", "-b:v", "{}"),
        constant_quality=("-rc_mode", "CQP", quality_option, "{}"),
        quality_range=(1, worst_quality),
        threads=(),
        device=("-vaapi_device", "/dev/dri/renderD128"),
        upload="format=nv12,hwupload",
    )


_TABLE = (
    Encoder(
        name="libx264",
        presets=_X26X,
        default_preset="medium",
        parameters="-x264-params",
        even_sides=True,
        two_pass=True,
    ),
    Encoder(
        name="libx265",
        presets=_X26X,
        default_preset="medium",
        threads=("-x265-params", "pools={}"),
        parameters="-x265-params",
        even_sides=True,
        two_pass=True,
    ),
    Encoder(
        name="libsvtav1",
        presets=_numbers(13, 0),
        default_preset="10",
        quality_range=(1, 63),
        threads=("-svtav1-params", "lp={}"),
        parameters="-svtav1-params",
        two_pass=True,
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
        two_pass=True,
    ),
    Encoder(
        name="libaom-av1",
        presets=_numbers(8, 0),
        default_preset="6",
        preset=("-cpu-used", "{}"),
        constant_quality=("-crf", "{}", "-b:v", "0"),
        quality_range=(0, 63),
        parameters="-aom-params",
        fixed=("-row-mt", "1"),
        offline=("-usage", "good"),
        live=("-usage", "realtime"),
        two_pass=True,
    ),
    Encoder(
        name="libvvenc",
        presets=_VVENC,
        default_preset="faster",
        constant_quality=("-qp", "{}"),
        quality_range=(0, 63),
        parameters="-vvenc-params",
        even_sides=True,
        constant_rate_only=True,
        two_pass=True,
    ),
    _nvenc("h264_nvenc", 51),
    _nvenc("hevc_nvenc", 51),
    _nvenc("av1_nvenc", 63),
    *(_qsv(name) for name in ("h264_qsv", "hevc_qsv", "av1_qsv", "vp9_qsv")),
    _vaapi("h264_vaapi", "-qp", 52),
    _vaapi("hevc_vaapi", "-qp", 52),
    # these two have no -qp: the index of the quantizer goes by the general option
    _vaapi("av1_vaapi", "-global_quality", 255),
    _vaapi("vp9_vaapi", "-global_quality", 255),
)

ENCODERS: dict[str, Encoder] = {encoder.name: encoder for encoder in _TABLE}


def find_encoder(name: str) -> Encoder | None:
    """The encoder called ``name``, or that a format of this name stands for; None where there is none.

    >>> find_encoder("hevc").name
    'libx265'
    """
    return ENCODERS.get(ALIASES.get(name, name))


def effort(encoder: str | None, preset: str | None) -> float | None:
    """A preset on one scale: 0 the slowest of its encoder, 1 the fastest; None where it is not known.

    A word that is not on the encoder's own scale is taken for x264's, as other suites use them.

    >>> effort("libx264", "medium"), effort("libsvtav1", "13"), effort("h264_nvenc", "p7")
    (0.4444444444444444, 1.0, 0.0)
    """
    if preset is None or encoder is None:
        return None
    word = preset.strip().lower()
    own_scale = ENCODERS[encoder].presets if encoder in ENCODERS else _OTHER_PRESETS.get(encoder, ())
    for scale in (own_scale, _X26X):
        if word in scale:
            return 1 - scale.index(word) / (len(scale) - 1)
    return None


def quality_level(encoder: str | None, crf: float) -> float:
    """Where ``crf`` lies on the encoder's scale of constant quality: 0 the best, 1 the worst."""
    if encoder in ENCODERS:
        best, worst = ENCODERS[encoder].quality_range
    else:
        best, worst = 0.0, _OTHER_WORST_QUALITY.get(encoder or "", _USUAL_WORST_QUALITY)
    return min(max((crf - best) / (worst - best), 0.0), 1.0)
