"""From a command line to a serving process, and to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Generator, Sequence
from typing import cast

import uvicorn

from advisor.common.exit import drop_unwritten, guarded
from advisor.energy.sampler import Sampler
from advisor.errors import InputError, WorkError
from exporters.runtime import logs
from exporters.runtime.app import App
from exporters.runtime.collector import Collector, Exporter
from exporters.runtime.connection import BoundedConnection, Listener
from exporters.runtime.options import authority, read_options
from exporters.runtime.scrape import Scraper
from exporters.runtime.web_config import Web

_GRACE_SECONDS = 1
"""For answers in flight, of the two seconds that an exporter has to end."""
_RELOAD_SECONDS = 1.0
_SWITCH_SECONDS = 0.001


def main(exporter: Exporter, argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; returns the exit code."""
    return guarded(f"exporters.{exporter.name}", lambda: _main(exporter, argv))


def _main(exporter: Exporter, argv: Sequence[str] | None) -> int:
    options, web, collectors = configured(exporter, sys.argv[1:] if argv is None else argv)
    # a collector in its thread gives way to a scrape after this long, not after Python's 5 ms
    sys.setswitchinterval(_SWITCH_SECONDS)
    scraper = Scraper(exporter, collectors)
    with bind(options.host, options.port) as sock:
        scraper.start()
        try:
            Server(exporter, scraper, web, sock).run()
        finally:
            scraper.close()
    drop_unwritten()  # a log that found no room is no failure
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
    results = []
    for step in steps:
        try:
            results.append(step())
        except InputError as exc:
            problems.append(str(exc))
    if problems:
        raise InputError("; ".join(problems))
    web, collectors = results
    return options, cast(Web, web), cast(Sequence[Collector], collectors)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet.

    Raises
    ------
    InputError
        The address is not this machine's, or the port not for this user.
    WorkError
        The port is taken.
    """
    if host == "::" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104  every address of a kernel that has no IPv6
    where = authority(host, port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as exc:
        raise InputError(f"expected an address of this machine, found {host!r}", subject="--host") from exc
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":  # whatever net.ipv6.bindv6only says
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise WorkError(f"port {port} is in use ({where}): choose another with --port") from exc
        raise InputError(f"cannot listen on {where}: {exc.strerror}") from exc
    return sock


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Server(uvicorn.Server):
    """uvicorn with our connections, our signals, and a web configuration that may change meanwhile."""

    def __init__(self, exporter: Exporter, scraper: Scraper, web: Web, sock: socket.socket) -> None:
        config = uvicorn.Config(
            App(exporter, scraper, web),
            loop="uvloop",
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # a hostile client writes no log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(config)
        self._exporter = exporter
        self._scraper = scraper
        self._web = web
        self._sock = sock
        self._refusal: str | None = None
        self._asked_to_exit = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port and begin to collect."""
        listener = Listener(self._sock, self._web, self.config, self.server_state)
        self.servers = [cast(asyncio.Server, listener)]
        self._scraper.open()
        self.started = True
        if self._web.path is not None:
            # in a thread, since a file may hang
            Sampler("web-config", self._reload, lambda: _RELOAD_SECONDS).start()
        scheme = "https" if self._web.tls is not None else "http"
        host, port, *flow_and_scope = self._sock.getsockname()
        # a link-local address needs its interface, written as RFC 6874 says
        zone = f"%25{socket.if_indextoname(flow_and_scope[1])}" if any(flow_and_scope[1:]) else ""
        address = f"{scheme}://{authority(host + zone, port)}"
        logs.logger().info("listening", exporter=self._exporter.name, address=address, port=port)

    async def main_loop(self) -> None:
        """Every second until a signal: renew the answers' date, and see which clients are out of time.

        uvicorn would wake ten times as often.
        """
        while not await self.on_tick(0):
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                cast(BoundedConnection, connection).check_time(now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked_to_exit.wait(), 1.0)

    def _reload(self) -> None:
        """Take a changed web configuration or certificate: the next client meets it."""
        former, self._refusal = self._refusal, None
        try:
            if self._web.reload():
                logs.logger().info("web configuration reloaded")
        except InputError as exc:
            self._refusal = str(exc)
            if self._refusal != former:
                logs.logger().error("web configuration refused, the previous one stays in use", error=exc)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """SIGTERM and SIGINT end the process with the answers in flight sent, a second one at once.

        SIGHUP does so where there is a terminal. Elsewhere it asks for what is done anyway: files that change
        are read again by themselves.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._signalled if _has_terminal() else lambda: None)
        yield

    def _signalled(self) -> None:
        if self.should_exit:
            os._exit(130)  # asked twice: at once, whatever is in flight
        self.should_exit = True
        self._asked_to_exit.set()
        logs.logger().info("stopping", exporter=self._exporter.name)
