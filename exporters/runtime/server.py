"""From a command line to a serving process, and to its end."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import ssl
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import uvloop

from advisor.common.exit import guarded
from advisor.errors import InputError, WorkError
from exporters.runtime import logs
from exporters.runtime.app import App
from exporters.runtime.collector import Collector, Exporter
from exporters.runtime.connection import Connection
from exporters.runtime.options import read_options
from exporters.runtime.scrape import Scraper
from exporters.runtime.web import Web

__all__ = ["Listener", "main"]

_BACKLOG = 1024
_GRACE_SECONDS = 1.4
"""For answers in flight, of the two seconds that an exporter has to end."""
_HANDSHAKE_SECONDS = 10.0
_RELOAD_SECONDS = 1.0
_SWITCH_SECONDS = 0.001


def main(exporter: Exporter, argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; returns the exit code."""
    return guarded(f"exporters.{exporter.name}", lambda: _main(exporter, argv))


def _main(exporter: Exporter, argv: Sequence[str] | None) -> int:
    options, web, collectors = configured(exporter, sys.argv[1:] if argv is None else argv)
    # a refresh in its thread gives way to a scrape after this long, not after Python's 5 ms
    sys.setswitchinterval(_SWITCH_SECONDS)
    scraper = Scraper(exporter, collectors)
    sock = bind(options.host, options.port)
    started: list[Collector] = []
    try:
        for collector in collectors:
            collector.start()
            started.append(collector)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(exporter, scraper, sock, options, web))
    finally:
        sock.close()
        scraper.close()
        for collector in reversed(started):
            collector.close()
    return 0


def configured(exporter: Exporter, argv: Sequence[str]) -> tuple[Namespace, Web, Sequence[Collector]]:
    """Options, web configuration and collectors; what is wrong with any of them is said at once.

    Raises
    ------
    InputError
        Names all of it. Collectors are built where every option could be read.
    """
    options, problems = read_options(exporter, argv, os.environ)
    logs.configure(options.log_format, options.log_level)
    steps: list[Callable[[], object]] = [lambda: Web(options.web_config)]
    if not problems:
        steps.append(lambda: exporter.build(options))
    made = []
    for step in steps:
        try:
            made.append(step())
        except InputError as exc:
            problems.append(str(exc))
    if problems:
        raise InputError("; ".join(problems))
    web, collectors = made
    return options, cast(Web, web), cast(Sequence[Collector], collectors)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet.

    Raises
    ------
    WorkError
        The port is taken or the address is not this machine's.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as exc:
        raise WorkError(f"--host {host}: {exc.strerror}") from exc
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise WorkError(f"port {port} is in use ({where}): choose another with --port") from exc
        raise WorkError(f"cannot listen on {where}: {exc.strerror}") from exc
    return sock


async def _serve(
    exporter: Exporter, scraper: Scraper, sock: socket.socket, options: Namespace, web: Web
) -> None:
    app = App(exporter, scraper, web.gate, options.max_requests_in_flight)
    listener = Listener(app, sock)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_signalled, stop))
    await listener.listen(web.context, web.allowed_sans)
    scraper.open()
    reloading = loop.create_task(_reload(app, listener, web))
    logs.logger().info("listening", exporter=exporter.name, address=listener.url, port=listener.port)
    await stop.wait()
    reloading.cancel()
    logs.logger().info("stopping", exporter=exporter.name)
    await listener.close(_GRACE_SECONDS)


async def _reload(app: App, listener: Listener, web: Web) -> None:
    """Take a changed web configuration or certificate; a broken one leaves the former in force."""
    while web.path is not None:
        await asyncio.sleep(_RELOAD_SECONDS)
        try:
            if not web.reload():
                continue
        except InputError as exc:
            logs.logger().error("web configuration refused, the former one stays", error=exc)
            continue
        app.gate = web.gate
        await listener.listen(web.context, web.allowed_sans)
        logs.logger().info("web configuration reloaded")


def _signalled(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)  # asked twice: at once, whatever is in flight
    stop.set()


class Listener:
    """The port and the connections that came through it.

    `listen` may be called again with another TLS context: the socket stays open in between, so that no
    client is refused, and connections that exist go on as they are.
    """

    def __init__(self, app: App, sock: socket.socket) -> None:
        self._app = app
        self._sock = sock
        self._connections: set[Connection] = set()
        self._server: asyncio.AbstractServer | None = None
        self.tls = False

    @property
    def port(self) -> int:
        """The port that was bound."""
        number: int = self._sock.getsockname()[1]
        return number

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def url(self) -> str:
        """Where a client on this host finds the exporter."""
        host = self._sock.getsockname()[0]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{shown}:{self.port}"

    async def listen(self, context: ssl.SSLContext | None, allowed_sans: Sequence[str] = ()) -> None:
        """Accept connections: with TLS when there is a context, from ``allowed_sans`` alone when given."""
        former, self.tls = self._server, context is not None
        factory = partial(Connection, self._app, self._connections, frozenset(allowed_sans))
        handshake = None if context is None else _HANDSHAKE_SECONDS
        self._server = await asyncio.get_running_loop().create_server(
            factory, sock=self._sock.dup(), ssl=context, backlog=_BACKLOG, ssl_handshake_timeout=handshake
        )
        if former is not None:
            former.close()

    async def close(self, grace_seconds: float) -> None:
        """Stop accepting, let answers in flight finish within the grace, cut off the rest."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
