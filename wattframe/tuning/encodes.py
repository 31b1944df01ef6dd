"""Encodes of a tune: scenarios of an ordinary result file, measured and scored as the runner does it.

What a result file has no place for (VMAF and size of every sample) lies beside it, for a later call.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.curves import Configuration
from advisor.advice.samples import Interval, Sample, estimate
from advisor.common.atomic import NO_JSON, write_atomically
from advisor.common.regular_file import read_regular
from advisor.errors import InputError
from advisor.quality.frames import Frame
from advisor.quality.outcome import Measurement
from advisor.quality.settings import QualitySettings
from advisor.results import Output, Run, Scenario
from advisor.video.ffmpeg import file_url
from runner.jobs import Job, resolve
from runner.result_files import outputs_folder
from runner.score import Scorer
from runner.session import Session
from runner.source import Source
from runner.spec import Spec
from wattframe.report.choice import Tuned
from wattframe.tuning import NOTEBOOK
from wattframe.tuning.clip import Clip

NO_SCORE = "no VMAF: "
"""What a failure begins with where only the score is lacking."""
_LONGEST_SECONDS = 86_400.0

_MOST_BYTES = 64 << 20


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
        pairs = zip(self.samples, self.scores, strict=True)
        totals = [score.vmaf * sample.piece.seconds for sample, score in pairs]
        return estimate(self.samples, totals, self.of_pieces)

    @property
    def kbps(self) -> Interval:
        """Of the whole video."""
        kilobits = [score.bits / 1000 for score in self.scores]
        return estimate(self.samples, kilobits, self.of_pieces, as_difficulty=True)


class Notebook(Struct, frozen=True, kw_only=True):
    """What lies beside the result file."""

    videos: dict[str, int]
    """Bytes of every input by its name: another file is another tune."""
    samples: dict[str, int] = {}
    """How many were asked for, by the input's name."""
    encodes: tuple[Encode, ...] = ()
    choices: tuple[Tuned, ...] = ()
    """Of each video, for the report."""

    @classmethod
    def path(cls, results: Path) -> Path:
        """Where the notebook of a result file lies."""
        return outputs_folder(results) / NOTEBOOK

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
            return msgspec.json.decode(read_regular(path, _MOST_BYTES), type=Notebook)
        except OSError as exc:
            raise InputError(
                f"expected the result file of a tune: {exc.strerror}: {path}", subject=results
            ) from exc
        except NO_JSON as exc:
            raise InputError(f"expected what a tune wrote: {exc}", subject=path) from exc

    def with_scenarios_of(self, run: Run) -> Notebook:
        """Without the encodes whose figures the result file does not have any more."""
        scenarios = {(s.name, s.repeat) for s in run.scenarios}
        return replace(self, encodes=tuple(e for e in self.encodes if (e.scenario, e.repeat) in scenarios))


class Encodes:
    """Makes encodes within one session and remembers them."""

    def __init__(
        self,
        session: Session,
        ffmpeg: Path,
        notebook: Notebook,
        sources: Mapping[str, Source],
    ) -> None:
        self._session = session
        self.ffmpeg = ffmpeg
        self.notebook = notebook
        self._sources = sources

    @property
    def run(self) -> Run:
        """The result file so far."""
        return self._session.run

    @property
    def folder(self) -> Path:
        """For what is cut and encoded."""
        return outputs_folder(self._session.path)

    def prefix(self, video: str) -> str:
        """What the names of a video's scenarios begin with; nothing where it is alone."""
        stems = [Path(name).stem for name in self.notebook.videos]
        if len(stems) == 1:
            return ""
        return f"{Path(video).stem if stems.count(Path(video).stem) == 1 else video}: "

    @property
    def made(self) -> tuple[Encode, ...]:
        """In the order in which they were made."""
        return self.notebook.encodes

    def scenario(self, encode: Encode) -> Scenario:
        """Its figures."""
        key = encode.scenario, encode.repeat
        return next(s for s in self.run.scenarios if (s.name, s.repeat) == key)

    def make(
        self,
        clip: Clip,
        video: str,
        configuration: Configuration,
        *,
        resolution: str | None = None,
        loops: int = 1,
    ) -> Encode | str:
        """Encode, measure and score; where that fails, why.

        ``loops`` is how often the clip is encoded in one go, for a window that is long enough to be measured.

        Raises
        ------
        OSError
            The notebook cannot be written.
        """
        job = job_of(clip, configuration, resolution, self.prefix(video), loops)
        scorer = _SampleScorer(self.ffmpeg, clip, loops)
        scenario = self.measure(job, clip, scorer, video)
        if isinstance(scenario, str):
            return scenario
        if scorer.scores is None:
            quality = scenario.outputs[0].quality
            return f"{NO_SCORE}{quality.reason}" if quality is not None else "interrupted"
        if any(math.isnan(score.vmaf) for score in scorer.scores):
            return f"{NO_SCORE}none of the frames of a sample has one"
        encode = Encode(
            video=video,
            clip=clip.path.name,
            configuration=configuration,
            resolution=resolution,
            scenario=scenario.name,
            repeat=scenario.repeat,
            samples=clip.samples,
            scores=scorer.scores,
            of_pieces=clip.of_pieces,
        )
        self.note(replace(self.notebook, encodes=(*self.notebook.encodes, encode)))
        return encode

    def measure(self, job: Job, clip: Clip, scorer: Scorer, video: str) -> Scenario | str:
        """Run a job on a clip and score it; the scenario, or why there is none."""
        done = [s for s in self._session.run.scenarios if s.name == job.name]
        job = replace(job, repeat=1 + max((s.repeat for s in done), default=0))
        before = len(self._session.run.scenarios)
        source = replace(clip.source, content=self._sources[video].content)
        self._session.measure([job], {str(clip.path): source})
        self._session.score(scorer)
        new = self._session.run.scenarios[before:]
        if not new:
            return "interrupted"
        return new[0] if new[0].status == "ok" else new[0].error or new[0].status

    def note(self, notebook: Notebook) -> None:
        """Keep a notebook, and write it.

        Raises
        ------
        OSError
            It cannot be written.
        """
        self.notebook = notebook
        path = Notebook.path(self._session.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(notebook))


def job_of(
    clip: Clip,
    configuration: Configuration,
    resolution: str | None = None,
    prefix: str = "",
    loops: int = 1,
) -> Job:
    """The runner's job that encodes a clip from its beginning to its end."""
    spec = Spec(
        encoder=configuration.encoder,
        preset=configuration.preset,
        crf=configuration.crf,
        resolution=resolution,
    )
    return named(spec, clip, prefix, loops)


def named(spec: Spec, clip: Clip, prefix: str = "", loops: int = 1) -> Job:
    """The job of a spec on a clip."""
    job = resolve(
        spec,
        input_path=str(clip.path),
        duration_seconds=_LONGEST_SECONDS,
        media_seconds=loops * (clip.source.seconds or 0.0),
    )
    return replace(job, name=f"{prefix}{job.name}")


class _SampleScorer(Scorer):
    """Scores one encode of a clip, and keeps the scores of its samples."""

    def __init__(self, ffmpeg: Path, clip: Clip, loops: int) -> None:
        super().__init__(ffmpeg, Path(), QualitySettings())
        self._clip = clip
        self._loops = loops
        self.scores: tuple[SampleScore, ...] | None = None

    def _reference(self, scenario: Scenario, outputs: Sequence[Output]) -> tuple[str, int]:
        # read as often as it was encoded, and not without end
        return str(self._clip.path), self._loops - 1

    def _look_at(self, measured: Measurement, path: str) -> None:
        if measured.quality.vmaf is not None:
            self.scores = by_sample(self._clip, self._loops, measured.frames, packets_of(path))

    def close(self) -> None:
        """Nothing was drawn."""


def packets_of(encode: Path | str) -> list[tuple[float, float]]:
    """Seconds at which each packet of an encode is shown, from the first on, and its bits."""
    with av.open(file_url(encode)) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base or 1)
        packets = sorted((p.pts * base, 8.0 * p.size) for p in container.demux(stream) if p.pts is not None)
    return [(time - packets[0][0], bits) for time, bits in packets]


def by_sample(
    clip: Clip, loops: int, frames: Sequence[Frame], packets: Sequence[tuple[float, float]]
) -> tuple[SampleScore, ...]:
    """Mean VMAF and bits of every sample of a clip, by the place of its frames in the reference."""
    ends = list(itertools.accumulate(sample.piece.frames for sample in clip.samples))
    source = clip.source
    end_times = [source.times[end] if end < len(source.times) else math.inf for end in ends]
    vmaf: list[list[float]] = [[] for _ in ends]
    bits = [0.0 for _ in ends]
    for frame in frames:
        if frame.vmaf is not None:
            number = frame.reference_number % len(source.times)
            vmaf[min(bisect.bisect_right(ends, number), len(ends) - 1)].append(frame.vmaf)
    # containers round their times, by less than half of what lies between two frames
    half_step = min(source.steps, default=0.0) / 2
    for time, size in packets:
        at = (time + half_step) % (source.seconds or math.inf)
        bits[min(bisect.bisect_right(end_times, at), len(ends) - 1)] += size / loops
    return tuple(SampleScore(sum(v) / len(v) if v else math.nan, b) for v, b in zip(vmaf, bits, strict=True))
