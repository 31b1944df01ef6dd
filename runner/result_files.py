"""A run's files: where they are, and how to go on with one that ended early."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from advisor.common.home import user_cache
from advisor.errors import InputError
from advisor.results import Host, Run, Scenario, read_folder, read_run, result_file_name
from runner.command import commands, without_key
from runner.jobs import Job
from runner.source import Source


def content_cache() -> Path:
    """The file of what is known of the content of inputs: the user's, for all folders of results."""
    return user_cache(os.environ.get("XDG_CACHE_HOME")) / "content.json"


def outputs_folder(result_path: Path) -> Path:
    """Where the encodes of a result file lie."""
    return result_path.with_name(f"{result_path.stem}_outputs")


def make_folder(folder: Path) -> None:
    """Create the folder of result files; InputError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"expected a folder that can be created: {exc.strerror}", subject=folder) from exc


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that nothing was left in."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def new_result_path(output_dir: Path, host: str | None = None) -> Path:
    """A file of this moment's name; of a later second's when two runs start together.

    One of several hosts has its name in that of the file, so that files of two can lie in one folder.

    The outputs folder is made here, so that no other run takes the name.
    """
    when = datetime.datetime.now().astimezone()
    while True:
        path = output_dir / result_file_name(when, host)
        try:
            outputs_folder(path).mkdir(parents=True)
        except FileExistsError:
            pass
        else:
            if not path.exists():
                return path
            remove_if_empty(outputs_folder(path))
        when += datetime.timedelta(seconds=1)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold ``path`` for one run, by a lock on its outputs folder; the folder goes when nothing is left in it.

    Raises
    ------
    InputError
        Another run holds it.
    """
    folder = outputs_folder(path)
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # the run before may have removed the folder since it was opened
                if folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino:
                    try:
                        yield
                    finally:
                        remove_if_empty(folder)
                    return
                continue
            raise InputError("expected a file that no other run is writing", subject=path)
        finally:
            os.close(descriptor)


def remaining(
    jobs: Sequence[Job],
    former: Run,
    here: Host,
    path: Path,
    *,
    ffmpeg: Path,
    sources: Mapping[str, Source],
) -> list[Job]:
    """The jobs that ``former`` has not finished.

    Raises
    ------
    InputError
        The file is of another machine, or holds another scenario under a job's name.
    """
    refuse_other_machine(former, here, path)
    done = {(s.name, s.repeat): s for s in former.scenarios if s.status == "ok"}
    unfinished = []
    for job in jobs:
        scenario = done.get((job.name, job.repeat))
        if scenario is None:
            unfinished.append(job)
        elif not _same(scenario, job, ffmpeg, outputs_folder(path), sources.get(job.input or "")):
            raise InputError(
                "has other settings in the file than those given now",
                subject=path,
                field=f"scenario {job.name!r}",
            )
    return unfinished


def refuse_other_machine(former: Run, here: Host, path: Path) -> None:
    """Raise InputError where the run in ``path`` was made elsewhere: two machines are not one run."""
    hardware_id = former.host.hardware_id if former.host else None
    if hardware_id is not None and hardware_id != here.hardware_id:
        raise InputError(
            f"expected a run of this machine ({here.hardware_id}), found {hardware_id}",
            subject=path,
            field="host",
        )


def _same(scenario: Scenario, job: Job, ffmpeg: Path, folder: Path, source: Source | None) -> bool:
    if not job.streams:
        return scenario.type == "baseline"
    asked = commands(job, ffmpeg=ffmpeg, folder=folder, source=source)[0].arguments
    # the binary may have moved and the key of a server is not kept; what else it was told is as before
    before, now = ([without_key(text, job) for text in told[1:]] for told in (scenario.command or (), asked))
    return before == now and scenario.streams == len(job.streams)


def read_former(path: Path) -> Run:
    """The run in ``path``.

    Raises
    ------
    ResultFileError
        It cannot be read.
    InputError
        A scenario in it is malformed: going on would lose it.
    """
    run = read_run(path)
    if run.refused:
        raise InputError(run.refused[0].reason, subject=path)
    return run


def newest_of_host(folder: Path, name: str) -> Run | None:
    """The run of the host called ``name`` that was begun last, None when there is none."""
    return next(
        (run for run in _newest_first(folder) if run.host is not None and run.host.name == name), None
    )


def newest(folder: Path) -> Path:
    """The result file whose run was begun last, of those in ``folder`` that can be read.

    Raises
    ------
    InputError
        There is none.
    """
    paths = newest_first(folder)
    if not paths:
        raise InputError(f"expected a result file in {folder} to resume", subject="--resume")
    return paths[0]


def newest_first(folder: Path) -> list[Path]:
    """The result files in ``folder`` that can be read, by the start of the run: names have the local time."""
    return [folder / f"{run.run_id}.json" for run in _newest_first(folder)]


def _newest_first(folder: Path) -> Sequence[Run]:
    try:
        return read_folder(folder).runs[::-1]
    except InputError:  # no folder yet, or an empty one
        return ()
