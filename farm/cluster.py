"""A Dask cluster as someone who waits for answers sees it: who is there, and calls that come back.

Nothing here trusts that workers live. A killed worker's call is run again elsewhere by Dask; a call that
several workers died of is tried once more with nothing beside it, so that no innocent one is blamed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, Future, KilledWorker, Security, get_worker
from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import InputError, WorkError

HOST = "host-"
"""Begins the resource by which a host is named."""

_LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 10
_FIRST_WORKER_SECONDS = 30.0


class ClusterError(WorkError):
    """Nobody is there to do the work: no scheduler, or no worker that is like this machine."""


class SchedulerLostError(ClusterError):
    """The scheduler went away; nothing comes back any more."""


class FatalCallError(WorkError):
    """A call killed every worker that ran it."""


class Call(Struct, frozen=True):
    """A function of this project, which the worker has too, and what it is called with."""

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    resources: dict[str, float]
    priority: int = 0


def security_of(address: str, tls: Path | None) -> Security:
    """What an address asks for: ``tcp://`` is for this machine alone, every other way is TLS on both sides.

    ``tls`` is a folder with ``ca.pem``, ``cert.pem`` and ``key.pem``. Who can reach a scheduler can run code
    on its workers, so a certificate is what admits.

    Raises
    ------
    InputError
        Another address, or files that are missing.
    """
    try:
        parts = urlsplit(address)
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("tcp", "tls"):
        raise InputError(f"expected tls://HOST:PORT or tcp://127.0.0.1:PORT, found {address!r}")
    if parts.scheme == "tcp":
        if not is_loopback(parts.hostname or ""):
            raise InputError(f"expected tls:// for anything but this machine, found {address!r}")
        if tls is not None:
            raise InputError(f"expected tls:// where there are certificates, found {address!r}")
        return Security(require_encryption=False)
    if tls is None:
        raise InputError(f"{address} needs --cluster-tls DIR, with ca.pem, cert.pem and key.pem")
    files = {name: tls / f"{name}.pem" for name in ("ca", "cert", "key")}
    for file in files.values():
        if not file.is_file():
            raise InputError("no such file", subject=file, field="--cluster-tls")
    certificates = {
        f"tls_{role}_{name}": str(files[name]) for role in ("client", "worker") for name in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=str(files["ca"]), **certificates)


def is_loopback(host: str) -> bool:
    """Whether only this machine can mean it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Cluster:
    """A connection to a scheduler, for use from several threads.

    Raises
    ------
    InputError
        An address that cannot be.
    ClusterError
        Nobody answers there.
    """

    def __init__(self, address: str, tls: Path | None = None) -> None:
        security = security_of(address, tls)
        try:
            self._client = Client(address, security=security, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError) as exc:
            raise ClusterError(f"{address}: no scheduler answers: {exc}") from exc
        self.address = address
        self._gate = _Gate()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what was asked for."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler went away."""
        return bool(self._client.status != "running")

    def resources(self) -> list[dict[str, float]]:
        """What each worker has; empty for one that is not ours."""
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            return [dict(worker["resources"]) for worker in workers]
        except (OSError, KeyError) as exc:
            raise self._gone() from exc

    def slots(self, resource: str, kind: str) -> int:
        """Calls that the workers with ``resource`` take at a time, once there is one.

        Raises
        ------
        ClusterError
            There is none; names what the workers have instead of the ``kind`` that was asked for.
        """
        deadline = time.monotonic() + _FIRST_WORKER_SECONDS
        while True:
            workers = self.resources()
            slots = sum(int(worker.get(resource, 0)) for worker in workers)
            if slots:
                return slots
            others = {
                (f"{_host(worker)}: " if _host(worker) else "") + name
                for worker in workers
                for name in worker
                if name.startswith(kind)
            }
            if workers or time.monotonic() > deadline:
                there = "; ".join(sorted(others)) or "none"
                raise ClusterError(f"{self.address}: expected a worker with {resource}; there is {there}")
            time.sleep(_LOOK_SECONDS)

    def hosts(self, resource: str) -> dict[str, list[int]]:
        """By name, the calls that each of its workers with ``resource`` takes at a time."""
        hosts: dict[str, list[int]] = {}
        for worker in self.resources():
            if _host(worker) and resource in worker:
                hosts.setdefault(_host(worker), []).append(int(worker[resource]))
        return hosts

    def run(
        self,
        calls: Sequence[Call],
        check: Callable[[], None] = lambda: None,
        *,
        again_alone: bool = True,
    ) -> list[Any]:
        """The answers, in order. ``check`` is called now and then and may raise, which ends the calls.

        A call that workers died of is tried ``again_alone``, since it may have been another's fault.

        Raises
        ------
        SchedulerLostError
            The scheduler went away.
        FatalCallError
            A call killed every worker that ran it, also alone.
        """
        with self._gate.beside_others():
            answers = self._answers(calls, check)
        for place, call in enumerate(calls):
            if isinstance(answers[place], KilledWorker):
                if not again_alone:
                    raise FatalCallError("killed every worker that ran it")
                with self._gate.alone(check):
                    (answers[place],) = self._answers([replace(call, key=f"{call.key}-alone")], check)
                if isinstance(answers[place], KilledWorker):
                    raise FatalCallError("killed every worker that ran it")
        return answers

    def _answers(self, calls: Sequence[Call], check: Callable[[], None]) -> list[Any]:
        futures = []
        for call in calls:
            if self.is_lost:
                raise self._gone()
            more = {"resources": call.resources, "priority": call.priority, "pure": True}
            futures.append(self._client.submit(call.function, *call.arguments, key=call.key, **more))
        try:
            return [self._answer(future, check) for future in futures]
        except BaseException:
            with contextlib.suppress(Exception):
                self._client.cancel(futures, force=True)
            raise

    def _answer(self, future: Future[Any], check: Callable[[], None]) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK_SECONDS):
            check()
            if self.is_lost:
                raise self._gone()
        try:
            return future.result()
        except KilledWorker as exc:
            return exc
        except Exception as exc:
            if future.status in ("cancelled", "lost") or self.is_lost:
                raise self._gone() from exc
            raise

    def _gone(self) -> SchedulerLostError:
        problem = "the scheduler is gone; finished work is kept: repeat the command to continue"
        return SchedulerLostError(f"{self.address}: {problem}")


def _host(resources: dict[str, float]) -> str:
    return next((name.removeprefix(HOST) for name in resources if name.startswith(HOST)), "")


class _Gate:
    """Many pass beside each other, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = threading.Lock()

    @contextlib.contextmanager
    def beside_others(self) -> Iterator[None]:
        with self._alone, self._changed:
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self, check: Callable[[], None]) -> Iterator[None]:
        with self._alone:
            with self._changed:
                while self._inside:
                    self._changed.wait(_LOOK_SECONDS)
                    check()
            yield


def is_wanted() -> bool:
    """Whether anybody still waits for the call that this thread runs; cancelling one does not end it."""
    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state == "executing"
