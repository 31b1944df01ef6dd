"""A folder of result files, kept in memory and re-read only where it changed.

Identity of a scenario is its run's id and its name. Of several repeats of one scenario
`advisor.results.derived.published` chooses the one that stands for them, so that everyone who looks at the
folder shows the same runs and the same scenarios.
"""

from __future__ import annotations

import errno
import math
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
    """What is known of a file as long as it has its stamp; with None it is read again."""

    stamp: Stamp | None
    problem: Broken | None = None
    start_time: float = 0.0
    held_bytes: int = 0
    """What its run takes in memory, or would."""
    run: Run | None = None
    """None also where the run is not held."""


class ResultFolder:
    """The runs under ``folder``, by run id.

    A file is read again when its size, modification or change time, inode or device is another; one that the
    operating system refused is tried at every look, since that may pass. A file that was deleted is
    forgotten. A folder that does not exist yet is an empty one. One that was there and is gone, also under a
    mount that outlives it, cannot be listed.

    Of every file is known when its run began. Held in memory are the newest ``runs`` runs, as far as there is
    memory for them; shown are those as far as ``max_scenarios`` goes. Without ``keep_samples`` the series of
    scenarios whose power block says all are not held: they are nearly all of a result file.

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
        self._too_large: list[Broken] = []
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
        before = {name: file.stamp for name, file in self._files.items()}
        if stamps == before and None not in before.values() and not self._too_large:
            return
        files: dict[str, _File] = {}
        held: dict[str, _File] = {}  # their runs are in memory, of twice as many as wanted at most
        total_bytes = 0
        budget = int(_SHARE * memory_bytes()[0])
        for name, stamp in sorted(stamps.items(), reverse=True):
            file = self._files.get(name)
            if file is None or file.stamp is None or file.stamp != stamp:
                file = self._read(name, stamp, file)
            files[name] = file
            if file.run is not None:
                held[name] = file
                total_bytes += file.held_bytes
            if len(held) > 2 * (self._most_runs or math.inf) or total_bytes > budget:
                self._hold_newest(held, stamps, budget)
                files |= held
                held = {name: file for name, file in held.items() if file.run is not None}
                total_bytes = sum(file.held_bytes for file in held.values())
        newest, too_large = self._hold_newest(files, stamps, budget)
        self._shown, self._dropped = self._choose(newest)
        self._files, self._too_large = files, too_large

    def _hold_newest(
        self, files: dict[str, _File], stamps: Mapping[str, Stamp | OSError | None], left_bytes: int
    ) -> tuple[list[Run], list[Broken]]:
        """The newest runs, the newest first, and those too large beside them; no other run stays held.

        One that was too old or too large before is read again.
        """
        newest: list[Run] = []
        too_large: list[Broken] = []
        readable = [name for name, file in files.items() if file.problem is None]
        for name in sorted(readable, key=lambda name: (files[name].start_time, Path(name).stem))[::-1]:
            file, is_wanted = files[name], len(newest) != self._most_runs
            if is_wanted and file.run is None and file.held_bytes <= left_bytes:
                file = self._read(name, stamps[name], None)
            if is_wanted and file.run is not None and file.held_bytes <= left_bytes:
                newest.append(file.run)
                left_bytes -= file.held_bytes
            elif file.problem is None:
                if is_wanted:
                    sizes = f"needs {file.held_bytes >> 20} MiB of memory, {left_bytes >> 20} MiB are left"
                    path = self.folder / name
                    too_large.append(Broken(path, f"{path}: {sizes} beside newer files"))
                file = replace(file, run=None)
            files[name] = file
        return newest, too_large

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

    def _read(self, name: str, stamp: Stamp | OSError | None, former: _File | None) -> _File:
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
        if former is not None and former.run == run:
            run = former.run  # what hangs on the object stays
        return _File(stamp, start_time=run.start_time or 0.0, held_bytes=held_bytes(run), run=run)

    def _choose(self, newest: Sequence[Run]) -> tuple[dict[str, Shown], int]:
        """The runs that are shown, oldest first, and how many scenarios the limit left out."""
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
        broken = [file.problem for file in self._files.values() if file.problem is not None]
        return {file.path.stem: file for file in (*broken, *self._too_large)}
