"""What can be known before anything runs: the inputs, and what this ffmpeg cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from advisor.common.death_notice import death_notice
from advisor.common.near import did_you_mean
from advisor.errors import FfmpegError, InputError
from advisor.results import Run, parse_run
from advisor.video.complexity import ContentCache
from advisor.video.encoders import ENCODERS, Encoder
from advisor.video.ffmpeg import Capabilities, option_names, run
from runner.command import commands, hardware_trial, trial
from runner.describe import scenario_record
from runner.jobs import Job
from runner.result_files import content_cache
from runner.source import Source, look_at_source

_GENERAL_OPTIONS = (
    *("b_qfactor", "b_qoffset", "b_strategy", "bf", "bufsize", "chroma_sample_location", "color_primaries"),
    *("color_range", "color_trc", "colorspace", "g", "i_qfactor", "keyint_min", "level", "maxrate"),
    *("me_range", "minrate", "profile", "qcomp", "qdiff", "qmax", "qmin", "rc_init_occupancy", "refs"),
    *("sc_threshold", "slices", "subq", "trellis"),
)
"""Of ffmpeg's options for any encoder of video."""
_IGNORED = re.compile(r"Error parsing option .*|Unknown option: .*|Invalid value for .*")
"""What x264, x265 and SVT-AV1 only warn of: a result would be told by a parameter that was never in force."""
_TRIAL_SECONDS = 60


def missing(jobs: Sequence[Job], ffmpeg: Path, capabilities: Capabilities) -> dict[str, str]:
    """Names of the jobs whose encoder cannot be used here, with the reason."""
    encoders = dict.fromkeys(job.encoder for job in jobs if job.encoder is not None)
    problems = {name: encoder_problem(ENCODERS[name], ffmpeg, capabilities) for name in encoders}
    return {j.name: f"encoder: {reason}" for j in jobs if j.encoder and (reason := problems[j.encoder])}


def encoder_problem(encoder: Encoder, ffmpeg: Path, capabilities: Capabilities) -> str | None:
    """Why an encoder cannot be used here; None when it can."""
    if encoder.name not in capabilities.encoders:
        return f"ffmpeg {capabilities.version} was built without {encoder.name}"
    problem = device_problem(encoder, ffmpeg) if encoder.kind == "gpu" else None
    return f"{encoder.name} has no device on this machine: {problem}" if problem is not None else None


def device_problem(encoder: Encoder, ffmpeg: Path) -> str | None:
    """ffmpeg lists encoders of devices that are not there, so a few frames are encoded to see."""
    source = ["-f", "lavfi", "-i", "color=gray:s=640x360:r=25:d=0.2"]
    upload = ["-vf", encoder.upload] if encoder.upload else []
    encode = [*encoder.device, *source, *upload, "-c:v", encoder.name, "-f", "null", "-"]
    return _complaint(ffmpeg, ["-nostdin", "-v", "error", *encode])


def look_at_inputs(jobs: Sequence[Job], ffmpeg: Path) -> dict[str, Source]:
    """What each input is, by the name that the jobs give it.

    Raises
    ------
    InputError
        An input cannot be used; see `runner.source.look_at_source`.
    """
    names = dict.fromkeys(job.input for job in jobs if job.input is not None)
    return {name: look_at_source(name, ffmpeg) for name in names}


def unsuitable(jobs: Sequence[Job], sources: Mapping[str, Source], ffmpeg: Path) -> dict[str, str]:
    """Names of the jobs that this ffmpeg would refuse for input or options, with the field and the reason.

    What only ffmpeg knows is tried on the first frame, once for all jobs that are alike in it.
    """
    tried: dict[tuple[str, ...], str | None] = {}
    problems: dict[str, str] = {}
    for job in jobs:
        source = sources.get(job.input or "")
        if job.encoder is None or source is None:
            continue
        problem = _input_problem(job, source) or _unknown_option(job, ffmpeg)
        unusual = job.filters or job.pixel_format or job.encoder_options or job.audio or job.hardware_decoding
        odd = (source.media.width or 0) % 2 or (source.media.height or 0) % 2
        if problem is None and (unusual or odd):
            alike = tuple(trial(job, source))
            if alike not in tried:
                tried[alike] = _trial(job, source, ffmpeg)
            problem = tried[alike]
        if problem is not None:
            problems[job.name] = problem
    return problems


def _input_problem(job: Job, source: Source) -> str | None:
    if job.table.constant_rate_only and source.is_variable_rate and job.fps is None:
        return (
            f"fps: {job.encoder} accepts only a constant frame rate, and that of {job.input} varies: give fps"
        )
    seconds = source.media.duration
    too_long = job.media_seconds is not None and seconds is not None and job.media_seconds > seconds > 0
    if too_long and source.media.path is not None and not source.loops:
        return f"media_duration: {job.input} lasts {seconds:.2f} s and cannot be read twice"
    return None


def _unknown_option(job: Job, ffmpeg: Path) -> str | None:
    """Whatever else ffmpeg takes in an option's place, only options of encoders are passed on to it."""
    for name in job.encoder_options:
        options = {*option_names(ffmpeg, f"encoder={job.encoder}"), *_GENERAL_OPTIONS}
        if name not in options:
            hint = did_you_mean(name, sorted(options))
            return f"encoder_options: {job.encoder} has no option {name!r}, {hint}"
    return None


def _trial(job: Job, source: Source, ffmpeg: Path) -> str | None:
    """What is wrong with encoding the first frame, as field and reason; None when all is well."""
    if job.hardware_decoding is not None and (complaint := _complaint(ffmpeg, hardware_trial(job))):
        return f"hardware_decoding: {job.hardware_decoding} cannot decode {job.input} here: {complaint}"
    complaint = _complaint(ffmpeg, trial(job, source))
    return None if complaint is None else f"scenario {job.name[:60]!r}: ffmpeg refuses it: {complaint}"


def _complaint(ffmpeg: Path, arguments: Sequence[str]) -> str | None:
    """How ffmpeg ended and why, or which parameter it ignored; None when all is well."""
    try:
        _, said = run(ffmpeg, arguments, timeout_seconds=_TRIAL_SECONDS, before=death_notice())
    except FfmpegError as exc:
        return str(exc).partition(": ")[2]
    ignored = _IGNORED.search(said)
    return ignored[0] if ignored is not None else None


def look_at_content(
    sources: Mapping[str, Source],
    ffmpeg: Path,
    able: Capabilities,
    say: Callable[[str], object],
) -> dict[str, Source]:
    """The inputs with how hard each file among them is to encode; where that cannot be told, it is said.

    Some seconds of one core for a file that was never seen: before the windows, never inside.
    """
    cache = ContentCache(content_cache())
    measured = dict(sources)
    for name, source in sources.items():
        if source.media.path is None:
            continue
        try:
            content = cache.measure(source.media.path, ffmpeg, able)
        except FfmpegError as exc:
            say(str(exc))
        else:
            measured[name] = replace(source, content=dict(content))
    return measured


def refuse_unreadable(jobs: Sequence[Job], sources: Mapping[str, Source], ffmpeg: Path, folder: Path) -> None:
    """Refuse what no reader of result files would take, before it is measured.

    Raises
    ------
    InputError
        A scenario whose settings do not fit into a result file.
    """
    records = []
    for job in jobs:
        source = sources.get(job.input or "")
        planned = commands(job, ffmpeg=ffmpeg, folder=folder, source=source)
        records.append(scenario_record(job, planned, source))
    written = msgspec.json.encode(Run(run_id="", scenarios=tuple(records)))
    refused = parse_run(written, run_id="").refused
    if refused:
        raise InputError(refused[0].reason, subject=f"scenario {(refused[0].name or '')[:60]!r}")
