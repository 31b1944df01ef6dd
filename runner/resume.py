"""Going on with a run that ended early."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor.errors import InputError, ResultFileError
from advisor.results import RESULT_GLOB, Host, Run, Scenario, read_run
from runner.command import commands
from runner.places import outputs_folder
from runner.plan import Job

__all__ = ["newest", "read_former", "remaining"]


def remaining(jobs: Sequence[Job], former: Run, here: Host, ffmpeg: Path, path: Path) -> list[Job]:
    """The jobs that ``former`` has not finished.

    Raises
    ------
    InputError
        The file is of another machine, or holds another scenario under a job's name.
    """
    theirs = former.host.hardware_id if former.host else None
    if theirs is not None and theirs != here.hardware_id:
        raise InputError(
            f"expected a run of this machine ({here.hardware_id}), found {theirs}", subject=path, field="host"
        )
    done = {(s.name, s.repeat): s for s in former.scenarios if s.status == "ok"}
    left = []
    for job in jobs:
        scenario = done.get((job.name, job.repeat))
        if scenario is None:
            left.append(job)
        elif not _same(scenario, job, ffmpeg, outputs_folder(path)):
            raise InputError(
                "has other settings in the file than asked for now",
                subject=path,
                field=f"scenario {job.name!r}",
            )
    return left


def _same(scenario: Scenario, job: Job, ffmpeg: Path, folder: Path) -> bool:
    if not job.streams:
        return scenario.type == "baseline"
    asked = commands(job, ffmpeg=ffmpeg, folder=folder)[0].arguments
    # the binary may have moved; what it was told may not have changed
    return (scenario.command or [])[1:] == list(asked[1:]) and scenario.streams == len(job.streams)


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


def newest(folder: Path) -> Path:
    """The result file that was begun last in ``folder``.

    Raises
    ------
    InputError
        There is none.
    """
    paths = sorted(folder.glob(RESULT_GLOB))
    if not paths:
        raise InputError(f"expected a result file in {folder} to go on with", subject="--resume")
    return max(paths, key=_start)


def _start(path: Path) -> tuple[float, str]:
    """When the run began; names are in local time, which an hour of autumn has twice."""
    try:
        return read_run(path).start_time or 0.0, path.name
    except ResultFileError:
        return 0.0, path.name
