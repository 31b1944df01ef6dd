"""A folder of result files, kept in memory and re-read only where it changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from advisor.errors import ResultFileError
from advisor.results import RESULT_GLOB, Run, read_run

__all__ = ["Broken", "Changes", "ResultStore"]

_Stamp = tuple[int, int, int, int]


class Broken(Struct, frozen=True):
    """A file that could not be read, and why."""

    path: Path
    reason: str


class Changes(Struct, frozen=True):
    """What one `ResultStore.refresh` found; file names are run ids."""

    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


class ResultStore:
    """The runs under ``folder``, by run id.

    A file is read again only when its size, modification time, inode or device changed. A file that fails is
    kept in `broken` and tried again when it changes; a file that was deleted is forgotten. A folder that does
    not exist (yet) is an empty one.

    Not safe for use from several threads at once.
    """

    def __init__(self, folder: str | os.PathLike[str], pattern: str = RESULT_GLOB) -> None:
        self.folder = Path(folder)
        self._pattern = pattern
        self._stamps: dict[Path, _Stamp] = {}
        self._runs: dict[str, Run] = {}
        self._broken: dict[str, Broken] = {}
        self._ordered: list[Run] | None = None

    def refresh(self) -> Changes:
        """Look at the folder once."""
        found = self._scan()
        added: set[str] = set()
        changed: set[str] = set()
        removed = {path.stem for path in self._stamps.keys() - found.keys()}
        for path in self._stamps.keys() - found.keys():
            del self._stamps[path]
            self._runs.pop(path.stem, None)
            self._broken.pop(path.stem, None)
        for path, stamp in found.items():
            if self._stamps.get(path) == stamp:
                continue
            (changed if path in self._stamps else added).add(path.stem)
            self._stamps[path] = stamp
            self._read(path)
        changes = Changes(frozenset(added), frozenset(changed), frozenset(removed))
        if changes:
            self._ordered = None
        return changes

    def _scan(self) -> dict[Path, _Stamp]:
        found: dict[Path, _Stamp] = {}
        prefix, suffix = self._pattern.split("*", 1)
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not (entry.name.startswith(prefix) and entry.name.endswith(suffix)):
                        continue
                    try:
                        # follows links, so that a link's target that changed is seen
                        info = entry.stat()
                    except OSError:
                        continue  # renamed or deleted between listing and looking
                    stamp = (info.st_size, info.st_mtime_ns, info.st_ino, info.st_dev)
                    found[self.folder / entry.name] = stamp
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    def _read(self, path: Path) -> None:
        self._runs.pop(path.stem, None)
        self._broken.pop(path.stem, None)
        try:
            self._runs[path.stem] = read_run(path)
        except ResultFileError as exc:
            self._broken[path.stem] = Broken(path, str(exc))

    @property
    def runs(self) -> Mapping[str, Run]:
        """Every readable run by its id, in no particular order."""
        return MappingProxyType(self._runs)

    @property
    def broken(self) -> Mapping[str, Broken]:
        """Unreadable files by run id."""
        return MappingProxyType(self._broken)

    def ordered(self) -> list[Run]:
        """All runs, oldest first, by start time; a run without any time comes first, ties by id."""
        if self._ordered is None:
            self._ordered = sorted(self._runs.values(), key=lambda run: (run.start_time or 0.0, run.run_id))
        return list(self._ordered)

    def newest(self, count: int) -> list[Run]:
        """The newest ``count`` runs, newest first."""
        return self.ordered()[::-1][:count]
