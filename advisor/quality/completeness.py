"""What a container's own structure says is missing at its end.

Durations that a file states are no proof: tags are copied from one file to another, and a last picture may be
held for seconds. The sizes by which a container is built are: a box, a segment or a list that ends behind the
end of the file was cut off.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_SEGMENT_ID = 0x18538067
_EBML_ID = 0x1A45DFA3
_BOXES = (
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"udta", b"uuid"),
    *(b"meta", b"sidx", b"ssix", b"emsg", b"prft", b"mfra", b"pdin"),
)
"""At the top of an ISO file. Behind the last of them cameras put data of their own, which are no boxes."""


def bytes_missing(path: Path | str) -> int:
    """Bytes that the structure of an MP4, Matroska or AVI file places behind the file's end; 0 when none.

    0 also where the structure is unknown or was never finished, as in a live recording.
    """
    file = Path(path)
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(12)
        stream.seek(0)
        if head[4:8] in _BOXES:
            return max(0, _end_of_boxes(stream, size) - size)
        if int.from_bytes(head[:4], "big") == _EBML_ID:
            return max(0, _end_of_segment(stream) - size)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
    return 0


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    """Where the last top-level box of an ISO file ends."""
    place = 0
    while place + 8 <= size:
        stream.seek(place)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or head[4:8] not in _BOXES:  # 0: up to the end of the file
            return size
        place += length
    return place


def _end_of_segment(stream: BinaryIO) -> int:
    """Where the segment of a Matroska file ends; 0 when its size is unknown."""
    while True:
        identity = _number(stream, keep_marker=True)
        length = _number(stream, keep_marker=False)
        if identity is None or length is None:
            return 0
        if identity == _SEGMENT_ID:
            return stream.tell() + length
        stream.seek(length, 1)


def _number(stream: BinaryIO, *, keep_marker: bool) -> int | None:
    """An EBML number of variable length (RFC 8794, section 4); None at the end or when it says unknown."""
    first = stream.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = stream.read(length - 1)
    value = int.from_bytes(first + rest, "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value
