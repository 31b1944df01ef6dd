"""The stack as it is shipped: real Dockerfiles, real containers, a real Prometheus.

What a registry would give is replaced by stand-ins (`tests/support/standins.py`); Grafana has none and is
left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.docker_engine import DockerEngine, running_engine
from tests.support.powercap_tree import PowercapTree
from tests.support.promql import ROOT, dashboard_queries, filled_in, rule_queries
from tests.support.standins import make_standins, settings
from tests.support.waiting import wait_until
from wattframe.stack.services import EXPORTERS

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
STARTED = [*EXPORTERS, "prometheus", "alertmanager", "node-exporter"]
WATTS = 50.0
PORTS = {
    "rapl": "RAPL_PORT",
    "docker_stats": "DOCKER_STATS_PORT",
    "results": "RESULTS_PORT",
    "qoe": "QOE_PORT",
    "cost": "COST_PORT",
    "prometheus": "PROMETHEUS_PORT",
    "alertmanager": "ALERTMANAGER_PORT",
}
# queries that cannot have data here, and why
NO_DATA = {
    "gpu_": "no GPU here",
    "rapl_estimate_uncertainty_ratio": "power is measured here",
    "rapl_read_errors_total": "no read has failed",
    "rapl_missed_ticks_total": "no sample is late",
    "cost_grid_carbon": "only with a region",
    "cost_per_watch_hour": "nobody said how many watch",
    "cost_unpriced_scenarios": "everything is priced",
    "results_scenario_invalid_info": "depends on the machine's load",
    "qoe_": "the runs here are not scored",
    "results_model": "before the first training",
    "results_scenario_predict": "before the first training",
    "ALERTS": "nothing fires yet",
}

# the images are built and the stack is started: minutes
pytestmark = [pytest.mark.docker, pytest.mark.long]


class Stack:
    """The compose project, and the host that it runs on."""

    def __init__(self, engine: DockerEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.results = folder / "results"
        self.models = folder / "models"
        self.ports = {name: _free_port() for name in PORTS}
        self.environment = {
            **os.environ,
            **settings(),
            **{PORTS[name]: str(port) for name, port in self.ports.items()},
            "DOCKER_HOST": engine.host,
            "COMPOSE_PROJECT_NAME": "wattframe-test",
            "DOCKER_SOCKET": str(engine.socket),
            "RESULTS_PATH": str(self.results),
            "MODELS_PATH": str(self.models),
            "HOST_SYS": str(folder / "sys"),
            "REGION": "eu-west-1",
            "TOOLS_UID": "0",
            "TOOLS_GID": "0",
        }

    def compose(self, *arguments: str, code: int = 0, limit: float = 300) -> str:
        done = subprocess.run(
            ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build", *STARTED)

    def container(self, service: str) -> dict[str, Any]:
        found = self.engine.docker("inspect", f"wattframe-test_{service}_1")
        return dict(json.loads(found)[0])

    def health(self, service: str) -> str:
        return str(self.container(service)["State"].get("Health", {}).get("Status", "none"))

    def get(self, service: str, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[service]}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def query(self, expr: str) -> list[dict[str, Any]]:
        text = self.get("prometheus", f"/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        return list(json.loads(text)["data"]["result"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(found: Callable[[], Any], wanted: Any, *, limit_seconds: float) -> None:
    """Wait until what is found is what is wanted; fails with the difference."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: found() == wanted, limit_seconds=limit_seconds)
    assert found() == wanted


def _builds() -> dict[str, dict[str, Any]]:
    """What the compose file builds, by image."""
    return {s["image"]: s["build"] for s in SERVICES.values() if "build" in s}


def _plain(text: str) -> str:
    """An image's name with the compose file's defaults."""
    return text.replace("${IMAGE_PREFIX:-wattframe}", "wattframe").replace("${IMAGE_TAG:-latest}", "latest")


def _build(engine: DockerEngine, image: str, build: dict[str, Any]) -> None:
    bases = settings()
    arguments = [f"PYTHON_IMAGE={bases['PYTHON_IMAGE']}", f"DEBIAN_IMAGE={bases['DEBIAN_IMAGE']}"]
    if "LOCK" in build["args"]:
        arguments.append(f"LOCK={build['args']['LOCK']}")
    context = (ROOT / build["context"]).resolve()
    command = ["docker", "-H", engine.host, "build", "--quiet", "--network", "host", "--tag", _plain(image)]
    for argument in arguments:
        command += ["--build-arg", argument]
    command += ["--file", str(context / build.get("dockerfile", "Dockerfile")), str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{image}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def host_folder() -> Iterator[Path]:
    """A folder that the containers' users may read; pytest's own is its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="wfc-"))
    folder.chmod(0o755)
    (folder / "results").mkdir()
    (folder / "models").mkdir()
    yield folder
    shutil.rmtree(folder)


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
def stack(host_folder: Path, counters: PowercapTree) -> Iterator[Stack]:
    """Everything built, started and healthy; taken down at the end."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    with running_engine(network=True) as engine:
        make_standins(engine)
        for image, build in _builds().items():
            _build(engine, image, build)
        made = Stack(engine, host_folder)
        try:
            made.up()
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout", "5")


def test_every_service_becomes_healthy(stack: Stack) -> None:
    wait_until(lambda: all(stack.health(s) in ("healthy", "none") for s in STARTED), limit_seconds=180)
    assert {s for s in STARTED if stack.health(s) == "none"} == {"node-exporter"}


def test_every_target_of_prometheus_is_up(stack: Stack) -> None:
    jobs = {*EXPORTERS, "node", "prometheus", "alertmanager"}
    eventually(lambda: {s["metric"]["job"] for s in stack.query("up == 1")}, jobs, limit_seconds=120)


@pytest.mark.parametrize("name", EXPORTERS)
def test_health_is_answered_on_the_hosts_port(stack: Stack, name: str) -> None:
    assert stack.get(name, "/health").strip() == "OK"


def test_power_is_read_from_the_hosts_counters_without_privileges(stack: Stack) -> None:
    config = stack.container("rapl")["HostConfig"]
    assert config["Privileged"] is False
    assert config["CapDrop"] == ["ALL"]
    assert [c.removeprefix("CAP_") for c in config["CapAdd"]] == ["DAC_READ_SEARCH"]
    series = {s["metric"]["tier"]: s for s in stack.query("rapl_source_info")}
    assert series.keys() == {"measured"}

    def watts() -> float:
        found = stack.query('rate(rapl_energy_joules_total{zone="package_0"}[30s])')
        return float(found[0]["value"][1]) if found else 0.0

    # the thread that draws may lag on a busy machine, never lead
    wait_until(lambda: 0.5 * WATTS < watts() < 1.05 * WATTS, limit_seconds=90)


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


def test_images_hold_no_compiler_and_no_pip(stack: Stack) -> None:
    for image in map(_plain, _builds()):
        if "nginx" in image:
            continue
        script = "command -v gcc cc; ls /opt/wattframe/bin; true"
        listed = stack.engine.docker(
            "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script
        )
        names = listed.split()
        assert "python" in names
        assert not [n for n in names if n.startswith(("pip", "gcc", "/usr/bin/gcc", "/usr/bin/cc"))]


BITRATES = ("300k", "600k", "1200k", "2400k")
NAMES = ["baseline", *sorted(f"x264 {bitrate}" for bitrate in BITRATES)]


def _scenarios(stack: Stack, metric: str) -> list[str]:
    return sorted(series["metric"]["scenario"] for series in stack.query(metric))


def test_a_run_on_the_host_is_in_prometheus_within_a_minute(stack: Stack) -> None:
    rungs = [
        {"name": f"x264 {bitrate}", "encoder": "libx264", "preset": "ultrafast", "bitrate": bitrate}
        for bitrate in BITRATES
    ]
    batch = stack.folder / "batch.yaml"
    batch.write_text(yaml.safe_dump({"scenarios": rungs}))
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "run_tests.py"), "batch", str(batch), "--duration", "6", "--quiet"),
            *("--with-baseline", "--output-dir", str(stack.results), "--sysfs", str(stack.folder / "sys")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: _scenarios(stack, "results_scenario_info"), NAMES, limit_seconds=60)
    eventually(lambda: _scenarios(stack, "cost_total"), NAMES, limit_seconds=60)


@pytest.mark.parametrize("query", [*dashboard_queries(), *rule_queries()], ids=lambda q: q.place)
def test_every_query_has_data_or_a_reason_why_not(stack: Stack, query: Any) -> None:
    found = stack.query(
        filled_in(query.expr, region=".*").replace('run_id="', 'run_id=~"').replace('region="', 'region=~"')
    )
    if not found and not query.place.startswith("alerts.yml"):
        assert [name for name in NO_DATA if name in query.expr], query.expr


def test_retraining_in_the_stack_trains_on_what_prometheus_saw(stack: Stack) -> None:
    """The power is taken out of the result file: only the stack's Prometheus knows it."""
    (path,) = stack.results.glob("test_results_*.json")
    document = json.loads(path.read_text())
    for scenario in document["scenarios"]:
        scenario["power"] = scenario["samples"] = None
    path.write_text(json.dumps(document))
    out = stack.compose("run", "--rm", "-T", "retrain")
    assert "Enriched 5 from Prometheus" in out
    assert list(stack.models.rglob("manifest*")) or list(stack.models.rglob("latest*"))


def test_an_exporter_ends_on_sigterm(stack: Stack) -> None:
    stack.compose("stop", "--timeout", "10", "cost")
    assert stack.container("cost")["State"]["ExitCode"] == 0
    stack.compose("start", "cost")


def test_kill_and_up_again_lose_nothing(stack: Stack) -> None:
    before = float(stack.query('count_over_time(up{job="rapl"}[1h])')[0]["value"][1])
    stack.compose("kill")
    stack.up()
    wait_until(lambda: stack.health("prometheus") == "healthy", limit_seconds=180)
    eventually(lambda: _scenarios(stack, "results_scenario_info"), NAMES, limit_seconds=120)
    after = float(stack.query('count_over_time(up{job="rapl"}[1h])')[0]["value"][1])
    # Prometheus writes ahead of what it acknowledges: at most the scrape in flight is gone
    assert after >= before - 1


@pytest.mark.parametrize(
    ("image", "variable", "words"),
    [
        ("wattframe-cost-exporter", "COST_MODE=nonsense", "COST_MODE"),
        ("wattframe-exporter", "RAPL_EXPORTER_PORT=high", "RAPL_EXPORTER_PORT"),
        ("wattframe-results-exporter", "RESULTS_RUNS=-1", "RESULTS_RUNS"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    stack: Stack, image: str, variable: str, words: str
) -> None:
    module = {"cost": "exporters.cost", "results": "exporters.results"}.get(
        image.split("-")[1], "exporters.rapl"
    )
    done = subprocess.run(
        [
            "docker",
            "-H",
            stack.engine.host,
            "run",
            "--rm",
            "--network",
            "none",
            "-e",
            variable,
            image,
            module,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
