"""The compose file as those read it who run it: no engine is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.compose import SERVICES, STARTED
from tests.support.promql import ROOT


def tool(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": "wattframe"}
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
    }


def test_the_compose_specification_allows_it() -> None:
    """What Compose 2 reads, by the schema that the specification publishes."""
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_no_two_services_build_the_same_tag() -> None:
    """BuildKit builds in parallel: of two that write one tag, one fails."""
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(set(built)) == len(built) == 10


def test_every_port_is_bound_to_the_address_that_is_set() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 10
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in ports)


def test_a_pulled_image_has_its_version() -> None:
    pulled = [service["image"] for service in SERVICES.values() if "build" not in service]
    assert len(pulled) == 4
    assert all(image.rsplit(":", 1)[1].strip("v}")[0].isdigit() for image in pulled), pulled


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["mem_limit"]


def test_the_images_are_built_alike() -> None:
    """Three files by their names' promise, one way to build: what differs is the lock and what is run."""
    stages = [path.read_text().split("\nFROM ")[1] for path in sorted(ROOT.glob("Dockerfile.*"))]
    assert len(stages) == 3
    assert len({re.sub(r"ARG LOCK=\w+", "ARG LOCK", stage) for stage in stages}) == 1


@pytest.mark.parametrize("path", sorted(ROOT.glob("Dockerfile.*")), ids=lambda path: path.name)
def test_an_image_is_started_without_a_shell_as_nobody(path: Path) -> None:
    last = path.read_text().split("\nFROM ")[-1]
    assert re.search(r'^ENTRYPOINT \["python", "-m"\]$', last, re.MULTILINE)
    assert re.search(r'^CMD \["exporters\.\w+"\]$', last, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "curl" not in last
