"""From what a user writes of scenarios (`runner.spec.Spec`) to what will run (`Job`), and in which order."""

from __future__ import annotations

import argparse
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from advisor.common.shipped import shipped
from advisor.errors import InputError
from advisor.results.derived import parse_bitrate_kbps
from advisor.results.records import Asked
from advisor.video.encoders import ALIASES, ENCODERS, Encoder
from advisor.video.ffmpeg import shown
from runner.arguments import spec_of
from runner.batch import read_batch
from runner.source import LAVFI
from runner.spec import Bitrate, RungSpec, Spec, frame_rate, refuse, spec_problems

SAMPLE = shipped("samples/bigbuckbunny.mp4")
LONGEST_BASELINE_SECONDS = 60.0
"""Of a baseline that says no duration of its own."""


class Rung(Struct, frozen=True, kw_only=True):
    """One rendition: its size (None: the input's) and either a bitrate or a constant quality."""

    resolution: str | None
    bitrate: str | None
    crf: float | None


class Job(Asked, frozen=True, kw_only=True):
    """One scenario that is ready to run, valid in itself."""

    alias: str | None = None
    """The name of a format that stood for the encoder."""
    streams: tuple[tuple[Rung, ...], ...] = ()
    """The rungs of each concurrent process."""
    fps: Fraction | None = None
    """A constant rate to change to; without it every frame keeps its time."""
    rtmp: str | None = None
    sink: Literal["file", "null", "rtmp"] = "file"
    input: str | None = None
    duration_seconds: float
    """Wall seconds after which ffmpeg is asked to end."""
    media_seconds: float | None = None
    """Seconds of video after which ffmpeg ends by itself."""

    @property
    def rungs(self) -> list[Rung]:
        """All renditions, stream by stream."""
        return [rung for stream in self.streams for rung in stream]

    @property
    def table(self) -> Encoder:
        """What is known of the job's encoder."""
        return ENCODERS[self.encoder or ""]


def baseline(duration_seconds: float, name: str = "baseline") -> Job:
    """An idle window."""
    return Job(name=name, type="baseline", duration_seconds=duration_seconds)


def resolve(
    spec: Spec, *, input_path: str | None, duration_seconds: float, media_seconds: float | None
) -> Job:
    """The job of a spec without problems (`spec_problems`); the arguments are the defaults of the run."""
    duration = float(spec.duration) if spec.duration is not None else duration_seconds
    if spec.type == "baseline":
        idle = duration if spec.duration is not None else min(duration, LONGEST_BASELINE_SECONDS)
        return baseline(idle, spec.name or "baseline")
    encoder = ENCODERS[ALIASES.get(spec.encoder, spec.encoder)]
    preset = encoder.default_preset if spec.preset is None else str(spec.preset)
    streams = tuple(_streams(spec))
    # of equal streams the rungs of one
    rungs = list(itertools.chain(*(streams if len(set(streams)) > 1 else streams[:1])))
    qualities = {rung.crf for rung in rungs}
    return Job(
        name=spec.name or _name(spec, encoder.name, preset, streams),
        type="multi" if len(streams) > 1 or spec.type == "multi" else "single",
        bitrate=",".join(rung.bitrate for rung in rungs if rung.bitrate) or None,
        crf=qualities.pop() if len(qualities) == 1 else None,
        encoder=encoder.name,
        encoder_type=encoder.kind,
        alias=spec.encoder if spec.encoder in ALIASES else None,
        preset=preset,
        streams=streams,
        fps=None if spec.fps is None else frame_rate(spec.fps),
        filters=spec.filters,
        pixel_format=spec.pixel_format,
        encoder_options={name: str(value) for name, value in spec.encoder_options.items()},
        passes=spec.passes if spec.passes > 1 else None,
        audio=spec.audio,
        audio_bitrate=None if spec.audio_bitrate is None else bitrate_text(spec.audio_bitrate),
        hardware_decoding=spec.hardware_decoding,
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


def _name(spec: Spec, encoder: str, preset: str, streams: Sequence[Sequence[Rung]]) -> str:
    rungs = streams[0]
    if len(rungs) > 1:
        what = f"ladder of {len(rungs)}"
    else:
        rung = rungs[0]
        quality = rung.bitrate or f"crf {rung.crf:g}"
        what = " ".join(part for part in (rung.resolution, quality) if part)
    if spec.bitrates is not None:
        what = "+".join(stream[0].bitrate or "" for stream in streams)
    parts = [encoder, preset, what]
    if spec.fps is not None:
        parts.append(f"{spec.fps if isinstance(spec.fps, str) else format(spec.fps, 'g')} fps")
    parts += [part for part in (spec.filters, spec.pixel_format) if part is not None]
    parts += [f"{name}={value}" for name, value in spec.encoder_options.items()]
    if spec.passes == 2:
        parts.append("2 passes")
    if spec.audio is not None:
        rate = "" if spec.audio_bitrate is None else f" {bitrate_text(spec.audio_bitrate)}"
        parts.append(f"audio {spec.audio}{rate}")
    if spec.hardware_decoding is not None:
        parts.append(f"{spec.hardware_decoding} decoding")
    if spec.threads is not None:
        parts.append(f"{spec.threads} threads")
    if len(streams) > 1:
        parts.append(f"{len(streams)} streams")
    if spec.realtime or spec.rtmp:
        parts.append("live")
    return " ".join(parts)


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
        round_ = [replace(job, repeat=repeat) for job in jobs]
        if shuffle_seed is not None:
            # baselines keep their place: what follows is compared against them
            encodes = [job for job in round_ if job.type != "baseline"]
            chance.shuffle(encodes)
            round_ = [job for job in round_ if job.type == "baseline"] + encodes
        ordered.extend(round_)
    return ordered


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """What the options ask for, once each.

    Raises
    ------
    InputError
        Fields that are wrong, names that stand for two scenarios, or no input.
    """
    specs, subject = _specs(options)
    default_input = options.input
    if default_input is None and any(spec.input is None and spec.type != "baseline" for spec in specs):
        default_input = str(SAMPLE)
        if not SAMPLE.exists():
            raise InputError(
                "the sample clip is not installed here: name a video or lavfi:SOURCE", subject="--input"
            )
    jobs = [
        resolve(
            spec,
            input_path=default_input,
            duration_seconds=options.duration,
            media_seconds=options.media_duration,
        )
        for spec in specs
    ]
    endless = [job.name for job in jobs if job.passes == 2 and job.media_seconds is None]
    refuse(subject, [f"media_duration: required for the two passes of {name!r}" for name in endless])
    names = Counter(job.name for job in jobs)
    refuse(subject, [f"name: expected one scenario called {n!r}" for n, times in names.items() if times > 1])
    return jobs


def _specs(options: argparse.Namespace) -> tuple[Sequence[Spec], str | None]:
    if options.subcommand == "batch":
        return _next_to(read_batch(options.file), options.file), str(options.file)
    if options.subcommand == "suite":
        return DEFAULT_SUITE, None
    spec = spec_of(options)
    refuse(None, [_as_option(problem) for problem in spec_problems(spec)])
    return [spec], None


def _as_option(problem: str) -> str:
    """The problem of a field as that of its option: ``media_duration: ...`` is ``--media-duration: ...``."""
    field, colon, rest = problem.partition(":")
    return f"--{field.replace('encoder_options.', 'encoder-option ').replace('_', '-')}{colon}{rest}"


def _next_to(specs: Sequence[Spec], file: Path) -> list[Spec]:
    """Inputs named in a batch file are relative to it; a URL stays one, to be refused as such."""
    return [
        spec
        if spec.input is None or spec.input.startswith(LAVFI) or shown(spec.input) != spec.input
        else replace(spec, input=str(file.parent / spec.input))
        for spec in specs
    ]


_LADDER = [
    RungSpec(resolution="1280x720", bitrate="2500k"),
    RungSpec(resolution="854x480", bitrate="1200k"),
    RungSpec(resolution="640x360", bitrate="700k"),
]

DEFAULT_SUITE: tuple[Spec, ...] = (
    Spec(type="baseline"),
    Spec(name="x264 veryfast 2500k", preset="veryfast", bitrate="2500k"),
    Spec(name="x264 veryfast 1000k", preset="veryfast", bitrate="1000k"),
    Spec(name="x264 medium 2500k", preset="medium", bitrate="2500k"),
    Spec(name="x265 fast 1500k", encoder="libx265", preset="fast", bitrate="1500k"),
    Spec(name="svt-av1 10 1500k", encoder="libsvtav1", preset="10", bitrate="1500k"),
    Spec(name="x264 veryfast ladder", preset="veryfast", ladder=_LADDER),
    Spec(name="x264 veryfast 2 streams 1000k", preset="veryfast", bitrate="1000k", streams=2),
)
