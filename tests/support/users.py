"""Acting as somebody without rights, for permission tests that run as root."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["OBEYING", "nobody", "open_folder"]

_NOBODY = 65534
OBEYING = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""The start of a command for which permissions hold: root does not have to obey them."""


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
