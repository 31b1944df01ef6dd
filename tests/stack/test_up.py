"""`wattframe up` for real: five exporters and a Prometheus that scrapes them, ended by one signal."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from advisor.prometheus.client import PrometheusClient
from advisor.results import Output, Power, Quality, Run, Scenario, Vmaf, write_run
from exporters.catalogue import EXPORTERS
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]


class Up(Struct, frozen=True):
    """A running `wattframe up`."""

    process: subprocess.Popen[bytes]
    addresses: dict[str, str]
    state: Path


def loopback() -> str:
    """The IPv6 one where there is one."""
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return "::1"
    return "127.0.0.1"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    results = folder / "results"
    results.mkdir()
    scenario = Scenario(
        name="x264",
        encoder="libx264",
        bitrate="1000k",
        resolution="640x360",
        fps=25.0,
        duration=10.0,
        start_time=1_700_000_000.0,
        end_time=1_700_000_010.0,
        outputs=[
            Output(
                resolution="640x360",
                frames=250,
                duration=10.0,
                quality=Quality(aligned=True, vmaf=Vmaf(mean=90.0)),
            )
        ],
        power=Power(tier="measured", mean_watts=40.0, total_energy_joules=400.0),
    )
    write_run(Run(run_id="r", scenarios=(scenario,)), results / "test_results_20260301_120000.json")
    *ports, prometheus = free_ports(len(EXPORTERS) + 1)
    chosen = [f"--port={name}={port}" for name, port in zip(EXPORTERS, ports, strict=True)]
    arguments = ["--results-dir", str(results), "--models-dir", str(folder / "models"), *chosen]
    arguments += ["--host", loopback()]
    arguments += ["--prometheus", "binary", "--prometheus-port", str(prometheus), "--scrape-interval", "0.5"]
    command = [sys.executable, "-m", "wattframe", "up", *arguments, "--state-dir", str(folder), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "it did not come up"
        yield Up(process, {s["name"]: s["url"] for s in json.loads(line)["services"]}, folder)
        process.kill()


def test_prometheus_scrapes_all_five_and_itself(up: Up) -> None:
    with PrometheusClient(up.addresses["prometheus"]) as client:
        jobs = {*EXPORTERS, "prometheus"}
        wait_until(lambda: {s.metric["job"] for s in client.query("up == 1")} == jobs)


def test_a_scenario_joins_over_results_quality_and_cost(up: Up) -> None:
    query = (
        "results_scenario_mean_power_watts * on (run_id, scenario) group_left () "
        "max by (run_id, scenario) (qoe_vmaf_score) * on (run_id, scenario) group_left () "
        "max by (run_id, scenario) (cost_total > bool 0)"
    )
    with PrometheusClient(up.addresses["prometheus"]) as client:
        wait_until(lambda: [s.values for s in client.query(query)] == [[40.0 * 90.0]])


def test_the_rules_are_evaluated(up: Up) -> None:
    with PrometheusClient(up.addresses["prometheus"]) as client:
        wait_until(lambda: client.query("wattframe:vmaf_floor"))
        wait_until(lambda: client.query("scenario:results_energy_joules:per_video_minute"))


def test_a_second_one_in_its_folder_is_refused_and_changes_nothing(up: Up) -> None:
    """Two Prometheus servers over one database would spoil it; not all of them lock it."""
    config = (up.state / "prometheus" / "prometheus.yml").read_bytes()
    *ports, prometheus = free_ports(len(EXPORTERS) + 1)
    chosen = [f"--port={name}={port}" for name, port in zip(EXPORTERS, ports, strict=True)]
    command = [sys.executable, "-m", "wattframe", "up", *chosen, "--prometheus-port", str(prometheus)]
    done = subprocess.run(
        [*command, "--state-dir", str(up.state)], cwd=up.state, capture_output=True, text=True, check=False
    )
    said = f"wattframe up: another wattframe up runs in {up.state}: choose another --state-dir\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    assert (up.state / "prometheus" / "prometheus.yml").read_bytes() == config


def test_one_signal_ends_it_with_all_its_children(up: Up) -> None:
    children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()
    assert len(children) == len(EXPORTERS) + 1
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
