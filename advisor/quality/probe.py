"""What a video file is: size, format, rate, and how many frames at which times.

Only packets are read, apart from one decoded frame, so that a probe costs little beside a measurement.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
from av.stream import Discard
from msgspec import Struct

from advisor.errors import MediaError
from advisor.video.ffmpeg import MEDIA_FORMATS, MOST_PIXELS, file_url

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["Media", "count_frames", "probe"]

Chroma = Literal["420", "422", "444"]

# a list of other files is refused before they are opened
_MEDIA_FILES_ONLY = {"protocol_whitelist": "file", "format_whitelist": MEDIA_FORMATS}
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # ITU-T H.273, transfer characteristics
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"}  # ITU-T H.273, matrix coefficients
_STANDARD_RATES = (
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
    *(Fraction(n) for n in (5, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)),
)


class Media(Struct, frozen=True, kw_only=True):
    """One video stream, as ffmpeg shows it (rotated by its display matrix, cropped)."""

    path: str
    width: int
    height: int
    depth: int
    """Bits a sample: 8, 10, 12 ..."""
    chroma: Chroma
    rgb: bool
    full_range: bool
    matrix: str | None
    """ffmpeg's name of the colour matrix; None when not said."""
    hdr: str | None
    """``PQ`` or ``HLG``."""
    display_aspect: float
    rate: Fraction | None
    """Nominal frames a second, gaps left out; None when the file has no timestamps."""
    frames: int
    """Packets that make a picture. Codecs with two fields in two packets count double: see `count_frames`."""
    seconds: float
    """From the first to the end of the last frame."""
    bitrate: float | None
    """Bits a second of the video packets."""


def probe(path: Path | str) -> Media:
    """Look at the first video stream of ``path``.

    Raises
    ------
    MediaError
        No such file, not a video, no decodable picture, or cut off.
    """
    with _open(path) as container:
        stream = _video(container, path)
        scan = _scan(container, stream, path)
        media = _media(path, stream, scan)
        _refuse_truncated(media, scan, _declared(stream), stream.frames)
    return media


def count_frames(path: Path | str) -> int:
    """Frames that come out of the decoder; as slow as decoding."""
    with _open(path) as container:
        stream = _video(container, path)
        stream.thread_type = "AUTO"
        try:
            return sum(1 for _ in container.decode(stream))
        except av.FFmpegError as exc:
            raise MediaError(f"cannot be decoded to its end: {_said(exc)}", subject=path) from exc


def _open(path: Path | str) -> InputContainer:
    file = Path(path)
    if not file.exists():
        raise MediaError("no such file", subject=path)
    if not file.is_file():
        raise MediaError("expected a file", subject=path)
    if not file.stat().st_size:
        raise MediaError("the file is empty", subject=path)
    try:
        return av.open(file_url(file), metadata_errors="replace", options=_MEDIA_FILES_ONLY)
    except av.ArgumentError as exc:
        raise MediaError("expected a video file, found another format", subject=path) from exc
    except (av.FFmpegError, OSError) as exc:
        raise MediaError(f"expected a video file: {_said(exc)}", subject=path) from exc


def _said(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)


def _video(container: InputContainer, path: Path | str) -> VideoStream:
    # cover art is a video stream of one picture
    found = [s for s in container.streams.video if not _attached(s)]
    if not found:
        others = {str(s.type) for s in container.streams if s not in container.streams.video}
        kinds = " and ".join(sorted(others)) or "no"
        raise MediaError(f"expected a video stream, found {kinds} streams only", subject=path)
    stream = found[0]
    if stream.codec_context is None:
        raise MediaError("its codec cannot be decoded here", subject=path)
    size = stream.codec_context.width, stream.codec_context.height
    if size[0] * size[1] > MOST_PIXELS:
        raise MediaError(f"expected at most 8192x8192 pixels, found {size[0]}x{size[1]}", subject=path)
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # whatever its frames say
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return stream


def _attached(stream: VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.__class__.attached_pic)


class _Scan(Struct):
    """The packets that are shown: their times in seconds, bytes and number; and the first picture."""

    times: list[float] = []
    size: int = 0
    count: int = 0
    frame: Any = None


def _scan(container: InputContainer, stream: VideoStream, path: Path | str) -> _Scan:
    found = _Scan()
    base = float(stream.time_base or 1)
    try:
        for packet in container.demux(stream):
            if found.frame is None:
                found.frame = next(iter(packet.decode()), None)
            if not packet.size or packet.is_discard:
                continue
            if packet.is_corrupt:
                raise MediaError(f"is damaged or cut off after {found.count} frames", subject=path)
            found.count += 1
            found.size += packet.size
            if packet.pts is not None:
                found.times.append(packet.pts * base)
    except av.FFmpegError as exc:
        raise MediaError(f"is damaged after {found.count} frames: {_said(exc)}", subject=path) from exc
    if found.frame is None:
        raise MediaError("holds no picture that can be decoded", subject=path)
    found.times.sort()
    return found


def _media(path: Path | str, stream: VideoStream, scan: _Scan) -> Media:
    context, frame, times = stream.codec_context, scan.frame, scan.times
    interval = _interval(times) if len(times) == scan.count else None
    rate = None if interval is None else _rate(interval, stream.guessed_rate)
    span = times[-1] - times[0] + (interval or 0) if times else 0.0
    width, height = frame.width, frame.height
    aspect = width / height * float(stream.sample_aspect_ratio or 1)
    if frame.rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    form = frame.format
    transfer = frame.color_trc if frame.color_trc in _HDR_TRANSFERS else context.color_trc
    return Media(
        path=str(path),
        width=width,
        height=height,
        depth=max(component.bits for component in form.components),
        chroma=_chroma(form),
        rgb=form.is_rgb,
        full_range=not form.is_rgb and _FULL_RANGE in (frame.color_range, context.color_range),
        matrix=_MATRICES.get(int(frame.colorspace)),
        hdr=_HDR_TRANSFERS.get(int(transfer)),
        display_aspect=aspect,
        rate=rate,
        frames=scan.count,
        seconds=span,
        bitrate=scan.size * 8 / span if span else None,
    )


def _chroma(form: Any) -> Chroma:
    """The sampling to compare in: the next of the three that libvmaf takes."""
    if form.is_rgb:
        return "444"
    if len(form.components) < 3:  # grey, with or without transparency
        return "420"
    luma = 1 << 12
    across, down = form.chroma_width(luma), form.chroma_height(luma)
    if across == luma:
        return "444"
    return "422" if down == luma else "420"


def _interval(times: Sequence[float]) -> float | None:
    """Usual seconds between frames, without gaps; a container's rounding averages out.

    >>> round(_interval([0.0, 0.033, 0.067, 0.1, 0.2, 0.233]), 4)
    0.0333
    """
    steps = [b - a for a, b in itertools.pairwise(times) if b > a]
    if not steps:
        return None
    usual = statistics.median(steps)
    regular = [step for step in steps if 0.5 * usual < step < 1.5 * usual]
    return sum(regular) / len(regular)


def _rate(interval: float, guessed: Fraction | None) -> Fraction:
    """What the container says when the times agree, else as measured; a standard rate where one is near.

    >>> _rate(0.03337, None), _rate(0.016681, Fraction(19001, 317)), _rate(0.1428571, Fraction(90000))
    (Fraction(30000, 1001), Fraction(60000, 1001), Fraction(7, 1))
    """
    measured = 1 / interval
    best = guessed if guessed and abs(guessed / measured - 1) < 0.005 else Fraction(measured)
    near = min(_STANDARD_RATES, key=lambda rate: abs(rate / best - 1))
    # times in milliseconds make 59.94 something like 19001/317
    if abs(near / best - 1) < (0.0003 if best is guessed else 0.005):
        return near
    return best.limit_denominator(1001)


def _declared(stream: VideoStream) -> float | None:
    """Seconds of the video track when the container states them."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION", "")  # Matroska, as ffmpeg writes it: 00:00:05.000000000
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _refuse_truncated(media: Media, scan: _Scan, declared: float | None, stated: int) -> None:
    """Compare with the number of frames (0: not stated) and the seconds that the container declares."""
    if not declared or media.rate is None:
        return
    # Matroska declares when the video ends, MP4 how long it is
    there = max(media.seconds, scan.times[-1] + 1 / float(media.rate))
    if there >= min(0.98 * declared, declared - 2.5 / float(media.rate)):
        return
    missing = (
        f"{media.frames} of {stated} frames" if stated > media.frames else f"{there:.2f} of {declared:.2f} s"
    )
    raise MediaError(f"is cut off: {missing} are there", subject=media.path)
