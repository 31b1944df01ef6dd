"""What a container's structure says is missing: files of a few bytes written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.quality.completeness import bytes_missing


def box(name: bytes, length: int, content: bytes = b"") -> bytes:
    return length.to_bytes(4, "big") + name + content


FTYP = box(b"ftyp", 8)
EBML = b"\x1a\x45\xdf\xa3\x80"  # a header of no length
SEGMENT = b"\x18\x53\x80\x67"


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        pytest.param(FTYP + box(b"mdat", 16, bytes(8)), 0, id="MP4, whole"),
        pytest.param(FTYP + box(b"mdat", 20, bytes(8)), 4, id="MP4, four bytes short"),
        pytest.param(FTYP + box(b"mdat", 1, (50).to_bytes(8, "big")), 34, id="MP4, box of 64 bits"),
        pytest.param(FTYP + box(b"mdat", 0, bytes(8)), 0, id="MP4, box up to the end"),
        pytest.param(FTYP + box(b"mdat", 16, bytes(8)) + b"@ABCDEFG", 0, id="MP4, other data behind it"),
        pytest.param(EBML + SEGMENT + b"\x84" + bytes(4), 0, id="Matroska, whole"),
        pytest.param(EBML + SEGMENT + b"\x84" + bytes(1), 3, id="Matroska, three bytes short"),
        pytest.param(EBML + SEGMENT + b"\x40\x64" + bytes(1), 99, id="Matroska, length in two bytes"),
        pytest.param(EBML + SEGMENT + b"\x01" + b"\xff" * 7 + bytes(2), 0, id="Matroska, live"),
        pytest.param(b"RIFF" + (12).to_bytes(4, "little") + b"AVI " + bytes(8), 0, id="AVI, whole"),
        pytest.param(
            b"RIFF" + (20).to_bytes(4, "little") + b"AVI " + bytes(8), 8, id="AVI, eight bytes short"
        ),
        pytest.param(b"G" + bytes(187), 0, id="a transport stream tells nothing"),
        pytest.param(b"", 0, id="nothing"),
    ],
)
def test_bytes_missing(tmp_path: Path, data: bytes, missing: int) -> None:
    (tmp_path / "v").write_bytes(data)
    assert bytes_missing(tmp_path / "v") == missing
