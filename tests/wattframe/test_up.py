"""The local stack: its plan, Prometheus' configuration, and the processes it keeps."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from msgspec.structs import replace

from advisor.common.atomic import locked
from advisor.errors import InputError, WorkError
from exporters.catalogue import EXPORTERS
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from wattframe.commands import up as command
from wattframe.stack import prometheus
from wattframe.stack.services import Service, check_ports, exporter_services, parse_ports
from wattframe.stack.supervisor import Policy, Supervisor

ANSWERING = """
    import http.server, os, pathlib, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(b"OK")
        def log_message(self, *_): pass
    port, pids = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    server = http.server.HTTPServer(("127.0.0.1", port), Handler)
    with pids.open("a") as file: file.write(f"{os.getpid()}\\n")
    print("serving", flush=True)
    server.serve_forever()
"""


def service(name: str, code: str, *args: str, port: int | None = None) -> Service:
    port = port or free_port()
    argv = (sys.executable, "-c", textwrap.dedent(code), str(port), *args)
    return Service(name, argv, "127.0.0.1", port, "/health", "nothing")


def answering(folder: Path, name: str) -> Service:
    """A real server process that notes its pid under ``folder``."""
    return service(name, ANSWERING, str(folder / f"{name}.pids"))


def pids(folder: Path, name: str) -> list[int]:
    path = folder / f"{name}.pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        # an orphan that nobody has reaped yet has ended, too
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def _default_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class TestPorts:
    def test_the_contract_fixes_the_ports(self) -> None:
        contract = {"rapl": 9500, "docker_stats": 9501, "results": 9502, "qoe": 9503, "cost": 9504}
        assert contract.items() <= parse_ports(()).items()

    @pytest.mark.parametrize("text", ["rapl", "rapl=", "rapl=x", "unknown=9500", "rapl=-1", "rapl=٣"])
    def test_what_is_no_name_and_port_is_refused_with_the_names(self, text: str) -> None:
        with pytest.raises(InputError, match="expected NAME=PORT with a name of rapl, docker_stats"):
            parse_ports([text])

    @pytest.mark.parametrize(("ports", "offset"), [(["rapl=0"], 0), (["rapl=65536"], 0), ([], 60000)])
    def test_a_port_outside_the_range_is_refused(self, ports: list[str], offset: int) -> None:
        with pytest.raises(InputError, match="--port: rapl: expected 1 to 65535"):
            parse_ports(ports, offset)

    def test_all_occupied_ports_are_named_at_once(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            taken = [int(s.getsockname()[1]) for s in (one, two)]
            services = [service(n, "", port=p) for n, p in zip(("rapl", "cost"), taken, strict=True)]
            services.append(service("free", ""))
            with pytest.raises(WorkError) as caught:
                check_ports(services)
        assert f"port {taken[0]} (rapl), {taken[1]} (cost);" in str(caught.value)

    def test_two_services_on_one_port_are_refused(self) -> None:
        port = free_port()
        with pytest.raises(InputError, match=f"rapl and cost cannot share port {port}"):
            check_ports([service("rapl", "", port=port), service("cost", "", port=port)])

    @pytest.mark.parametrize(
        ("host", "said"),
        [
            ("no.such.host.invalid", "--host: expected an address of this machine"),
            ("no..host", "--host: expected an address of this machine"),
            # of a net for documentation
            ("192.0.2.7", "cannot listen on 192.0.2.7:9500: Cannot assign requested address"),
        ],
    )
    def test_an_address_of_another_machine_is_refused(self, host: str, said: str) -> None:
        with pytest.raises(InputError, match=said):
            check_ports([Service("rapl", (), host, 9500, "/health", "")])


class TestServices:
    def test_each_exporter_is_its_own_module_on_its_port(self) -> None:
        services = exporter_services(parse_ports(()), host="127.0.0.1", environment={})
        assert [(s.argv[2], s.argv[6]) for s in services] == [
            (f"exporters.{name}", str(exporter.port)) for name, exporter in EXPORTERS.items()
        ]

    def test_one_whose_package_is_missing_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither is a folder of the package's name the package."""
        for spec in (None, importlib.machinery.ModuleSpec("docker", None)):
            monkeypatch.setattr("importlib.util.find_spec", lambda _, spec=spec: spec)
            services = exporter_services(parse_ports(()), host="127.0.0.1", environment={})
            assert EXPORTERS.keys() - {s.name for s in services} == {"docker_stats"}

    def test_settings_reach_them_as_environment_variables(self, tmp_path: Path) -> None:
        noted = tmp_path / "noted"
        code = f"import os, pathlib; pathlib.Path({str(noted)!r}).write_text(os.environ['RESULTS_DIR'])"
        one = service("a", code)
        with pytest.raises(WorkError):
            Supervisor([replace(one, environment={"RESULTS_DIR": "/r"})], tmp_path, print).run(lambda: None)
        assert noted.read_text() == "/r"

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("127.0.0.1", "http://127.0.0.1:9500"),
            ("0.0.0.0", "http://127.0.0.1:9500"),
            ("::", "http://[::1]:9500"),
        ],
    )
    def test_a_wildcard_address_is_reached_over_loopback(self, host: str, url: str) -> None:
        assert Service("rapl", (), host, 9500, "/health", "").url == url


class TestPrometheusConfiguration:
    ADDRESSES: ClassVar = {"rapl": "127.0.0.1:9600", "cost": "127.0.0.1:9604"}

    def test_only_the_served_jobs_remain_at_their_addresses(self) -> None:
        document = yaml.safe_load(
            prometheus.configuration(self.ADDRESSES, interval_seconds=None, rules="/rules/*.yml")
        )
        targets = {j["job_name"]: j["static_configs"][0]["targets"] for j in document["scrape_configs"]}
        assert targets == {"rapl": ["127.0.0.1:9600"], "cost": ["127.0.0.1:9604"]}
        assert document["rule_files"] == ["/rules/*.yml"]
        assert "alerting" not in document

    def test_the_service_label_is_kept(self) -> None:
        document = yaml.safe_load(
            prometheus.configuration(self.ADDRESSES, interval_seconds=None, rules="/rules/*.yml")
        )
        labels = {j["job_name"]: j["static_configs"][0]["labels"] for j in document["scrape_configs"]}
        assert labels["rapl"] == {"service": "power-monitoring"}

    def test_an_interval_goes_for_every_job(self) -> None:
        document = yaml.safe_load(
            prometheus.configuration(self.ADDRESSES, interval_seconds=1.5, rules="/rules/*.yml")
        )
        parts = [document["global"], *document["scrape_configs"]]
        assert {part[key] for part in parts for key in ("scrape_interval", "scrape_timeout")} == {"1500ms"}

    def test_none_is_no_error_unless_one_was_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        assert prometheus.find("auto") is None
        with pytest.raises(WorkError, match="--prometheus binary: no prometheus on PATH"):
            prometheus.find("binary")
        with pytest.raises(WorkError, match="--prometheus docker: no Docker engine"):
            prometheus.find("docker")

    def test_in_docker_it_sees_its_configuration_and_the_rules(self, tmp_path: Path) -> None:
        made = prometheus.service("docker", tmp_path, "global: {}\n", host="127.0.0.1", port=9090)
        assert made.argv[:4] == ("docker", "run", "--rm", "--network=host")
        assert f"--volume={tmp_path}:{tmp_path}" in made.argv
        assert prometheus.IMAGE in made.argv
        assert (tmp_path / "prometheus.yml").read_text() == "global: {}\n"

    def test_an_ipv6_address_is_listened_at_in_brackets(self, tmp_path: Path) -> None:
        made = prometheus.service("binary", tmp_path, "global: {}\n", host="::1", port=9090)
        assert "--web.listen-address=[::1]:9090" in made.argv

    @pytest.mark.prometheus
    @pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
    def test_the_rules_are_found_in_a_folder_whose_name_is_a_pattern(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "a [b] *?"
        (place / "rules").mkdir(parents=True)
        (place / "rules" / "one.yml").write_text("groups: []\n")
        monkeypatch.setattr(prometheus, "shipped", lambda _: place)
        config = tmp_path / "prometheus.yml"
        config.write_text(yaml.safe_dump({"rule_files": [prometheus.rules_pattern()]}))
        done = subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, check=True)
        assert b"1 rule files found" in done.stdout


class TestSupervisor:
    def test_one_interrupt_ends_every_child(self, tmp_path: Path) -> None:
        services = [answering(tmp_path, name) for name in ("a", "b")]
        assert Supervisor(services, tmp_path, print).run(interrupt) == 0
        ended = [pid for name in ("a", "b") for pid in pids(tmp_path, name)]
        assert len(ended) == 2
        assert not any(alive(pid) for pid in ended)

    def test_a_child_that_ends_while_starting_ends_all_with_its_last_line(self, tmp_path: Path) -> None:
        services = [
            answering(tmp_path, "a"),
            service("b", "import sys; print('cost: --region: unknown'); sys.exit(2)"),
        ]
        supervisor = Supervisor(services, tmp_path, print)
        with pytest.raises(InputError, match="b ended with code 2 while starting: cost: --region: unknown"):
            supervisor.run(lambda: pytest.fail("was never ready"))
        assert not any(alive(pid) for pid in pids(tmp_path, "a"))

    def test_a_silent_child_is_named(self, tmp_path: Path) -> None:
        services = [answering(tmp_path, "a"), service("b", "import time; time.sleep(600)")]
        supervisor = Supervisor(services, tmp_path, print, Policy(ready_seconds=3))
        with pytest.raises(WorkError, match="no answer after 3 s from b"):
            supervisor.run(lambda: None)

    def test_a_program_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        missing = Service("a", ("/no/such/program",), "127.0.0.1", free_port(), "/health", "")
        with pytest.raises(WorkError, match="a cannot be started"):
            Supervisor([missing], tmp_path, print).run(lambda: None)

    def test_a_child_that_dies_later_is_reported_and_started_again(self, tmp_path: Path) -> None:
        services = [answering(tmp_path, "a")]
        said: list[str] = []

        def kill_and_wait() -> None:
            os.kill(pids(tmp_path, "a")[0], signal.SIGKILL)

            def stop_when_back() -> None:
                wait_until(lambda: len(pids(tmp_path, "a")) == 2)
                interrupt()

            threading.Thread(target=stop_when_back).start()

        policy = Policy(backoff_seconds=(0.01, 0.01))
        assert Supervisor(services, tmp_path, said.append, policy).run(kill_and_wait) == 0
        assert said == ["a ended with code -9 (serving): restarting in 0.01 s"]

    def test_a_child_that_keeps_dying_is_given_up(self, tmp_path: Path) -> None:
        once = tmp_path / "once"
        code = ANSWERING + textwrap.indent("\n", "    ")
        code = code.replace(
            "server.serve_forever()",
            f"first = not pathlib.Path({str(once)!r}).exists()\n"
            f"    pathlib.Path({str(once)!r}).touch()\n"
            "    server.serve_forever() if first else sys.exit('no more')",
        )
        said: list[str] = []
        services = [service("a", code, str(tmp_path / "a.pids"))]
        supervisor = Supervisor(services, tmp_path, said.append, Policy(backoff_seconds=(0.01, 0.01)))
        assert supervisor.run(lambda: os.kill(pids(tmp_path, "a")[0], signal.SIGKILL)) == 1
        assert [line.rpartition(": ")[2] for line in said] == [
            "restarting in 0.01 s",
            "restarting in 0.01 s",
            "given up after 2 restarts",
        ]

    def test_a_child_that_ignores_the_signal_is_killed(self, tmp_path: Path) -> None:
        code = "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ANSWERING
        services = [service("a", code, str(tmp_path / "a.pids"))]
        assert Supervisor(services, tmp_path, print, Policy(grace_seconds=0.2)).run(interrupt) == 0
        assert not alive(pids(tmp_path, "a")[0])

    def test_a_killed_supervisor_leaves_no_child(self, tmp_path: Path) -> None:
        port = free_port()
        program = textwrap.dedent(f"""
            import pathlib, sys
            from wattframe.stack.services import Service
            from wattframe.stack.supervisor import Supervisor
            argv = (sys.executable, "-c", sys.argv[1], "{port}", sys.argv[2])
            child = Service("a", argv, "127.0.0.1", {port}, "/health", "")
            Supervisor([child], pathlib.Path({str(tmp_path)!r}), print).run(lambda: print("up", flush=True))
        """)
        arguments = [sys.executable, "-c", program, textwrap.dedent(ANSWERING), str(tmp_path / "a.pids")]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as supervisor:
            assert supervisor.stdout is not None
            assert supervisor.stdout.readline() == b"up\n"
            supervisor.kill()
        wait_until(lambda: not alive(pids(tmp_path, "a")[0]))


@pytest.mark.parametrize("seconds", [0.0, 0.05, 4000.0, float("nan")])
def test_a_scrape_interval_out_of_range_is_refused(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--scrape-interval: expected 0\.1 to 3600 seconds"):
        command.up(scrape_interval=seconds, state_dir=tmp_path)


def test_without_prometheus_several_may_share_a_folder(tmp_path: Path) -> None:
    """They share no database, and each adds its lines to the logs."""
    with locked(tmp_path / "lock"), pytest.raises(InputError, match=r"192\.0\.2\.1"):
        command.up(with_prometheus="none", state_dir=tmp_path, host="192.0.2.1")
