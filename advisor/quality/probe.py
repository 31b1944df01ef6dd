"""What a video file is: size, format, colour, rate, and how many frames at which times.

Only packets are read, apart from the first decoded frame, so that a probe costs little beside a measurement.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
import av.logging
from av.codec.context import Flags
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import InputError, MediaError
from advisor.quality.completeness import bytes_missing
from advisor.quality.settings import RawFormat
from advisor.video.ffmpeg import MOST_PIXELS, file_url, shown
from advisor.video.packets import demuxed, films, first_video, opened

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Chroma = Literal["400", "420", "422", "444"]

RAW_SUFFIXES = (".yuv", ".raw", ".rgb", ".gray")
_PICTURE_SUFFIXES = (
    *(".bmp", ".dpx", ".exr", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff"),
    ".webp",
)
_PQ = 16
_HDR_TRANSFERS = {_PQ: "PQ", 18: "HLG"}  # ITU-T H.273, transfer characteristics
_RANGES: dict[int, Literal["tv", "pc"]] = {1: "tv", 2: "pc"}  # AVCOL_RANGE_MPEG and _JPEG
# ITU-T H.273, matrix coefficients; 5 and 6 have the same numbers
_MATRICES = {1: "bt709", 4: "fcc", 5: "smpte170m", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
_UNSPECIFIED = (0, 2, 3)
_SIZING = ("crop", "pad", "transpose")
"""Filters that change the size of a picture, of those that may be put on a reference."""
_REORDER = 16
"""Frames by which the order of decoding and that of showing may differ."""
_INTERLACED_ORDERS = (2, 3, 4, 5)  # AV_FIELD_TT, BB, TB, BT
_CROPPING = re.compile(r"Frame cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
_DOLBY_VISION_5 = re.compile(r"DOVI configuration record: .*profile: 5,")
"""Its colours are PQ, and no tag of the video says so."""
_DESCRIBING = threading.Lock()
_STANDARD_RATES = (
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
    *(Fraction(n) for n in (5, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)),
)


class Colour(Struct, frozen=True, kw_only=True):
    """What a file says of its colours; None where it says nothing."""

    range: Literal["tv", "pc"] | None = None
    matrix: str | None = None
    """ffmpeg's name of the colour matrix; its code point where ffmpeg's ``scale`` takes no such frames."""
    primaries: int | None = None
    """Code point of ITU-T H.273, as is ``transfer``."""
    transfer: int | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether ffmpeg can convert nothing of such a matrix."""
        return self.matrix is not None and self.matrix not in _MATRICES.values()

    @property
    def hdr(self) -> str | None:
        """``PQ`` or ``HLG``."""
        return _HDR_TRANSFERS.get(self.transfer or 0)


class Media(Struct, frozen=True, kw_only=True):
    """One video stream, as ffmpeg shows it (rotated by its display matrix, cropped)."""

    path: str
    width: int
    height: int
    depth: int
    """Bits a sample: 8, 10, 12 ..."""
    chroma: Chroma
    """``400`` for grey."""
    rgb: bool
    colour: Colour
    display_aspect: float
    rate: Fraction | None
    """Nominal frames a second, gaps left out; None when the file has no timestamps."""
    frames: int
    """Packets that make a picture. Codecs with two fields in two packets count double."""
    seconds: float
    """From the first to the end of the last frame."""
    bitrate: float | None
    """Bits a second of the video packets."""
    times: tuple[float, ...] = ()
    """Of the frames in the order in which they are shown, in seconds from the start of the file."""
    began_seconds: float = 0.0
    """The start of the file on its own clock."""
    key_times: tuple[float, ...] = ()
    """Of the frames from which it can be decoded, as ``times``."""
    durations: tuple[float, ...] = ()
    """Seconds that each frame says to last, as ``times``; 0 where the file does not say."""
    interlaced: bool = False
    films: int = 1
    """Video streams that are no attached pictures; the first is this one."""
    suspect: bool = False
    """The container marks a packet as damaged."""
    reads_as: tuple[str, ...] = ()
    """Options of ffmpeg for an input that does not describe itself: raw samples, numbered pictures."""
    opens: str = ""
    """What ffmpeg is given behind ``-i``."""


def probe(path: Path | str, raw: RawFormat | None = None) -> Media:
    """Look at the first video stream of ``path``, which may also name numbered pictures (``%04d.png``).

    Raises
    ------
    MediaError
        No such file, not a video, no decodable picture, or cut off.
    """
    url, options = _source(path, raw)
    with _open(path, url, options) as container:
        stream = _video(container, path)
        scan = _scan(container, stream, path)
        media = _media(path, stream, scan, container.start_time, _described(container, stream))
        media = replace(media, reads_as=options, opens=url)
        _refuse_truncated(media, stream.frames)
    return media


def intact_frames(media: Media) -> int:
    """Frames before the first one that the decoder had to guess; as slow as decoding.

    The container's mark stands at the packet before the damaged one: a parser gives a packet away when the
    next one begins. Where streams were joined the last packet of the first is whole and yet marked, so what
    is followed by a key frame does not count.
    """
    with _open(media.path, media.opens, media.reads_as) as container:
        stream = _video(container, media.path)
        marked: list[tuple[int, int]] = []
        keys: set[int] = set()
        times: list[int] = []
        guessed = 1 << 62
        for number, packet in enumerate(demuxed(container, stream)):
            if packet.is_corrupt and packet.pts is not None:
                marked.append((number, packet.pts))
            if packet.is_keyframe:
                keys.add(number)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                guessed = min(guessed, len(times))
                continue
            for frame in frames:
                if frame.is_corrupt:
                    guessed = min(guessed, len(times))
                times.append(frame.pts if frame.pts is not None else -1)
    for number, time in marked:
        if number + 2 not in keys:
            around = range(max(0, number - _REORDER), len(times))
            guessed = min(guessed, next((n for n in around if times[n] >= time), len(times)))
    return min(guessed, len(times))


def seen_through(media: Media, filters: str) -> Media:
    """``media`` with the size that ``filters`` leave of its picture.

    Raises
    ------
    InputError
        ffmpeg refuses them for such a picture.
    """
    chain = [part.strip().partition("=") for part in filters.split(",")]
    chain = [part for part in chain if part[0] in _SIZING]
    if not chain:
        return media
    pixels = "gbrp" if media.rgb else "gray" if media.chroma == "400" else f"yuv{media.chroma}p"
    form = av.VideoFormat(pixels, media.width, media.height)
    graph = av.filter.Graph()
    try:
        nodes = [
            graph.add_buffer(width=form.width, height=form.height, format=form, time_base=Fraction(1, 25))
        ]
        nodes += [graph.add(name, arguments) for name, _, arguments in chain]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        graph.push(av.VideoFrame(media.width, media.height, pixels))
        picture = graph.vpull()
    except (av.FFmpegError, ValueError) as exc:
        size = f"{media.width}x{media.height}"
        problem = f"ffmpeg refuses {filters!r} for {size}: {_problem(exc)}"
        raise InputError(problem, subject="reference_filter") from exc
    sample_aspect = media.display_aspect * media.height / media.width
    if sum(name == "transpose" for name, _, _ in chain) % 2:
        sample_aspect = 1 / sample_aspect
    aspect = picture.width / picture.height * sample_aspect
    return replace(media, width=picture.width, height=picture.height, display_aspect=aspect)


def _source(path: Path | str, raw: RawFormat | None) -> tuple[str, tuple[str, ...]]:
    """How ffmpeg opens ``path``: a URL, and options in front of ``-i``."""
    file = Path(path)
    if (name := shown(path)) != str(path):
        raise MediaError("expected a file, found a URL: download it first", subject=name)
    if file.suffix.lower() in _PICTURE_SUFFIXES and "%" in file.name and not file.exists():
        return _numbered_pictures(file, raw)
    if not file.exists():
        raise MediaError("no such file", subject=path)
    if not file.is_file():
        raise MediaError("expected a file", subject=path)
    if not file.stat().st_size:
        raise MediaError("the file is empty", subject=path)
    if file.suffix.lower() in RAW_SUFFIXES:
        return file_url(path), _raw_options(path, raw)
    return file_url(path), ()


def _raw_options(path: Path | str, raw: RawFormat | None) -> tuple[str, ...]:
    if raw is None or raw.size is None:
        raise MediaError("raw samples need a size and a pixel format", subject=path)
    try:
        frame = av.VideoFormat(raw.pixel_format, *raw.size)
    except ValueError as exc:
        raise MediaError(f"ffmpeg has no pixel format {raw.pixel_format!r}", subject=path) from exc
    frame_bytes = sum((c.width * c.height * (2 if c.bits > 8 else 1)) for c in frame.components)
    if Path(path).stat().st_size % frame_bytes:
        expected = f"frames of {frame_bytes} bytes ({raw.size[0]}x{raw.size[1]}, {raw.pixel_format})"
        raise MediaError(f"expected whole {expected}, found {Path(path).stat().st_size} bytes", subject=path)
    size = f"{raw.size[0]}x{raw.size[1]}"
    return (
        *("-f", "rawvideo", "-video_size", size),
        *("-pixel_format", raw.pixel_format, "-framerate", raw.rate),
    )


def _numbered_pictures(pattern: Path, raw: RawFormat | None) -> tuple[str, tuple[str, ...]]:
    """Pictures such as ``frame%04d.png``, from the lowest number on."""
    parts = re.fullmatch(r"([^%]*)%(0?)(\d*)d([^%]*)", pattern.name)
    if parts is None:
        raise MediaError("expected one number such as %04d in the name", subject=pattern)
    name = re.compile(re.escape(parts[1]) + r"(\d+)" + re.escape(parts[4]))
    folder = pattern.parent
    matches = [name.fullmatch(p.name) for p in folder.iterdir()] if folder.is_dir() else []
    numbers = sorted(int(match[1]) for match in matches if match)
    if not numbers:
        raise MediaError("no picture has such a name", subject=pattern)
    if numbers[-1] - numbers[0] + 1 != len(numbers):
        lacking = next(n for n in itertools.count(numbers[0]) if n not in numbers)
        raise MediaError(f"expected pictures numbered without a gap, {lacking} is missing", subject=pattern)
    rate = raw.rate if raw is not None else "25"
    return file_url(pattern), ("-f", "image2", "-start_number", str(numbers[0]), "-framerate", rate)


def _open(path: Path | str, url: str, reads_as: Sequence[str]) -> InputContainer:
    options = dict(zip(reads_as[::2], reads_as[1::2], strict=True))
    form = options.pop("-f", None)
    try:
        return opened(url, form, {key.removeprefix("-"): value for key, value in options.items()})
    except av.ArgumentError as exc:
        raise MediaError("expected a video file, found another format", subject=path) from exc
    except (av.FFmpegError, OSError) as exc:
        raise MediaError(f"expected a video file: {_problem(exc)}", subject=path) from exc


def _problem(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)


def _video(container: InputContainer, path: Path | str) -> VideoStream:
    try:
        stream = first_video(container)
    except LookupError:
        others = {str(s.type) for s in container.streams if s not in container.streams.video}
        kinds = f"{' and '.join(sorted(others))} streams only" if others else "none"
        raise MediaError(f"expected a video stream, found {kinds}", subject=path) from None
    if stream.codec_context is None:
        raise MediaError("this ffmpeg cannot decode its codec", subject=path)
    size = stream.codec_context.width, stream.codec_context.height
    if size[0] * size[1] > MOST_PIXELS:
        raise MediaError(f"expected at most 8192x8192 pixels, found {size[0]}x{size[1]}", subject=path)
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # whatever its frames say
    stream.codec_context.flags |= Flags.unaligned  # a picture is cut at its left as ffmpeg cuts it
    return stream


class _Scan(Struct):
    """The packets that are shown: their times in seconds, bytes and number; and the first picture."""

    shown: list[tuple[float, float]] = []
    """The time of each, and how long it says to last."""
    key_times: list[float] = []
    size: int = 0
    count: int = 0
    damaged_after: int | None = None
    frame: Any = None


def _scan(container: InputContainer, stream: VideoStream, path: Path | str) -> _Scan:
    scan = _Scan()
    base = float(stream.time_base or 1)
    try:
        for packet in demuxed(container, stream):
            if scan.frame is None:
                scan.frame = _first_picture(packet)
            if not packet.size or packet.is_discard:
                continue
            if packet.is_corrupt and scan.damaged_after is None:
                scan.damaged_after = scan.count
            scan.count += 1
            scan.size += packet.size
            if packet.pts is not None:
                scan.shown.append((packet.pts * base, (packet.duration or 0) * base))
                if packet.is_keyframe:
                    scan.key_times.append(packet.pts * base)
    except av.FFmpegError as exc:
        if not scan.count:
            raise MediaError(f"cannot be read: {_problem(exc)}", subject=path) from exc
        scan.damaged_after = min(scan.count, scan.damaged_after or scan.count)
    if scan.frame is None:
        raise MediaError("has no decodable picture", subject=path)
    # a capture that begins within a group has frames in front that no decoder can show
    first = -math.inf if scan.frame.pts is None else scan.frame.pts * base
    shown = sorted(one for one in scan.shown if one[0] >= first)
    scan.count -= len(scan.shown) - len(shown)
    scan.shown, scan.key_times = shown, [time for time in scan.key_times if time >= first]
    return scan


def _first_picture(packet: Any) -> Any:
    """The packet's picture; None where it has none: a capture may begin in the middle of a group."""
    try:
        return next(iter(packet.decode()), None)
    except av.FFmpegError:
        return None


def _described(container: InputContainer, stream: VideoStream) -> str:
    """What ffmpeg prints of a stream: PyAV has no other way to what belongs to it beside its parameters."""
    with _DESCRIBING:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            text: str = container.dumps_format()  # type: ignore[attr-defined]  # PyAV's stubs lack it
        finally:
            av.logging.set_level(level)
    parts = re.split(r"^  Stream #\d+:(\d+)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(stream.index), "")


def _media(path: Path | str, stream: VideoStream, scan: _Scan, start: int | None, described: str) -> Media:
    frame, times = scan.frame, [time for time, _ in scan.shown]
    interval = _interval(times) if len(times) == scan.count else None
    rate = None if interval is None else _rate(interval, stream.guessed_rate, stream.time_base)
    span = times[-1] - times[0] + (interval or 0) if times else 0.0
    cropping = _CROPPING.search(described)  # ffmpeg cuts what the container says, the decoder does not
    left, right, top, bottom = map(int, cropping.groups()) if cropping else (0, 0, 0, 0)
    width, height = frame.width - left - right, frame.height - top - bottom
    aspect = width / height * float(stream.sample_aspect_ratio or 1)
    if frame.rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    form = frame.format
    colour = _colour(stream.codec_context, frame)
    if colour.transfer is None and _DOLBY_VISION_5.search(described):
        colour = replace(colour, transfer=_PQ)
    began = (start or 0) / 1_000_000
    return Media(
        path=str(path),
        width=width,
        height=height,
        depth=max(component.bits for component in form.components),
        chroma=_chroma(form),
        rgb=_is_rgb(form),
        colour=colour,
        display_aspect=aspect,
        rate=rate,
        frames=scan.count,
        seconds=span,
        bitrate=scan.size * 8 / span if span else None,
        times=tuple(time - began for time in times) if rate is not None else (),
        began_seconds=began,
        key_times=tuple(time - began for time in scan.key_times) if rate is not None else (),
        durations=tuple(duration for _, duration in scan.shown) if rate is not None else (),
        interlaced=bool(frame.interlaced_frame) or stream.codec_context.field_order in _INTERLACED_ORDERS,
        films=len(films(stream.container)),
        suspect=scan.damaged_after is not None,
    )


def _colour(context: Any, frame: Any) -> Colour:
    def code(of_frame: Any, of_context: Any) -> int | None:
        codes = [int(value) for value in (of_frame, of_context) if int(value) not in _UNSPECIFIED]
        return codes[0] if codes else None

    matrix = code(frame.colorspace, context.colorspace)
    full = _is_rgb(frame.format) or frame.format.name.startswith("yuvj")
    limits = _RANGES.get(int(frame.color_range)) or _RANGES.get(int(context.color_range))
    return Colour(
        range="pc" if full else limits,
        matrix=None if matrix is None else _MATRICES.get(matrix, f"{matrix} of ITU-T H.273"),
        primaries=code(frame.color_primaries, context.color_primaries),
        transfer=code(frame.color_trc, context.color_trc),
    )


def _is_rgb(form: Any) -> bool:
    return bool(form.is_rgb or form.has_palette)


def _chroma(form: Any) -> Chroma:
    """The sampling to compare in: the next of those that the metrics take."""
    if _is_rgb(form):
        return "444"
    if len(form.components) < 3:  # grey, with or without transparency
        return "400"
    luma = 1 << 12
    across, down = form.chroma_width(luma), form.chroma_height(luma)
    if across == luma:
        return "444"
    return "422" if down == luma else "420"


def nominal_rate(times: Sequence[float]) -> Fraction | None:
    """Frames a second of frames at ``times``, gaps left out; None for a single frame."""
    interval = _interval(times)
    return None if interval is None else _rate(interval, None)


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


def _rate(interval: float, guessed: Fraction | None, tick_seconds: Fraction | None = None) -> Fraction:
    """What the container says when the times agree, else as measured; a standard rate where one is near.

    A rate whose frames are whole ticks of the container's clock is exactly that one.

    >>> _rate(0.03337, None), _rate(0.016681, Fraction(19001, 317)), _rate(0.1428571, Fraction(90000))
    (Fraction(30000, 1001), Fraction(60000, 1001), Fraction(7, 1))
    >>> _rate(0.0417014, Fraction(1199, 50), Fraction(1, 19184))
    Fraction(1199, 50)
    """
    measured = 1 / interval
    best = guessed if guessed and abs(guessed / measured - 1) < 0.005 else Fraction(measured)
    if best is guessed and tick_seconds and (1 / (best * tick_seconds)).denominator == 1:
        return best
    near = min(_STANDARD_RATES, key=lambda rate: abs(rate / best - 1))
    # times in milliseconds make 59.94 something like 19001/317
    if abs(near / best - 1) < (0.0003 if best is guessed else 0.005):
        return near
    return best.limit_denominator(1001)


def _refuse_truncated(media: Media, stated: int) -> None:
    """Refuse a file whose structure ends behind its end, or whose index lists frames that are not there."""
    lacks = stated > media.frames and media.suspect
    if not media.reads_as and (lacks or bytes_missing(media.path)):
        of_all = f" of {stated}" if stated > media.frames else ""
        there = f"{media.frames}{of_all} frames ({media.seconds:.2f} s)"
        raise MediaError(f"is cut off: {there} are there", subject=media.path)
