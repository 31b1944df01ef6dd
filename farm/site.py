"""What a worker knows of the machine that it is on, for the calls that run there."""

from __future__ import annotations

import functools
from pathlib import Path

from distributed import WorkerPlugin, get_worker
from msgspec import Struct

from advisor.common.regular_file import Stamp, stamp_of
from advisor.errors import MediaError
from advisor.quality.cache import file_digest


class RemoteFile(Struct, frozen=True):
    """A file by its content, wherever it lies; both empty for what is no single file."""

    path: str
    """As whoever asks sees it."""
    size_bytes: int = 0
    digest: str = ""


class Site(WorkerPlugin):
    """Kept by the worker.

    Parameters
    ----------
    ffmpeg
        The binary.
    threads
        Of libvmaf, for each of the calls that run at a time.
    nice
        Niceness of scoring.
    paths
        Pairs of beginnings of paths: as others name them, and here.
    host_name, prometheus_instance
        Of this machine, for its result files.
    """

    name = "wattframe"

    def __init__(
        self,
        ffmpeg: str,
        *,
        threads: int,
        nice: int,
        paths: tuple[tuple[str, str], ...],
        host_name: str,
        prometheus_instance: str | None,
    ) -> None:
        self.ffmpeg = ffmpeg
        self.threads = threads
        self.nice = nice
        self.paths = paths
        self.host_name = host_name
        self.prometheus_instance = prometheus_instance

    def local(self, path: str) -> str:
        """``path`` as this machine names it: the longest beginning that is known decides."""
        fitting = [pair for pair in self.paths if Path(path).is_relative_to(pair[0])]
        if not fitting:
            return path
        there, here = max(fitting, key=lambda pair: len(pair[0]))
        return str(Path(here) / Path(path).relative_to(there))


def site() -> Site:
    """That of the worker in which this runs."""
    plugin = get_worker().plugins[Site.name]
    if not isinstance(plugin, Site):
        raise TypeError(f"expected a worker of this project, found {type(plugin).__name__}")
    return plugin


def remote_file(path: str) -> RemoteFile:
    """The file as it is now, for others; OSError where it cannot be read."""
    place = Path(path).absolute()
    if "%" in place.name and not place.exists():  # numbered pictures
        return RemoteFile(str(place))
    return RemoteFile(str(place), place.stat().st_size, _digest(place))


def file_here(file: RemoteFile) -> str:
    """The path of a file on this machine.

    Raises
    ------
    MediaError
        It is not here, or has another content.
    """
    path = site().local(file.path)
    if not file.digest:
        return path
    try:
        there = Path(path).stat().st_size == file.size_bytes and _digest(Path(path)) == file.digest
    except OSError as exc:
        raise MediaError(f"is not on host {site().host_name}: {exc.strerror}", subject=file.path) from exc
    if not there:
        raise MediaError(f"is another file on host {site().host_name}", subject=file.path)
    return path


def _digest(path: Path) -> str:
    stamp = stamp_of(path.stat())
    return file_digest(str(path)) if stamp is None else _digest_at(str(path), stamp)


@functools.lru_cache(maxsize=4096)
def _digest_at(path: str, _stamp: Stamp) -> str:
    return file_digest(path)
