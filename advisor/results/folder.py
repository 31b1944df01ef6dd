"""A folder of result files, kept in memory and re-read only where it changed.

Identity of a scenario is its run's id and its name. Of several repeats of one scenario
`advisor.results.derived.published` chooses the one that stands for them, so that everyone who looks at the
folder shows the same runs and the same scenarios.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from advisor.common.control_group import memory_bytes
from advisor.common.regular_file import Stamp, stamp_of
from advisor.errors import ResultFileError
from advisor.results import RESULT_GLOB, Run, Scenario, read_run
from advisor.results.derived import published, repeats
from advisor.results.reading import held_bytes

_SHARE = 0.2
"""Of the memory there is: what the runs of a folder may take."""


class Broken(Struct, frozen=True):
    """A file that could not be read, and why."""

    path: Path
    reason: str


class Shown(Struct, frozen=True):
    """A run that is shown and its scenarios, one a name."""

    run: Run
    scenarios: Sequence[Scenario]
    repeats: Mapping[str, Sequence[Scenario]]
    """Every repeat of each, finished or not, by name."""


class _File(Struct, frozen=True):
    """What a file held when it had the stamp; with None it is read again."""

    stamp: Stamp | None
    content: Run | Broken
    hollow: bool = False
    """Its run is too old to be shown, and its scenarios are not held."""
    held_bytes: int = 0
    """What its run takes in memory, or would."""

    @property
    def run_bytes(self) -> int:
        """What is held in memory of it."""
        return self.held_bytes if isinstance(self.content, Run) else 0

    @property
    def waits_for_memory(self) -> bool:
        """Whether its run is too large beside the newer ones."""
        return isinstance(self.content, Broken) and self.held_bytes > 0

    def is_read_at(self, left_bytes: int) -> bool:
        """Whether a run that was too large fits by now."""
        return self.waits_for_memory and self.held_bytes <= left_bytes


class ResultFolder:
    """The runs under ``folder``, by run id.

    A file is read again when its size, modification or change time, inode or device is another; one that the
    operating system refused is tried at every look, since that may pass. A file that was deleted is
    forgotten. A folder that does not exist yet is an empty one. One that was there and is gone, also under a
    mount that outlives it, cannot be listed.

    Shown are the newest ``runs`` runs as far as ``max_scenarios`` goes; of older ones no scenario is held in
    memory. Without ``keep_samples`` neither are the series of scenarios whose power block says all: they are
    nearly all of a result file.

    A look that fails changes nothing: what it had read already is read again by the next one.
    Not safe for use from several threads at once.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        runs: int | None = None,
        max_scenarios: int | None = None,
        keep_samples: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self._most_runs = runs
        self._most_scenarios = max_scenarios
        self._keep_samples = keep_samples
        self._files: dict[str, _File] = {}
        self._ordered: list[Run] = []
        self._shown: dict[str, Shown] = {}
        self._dropped = 0
        self._was_there = False

    def refresh(self) -> None:
        """Look at the folder once.

        Raises
        ------
        OSError
            The folder is there and cannot be listed, or was there and is gone.
        """
        stamps = self._scan()
        if self._is_as_before(stamps):
            return
        files: dict[str, _File] = {}
        budget, held, unread = int(_SHARE * memory_bytes()[0]), 0, 0
        for name, stamp in sorted(stamps.items(), reverse=True):  # the newest first
            file = self._files.get(name)
            left = budget - held
            if file is None or file.stamp is None or file.stamp != stamp or file.is_read_at(left):
                former, file = file, self._read(name, stamp)
                unread += 1
                if former is not None and former.content == file.content:
                    file = replace(file, content=former.content)  # what hangs on the object stays
            files[name] = file = self._within(left, file)
            held += file.run_bytes
            if self._most_runs is not None and unread > self._most_runs:
                unread = 0
                self._hollow_out(files)
                held = sum(file.run_bytes for file in files.values())
        ordered = self._hollow_out(files)
        # a newer run went away: what is shown in its place is read again
        while hollow := [run for run in ordered[::-1][: self._most_runs] if files[_name(run)].hollow]:
            for run in hollow:
                left = budget - sum(file.run_bytes for file in files.values())
                files[_name(run)] = self._within(left, self._read(_name(run), files[_name(run)].stamp))
            ordered = self._hollow_out(files)
        if files != self._files:
            shown, dropped = self._choose(ordered)
            self._ordered, self._shown, self._dropped = ordered, shown, dropped
            self._files = files

    def _is_as_before(self, stamps: Mapping[str, Stamp | OSError | None]) -> bool:
        """Whether no file changed, and none waits for memory or for the operating system."""
        return stamps.keys() == self._files.keys() and all(
            file.stamp is not None and file.stamp == stamps[name] and not file.waits_for_memory
            for name, file in self._files.items()
        )

    def _hollow_out(self, files: dict[str, _File]) -> list[Run]:
        """Let go of the scenarios of runs that are too old to be shown; all runs, oldest first."""
        runs = [file.content for file in files.values() if isinstance(file.content, Run)]
        ordered = sorted(runs, key=lambda run: (run.start_time or 0.0, run.run_id))
        for place, run in enumerate(ordered[: -self._most_runs] if self._most_runs else []):
            name = _name(run)
            if not files[name].hollow:
                start = run.start_time
                begun = () if start is None else (Scenario(name="", start_time=start),)
                ordered[place] = replace(run, scenarios=begun)
                files[name] = replace(files[name], content=ordered[place], hollow=True, held_bytes=0)
        return ordered

    def _scan(self) -> dict[str, Stamp | OSError | None]:
        """What lies in the folder under the name of a result file."""
        stamps: dict[str, Stamp | OSError | None] = {}
        prefix, suffix = RESULT_GLOB.split("*", 1)
        try:
            with os.scandir(self.folder) as entries:
                self._was_there = True
                for entry in entries:
                    if not (entry.name.startswith(prefix) and entry.name.endswith(suffix)):
                        continue
                    try:
                        # follows links, so that a link's target that changed is seen
                        info = entry.stat()
                    except FileNotFoundError:
                        continue  # renamed or deleted between listing and looking, or a link to nowhere
                    except OSError as exc:
                        stamps[entry.name] = exc
                        continue
                    stamps[entry.name] = stamp_of(info)
                # a mount of what was removed is an empty folder; some file systems count no links at all
                if not stamps and self.folder.stat().st_nlink == 0:
                    raise OSError(errno.ESTALE, "the folder was removed", str(self.folder))
        except (FileNotFoundError, NotADirectoryError):
            if self._was_there:
                raise
            return {}
        return stamps

    def _read(self, name: str, stamp: Stamp | OSError | None) -> _File:
        path = self.folder / name
        if isinstance(stamp, OSError):
            return _File(None, Broken(path, f"{path}: cannot be read: {stamp.strerror or stamp}"))
        if any("\ud800" <= character <= "\udfff" for character in name):  # bytes that are no text
            path = self.folder / name.encode("utf-8", "backslashreplace").decode()
            return _File(stamp, Broken(path, f"{path}: expected a name in UTF-8"))
        try:
            run = read_run(path, keep_samples=self._keep_samples)
        except ResultFileError as exc:
            passing = isinstance(exc.__cause__, OSError)
            return _File(None if passing else stamp, Broken(path, str(exc)))
        return _File(stamp, run, held_bytes=held_bytes(run))

    def _within(self, left_bytes: int, file: _File) -> _File:
        """``file``, refused where its run takes more memory than the newer ones have left."""
        if not isinstance(file.content, Run) or file.held_bytes <= left_bytes:
            return file
        path = self.folder / f"{file.content.run_id}.json"
        held, left = file.held_bytes >> 20, left_bytes >> 20
        reason = f"{path}: needs {held} MiB of memory, {left} MiB are left beside newer files"
        return replace(file, content=Broken(path, reason))

    def _choose(self, ordered: Sequence[Run]) -> tuple[dict[str, Shown], int]:
        """The runs that are shown, oldest first, and how many scenarios the limit left out."""
        newest = ordered[::-1][: self._most_runs]
        chosen: dict[str, Shown] = {}
        scenarios = dropped = 0
        for run in newest:
            shown = self._shown.get(run.run_id)
            if shown is None or shown.run is not run:
                shown = Shown(run, published(run), repeats(run))
            scenarios += len(shown.scenarios)
            if self._most_scenarios is not None and scenarios > self._most_scenarios:
                dropped += len(shown.scenarios)
            else:
                chosen[run.run_id] = shown
        return dict(reversed(chosen.items())), dropped

    @property
    def shown(self) -> Mapping[str, Shown]:
        """By run id, oldest first. A run that did not change is the same object as before."""
        return MappingProxyType(self._shown)

    @property
    def dropped(self) -> int:
        """Scenarios of the newest runs that the limit left out."""
        return self._dropped

    @property
    def broken(self) -> Mapping[str, Broken]:
        """Files that cannot be read, by run id."""
        broken = [file.content for file in self._files.values() if isinstance(file.content, Broken)]
        return {file.path.stem: file for file in broken}

    @property
    def ordered(self) -> Sequence[Run]:
        """All runs that could be read, oldest first; one without any time comes first, ties by id.

        Those too old to be shown are without their scenarios.
        """
        return tuple(self._ordered)


def _name(run: Run) -> str:
    return f"{run.run_id}.json"
