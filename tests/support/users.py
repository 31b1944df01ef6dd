"""Acting as somebody without rights, for permission tests that run as root."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["nobody", "open_folder"]

_NOBODY = 65534


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Give up root's rights to files for the block; whoever is not root has none to give up."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that everybody may enter (pytest's own are their owner's alone)."""
    with tempfile.TemporaryDirectory(prefix="wattframe-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
