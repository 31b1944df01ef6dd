"""A real Prometheus, where one is installed, with a configuration and data of its own."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import requests

from advisor.prometheus.client import PrometheusClient
from tests.support.ports import free_port
from tests.support.waiting import wait_until

__all__ = ["prometheus_server"]


@contextlib.contextmanager
def prometheus_server(folder: Path, config: str) -> Iterator[PrometheusClient]:
    """Run until the block ends; its data are those of ``folder/data``."""
    (folder / "prometheus.yml").write_text(config)
    port = free_port()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += ["--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}"]
    with (
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
        PrometheusClient(f"http://127.0.0.1:{port}") as client,
    ):
        try:
            wait_until(lambda: server.poll() is not None or _is_ready(client.url))
            if server.poll() is not None:
                raise RuntimeError((folder / "prometheus.log").read_text()[-2000:])
            yield client
        finally:
            server.terminate()


def _is_ready(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(f"{url}/-/ready", timeout=2).ok
    return False
