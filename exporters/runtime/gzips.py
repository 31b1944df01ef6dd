"""gzip put together from pieces that are compressed on their own.

A piece is deflated once and ends in a full flush, so pieces can be joined in any order; the CRC of the whole
follows from the CRCs of the pieces. A page of megabytes whose one piece changed costs that piece.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable

from msgspec import Struct

__all__ = ["EMPTY", "Begun", "Piece", "begin", "combine_crc32", "finish", "join", "piece"]

# gzip member without name or time, made on Unix
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
_LAST_BLOCK = b"\x03\x00"
_STORED_BYTES = 0xFFFF
"""The most that a block without compression holds."""
_POLYNOMIAL = 0xEDB88320
"""CRC-32 of RFC 1952, lowest bit first."""


class Piece(Struct, frozen=True):
    """Some text, deflated."""

    deflated: bytes
    crc: int
    length: int
    """Bytes before compression."""


EMPTY = Piece(b"", 0, 0)


def piece(text: bytes, level: int = 6) -> Piece:
    """Deflate one piece; ``level`` as in zlib."""
    if not text:
        return EMPTY
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    return Piece(deflate.compress(text) + deflate.flush(zlib.Z_FULL_FLUSH), zlib.crc32(text), len(text))


def join(pieces: Iterable[Piece]) -> Piece:
    """The piece that holds all of them, one after the other."""
    parts = list(pieces)
    crc = length = 0
    for part in parts:
        crc = combine_crc32(crc, part.crc, part.length)
        length += part.length
    return Piece(b"".join([part.deflated for part in parts]), crc, length)


class Begun(Struct, frozen=True):
    """The beginning of a gzip file, kept for as long as its pieces are the same."""

    chunks: tuple[bytes, ...]
    crc: int
    length: int


def begin(pieces: Iterable[Piece]) -> Begun:
    """These pieces one after the other, not copied."""
    parts = list(pieces)
    crc = length = 0
    for part in parts:
        crc, length = combine_crc32(crc, part.crc, part.length), length + part.length
    return Begun((_GZIP_HEADER, *(part.deflated for part in parts)), crc, length)


def finish(begun: Begun, text: bytes = b"") -> list[bytes]:
    """The whole file in chunks: what was begun and then ``text`` as it is, for the few bytes that change
    each time. Compressing them would take longer than sending them.
    """
    crc, length = zlib.crc32(text, begun.crc), begun.length + len(text)
    tail = _stored(text) + _LAST_BLOCK + struct.pack("<II", crc, length & 0xFFFFFFFF)
    return [*begun.chunks, tail]


def _stored(text: bytes) -> bytes:
    blocks = [text[i : i + _STORED_BYTES] for i in range(0, len(text), _STORED_BYTES)]
    return b"".join([struct.pack("<BHH", 0, len(b), len(b) ^ 0xFFFF) + b for b in blocks])


def combine_crc32(first: int, second: int, second_length: int) -> int:
    """CRC-32 of two texts one after the other, from theirs and the second one's length in bytes.

    Appending n bytes multiplies the first text's remainder by x^(8n) in GF(2)[x] modulo the CRC's polynomial.

    >>> combine_crc32(zlib.crc32(b"watt"), zlib.crc32(b"frame"), 5) == zlib.crc32(b"wattframe")
    True
    """
    return _times(_shift(second_length), first) ^ second


def _times(a: int, b: int) -> int:
    """Product of two polynomials modulo the CRC's; bit 31 is x^0."""
    product = 0
    while a:
        if a & 0x80000000:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@functools.lru_cache(maxsize=4096)
def _shift(length: int) -> int:
    """x^(8 * length) modulo the CRC's polynomial, by squaring."""
    power, square = 0x80000000, 0x00800000  # x^0 and x^8
    while length:
        if length & 1:
            power = _times(square, power)
        square = _times(square, square)
        length >>= 1
    return power
