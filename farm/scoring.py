"""Quality on a cluster: a pair, or a part of a long one, is one call."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import FfmpegError, InputError, MediaError, WattframeError
from advisor.quality.cache import QualityCache, Record, content_key
from advisor.quality.measure import Measurement, measure
from advisor.quality.settings import QualitySettings
from farm import versions
from farm.cluster import Call, Cluster, FatalCallError, is_wanted
from farm.site import RemoteFile, file_here, remote_file, site

__all__ = ["Scoring"]


class Pair(Struct, frozen=True):
    """One pair as it travels."""

    reference: RemoteFile
    distorted: RemoteFile
    settings: QualitySettings

    @property
    def key(self) -> str:
        """Equal for the same files under the same names."""
        # not the bare hash: Dask takes such a key for one that needs no queue
        return f"quality-{hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()}"

    @property
    def content(self) -> str | None:
        """The name under which its quality is kept; None where a side is no single file."""
        digests = self.reference.digest, self.distorted.digest
        return content_key(*digests, self.settings) if all(digests) else None


class Scoring:
    """Measures pairs on the workers that score as this machine would.

    Parameters
    ----------
    pairs
        How many there will be.
    parts
        Into how many a long video is cut; None: into as many as leave no worker idle.

    Raises
    ------
    WorkError
        There is no such worker.
    """

    def __init__(self, cluster: Cluster, ffmpeg: Path, *, pairs: int, parts: int | None) -> None:
        self._cluster = cluster
        scores = versions.scores(ffmpeg)
        cluster.slots(versions.code(), "code ")
        self.slots = cluster.slots(scores, "scores ")
        """Pairs at a time when this began."""
        self._resources = {scores: 1.0, versions.code(): 1.0}
        self._parts = parts or max(1, self.slots // pairs)
        self._cache = QualityCache(_cache_folder())

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
            problem = (
                "no such file" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc.strerror}"
            )
            raise MediaError(problem, subject=exc.filename) from exc
        known = self._cache.get(pair.content) if pair.content and not frames else None
        if known is not None and known.quality is not None:
            return Measurement(replace(known.quality, reference=reference, distorted=distorted), ())
        try:
            (answer,) = self._cluster.run([Call(pair.key, measure_pair, (pair,), self._resources)], check)
        except FatalCallError as exc:
            raise FfmpegError(f"{distorted}: {exc}") from exc
        if isinstance(answer, WattframeError):
            raise answer
        if pair.content:
            self._cache.put(pair.content, Record(quality=answer.quality))
        quality = replace(answer.quality, reference=reference, distorted=distorted)
        return replace(answer, quality=quality)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "wattframe" / "quality"


def measure_pair(pair: Pair) -> Measurement | WattframeError:
    """Runs on a worker."""
    here = {pair.reference.path: "", pair.distorted.path: ""}
    try:
        here = {file.path: file_here(file) for file in (pair.reference, pair.distorted)}
        return measure(
            here[pair.reference.path],
            here[pair.distorted.path],
            pair.settings,
            ffmpeg=site().ffmpeg,
            threads=site().threads,
            nice=site().nice,
            progress=_end_unless_wanted,
        )
    except InputError as exc:
        names = {local: path for path, local in here.items()}
        return MediaError(exc.problem, subject=names.get(exc.subject or "", exc.subject), field=exc.field)
    except WattframeError as exc:
        return exc


class Unwanted(Exception):  # noqa: N818 -- not an error: nobody asks any more
    """Ends a measurement."""


def _end_unless_wanted(_done: int, _total: int) -> None:
    if not is_wanted():
        raise Unwanted
