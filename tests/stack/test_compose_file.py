"""The compose file as those read it who run it: no engine is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

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


def read(*profiles: str) -> dict[str, Any]:
    """The services as docker-compose 1.29 understands them."""
    chosen = [f"--profile={profile}" for profile in profiles]
    return dict(yaml.safe_load(tool("docker-compose", *chosen, "config"))["services"])


def test_docker_compose_1_29_reads_it() -> None:
    assert read().keys() == {*STARTED, "grafana"}


@pytest.mark.parametrize(
    ("profile", "services"),
    [("live", {"nginx-rtmp"}), ("nvidia", {"gpu"}), ("tools", {"retrain", "runner"})],
)
def test_a_profile_adds_its_services(profile: str, services: set[str]) -> None:
    assert read(profile).keys() - read().keys() == services


def test_the_compose_specification_allows_it() -> None:
    """What Compose 2 reads, by the schema that the specification publishes."""
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


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
