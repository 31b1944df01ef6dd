"""Quality exporter, port 9503: how good the encodes of the test runs are, and what a watt bought of it.

Scores that a result file holds are published as they are. The others are computed here, off the scrape path,
newest run first, and kept on disk by content, so that a restart computes nothing twice.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from advisor.common.booleans import parse_boolean
from advisor.common.home import expanded, user_cache
from advisor.common.shipped import shipped
from advisor.errors import FfmpegError, InputError
from advisor.quality.cache import QualityCache
from advisor.quality.entries import Entry, answered, entries_of, entry_of_pair, with_scores
from advisor.quality.pairs import read_pairs
from advisor.quality.queue import Measure, QualityJob, QualityOutcome, QualityQueue, perform
from advisor.quality.settings import QualitySettings, check_settings, known_models
from advisor.results import Quality, Run, Scenario, Vmaf
from advisor.results.folder import ResultFolder, Shown
from advisor.scoring import scores
from advisor.video.ffmpeg import chosen_ffmpeg
from exporters import live
from exporters.runtime import Collector, Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.families import IDENTITY, declared
from exporters.runtime.logs import logger, warn_of
from exporters.runtime.options import RESULT_OPTIONS, choice, existing_file, folder, number, whole_number

_OUTPUT = (*IDENTITY, "codec", "encoder", "output")
_VMAF = (*_OUTPUT, "model")
_TIERED = (*IDENTITY, "codec", "encoder", "tier")
_POLL_SECONDS = 2.0
_REST, _MOST_REST_SECONDS = 40.0, 60.0
"""Files rest so many times as long as it took to look at them, up to a bound."""
# a runner that wrote nothing for so long, longer than its scenarios last, was killed
_LONGEST_SILENCE_SECONDS = 3600.0
_MOST_PROBLEMS = 20
_PASSING = ("missing", "refused")
"""What another file, or another place of a link, ends."""
_KINDS = ("scored", "unaligned", "damaged", "failed", "cached")

VMAF = Family("qoe_vmaf_score", "Mean VMAF, 0-100; comparable only at the same comparison height.", _VMAF)
HARMONIC = Family("qoe_vmaf_harmonic_mean_score", "Harmonic mean of VMAF over the frames.", _VMAF)
PERCENTILE = Family(
    "qoe_vmaf_percentile_score", "1st or 5th percentile of VMAF over the frames.", (*_VMAF, "percentile")
)
WORST = Family("qoe_vmaf_min_score", "VMAF of the worst frame.", _VMAF)
PSNR = Family(
    "qoe_psnr_score",
    "PSNR in decibels from the mean squared error, capped at 60 (8 bit) or 72 (10 bit).",
    _OUTPUT,
)
SSIM = Family("qoe_ssim_ratio", "Structural similarity; 1 is identical.", _OUTPUT)
XPSNR = Family("qoe_xpsnr_decibels", "XPSNR of the luma plane.", _OUTPUT)
ALIGNED = Family(
    "qoe_aligned", "1 if the frames of output and input match, 0 if not (no scores then).", _OUTPUT
)
HEIGHT = Family("qoe_comparison_height_pixels", "Height of the comparison in lines.", _OUTPUT)
SECONDS = Family("qoe_computation_duration_seconds", "Wall time of the quality measurement.", _OUTPUT)
# no info: in OpenMetrics that would be the name of UNSCORED
UNSCORED_INFO = Family("qoe_unscored_info", "Why an output has no score.", (*_OUTPUT, "reason"), kind="gauge")
PER_WATT = Family("qoe_quality_per_watt", "Mean VMAF divided by the scenario's mean watts.", _TIERED)
EFFICIENCY = Family(
    "qoe_efficiency_score", "Pixels delivered x VMAF / 100 per joule of the scenario.", _TIERED
)
COMPUTATIONS = Family(
    "qoe_computations_total",
    "Results since the exporter started: scored, unaligned, damaged (a file), failed (ffmpeg), cached.",
    ("outcome",),
)
PENDING = Family("qoe_pending", "Outputs waiting to be scored or being scored.")
UNSCORED = Family(
    "qoe_unscored",
    "Outputs without a score, by reason; refused means a path outside the allowed folders.",
    ("reason",),
)
MODEL = Family("qoe_model_info", "VMAF models used, with the version of libvmaf.", ("model", "libvmaf"))
FILES_REFUSED = Family("qoe_files_refused", "Result files, or lists of pairs, that are not fully readable.")
PAIRS_ERROR = Family(
    "qoe_pairs_error_info", "An entry of the list or folder of pairs that cannot be used.", ("reason",)
)

_PER_MODEL: tuple[tuple[Family, Callable[[Vmaf], float | None]], ...] = (
    (VMAF, lambda v: v.mean),
    (HARMONIC, lambda v: v.harmonic_mean),
    (WORST, lambda v: v.min),
)
_PER_OUTPUT: tuple[tuple[Family, Callable[[Quality], float | None]], ...] = (
    (PSNR, lambda q: q.psnr_decibels.average if q.psnr_decibels else None),
    (SSIM, lambda q: q.ssim_ratio.all if q.ssim_ratio else None),
    (XPSNR, lambda q: q.xpsnr_decibels),
    (ALIGNED, lambda q: None if q.aligned is None else int(q.aligned)),
    (HEIGHT, lambda q: q.comparison_height_pixels),
    (SECONDS, lambda q: q.computation_seconds),
)


class ScoringWork(Struct, frozen=True):
    """What computing needs."""

    queue: QualityQueue | None
    """Who computes; None where there is no ffmpeg."""
    roots: tuple[Path, ...]
    """Folders, resolved, inside which the paths of result files are followed."""
    settings: QualitySettings = QualitySettings()
    pairs: Path | None = None


class Published(Struct, frozen=True):
    """One scenario, or one pair of the operator's list, with what is known of its outputs."""

    run_id: str
    name: str
    entries: tuple[Entry, ...]
    scenario: Scenario | None = None
    run: Run | None = None


class _Looked(Struct, frozen=True):
    """What a look at a run's files gave, and when they are looked at again (monotonic seconds)."""

    shown: Shown
    published: list[Published]
    again_at: float


class QoeCollector:
    """Publishes the quality of a folder of result files and of a list of pairs.

    Parameters
    ----------
    results
        The folder as the other exporters see it.
    results_dir
        The same folder, for the paths in its files.
    work
        What computes the scores that the files do not hold.
    clock
        Unix seconds.
    """

    name = "qoe"
    poll_seconds = _POLL_SECONDS

    def __init__(
        self,
        results: ResultFolder,
        results_dir: Path,
        work: ScoringWork,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._results = results
        self._folder = results_dir
        self._work = work
        self._clock = clock
        self._told: set[str] = set()
        self._looked: dict[str, _Looked] = {}
        self._resting: tuple[object, dict[str, Part]] | None = None
        """What was given for these runs, in all of which no file can make a difference any more."""

    def start(self) -> None:
        """Begin to compute."""
        if self._work.queue is not None:
            self._work.queue.start()

    def close(self) -> None:
        """End what is being computed."""
        if self._work.queue is not None:
            self._work.queue.close()

    def parts(self) -> dict[str, Part]:
        """One part a run, one for the list of pairs, one for the whole."""
        self._results.refresh()
        shown, queue = self._results.shown, self._work.queue
        inputs = list(shown.values()), len(self._results.broken), dict(queue.counts) if queue else {}
        if self._resting is not None and self._resting[0] == inputs:
            return self._resting[1]
        self._looked = {run_id: kept for run_id, kept in self._looked.items() if run_id in shown}
        published = {run_id: self._of_run(one) for run_id, one in shown.items()}
        pairs, problems = self._of_pairs()
        if pairs:
            published[pairs[0].run_id] = pairs
        self._want(published)
        answers = {run_id: [self._answered(p) for p in of_run] for run_id, of_run in published.items()}
        self._tell(answers, problems)
        runs = {run_id: Part(run_part, (of_run,)) for run_id, of_run in answers.items()}
        parts = {**runs, "": Part(whole_part, self._whole(answers, problems))}
        rests = self._work.pairs is None and all(one.again_at == math.inf for one in self._looked.values())
        self._resting = (inputs, parts) if rests else None
        return parts

    def _want(self, published: Mapping[str, Sequence[Published]]) -> None:
        """Ask for the scores that are missing: newest first; the operator's own list, which comes last,
        before all. Nothing is begun while a runner measures: the computation would be in its figures.
        """
        if self._work.queue is None:
            return
        waits = any(self._goes_on(one.run) for one in self._results.shown.values())
        newest = [p for of_run in reversed(list(published.values())) for p in of_run]
        jobs = [entry.job for p in newest for entry in p.entries if entry.job is not None]
        self._work.queue.want(jobs, begin=not waits)

    def _tell(self, answers: Mapping[str, Sequence[Published]], problems: Sequence[str]) -> None:
        """Log why there is no score, once; what is no longer so is forgotten: names are without end."""
        reasons = {f"{self._work.pairs}: {problem}" for problem in problems}
        for of_run in answers.values():
            for p in of_run:
                reasons |= {f"{p.run_id} {p.name} {e.output}: {e.reason}" for e in p.entries if e.reason}
        warn_of("no score", reasons - self._told)
        self._told = reasons

    def _of_run(self, shown: Shown) -> list[Published]:
        """What is known of a run. One in which no file can make a difference is looked at once.

        The files of others, which may come, go or change, are looked for the more seldom the longer it takes.
        """
        run_id, work, begun = shown.run.run_id, self._work, time.monotonic()
        looked = self._looked.get(run_id)
        if looked is not None and looked.shown is shown and begun < looked.again_at:
            return looked.published
        published = [
            Published(
                run_id,
                scenario.name,
                entries_of(shown.run, scenario, self._folder, work.roots, work.settings),
                scenario,
                shown.run,
            )
            for scenario in shown.scenarios
        ]
        now = time.monotonic()
        again_at = now + min(_REST * (now - begun), _MOST_REST_SECONDS)
        if all(e.job is None and e.kind not in _PASSING for p in published for e in p.entries):
            again_at = math.inf
        self._looked[run_id] = _Looked(shown, published, again_at)
        return published

    def _goes_on(self, run: Run) -> bool:
        """Whether a runner still measures; one that was killed is not waited for."""
        if run.finished is not False:
            return False
        try:
            changed = (self._folder / f"{run.run_id}.json").stat().st_mtime
        except OSError:
            return False
        return self._clock() - changed < _LONGEST_SILENCE_SECONDS

    def _of_pairs(self) -> tuple[list[Published], list[str]]:
        path = self._work.pairs
        if path is None:
            return [], []
        listed = read_pairs(path, self._work.settings)
        name = path.resolve().name if path.is_dir() else path.stem
        return [Published(name, pair.name, (entry_of_pair(pair),)) for pair in listed.pairs], listed.problems

    def _answered(self, published: Published) -> Published:
        """``published`` with the answers of now; itself where nothing is asked."""
        if all(entry.job is None for entry in published.entries):
            return published
        queue = self._work.queue
        if queue is None:
            lacking = {"kind": "no_ffmpeg", "reason": "there is no ffmpeg", "job": None}
            entries = [replace(e, **lacking) if e.job is not None else e for e in published.entries]
        else:
            entries = [answered(entry, queue.outcome) for entry in published.entries]
        return replace(published, entries=tuple(entries))

    def _whole(self, answers: Mapping[str, Sequence[Published]], problems: Sequence[str]) -> tuple[Any, ...]:
        """What `whole_part` is given."""
        entries = [entry for of_run in answers.values() for p in of_run for entry in p.entries]
        queue = self._work.queue
        return (
            sum(entry.job is not None for entry in entries),
            dict(queue.counts) if queue is not None else {},
            dict(Counter(entry.kind for entry in entries if entry.kind is not None)),
            frozenset(_models(entries)),
            len(self._results.broken) + (1 if problems else 0),
            problems,
        )


def whole_part(
    pending: int,
    counts: Mapping[str, int],
    unscored: Mapping[str, int],
    models: frozenset[tuple[str, str]],
    refused: int,
    problems: Sequence[str],
) -> list[Metric]:
    """The families of the exporter as a whole."""
    return [
        PENDING.one(pending),
        COMPUTATIONS([((kind,), counts.get(kind, 0)) for kind in _KINDS]),
        UNSCORED([((kind,), count) for kind, count in sorted(unscored.items())]),
        MODEL([(labels, 1) for labels in sorted(models)]),
        FILES_REFUSED.one(refused),
        PAIRS_ERROR([((problem,), 1) for problem in dict.fromkeys(problems[:_MOST_PROBLEMS])]),
    ]


def _models(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        quality = entry.quality
        if quality is not None and quality.vmaf is not None and quality.vmaf.model is not None:
            for model in (quality.vmaf.model, *quality.vmaf_extra):
                yield model, quality.libvmaf_version or ""


def run_part(published: Sequence[Published]) -> list[Metric]:
    """Every family of one run, or of the list of pairs."""
    rows = [((*_identity(p), entry.output), entry) for p in published for entry in p.entries]
    vmaf = [((*labels, v.model or ""), v) for labels, entry in rows for v in _vmafs(entry)]
    scored = [(labels, entry.quality) for labels, entry in rows if entry.quality is not None]
    families = [family([(labels, of(v)) for labels, v in vmaf]) for family, of in _PER_MODEL]
    families.append(
        PERCENTILE(
            [((*labels, percent), of) for labels, v in vmaf for percent, of in (("1", v.p1), ("5", v.p5))]
        )
    )
    families += [family([(labels, of(quality)) for labels, quality in scored]) for family, of in _PER_OUTPUT]
    families.append(
        UNSCORED_INFO([((*labels, entry.reason), 1) for labels, entry in rows if entry.reason is not None])
    )
    bought = [(_tiered(p), _bought(p)) for p in published if p.scenario is not None]
    families.append(PER_WATT([(labels, values.get("quality_per_watt")) for labels, values in bought]))
    families.append(EFFICIENCY([(labels, values.get("qoe_efficiency")) for labels, values in bought]))
    return families


def _vmafs(entry: Entry) -> list[Vmaf]:
    quality = entry.quality
    return [] if quality is None or quality.vmaf is None else [quality.vmaf, *quality.vmaf_extra.values()]


def _identity(published: Published) -> tuple[str, ...]:
    scenario = published.scenario
    codec, encoder = (scenario.encoder or "", scenario.encoder_type) if scenario is not None else ("", "")
    return published.run_id, published.name, codec, encoder


def _tiered(published: Published) -> tuple[str, ...]:
    power = published.scenario.power if published.scenario is not None else None
    return (*_identity(published), (power.tier if power else None) or "unknown")


def _bought(published: Published) -> dict[str, float]:
    """Scores that join quality and power; only once every output of the scenario has a quality."""
    scored = None if published.scenario is None else with_scores(published.scenario, published.entries)
    return {} if scored is None else scores(scored, published.run)


def _folders(text: str) -> tuple[Path, ...]:
    return tuple(folder(part) for part in text.split(os.pathsep) if part)


def _file_or_folder(text: str) -> Path:
    path = expanded(text)
    return path if text and path.is_dir() else existing_file(text)


_OPTIONS = (
    *RESULT_OPTIONS,
    Option(
        "--media-dir",
        "QOE_MEDIA_DIR",
        None,
        _folders,
        "folders that may be read besides the results folder, colon-separated; default: the samples",
    ),
    Option("--pairs", "QOE_PAIRS", None, _file_or_folder, "list (YAML, JSON) or folder of encodes to score"),
    Option(
        "--cache-dir", "QOE_CACHE_DIR", None, folder, "folder of cached scores; default: the user's cache"
    ),
    Option("--workers", "QOE_WORKERS", 1, whole_number(1, 256), "pairs scored at once, also on a cluster"),
    Option(
        "--threads", "QOE_THREADS", None, whole_number(1, 1024), "libvmaf threads per pair; default: all CPUs"
    ),
    Option("--nice", "QOE_NICE", 10, whole_number(0, 19), "niceness of scoring; 19 is the lowest priority"),
    Option("--ffmpeg", "QOE_FFMPEG", None, str, "ffmpeg with libvmaf; default: that of imageio-ffmpeg"),
    Option(
        "--model", "QOE_MODEL", None, choice(*known_models()), "VMAF model; default: by comparison height"
    ),
    Option(
        "--codec-comparison",
        "QOE_CODEC_COMPARISON",
        False,
        parse_boolean,
        "use the VMAF model for comparing encoders (neg)",
    ),
    Option("--xpsnr", "QOE_XPSNR", False, parse_boolean, "also compute XPSNR"),
    Option(
        "--cluster", "QOE_CLUSTER", None, str, "scheduler of a Dask cluster that scores instead of this host"
    ),
    Option(
        "--cluster-tls", "QOE_CLUSTER_TLS", None, folder, "folder with ca.pem, cert.pem, key.pem for tls://"
    ),
    Option("--live", "QOE_LIVE", None, existing_file, "list of live streams to monitor, YAML: streams.yaml"),
    Option(
        "--live-cpu",
        "QOE_LIVE_CPU",
        None,
        number(0, 1024, above=True),
        "CPU seconds per second for live streams; default: the list's value, or 0.5",
    ),
)


def _can_be_written(folder: Path) -> bool:
    """Whether files can be made in ``folder``, by making one: root's permission says nothing of a disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _queue(options: Namespace, settings: QualitySettings) -> QualityQueue | None:
    try:
        ffmpeg = str(chosen_ffmpeg(options.ffmpeg, settings.filters))
    except FfmpegError as exc:
        logger().warning("no score is computed here", reason=str(exc))
        return None
    kept = options.cache_dir or user_cache(os.environ.get("XDG_CACHE_HOME")) / "quality"
    if not _can_be_written(kept):
        logger().warning("scores are kept in memory only", folder=kept, reason="it cannot be written")
    cache = QualityCache(kept)
    measuring: dict[str, Any] = {"ffmpeg": ffmpeg, "nice": options.nice, "threads": options.threads}
    if options.cluster is not None:
        measuring = {"elsewhere": _on_cluster(options, Path(ffmpeg))}

    def answer(job: QualityJob, check: Callable[[], None]) -> QualityOutcome:
        return perform(job, cache, check=check, **measuring)

    return QualityQueue(answer, workers=options.workers)


def _on_cluster(options: Namespace, ffmpeg: Path) -> Measure:
    from farm.scoring import PatientScoring

    def notice(reason: str) -> None:
        logger().warning("the cluster scores nothing now", reason=reason)

    return PatientScoring(options.cluster, options.cluster_tls, ffmpeg, notice).measure


def _build(options: Namespace) -> list[Collector]:
    settings = QualitySettings(
        model=options.model, codec_comparison=options.codec_comparison, xpsnr=options.xpsnr
    )
    check_settings(settings)
    results = ResultFolder(
        options.results_dir, runs=options.runs, max_scenarios=options.max_scenarios, keep_samples=False
    )
    media = (shipped("samples"),) if options.media_dir is None else options.media_dir
    roots = tuple(path.resolve() for path in (options.results_dir, *media))
    work = ScoringWork(_queue(options, settings), roots, settings, options.pairs)
    return [QoeCollector(results, options.results_dir, work), *_live(options)]


def _live(options: Namespace) -> list[Collector]:
    if options.live is None:
        return []
    try:
        ffmpeg = str(chosen_ffmpeg(options.ffmpeg, ("libvmaf",)))
    except FfmpegError as exc:
        raise InputError(str(exc), subject="--live") from exc
    return [live.LiveCollector(options.live, ffmpeg, options.live_cpu, nice=options.nice)]


EXPORTER = Exporter(
    name="qoe",
    title="Quality of encodes and live streams",
    port=9503,
    options=_OPTIONS,
    build=_build,
    families=(*declared(globals()), *live.FAMILIES),
)

if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
