"""gzip from pieces, checked against zlib."""

from __future__ import annotations

import gzip
import random
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.runtime.gzips import EMPTY, Piece, combine_crc32, gzip_chunks, join, piece, stored


def unpacked(*pieces: Piece) -> bytes:
    """As gzip reads them, separately and joined beforehand."""
    found = gzip.decompress(b"".join(gzip_chunks(pieces)))
    assert gzip.decompress(b"".join(gzip_chunks([join(pieces)]))) == found
    return found


@given(st.binary(), st.binary())
def test_the_crc_of_two_texts_is_zlibs_crc_of_both(first: bytes, second: bytes) -> None:
    assert combine_crc32(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_the_crc_of_megabytes_is_zlibs() -> None:
    first, second = random.Random(1).randbytes(1000), b"watt" * 1_500_000
    assert combine_crc32(zlib.crc32(first), zlib.crc32(second), 6_000_000) == zlib.crc32(first + second)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_joined_pieces_decompress_to_the_texts_in_order(texts: list[bytes]) -> None:
    assert unpacked(*map(piece, texts)) == b"".join(texts)


def test_pieces_join_in_any_order_and_more_than_once() -> None:
    a, b = piece(b"one " * 50), piece(b"two " * 50)
    assert unpacked(b, a, b) == b"two " * 50 + b"one " * 50 + b"two " * 50


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_a_stored_piece_is_a_piece(size: int) -> None:
    text = random.Random(size).randbytes(size)
    assert (
        unpacked(piece(b"before "), stored(text), piece(b" after"), stored(b"!"))
        == b"before " + text + b" after!"
    )


def test_an_empty_page_is_valid() -> None:
    assert join([]) == EMPTY == piece(b"") == Piece(b"", 0, 0)
    assert unpacked() == unpacked(EMPTY) == b""


def test_gzips_own_tool_accepts_it() -> None:
    packed = b"".join(gzip_chunks([piece(b"watt\n" * 1000), piece(b"frame\n", 1)]))
    assert subprocess.run(["gzip", "-t"], input=packed, check=True).returncode == 0
