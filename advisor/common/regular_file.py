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
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = b""
        while chunk := file.read(most_bytes + 1 - len(content)):
            content += chunk
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, f"more than {most_bytes} bytes", str(path))
        return content
