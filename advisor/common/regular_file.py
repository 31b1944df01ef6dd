"""Reading whole files that somebody else wrote: regular ones alone, and of bounded size."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["read_regular"]


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a file.

    A pipe is not waited for, a device is not read: both could hold a reader up for ever.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or holds more than ``most_bytes``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "expected a regular file")
        _check_size(info.st_size, most_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read()
        _check_size(len(content), most_bytes)  # it may have grown
        return content
    finally:
        os.close(descriptor)


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        most, found = most_bytes >> 20, size >> 20
        raise OSError(errno.EFBIG, f"expected at most {most} MiB, found {found} MiB")
