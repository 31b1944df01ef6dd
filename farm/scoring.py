"""Quality on a cluster: a pair, or a part of a long one, is one call."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import FfmpegError, InputError, MediaError, WattframeError
from advisor.quality.cache import QualityCache, Record, content_key
from advisor.quality.measure import measure
from advisor.quality.outcome import Measurement
from advisor.quality.parts import Part, PartResult, Prepared, combine, measure_part, parts, prepare
from advisor.quality.settings import QualitySettings
from advisor.video.ffmpeg import file_url
from farm import versions
from farm.cluster import Call, Cluster, ClusterError, FatalCallError, is_wanted, security_of
from farm.site import RemoteFile, file_here, remote_file, site

_T = TypeVar("_T")
_PATIENCE_STEPS, _STEP_SECONDS = 10, 0.5


class Pair(Struct, frozen=True):
    """One pair as it travels."""

    reference: RemoteFile
    distorted: RemoteFile
    settings: QualitySettings

    @property
    def content(self) -> str | None:
        """The name under which its quality is kept; None where a side is no single file."""
        digests = self.reference.digest, self.distorted.digest
        return content_key(*digests, self.settings) if all(digests) else None


class Scoring:
    """Measures pairs on the workers that score as this machine would.

    Parameters
    ----------
    parts
        Into how many a long video is cut; None: so that ``pairs`` leave no worker idle.
    cache
        Of what was scored before.

    Raises
    ------
    ClusterError
        There is no such worker.
    """

    def __init__(
        self,
        cluster: Cluster,
        ffmpeg: Path,
        *,
        pairs: int = 1,
        parts: int | None = None,
        cache: QualityCache | None = None,
    ) -> None:
        self.cluster = cluster
        scores = versions.scores(ffmpeg)
        cluster.slots(versions.code(), "code ")
        self.slots = cluster.slots(scores, "scores ")
        """Pairs at a time when this began."""
        self._resources = {scores: 1.0, versions.code(): 1.0}
        self._parts = parts or max(1, self.slots // pairs)
        self._cache = cache

    def measure(
        self,
        reference: str,
        distorted: str,
        settings: QualitySettings,
        check: Callable[[], None],
        *,
        frames: bool = False,
    ) -> Measurement:
        """`advisor.quality.measure.measure`, elsewhere, unless it is known already.

        ``check`` may raise, which ends the work. Without ``frames`` their scores may be left out.

        Raises
        ------
        MediaError, FfmpegError
            As there.
        SchedulerLostError
            The scheduler went away.
        """
        try:
            pair = Pair(remote_file(reference), remote_file(distorted), settings)
        except OSError as exc:
            missing = isinstance(exc, FileNotFoundError)
            problem = "no such file" if missing else f"cannot be read: {exc.strerror}"
            raise MediaError(problem, subject=exc.filename) from exc
        record = self._cache.get(pair.content) if self._cache and pair.content and not frames else None
        if record is not None and record.quality is not None:
            return Measurement(replace(record.quality, reference=reference, distorted=distorted), ())
        begun = time.monotonic()
        try:
            answer = self._in_parts(pair, check) if self._parts > 1 else None
            if answer is None:
                (answer,) = self.cluster.run([self._call(pair, measure_pair)], check)
        except FatalCallError as exc:
            raise FfmpegError(f"{distorted}: {exc}") from exc
        if isinstance(answer, WattframeError):
            raise answer
        if self._cache and pair.content:
            self._cache.put(pair.content, Record(quality=answer.quality))
        named = replace(answer.quality, reference=reference, distorted=distorted)
        return replace(answer, quality=replace(named, computation_seconds=time.monotonic() - begun))

    def _in_parts(self, pair: Pair, check: Callable[[], None]) -> Measurement | None:
        """The pair measured in parts, on several workers; None where one pass is the way."""
        (prepared,) = self.cluster.run([self._call(pair, prepare_pair)], check)
        cut = parts(prepared, self._parts) if isinstance(prepared, Prepared) else []
        if not cut:
            return None
        calls = [self._call(pair, measure_part_of, prepared, part) for part in cut]
        results = self.cluster.run(calls, check)
        if not all(isinstance(result, PartResult) for result in results):
            return None
        return combine(prepared, cut, results)

    def _call(self, pair: Pair, function: Callable[..., Any], *further: Any) -> Call:
        asked = [function.__name__, pair, *(value.pairs for value in further if isinstance(value, Part))]
        # not the bare hash: Dask takes such a key for one that needs no queue
        digest = hashlib.blake2b(msgspec.json.encode(asked), digest_size=16).hexdigest()
        return Call(f"quality-{digest}", function, (pair, *further), self._resources)


class PatientScoring:
    """Scores on a cluster that may come and go, for whoever runs for long: what cannot be done now waits.

    ``notice`` is told why, once for each reason.
    """

    def __init__(self, address: str, tls: Path | None, ffmpeg: Path, notice: Callable[[str], None]) -> None:
        security_of(address, tls)
        self._address, self._tls, self._ffmpeg = address, tls, ffmpeg
        self._notice = notice
        self._problem: str | None = None
        self._scoring: Scoring | None = None
        self._guard = threading.Lock()

    def measure(
        self, reference: str, distorted: str, settings: QualitySettings, check: Callable[[], None]
    ) -> Measurement:
        """As `Scoring.measure`."""
        while True:
            try:
                with self._guard:
                    self._scoring = scoring = self._scoring or self._connect()
                return scoring.measure(reference, distorted, settings, check)
            except ClusterError as exc:
                with self._guard:
                    self._lose(exc)
            for _ in range(_PATIENCE_STEPS):
                check()
                time.sleep(_STEP_SECONDS)

    def _connect(self) -> Scoring:
        cluster = Cluster(self._address, self._tls)
        try:
            return Scoring(cluster, self._ffmpeg, parts=1)
        except ClusterError:
            cluster.close()
            raise

    def _lose(self, exc: ClusterError) -> None:
        if self._scoring is not None and self._scoring.cluster.is_lost:
            self._scoring.cluster.close()
            self._scoring = None
        if str(exc) != self._problem:
            self._notice(str(exc))
        self._problem = str(exc)


def measure_pair(pair: Pair) -> Measurement | WattframeError:
    """Runs on a worker, as the next two do."""
    return _on_files(
        pair, lambda reference, distorted: measure(reference, distorted, pair.settings, **_means())
    )


def prepare_pair(pair: Pair) -> Prepared | WattframeError:
    """What the two files say."""
    return _on_files(pair, lambda one, other: prepare(one, other, pair.settings))


def measure_part_of(pair: Pair, prepared: Prepared, part: Part) -> PartResult | WattframeError:
    """One part; ``prepared`` may come from a worker that has the files elsewhere."""

    def measured(reference: str, distorted: str) -> PartResult:
        source = replace(prepared.source, path=reference, opens=file_url(reference))
        media = replace(prepared.output.media, path=distorted, opens=file_url(distorted))
        here = replace(prepared, source=source, output=replace(prepared.output, media=media))
        return measure_part(here, part, **_means())

    return _on_files(pair, measured)


def _means() -> dict[str, Any]:
    here = site()
    return {"ffmpeg": here.ffmpeg, "threads": here.threads, "nice": here.nice, "progress": _end_unless_wanted}


def _on_files(pair: Pair, work: Callable[[str, str], _T]) -> _T | WattframeError:
    """What ``work`` makes of the pair's files on this machine; an error names them as whoever asked does."""
    names: dict[str, str] = {}
    try:
        reference, distorted = file_here(pair.reference), file_here(pair.distorted)
        names = {reference: pair.reference.path, distorted: pair.distorted.path}
        return work(reference, distorted)
    except InputError as exc:
        return MediaError(exc.problem, subject=names.get(exc.subject or "", exc.subject), field=exc.field)
    except WattframeError as exc:
        return exc


class Unwanted(Exception):  # noqa: N818 -- not an error: nobody asks any more
    """Ends a measurement."""


def _end_unless_wanted(_done: int, _total: int) -> None:
    if not is_wanted():
        raise Unwanted
