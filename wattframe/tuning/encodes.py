"""Encodes of a tune: scenarios of an ordinary result file, measured and scored as the runner does it.

What a result file has no place for (VMAF and size of every sample) lies beside it: a later call goes on with it.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.curves import Configuration
from advisor.advice.samples import Interval, Sample, estimate
from advisor.common.atomic import NO_JSON, write_atomically
from advisor.errors import InputError, MediaError
from advisor.quality.frames import Frame
from advisor.quality.measure import measure
from advisor.quality.settings import QualitySettings
from advisor.results import Output, Quality, Scenario
from advisor.video.ffmpeg import file_url
from runner.jobs import Job, resolve
from runner.result_files import outputs_folder
from runner.score import Scorer, is_scored
from runner.session import Session
from runner.spec import Spec
from wattframe.tuning.clip import Clip

__all__ = ["Encode", "Encodes", "Notebook", "SampleScore"]

_LONGEST_SECONDS = 86_400.0


class SampleScore(Struct, frozen=True):
    """One sample in one encode."""

    vmaf: float
    bits: float


class Encode(Struct, frozen=True, kw_only=True):
    """One encode of a clip, and the scenario of the result file that has its figures."""

    video: str
    clip: str
    """Name of the file that was encoded: another choice of samples is another clip."""
    configuration: Configuration
    resolution: str | None = None
    scenario: str
    repeat: int
    samples: tuple[Sample, ...]
    scores: tuple[SampleScore, ...]
    """As many as samples."""
    of_pieces: int

    @property
    def vmaf(self) -> Interval:
        """Of the whole video."""
        return estimate(self.samples, [score.vmaf for score in self.scores], self.of_pieces)

    @property
    def kbps(self) -> Interval:
        """Of the whole video."""
        rates = [
            score.bits / 1000 / sample.piece.seconds
            for sample, score in zip(self.samples, self.scores, strict=True)
        ]
        return estimate(self.samples, rates, self.of_pieces)


class Notebook(Struct, frozen=True, kw_only=True):
    """What lies beside the result file."""

    videos: dict[str, int]
    """Bytes of every input by its name: another file is another tune."""
    samples: dict[str, int] = {}
    """How many were asked for, by the input's name."""
    encodes: tuple[Encode, ...] = ()

    @classmethod
    def path(cls, results: Path) -> Path:
        """Where the notebook of a result file lies."""
        return outputs_folder(results) / "tune.json"

    @classmethod
    def read(cls, results: Path) -> Notebook:
        """The notebook of a result file.

        Raises
        ------
        InputError
            There is none, or it cannot be read.
        """
        path = cls.path(results)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Notebook)
        except OSError as exc:
            raise InputError(
                f"expected the result file of a tune: {exc.strerror}: {path}", subject=results
            ) from exc
        except NO_JSON as exc:
            raise InputError(f"expected what a tune wrote: {exc}", subject=path) from exc


class Encodes:
    """Makes encodes within one session and remembers them."""

    def __init__(self, session: Session, ffmpeg: Path, notebook: Notebook) -> None:
        self._session = session
        self._ffmpeg = ffmpeg
        self.notebook = notebook

    @property
    def made(self) -> tuple[Encode, ...]:
        """In the order in which they were made."""
        return self.notebook.encodes

    def scenario(self, encode: Encode) -> Scenario:
        """Its figures."""
        key = encode.scenario, encode.repeat
        return next(s for s in self._session.run.scenarios if (s.name, s.repeat) == key)

    def make(
        self,
        clip: Clip,
        video: str,
        configuration: Configuration,
        *,
        resolution: str | None = None,
        prefix: str = "",
        content: dict[str, float] | None = None,
    ) -> Encode | str:
        """Encode, measure and score; where that fails, why.

        Raises
        ------
        WorkError
            The result file cannot be written.
        """
        job = job_of(clip, configuration, resolution, prefix)
        done = [s for s in self._session.run.scenarios if s.name == job.name]
        job = replace(job, repeat=1 + max((s.repeat for s in done), default=0))
        sources = {str(clip.path): clip.source}
        before = len(self._session.run.scenarios)
        self._session.measure([job], sources, {str(clip.path): content or {}})
        scorer = _SampleScorer(self._ffmpeg, clip)
        self._session.score(scorer)
        new = self._session.run.scenarios[before:]
        if not new or new[0].status != "ok":
            return (new[0].error or new[0].status) if new else "interrupted"
        if scorer.scores is None:
            quality = new[0].outputs[0].quality
            return f"no VMAF: {quality.reason}" if quality is not None else "interrupted"
        encode = Encode(
            video=video,
            clip=clip.path.name,
            configuration=configuration,
            resolution=resolution,
            scenario=job.name,
            repeat=job.repeat,
            samples=clip.samples,
            scores=scorer.scores,
            of_pieces=clip.of_pieces,
        )
        self.note(replace(self.notebook, encodes=(*self.notebook.encodes, encode)))
        return encode

    def note(self, notebook: Notebook) -> None:
        """Keep a notebook, and write it."""
        self.notebook = notebook
        path = Notebook.path(self._session.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(notebook))


def job_of(clip: Clip, configuration: Configuration, resolution: str | None = None, prefix: str = "") -> Job:
    """The runner's job that encodes a clip once, from its beginning to its end."""
    spec = Spec(
        encoder=configuration.encoder,
        preset=configuration.preset,
        crf=configuration.crf,
        resolution=resolution,
    )
    job = resolve(
        spec,
        input_path=str(clip.path),
        duration_seconds=_LONGEST_SECONDS,
        media_seconds=clip.source.seconds,
    )
    return replace(job, name=f"{prefix}{job.name}")


class _SampleScorer(Scorer):
    """Scores one encode of a clip, and keeps the scores of its samples."""

    def __init__(self, ffmpeg: Path, clip: Clip) -> None:
        super().__init__(ffmpeg, Path(), codec_comparison=False)
        self._program = str(ffmpeg)
        self._clip = clip
        self.scores: tuple[SampleScore, ...] | None = None

    def quality(self, scenario: Scenario, output: Output, progress: Callable[[int, int], None]) -> Quality:
        """As `runner.score.Scorer.quality`, of a clip that is read once."""
        encode = Path(output.path or "")
        try:
            measured = measure(
                self._clip.path, encode, QualitySettings(), ffmpeg=self._program, progress=progress
            )
        except MediaError as exc:
            return Quality(reason=str(exc), distorted=output.path)
        if is_scored(measured.quality) and measured.quality.vmaf is not None:
            self.scores = _by_sample(self._clip, measured.frames, _packets(encode))
        return measured.quality

    def close(self) -> None:
        """Nothing was drawn."""


def _packets(encode: Path) -> list[tuple[float, float]]:
    """Seconds at which each packet of an encode is shown, from the first on, and its bits."""
    with av.open(file_url(encode)) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base or 1)
        packets = sorted((p.pts * base, 8.0 * p.size) for p in container.demux(stream) if p.pts is not None)
    return [(time - packets[0][0], bits) for time, bits in packets]


def _by_sample(
    clip: Clip, frames: Sequence[Frame], packets: Sequence[tuple[float, float]]
) -> tuple[SampleScore, ...]:
    """Mean VMAF and bits of every sample of a clip, by the place of its frames in the reference."""
    last_frames = list(itertools.accumulate(sample.piece.frames for sample in clip.samples))
    times = clip.source.times
    # half a frame before the next sample begins: containers round their times
    step = min(clip.source.steps, default=0.0)
    ends = [times[last] - step / 2 if last < len(times) else math.inf for last in last_frames]
    vmaf: list[list[float]] = [[] for _ in last_frames]
    bits = [0.0 for _ in last_frames]
    for frame in frames:
        if frame.vmaf is not None:
            place = min(bisect.bisect_right(last_frames, frame.reference_number), len(vmaf) - 1)
            vmaf[place].append(frame.vmaf)
    for time, size in packets:
        bits[min(bisect.bisect_right(ends, time), len(bits) - 1)] += size
    return tuple(SampleScore(sum(v) / len(v) if v else math.nan, b) for v, b in zip(vmaf, bits, strict=True))
