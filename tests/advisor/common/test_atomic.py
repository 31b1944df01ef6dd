"""Files that are replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.common.atomic import write_atomically


def test_what_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.html"
    with pytest.raises(FileNotFoundError) as refused:
        write_atomically(path, b"x")
    assert refused.value.filename == str(path)
    with pytest.raises(IsADirectoryError) as refused_folder:
        write_atomically(tmp_path, b"x")
    assert str(refused_folder.value) == f"[Errno 21] Is a directory: '{tmp_path}'"
