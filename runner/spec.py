"""What a user writes of a scenario, and everything that can be wrong with it, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from advisor.common.near import did_you_mean
from advisor.errors import InputError
from advisor.results.derived import parse_bitrate_kbps, parse_resolution
from runner.encoders import ENCODERS

__all__ = ["Bitrate", "RungSpec", "Spec", "is_text", "refuse", "spec_problems"]

MAX_STREAMS = 256
MAX_FPS = 480
_MAX_SIDE = 16384

Number = int | float
Bitrate = str | int | float


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
    fps: Number | None = None
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
    """Raise one `InputError` that names all ``problems`` (``field: expectation``); nothing for none."""
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise InputError("; ".join(problems[:5]) + more, subject=subject)


def spec_problems(spec: Spec) -> list[str]:
    """Everything that is wrong with ``spec``, as ``field: expectation``; empty when it can be resolved."""
    if spec.type == "baseline":
        return list(_range_problems(spec))
    return [*_encoder_problems(spec), *_range_problems(spec), *_shape_problems(spec)]


def is_text(text: str) -> bool:
    """Whether a result file can hold ``text``; it cannot hold what an undecodable file name becomes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoder_problems(spec: Spec) -> Iterator[str]:
    encoder = ENCODERS.get(spec.encoder)
    if encoder is None:
        yield f"encoder: no encoder {spec.encoder!r}, {did_you_mean(spec.encoder, ENCODERS)}"
        return
    if spec.preset is not None and str(spec.preset) not in encoder.presets:
        known = ", ".join(encoder.presets)
        yield f"preset: expected one of {encoder.name}'s {known}; found {str(spec.preset)!r}"
    low, high = encoder.quality_range
    for place, rung in _places(spec):
        if rung.crf is not None and not low <= rung.crf <= high:
            yield f"{place}crf: expected {low:g} to {high:g} for {encoder.name}, found {rung.crf:g}"
        if encoder.even_sides and _has_odd_side(rung.resolution):
            yield f"{place}resolution: expected even sides for {encoder.name}, found {rung.resolution!r}"


def _places(spec: Spec) -> Iterator[tuple[str, RungSpec]]:
    if spec.ladder is None:
        yield "", RungSpec(resolution=spec.resolution, bitrate=spec.bitrate, crf=spec.crf)
    for index, rung in enumerate(spec.ladder or ()):
        yield f"ladder[{index}].", rung


def _range_problems(spec: Spec) -> Iterator[str]:
    limits: tuple[tuple[str, Number | None, float, float], ...] = (
        ("fps", spec.fps, 1, MAX_FPS),
        ("threads", spec.threads, 1, 512),
        ("streams", spec.streams, 1, MAX_STREAMS),
        ("viewers", spec.viewers, 0, 1e12),
        ("duration", spec.duration, 0.1, 86_400),
        ("media_duration", spec.media_duration, 0.1, 86_400),
    )
    for field, value, low, high in limits:
        if value is not None and not low <= value <= high:
            yield f"{field}: expected {low:g} to {high:g}, found {value:g}"
    if spec.name is not None and not spec.name.strip():
        yield "name: expected some text"
    for field in ("name", "input", "rtmp"):
        if not is_text(getattr(spec, field) or ""):
            yield f"{field}: expected text that UTF-8 can hold"


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
        yield f"rtmp: expected rtmp://HOST/APP/STREAM, found {spec.rtmp!r}"
    if spec.type == "single" and (spec.streams > 1 or spec.bitrates is not None):
        yield "type: expected multi for several streams, found single"


def _rung_problems(place: str, rung: RungSpec, *, needs_rate: bool) -> Iterator[str]:
    if needs_rate and (rung.bitrate is None) == (rung.crf is None):
        found = "neither" if rung.crf is None else "both"
        yield f"{place}bitrate: expected either a bitrate or a crf, found {found}"
    if rung.bitrate is not None:
        yield from _bitrate_problems(f"{place}bitrate", rung.bitrate)
    if rung.resolution is not None and not _is_resolution(rung.resolution):
        yield f"{place}resolution: expected WIDTHxHEIGHT such as 1280x720, found {rung.resolution!r}"


def _bitrate_problems(field: str, value: Bitrate) -> Iterator[str]:
    kbps = parse_bitrate_kbps(str(value))
    if kbps is None or not 1 <= kbps <= 1e7:
        yield f"{field}: expected kbit/s or text such as 2500k or 5M, found {value!r}"


def _has_odd_side(resolution: str | None) -> bool:
    known = resolution is not None and _is_resolution(resolution)
    return known and any(side % 2 for side in parse_resolution(resolution) or ())


def _is_resolution(text: str) -> bool:
    width, separator, height = text.partition("x")
    if not (separator and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        return False
    size = parse_resolution(text)
    return (
        size is not None and all(16 <= side <= _MAX_SIDE for side in size) and f"{size[0]}x{size[1]}" == text
    )
