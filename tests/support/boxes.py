"""Boxes of MP4 files (ISO/IEC 14496-12) that ffmpeg's muxer has no option for."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

_TO_THE_SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def clean_aperture(width: int, height: int) -> bytes:
    """A ``clap`` box that leaves the middle of the picture."""
    return struct.pack(">I4s8I", 40, b"clap", width, 1, height, 1, 0, 1, 0, 1)


def dolby_vision_5() -> bytes:
    """A ``dvcC`` box that says profile 5, level 6, a base layer and its metadata, compatible with none."""
    return struct.pack(">I4sBBH", 32, b"dvcC", 1, 0, 5 << 9 | 6 << 3 | 0b101) + bytes(20)


def add_to_the_sample_entry(video: Path, box: bytes) -> None:
    """Put ``box`` at the end of the only video sample entry; ``moov`` stands behind the pictures."""
    data = bytearray(video.read_bytes())
    places = list(_down(data, 0, len(data), _TO_THE_SAMPLE_ENTRY))
    entry = places[-1] + 16  # behind the version and the number of entries
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    data[end:end] = box
    for place in (*places, entry):
        size = int.from_bytes(data[place : place + 4], "big") + len(box)
        data[place : place + 4] = size.to_bytes(4, "big")
    video.write_bytes(data)


def _down(data: bytearray, begin: int, end: int, names: Sequence[bytes]) -> Iterator[int]:
    """Where the boxes of ``names`` begin, each inside the one before."""
    while begin < end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        if data[begin + 4 : begin + 8] == names[0]:
            yield begin
            if len(names) > 1:
                yield from _down(data, begin + 8, begin + size, names[1:])
            return
        begin += size
