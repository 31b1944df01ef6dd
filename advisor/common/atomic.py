"""Files that are either the former or the new content, whatever happens."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

__all__ = ["NO_JSON", "sync_folder", "write_atomically"]

NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no document of the type: brackets nested by the thousand end the
decoder's recursion."""


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path``: temporary file in the same folder, fsync, rename, fsync of the folder.

    Raises
    ------
    OSError
        The folder cannot be written or is full; a former file is then untouched.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            # mkstemp makes 0600; the exporters' containers read results as another user
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` (what was renamed or linked) to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
