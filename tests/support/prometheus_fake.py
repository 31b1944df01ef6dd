"""A small HTTP server in the place of Prometheus that answers, well or badly, what a test tells it to."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["HTML", "Reply", "Server", "json_reply", "vector"]

Reply = tuple[int, dict[str, str], bytes]
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"


def json_reply(document: Any, status: int = 200, **headers: str) -> Reply:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(document).encode()


def vector(*results: dict[str, Any], kind: str = "vector", **more: Any) -> Reply:
    return json_reply({"status": "success", "data": {"resultType": kind, "result": list(results)}, **more})


class Server:
    """Answers every request by ``reply`` and remembers what was asked."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, str]], Reply] = lambda _: vector()
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                length = int(self.headers.get("Content-Length") or 0)
                form = dict(urllib.parse.parse_qsl(query or self.rfile.read(length).decode()))
                server.asked.append((f"{self.command} {path}", form, dict(self.headers)))
                status, headers, body = server.reply(form)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
