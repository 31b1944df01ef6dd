"""The Docker Engine API through the ``docker`` SDK: few calls, each bounded in time, errors translated here.

What the engine sends is checked item by item: one malformed container hides no other. The SDK is imported
when a connection is made and not before.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from advisor.common.regular_file import read_input
from advisor.containers import records
from advisor.containers.records import ApiUsage, Container, EngineInfo, EngineKind, Event
from advisor.errors import EngineError, InputError

_T = TypeVar("_T")

DEFAULT_HOST = "unix:///var/run/docker.sock"
OLDEST_API = "1.24"
"""What the SDK takes at least."""
ONE_SHOT_API = (1, 41)
"""The first API version whose statistics can be had without waiting for a second sample (about 2 s)."""
MOST_CONNECTIONS = 16
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of a socket's other end (unix(7))."""
EVENTS = ("start", "die", "died", "rename", "update")
"""Podman knows its ends as ``died``: before 4.4 by no other name, before 4.0 it tells them so."""


class _Component(Struct, rename="pascal"):
    name: str = ""


class _Version(Struct, rename="pascal"):
    api_version: str
    components: list[_Component] | None = None

    @property
    def kind(self) -> EngineKind:
        names = [component.name.lower() for component in self.components or ()]
        return "podman" if any("podman" in name for name in names) else "docker"


class EngineAddress(Struct, frozen=True):
    """Where the engine is, and the certificates for TCP with TLS."""

    host: str = DEFAULT_HOST
    tls_verify: bool = False
    cert_path: str | None = None
    """Folder with ``ca.pem``, and with ``cert.pem`` and ``key.pem`` or neither."""

    @property
    def is_local(self) -> bool:
        """Whether the engine is certainly on this host."""
        return self.host.startswith("unix://")


def engine_address(
    host: str | None, *, tls_verify: bool = False, cert_path: str | None = None
) -> EngineAddress:
    """Check an address before anything is opened.

    Raises
    ------
    InputError
        Another scheme than unix or tcp, or a certificate that is not there.
    """
    host = host or DEFAULT_HOST
    if not host.startswith(("unix:///", "tcp://")):
        raise InputError(
            f"expected unix:///PATH or tcp://HOST:PORT, found {host!r}", subject="docker host (DOCKER_HOST)"
        )
    if cert_path is not None and host.startswith("tcp://"):
        key = Path(cert_path, "key.pem")
        pair = ("cert.pem", "key.pem") if key.exists() or Path(cert_path, "cert.pem").exists() else ()
        for name in ("ca.pem", *pair):
            if not Path(cert_path, name).is_file():
                raise InputError("no such file (DOCKER_CERT_PATH)", subject=Path(cert_path, name))
        # the library would ask the terminal for a passphrase, and wait
        if pair and b"ENCRYPTED" in read_input(key):
            raise InputError("expected a key without a passphrase, which nobody could type", subject=key)
    return EngineAddress(host, tls_verify, cert_path)


class Engine:
    """One connection to an engine. Threads may share it for `usage` and `interrupt`, and for nothing else.

    Parameters
    ----------
    address
        Where it is.
    timeout_seconds
        How long any answer may take.
    on_malformed
        Called for each item that the engine sent in another form than the API's.
    """

    def __init__(
        self,
        address: EngineAddress,
        *,
        timeout_seconds: float = 5.0,
        on_malformed: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = address
        self._timeout = timeout_seconds
        self._on_malformed = on_malformed
        self._client: Any = None
        self._response: Any = None

    def connect(self) -> EngineInfo:
        """Negotiate the API version; every call raises EngineError with its ``reason``."""
        self.close()
        with _translated():
            pid = self._knock()
            # the engine tells its version to clients of any, in a path without one
            self._client = self._opened(OLDEST_API)
            version = msgspec.convert(self._client.version(api_version=False), _Version)
            self.close()
            self._client = self._opened(version.api_version)
            info = records.from_info(self._client.info(), version.api_version)
            return structs.replace(info, kind=version.kind, is_local=self._address.is_local, pid=pid)

    def _knock(self) -> int | None:
        """Fail at once where nobody listens: the SDK leaves a socket open for each such attempt.

        Returns the process that listens; None where that cannot be told.
        """
        if not self._address.is_local:
            return None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.settimeout(self._timeout)
            knock.connect(self._address.host.removeprefix("unix://"))
            peer = knock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, _, _ = _CREDENTIALS.unpack(peer)
        return int(pid) or None

    def _opened(self, version: str) -> Any:
        """A client of the SDK; it connects at its first call."""
        import docker

        client = docker.APIClient(
            base_url=self._address.host,
            version=version,
            timeout=self._timeout,  # type: ignore[arg-type]  # requests takes fractions
            tls=self._tls(),
            max_pool_size=MOST_CONNECTIONS,
        )
        # else a REQUESTS_CA_BUNDLE that is set for other hosts replaces the engine's own authority
        client.trust_env = False
        return client

    def _tls(self) -> Any:
        if self._address.cert_path is None:
            return self._address.tls_verify
        from docker.tls import TLSConfig

        folder = Path(self._address.cert_path)
        pair = (str(folder / "cert.pem"), str(folder / "key.pem")) if (folder / "key.pem").exists() else None
        return TLSConfig(
            client_cert=pair,
            ca_cert=str(folder / "ca.pem"),
            verify=self._address.tls_verify,
        )

    def containers(self) -> list[Container]:
        """The running containers, with what the list knows of them."""
        with _translated():
            items = msgspec.convert(self._client.containers(), list[Any])
        return [one for item in items if (one := self._checked(records.from_list, item)) is not None]

    def inspect(self, container_id: str) -> Container | None:
        """Everything about one container; None when it is gone."""
        return self._one(lambda: self._client.inspect_container(container_id), records.from_inspection)

    def usage(self, container_id: str) -> ApiUsage | None:
        """One sample of a container's statistics; None when it is gone or has ended."""
        parts = tuple(map(int, self._client.api_version.split(".")))
        one_shot = True if parts >= ONE_SHOT_API else None
        return self._one(
            lambda: self._client.stats(container_id, stream=False, one_shot=one_shot), records.from_statistics
        )

    def events(self, since: float, until: float) -> Iterator[Event]:
        """Events between two times of the engine's clock, as they happen; ends at ``until``.

        The end is what tells a quiet engine from one that hangs.
        """
        filters = json.dumps({"type": ["container"], "event": list(EVENTS)})
        with _translated():
            self._response = self._client.get(
                f"{self._client.base_url}/v{self._client.api_version}/events",
                params={"since": f"{since:.9f}", "until": f"{until:.9f}", "filters": filters},
                stream=True,
                timeout=(self._timeout, max(0.0, until - since) + self._timeout),
            )
            self._response.raise_for_status()
            with self._response:
                for line in self._response.iter_lines():
                    event = self._checked(records.from_event, line) if line else None
                    if event is not None:
                        yield event

    def interrupt(self) -> None:
        """End a waiting `events` from another thread."""
        if self._response is not None:
            from docker.types import CancellableStream

            with contextlib.suppress(OSError, AttributeError, ValueError):
                CancellableStream(iter(()), self._response).close()

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _one(self, ask: Callable[[], Any], read: Callable[[Any], _T | None]) -> _T | None:
        from docker.errors import NotFound

        with _translated():
            try:
                item = ask()
            except NotFound:
                return None
        return self._checked(read, item)

    def _checked(self, read: Callable[[Any], _T | None], item: Any) -> _T | None:
        try:
            return read(item)
        except (msgspec.MsgspecError, ValueError):
            self._on_malformed()
            return None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one edge where the SDK's errors, and those of what it is built on, become EngineError."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (
        DockerException,
        RequestException,
        OSError,
        ValueError,
        msgspec.MsgspecError,
        RuntimeError,
    ) as exc:
        reason = next(filter(None, map(_reason, _causes(exc))), "unreachable")
        words = (isinstance(exc, OSError) and exc.strerror) or exc
        raise EngineError(f"docker engine: {reason}: {words}", reason=reason) from exc


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what it came from, also where a library keeps that only in its arguments."""
    waiting: list[BaseException] = [exc]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
            waiting += [item for item in inner if isinstance(item, BaseException)]


def _reason(exc: BaseException) -> str | None:
    """Why a call failed, as the value of a label; None when this exception does not tell."""
    import requests.exceptions as http
    import urllib3.exceptions as wire
    from docker import errors

    for kinds, reason in (
        ((TimeoutError, http.Timeout, wire.TimeoutError), "timeout"),
        ((PermissionError,), "permission"),
        ((errors.InvalidVersion,), "version"),
        ((errors.TLSParameterError, http.SSLError, wire.SSLError), "tls"),
        ((errors.APIError, http.HTTPError), "api"),
        ((http.ChunkedEncodingError, wire.IncompleteRead, wire.InvalidChunkLength), "protocol"),
        (
            (http.JSONDecodeError, msgspec.MsgspecError, UnicodeError, RecursionError, json.JSONDecodeError),
            "protocol",
        ),
    ):
        if isinstance(exc, kinds):
            return reason
    return None
