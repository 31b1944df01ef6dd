"""Two hosts in two regions, and two exporters of each kind beside each other, in a real Prometheus.

Every figure that a panel shows is compared with arithmetic by hand. The hosts' pages are made here: counters
that rise evenly, with their times, so that a rate has one right value; a first answer carries the last day.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import yaml
from msgspec import Struct

from advisor.errors import PrometheusError
from advisor.prometheus.client import PrometheusClient
from advisor.results import Output, Power, Quality, Run, Scenario, Vmaf, write_run
from tests.support.exporter_client import served
from tests.support.prometheus_server import prometheus_server
from tests.support.promql import RULES, boards, filled_in, panels
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

DAY = 86400
AHEAD = 60
"""Seconds that a page tells in advance, so that a scrape that comes late leaves no gap."""
RUN = "test_results_20260301_120000"
EVERYTHING = {"run": RUN, "region": "north", "encoder": ".*", "scenario": ".*", "host": ".*"}
REGIONS = """
currency: USD
regions:
  west: {price_per_kwh: 0.2, carbon_grams_per_kwh: 300, pue: 1.5}
  north: {price_per_kwh: 0.05, carbon_grams_per_kwh: 20, pue: 1.0}
"""
# counters by what they rise by in a second
WEST = {
    'rapl_energy_joules_total{zone="package_0",domain="package"}': 150.0,
    'rapl_energy_joules_total{zone="core_0",domain="core"}': 100.0,
    'rapl_energy_joules_total{zone="dram_0",domain="dram"}': 10.0,
    'docker_container_energy_joules_total{container="ffmpeg",policy="active"}': 10.0,
    'docker_unattributed_energy_joules_total{policy="active"}': 150.0,
    'node_cpu_seconds_total{cpu="0",mode="idle"}': 1.0,
    'node_cpu_seconds_total{cpu="0",mode="iowait"}': 0.0,
    'node_cpu_seconds_total{cpu="1",mode="idle"}': 1.0,
    'node_cpu_seconds_total{cpu="1",mode="iowait"}': 0.0,
}
NORTH = {
    'rapl_energy_joules_total{zone="package_0",domain="package"}': 300.0,
    'rapl_energy_joules_total{zone="package_1",domain="package"}': 100.0,
    'rapl_energy_joules_total{zone="dram_0",domain="dram"}': 20.0,
    'gpu_energy_joules_total{gpu="0",uuid="GPU-u"}': 250.0,
    'docker_container_energy_joules_total{container="ffmpeg",policy="active"}': 100.0,
    'docker_unattributed_energy_joules_total{policy="active"}': 320.0,
    'node_cpu_seconds_total{cpu="0",mode="idle"}': 0.4,
    'node_cpu_seconds_total{cpu="0",mode="iowait"}': 0.1,
    'node_cpu_seconds_total{cpu="1",mode="idle"}': 0.25,
    'node_cpu_seconds_total{cpu="1",mode="iowait"}': 0.25,
}
GAUGES = {
    "west": {
        'rapl_power_watts{zone="package_0",domain="package"}': 150.0,
        'rapl_power_watts{zone="dram_0",domain="dram"}': 10.0,
        'rapl_source_info{source="powercap",tier="measured"}': 1.0,
    },
    "north": {
        'rapl_power_watts{zone="package_0",domain="package"}': 300.0,
        'rapl_power_watts{zone="package_1",domain="package"}': 100.0,
        'rapl_power_watts{zone="dram_0",domain="dram"}': 20.0,
        'rapl_source_info{source="estimate",tier="modelled"}': 1.0,
    },
}
# what was recorded over the day before: 0.16 kW x 1.5 x 0.2, (0.42 + 0.25) kW x 0.05, and the grams likewise
RECORDED = {
    'region:host_energy_cost:per_hour{region="west",instance="",job=""}': 0.048,
    'region:host_energy_cost:per_hour{region="north",instance="",job=""}': 0.0335,
    'region:host_carbon_kg:per_hour{region="west",instance="",job=""}': 0.072,
    'region:host_carbon_kg:per_hour{region="north",instance="",job=""}': 0.0134,
}


class Page:
    """A host's page: counters and gauges with the time they are of, and the last day in the first answer."""

    def __init__(
        self,
        counters: Mapping[str, float],
        gauges: Mapping[str, float],
        *,
        history: float = 1.03 * DAY,
        goes_on: bool = True,
    ) -> None:
        self.counters, self.gauges, self.history, self.goes_on = counters, gauges, history, goes_on
        self.begun = time.time() - 1.04 * DAY
        self._told = 0

    def __call__(self) -> str:
        now = int(time.time())
        times = range(self._told, now + AHEAD if self.goes_on else 0)
        if not self._told:
            recent = now - min(600, int(self.history))
            times = [*range(now - int(self.history), recent, 60), *range(recent, now + AHEAD * self.goes_on)]
        self._told = now + AHEAD
        risen = {series: [rate * (t - self.begun) for t in times] for series, rate in self.counters.items()}
        steady = {series: [value] * len(times) for series, value in self.gauges.items()}
        return "".join(
            f"{series} {value} {round(t * 1000)}\n"
            for series, values in {**risen, **steady}.items()
            for t, value in zip(times, values, strict=True)
        )


@contextlib.contextmanager
def serving(pages: Mapping[str, Page]) -> Iterator[str]:
    """The pages by their path; the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = pages[self.path.strip("/")]().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def result_file(folder: Path) -> Path:
    """An hour of x264 with 200 W and an hour of NVENC with 100 W, each of one hour of video."""
    results = folder / "results"
    results.mkdir()

    def scenario(name: str, watts: float, encoder_type: str, vmaf: float) -> Scenario:
        board = 40.0 if encoder_type == "gpu" else 0.0
        return Scenario(
            name=name,
            encoder="libx264" if encoder_type == "cpu" else "h264_nvenc",
            encoder_type=encoder_type,  # type: ignore[arg-type]
            bitrate="1000k",
            resolution="1000x500",
            fps=25.0,
            viewers=10,
            duration=3600.0,
            start_time=1_700_000_000.0,
            end_time=1_700_003_600.0,
            power=Power(
                tier="measured", mean_watts=watts - board, total_energy_joules=(watts - board) * 3600
            ),
            gpu_power=Power(tier="measured", mean_watts=board, total_energy_joules=board * 3600)
            if board
            else None,
            outputs=[
                Output(
                    resolution="1000x500",
                    frames=90000,
                    duration=3600.0,
                    quality=Quality(aligned=True, vmaf=Vmaf(mean=vmaf)),
                )
            ],
        )

    scenarios = (scenario("x264", 200.0, "cpu", 90.0), scenario("nvenc", 100.0, "gpu", 80.0))
    write_run(Run(run_id=RUN, scenarios=scenarios), results / f"{RUN}.json")
    (folder / "regions.yaml").write_text(REGIONS)
    return results


def configuration(folder: Path, hosts: str, exporters: Mapping[str, int]) -> str:
    """Jobs as docs/operations.md has them, and the rules as they are shipped, each second.

    Each exporter is scraped as two.
    """
    rules = folder / "rules"
    rules.mkdir()
    for path in RULES.glob("*.yml"):
        groups = yaml.safe_load(path.read_text())["groups"]
        shown = {"groups": [{**group, "interval": "1s"} for group in groups]}
        (rules / path.name).write_text(json.dumps(shown))

    def host(instance: str, page: str, **labels: str) -> dict[str, object]:
        return {
            "targets": [hosts],
            "labels": {"instance": instance, "__metrics_path__": f"/{page}", **labels},
        }

    jobs = [
        {
            "job_name": "rapl",
            "static_configs": [
                host("a:9500", "west", region="west"),
                host("b:9500", "north", region="north"),
            ],
        },
        {"job_name": "gpu", "static_configs": [host("b:9510", "gpu", region="north")]},
        {"job_name": "recorded", "honor_labels": True, "static_configs": [host("recorded", "recorded")]},
        *(
            {
                "job_name": name,
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": one}}
                    for one in ("one", "other")
                ],
            }
            for name, port in exporters.items()
        ),
    ]
    document = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "rule_files": [f"{rules}/*.yml"],
        "storage": {"tsdb": {"out_of_order_time_window": "30h"}},
        "scrape_configs": jobs,
    }
    return json.dumps(document)


class Fleet(Struct, frozen=True):
    """The Prometheus of the fleet."""

    client: PrometheusClient

    def is_settled(self) -> bool:
        """Whether everything was scraped and the last rule of each chain has a value."""
        scraped = "count(cost_total) == 4 and count(qoe_vmaf_score) == 4 and count(rapl_power_watts) == 5"
        try:
            return bool(self.client.query(f"hosts:energy_cost:per_day and on () ({scraped})"))
        except PrometheusError:
            return False

    def is_evaluated_since(self, unix_seconds: float) -> bool:
        """Whether every group was."""
        groups = requests.get(f"{self.client.url}/api/v1/rules", timeout=60).json()["data"]["groups"]
        times = [datetime.fromisoformat(group["lastEvaluation"]) for group in groups]
        return all(moment.timestamp() > unix_seconds for moment in times)

    def panel(self, board: str, title: str, query: int = 0, **chosen: str) -> dict[str, float]:
        """What a panel shows: values by the labels that tell them apart, as ``name=value``."""
        (target,) = [panel["targets"][query] for panel in panels(boards()[board]) if panel["title"] == title]
        series = self.client.query(filled_in(target["expr"], **{**EVERYTHING, **chosen}))
        told_by = "instance", "container", "zone", "scenario", "tier", "model"
        shown = [(" ".join(s.metric[k] for k in told_by if k in s.metric), s) for s in series]
        assert len({name for name, _ in shown}) == len(shown), "one name for two series"
        return {name: s.values[-1] for name, s in shown}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    results = result_file(folder)
    pages = {
        "west": Page(WEST, GAUGES["west"]),
        "north": Page(NORTH, GAUGES["north"]),
        # the container of the GPUs of the same host sees the same GPU
        "gpu": Page({k: v for k, v in NORTH.items() if k.startswith("gpu")}, {}),
        "recorded": Page({}, RECORDED, goes_on=False),  # from here on the rules record
    }
    folders = ["--results-dir", str(results)]
    priced = ["--regions-file", str(folder / "regions.yaml"), "--region", "west,north", *folders]
    priced += ["--cpu-cost-per-hour", "0.5", "--gpu-cost-per-hour", "1"]
    with contextlib.ExitStack() as opened:
        hosts = opened.enter_context(serving(pages))
        exporters = {
            name: opened.enter_context(served(f"exporters.{name}", *how)).port
            for name, how in (("results", folders), ("cost", priced), ("qoe", folders))
        }
        config = configuration(folder, hosts, exporters)
        fleet = Fleet(opened.enter_context(prometheus_server(folder, config)))
        # groups begin at a moment of their interval that follows from the name of the file
        wait_until(fleet.is_settled, limit_seconds=180)
        # a rule may stand on what a group after its own records
        for _ in range(2):
            now = time.time()
            wait_until(lambda now=now: fleet.is_evaluated_since(now), limit_seconds=180)
        yield fleet


def test_every_rule_is_evaluated_without_an_error(fleet: Fleet) -> None:
    """With two exporters of results, quality and cost, and a GPU that two exporters see."""
    answer = requests.get(f"{fleet.client.url}/api/v1/rules", timeout=60)
    groups = answer.json()["data"]["groups"]
    assert {
        rule["name"]: rule["lastError"] for g in groups for rule in g["rules"] if rule.get("lastError")
    } == {}
    assert sum(len(group["rules"]) for group in groups) > 30


# region north is the exporters' second: x264 0.2 kWh, NVENC 0.1 kWh at 0.05; 0.5 an hour, and 1 for the GPU
X264, NVENC = 0.5 + 0.01, 1.5 + 0.005
PANELS: list[tuple[str, str, int, dict[str, float]]] = [
    ("overview", "Exporters down", 0, {"": 0}),
    ("overview", "Hosts by power source", 0, {"modelled": 1}),
    ("overview", "Power now", 0, {"": 420}),
    ("overview", "Energy, 24 hours", 0, {"": 0.42 * 24}),
    ("overview", "Electricity, 24 hours", 0, {"": 0.67 * 24 * 0.05}),  # with the GPU, once
    ("overview", "Carbon, 24 hours", 0, {"": 0.67 * 24 * 20}),
    ("overview", "Power by host", 0, {"b:9500": 420}),
    ("overview", "The run at a glance", 3, {"x264": X264, "nvenc": NVENC}),
    ("power", "Power is", 0, {"a:9500 measured": 1, "b:9500 modelled": 1}),
    ("power", "Energy, 24 hours", 0, {"a:9500": 0.16 * 24, "b:9500": 0.42 * 24}),
    ("power", "Packages", 0, {"a:9500 package_0": 150, "b:9500 package_0": 300, "b:9500 package_1": 100}),
    ("power", "Memory", 0, {"a:9500 dram_0": 10, "b:9500 dram_0": 20}),
    ("power", "Inside the packages", 0, {"a:9500 core_0": 100}),
    ("power", "Host CPU", 0, {"a:9500": 0, "b:9500": 0.5}),
    ("power", "Containers' power", 0, {"a:9500 ffmpeg": 10, "b:9500 ffmpeg": 100}),
    ("power", "Containers' power", 2, {"a:9500": 150, "b:9500": 320}),
    ("results", "Baseline against test", 0, {}),
    ("results", "Joules per frame", 0, {"x264": 720_000 / 90_000, "nvenc": 360_000 / 90_000}),
    ("results", "Energy", 0, {"x264": 720_000, "nvenc": 360_000}),
    ("results", "Scenarios and their ladders", 0, {"x264 measured": 3600, "nvenc measured": 3600}),
    ("qoe", "VMAF", 0, {"x264": 90, "nvenc": 80}),
    ("qoe", "Quality per watt", 0, {"x264": 0.45, "nvenc": 0.8}),
    ("qoe", "Not aligned", 0, {"": 0}),
    ("cost", "Energy and compute", 0, {"x264": 0.01, "nvenc": 0.005}),
    ("cost", "Energy and compute", 1, {"x264": 0.5, "nvenc": 0.5}),
    ("cost", "Energy and compute", 2, {"nvenc": 1.0}),
    ("cost", "An hour of video", 0, {"x264": X264, "nvenc": NVENC}),
    ("cost", "Total", 0, {"x264": X264, "nvenc": NVENC}),
    ("cost", "Per megapixel", 0, {"x264": X264 / 45_000, "nvenc": NVENC / 45_000}),
    ("cost", "Per viewer watch hour", 0, {"x264": X264 / 10, "nvenc": NVENC / 10}),
    ("cost", "Carbon", 0, {"x264": 0.2 * 20, "nvenc": 0.1 * 20}),
    ("cost", "Run total", 0, {"": X264 + NVENC}),
    ("cost", "Most expensive scenario, all month", 0, {"": NVENC * 730 / 2000}),
    ("cost", "Electricity's share", 0, {"": 0.015 / (X264 + NVENC)}),
    ("cost", "Energy", 0, {"measured": 1_080_000}),
    ("cost", "Distribution", 0, {"x264": X264, "nvenc": NVENC}),
    ("cost", "Comparison", 0, {"x264": X264, "nvenc": NVENC}),
    ("cost", "Comparison", 2, {"x264": X264 * 730, "nvenc": NVENC * 730}),
    ("cost", "Comparison", 4, {"x264": 0.004, "nvenc": 0.002}),
    ("cost", "Prices and intensities used", 0, {"": 0.05}),
    ("cost", "Prices and intensities used", 1, {"": 20}),
    ("cost", "Prices and intensities used", 2, {"": 1}),
    ("qoe_cost", "Quality against cost", 0, {"x264": X264, "nvenc": NVENC}),
    ("qoe_cost", "Cheapest at each target", 2, {"x264": X264}),
    ("qoe_cost", "Cheapest at each target", 4, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("board", "title", "query", "wanted"), PANELS, ids=[f"{b}-{t}-{q}" for b, t, q, _ in PANELS]
)
def test_a_panel_shows_what_was_worked_out_by_hand(
    fleet: Fleet, board: str, title: str, query: int, wanted: dict[str, float]
) -> None:
    assert fleet.panel(board, title, query) == pytest.approx(wanted, rel=0.005, abs=0.002)


@pytest.mark.parametrize(
    ("board", "title", "wanted"),
    [
        ("overview", "Power now", {"": 160}),
        ("overview", "Electricity, 24 hours", {"": 0.16 * 24 * 1.5 * 0.2}),
        ("cost", "Total", {"x264": 0.5 + 0.06, "nvenc": 1.5 + 0.03}),
        ("cost", "Carbon", {"x264": 0.2 * 1.5 * 300, "nvenc": 0.1 * 1.5 * 300}),
    ],
)
def test_another_region_is_another_price(
    fleet: Fleet, board: str, title: str, wanted: dict[str, float]
) -> None:
    assert fleet.panel(board, title, region="west") == pytest.approx(wanted, rel=0.005)


def test_one_host_chosen_is_one_host(fleet: Fleet) -> None:
    assert fleet.panel("power", "Memory", host="a:9500") == pytest.approx({"a:9500 dram_0": 10}, rel=0.05)
