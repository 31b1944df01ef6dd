"""The compose project of the repository on an engine of the tests' own, with settings of one's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from exporters.catalogue import EXPORTERS
from tests.support.docker_engine import DockerEngine
from tests.support.ports import free_ports
from tests.support.promql import ROOT
from tests.support.standins import settings

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
# Grafana has no stand-in; the rest comes with a profile
STARTED = [*EXPORTERS, "socket-proxy", "prometheus", "alertmanager", "node-exporter"]
PORTS = {
    **{name: f"{name.upper()}_PORT" for name in (*EXPORTERS, "prometheus", "alertmanager")},
    "nginx-rtmp": "RTMP_PORT",
    "scheduler": "CLUSTER_PORT",
}


class Stack:
    """One compose project: the folders that it is given, its ports, and what is asked of it."""

    def __init__(self, engine: DockerEngine, folder: Path, project: str, **changed: str) -> None:
        self.engine = engine
        self.folder = folder
        self.project = project
        self.results, self.models = folder / "results", folder / "models"
        self.prometheus = folder / "prometheus"
        for made in (self.results, self.models):
            made.mkdir(exist_ok=True)
        shutil.copytree(ROOT / "prometheus", self.prometheus)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.environment = {
            **os.environ,
            **settings(),
            **{PORTS[name]: str(port) for name, port in self.ports.items()},
            "DOCKER_HOST": engine.host,
            "COMPOSE_PROJECT_NAME": project,
            "DOCKER_RUN": str(engine.socket.parent),
            "GRAFANA_PASSWORD": "not-started",
            "RESULTS_PATH": str(self.results),
            "MODELS_PATH": str(self.models),
            "PROMETHEUS_PATH": str(self.prometheus),
            "HOST_SYS": str(folder / "sys"),
            "TOOLS_UID": "0",
            "TOOLS_GID": "0",
            "HEALTH_INTERVAL": "5s",
            **changed,
        }

    def try_compose(self, *arguments: str, limit: float = 300) -> subprocess.CompletedProcess[str]:
        """Run docker-compose on the repository's file, whatever comes of it."""
        return subprocess.run(
            ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )

    def compose(self, *arguments: str, limit: float = 300) -> str:
        """Run docker-compose, which must succeed; what it printed."""
        done = self.try_compose(*arguments, limit=limit)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def up(self, services: Iterable[str] = STARTED) -> None:
        """Start what can be started here."""
        self.compose("up", "--detach", "--no-build", *services)

    def down(self) -> None:
        """Remove its containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "5")

    def container(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        labels = {"project": self.project, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        (found,) = self.engine.docker("ps", "--all", "--quiet", *filters).split()
        return dict(json.loads(self.engine.docker("inspect", found))[0])

    def health(self, service: str) -> str:
        """``healthy``, ``starting``, ``unhealthy``, or ``none`` where nothing checks it."""
        return str(self.container(service)["State"].get("Health", {}).get("Status", "none"))

    def log(self, service: str) -> list[str]:
        """The lines that a service wrote."""
        done = self.try_compose("logs", "--no-color", "--no-log-prefix", service)
        return [line for line in done.stdout.splitlines() if line and not line.startswith("Attaching to")]

    def get(self, service: str, path: str) -> str:
        """The answer to a GET through the port on the host."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[service]}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def post(self, service: str, path: str, document: Any = None) -> tuple[int, str]:
        """Status and answer of a POST."""
        data = b"" if document is None else json.dumps(document).encode()
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Series that the stack's Prometheus finds now."""
        text = self.get("prometheus", f"/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        return list(json.loads(text)["data"]["result"])

    def value(self, expr: str) -> float:
        """The value of the one series that is found, NaN where there is none."""
        found = self.query(expr)
        return float(found[0]["value"][1]) if found else float("nan")


def readable_folder() -> Path:
    """A new folder that containers' users may read; pytest's own is its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="wfc-"))
    folder.chmod(0o755)
    return folder


def eventually(found: Callable[[], Any], wanted: Any, *, limit_seconds: float) -> float:
    """Ask twice a second until what is found is what is wanted; the seconds that took.

    Fails with the difference. Not asked more often: the stack is on the same cores.
    """
    begun = time.monotonic()
    while (now := found()) != wanted:
        assert time.monotonic() < begun + limit_seconds, f"after {limit_seconds:g} s {now!r}, not {wanted!r}"
        time.sleep(0.5)
    return time.monotonic() - begun


def image_name(text: str) -> str:
    """An image's name with the compose file's defaults."""
    return text.replace("${IMAGE_PREFIX:-wattframe}", "wattframe").replace("${IMAGE_TAG:-latest}", "latest")


def images() -> dict[str, Mapping[str, Any]]:
    """What the compose file builds, by image."""
    return {image_name(s["image"]): s["build"] for s in SERVICES.values() if "build" in s}


def build(engine: DockerEngine, image: str, how: Mapping[str, Any]) -> None:
    """Build one image as compose would, on the stand-in of its base."""
    bases = settings()
    arguments = {"PYTHON_IMAGE": bases["PYTHON_IMAGE"], "DEBIAN_IMAGE": bases["DEBIAN_IMAGE"]}
    arguments |= {"LOCK": how["args"]["LOCK"]} if "LOCK" in how["args"] else {}
    target = ["--target", how["target"]] if "target" in how else []
    context = (ROOT / how["context"]).resolve()
    # the engine of the tests has no default bridge
    command = ["docker", "-H", engine.host, "build", "--quiet", "--network", "host", "--tag", image, *target]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    command += ["--file", str(context / how.get("dockerfile", "Dockerfile")), str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{image}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def megabytes(engine: DockerEngine, image: str) -> float:
    """Size of an image with its base, 1e6 bytes."""
    return int(engine.docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def remove(folder: Path) -> None:
    """Remove a folder that containers may have written to."""
    shutil.rmtree(folder, ignore_errors=True)
