"""From what a user writes of a scenario (`Spec`) to what will run (`Job`), with every mistake at once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from advisor.errors import InputError
from advisor.scenario import parse_bitrate_kbps, parse_resolution
from runner.encoders import ENCODERS, Encoder, closest

__all__ = [
    "Job",
    "Rung",
    "RungSpec",
    "Spec",
    "arrange",
    "baseline",
    "duplicate_names",
    "is_text",
    "refuse",
    "resolve",
    "spec_problems",
]

MAX_STREAMS = 256
MAX_FPS = 480
_MAX_SIDE = 16384
LONGEST_BASELINE_SECONDS = 60.0
"""Of a baseline that says no duration of its own."""

Number = int | float
Bitrate = str | int | float


class RungSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rung of a ladder, as written."""

    resolution: str | None = None
    bitrate: Bitrate | None = None
    crf: Number | None = None


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario, as written in a batch file or on the command line."""

    name: str | None = None
    type: Literal["baseline", "single", "multi"] | None = None
    """Follows from the other fields; ``baseline`` is an idle run."""
    encoder: str = "libx264"
    preset: str | int | None = None
    bitrate: Bitrate | None = None
    """``2500k``, ``2.5M``; a bare number is kbit/s."""
    crf: Number | None = None
    """Constant quality on the encoder's own scale, instead of a bitrate."""
    resolution: str | None = None
    """``1280x720``; without it the input's own."""
    fps: Number | None = None
    threads: int | None = None
    streams: int = 1
    bitrates: list[Bitrate] | None = None
    """Concurrent streams of different bitrates, one process each."""
    ladder: list[RungSpec] | None = None
    """Several renditions from one process and one decode."""
    realtime: bool = False
    """Read the input at its own frame rate."""
    rtmp: str | None = None
    sink: Literal["file", "null"] = "file"
    viewers: int | None = None
    input: str | None = None
    duration: Number | None = None
    media_duration: Number | None = None


class Rung(Struct, frozen=True, kw_only=True):
    """One rendition: its size (None: the input's) and either a bitrate or a constant quality."""

    resolution: str | None
    bitrate: str | None
    crf: float | None


class Job(Struct, frozen=True, kw_only=True):
    """One scenario that is ready to run, valid in itself."""

    name: str
    type: Literal["baseline", "single", "multi"] = "single"
    encoder: str | None = None
    preset: str | None = None
    streams: tuple[tuple[Rung, ...], ...] = ()
    """The rungs of each concurrent process."""
    fps: float | None = None
    threads: int | None = None
    realtime: bool = False
    rtmp: str | None = None
    sink: Literal["file", "null", "rtmp"] = "file"
    viewers: int | None = None
    input: str | None = None
    duration_seconds: float
    """Wall seconds after which ffmpeg is asked to end."""
    media_seconds: float | None = None
    """Seconds of video after which ffmpeg ends by itself."""
    repeat: int = 1

    @property
    def table(self) -> Encoder:
        """What is known of the job's encoder."""
        return ENCODERS[self.encoder or ""]


def baseline(duration_seconds: float, name: str = "baseline") -> Job:
    """An idle window."""
    return Job(name=name, type="baseline", duration_seconds=duration_seconds)


def refuse(subject: object, problems: Sequence[str]) -> None:
    """Raise one `InputError` that names all ``problems`` (``field: expectation``); nothing for none."""
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise InputError("; ".join(problems[:5]) + more, subject=subject)


def resolve(
    spec: Spec, *, input_path: str | None, duration_seconds: float, media_seconds: float | None
) -> Job:
    """The job of a spec without problems (`spec_problems`); the arguments are the defaults of the run."""
    duration = float(spec.duration) if spec.duration is not None else duration_seconds
    if spec.type == "baseline":
        idle = duration if spec.duration is not None else min(duration, LONGEST_BASELINE_SECONDS)
        return baseline(idle, spec.name or "baseline")
    encoder = ENCODERS[spec.encoder]
    preset = encoder.default_preset if spec.preset is None else str(spec.preset)
    streams = tuple(_streams(spec))
    return Job(
        name=spec.name or _name(spec, preset, streams),
        type="multi" if len(streams) > 1 or spec.type == "multi" else "single",
        encoder=encoder.name,
        preset=preset,
        streams=streams,
        fps=None if spec.fps is None else float(spec.fps),
        threads=spec.threads,
        realtime=spec.realtime or spec.rtmp is not None,
        rtmp=spec.rtmp,
        sink="rtmp" if spec.rtmp is not None else spec.sink,
        viewers=spec.viewers,
        input=spec.input or input_path,
        duration_seconds=duration,
        media_seconds=float(spec.media_duration) if spec.media_duration is not None else media_seconds,
    )


def _streams(spec: Spec) -> Iterator[tuple[Rung, ...]]:
    if spec.bitrates is not None:
        for bitrate in spec.bitrates:
            yield (_rung(RungSpec(resolution=spec.resolution, bitrate=bitrate)),)
        return
    single = RungSpec(resolution=spec.resolution, bitrate=spec.bitrate, crf=spec.crf)
    rungs = tuple(_rung(rung) for rung in (spec.ladder or [single]))
    yield from itertools.repeat(rungs, spec.streams)


def _rung(rung: RungSpec) -> Rung:
    return Rung(
        resolution=rung.resolution,
        bitrate=None if rung.bitrate is None else bitrate_text(rung.bitrate),
        crf=None if rung.crf is None else float(rung.crf),
    )


def bitrate_text(value: Bitrate) -> str:
    """A bitrate as ffmpeg takes it; a bare number is kbit/s.

    >>> bitrate_text("2.5M"), bitrate_text(800), bitrate_text("1200kbps")
    ('2500k', '800k', '1200k')
    """
    kbps = parse_bitrate_kbps(str(value))
    if kbps is None:
        raise ValueError(f"no bitrate: {value}")
    return f"{kbps:.10g}k"


def _name(spec: Spec, preset: str, streams: Sequence[Sequence[Rung]]) -> str:
    rungs = streams[0]
    if len(rungs) > 1:
        what = f"ladder of {len(rungs)}"
    else:
        rung = rungs[0]
        quality = rung.bitrate or f"crf {rung.crf:g}"
        what = " ".join(part for part in (rung.resolution, quality) if part)
    if spec.bitrates is not None:
        what = "+".join(stream[0].bitrate or "" for stream in streams)
    parts = [spec.encoder, preset, what]
    if spec.fps is not None:
        parts.append(f"{spec.fps:g} fps")
    if spec.threads is not None:
        parts.append(f"{spec.threads} threads")
    if len(streams) > 1:
        parts.append(f"{len(streams)} streams")
    if spec.realtime or spec.rtmp:
        parts.append("live")
    return " ".join(parts)


def spec_problems(spec: Spec) -> list[str]:
    """Everything that is wrong with ``spec``, as ``field: expectation``; empty when it can be resolved."""
    if spec.type == "baseline":
        return list(_range_problems(spec))
    return [*_encoder_problems(spec), *_range_problems(spec), *_shape_problems(spec)]


def is_text(text: str) -> bool:
    """Whether a result file can hold ``text``; it cannot hold what an undecodable file name becomes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoder_problems(spec: Spec) -> Iterator[str]:
    encoder = ENCODERS.get(spec.encoder)
    if encoder is None:
        yield f"encoder: no encoder {spec.encoder!r}, {closest(spec.encoder, list(ENCODERS))}"
        return
    if spec.preset is not None and str(spec.preset) not in encoder.presets:
        known = ", ".join(encoder.presets)
        yield f"preset: expected one of {encoder.name}'s {known}; found {str(spec.preset)!r}"
    low, high = encoder.quality_range
    for place, rung in _places(spec):
        if rung.crf is not None and not low <= rung.crf <= high:
            yield f"{place}crf: expected {low:g} to {high:g} for {encoder.name}, found {rung.crf:g}"


def _places(spec: Spec) -> Iterator[tuple[str, RungSpec]]:
    if spec.ladder is None:
        yield "", RungSpec(resolution=spec.resolution, bitrate=spec.bitrate, crf=spec.crf)
    for index, rung in enumerate(spec.ladder or ()):
        yield f"ladder[{index}].", rung


def _range_problems(spec: Spec) -> Iterator[str]:
    limits: tuple[tuple[str, Number | None, float, float], ...] = (
        ("fps", spec.fps, 1, MAX_FPS),
        ("threads", spec.threads, 1, 512),
        ("streams", spec.streams, 1, MAX_STREAMS),
        ("viewers", spec.viewers, 0, 1e12),
        ("duration", spec.duration, 0.1, 86_400),
        ("media_duration", spec.media_duration, 0.1, 86_400),
    )
    for field, value, low, high in limits:
        if value is not None and not low <= value <= high:
            yield f"{field}: expected {low:g} to {high:g}, found {value:g}"
    if spec.name is not None and not spec.name.strip():
        yield "name: expected some text"
    for field in ("name", "input", "rtmp"):
        if not is_text(getattr(spec, field) or ""):
            yield f"{field}: expected text that UTF-8 can hold"


def _shape_problems(spec: Spec) -> Iterator[str]:
    for place, rung in _places(spec):
        yield from _rung_problems(place, rung, needs_rate=spec.bitrates is None)
    for index, bitrate in enumerate(spec.bitrates or ()):
        yield from _bitrate_problems(f"bitrates[{index}]", bitrate)
    if spec.ladder is not None:
        if len(spec.ladder) < 2:
            yield f"ladder: expected at least 2 rungs, found {len(spec.ladder)}"
        if spec.bitrate is not None or spec.crf is not None or spec.resolution is not None:
            yield "ladder: expected resolution, bitrate and crf inside the rungs only"
    if spec.bitrates is not None:
        if not spec.bitrates:
            yield "bitrates: expected at least one"
        if spec.ladder is not None or spec.bitrate is not None or spec.crf is not None or spec.streams != 1:
            yield "bitrates: expected no bitrate, crf, streams or ladder beside it"
    if spec.rtmp is not None and not spec.rtmp.startswith(("rtmp://", "rtmps://")):
        yield f"rtmp: expected rtmp://HOST/APP/STREAM, found {spec.rtmp!r}"
    if spec.type == "single" and (spec.streams > 1 or spec.bitrates is not None):
        yield "type: expected multi for several streams, found single"


def _rung_problems(place: str, rung: RungSpec, *, needs_rate: bool) -> Iterator[str]:
    if needs_rate and (rung.bitrate is None) == (rung.crf is None):
        found = "neither" if rung.crf is None else "both"
        yield f"{place}bitrate: expected either a bitrate or a crf, found {found}"
    if rung.bitrate is not None:
        yield from _bitrate_problems(f"{place}bitrate", rung.bitrate)
    if rung.resolution is not None and not _is_resolution(rung.resolution):
        yield f"{place}resolution: expected WIDTHxHEIGHT such as 1280x720, found {rung.resolution!r}"


def _bitrate_problems(field: str, value: Bitrate) -> Iterator[str]:
    kbps = parse_bitrate_kbps(str(value))
    if kbps is None or not 1 <= kbps <= 1e7:
        yield f"{field}: expected kbit/s or text such as 2500k or 5M, found {value!r}"


def _is_resolution(text: str) -> bool:
    width, separator, height = text.partition("x")
    if not (separator and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        return False
    size = parse_resolution(text)
    return (
        size is not None and all(16 <= side <= _MAX_SIDE for side in size) and f"{size[0]}x{size[1]}" == text
    )


def arrange(
    jobs: Sequence[Job],
    *,
    repeats: int = 1,
    shuffle_seed: int | None = None,
    baseline_seconds: float | None = None,
) -> list[Job]:
    """The order in which everything runs.

    Repeats go round by round, so that a machine that warms up or is disturbed for a while does not hit one
    scenario's repeats alone. With a seed each round is shuffled. A baseline, when asked for, comes first.
    """
    chance = random.Random(shuffle_seed)  # noqa: S311 - an order, not a secret
    ordered: list[Job] = []
    if baseline_seconds is not None and not any(job.type == "baseline" for job in jobs):
        ordered.append(baseline(min(baseline_seconds, LONGEST_BASELINE_SECONDS)))
    for repeat in range(1, repeats + 1):
        round_ = [msgspec.structs.replace(job, repeat=repeat) for job in jobs]
        if shuffle_seed is not None:
            # baselines keep their place: what follows is compared against them
            encodes = [job for job in round_ if job.type != "baseline"]
            chance.shuffle(encodes)
            round_ = [job for job in round_ if job.type == "baseline"] + encodes
        ordered.extend(round_)
    return ordered


def duplicate_names(jobs: Iterable[Job]) -> list[str]:
    """Names that stand for more than one job."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.name] = counts.get(job.name, 0) + 1
    return [name for name, count in counts.items() if count > 1]
