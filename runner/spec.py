"""What a user writes of a scenario, and everything that can be wrong with it, at once.

Batch files may come from somebody else. Nothing in them reaches a shell, and no text in them can become
another option of ffmpeg's, open a file or a connection that is not named as input, or write one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from advisor.common.near import did_you_mean
from advisor.errors import InputError
from advisor.results.derived import parse_bitrate_kbps
from advisor.video.encoders import ENCODERS, Encoder, find_encoder

MAX_STREAMS = 256
MAX_FPS = 480
_MAX_SIDE = 16384

AUDIO_ENCODERS = ("aac", "libfdk_aac", "libopus", "libmp3lame", "ac3", "eac3", "flac", "alac")
HARDWARE_DECODERS = ("cuda", "qsv", "vaapi", "vulkan")
FILTERS = (
    *("bwdif", "decimate", "detelecine", "estdif", "fieldmatch", "fps", "framerate", "minterpolate"),
    *("mpdecimate", "pullup", "w3fdif", "yadif", "crop", "hflip", "pad", "transpose", "vflip"),
    *("atadenoise", "bm3d", "cas", "deband", "deblock", "fftdnoiz", "gradfun", "hqdn3d", "median"),
    *("nlmeans", "noise", "owdenoise", "removegrain", "smartblur", "unsharp", "vaguedenoiser"),
    *("colorbalance", "colorlevels", "colormatrix", "colorspace", "eq", "format", "hue", "setdar"),
    *("setfield", "setparams", "setsar", "tonemap", "zscale"),
)
"""Filters of one picture into one that neither open a file nor a connection, nor change the size unseen."""
_FILTER_TEXT = re.compile(r"[A-Za-z0-9_=:.,+*/()|% -]{1,1000}")
_PIXEL_FORMAT = re.compile(r"[a-z0-9]{2,20}")
_OPTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OPTION_VALUE = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_FIELD_OF_OPTION = {
    **dict.fromkeys(("preset", "cpu-used", "compression_level"), "preset"),
    **dict.fromkeys(("crf", "cq", "qp", "q", "global_quality"), "crf"),
    **dict.fromkeys(("b", "pass", "passlogfile", "stats"), "bitrate and passes"),
    **dict.fromkeys(("threads", "pix_fmt", "r", "s"), "threads, pixel_format, fps and resolution"),
}
_FILE_PARAMETERS = re.compile(
    r"(?:^|[:,])\s*-*(?:\w[\w-]*(?:file|log|-save|-load|-reuse)|stats|csv\S*|recon\w*|dump\S*|input\S*|output\S*"
    r"|bitstream\w*|scaling-list|lambda\S*|cqm\w*|fgs-table|dhdr10-info|dolby-vision-rpu|summary\S*)\s*=",
    re.IGNORECASE,
)
"""Of encoders' own ``key=value:...`` lists: what makes them read or write a file."""
_ADDRESS = re.compile(r"(\w+://)(?!HOST/)[^\s'\"]+")

Number = int | float
Bitrate = str | int | float
_QUESTIONED_KBPS = 1e6
"""From which a number without a unit is most likely in bit/s."""


class RungSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rung of a ladder, as written."""

    resolution: str | None = None
    bitrate: Bitrate | None = None
    crf: Number | None = None


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario, as written in a batch file or on the command line."""

    name: str | None = None
    type: Literal["baseline", "single", "multi"] | None = None
    """Follows from the other fields; ``baseline`` is an idle run."""
    encoder: str = "libx264"
    preset: str | int | None = None
    bitrate: Bitrate | None = None
    """``2500k``, ``2.5M``; a bare number is kbit/s."""
    crf: Number | None = None
    """Constant quality on the encoder's own scale, instead of a bitrate."""
    resolution: str | None = None
    """``1280x720``; without it the input's own."""
    fps: Number | str | None = None
    """A constant rate, such as 25 or ``30000/1001``; without it every frame keeps its own time."""
    filters: str | None = None
    """ffmpeg filters before everything else, such as ``yadif`` or ``crop=640:360,hqdn3d``."""
    pixel_format: str | None = None
    """Of the encode, such as ``yuv420p10le``; without it the input's, as far as the encoder takes it."""
    encoder_options: dict[str, Number | str] = {}
    """Further options of the encoder, by ffmpeg's names: ``{tune: film, g: 50}``."""
    passes: int = 1
    """2: a first pass that only looks at the video, in the same measuring window."""
    audio: str | None = None
    """``copy``, or an encoder such as ``aac``; without it only video is encoded."""
    audio_bitrate: Bitrate | None = None
    hardware_decoding: str | None = None
    """``cuda``, ``qsv``, ``vaapi`` or ``vulkan``."""
    threads: int | None = None
    streams: int = 1
    bitrates: list[Bitrate] | None = None
    """Concurrent streams of different bitrates, one process each."""
    ladder: list[RungSpec] | None = None
    """Several renditions from one process and one decode."""
    realtime: bool = False
    """Read the input at its own frame rate."""
    rtmp: str | None = None
    sink: Literal["file", "null"] = "file"
    viewers: int | None = None
    input: str | None = None
    duration: Number | None = None
    media_duration: Number | None = None


def refuse(subject: object, problems: Sequence[str]) -> None:
    """Raise one `InputError` that names all ``problems`` (``field: expectation``); nothing for none.

    Of an address, which may hold a password or a stream key, only the scheme is told.
    """
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise InputError(_ADDRESS.sub(r"\1...", "; ".join(problems[:5])) + more, subject=subject)


def spec_problems(spec: Spec) -> list[str]:
    """Everything that is wrong with ``spec``, as ``field: expectation``; empty when it can be resolved."""
    if spec.type == "baseline":
        return list(_range_problems(spec))
    parts = (_encoder_problems, _range_problems, _media_problems, _shape_problems)
    return [problem for part in parts for problem in part(spec)]


def is_text(text: str) -> bool:
    """Whether a result file can hold ``text``; it cannot hold what an undecodable file name becomes."""
    return text.encode(errors="ignore").decode() == text


def frame_rate(value: Number | str) -> Fraction | None:
    """Frames a second, exactly as written; None where it is no positive number.

    >>> frame_rate("30000/1001"), frame_rate(23.976), frame_rate("fast")
    (Fraction(30000, 1001), Fraction(2997, 125), None)
    """
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return None
    return rate if rate > 0 else None


def _encoder_problems(spec: Spec) -> Iterator[str]:
    encoder = find_encoder(spec.encoder)
    if encoder is None:
        yield f"encoder: no encoder {spec.encoder!r}, {did_you_mean(spec.encoder, ENCODERS)}"
        return
    if spec.preset is not None and str(spec.preset) not in encoder.presets:
        presets = ", ".join(encoder.presets)
        yield f"preset: expected one of {encoder.name}'s {presets}; found {str(spec.preset)!r}"
    low, high = encoder.quality_range
    for place, rung in _places(spec):
        if rung.crf is not None and not low <= rung.crf <= high:
            yield f"{place}crf: expected {low:g} to {high:g} for {encoder.name}, found {rung.crf:g}"
        if encoder.even_sides and any(side % 2 for side in _size(rung.resolution or "") or ()):
            yield f"{place}resolution: expected even sides for {encoder.name}, found {rung.resolution!r}"
    yield from _pass_problems(spec, encoder)
    yield from _option_problems(spec)


def _pass_problems(spec: Spec, encoder: Encoder) -> Iterator[str]:
    if spec.passes not in (1, 2):
        yield f"passes: expected 1 or 2, found {spec.passes}"
    if spec.passes == 2 and not encoder.two_pass:
        yield f"passes: expected 1, as {encoder.name} has no second pass in ffmpeg"
    if spec.passes == 2 and (spec.realtime or spec.rtmp is not None):
        yield "passes: expected 1 for a live encode"
    if spec.passes == 2 and any(rung.crf is not None for _, rung in _places(spec)):
        yield "passes: expected bitrates for two passes, found a crf"


def _option_problems(spec: Spec) -> Iterator[str]:
    for name, value in spec.encoder_options.items():
        place = f"encoder_options.{name}"
        if not _OPTION_NAME.fullmatch(name):
            yield f"encoder_options: expected names of options without a dash in front, found {name!r}"
        elif name in _FIELD_OF_OPTION:
            yield f"{place}: expected {_FIELD_OF_OPTION[name]} to be given by fields of the scenario"
        elif not _OPTION_VALUE.fullmatch(str(value)):
            yield f"{place}: expected 1 to 1000 printable characters, found {str(value)[:60]!r}"
        elif _FILE_PARAMETERS.search(f"{name}={value}") or _FILE_PARAMETERS.search(str(value)):
            yield f"{place}: expected nothing that names a file, found {str(value)[:60]!r}"


def _places(spec: Spec) -> Iterator[tuple[str, RungSpec]]:
    if spec.ladder is None:
        yield "", RungSpec(resolution=spec.resolution, bitrate=spec.bitrate, crf=spec.crf)
    for index, rung in enumerate(spec.ladder or ()):
        yield f"ladder[{index}].", rung


def _range_problems(spec: Spec) -> Iterator[str]:
    limits: tuple[tuple[str, Number | None, float, float], ...] = (
        ("threads", spec.threads, 1, 512),
        ("streams", spec.streams, 1, MAX_STREAMS),
        ("viewers", spec.viewers, 0, 1e12),
        ("duration", spec.duration, 0.1, 86_400),
        ("media_duration", spec.media_duration, 0.1, 86_400),
    )
    for field, value, low, high in limits:
        if value is not None and not low <= value <= high:
            yield f"{field}: expected {low:g} to {high:g}, found {value:g}"
    rate = None if spec.fps is None else frame_rate(spec.fps)
    if spec.fps is not None and (rate is None or not 1 <= rate <= MAX_FPS):
        yield f"fps: expected 1 to {MAX_FPS} frames a second, such as 25 or 30000/1001, found {spec.fps!r}"
    if spec.name is not None and (not spec.name.strip() or len(spec.name.splitlines()) > 1):
        yield "name: expected one line of text"
    for field in ("name", "input", "rtmp"):
        if not is_text(getattr(spec, field) or ""):
            yield f"{field}: expected text that UTF-8 can hold"


def _media_problems(spec: Spec) -> Iterator[str]:
    """What is wrong with filters, formats and sound."""
    if spec.filters is not None:
        if not _FILTER_TEXT.fullmatch(spec.filters):
            yield f"filters: expected no quotes, brackets or backslashes, found {spec.filters[:60]!r}"
        for name in (part.partition("=")[0].strip() for part in spec.filters.split(",")):
            if name == "scale":
                yield "filters: expected a new size in resolution, found scale"
            elif name not in FILTERS:
                yield f"filters: no filter {name!r}, {did_you_mean(name, FILTERS)}"
    if spec.pixel_format is not None and not _PIXEL_FORMAT.fullmatch(spec.pixel_format):
        yield f"pixel_format: expected a name such as yuv420p10le, found {spec.pixel_format[:60]!r}"
    if spec.audio not in (None, "copy", *AUDIO_ENCODERS):
        yield f"audio: expected one of copy, {', '.join(AUDIO_ENCODERS)}, found {spec.audio!r}"
    if spec.audio_bitrate is not None:
        yield from _bitrate_problems("audio_bitrate", spec.audio_bitrate)
        if spec.audio in (None, "copy"):
            yield "audio_bitrate: expected an encoder in audio beside it"
    if spec.hardware_decoding not in (None, *HARDWARE_DECODERS):
        decoders = ", ".join(HARDWARE_DECODERS)
        yield f"hardware_decoding: expected one of {decoders}, found {spec.hardware_decoding!r}"


def _shape_problems(spec: Spec) -> Iterator[str]:
    for place, rung in _places(spec):
        yield from _rung_problems(place, rung, needs_rate=spec.bitrates is None)
    for index, bitrate in enumerate(spec.bitrates or ()):
        yield from _bitrate_problems(f"bitrates[{index}]", bitrate)
    if spec.ladder is not None:
        if len(spec.ladder) < 2:
            yield f"ladder: expected at least 2 rungs, found {len(spec.ladder)}"
        if spec.bitrate is not None or spec.crf is not None or spec.resolution is not None:
            yield "ladder: expected resolution, bitrate and crf inside the rungs only"
    if spec.bitrates is not None:
        if not spec.bitrates:
            yield "bitrates: expected at least one"
        if spec.ladder is not None or spec.bitrate is not None or spec.crf is not None or spec.streams != 1:
            yield "bitrates: expected no bitrate, crf, streams or ladder beside it"
    if spec.rtmp is not None and not spec.rtmp.startswith(("rtmp://", "rtmps://")):
        yield "rtmp: expected rtmp://HOST/APP/STREAM"
    if spec.type == "single" and (spec.streams > 1 or spec.bitrates is not None):
        yield "type: expected multi for several streams, found single"


def _rung_problems(place: str, rung: RungSpec, *, needs_rate: bool) -> Iterator[str]:
    if needs_rate and (rung.bitrate is None) == (rung.crf is None):
        given = "neither" if rung.crf is None else "both"
        yield f"{place}bitrate: expected either a bitrate or a crf, found {given}"
    if rung.bitrate is not None:
        yield from _bitrate_problems(f"{place}bitrate", rung.bitrate)
    if rung.resolution is not None and _size(rung.resolution) is None:
        yield f"{place}resolution: expected WIDTHxHEIGHT such as 1280x720, found {rung.resolution!r}"


def _bitrate_problems(field: str, value: Bitrate) -> Iterator[str]:
    kbps = parse_bitrate_kbps(str(value))
    if kbps is None or not 1 <= kbps <= 1e7:
        yield f"{field}: expected kbit/s or text such as 2500k or 5M, found {value!r}"
    elif kbps >= _QUESTIONED_KBPS and not str(value)[-1:].isalpha():
        yield f"{field}: {value} kbit/s is more than any video needs: is it in bit/s (then {kbps / 1000:g}k)?"


def _size(resolution: str) -> list[int] | None:
    """Width and height; None where they are not written as plain numbers, or no encoder takes them."""
    if not re.fullmatch(r"[1-9][0-9]{1,4}x[1-9][0-9]{1,4}", resolution):
        return None
    size = [int(side) for side in resolution.split("x")]
    return size if all(16 <= side <= _MAX_SIDE for side in size) else None
