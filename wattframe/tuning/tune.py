"""From a request to its answers: look at the videos, open the session, search, tell."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.cost.model import CostModel
from advisor.errors import InputError, WorkError
from advisor.results import Host
from advisor.video.encoders import ENCODERS
from advisor.video.ffmpeg import capabilities, chosen_ffmpeg
from runner.display import Display
from runner.measure import RunSettings
from runner.preflight import look_at_content
from runner.result_files import (
    claimed,
    make_folder,
    new_result_path,
    newest_first,
    read_former,
    refuse_other_machine,
)
from runner.session import EnergySources, open_session
from runner.stop import StopRequest
from wattframe.tuning.answer import TuneAnswer, answer_of, command, tuned_of
from wattframe.tuning.beforehand import earlier_encodes, forecasts
from wattframe.tuning.clip import look_at_video
from wattframe.tuning.encodes import Encodes, Notebook
from wattframe.tuning.ladder import ladder_of
from wattframe.tuning.request import TuneRequest, configuration_of, heights_of, options_among, seconds_of
from wattframe.tuning.search import Search, Task

Say = Callable[[str], object]


def _task(request: TuneRequest) -> Task:
    ffmpeg = chosen_ffmpeg(request.ffmpeg, ("libvmaf",))
    able = capabilities(ffmpeg)
    options = options_among(request.encoders, request.presets, able, ffmpeg)
    task = Task(
        ffmpeg=ffmpeg,
        able=able,
        goal=request.goal,
        options=tuple(options),
        baseline=None if request.baseline is None else configuration_of(request.baseline, able, ffmpeg),
        budget_seconds=seconds_of(request.budget),
        heights=() if request.ladder is None else tuple(heights_of(request.ladder)),
        videos=tuple(look_at_video(name) for name in request.inputs),
        precision=request.precision,
        encode_whole=request.whole,
    )
    for video in task.videos:
        task.size(video)
    if any(video.source.is_variable_rate for video in task.videos):
        options = [option for option in options if not ENCODERS[option.encoder].constant_rate_only]
    if not options:
        raise InputError("expected encoders that take a varying frame rate", subject="--encoders")
    return replace(task, options=tuple(options))


class PlannedVideo(Struct, frozen=True, kw_only=True):
    """One input of a plan."""

    input: str
    seconds: float
    pieces: int
    """Into which it can be cut; 0: it is encoded as a whole."""


class TunePlan(Struct, frozen=True, kw_only=True):
    """What a tune would do."""

    videos: list[PlannedVideo]
    presets: dict[str, list[str]]
    """By encoder."""
    configurations: int
    budget_seconds: float
    first_command: list[str]


def plan(request: TuneRequest) -> TunePlan:
    """What a tune would do.

    Raises
    ------
    InputError
        As `tune`.
    """
    task = _task(request)
    presets: dict[str, list[str]] = {}
    for encoder, preset in dict.fromkeys(option.family for option in task.options):
        presets.setdefault(encoder, []).append(preset)
    first = task.baseline or task.options[len(task.options) // 2]
    return TunePlan(
        videos=[
            PlannedVideo(input=video.name, seconds=video.seconds, pieces=len(video.pieces))
            for video in task.videos
        ],
        presets=presets,
        configurations=len(task.options),
        budget_seconds=task.budget_seconds,
        first_command=command(task.videos[0], first),
    )


def tune(request: TuneRequest, model: CostModel, say: Say) -> list[TuneAnswer]:
    """Search, and answer for every video; with ``for_all`` each answer has the same choice.

    Raises
    ------
    InputError
        A video, an encoder or an option that cannot be used.
    WorkError, OSError
        No encode worked, or the result file cannot be written.
    """
    task = _task(request)
    for video in task.videos:
        if video.source.is_variable_rate:
            say(f"{video.name}: its frame rate varies: every frame keeps its time")
    make_folder(request.output_dir)
    sizes = {video.name: Path(video.name).stat().st_size for video in task.videos}
    path = _newest(request.output_dir, sizes) if request.resume else new_result_path(request.output_dir)
    with StopRequest(seconds=task.budget_seconds) as stop, claimed(path):
        return _search(request, task, model, path, sizes, stop, say)


def _search(
    request: TuneRequest,
    task: Task,
    model: CostModel,
    path: Path,
    sizes: dict[str, int],
    stop: StopRequest,
    say: Say,
) -> list[TuneAnswer]:
    inputs = {video.name: video.source for video in task.videos}
    sources = stop.obey(lambda: look_at_content(inputs, task.ffmpeg, task.able, say))
    settings = RunSettings(
        ffmpeg=task.ffmpeg,
        capabilities=task.able,
        # nothing has to settle where no energy counts
        stabilization_seconds=0.0 if task.goal.objective == "bitrate" else 1.0,
        needs_outputs=True,
        procfs=request.procfs,
        sysfs=request.sysfs,
    )
    energy = EnergySources(meters=request.meters, models_dir=request.models_dir)
    with (
        Display((), quiet=request.quiet, limit_seconds=task.budget_seconds) as display,
        open_session(path, settings, energy, stop, display) as session,
    ):
        notebook = Notebook(videos=sizes)
        if request.resume:
            former = read_former(path)
            refuse_other_machine(former, session.run.host or Host(), path)
            session.resume(former)
            notebook = Notebook.read(path).with_scenarios_of(session.run)
        encodes = Encodes(session, task.ffmpeg, notebook, sources)
        machine = session.run.host or Host()
        earlier = earlier_encodes(request.output_dir, machine, model, but=session.run.run_id)
        groups = [task.videos] if request.for_all else [(video,) for video in task.videos]
        answers = []
        for number, group in enumerate(groups):
            predicted = [
                forecasts(request.models_dir, machine, video, task.options, model, sources) for video in group
            ]
            task = replace(task, videos=group, known=(*earlier, *itertools.chain(*predicted)))
            share = stop.seconds_left / (len(groups) - number)
            with contextlib.closing(Search(encodes, task, model, stop, share, display.say)) as search:
                outcome = search.run()
                if not encodes.made and outcome.stopped == "budget":
                    raise WorkError(f"a budget of {task.budget_seconds:g}s is too small for one encode")
                for video in group:
                    ladder = None
                    if task.heights and outcome.verdict.leader is not None:
                        ladder = ladder_of(search, video, outcome.verdict.leader, task.heights)
                    answer = answer_of(search, outcome, video, path, request.month_hours)
                    answers.append(replace(answer, ladder=ladder))
        choices = [tuned for answer in answers if (tuned := tuned_of(answer)) is not None]
        encodes.note(replace(encodes.notebook, choices=tuple(choices)))
        session.finish()
    return answers


def _newest(folder: Path, sizes: dict[str, int]) -> Path:
    """The result file of the last tune on these videos."""
    for path in newest_first(folder):
        with contextlib.suppress(InputError):
            if Notebook.read(path).videos == sizes:
                return path
    raise InputError(f"expected the result file of a tune on these videos in {folder}", subject="--resume")
