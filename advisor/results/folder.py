"""A folder of result files, kept in memory and re-read only where it changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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

    ``keep`` may make a run smaller before it is held, for instance drop samples that nobody asks for.

    Not safe for use from several threads at once.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        pattern: str = RESULT_GLOB,
        keep: Callable[[Run], Run] = lambda run: run,
    ) -> None:
        self.folder = Path(folder)
        self._keep = keep
        self._pattern = pattern
        self._stamps: dict[str, _Stamp] = {}
        self._runs: dict[str, Run] = {}
        self._places: dict[str, tuple[float, str]] = {}
        self._broken: dict[str, Broken] = {}
        self._ordered: list[Run] | None = None

    def refresh(self) -> Changes:
        """Look at the folder once."""
        found = self._scan()
        added: set[str] = set()
        changed: set[str] = set()
        gone = self._stamps.keys() - found.keys()
        for name in gone:
            del self._stamps[name]
            self._forget(_run_id(name))
        for name, stamp in found.items():
            if self._stamps.get(name) == stamp:
                continue
            (changed if name in self._stamps else added).add(_run_id(name))
            self._stamps[name] = stamp
            self._read(name)
        removed = {_run_id(name) for name in gone}
        changes = Changes(frozenset(added), frozenset(changed), frozenset(removed))
        if changes:
            self._ordered = None
        return changes

    def _scan(self) -> dict[str, _Stamp]:
        found: dict[str, _Stamp] = {}
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
                    found[entry.name] = (info.st_size, info.st_mtime_ns, info.st_ino, info.st_dev)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    def _read(self, name: str) -> None:
        path, run_id = self.folder / name, _run_id(name)
        self._forget(run_id)
        try:
            run = read_run(path)
        except ResultFileError as exc:
            self._broken[run_id] = Broken(path, str(exc))
        else:
            self._runs[run_id] = self._keep(run)
            self._places[run_id] = (run.start_time or 0.0, run_id)

    def _forget(self, run_id: str) -> None:
        self._runs.pop(run_id, None)
        self._places.pop(run_id, None)
        self._broken.pop(run_id, None)

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
            self._ordered = [self._runs[run_id] for _, run_id in sorted(self._places.values())]
        return list(self._ordered)

    def newest(self, count: int) -> list[Run]:
        """The newest ``count`` runs, newest first."""
        return self.ordered()[::-1][:count]


def _run_id(name: str) -> str:
    return name.removesuffix(".json")
