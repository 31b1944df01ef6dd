"""The compose file as those read it who run it: no engine is needed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from exporters.catalogue import EXPORTERS
from tests.support.compose import SERVICES, STARTED
from tests.support.promql import ROOT


def tool(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": "wattframe", "GRAFANA_PASSWORD": "x"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_docker_compose_1_29_reads_it() -> None:
    """All services; what has no profile is what `up` starts."""
    services = yaml.safe_load(tool("docker-compose", "config"))["services"]
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert services.keys() - profiles.keys() == {*STARTED, "grafana"}
    assert profiles == {
        "nginx-rtmp": ["live"],
        "transcoder": ["live"],
        "gpu": ["nvidia"],
        "retrain": ["tools"],
        "runner": ["tools"],
        "scheduler": ["cluster"],
        "worker": ["cluster"],
    }


def test_the_compose_specification_allows_it() -> None:
    """What Compose 2 reads, by the schema that the specification publishes."""
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_no_two_services_build_the_same_tag() -> None:
    """BuildKit builds in parallel: of two that write one tag, one fails."""
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(set(built)) == len(built) > len(EXPORTERS)


def test_every_port_is_bound_to_the_address_that_is_set() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) > len(EXPORTERS)
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in ports)


def test_a_pulled_image_has_its_version() -> None:
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    pulled = [service["image"] for service in SERVICES.values() if service["image"] not in built]
    assert len(pulled) == 5
    assert all(image.rsplit(":", 1)[1].strip("v}")[0].isdigit() for image in pulled), pulled


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    filtered = ["seccomp:./docker/seccomp.json"] if "cap_add" in service else []
    assert service["security_opt"] == ["no-new-privileges:true", *filtered]
    assert "privileged" not in service
    assert service["mem_limit"]


def test_a_health_check_asks_one_address_and_no_proxy() -> None:
    """BusyBox' wget tries the first address of localhost alone, which may be an IPv6 that there is not."""
    healthchecks = [service["healthcheck"] for service in SERVICES.values()]
    checks = [check["test"] for check in healthchecks if "test" in check]
    assert len(checks) == 5
    for *command, url in checks:
        assert command == ["CMD", "wget", "-q", "-Y", "off", "-O", "/dev/null"]
        assert url.startswith("http://127.0.0.1:")


def test_prometheus_has_time_to_write_what_it_holds() -> None:
    """Engines kill after 10 s."""
    assert SERVICES["prometheus"]["stop_grace_period"] == "2m"


def test_no_proxy_stands_between_grafana_and_prometheus() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["NO_PROXY"] == environment["no_proxy"] == "prometheus"


def test_the_images_are_built_alike() -> None:
    """Three files by their names' promise, one way to build: what differs is the lock and what is run."""
    stages = [path.read_text().split("\nFROM ")[1] for path in sorted(ROOT.glob("Dockerfile.*"))]
    assert len(stages) == 3
    assert len({re.sub(r"ARG LOCK=\w+", "ARG LOCK", stage) for stage in stages}) == 1


@pytest.mark.parametrize("path", sorted(ROOT.glob("Dockerfile.*")), ids=lambda path: path.name)
def test_an_image_is_started_without_a_shell_as_nobody(path: Path) -> None:
    _, _, last = path.read_text().partition(" AS image\n")
    assert re.search(r'^ENTRYPOINT \["python", "-m"\]$', last, re.MULTILINE)
    assert re.search(r'^CMD \["exporters\.\w+"\]$', last, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "curl" not in last


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/Dockerfile*")), ids=lambda path: path.name)
def test_what_a_build_takes_from_debian_has_its_version(path: Path) -> None:
    for line in re.findall(r"apt-get install (.+)", path.read_text()):
        packages = [word for word in shlex.split(line.rstrip("\\")) if not word.startswith("-")]
        assert packages
        assert all("=" in package for package in packages)


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/Dockerfile*")), ids=lambda path: path.name)
def test_what_an_image_needs_of_a_checkout_is_readable_whatever_the_umask_there(path: Path) -> None:
    text = path.read_text()
    needed = re.findall(r"^COPY [\w./-]+ (/(?:opt|etc)/\S+)$", text, re.MULTILINE)
    assert needed
    assert all(f"chmod 644 {file}\n" in text for file in needed)


def test_grafana_asks_for_a_password() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "GRAFANA_PASSWORD"}
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    done = subprocess.run(
        ["docker-compose", "config"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "set GRAFANA_PASSWORD in .env" in done.stderr


def test_the_filter_has_neither_handles_nor_namespaces_nor_other_processes() -> None:
    profile = json.loads((ROOT / "docker" / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    whole = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]}
    allowed = whole - {"clone3"}
    assert allowed >= {"openat", "read", "execve", "futex", "exit_group"}
    assert not allowed & {
        *("open_by_handle_at", "name_to_handle_at", "mount", "unshare", "setns", "ptrace", "bpf"),
        *("process_vm_readv", "process_vm_writev", "io_uring_setup", "keyctl", "userfaultfd", "clone"),
    }


def test_nothing_but_the_proxy_is_given_the_engines_socket() -> None:
    given = {
        name
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
        if "DOCKER_RUN" in volume or "docker.sock" in volume
    }
    assert given == {"socket-proxy"}
    assert SERVICES["socket-proxy"]["network_mode"] == "none"
    assert "cap_add" not in SERVICES["socket-proxy"]


def test_images_are_pinned_by_the_digest_that_the_registry_says(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\ntest "$1 $2 $3" = "buildx imagetools inspect" && echo "sha256:$6" | tr :/ --\n'
    )
    docker.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / "scripts" / "pin-images"], env=environment, capture_output=True, text=True, check=True
    )
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert lines["PROMETHEUS_IMAGE"] == "prom/prometheus:v3.5.0@sha256-prom-prometheus-v3.5.0"
    assert lines.keys() == set(re.findall(r"^(\w+_IMAGE)=", _example(), re.MULTILINE))


def _example() -> str:
    return (ROOT / ".env.example").read_text()


def test_every_variable_of_the_file_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert asked == set(re.findall(r"^(\w+)=", _example(), re.MULTILINE))


@pytest.mark.parametrize("path", sorted(ROOT.glob("Dockerfile.*")), ids=lambda path: path.name)
def test_what_an_image_copies_is_in_the_build(path: Path) -> None:
    """A folder that .dockerignore leaves out is found missing only when somebody builds."""
    let_in = tuple(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = [
        words
        for line in re.findall(r"^COPY (?!--)(.+) \S+$", path.read_text(), re.MULTILINE)
        for words in line.split()
    ]
    assert [source for source in copied if not source.startswith(let_in)] == []
    assert all((ROOT / source.partition("$")[0]).exists() for source in copied)
