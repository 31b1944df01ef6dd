"""What is encoded of a video: all of it, or pieces that are cut out at key frames without any loss."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.samples import Piece, Sample, sampled
from advisor.errors import InputError
from advisor.video.ffmpeg import file_url
from advisor.video.packets import clock_may_jump, demuxed, first_video, opened
from runner.source import Source, look_at_file

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

PIECE_SECONDS = 3.0
"""The shortest piece: in a shorter one its first frame, always a key frame, weighs too much."""
_MOST_AHEAD_SECONDS = Fraction(1)
_MARGIN_SECONDS = Fraction(2)
_MOST_SHARE = 0.5
"""Of a video in samples: beyond it all is encoded, which leaves nothing uncertain."""


class Video(Struct, frozen=True, kw_only=True):
    """An input, and the pieces that it can be cut into."""

    name: str
    """As the user wrote it."""
    source: Source
    kbps: float
    """Of the video alone, as it was coded."""
    sound: tuple[int, ...]
    """Numbers of the streams of sound whose coding is known: others cannot be copied."""
    pieces: tuple[Piece, ...] = ()
    """Empty where it cannot be cut."""

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return self.source.seconds or 0.0

    @property
    def megapixels(self) -> float:
        """Of a second of video."""
        media = self.source.media
        return (media.width or 0) * (media.height or 0) * (media.fps or 25.0) / 1e6

    def size(self, height: int) -> str | None:
        """Width and height of its own shape; None for the video's own size.

        Raises
        ------
        InputError
            More lines than the video has.
        """
        width, lines = self.source.media.width or 0, self.source.media.height or 0
        if height > lines:
            problem = f"expected at most the {lines} lines of {self.name}, found {height}"
            raise InputError(problem, subject="--ladder")
        return None if height == lines else f"{2 * round(width * height / lines / 2)}x{height}"


class Clip(Struct, frozen=True, kw_only=True):
    """What every configuration encodes."""

    path: Path
    source: Source
    samples: tuple[Sample, ...]
    """In the order in which they lie in the file; one for a video that is encoded as a whole."""
    of_pieces: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return len(self.samples) == self.of_pieces


def look_at_video(name: str) -> Video:
    """Look at an input by its packets alone; the difficulty of a piece is the bitrate that its source has.

    Raises
    ------
    InputError
        It cannot be read, holds no video, or has a range of brightness for which there is no VMAF.
    """
    source = look_at_file(name)
    if source.hdr is not None:
        raise InputError(f"expected SDR video: VMAF has no model for HDR ({source.hdr})", subject=name)
    if len(source.times) < 2:
        content = (
            "a single picture" if source.media.frames == 1 else "frames without timestamps: remux it to MP4"
        )
        raise InputError(f"expected a video, found {content}", subject=name)
    with opened(file_url(name)) as container:
        sound = tuple(s.index for s in container.streams.audio if s.codec_context is not None)
        stream = first_video(container)
        base = stream.time_base
        packets = [_Packet(p.pts, p.size, p.is_keyframe) for p in demuxed(container, stream) if p.size]
    kilobits = sum(packet.size for packet in packets) / 125
    return Video(
        name=name,
        source=source,
        kbps=kilobits / source.seconds if source.seconds else 0.0,
        sound=sound,
        pieces=tuple(_pieces(packets, base, source)),
    )


def whole(video: Video) -> Clip:
    """All of the video."""
    frames = len(video.source.times)
    piece = Piece(begin_seconds=0.0, seconds=video.seconds, frames=frames, difficulty=1.0)
    return Clip(
        path=Path(video.name).absolute(),
        source=video.source,
        samples=tuple(sampled([piece], 1)),
        of_pieces=1,
    )


def cut(video: Video, count: int, path: Path, seed: int = 0) -> Clip:
    """About ``count`` pieces of the video in one file at ``path``, as they were coded.

    All of the video where that is not much less, or where it cannot be cut.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    samples = sampled(video.pieces, count, seed)
    if not samples or sum(sample.piece.seconds for sample in samples) > _MOST_SHARE * video.seconds:
        return whole(video)
    try:
        _copy(video, [sample.piece for sample in samples], path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    source = look_at_file(str(path))
    size, size_before = ((m.width, m.height) for m in (source.media, video.source.media))
    frames = sum(sample.piece.frames for sample in samples)
    if source.media.frames != frames or size != size_before:  # Matroska does not turn pictures, for one
        path.unlink(missing_ok=True)
        return whole(video)
    # for whoever reads the result file it is a measurement of this video
    named = replace(source.media, name=video.source.media.name)
    return Clip(
        path=path,
        source=replace(source, media=named),
        samples=tuple(samples),
        of_pieces=len(video.pieces),
    )


class _Packet(NamedTuple):
    pts: int | None
    size: int
    is_keyframe: bool


def _pieces(packets: Sequence[_Packet], base: Fraction | None, source: Source) -> list[Piece]:
    """Runs of whole groups, each at least `PIECE_SECONDS` long; none where packets do not say their times."""
    keys = [i for i, (pts, _, is_key) in enumerate(packets) if is_key]
    if base is None or any(pts is None for pts, _, _ in packets) or len(keys) < 2 or keys[0] != 0:
        return []
    starts = [packets[i][0] or 0 for i in keys]
    if starts != sorted(starts):
        return []
    first = starts[0]
    end = first + math.ceil((source.seconds or 0.0) / base)
    pieces, opened = [], 0
    for number in range(1, len(keys) + 1):
        last = number == len(keys)
        until = end if last else starts[number]
        seconds = float((until - starts[opened]) * base)
        rest = float((end - until) * base)
        if not last and (seconds < PIECE_SECONDS or rest < PIECE_SECONDS):
            continue
        group = packets[keys[opened] : len(packets) if last else keys[number]]
        # what is shown before the key frame that it follows needs the group before
        shown = [size for pts, size, _ in group if (pts or 0) >= starts[opened]]
        pieces.append(
            Piece(
                begin_seconds=float((starts[opened] - first) * base),
                seconds=seconds,
                frames=len(shown),
                difficulty=sum(shown) / seconds,
            )
        )
        opened = number
    return pieces


def _copy(video: Video, pieces: Sequence[Piece], path: Path) -> None:
    """Write the packets of the pieces one after another, with times that go on."""
    with opened(file_url(video.name)) as container, av.open(str(path), "w", format="matroska") as sink:
        stream = first_video(container)
        copied = sink.add_stream_from_template(stream)
        base = stream.time_base or Fraction(1)
        packets = demuxed(container, stream)
        packet = next(packet for packet in packets if packet.size)
        first, packets = packet.pts or 0, itertools.chain([packet], packets)
        # frames are decoded before they are shown, by less than this
        ahead = round(_MOST_AHEAD_SECONDS / base)
        place = 0
        for piece in pieces:
            begin = first + round(piece.begin_seconds / base)
            end = begin + round(piece.seconds / base)
            if not clock_may_jump(container):
                container.seek(begin - round(_MARGIN_SECONDS / base), stream=stream)
                packets = demuxed(container, stream)
            group, packets = _cut_out(packets, begin, end)
            shown = sorted(packet.pts or 0 for packet in group)
            for packet, decoded in zip(group, shown, strict=True):
                packet.pts = (packet.pts or 0) - begin + place
                packet.dts = decoded - begin + place - ahead
                packet.stream = copied
                sink.mux(packet)
            place += max((end, *(time + 1 for time in shown))) - begin


def _cut_out(
    packets: Iterator[Packet[VideoStream]], begin: int, end: int
) -> tuple[list[Packet[VideoStream]], Iterator[Packet[VideoStream]]]:
    """Packets from the key frame that is shown at ``begin`` to the one at ``end``, and those from there on.

    What follows a key frame and is shown before it needs the group before, and is left out.
    """
    group: list[Packet[VideoStream]] = []
    for packet in packets:
        if not packet.size or packet.pts is None:
            continue
        if packet.is_keyframe and packet.pts >= end:
            return group, itertools.chain([packet], packets)
        if (group or (packet.is_keyframe and packet.pts == begin)) and packet.pts >= begin:
            group.append(packet)
    return group, packets
