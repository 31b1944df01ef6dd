"""The docker_stats exporter: its page from a fixed host, and its options."""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.containers.changes import EngineUp, Inspected, Listed
from advisor.containers.engine import engine_address
from advisor.containers.monitor import Monitor
from advisor.containers.records import EngineInfo
from advisor.energy.meter import Meter
from advisor.errors import EnergyError, InputError
from exporters.docker_stats import EXPORTER, DockerCollector, Info, Settings, families, info_family
from exporters.runtime import Part
from exporters.runtime.logs import configure
from tests.support.cgroup_tree import CgroupTree
from tests.support.container_world import ContainerWorld, container
from tests.support.engine_fake import FakeEngine
from tests.support.exporter_client import render
from tests.support.exporter_options import parse_options
from tests.support.waiting import wait_until

# the SDK leaves the socket of a refused connection to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*unclosed.*socket:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves to the garbage collector does not end in another test."""
    yield
    gc.collect()


class Once:
    """A collector of what a monitor knows now."""

    name = "docker"
    poll_seconds = None

    def __init__(self, monitor: Monitor, info: Info) -> None:
        self._monitor, self._info = monitor, info

    def start(self) -> None: ...

    def close(self) -> None: ...

    def parts(self) -> dict[str, Part]:
        return {"": Part(families, (self._monitor.tick(), self._info))}


def fixed_host(tmp_path: Path) -> ContainerWorld:
    """Two containers over a window of 10 s: web used 8 CPU seconds of the host's 20, job 2; 400 J drawn."""
    world = ContainerWorld(tmp_path)
    web = container("a", "web", labels={"com.example.team": "video"}, pid=101, own_network=True)
    job = container("b", 'job "x"', image="busybox:1")
    world.tree.add(web.id, cpu_seconds=100.0, throttled_seconds=0.5)
    world.tree.memory(web.id, usage=300_000_000, inactive_file=44_000_000, limit=512_000_000)
    world.tree.io(web.id, read=4096, written=8192)
    world.tree.add(job.id, cpu_seconds=5.0)
    world.tree.parent_cpu(105.0)
    world.process(101, web.id, received=7000, sent=900)
    world.daemon(50, "dockerd", ticks=10 * TICKS, pages=10_240_000 // PAGE)
    monitor = world.monitor
    monitor.apply(EngineUp(EngineInfo("27.1.0", "1.46", 1_700_000_000.0)))
    monitor.apply(Listed((web, job)))
    started = {"start_unix_seconds": 1_700_000_000.5, "restarts": 2, "own_network": True}
    monitor.apply(Inspected(container("a", "web", labels={"com.example.team": "video"}, pid=101, **started)))
    monitor.tick()
    world.pass_time(10.0, package=360.0, dram=40.0, busy=20.0)
    world.tree.cpu(web.id, 108.0, 0.75)
    world.tree.cpu(job.id, 7.0)
    world.tree.parent_cpu(115.0)
    world.daemon(50, "dockerd", ticks=11 * TICKS, pages=10_240_000 // PAGE)
    return world


def test_the_page_of_a_fixed_host(tmp_path: Path, golden: Callable[[str, bytes], None]) -> None:
    """Worked out by hand: active energy is 400 J * 20/40 = 200 J, of which web has 8/20 and job 2/20."""
    world = fixed_host(tmp_path)
    page = render([Once(world.monitor, info_family(["com.example.team"]))])
    golden("docker_stats.prom", page)
    lines = page.decode().splitlines()
    assert 'docker_container_energy_joules_total{container="web",policy="active"} 80.0' in lines
    assert 'docker_container_energy_joules_total{container="web",policy="full"} 160.0' in lines
    assert 'docker_unattributed_energy_joules_total{policy="active"} 300.0' in lines
    assert 'docker_container_cpu_percent{container="web"} 80.0' in lines
    assert 'docker_container_memory_percent{container="web"} 50.0' in lines


def test_without_an_engine_nothing_is_invented(tmp_path: Path) -> None:
    """No containers, no energy: the engine is down, and that is all."""
    world = ContainerWorld(tmp_path)
    world.monitor.tick()
    world.pass_time(10.0, package=100.0, busy=5.0)
    page = render([Once(world.monitor, info_family(()))]).decode()
    assert [line for line in page.splitlines() if not line.startswith("#")] == ["docker_engine_up 0.0"]


def test_an_engine_without_containers_has_a_total_of_zero(tmp_path: Path) -> None:
    world = ContainerWorld(tmp_path)
    world.monitor.apply(EngineUp(EngineInfo("27.1.0", "1.46", 0.0)))
    world.monitor.apply(Listed(()))
    lines = render([Once(world.monitor, info_family(()))]).decode().splitlines()
    assert "docker_containers_running 0.0" in lines
    assert "docker_containers_total_cpu_percent 0.0" in lines


def test_two_containers_of_one_name_are_never_published_twice(tmp_path: Path) -> None:
    """The old one's end may arrive after the new one's start."""
    world = ContainerWorld(tmp_path)
    world.tree.add("a" * 64, cpu_seconds=1.0)
    world.tree.add("b" * 64, cpu_seconds=2.0)
    world.monitor.apply(Listed((container("a", "web"), container("b", "web"))))
    lines = render([Once(world.monitor, info_family(()))]).decode().splitlines()
    assert [line for line in lines if line.startswith("docker_container_cpu_seconds_total")] == [
        'docker_container_cpu_seconds_total{container="web"} 2.0'
    ]


def test_labels_that_would_become_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"a\.b and a_b would both be label_a_b"):
        info_family(["a.b", "a_b"])


def options(*argv: str, **environ: str) -> argparse.Namespace:
    return parse_options(EXPORTER, argv, environ)


def test_the_port_of_the_contract() -> None:
    assert options().port == 9501
    assert options(DOCKER_EXPORTER_PORT="19501").port == 19501


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://fd00::1:10250", "https://[fd00::1]:10250"),
        ("https://::ffff:10.0.0.1:10250/", "https://[::ffff:10.0.0.1]:10250/"),
        ("https://[fd00::1]:10250", "https://[fd00::1]:10250"),
        ("https://10.0.0.1:10250", "https://10.0.0.1:10250"),
        ("https://cafe:10250", "https://cafe:10250"),
    ],
)
def test_a_node_of_ipv6_has_its_kubelet_found(given: str, url: str) -> None:
    assert options(KUBELET_URL=given).kubelet_url == url


def test_docker_variables_are_understood(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    given = options(DOCKER_HOST="tcp://10.0.0.5:2376", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(tmp_path))
    assert (given.docker_host, given.docker_tls_verify) == ("tcp://10.0.0.5:2376", True)
    assert EXPORTER.build(given)


@pytest.mark.parametrize("host", ["ssh://me@host", "npipe:////./pipe/docker", "tcp:/x", "unix://relative"])
def test_other_schemes_are_refused_by_name(host: str) -> None:
    with pytest.raises(InputError, match=r"DOCKER_HOST.*expected unix:///PATH or tcp://HOST:PORT"):
        EXPORTER.build(options("--docker-host", host))


@pytest.mark.parametrize(("text", "verifies"), [("1", True), ("0", True), ("false", True), ("", False)])
def test_the_variable_is_read_as_the_docker_command_reads_it(text: str, verifies: bool) -> None:
    """docker/cli, cli/flags/options.go: os.Getenv("DOCKER_TLS_VERIFY") != ""."""
    assert options(DOCKER_TLS_VERIFY=text).docker_tls_verify is verifies


def test_the_flag_is_true_or_false_as_docker_s_tlsverify() -> None:
    assert options("--docker-tls-verify").docker_tls_verify is True
    assert options("--docker-tls-verify", "false", DOCKER_TLS_VERIFY="1").docker_tls_verify is False


def test_certificates_are_looked_for_where_the_docker_command_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cli/flags/options.go: $DOCKER_CONFIG, else ~/.docker; a client without a pair of its own shows none."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "cert.pem").write_text("")
    given = options(DOCKER_HOST="tcp://h:2376", DOCKER_TLS_VERIFY="1")
    assert EXPORTER.build(given), "no ca.pem: the system's authorities"
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(InputError, match=r"key\.pem: no such file"):
        EXPORTER.build(given)
    (tmp_path / "cert.pem").unlink()
    assert EXPORTER.build(given)


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    for name in ("ca.pem", "key.pem"):
        (tmp_path / name).write_text("")
    given = options("--docker-host", "tcp://h:2376", "--docker-cert-path", str(tmp_path))
    with pytest.raises(InputError, match=r"cert\.pem: no such file"):
        EXPORTER.build(given)


def test_every_family_is_documented_once() -> None:
    names = [family.name for family in EXPORTER.families]
    assert len(names) == len(set(names))
    assert all(name.startswith(("docker_", "cgroup_")) for name in names)


def unused_meter() -> Meter:
    raise EnergyError("no counters here")


def values(collector: DockerCollector) -> dict[str, dict[tuple[str, ...], float]]:
    """Of each family its values, by the values of its labels."""
    metrics = [metric for part in collector.parts().values() for metric in part.families(*part.inputs)]
    named = [
        (sample.name, tuple(sample.labels.values()), sample.value) for m in metrics for sample in m.samples
    ]
    return {name: {labels: value for n, labels, value in named if n == name} for name, _, _ in named}


@pytest.mark.parametrize("parent", ["docker/{}", "system.slice/docker-{}.scope"])
def test_the_collector_follows_an_engine(tmp_path: Path, parent: str) -> None:
    """Without a meter there is everything but energy."""
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent=parent)
    tree.add("4f" * 32, cpu_seconds=3.5)
    fake = FakeEngine(tmp_path)
    fake.add("4f" * 32, "web", restarts=2)
    fake.start()
    given = Settings(
        address=engine_address(fake.host), interval_seconds=0.1, cgroupfs=str(tree.root), procfs=str(tmp_path)
    )
    collector = DockerCollector(given, unused_meter)
    assert collector.parts() == {}, "nothing before the start"
    collector.start()
    try:
        wait_until(lambda: "docker_container_cpu_seconds_total" in values(collector))
        found = values(collector)
        assert found["docker_container_cpu_seconds_total"] == {("web",): 3.5}
        assert "docker_unattributed_energy_joules_total" not in found
        fake.stop()
        wait_until(lambda: values(collector)["docker_engine_up"] == {(): 0})
        # another engine under the same path, with another container
        tree.add("5e" * 32, cpu_seconds=1.5)
        fake.remove("4f" * 32)
        fake.add("5e" * 32, "job")
        fake.start()
        wait_until(lambda: values(collector).get("docker_container_cpu_seconds_total") == {("job",): 1.5})
        assert values(collector)["docker_engine_up"] == {(): 1}
    finally:
        collector.close()
        fake.stop()


def test_the_energy_of_a_host_has_its_source(tmp_path: Path) -> None:
    """From the estimate of a host without counters; its shares and the rest are the whole."""
    tree = CgroupTree(tmp_path / "cgroup", "v2")
    tree.add("4f" * 32, cpu_seconds=3.5)
    fake = FakeEngine(tmp_path)
    fake.add("4f" * 32, "web")
    fake.start()
    given = options(
        "--docker-host",
        fake.host,
        "--cgroupfs",
        str(tree.root),
        "--sysfs",
        str(tmp_path),
        "--interval",
        "0.1",
    )
    (collector,) = EXPORTER.build(given)
    assert isinstance(collector, DockerCollector)
    collector.start()
    try:
        wait_until(lambda: "docker_energy_source_info" in values(collector))
        found = values(collector)
        assert found["docker_energy_source_info"] == {("estimate", "modelled"): 1}
        host = found["docker_host_energy_joules_total"][()]
        parts = [
            value
            for family in ("container", "exited_containers", "unattributed")
            for labels, value in found[f"docker_{family}_energy_joules_total"].items()
            if labels[-1] == "full"
        ]
        assert sum(parts) == pytest.approx(host)
    finally:
        collector.close()
        fake.stop()


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[docker\]'"):
        EXPORTER.build(options())


def test_a_socket_that_may_not_be_used_is_one_line_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("logfmt", "info")
    collector = DockerCollector(Settings(address=engine_address("unix:///d.sock")), unused_meter)
    collector._log_state("docker engine: permission: [Errno 13] Permission denied")
    (line,) = capsys.readouterr().out.splitlines()
    assert 'event="engine lost"' in line
    assert "add it to the socket's group" in line
