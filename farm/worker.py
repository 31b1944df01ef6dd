"""A Dask worker with this machine's resources: what ``wattframe worker`` runs."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
from pathlib import Path
from urllib.parse import urlsplit

from distributed import Nanny
from distributed.utils import get_ip
from msgspec import Struct

from advisor.errors import InputError, WorkError
from advisor.video.ffmpeg import find_ffmpeg
from farm import versions
from farm.cluster import HOST, is_loopback, security_of
from farm.site import Site

_PAGES = "127.0.0.1:0"
"""Dask's own pages know neither TLS nor passwords."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """How one worker is."""

    address: str
    tls: Path | None = None
    host: str | None = None
    """Address to listen on; None: the one towards the scheduler."""
    name: str | None = None
    prometheus_instance: str | None = None
    jobs: int = 1
    """Pairs at a time; one already fills the machine."""
    nice: int = 10
    ffmpeg: str | None = None
    paths: tuple[tuple[str, str], ...] = ()
    patience_seconds: float = 60.0
    """How long the scheduler may be away."""


def path_map(text: str) -> tuple[str, str]:
    """``REMOTE=LOCAL``, two absolute folders."""
    remote, equals, local = text.partition("=")
    if not equals or not Path(remote).is_absolute() or not Path(local).is_absolute():
        raise InputError(f"expected REMOTE=LOCAL, two absolute folders, found {text!r}", subject="--path-map")
    return remote, local


def run_worker(settings: WorkerSettings) -> None:
    """Work until the scheduler ends it, or Ctrl-C.

    Raises
    ------
    InputError, WorkError
        The address or its certificates cannot be used, or the scheduler is not there.
    """
    security = security_of(settings.address, settings.tls)
    where = urlsplit(settings.address)
    there = where.hostname or ""
    ffmpeg = find_ffmpeg(settings.ffmpeg)
    name = settings.name or platform.node()
    plugin = Site(
        str(ffmpeg),
        threads=max(1, len(os.sched_getaffinity(0)) // settings.jobs),
        nice=settings.nice,
        paths=settings.paths,
        host_name=name,
        prometheus_instance=settings.prometheus_instance,
    )
    resources = {versions.scores(ffmpeg): settings.jobs, versions.code(): settings.jobs, f"{HOST}{name}": 1}

    async def work() -> None:
        ended = asyncio.Event()
        nanny = Nanny(
            settings.address,
            nthreads=settings.jobs,
            host=settings.host or ("127.0.0.1" if is_loopback(there) else get_ip(there)),
            resources=resources,
            security=security,
            # the work is ffmpeg's, whose memory Dask does not see
            memory_limit=0,
            death_timeout=settings.patience_seconds,
            dashboard_address=_PAGES,
            dashboard=False,
            silence_logs=logging.CRITICAL,
            plugins=(plugin,),
        )
        async with nanny:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, ended.set)
            finished = asyncio.create_task(nanny.finished())
            asked = asyncio.create_task(ended.wait())
            await asyncio.wait([finished, asked], return_when=asyncio.FIRST_COMPLETED)

    try:
        asyncio.run(work())
    except (OSError, TimeoutError, RuntimeError, AssertionError) as exc:
        # the last is Dask's, where it closes what it is about to start again
        raise WorkError(f"{settings.address}: the scheduler no longer answers") from exc
