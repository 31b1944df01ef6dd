"""The stack as it is shipped: real Dockerfiles, real containers, a real Prometheus.

What a registry would give is replaced by stand-ins (`tests/support/standins.py`); Grafana has none and is
left out. The tests build on each other, in the order that they stand here.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
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

from advisor.video.ffmpeg import find_ffmpeg
from exporters.catalogue import EXPORTERS
from tests.support.certificates import certificates
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
    "rapl_rejected_samples_total": "no value was left out",
    "results_scenario_net_power_watts": "the machine was too busy for an idle baseline",
    "results_scenario_power_increase_ratio": "the machine was too busy for an idle baseline",
    "cost_gpu": "no GPU here",
    "gpu_energy_joules_total": "no GPU here",
    "cgroup_energy_joules_total": "no units or pods are followed",
    "instance:gpu_energy_watts:rate5m": "no GPU here",
    "cost_scenario_unpriced_info": "everything is priced",
    "results_scenario_invalid_info": "nothing speaks against a scenario",
    "ALERTS": "nothing is wrong",
}
# ... or because it asks for what is not so
FALSE_HERE = {
    "alerts.yml": "nothing is wrong",
    "Cheapest at each target": "no scenario reaches it",
    "Price of one more VMAF point": "no scenario reaches the upper one",
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
    with running_engine(network=True, live_restore=True) as made:
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
    addresses = {"PROMETHEUS_URL": "http://prometheus.example:9090"}
    prices = {
        **addresses,
        "REGION": REGION,
        "PRICING_PATH": str(pricing),
        "TARIFF_FILE": "/pricing/tariff.csv",
    }
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


@pytest.mark.parametrize(
    ("group", "said"), [("9500", "read without capabilities"), ("0", "Permission denied")]
)
def test_a_group_on_the_counters_stands_in_for_root(
    stack: Stack, counters: PowercapTree, group: str, said: str
) -> None:
    """Where the host gives the counters to a group, its number is all that a container needs."""
    program = (
        "import re\n"
        "try:\n"
        "    open('/host/sys/class/powercap/intel-rapl:0/energy_uj').read()\n"
        "except OSError as exc:\n"
        "    print(exc.strerror)\n"
        "else:\n"
        "    capabilities = re.search(r'CapEff:\\s+(\\w+)', open('/proc/self/status').read())[1]\n"
        "    print('read', 'with' if int(capabilities, 16) else 'without', 'capabilities')\n"
    )
    files = list((stack.folder / "sys").rglob("energy_uj"))
    before = dict(stack.environment)
    stack.environment |= {"ENERGY_USER": "10001:10001", "ENERGY_GID": group}
    try:
        for file in files:
            os.chown(file, 0, 9500)
            file.chmod(0o440)
        run = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "python3", "rapl", "-c", program]
        assert stack.try_compose(*run).stdout.strip() == said
    finally:
        stack.environment = before
        for file in files:
            file.chmod(0o400)


@pytest.mark.parametrize("image", images())
def test_an_image_starts_what_its_name_says(engine: DockerEngine, image: str) -> None:
    """Without a word from the compose file."""
    _, _, name = image.removesuffix(":latest").partition("-")
    run = ["run", "--rm", "--network", "none", image]
    if name in ("retrain", "runner", "worker"):
        done = subprocess.run(
            ["docker", "-H", engine.host, *run], capture_output=True, text=True, check=False
        )
        command = {"runner": "test"}.get(name, name)
        assert done.stderr.startswith(f"wattframe {command}: ")
        return
    container = engine.docker(*run[:1], "--detach", *run[1:])
    try:
        kind = {"exporter": "rapl", "gpu-exporter": "rapl"}.get(name, name.removesuffix("-exporter"))
        words = "" if kind == "nginx-rtmp" else f"exporter={kind.replace('-', '_')} "
        eventually(lambda: words in _output(engine, container), True, limit_seconds=30)
        assert engine.docker("inspect", "--format", "{{.State.Running}}", container) == "true"
    finally:
        engine.docker("rm", "--force", container)


def _output(engine: DockerEngine, container: str) -> str:
    done = subprocess.run(
        ["docker", "-H", engine.host, "logs", container], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_the_proxy_answers_questions_and_refuses_the_rest(stack: Stack) -> None:
    """Asked from inside the exporter's container, over the socket that it has."""
    ask = (
        "import http.client, socket, sys\n"
        "class Engine(http.client.HTTPConnection):\n"
        "    def connect(self):\n"
        "        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect('/run/engine/docker.sock')\n"
        "for word in sys.argv[1:]:\n"
        "    method, path = word.split(' ')\n"
        "    e = Engine('e'); e.request(method, path)\n"
        "    print(e.getresponse().status)\n"
    )
    own = stack.container("docker_stats")["Id"]
    allowed = ["GET /version", "GET /v1.41/info", "GET /v1.41/containers/json", f"GET /containers/{own}/json"]
    refused = [
        *("POST /containers/create", "POST /v1.41/containers/create", f"POST /containers/{own}/exec"),
        *("GET /images/json", f"GET /containers/{own}/archive?path=/", f"GET /containers/{own}/export"),
        *(
            "DELETE /containers/x",
            "GET /v1.41/../images/json",
            "GET /containers/../images/json",
            "GET /secrets",
        ),
    ]
    said = _inside(stack, "docker_stats", ask, *allowed, *refused).split()
    assert said == ["200"] * len(allowed) + ["403"] * len(refused)


# opens a file of the host by its handle, through any mount of the same file system: no path is needed
BY_HANDLE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
kind, handle = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_char * 128)]
h = Handle(len(handle), kind); ctypes.memmove(ctypes.addressof(h) + 8, handle, len(handle))
said = set()
for line in open("/proc/self/mountinfo"):
    try:
        mount = os.open(line.split()[4], os.O_RDONLY)
    except OSError:
        continue
    fd = libc.syscall(304, mount, ctypes.byref(h), os.O_RDONLY)
    said.add(os.read(fd, 99).decode() if fd >= 0 else os.strerror(ctypes.get_errno()))
print(*sorted(said), sep=chr(10))
"""


@pytest.fixture(scope="module")
def secret(stack: Stack) -> tuple[str, str]:
    """A file that is in no container: the type of its handle, and the handle."""
    path = stack.folder / "secret"
    path.write_text("of the host alone")
    path.chmod(0o600)
    libc = ctypes.CDLL(None, use_errno=True)
    handle = (ctypes.c_char * 136)()
    ctypes.memmove(handle, (128).to_bytes(4, sys.byteorder), 4)
    mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, str(path).encode(), handle, ctypes.byref(mount), 0):
        pytest.skip(f"no handles on this file system: {os.strerror(ctypes.get_errno())}")
    length, kind = (int.from_bytes(handle.raw[at : at + 4], sys.byteorder) for at in (0, 4))
    return str(kind), handle.raw[8 : 8 + length].hex()


def _inside(stack: Stack, service: str, program: str, *arguments: str) -> str:
    """What a Python program says that runs in a service's container, as the service runs."""
    return stack.engine.docker("exec", stack.container(service)["Id"], "python3", "-c", program, *arguments)


@pytest.mark.parametrize("service", STARTED)
def test_a_container_is_refused_the_files_of_the_host(
    stack: Stack, secret: tuple[str, str], service: str
) -> None:
    assert _inside(stack, service, BY_HANDLE, *secret).splitlines() == ["Operation not permitted"]


def test_the_runners_container_is_refused_the_files_of_the_host(
    stack: Stack, secret: tuple[str, str]
) -> None:
    done = stack.try_compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "python3", "runner", "-c", BY_HANDLE, *secret
    )
    assert done.stdout.splitlines() == ["Operation not permitted"]


def test_without_the_filter_the_capability_opens_them(stack: Stack, secret: tuple[str, str]) -> None:
    """What the tests above refuse is there: the engine's own filter lets who has the capability do it."""
    said = stack.engine.docker(
        *("run", "--rm", "--network", "none", "--user", "0:0", "--cap-drop", "ALL"),
        *(
            "--cap-add",
            "DAC_READ_SEARCH",
            "--volume",
            f"{stack.results}:/results:ro",
            "--entrypoint",
            "python3",
        ),
        *(PYTHON_IMAGE, "-c", BY_HANDLE, *secret),
    )
    assert "of the host alone" in said.splitlines()


def test_a_run_on_the_host_is_in_prometheus_within_a_minute(stack: Stack, record_property: Any) -> None:
    # a slow preset: few frames in the six seconds, so that they are scored soon
    rung = {"encoder": "libx264", "preset": "slower", "viewers": 1000}
    rungs = [{"name": f"x264 {bitrate}", "bitrate": bitrate, **rung} for bitrate in BITRATES]
    batch = stack.folder / "batch.yaml"
    # two scrapes and the interval between them lie in it, whenever it begins
    idle = {"name": "baseline", "type": "baseline", "duration": 12}
    batch.write_text(yaml.safe_dump({"scenarios": [idle, *rungs]}))
    command = [sys.executable, str(ROOT / "run_tests.py"), "batch", str(batch), "--duration", "6", "--quiet"]
    command += ["--compute-quality", "--output-dir", str(stack.results)]
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
    # the test before took the power out of the file for a while, and cost is scraped twice a minute
    priced = {"cost_energy_load_aware", "cost_compute"}
    eventually(
        lambda: {m for m in priced if set(NAMES[1:]) <= {*_scenarios(stack, m)}}, priced, limit_seconds=90
    )
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
    # what was seen is recorded four times an hour, and is there five minutes of them
    named = sorted(name for name in metric_names(expr) if not name.endswith(":seen"))
    missing = [name for name in named if not stack.query(name)]
    if missing:
        live = ("qoe_live_", "stream:", "maker:")
        reasons = [
            "the profile live is not up yet" if name.startswith(live) else NO_SERIES.get(name)
            for name in missing
        ]
        return "; ".join(reasons) if all(reasons) else None
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


def test_the_profile_live_is_measured_end_to_end(stack: Stack, record_property: Any) -> None:
    """Two renditions of a looped clip: scored, their container's watts shared out, and priced by hand."""
    stack.environment["QOE_LIVE"] = "/live/streams.yaml"
    stack.compose("--profile", "live", "up", "--detach", "--no-build", "nginx-rtmp", "transcoder", "qoe")
    try:
        eventually(lambda: stack.health("nginx-rtmp"), "healthy", limit_seconds=60)
        scores = "qoe_live_vmaf_score and qoe_live_aligned == 1"
        renditions = ["180p", "360p"]
        eventually(
            lambda: sorted(s["metric"]["rendition"] for s in stack.query(scores)),
            renditions,
            limit_seconds=300,
        )
        vmaf = {name: stack.value(f'qoe_live_vmaf_score{{rendition="{name}"}}') for name in renditions}
        record_property("VMAF of the renditions", str(vmaf))
        assert 10 < vmaf["180p"] < vmaf["360p"] <= 100
        watts_of = 'stream:live_energy_watts:rate5m{stream="demo"}'
        priced = f"{watts_of} > 0 and {watts_of} < {1.05 * WATTS}"
        eventually(
            lambda: sorted(s["metric"]["policy"] for s in stack.query(priced)),
            ["active", "full"],
            limit_seconds=180,
        )
        labels = '{stream="demo",policy="full"}'
        watts = stack.value(f"stream:live_energy_watts:rate5m{labels}")
        pue = stack.value("cost_pue_ratio")
        hourly = stack.value(f"stream:live_energy_cost:per_hour{labels}")
        record_property("watts of the stream, and its cost an hour", f"{watts:.2f} W, {hourly:.6f}")
        # a rule may have been evaluated between the two questions
        assert hourly == pytest.approx(watts / 1000 * PRICE * pue, rel=0.2)
        halves = stack.query('stream:live_energy_watts:per_rendition{stream="demo",policy="full"}')
        assert [float(s["value"][1]) for s in halves] == [pytest.approx(watts / 2, rel=0.2)] * len(halves)
    finally:
        del stack.environment["QOE_LIVE"]
        stack.compose("--profile", "live", "rm", "--stop", "--force", "nginx-rtmp", "transcoder")
        stack.compose("up", "--detach", "--no-build", "qoe")


def test_the_profile_cluster_scores_what_one_machine_scores(stack: Stack) -> None:
    """A scheduler and two workers with certificates of the test's own; asked from a container beside them."""
    tls = stack.folder / "tls"
    tls.mkdir()
    for path in (tls, *certificates(tls).iterdir()):
        path.chmod(0o755)
    videos = stack.folder / "videos"
    videos.mkdir(mode=0o755)
    clip = ROOT / "samples" / "bigbuckbunny.mp4"
    ffmpeg = [str(find_ffmpeg()), "-loglevel", "error", "-i", str(clip), "-t", "1", "-an"]
    subprocess.run([*ffmpeg, "-c:v", "ffv1", str(videos / "reference.mkv")], check=True)
    subprocess.run([*ffmpeg, "-c:v", "libx264", "-crf", "35", str(videos / "encode.mp4")], check=True)
    stack.environment |= {"CLUSTER_TLS_PATH": str(tls), "SAMPLES_PATH": str(videos)}
    compose = ("--profile", "cluster")
    ask = ("quality", "/samples/reference.mkv", "/samples/encode.mp4", "--json")
    cluster = ("--cluster", "tls://scheduler:8786", "--cluster-tls", "/tls")
    run = (*compose, "run", "--rm", "-T", "--no-deps", "--entrypoint", "wattframe", "worker")
    try:
        stack.compose(*compose, "up", "--detach", "--no-build", "scheduler", "worker")
        by_farm = json.loads(_object(stack.compose(*run, *ask, *cluster)))
        alone = json.loads(_object(stack.compose(*run, *ask)))
        assert by_farm["vmaf"]["mean"] == alone["vmaf"]["mean"] > 0
        assert len(stack.compose(*compose, "ps", "--quiet", "worker").split()) == 2
    finally:
        stack.compose(*compose, "rm", "--stop", "--force", "scheduler", "worker")
        del stack.environment["CLUSTER_TLS_PATH"], stack.environment["SAMPLES_PATH"]


def _object(text: str) -> str:
    """The JSON object between the lines that compose wrote."""
    return text[text.index("{") : text.rindex("}") + 1]


def test_nothing_that_is_asked_over_http_reloads_or_ends_prometheus(stack: Stack) -> None:
    assert [stack.post("prometheus", f"/-/{verb}")[0] for verb in ("reload", "quit")] == [403, 403]


def test_a_configuration_that_was_renamed_into_place_is_taken_at_a_reload(stack: Stack) -> None:
    changed = stack.prometheus / "changed.yml"
    text = (stack.prometheus / "prometheus.yml").read_text()
    changed.write_text(text.replace("evaluation_interval: 15s", "evaluation_interval: 14s"))
    changed.rename(stack.prometheus / "prometheus.yml")
    stack.compose("kill", "-s", "HUP", "prometheus")
    eventually(
        lambda: "evaluation_interval: 14s" in stack.get("prometheus", "/api/v1/status/config"),
        True,
        limit_seconds=60,
    )


def test_links_of_alerts_lead_to_the_address_that_was_set(stack: Stack) -> None:
    flags = json.loads(stack.get("prometheus", "/api/v1/status/flags"))["data"]
    assert flags["web.external-url"] == "http://prometheus.example:9090"


def test_a_silence_survives_a_kill(stack: Stack) -> None:
    matcher = {"name": "alertname", "value": "ExporterDown", "isRegex": False, "isEqual": True}
    now = datetime.datetime.now(datetime.UTC)
    silence = {
        "matchers": [matcher],
        "startsAt": now.isoformat(),
        "endsAt": (now + datetime.timedelta(hours=1)).isoformat(),
        "createdBy": "test",
        "comment": "test",
    }
    assert stack.post("alertmanager", "/api/v2/silences", silence)[0] == 200
    time.sleep(12)  # written every 10 s
    stack.compose("kill", "alertmanager")
    stack.up(["alertmanager"])
    eventually(lambda: stack.health("alertmanager"), "healthy", limit_seconds=60)
    (kept,) = json.loads(stack.get("alertmanager", "/api/v2/silences"))
    assert (kept["comment"], kept["status"]["state"]) == ("test", "active")


def test_a_results_folder_that_is_removed_is_an_error(stack: Stack) -> None:
    success = "min by (job) ({__name__=~'(results|cost)_exporter_collector_success'})"
    kept = stack.folder / "kept"
    shutil.copytree(stack.results, kept)
    shutil.rmtree(stack.results)
    eventually(lambda: {s["value"][1] for s in stack.query(success)}, {"0"}, limit_seconds=90)
    shutil.copytree(kept, stack.results)
    stack.compose("restart", "results", "qoe", "cost")  # a mount follows no name
    eventually(lambda: {s["value"][1] for s in stack.query(success)}, {"1"}, limit_seconds=90)


def test_the_engine_is_found_again_after_a_restart_that_leaves_the_containers(stack: Stack) -> None:
    """Its socket is another file then."""
    # a file system may give the number of the one that is gone to the next
    before = stack.engine.socket.stat().st_ctime_ns, stack.container("docker_stats")["State"]["Pid"]
    stack.engine.stop()
    stack.engine.start()
    after = stack.engine.socket.stat().st_ctime_ns, stack.container("docker_stats")["State"]["Pid"]
    assert after[0] != before[0]
    assert after[1] == before[1]
    since = time.time()
    page = "docker_engine_up 1.0"
    eventually(
        lambda: page in _inside(stack, "docker_stats", _PAGE).splitlines() and time.time() > since + 5,
        True,
        limit_seconds=60,
    )
    assert 'docker_container_cpu_seconds_total{container="' in _inside(stack, "docker_stats", _PAGE)


_PAGE = (
    "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9501/metrics').read().decode())"
)


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
        changed = {"DOCKER_RUN": str(folder), "QOE_PORT": str(taken.getsockname()[1])}
        made = Stack(engine, folder, "wattframe-worse", COST_MODE="nonsense", **changed)
        opened.callback(made.down)
        yield made


def test_a_port_in_use_is_named_and_the_rest_comes_up(worse: Stack) -> None:
    done = worse.try_compose("up", "--detach", "--no-build", *STARTED)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR: for qoe ")]
    assert f"127.0.0.1:{worse.environment['QOE_PORT']}: bind: address already in use" in line
    rest = [service for service in STARTED if service not in ("qoe", "cost", "socket-proxy")]
    wanted = dict.fromkeys(rest, "healthy")
    eventually(lambda: {service: worse.health(service) for service in rest}, wanted, limit_seconds=120)
    up = ["alertmanager", "docker_stats", "node", "prometheus", "rapl", "results"]
    eventually(lambda: sorted(s["metric"]["job"] for s in worse.query("up == 1")), up, limit_seconds=60)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("rapl", 'event="energy counters" reason="no energy counters under /host/sys'),
        (
            "docker_stats",
            'event="engine lost" host=unix:///run/engine/docker.sock reason="docker engine: api: 503',
        ),
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
    assert 'event="scores are kept in memory only" folder=/cache' in line
