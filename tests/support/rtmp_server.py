"""A real nginx with its RTMP module, as Debian builds both."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from msgspec import Struct

from tests.support.ports import free_ports
from tests.support.waiting import wait_until

__all__ = ["RtmpServer", "free_ports", "missing_for_rtmp", "rtmp_server"]

_NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_CONFIG = """
load_module {module};
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
rtmp {{
    server {{
        listen 127.0.0.1:{rtmp};
        chunk_size 4096;
        application live {{ live on; record off; }}
        application closed {{ live on; deny publish all; }}
    }}
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{http};
        location /stat {{ rtmp_stat all; }}
    }}
}}
"""


def missing_for_rtmp() -> str | None:
    """Why no server can be had here, None when one can."""
    if _NGINX is None or not _MODULE.exists():
        return "nginx with its RTMP module is not installed (Debian: nginx-light libnginx-mod-rtmp)"
    return None


class RtmpServer(Struct):
    """A running nginx; it publishes and plays ``rtmp://127.0.0.1:RTMP/live/NAME``."""

    process: subprocess.Popen[bytes]
    rtmp: int
    http: int

    def url(self, name: str) -> str:
        """The address of one stream."""
        return f"rtmp://127.0.0.1:{self.rtmp}/live/{name}"

    def statistics(self) -> ElementTree.Element:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/stat", timeout=60) as answer:
            return ElementTree.fromstring(answer.read())  # noqa: S314 - our own server's

    def streams(self) -> dict[str, str]:
        """Names of the streams that are being published, with the size of their video."""
        return {
            stream.findtext(
                "name", ""
            ): f"{stream.findtext('meta/video/width')}x{stream.findtext('meta/video/height')}"
            for stream in self.statistics().iter("stream")
            if stream.find("publishing") is not None
        }

    def ready(self) -> bool:
        try:
            self.statistics()
        except (urllib.error.URLError, ConnectionError):
            assert self.process.poll() is None, "nginx did not start"
            return False
        return True

    def kill(self) -> None:
        """At once: the master, and the worker that holds the connections."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        self.process.wait()
        for child in children:
            os.kill(int(child), signal.SIGKILL)


@contextlib.contextmanager
def rtmp_server(folder: Path, ports: Sequence[int] | None = None) -> Iterator[RtmpServer]:
    """Run nginx in ``folder``, on ``ports`` (RTMP, HTTP) or on any, until the block ends."""
    folder.mkdir(exist_ok=True)
    rtmp, http = ports or free_ports(2)
    # nginx as root would hand its worker to www-data, which may not enter the test's folder
    user = "user root;" if folder.owner() == "root" else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(module=_MODULE, folder=folder, rtmp=rtmp, http=http, user=user))
    process = subprocess.Popen(
        [_NGINX or "", "-p", str(folder), "-c", str(config), "-e", str(folder / "early.log")]
    )
    try:
        server = RtmpServer(process, rtmp, http)
        wait_until(server.ready)
        yield server
    finally:
        process.terminate()
        process.wait()
