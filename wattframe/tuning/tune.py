"""From a request to its answers: look at the videos, open the session, search, tell."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.curves import Configuration
from advisor.advice.search import Goal
from advisor.cost.model import CostModel
from advisor.errors import InputError, WorkError
from advisor.results import Host
from advisor.video.encoders import ENCODERS
from advisor.video.ffmpeg import Capabilities, capabilities, chosen_ffmpeg
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
from wattframe.tuning.beforehand import earlier_trials, forecasts
from wattframe.tuning.clip import Video, look_at_video
from wattframe.tuning.encodes import Encodes, Notebook
from wattframe.tuning.ladder import heights_of, ladder_of, size_of
from wattframe.tuning.request import TuneRequest, configuration_of, options_among, seconds_of
from wattframe.tuning.search import Deadline, Search, Task

Say = Callable[[str], object]


class _Setting(Struct, frozen=True, kw_only=True):
    """What a request comes to on this machine."""

    ffmpeg: Path
    able: Capabilities
    videos: tuple[Video, ...]
    options: tuple[Configuration, ...]
    baseline: Configuration | None
    goal: Goal
    heights: tuple[int, ...]
    """Of a ladder, the largest first; empty without one."""
    budget_seconds: float


def _setting(request: TuneRequest) -> _Setting:
    ffmpeg = chosen_ffmpeg(request.ffmpeg, ("libvmaf",))
    able = capabilities(ffmpeg)
    options = options_among(request.encoders, request.presets, able, ffmpeg)
    baseline = None if request.baseline is None else configuration_of(request.baseline, able, ffmpeg)
    budget_seconds = seconds_of(request.budget)
    heights = () if request.ladder is None else tuple(heights_of(request.ladder))
    videos = tuple(look_at_video(name) for name in request.inputs)
    for video in videos:
        if heights:
            size_of(video, heights[0])
        if video.source.is_variable_rate:
            options = [o for o in options if not ENCODERS[o.encoder].constant_rate_only]
    if not options:
        raise InputError("expected encoders that take a varying frame rate", subject="--encoders")
    return _Setting(
        ffmpeg=ffmpeg,
        able=able,
        videos=videos,
        options=tuple(options),
        baseline=baseline,
        goal=Goal(
            objective=request.objective,
            min_vmaf=request.min_vmaf,
            max_kbps=request.max_kbps,
            min_speed=request.min_speed,
        ),
        heights=heights,
        budget_seconds=budget_seconds,
    )


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
    setting = _setting(request)
    presets: dict[str, list[str]] = {}
    for encoder, preset in dict.fromkeys(option.family for option in setting.options):
        presets.setdefault(encoder, []).append(preset)
    first = setting.baseline or setting.options[len(setting.options) // 2]
    return TunePlan(
        videos=[
            PlannedVideo(input=video.name, seconds=video.seconds, pieces=len(video.pieces))
            for video in setting.videos
        ],
        presets=presets,
        configurations=len(setting.options),
        budget_seconds=setting.budget_seconds,
        first_command=command(setting.videos[0], first),
    )


def tune(request: TuneRequest, model: CostModel, say: Say) -> list[TuneAnswer]:
    """Search, and answer for every video; with ``for_all`` each answer has the same choice.

    Raises
    ------
    InputError
        A video, an encoder or an option that cannot be used.
    WorkError
        No encode worked, or the result file cannot be written.
    """
    setting = _setting(request)
    for video in setting.videos:
        if video.source.is_variable_rate:
            say(f"{video.name}: its frame rate varies: every frame keeps its time")
    make_folder(request.output_dir)
    sizes = {video.name: Path(video.name).stat().st_size for video in setting.videos}
    path = _newest(request.output_dir, sizes) if request.resume else new_result_path(request.output_dir)
    with StopRequest(seconds=setting.budget_seconds) as stop, claimed(path):
        return _search(request, setting, model, path, sizes, stop, say)


def _search(
    request: TuneRequest,
    setting: _Setting,
    model: CostModel,
    path: Path,
    sizes: dict[str, int],
    stop: StopRequest,
    say: Say,
) -> list[TuneAnswer]:
    inputs = {video.name: video.source for video in setting.videos}
    sources = stop.obey(lambda: look_at_content(inputs, setting.ffmpeg, setting.able, say))
    settings = RunSettings(
        ffmpeg=setting.ffmpeg,
        capabilities=setting.able,
        # nothing has to settle where no energy counts
        stabilization_seconds=0.0 if setting.goal.objective == "bitrate" else 1.0,
        needs_outputs=True,
        procfs=request.procfs,
        sysfs=request.sysfs,
    )
    energy = EnergySources(meters=request.meters, models_dir=request.models_dir)
    with (
        Display((), quiet=request.quiet, limit_seconds=setting.budget_seconds) as display,
        open_session(path, settings, energy, stop, display) as session,
    ):
        notebook = Notebook(videos=sizes)
        if request.resume:
            former = read_former(path)
            refuse_other_machine(former, session.run.host or Host(), path)
            session.resume(former)
            notebook = Notebook.read(path).with_scenarios_of(session.run)
        encodes = Encodes(session, setting.ffmpeg, notebook, sources)
        machine, objective = session.run.host or Host(), setting.goal.objective
        earlier = earlier_trials(request.output_dir, machine, objective, model, but=session.run.run_id)
        groups = [setting.videos] if request.for_all else [(video,) for video in setting.videos]
        answers = []
        for number, group in enumerate(groups):
            expected = [
                forecasts(request.models_dir, machine, video, setting.options, objective, model, sources)
                for video in group
            ]
            task = Task(
                goal=setting.goal,
                options=setting.options,
                videos=group,
                baseline=setting.baseline,
                precision=request.precision,
                encode_whole=request.whole,
                sizes={video.name: _top(video, setting.heights) for video in group},
                earlier=tuple(earlier),
                forecasts=tuple(itertools.chain(*expected)),
            )
            deadline = Deadline(stop, stop.seconds_left / (len(groups) - number))
            with contextlib.closing(Search(encodes, task, model, deadline, display.say)) as search:
                outcome = search.run()
                if not encodes.made and outcome.stopped == "budget":
                    raise WorkError(f"a budget of {request.budget} is too small for one encode")
                for video in group:
                    ladder = None
                    if setting.heights and outcome.verdict.leader is not None:
                        ladder = ladder_of(search, video, outcome.verdict.leader, setting.heights)
                    answer = answer_of(search, outcome, video, path, request.month_hours)
                    answers.append(replace(answer, ladder=ladder))
        choices = [tuned for answer in answers if (tuned := tuned_of(answer)) is not None]
        encodes.note(replace(encodes.notebook, choices=tuple(choices)))
        session.finish()
    return answers


def _top(video: Video, heights: Sequence[int]) -> str | None:
    """The size that is searched: of a ladder the largest."""
    return size_of(video, heights[0]) if heights else None


def _newest(folder: Path, sizes: dict[str, int]) -> Path:
    """The result file of the last tune on these videos."""
    for path in newest_first(folder):
        with contextlib.suppress(InputError):
            if Notebook.read(path).videos == sizes:
                return path
    raise InputError(f"expected the result file of a tune on these videos in {folder}", subject="--resume")
