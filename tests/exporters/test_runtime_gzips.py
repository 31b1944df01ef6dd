"""gzip from pieces, checked against zlib."""

from __future__ import annotations

import gzip
import random
import subprocess
import zlib

import pytest
from exporters.runtime.gzips import EMPTY, Piece, begin, combine_crc32, finish, join, piece
from hypothesis import given
from hypothesis import strategies as st


def unpacked(*pieces: Piece, tail: bytes = b"") -> bytes:
    """As gzip reads them, separately and joined beforehand."""
    found = gzip.decompress(b"".join(finish(begin(pieces), tail)))
    assert gzip.decompress(b"".join(finish(begin([join(pieces)]), tail))) == found
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
def test_what_changes_each_time_stands_at_the_end_as_it_is(size: int) -> None:
    text = random.Random(size).randbytes(size)
    assert unpacked(piece(b"before "), piece(b"it "), tail=text) == b"before it " + text


def test_one_beginning_has_many_ends() -> None:
    begun = begin([piece(b"watt" * 1000)])
    assert [gzip.decompress(b"".join(finish(begun, end))) for end in (b"a", b"", b"frame")] == [
        b"watt" * 1000 + b"a",
        b"watt" * 1000,
        b"watt" * 1000 + b"frame",
    ]


def test_an_empty_page_is_valid() -> None:
    assert join([]) == EMPTY == piece(b"") == Piece(b"", 0, 0)
    assert unpacked() == unpacked(EMPTY) == b""


def test_gzips_own_tool_accepts_it() -> None:
    packed = b"".join(finish(begin([piece(b"watt\n" * 1000), piece(b"frame\n", 1)])))
    assert subprocess.run(["gzip", "-t"], input=packed, check=True).returncode == 0
