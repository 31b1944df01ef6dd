"""Files that are either the former or the new content, whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from advisor.errors import WorkError

NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no document of the type: brackets nested by the thousand end the
decoder's recursion."""


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace ``path``: temporary file in the same folder, fsync, rename, fsync of the folder.

    The temporary file's name cannot be known before, so no link lies in its place. Without ``durable``
    nothing waits for the disk: after a crash of the machine either content may be there, or none.

    Raises
    ------
    OSError
        The folder cannot be written or is full; a former file is then untouched. It names ``path``.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            # mkstemp makes 0600; the exporters' containers read results as another user
            os.fchmod(file.fileno(), 0o644)
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException as exc:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(exc, OSError):
            # the file that was asked for, not one that nobody knows
            raise type(exc)(exc.errno, exc.strerror, str(path)) from exc
        raise
    if durable:
        sync_folder(path.parent)


@contextlib.contextmanager
def locked(path: Path, *, busy: str = "") -> Iterator[None]:
    """One process at a time; the lock goes with its process, whatever ends it. No link is followed.

    One that says ``busy`` waits neither for another nor for a file system that has no locks.

    Raises
    ------
    WorkError
        Another process has it: these are the words of ``busy``.
    OSError
        ``path`` is a link, or cannot be made; without ``busy`` also, if it cannot be locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise WorkError(busy) from None
        except OSError:  # ENOLCK of an NFS without its daemon, ENOSYS of Lustre
            if not busy:
                raise
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` (what was renamed or linked) to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
