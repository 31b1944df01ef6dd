"""A real VictoriaMetrics behind remote write: what is asked for is kept, and nothing counts twice."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from advisor.prometheus import power_in_windows
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import enrich
from advisor.results import Run, Scenario
from tests.stack.test_fleet import Page, serving
from tests.support.ports import free_ports
from tests.support.prometheus_server import prometheus_server
from tests.support.promql import FOREIGN, ROOT, dashboard_queries, metric_names, recorded, rule_queries
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        not (shutil.which("victoria-metrics") and shutil.which("prometheus")),
        reason="victoria-metrics or prometheus is not installed",
    ),
]

BASE = 1_767_600_000
WANTED = {
    name
    for query in (*dashboard_queries(), *rule_queries())
    for name in metric_names(query.expr)
    if name != "ALERTS"  # its evaluation makes it, in the server that has the rules
} | {*recorded(), *FOREIGN - {"ALERTS"}, *power_in_windows._FAMILIES}


def remote_write() -> list[dict[str, object]]:
    """The block that docs/operations.md shows."""
    page = (ROOT / "docs" / "operations.md").read_text()
    (block,) = (text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "remote_write:" in text)
    return list(yaml.safe_load(block)["remote_write"])


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[str]:
    """An empty one; its address."""
    (port,) = free_ports(1)
    command = ["victoria-metrics", f"-storageDataPath={tmp_path}/victoria", "-retentionPeriod=100y"]
    command += [f"-httpListenAddr=127.0.0.1:{port}", "-search.latencyOffset=0s"]
    with (
        (tmp_path / "victoria.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(url))
            yield url
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(f"{url}/health", timeout=60).ok
    return False


def test_remote_write_keeps_every_series_that_is_asked_for(victoria: str, tmp_path: Path) -> None:
    (written,) = remote_write()
    kept = {"url": f"{victoria}/api/v1/write", "write_relabel_configs": written["write_relabel_configs"]}
    page = Page({}, {f'{name}{{made="here"}}': 1.0 for name in (*WANTED, "go_goroutines")}, history=0)
    with serving({"all": page}) as address:
        job = {"job_name": "all", "metrics_path": "/all", "static_configs": [{"targets": [address]}]}
        times = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        document = {"global": times, "scrape_configs": [job], "remote_write": [kept]}
        with prometheus_server(tmp_path, json.dumps(document)):
            wait_until(lambda: names(victoria) >= WANTED)
    assert "go_goroutines" not in names(victoria)


def names(victoria: str) -> set[str]:
    answer = requests.get(f"{victoria}/api/v1/label/__name__/values", timeout=60)
    return set(answer.json()["data"])


def test_what_was_written_twice_counts_once(victoria: str) -> None:
    """30 W for 100 s are 3 000 J, whether one or two servers wrote the samples."""
    labels = 'instance="a",zone="package_0",domain="package"'
    lines = [f"rapl_energy_joules_total{{{labels}}} {30 * t} {(BASE + t) * 1000}" for t in range(0, 600, 5)]
    lines += [
        f'rapl_source_info{{instance="a",source="powercap",tier="measured"}} 1 {(BASE + t) * 1000}'
        for t in range(0, 600, 5)
    ]
    for _ in range(2):
        body = "\n".join(lines) + "\n"
        assert requests.post(f"{victoria}/api/v1/import/prometheus", data=body, timeout=60).status_code == 204
        requests.get(f"{victoria}/internal/force_flush", timeout=60)
    scenario = Scenario(name="x", start_time=BASE + 102.0, end_time=BASE + 202.0, duration=100.0)
    with PrometheusClient(victoria) as client:
        stored = client.samples("rapl_energy_joules_total", BASE + 100, BASE + 200)
        assert len(stored[0].timestamps) > len(set(stored[0].timestamps))
        (enriched,) = enrich([Run(run_id="r", scenarios=(scenario,))], client).enriched
    assert enriched.total_energy_joules == pytest.approx(3000, rel=1e-3)
