"""A Docker engine of lies on a real unix socket: it answers the few calls that matter, or misbehaves.

``mode`` is what it does with the next request: ``ok``, ``hang`` (accepts and says nothing), ``truncated`` (a
body that ends in the middle), ``garbage`` (no JSON), ``error`` (500). Versions are checked as the engine
does: a request above its own version or below the oldest it takes is refused with 400.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import queue
import re
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, ThreadingMixIn, ThreadingTCPServer, ThreadingUnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.waiting import wait_until

__all__ = ["FakeEngine"]


def _rfc3339(unix_seconds: float) -> str:
    """With nine digits, as Go writes it."""
    moment = datetime.datetime.fromtimestamp(unix_seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


class FakeEngine:
    """Containers by id; `add` and `remove` tell every open event stream."""

    def __init__(
        self,
        folder: Path,
        *,
        api_version: str = "1.41",
        oldest_version: str = "1.24",
        clock_ahead_seconds: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = folder / "docker.sock"
        self.api_version, self.oldest_version = api_version, oldest_version
        self.mode = "ok"
        self.components: list[dict[str, str]] = [{"Name": "Engine", "Version": "26.0"}]
        self.requests: list[str] = []
        self.containers: dict[str, dict[str, Any]] = {}
        self.usages: dict[str, dict[str, Any]] = {}
        self.malformed: list[Any] = []
        self.clock_ahead_seconds = clock_ahead_seconds
        self._tls = tls
        self._lock = threading.Lock()
        self._streams: list[queue.SimpleQueue[bytes | None]] = []
        self._told: list[tuple[float, bytes]] = []
        self._connections: set[socket.socket] = set()
        self._resumed = threading.Event()
        self._server: BaseServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        if self._tls is not None:
            assert self._server is not None
            return f"tcp://localhost:{self._server.server_address[1]}"  # type: ignore[index]
        return f"unix://{self.socket}"

    def now(self) -> float:
        return time.time() + self.clock_ahead_seconds

    def start(self) -> None:
        """Listen; a second call does nothing."""
        if self._server is not None:
            return
        self._resumed.clear()
        handler = type("Handler", (_Handler,), {"engine": self})
        if self._tls is not None:
            self._server = _TlsServer(("127.0.0.1", 0), handler)
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        else:
            self.socket.unlink(missing_ok=True)
            self._server = _UnixServer(str(self.socket), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """End as an engine does: streams are cut, the socket is gone."""
        self.mode = "stopping"
        self.cut_streams()
        self._resumed.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            for connection in list(self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._server.server_close()  # joins the handlers
            self._server = None
        self.socket.unlink(missing_ok=True)
        self.mode = "ok"
        self.components: list[dict[str, str]] = [{"Name": "Engine", "Version": "26.0"}]

    def resume(self) -> None:
        """End of ``hang``: answers that were held back are given."""
        self.mode = "ok"
        self.components: list[dict[str, str]] = [{"Name": "Engine", "Version": "26.0"}]
        self._resumed.set()

    def hang(self) -> None:
        self._resumed.clear()
        self.mode = "hang"

    def add(self, container_id: str, name: str, *, pid: int = 0, tell: bool = True, **more: Any) -> None:
        started = more.pop("started", self.now())
        self.containers[container_id] = {
            "Id": container_id,
            "Name": f"/{name}",
            "State": {"Running": True, "Pid": pid, "StartedAt": _rfc3339(started)},
            "Config": {"Image": more.pop("image", "debian:12"), "Labels": more.pop("labels", {})},
            "HostConfig": {"NetworkMode": more.pop("network", "default")},
            "RestartCount": more.pop("restarts", 0),
        }
        if tell:
            self.tell("start", container_id, name)

    def remove(self, container_id: str, *, tell: bool = True) -> None:
        name = self.containers.pop(container_id)["Name"][1:]
        self.usages.pop(container_id, None)
        if tell:
            self.tell("die", container_id, name)

    def rename(self, container_id: str, name: str) -> None:
        self.containers[container_id]["Name"] = f"/{name}"
        self.tell("rename", container_id, name)

    def tell(self, action: str, container_id: str, name: str) -> None:
        attributes = {"name": name, "image": "debian:12"}
        now = self.now()
        event = {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container_id, "Attributes": attributes},
            "time": int(now),
            "timeNano": int(now * 1e9),
        }
        line = json.dumps(event).encode()
        with self._lock:
            self._told.append((now, line))
            self.send_line(line)

    def follow(self, since: float) -> queue.SimpleQueue[bytes | None]:
        """A stream of all that is told from now on, and of what was told since a time."""
        stream: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._lock:
            for at, line in self._told:
                if at >= since:
                    stream.put(line + b"\n")
            self._streams.append(stream)
        return stream

    def send_line(self, line: bytes) -> None:
        for stream in list(self._streams):
            stream.put(line + b"\n")

    def wait_for_stream(self) -> None:
        """Until somebody listens to the events."""
        wait_until(lambda: self._streams)

    def cut_streams(self) -> None:
        for stream in list(self._streams):
            stream.put(None)

    def use(self, container_id: str, cpu_seconds: float, **memory: Any) -> None:
        """Set what the statistics say, as a v2 host's engine writes them."""
        self.usages[container_id] = {
            "read": _rfc3339(self.now()),
            "cpu_stats": {
                "cpu_usage": {"total_usage": int(cpu_seconds * 1e9)},
                "throttling_data": {"periods": 4, "throttled_periods": 1, "throttled_time": 250_000_000},
            },
            "memory_stats": {"usage": 9_000_000, "limit": 64_000_000, "stats": {"inactive_file": 1_000_000}},
            "blkio_stats": {
                "io_service_bytes_recursive": [
                    {"major": 254, "minor": 0, "op": "read", "value": 4096},
                    {"major": 254, "minor": 0, "op": "write", "value": 8192},
                ]
            },
            "networks": {"eth0": {"rx_bytes": 70, "tx_bytes": 9}},
            **memory,
        }

    def answer(self, path: str) -> tuple[int, Any]:
        """Status and document for one path without its version."""
        if path == "/version":
            return 200, {
                "ApiVersion": self.api_version,
                "Version": "26.0",
                "MinAPIVersion": self.oldest_version,
                "Components": self.components,
            }
        if path == "/info":
            return 200, {"ServerVersion": "26.0", "SystemTime": _rfc3339(self.now())}
        if path == "/containers/json":
            listed = [
                {"Id": id, "Names": [one["Name"]], "Image": one["Config"]["Image"], "Labels": None}
                for id, one in list(self.containers.items())
            ]
            return 200, [*self.malformed, *listed]
        match = re.fullmatch(r"/containers/(\w+)/(json|stats)", path)
        if match is None or match[1] not in self.containers:
            return 404, {"message": f"no such container: {path}"}
        if match[2] == "json":
            return 200, self.containers[match[1]]
        never = {"read": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": 0}}}
        return 200, self.usages.get(match[1], never)


class _Handler(BaseHTTPRequestHandler):
    engine: FakeEngine
    protocol_version = "HTTP/1.1"
    timeout = 30

    def setup(self) -> None:
        super().setup()
        if isinstance(self.client_address, bytes | str):
            self.client_address = ("unix", 0)
        self.engine._connections.add(self.connection)

    def finish(self) -> None:
        self.engine._connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        engine = self.engine
        url = urlsplit(self.path)
        engine.requests.append(self.path)
        version, path = re.fullmatch(r"(?:/v([\d.]+))?(/.*)", url.path).groups()  # type: ignore[union-attr]
        if engine.mode == "hang":
            engine._resumed.wait(60)
        if engine.mode in ("stopping", "hang"):
            self.close_connection = True
            return
        refusal = self._refusal(version)
        if refusal:
            self._send(400, json.dumps({"message": refusal}).encode())
        elif engine.mode == "error":
            self._send(500, b'{"message": "something went wrong"}')
        elif engine.mode == "garbage":
            self._send(200, b"<html>not an engine</html>")
        elif path == "/events":
            query = parse_qs(url.query)
            self._events(float(query["since"][0]), float(query["until"][0]))
        else:
            status, document = engine.answer(path)
            self._send(status, json.dumps(document).encode())

    def _refusal(self, version: str | None) -> str | None:
        if version is None:
            return None
        asked, newest, oldest = (
            tuple(map(int, v.split(".")))
            for v in (version, self.engine.api_version, self.engine.oldest_version)
        )
        if asked > newest:
            return f"client version {version} is too new. Maximum supported API version is {newest}"
        if asked < oldest:
            return f"client version {version} is too old. Minimum supported API version is {oldest}"
        return None

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.engine.mode == "truncated":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)

    def _events(self, since: float, until: float) -> None:
        stream = self.engine.follow(since)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            while (left := until - self.engine.now()) > 0:
                try:
                    line = stream.get(timeout=left)
                except queue.Empty:
                    break
                if self.engine.mode == "hang":
                    self.engine._resumed.wait(60)
                if line is None:
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
            if self.engine.mode == "hang":
                self.engine._resumed.wait(60)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        finally:
            self.engine._streams.remove(stream)


class _Quiet(ThreadingMixIn):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _UnixServer(_Quiet, ThreadingUnixStreamServer):
    request_queue_size = 128


class _TlsServer(_Quiet, ThreadingTCPServer):
    allow_reuse_address = True
