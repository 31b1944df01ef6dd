"""Files that are replaced as a whole, and locks."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from advisor.common.atomic import locked, write_atomically
from advisor.errors import WorkError


def test_what_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.html"
    with pytest.raises(FileNotFoundError) as refused:
        write_atomically(path, b"x")
    assert refused.value.filename == str(path)
    with pytest.raises(IsADirectoryError) as refused_folder:
        write_atomically(tmp_path, b"x")
    assert str(refused_folder.value) == f"[Errno 21] Is a directory: '{tmp_path}'"


def test_who_says_busy_does_not_wait_for_who_has_the_lock(tmp_path: Path) -> None:
    refused = pytest.raises(WorkError, match=r"^another one runs$")
    with locked(tmp_path / "lock"), refused, locked(tmp_path / "lock", busy="another one runs"):
        pass
    with locked(tmp_path / "lock", busy="another one runs"):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_refuses_only_who_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """NFS without its daemon, and Lustre as many clusters mount it."""

    def flock(*_: object) -> None:
        raise OSError(code, "no lock")

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path / "lock", busy="another one runs"):
        pass
    with pytest.raises(OSError, match="no lock"), locked(tmp_path / "lock"):
        pass
