"""Quality by content: the same two videos with the same settings are never computed twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from advisor.common.atomic import NO_JSON, write_atomically
from advisor.common.regular_file import open_regular, read_regular
from advisor.quality.settings import QualitySettings
from advisor.results import Quality

METHOD = 11
"""Raised when a change of the method changes scores; older records are then computed again."""

_CHUNK_BYTES = 1 << 20
_PARTS = 1024


class Record(Struct, frozen=True):
    """What is known of one pair: its quality, or why it could not be computed and how often it was tried."""

    quality: Quality | None = None
    failure: str | None = None
    failure_kind: str | None = None
    attempts: int = 1


def file_digest(path: Path | str) -> str:
    """BLAKE2b of the file's content; of a large one, of its size and of parts all over it.

    A sparse file of terabytes costs its owner nothing, and reading all of it would keep others waiting.
    """
    digest = hashlib.blake2b(digest_size=20)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _PARTS * _CHUNK_BYTES:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        else:
            digest.update(b"parts of %d" % size)
            for part in range(_PARTS):
                file.seek((size - _CHUNK_BYTES) * part // (_PARTS - 1))
                digest.update(file.read(_CHUNK_BYTES))
    return digest.hexdigest()


def content_key(reference_digest: str, distorted_digest: str, settings: QualitySettings) -> str:
    """The name under which a pair is kept; equal for copies of the same files."""
    parts = [str(METHOD), reference_digest, distorted_digest, msgspec.json.encode(settings).decode()]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=20).hexdigest()


class QualityCache:
    """Records in a folder, one file each, written whole or not at all.

    A folder that cannot be written is no reason to compute twice within one process: records are also kept in
    memory, and `put` says whether the disk has them too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: dict[str, Record] = {}
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def only_one(self, key: str) -> Iterator[None]:
        """Let one thread at a time work on ``key``: the others then find its record."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            yield

    def get(self, key: str) -> Record | None:
        """The record, None when there is none or what lies there is broken."""
        if key not in self._records:
            try:
                data = read_regular(self._path(key))
                self._records[key] = msgspec.json.decode(data, type=Record)
            except (OSError, *NO_JSON):
                return None
        return self._records[key]

    def put(self, key: str, record: Record) -> bool:
        """Keep ``record``; whether it is on disk."""
        if record.quality is not None:  # the names belong to the pair that was asked for, not to its content
            record = replace(record, quality=replace(record.quality, reference=None, distorted=None))
        self._records[key] = record
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(key), msgspec.json.encode(record))
        except OSError:
            return False
        return True

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
