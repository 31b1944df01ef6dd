"""Keeps the services of ``wattframe up`` running, and ends all of them at once.

A child that ends while the stack is coming up ends the stack: its configuration is wrong. One that
ends later is reported and started again, each time after a longer pause, until it has failed too often.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from advisor.errors import InputError, WorkError
from wattframe.stack.services import Service

_PR_SET_PDEATHSIG = 1


class Policy(Struct, frozen=True):
    """How patient the supervisor is, all in seconds."""

    ready_seconds: float = 60.0
    backoff_seconds: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """Pause before each restart; after the last one the service is given up."""
    calm_seconds: float = 60.0
    """A child that lived this long starts counting from the first pause again."""
    grace_seconds: float = 5.0
    """Between SIGTERM and SIGKILL."""


class Supervisor:
    """Runs ``services`` with their output under ``logs``; ``say`` gets one line for each event."""

    def __init__(
        self,
        services: Sequence[Service],
        logs: Path,
        say: Callable[[str], None],
        policy: Policy | None = None,
    ) -> None:
        self._services = services
        self._logs = logs
        self._say = say
        self._policy = policy or Policy()
        self._children: dict[str, asyncio.subprocess.Process] = {}

    def run(self, ready: Callable[[], None]) -> int:
        """Serve until SIGINT or SIGTERM; ``ready`` is called once when every service answers.

        Returns 0 after a signal and 1 when every service was given up.

        Raises
        ------
        WorkError
            A service ended or stayed silent while the stack was coming up.
        """
        return asyncio.run(self._run(ready))

    async def _run(self, ready: Callable[[], None]) -> int:
        serving = asyncio.create_task(self._serve(ready))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            return 0
        finally:
            await self._end_all()
        return 1

    async def _serve(self, ready: Callable[[], None]) -> None:
        for service in self._services:
            await self._start(service)
        await self._all_answer()
        ready()
        await asyncio.gather(*(self._keep(service) for service in self._services))

    async def _start(self, service: Service) -> asyncio.subprocess.Process:
        with self.log(service.name).open("ab") as log:
            try:
                child = await asyncio.create_subprocess_exec(
                    *service.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **service.environment},
                    # so that Ctrl-C reaches this process alone, which then ends them in order
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
            except OSError as exc:
                raise WorkError(f"{service.name} cannot be started: {exc}") from exc
        self._children[service.name] = child
        return child

    async def _all_answer(self) -> None:
        limit = self._policy.ready_seconds
        try:
            async with asyncio.timeout(limit):
                await asyncio.gather(*(self._answers(service) for service in self._services))
        except TimeoutError:
            silent = [s.name for s in self._services if not await asyncio.to_thread(_healthy, s)]
            raise WorkError(f"no answer after {limit:g} s from {', '.join(silent)}") from None

    async def _answers(self, service: Service) -> None:
        child = self._children[service.name]
        while not await asyncio.to_thread(_healthy, service):
            if child.returncode is not None:
                why = self.last_line(service.name)
                # a setting that a service refused is bad input here, too
                kind = InputError if child.returncode == InputError.exit_code else WorkError
                raise kind(f"{service.name} ended with code {child.returncode} while starting: {why}")
            await asyncio.sleep(0.1)

    async def _keep(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        failures, started = 0, loop.time()
        while True:
            code = await self._children[service.name].wait()
            if loop.time() - started > self._policy.calm_seconds:
                failures = 0
            what = f"{service.name} ended with code {code} ({self.last_line(service.name)})"
            if failures == len(self._policy.backoff_seconds):
                self._say(f"{what}: given up after {failures} restarts")
                return
            pause = self._policy.backoff_seconds[failures]
            self._say(f"{what}: restarting in {pause:g} s")
            await asyncio.sleep(pause)
            failures, started = failures + 1, loop.time()
            await self._start(service)

    async def _end_all(self) -> None:
        children = [child for child in self._children.values() if child.returncode is None]
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        try:
            async with asyncio.timeout(self._policy.grace_seconds):
                await asyncio.gather(*(child.wait() for child in children))
        except TimeoutError:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
            await asyncio.gather(*(child.wait() for child in children))

    def log(self, name: str) -> Path:
        """Where the output of one service goes."""
        return self._logs / f"{name}.log"

    def last_line(self, name: str) -> str:
        """The last thing a service said."""
        lines = self.log(name).read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")[:300]


def _healthy(service: Service) -> bool:
    address = urlsplit(service.url)
    # not urllib: it would ask a proxy from the environment for localhost
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=2)
    try:
        connection.request("GET", service.health_path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """In the child: a ``kill -9`` of the supervisor must not leave five servers behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
