"""Quality off the path of whoever asks: jobs, workers, and one answer per content."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import FfmpegError, InputError, WattframeError
from advisor.quality.cache import QualityCache, Record, content_key, file_digest
from advisor.quality.settings import QualitySettings
from advisor.results import Quality
from advisor.video.ffmpeg import find_ffmpeg

if TYPE_CHECKING:
    from advisor.quality.outcome import Measurement

ATTEMPTS = 3
"""How often a pair is tried whose ffmpeg crashed or was killed; a damaged file is tried once.

What the operating system refused is not counted.
"""
_REFUSALS = {errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ETXTBSY}
_REFUSED_STARTS = _REFUSALS | {errno.EAGAIN, errno.ENOMEM}
"""ffmpeg's readers say of damaged files too that there is no memory."""

_RETRY_SECONDS, _MOST_RETRY_SECONDS = 10.0, 600.0
Stamp = tuple[int, ...]
Check = Callable[[], None]
"""Is called now and then, and may raise to end the work."""
Measure = Callable[[str, str, QualitySettings, Check], "Measurement"]
"""`advisor.quality.measure.measure`, perhaps on another machine."""
Perform = Callable[["QualityJob", Check], "QualityOutcome"]


class QualityJob(Struct, frozen=True):
    """One pair to score, and the state of its files when it was asked for; picklable."""

    reference: str
    distorted: str
    settings: QualitySettings
    reference_stamp: Stamp
    distorted_stamp: Stamp


class QualityOutcome(Struct, frozen=True):
    """The answer to a job: a quality (perhaps unaligned, without scores), or a failure."""

    quality: Quality | None = None
    failure: str | None = None
    kind: str = "scored"
    """``scored``, ``unaligned``, ``damaged`` (a file cannot be used) or ``failed`` (ffmpeg ended badly)."""
    cached: bool = False
    passing: bool = False
    """A failure that another try may not have: of the operating system, or of an ffmpeg that was killed."""


class Stopped(Exception):  # noqa: N818 -- not an error: the queue is closing
    """Raised inside a measurement to end it."""


def stamped(reference: Path, distorted: Path, settings: QualitySettings) -> QualityJob:
    """The job of two files as they are now; OSError when one is not there."""
    return QualityJob(str(reference), str(distorted), settings, _stamp(reference), _stamp(distorted))


def _stamp(path: Path) -> Stamp:
    info = path.stat()
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def perform(
    job: QualityJob,
    cache: QualityCache,
    *,
    ffmpeg: str | None = None,
    nice: int = 0,
    threads: int | None = None,
    check: Check = lambda: None,
    elsewhere: Measure | None = None,
) -> QualityOutcome:
    """Answer one job: from the cache, else by measuring, here or ``elsewhere``."""
    try:
        # what was looked at when the job was made, and not what was put or linked in its place since
        if stamped(Path(job.reference), Path(job.distorted), job.settings) != job:
            return QualityOutcome(failure="was replaced while it waited", kind="damaged")
        digests = file_digest(job.reference), file_digest(job.distorted)
    except OSError as exc:
        return QualityOutcome(failure=f"cannot be read: {exc.strerror}", kind="damaged", passing=True)
    key = content_key(*digests, job.settings)
    with cache.only_one(key):
        former = cache.get(key)
        if former is not None and not _worth_another_try(former):
            return _outcome(former, job, cached=True)
        check()
        attempts = former.attempts + 1 if former is not None else 1
        try:
            record = _record(job, elsewhere or _here(ffmpeg, nice, threads), check)
        except WattframeError as exc:  # it says nothing of the two videos: no try is counted
            return QualityOutcome(failure=str(exc), kind="failed", passing=True)
        record = replace(record, attempts=attempts)
        cache.put(key, record)
        return _outcome(record, job, cached=False)


def _worth_another_try(record: Record) -> bool:
    return record.failure_kind == "failed" and record.attempts < ATTEMPTS


def _here(ffmpeg: str | None, nice: int, threads: int | None) -> Measure:
    from advisor.quality.measure import measure

    found = str(find_ffmpeg(ffmpeg))  # gone while it is exchanged, for instance

    def measured(reference: str, distorted: str, settings: QualitySettings, check: Check) -> Measurement:
        return measure(
            reference,
            distorted,
            settings,
            ffmpeg=found,
            nice=nice,
            threads=threads,
            progress=lambda _done, _total: check(),
        )

    return measured


def _is_refusal(exc: WattframeError) -> bool:
    """Whether the operating system refused to start ffmpeg, or to open what was read a moment ago."""
    refusals = _REFUSED_STARTS if isinstance(exc, FfmpegError) else _REFUSALS
    return isinstance(exc.__cause__, OSError) and exc.__cause__.errno in refusals


def _record(job: QualityJob, measure: Measure, check: Check) -> Record:
    try:
        return Record(quality=measure(job.reference, job.distorted, job.settings, check).quality)
    except WattframeError as exc:
        if _is_refusal(exc):
            raise
        if not isinstance(exc, InputError):
            return Record(failure=str(exc), failure_kind="failed")
        # without paths: the record serves every copy of these files
        which = {job.reference: "the reference ", job.distorted: "the output "}.get(exc.subject or "", "")
        return Record(failure=f"{which}{exc.problem}", failure_kind="damaged")


def _outcome(record: Record, job: QualityJob, *, cached: bool) -> QualityOutcome:
    if record.quality is None:
        kind, again = record.failure_kind or "failed", _worth_another_try(record)
        return QualityOutcome(failure=record.failure, kind=kind, cached=cached, passing=again)
    quality = replace(record.quality, reference=job.reference, distorted=job.distorted)
    return QualityOutcome(quality, kind="scored" if quality.aligned else "unaligned", cached=cached)


class QualityQueue:
    """Workers that answer the jobs that are wanted, in the order in which they are wanted.

    Parameters
    ----------
    perform
        Answers one job; is given a function that raises when the queue closes. Called from several threads.
    workers
        Jobs at a time.
    retry_seconds
        After which a failure that may pass is tried again, and then ever more seldom.
    """

    def __init__(self, perform: Perform, *, workers: int, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._perform = perform
        self._retry_seconds = retry_seconds
        self._retries: dict[QualityJob, tuple[int, float]] = {}
        """How often a job failed that may yet succeed, and when it is tried again (monotonic seconds)."""
        self._wanted: list[QualityJob] = []
        self._running: set[QualityJob] = set()
        self._outcomes: dict[QualityJob, QualityOutcome] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._waits = False
        self._threads = [
            threading.Thread(target=self._work, name=f"quality-{n}", daemon=True) for n in range(workers)
        ]
        self.counts: Counter[str] = Counter()
        """Answers so far by kind; ``cached`` for those that were not computed."""

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the running measurements and their ffmpeg; what is not done stays undone."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=1.5)

    def want(self, jobs: Sequence[QualityJob], *, begin: bool = True) -> None:
        """The jobs that matter now, the first first. Answers to others are forgotten.

        Without ``begin`` they wait until they are wanted with it; what runs already goes on.
        """
        with self._changed:
            self._waits = not begin
            wanted = dict.fromkeys(jobs)
            self._outcomes = {job: outcome for job, outcome in self._outcomes.items() if job in wanted}
            self._retries = {job: retry for job, retry in self._retries.items() if job in wanted}
            self._wanted = [job for job in wanted if job not in self._outcomes or job in self._retries]
            self._changed.notify_all()

    def outcome(self, job: QualityJob) -> QualityOutcome | None:
        """The answer, None as long as there is none."""
        return self._outcomes.get(job)

    @property
    def pending(self) -> int:
        """Jobs that wait for their first answer."""
        with self._changed:
            return sum(job not in self._outcomes for job in self._wanted)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                outcome = self._perform(job, self._check)
            except Stopped:
                return
            except Exception as exc:  # one bad pair must not end the worker
                outcome = QualityOutcome(failure=f"{type(exc).__name__}: {exc}", kind="failed", passing=True)
            self._done(job, outcome)

    def _next(self) -> QualityJob | None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                idle = [job for job in self._wanted if job not in self._running and not self._waits]
                waits = [max(0.0, self._retries.get(job, (0, now))[1] - now) for job in idle]
                if 0.0 in waits:
                    job = idle[waits.index(0.0)]
                    self._running.add(job)
                    return job
                self._changed.wait(min(waits, default=None))
            return None

    def _done(self, job: QualityJob, outcome: QualityOutcome) -> None:
        with self._changed:
            self._running.discard(job)
            self.counts["cached" if outcome.cached else outcome.kind] += 1
            if job in self._wanted:
                count, _ = self._retries.pop(job, (0, 0.0))
                if outcome.passing:
                    wait = min(self._retry_seconds * 2.0**count, _MOST_RETRY_SECONDS)
                    self._retries[job] = count + 1, time.monotonic() + wait
                else:
                    self._wanted.remove(job)
                self._outcomes[job] = outcome
            self._changed.notify_all()

    def _check(self) -> None:
        if self._closing:
            raise Stopped
