"""A file that hangs inside the kernel when it is read, as a register's file does when its driver is stuck.

Only a file system can do that: this is the smallest one, spoken to the kernel over ``/dev/fuse`` (protocol:
``include/uapi/linux/fuse.h``). Non-blocking reads and time-outs do not help against it; a thread that reads
waits until `HangingFile.release` or the end of the block. Of signals only one that kills ends such a wait, as
with a file of an NFS server that is gone: a handler does not run.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

__all__ = ["HangingFile", "hanging_file"]

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE = 1, 2, 3, 14, 15, 18
_FLUSH, _INIT, _INTERRUPT, _BATCH_FORGET = 25, 26, 36, 42
_DIRECT_IO = 1
_MNT_DETACH = 2
_ROOT, _FILE = 1, 2
_NAME = "energy_uj"
_HEADER = struct.Struct("<IIQQIIII")
_SIGKILL_BIT = 1 << 8


class HangingFile:
    """One file below a mount of its own; `hang` and `release` say what its readers meet."""

    def __init__(self, device: int, folder: Path, content: Callable[[], bytes]) -> None:
        self.path = folder / _NAME
        self._device, self._content = device, content
        self._lock = threading.Lock()
        self._hangs = False
        self._changed_at = 0
        """Seconds since 1970."""
        self._waiting: dict[int, tuple[slice, int]] = {}
        """By the number of the request: what is read, and by which thread."""

    def hang(self) -> None:
        """From now on reads wait; the file counts as changed, so that whoever has read it reads it again."""
        with self._lock:
            self._hangs = True
            self._changed_at += 1

    def release(self) -> None:
        """Every read that waits is answered, and so are those to come."""
        with self._lock:
            self._hangs, waiting, self._waiting = False, self._waiting, {}
        for unique, (part, _) in waiting.items():
            self._answer(unique, self._content()[part])

    @property
    def readers(self) -> int:
        """Reads that wait now."""
        return len(self._waiting)

    def serve(self) -> None:
        """Answer the kernel until the mount is gone."""
        while True:
            try:
                data = os.read(self._device, 1 << 17)
            except OSError as exc:
                if exc.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return
            _, opcode, unique, node, _, _, thread, _ = _HEADER.unpack_from(data)
            self._handle(opcode, unique, node, thread, data[_HEADER.size :])

    def _handle(self, opcode: int, unique: int, node: int, thread: int, body: bytes) -> None:
        if opcode in (_FORGET, _BATCH_FORGET):  # these want no answer
            return
        if opcode == _INTERRUPT:
            self._interrupt(unique, struct.unpack_from("<Q", body)[0])
            return
        if opcode == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            self._read(unique, slice(offset, offset + size), thread)
        elif opcode == _INIT:
            self._answer(unique, struct.pack("<IIIIHHIIHHI28x", 7, 31, 4096, 0, 1, 1, 4096, 1, 1, 0, 0))
        elif opcode == _LOOKUP and body == f"{_NAME}\0".encode():
            self._answer(
                unique, struct.pack("<QQQQII", _FILE, 0, 0, 0, 0, 0) + _attributes(_FILE, self._changed_at)
            )
        elif opcode == _GETATTR:
            self._answer(unique, struct.pack("<QII", 0, 0, 0) + _attributes(node, self._changed_at))
        elif opcode == _OPEN:
            self._answer(unique, struct.pack("<QII", 0, _DIRECT_IO, 0))
        elif opcode in (_RELEASE, _FLUSH):
            self._answer(unique)
        else:
            self._answer(unique, error=errno.ENOENT if opcode == _LOOKUP else errno.ENOSYS)

    def _read(self, unique: int, part: slice, thread: int) -> None:
        with self._lock:
            if self._hangs:
                self._waiting[unique] = part, thread
                return
        self._answer(unique, self._content()[part])

    def _interrupt(self, unique: int, read: int) -> None:
        """Let the reader go that is being killed; for any other the kernel is told to ask again."""
        _, thread = self._waiting.get(read, (None, 0))
        if thread and not _is_killed(thread):
            time.sleep(0.01)
            self._answer(unique, error=errno.EAGAIN)
            return
        self._waiting.pop(read, None)
        self._answer(read, error=errno.EINTR)

    def _answer(self, unique: int, body: bytes = b"", *, error: int = 0) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)


def _is_killed(thread: int) -> bool:
    try:
        lines = Path(f"/proc/{thread}/status").read_text().splitlines()
    except OSError:
        return True
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(number & _SIGKILL_BIT for number in pending)


def _attributes(node: int, changed_at: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o444
    times = (0, changed_at, changed_at)
    return struct.pack("<QQQQQQIIIIIIIIII", node, 4096, 8, *times, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


@contextlib.contextmanager
def hanging_file(content: Callable[[], bytes]) -> Iterator[HangingFile]:
    """A plain file with this content until told to hang; skips where nothing may be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="wattframe-") as name:
        try:
            device = os.open("/dev/fuse", os.O_RDWR)
        except OSError as exc:
            pytest.skip(f"/dev/fuse: {exc.strerror}")
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"wattframe", name.encode(), b"fuse", 0, options):
            os.close(device)
            pytest.skip(f"no file system can be mounted: {os.strerror(ctypes.get_errno())}")
        file = HangingFile(device, Path(name), content)
        server = threading.Thread(target=file.serve, daemon=True)
        server.start()
        try:
            yield file
        finally:
            file.release()
            libc.umount2(name.encode(), _MNT_DETACH)
            server.join(10.0)
            os.close(device)
