"""The stack as it is shipped: real Dockerfiles, real containers, a real Prometheus.

What a registry would give is replaced by stand-ins (`tests/support/standins.py`); Grafana has none and is
left out. The tests build on each other, in the order that they stand here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporters.catalogue import EXPORTERS
from tests.support.compose import (
    STARTED,
    Stack,
    build,
    eventually,
    images,
    megabytes,
    readable_folder,
    remove,
)
from tests.support.docker_engine import DockerEngine, running_engine
from tests.support.powercap_tree import PowercapTree
from tests.support.promql import ROOT, dashboard_queries, filled_in, metric_names, rule_queries
from tests.support.standins import PYTHON_IMAGE, make_standins

WATTS = 50.0
PRICE = 0.3
REGION = "eu-west-1"
BITRATES = ("300k", "600k", "1200k", "2400k")
NAMES = ["baseline", *sorted(f"x264 {bitrate}" for bitrate in BITRATES)]
# metrics that have no series here, and why; a query may be empty only for want of one of them ...
NO_SERIES = {
    "gpu_power_watts": "no GPU here",
    "gpu_utilization_ratio": "no GPU here",
    "gpu_encoder_utilization_ratio": "no GPU here",
    "gpu_decoder_utilization_ratio": "no GPU here",
    "rapl_estimate_uncertainty_ratio": "power is measured here",
    "rapl_read_errors_total": "no read has failed",
    "cost_gpu": "no GPU here",
    "gpu_energy_joules_total": "no GPU here",
    "instance:gpu_energy_watts:rate5m": "no GPU here",
    "cost_scenario_unpriced_info": "everything is priced",
    "results_scenario_invalid_info": "nothing speaks against a scenario",
    "ALERTS": "nothing is wrong",
}
# ... or because it asks for what is not so
FALSE_HERE = {
    "alerts.yml": "nothing is wrong",
    "Cheapest at each target": "no scenario reaches it",
    "What one more VMAF point costs": "no scenario reaches the upper one",
}

# the images are built and the stack is started: minutes
pytestmark = [pytest.mark.docker, pytest.mark.long]


@pytest.fixture(scope="module")
def host_folder() -> Iterator[Path]:
    folder = readable_folder()
    yield folder
    remove(folder)


@pytest.fixture(scope="module")
def counters(host_folder: Path) -> Iterator[PowercapTree]:
    """The host's energy counters: a package that draws 50 W, half of it its cores, and memory with 5 W."""
    tree = PowercapTree(host_folder / "sys")
    package, dram = tree.add("intel-rapl:0", "package-0"), tree.add("intel-rapl:0:1", "dram")
    cores = tree.add("intel-rapl:0:0", "core")
    for register in (package, cores, dram):
        register.file.chmod(0o400)
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(0.1):
            package.add(WATTS / 10)
            cores.add(WATTS / 20)
            dram.add(0.5)

    thread = threading.Thread(target=draw)
    thread.start()
    yield tree
    stop.set()
    thread.join()


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    """An engine with all images built."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    with running_engine(network=True) as made:
        make_standins(made)
        for image, how in images().items():
            build(made, image, how)
        yield made


@pytest.fixture(scope="module")
def stack(engine: DockerEngine, host_folder: Path, counters: PowercapTree) -> Iterator[Stack]:
    """Everything started, with an empty results folder; taken down at the end."""
    pricing = host_folder / "pricing"
    pricing.mkdir()
    hours = [int(time.time()) // 3600 * 3600 + 3600 * step for step in range(-2, 3)]
    rows = [f"{hour},{PRICE}" for hour in hours]
    (pricing / "tariff.csv").write_text("\n".join(["timestamp,price_per_kwh", *rows]) + "\n")
    prices = {"REGION": REGION, "PRICING_PATH": str(pricing), "TARIFF_FILE": "/pricing/tariff.csv"}
    made = Stack(engine, host_folder, "wattframe-test", **prices)
    try:
        made.up()
        yield made
    finally:
        made.down()


def test_every_service_becomes_healthy(stack: Stack) -> None:
    eventually(
        lambda: {s: stack.health(s) for s in STARTED}, dict.fromkeys(STARTED, "healthy"), limit_seconds=180
    )


def test_every_target_of_prometheus_is_up(stack: Stack) -> None:
    jobs = {*EXPORTERS, "node", "prometheus", "alertmanager"}
    eventually(lambda: {s["metric"]["job"] for s in stack.query("up == 1")}, jobs, limit_seconds=120)
    assert stack.query("up == 0") == []


@pytest.mark.parametrize("name", EXPORTERS)
def test_health_is_answered_on_the_hosts_port(stack: Stack, name: str) -> None:
    assert stack.get(name, "/health").strip() == "OK"


def test_power_is_read_from_the_hosts_counters_without_privileges(stack: Stack) -> None:
    config = stack.container("rapl")["HostConfig"]
    assert config["Privileged"] is False
    assert config["CapDrop"] == ["ALL"]
    assert [c.removeprefix("CAP_") for c in config["CapAdd"]] == ["DAC_READ_SEARCH"]
    assert {s["metric"]["tier"] for s in stack.query("rapl_source_info")} == {"measured"}
    watts = 'rate(rapl_energy_joules_total{zone="package_0"}[30s])'
    # the thread that draws may lag on a busy machine, never lead
    eventually(lambda: 0.5 * WATTS < stack.value(watts) < 1.05 * WATTS, True, limit_seconds=90)


def test_energy_is_priced_by_the_tariff_that_lies_on_the_host(stack: Stack) -> None:
    eventually(lambda: stack.value("cost_electricity_price_per_kwh"), PRICE, limit_seconds=60)
    assert stack.query('cost_input_age_seconds{input="electricity_price"}')


@pytest.mark.parametrize("name", ["results", "qoe", "cost"])
def test_what_needs_no_privilege_has_none(stack: Stack, name: str) -> None:
    found = stack.container(name)
    assert found["Config"]["User"] == "10001:10001"
    assert found["HostConfig"]["CapAdd"] in (None, [])


@pytest.mark.parametrize("name", STARTED)
def test_a_container_cannot_write_its_own_system_nor_gain_rights(stack: Stack, name: str) -> None:
    config = stack.container(name)["HostConfig"]
    assert config["ReadonlyRootfs"] is True
    assert "no-new-privileges:true" in config["SecurityOpt"]
    assert config["Memory"] > 0


@pytest.mark.parametrize("image", images())
def test_an_image_holds_no_compiler_and_no_pip(
    engine: DockerEngine, image: str, record_property: Any
) -> None:
    base = megabytes(engine, PYTHON_IMAGE)
    size = megabytes(engine, image)
    record_property("image", f"{image:28} {size:5.0f} MB, {size - base:+5.0f} MB to its base")
    script = (
        "command -v gcc cc ld strip; ls /opt/wattframe/bin; find / -xdev -name tests -path '*site-packages*'"
    )
    listed = engine.docker(
        "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", f"{script}; true"
    )
    unwanted = ("pip", "gcc", "/usr/bin/", "/opt/")
    assert not [name for name in listed.split() if name.startswith(unwanted)]


def _scenarios(stack: Stack, metric: str) -> list[str]:
    # a set: what a killed Prometheus had scraped last is found for five more minutes
    return sorted({series["metric"]["scenario"] for series in stack.query(metric)})


def test_a_run_on_the_host_is_in_prometheus_within_a_minute(stack: Stack, record_property: Any) -> None:
    # a slow preset: few frames in the six seconds, so that they are scored soon
    rung = {"encoder": "libx264", "preset": "slower", "viewers": 1000}
    rungs = [{"name": f"x264 {bitrate}", "bitrate": bitrate, **rung} for bitrate in BITRATES]
    batch = stack.folder / "batch.yaml"
    batch.write_text(yaml.safe_dump({"scenarios": rungs}))
    command = [sys.executable, str(ROOT / "run_tests.py"), "batch", str(batch), "--duration", "6", "--quiet"]
    command += ["--with-baseline", "--compute-quality", "--output-dir", str(stack.results)]
    command += ["--sysfs", str(stack.folder / "sys")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds = sum(
        eventually(lambda metric=metric: _scenarios(stack, metric), names, limit_seconds=60)
        for metric, names in (
            ("results_scenario_info", NAMES),
            ("cost_total", NAMES),
            ("qoe_vmaf_score", NAMES[1:]),
        )
    )
    record_property("stack", f"a run on the host was in Prometheus after {seconds:.0f} s")
    assert seconds < 60


def test_retraining_in_the_stack_trains_on_what_prometheus_saw(stack: Stack, record_property: Any) -> None:
    """The power is taken out of the result file: only the stack's Prometheus knows it."""
    (path,) = stack.results.glob("test_results_*.json")
    text = path.read_text()
    document = json.loads(text)
    for scenario in document["scenarios"]:
        scenario["power"] = scenario["samples"] = None
    path.write_text(json.dumps(document))
    out = stack.compose("run", "--rm", "-T", "retrain")
    path.write_text(text)
    assert "Enriched 5 from Prometheus" in out
    assert list(stack.models.rglob("manifest*")) or list(stack.models.rglob("latest*"))
    found = "results_scenario_predicted_power_watts"
    seconds = eventually(lambda: _scenarios(stack, found), NAMES[1:], limit_seconds=120)
    record_property("stack", f"predictions were in Prometheus {seconds:.0f} s after the training")


def test_every_query_has_data_or_a_reason_why_not(stack: Stack, record_property: Any) -> None:
    """As Grafana sends it: the run that was made, its region, all scenarios."""
    (run,) = (path.stem for path in stack.results.glob("test_results_*.json"))
    rows = []
    for place, expr in (*dashboard_queries(), *rule_queries()):
        found = len(stack.query(filled_in(expr, run=run, region=REGION)))
        rows.append((place, expr, found, "" if found else _why_empty(stack, place, expr)))
    for place, expr, found, reason in rows:
        where = " | ".join(place.split(": ", 1))
        record_property("query", f"{where} | {' '.join(expr.split())} | {found} | {reason}")
    full = sum(found > 0 for _, _, found, _ in rows)
    record_property(
        "queries", f"{len(rows)}, {full} with data, {len(rows) - full} without, each with its reason"
    )
    assert [(place, expr) for place, expr, _, reason in rows if reason is None] == []


def _why_empty(stack: Stack, place: str, expr: str) -> str | None:
    """Why a query has no data; None when nothing explains it."""
    missing = [name for name in sorted(metric_names(expr)) if not stack.query(name)]
    if missing:
        return "; ".join(NO_SERIES[name] for name in missing) if set(missing) <= NO_SERIES.keys() else None
    return next((reason for part, reason in FALSE_HERE.items() if part in place), None)


def test_a_run_inside_the_stack_writes_its_results(stack: Stack) -> None:
    before = set(stack.results.iterdir())
    stack.compose(
        *("run", "--rm", "-T", "runner", "single", "--duration", "2"),
        *("--input", "/samples/bigbuckbunny.mp4", "--output-dir", "/results", "--sysfs", "/host/sys"),
    )
    (path,) = set(stack.results.iterdir()) - before
    (scenario,) = json.loads(path.read_text())["scenarios"]
    assert (scenario["status"], scenario["power"]["tier"]) == ("ok", "measured")
    path.unlink()


def test_the_profile_live_receives_streams(stack: Stack) -> None:
    stack.compose("--profile", "live", "up", "--detach", "--no-build", "nginx-rtmp")
    eventually(lambda: stack.health("nginx-rtmp"), "healthy", limit_seconds=60)
    with socket.create_connection(("127.0.0.1", stack.ports["nginx-rtmp"]), timeout=10) as rtmp:
        rtmp.sendall(b"\x03" + bytes(1536))  # RTMP's first handshake packets, C0 and C1
        assert rtmp.recv(1) == b"\x03"  # S0: version 3
    stack.compose("--profile", "live", "rm", "--stop", "--force", "nginx-rtmp")


def test_exporters_end_on_sigterm(stack: Stack) -> None:
    stack.compose("stop", "--timeout", "10", *EXPORTERS)
    codes = {name: stack.container(name)["State"]["ExitCode"] for name in EXPORTERS}
    assert codes == dict.fromkeys(EXPORTERS, 0)
    stack.compose("start", *EXPORTERS)


def test_kill_and_up_again_lose_nothing(stack: Stack) -> None:
    scrapes = 'count_over_time(up{job="rapl"}[1h])'
    before = stack.value(scrapes)
    stack.compose("kill")
    stack.up()
    eventually(
        lambda: {s: stack.health(s) for s in STARTED}, dict.fromkeys(STARTED, "healthy"), limit_seconds=180
    )
    for metric in ("results_scenario_info", "cost_total"):
        eventually(lambda metric=metric: _scenarios(stack, metric), NAMES, limit_seconds=120)
    for metric in ("qoe_vmaf_score", "results_scenario_predicted_power_watts"):
        eventually(lambda metric=metric: _scenarios(stack, metric), NAMES[1:], limit_seconds=120)
    # Prometheus writes ahead of what it acknowledges: at most the scrape in flight is gone
    assert stack.value(scrapes) >= before - 1


@pytest.fixture(scope="module")
def worse(engine: DockerEngine, stack: Stack) -> Iterator[Stack]:
    """Another stack, of a host that lacks counters, the engine's permission, a port and a good setting."""
    stack.compose("stop", "--timeout", "5")
    folder = readable_folder()
    (folder / "sys").mkdir()
    with contextlib.ExitStack() as opened:
        opened.callback(remove, folder)
        denied = opened.enter_context(socket.socket(socket.AF_UNIX))
        denied.bind(str(folder / "docker.sock"))
        os.chown(folder / "docker.sock", 1234, 1234)
        (folder / "docker.sock").chmod(0o660)
        taken = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        changed = {"DOCKER_SOCKET": str(folder / "docker.sock"), "QOE_PORT": str(taken.getsockname()[1])}
        made = Stack(engine, folder, "wattframe-worse", COST_MODE="nonsense", **changed)
        opened.callback(made.down)
        yield made


def test_a_port_in_use_is_named_and_the_rest_comes_up(worse: Stack) -> None:
    done = worse.try_compose("up", "--detach", "--no-build", *STARTED)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR: for qoe ")]
    assert f"127.0.0.1:{worse.environment['QOE_PORT']}: bind: address already in use" in line
    rest = [service for service in STARTED if service not in ("qoe", "cost")]
    wanted = dict.fromkeys(rest, "healthy")
    eventually(lambda: {service: worse.health(service) for service in rest}, wanted, limit_seconds=120)
    up = ["alertmanager", "docker_stats", "node", "prometheus", "rapl", "results"]
    eventually(lambda: sorted(s["metric"]["job"] for s in worse.query("up == 1")), up, limit_seconds=60)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("rapl", 'event="energy counters" source=estimate advice="no energy counters under /host/sys'),
        ("docker_stats", 'reason="docker engine: permission: [Errno 13] Permission denied" advice='),
        ("results", 'event="no results yet" folder=/results expected=test_results_*.json'),
        ("cost", "exporters.cost: COST_MODE: expected one of owned, cloud, found 'nonsense'"),
    ],
)
def test_what_a_service_lacks_it_says_in_one_line(worse: Stack, service: str, words: str) -> None:
    lines = {
        line for line in worse.log(service) if "event=listening" not in line
    }  # cost starts again and again
    assert [line for line in lines if words not in line] == []
    assert len(lines) == 1


def test_without_counters_power_is_modelled_and_without_an_engine_nothing_is_invented(worse: Stack) -> None:
    assert [s["metric"]["tier"] for s in worse.query("rapl_source_info")] == ["modelled"]
    assert worse.value("rapl_estimate_uncertainty_ratio") > 0
    assert worse.value("docker_engine_up") == 0
    assert worse.query("docker_container_cpu_seconds_total") == []


@pytest.mark.parametrize(
    ("service", "setting", "words"),
    [
        (
            "rapl",
            "RAPL_IDLE_WATTS=-1",
            "exporters.rapl: RAPL_IDLE_WATTS: expected a number of at least 0, found '-1'",
        ),
        ("results", "RESULTS_RUNS=0", "exporters.results: RESULTS_RUNS: expected a whole number from 1 to"),
        ("qoe", "QOE_WORKERS=many", "exporters.qoe: QOE_WORKERS: expected a whole number from 1 to"),
        ("cost", "TARIFF_FILE=/pricing/none", "exporters.cost: TARIFF_FILE: expected a file that exists"),
    ],
)
def test_a_wrong_setting_ends_a_service_with_one_line(
    worse: Stack, service: str, setting: str, words: str
) -> None:
    name, _, value = setting.partition("=")
    done = worse.try_compose(
        "run", "--rm", "-T", "--no-deps", "-e", f"{name}={value}", "-e", "COST_MODE=owned", service
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("exporters.")]
    assert done.returncode == 2
    assert len(said) == 1
    assert said[0].startswith(words)


def test_a_disk_that_cannot_be_written_is_said_once(worse: Stack) -> None:
    override = worse.folder / "read-only.yml"
    override.write_text(yaml.safe_dump({"services": {"qoe": {"volumes": ["qoe-cache:/cache:ro"]}}}))
    worse.environment["QOE_PORT"] = str(worse.ports["qoe"])
    worse.compose("rm", "--force", "qoe")  # a container made anew would keep the mounts of the former
    worse.compose("--file", str(override), "up", "--detach", "--no-build", "--no-deps", "qoe")
    eventually(lambda: worse.health("qoe"), "healthy", limit_seconds=60)
    (line,) = [line for line in worse.log("qoe") if "level=warning" in line]
    assert 'event="scores are kept in memory alone" folder=/cache' in line
