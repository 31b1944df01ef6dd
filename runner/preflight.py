"""What can be known before anything runs: the inputs, and what this ffmpeg cannot do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.errors import FfmpegError, InputError
from advisor.results import InputMedia
from advisor.video.complexity import ContentCache
from advisor.video.encoders import ENCODERS, Encoder
from advisor.video.ffmpeg import Capabilities, run_text
from runner.command import input_arguments
from runner.jobs import LAVFI, Job

__all__ = ["device_problem", "input_file", "look_at_content", "look_at_inputs", "missing", "odd_sizes"]

_SOURCE = re.compile(r"Stream #0:0.*: Video: .*?, (\d+)x(\d+)[ ,].*?([\d.]+) fps")
_PROBE_SECONDS = 30


def missing(jobs: Sequence[Job], ffmpeg: Path, capabilities: Capabilities) -> dict[Job, str]:
    """Jobs whose encoder cannot be used here, with the reason."""
    names = dict.fromkeys(job.encoder for job in jobs if job.encoder is not None)
    problems = {name: _without_encoder(name, ffmpeg, capabilities) for name in names}
    return {job: reason for job in jobs if job.encoder and (reason := problems[job.encoder])}


def _without_encoder(name: str, ffmpeg: Path, capabilities: Capabilities) -> str | None:
    if name not in capabilities.encoders:
        return f"ffmpeg {capabilities.version} was built without {name}"
    problem = device_problem(ENCODERS[name], ffmpeg) if ENCODERS[name].kind == "gpu" else None
    return f"{name} has no device here: {problem}" if problem is not None else None


def device_problem(encoder: Encoder, ffmpeg: Path) -> str | None:
    """ffmpeg lists encoders of devices that are not there, so a few frames are encoded to see."""
    source = ["-f", "lavfi", "-i", "color=gray:s=640x360:r=25:d=0.2"]
    upload = ["-vf", encoder.upload] if encoder.upload else []
    try:
        run_text(
            ffmpeg,
            ["-v", "error", *encoder.device, *source, *upload, "-c:v", encoder.name, "-f", "null", "-"],
        )
    except FfmpegError as exc:
        return str(exc).partition(": ")[2]
    return None


def look_at_inputs(jobs: Sequence[Job], ffmpeg: Path) -> dict[str, InputMedia]:
    """What each input is, by the name that the jobs give it.

    Raises
    ------
    InputError
        An input that cannot be read or holds no video, or a lavfi source that ffmpeg refuses.
    """
    names = dict.fromkeys(job.input for job in jobs if job.input is not None)
    return {
        # a window ends by its duration: a file goes on from its start
        name: _lavfi(name, ffmpeg) if name.startswith(LAVFI) else replace(input_file(name), loops=-1)
        for name in names
    }


def odd_sizes(jobs: Sequence[Job], sources: Mapping[str, InputMedia], ffmpeg: Path) -> dict[Job, str]:
    """Jobs that would encode an input of an odd width or height as it is with an encoder that refuses it.

    Whether it does depends on the input's sampling too, so a frame is encoded to see.
    """
    refused: dict[tuple[str, str], bool] = {}
    problems: dict[Job, str] = {}
    for job in jobs:
        if job.encoder is None or job.input is None or not _keeps_odd_size(job, media := sources[job.input]):
            continue
        key = job.encoder, job.input
        if key not in refused:
            refused[key] = _refuses(job, ffmpeg)
        if refused[key]:
            problems[job] = (
                f"{job.encoder} refuses the odd size {media.width}x{media.height} of {job.input}: "
                "name a resolution with even sides"
            )
    return problems


def _keeps_odd_size(job: Job, media: InputMedia) -> bool:
    as_it_is = any(rung.resolution is None for stream in job.streams for rung in stream)
    return as_it_is and ((media.width or 0) % 2 == 1 or (media.height or 0) % 2 == 1)


def _refuses(job: Job, ffmpeg: Path) -> bool:
    encoder = job.table
    upload = ["-vf", encoder.upload] if encoder.upload else []
    output = ["-map", "0:V:0", *upload, "-c:v", encoder.name, "-frames:v", "1", "-f", "null", "-"]
    try:
        run_text(ffmpeg, ["-v", "error", *encoder.device, *input_arguments(job), *output])
    except FfmpegError:
        return True
    return False


def look_at_content(
    sources: Mapping[str, InputMedia],
    ffmpeg: Path,
    able: Capabilities,
    cache: ContentCache,
    say: Callable[[str], object],
) -> dict[str, Mapping[str, float]]:
    """How hard each file among the inputs is to encode; where that cannot be told, it is said and left out.

    Some seconds of one core for a file that was never seen: before the windows, never inside.
    """
    contents: dict[str, Mapping[str, float]] = {}
    for name, media in sources.items():
        if media.path is None:
            continue
        try:
            contents[name] = cache.measure(media.path, ffmpeg, able)
        except FfmpegError as exc:
            say(str(exc))
    return contents


def input_file(name: str) -> InputMedia:
    """A file of video as an input, by what it says of itself.

    Raises
    ------
    MediaError
        It cannot be read, or holds no video.
    """
    from advisor.quality.probe import probe  # brings PyAV, which a baseline does not need

    media = probe(name)
    return InputMedia(
        path=str(Path(name).absolute()),
        name=Path(name).name,
        width=media.width,
        height=media.height,
        fps=float(media.rate) if media.rate else None,
        duration=media.seconds,
        frames=media.frames,
    )


def _lavfi(name: str, ffmpeg: Path) -> InputMedia:
    arguments = ["-hide_banner", "-nostdin", "-f", "lavfi", "-i", name.removeprefix(LAVFI)]
    try:
        done = subprocess.run(
            [ffmpeg, *arguments, "-frames:v", "1", "-f", "null", "-"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise InputError(f"the source gave no frame: {exc}", subject=name) from exc
    match = _SOURCE.search(done.stderr)
    if done.returncode or match is None:
        last_lines = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise InputError(f"expected a lavfi video source: {' | '.join(last_lines)}", subject=name)
    return InputMedia(name=name, width=int(match[1]), height=int(match[2]), fps=float(match[3]), loops=0)
