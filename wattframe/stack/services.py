"""What ``wattframe up`` runs, as data."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from advisor.errors import InputError, WorkError
from exporters.catalogue import EXPORTERS
from exporters.runtime.options import authority
from exporters.runtime.server import bind


def installed(name: str) -> bool:
    """Whether this installation has what the exporter needs."""
    package = EXPORTERS[name].needs
    if package is None:
        return True
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name is no package


def reached_at(host: str, port: int) -> str:
    """``host:port`` to reach from here what listens there: a wildcard address over loopback."""
    return authority({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104  not bound


class Service(Struct, frozen=True):
    """One child process and where it answers."""

    name: str
    argv: tuple[str, ...]
    host: str
    port: int
    health_path: str
    serves: str
    environment: dict[str, str] = {}
    """Beside what it inherits."""

    @property
    def address(self) -> str:
        """``host:port`` to reach it from here."""
        return reached_at(self.host, self.port)

    @property
    def url(self) -> str:
        """Address for a browser."""
        return f"http://{self.address}"


def parse_ports(given: Iterable[str], offset: int = 0) -> dict[str, int]:
    """Ports by exporter: the contract's plus ``offset``, with ``NAME=PORT`` in place of single ones.

    >>> parse_ports(["cost=9514"])["cost"], parse_ports([], offset=100)["rapl"]
    (9514, 9600)
    """
    ports = {name: exporter.port + offset for name, exporter in EXPORTERS.items()}
    for text in given:
        name, _, number = text.partition("=")
        if name not in EXPORTERS or not number.isascii() or not number.isdigit():
            raise InputError(
                f"expected NAME=PORT with a name of {', '.join(EXPORTERS)}; found {text!r}", subject="--port"
            )
        ports[name] = int(number)
    for name, port in ports.items():
        if not 1 <= port <= 65535:
            raise InputError(f"expected 1 to 65535, found {port}", subject="--port", field=name)
    return ports


def exporter_services(
    ports: Mapping[str, int], *, host: str, environment: Mapping[str, str]
) -> list[Service]:
    """The exporters that are installed. All but host and port they take from the environment, as they do on
    their own.
    """
    return [
        Service(
            name,
            (sys.executable, "-m", f"exporters.{name}", "--host", host, "--port", str(ports[name])),
            host,
            ports[name],
            "/health",
            exporter.serves,
            dict(environment),
        )
        for name, exporter in EXPORTERS.items()
        if installed(name)
    ]


def check_ports(services: Sequence[Service]) -> None:
    """Refuse to start while a port is taken, naming all that are.

    Raises
    ------
    InputError
        An address is not this machine's.
    WorkError
        Some port is taken.
    """
    taken = []
    for service in services:
        try:
            bind(service.host, service.port).close()
        except WorkError:
            taken.append(f"{service.port} ({service.name})")
    if taken:
        hint = "choose others with --port NAME=PORT, --port-offset N or --prometheus-port N"
        raise WorkError(f"already in use on {services[0].host}: port {', '.join(taken)}; {hint}")
    chosen: dict[int, str] = {}
    for service in services:
        other = chosen.setdefault(service.port, service.name)
        if other != service.name:
            raise InputError(f"{other} and {service.name} cannot share port {service.port}", subject="--port")
