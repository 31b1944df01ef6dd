"""Scenarios of a matrix file that were not run, as far as they are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import FfmpegError, InputError
from advisor.machine import host
from advisor.results import Host, InputMedia, Output, Run, Scenario
from advisor.video.ffmpeg import capabilities, find_ffmpeg
from runner.batch import read_batch
from runner.command import commands
from runner.describe import scenario_record
from runner.jobs import Job, resolve
from runner.preflight import look_at_content
from runner.source import Source, look_at_file

_DEFAULT_SECONDS = 60.0


class Planned(Struct, frozen=True):
    """The scenarios as a run that was not measured; ``wall_seconds`` where a plan ends by the clock."""

    run: Run
    wall_seconds: dict[str, float]


def planned_run(
    matrix: Path, *, input_path: str | None, hardware_id: str | None, media_seconds: float | None
) -> Planned:
    """Read a matrix (or batch) file as `run_tests.py batch` would, and describe what would run here.

    Parameters
    ----------
    matrix
        YAML or JSON; see `runner.batch`.
    input_path
        The video, where the scenarios name none.
    hardware_id
        The machine; default this one.
    media_seconds
        Seconds of video to encode; default the input's length.

    Raises
    ------
    InputError
        The file or an input cannot be used.
    """
    specs = read_batch(matrix)
    jobs = [
        resolve(spec, input_path=input_path, duration_seconds=_DEFAULT_SECONDS, media_seconds=media_seconds)
        for spec in specs
    ]
    names = dict.fromkeys(job.input for job in jobs if job.input is not None)
    sources = _with_content({name: _source(name) for name in names})
    scenarios: list[Scenario] = []
    wall: dict[str, float] = {}
    for job, spec in zip(jobs, specs, strict=True):
        if job.type == "baseline":
            continue
        source = sources.get(job.input or "")
        seconds = job.media_seconds or (job.duration_seconds if job.realtime else None)
        if seconds is None and spec.duration is None:
            seconds = source.media.duration if source else None
        if seconds is None:
            wall[job.name] = job.duration_seconds
        scenarios.append(planned_scenario(job, source, seconds))
    if not scenarios:
        raise InputError("expected at least one scenario that encodes", subject=matrix)
    machine = host() if hardware_id is None else Host(hardware_id=hardware_id)
    return Planned(Run(run_id=matrix.stem, scenarios=tuple(scenarios), host=machine), wall)


def _source(name: str) -> Source:
    if not Path(name).is_file():
        # a source of ffmpeg's own, or a file of another machine: its name is all that is known
        return Source(media=InputMedia(name=Path(name).name, path=name))
    return look_at_file(name)


def _with_content(sources: Mapping[str, Source]) -> Mapping[str, Source]:
    """The inputs with how hard those that lie here are to encode, as far as it can be told."""
    files = {name: source for name, source in sources.items() if source.media.width}
    try:
        ffmpeg = find_ffmpeg()
        able = capabilities(ffmpeg)
    except FfmpegError:
        return sources
    # what cannot be measured is told by the prediction itself: its content is not known
    return {**sources, **look_at_content(files, ffmpeg, able, lambda _: None)}


def planned_scenario(job: Job, source: Source | None, seconds: float | None) -> Scenario:
    """What is known of a job before it runs; ``seconds`` of video."""
    scenario = scenario_record(
        job, commands(job, ffmpeg=Path("ffmpeg"), folder=Path(), source=source), source
    )
    media = source.media if source is not None else None
    size = f"{media.width}x{media.height}" if media and media.width and media.height else None
    outputs = [
        Output(resolution=rung.resolution or size, bitrate=rung.bitrate, duration=seconds)
        for rung in job.rungs
    ]
    return replace(scenario, outputs=outputs)
