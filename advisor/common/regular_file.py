"""Files of others: read whole, regular ones alone and of bounded size; and how to see that they changed."""

from __future__ import annotations

import errno
import os
import stat
import time
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import BinaryIO, TypeAlias

from advisor.errors import InputError

DOCUMENT_BYTES = 8 << 20
"""No configuration, manifest, list or secret is larger."""
_TICK_NS = 100_000_000
"""More than the kernel's clock stands still: two changes within it may have one time."""

Stamp: TypeAlias = tuple[int, ...]
"""Of one state of a file: as long as it is the same, so is the content."""


def read_regular(path: str | os.PathLike[str], most_bytes: int = DOCUMENT_BYTES) -> bytes:
    """The content of a file.

    A pipe is not waited for, a device is not read: both could hold a reader up for ever.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or holds more than ``most_bytes``.
    """
    with open_regular(path) as file:
        _check_size(os.fstat(file.fileno()).st_size, most_bytes)
        content = file.read(most_bytes + 1)
    _check_size(len(content), most_bytes)  # it may have grown
    return content


def read_input(
    path: str | os.PathLike[str], most_bytes: int = DOCUMENT_BYTES, error: type[InputError] = InputError
) -> bytes:
    """The content of a file that somebody named; ``error`` says of one that cannot be read why."""
    try:
        return read_regular(path, most_bytes)
    except OSError as exc:
        raise error(f"cannot be read: {exc.strerror or exc}", subject=path) from exc


def read_input_text(
    path: str | os.PathLike[str], most_bytes: int = DOCUMENT_BYTES, error: type[InputError] = InputError
) -> str:
    """The text of a file that somebody named, with or without a mark of its encoding; see `read_input`."""
    content = read_input(path, most_bytes, error)
    try:
        # what Excel calls Unicode text says so in its first two bytes
        return content.decode("utf-16" if content[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as exc:
        problem = f"expected UTF-8 text, found byte {exc.object[exc.start]:#04x}"
        raise error(problem, subject=path) from exc


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read from; see `read_regular`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _check_kind(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_kind(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "expected a regular file")


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        most, found = most_bytes / (1 << 20), size / (1 << 20)
        raise OSError(errno.EFBIG, f"expected at most {most:.4g} MiB, found {found:.4g} MiB")


def stamp_of(info: os.stat_result) -> Stamp | None:
    """The state of a file by what the kernel says of it; take it before the file is read.

    None for a file that changed a moment ago: it may change again without its times telling. What was read
    of it then is good for once.
    """
    if abs(time.time_ns() - info.st_ctime_ns) < _TICK_NS:
        return None
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev
