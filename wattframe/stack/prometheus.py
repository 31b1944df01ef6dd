"""Prometheus for ``wattframe up``: the binary or the image, and the project's configuration on localhost."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from advisor.common.shipped import shipped
from advisor.errors import WorkError
from exporters.runtime.options import authority
from wattframe.stack.services import Service

IMAGE = "prom/prometheus:v3.5.0"
Kind = Literal["auto", "binary", "docker", "none"]


def configuration(addresses: Mapping[str, str], *, interval_seconds: float | None, rules: str) -> str:
    """The project's prometheus.yml with only the jobs in ``addresses``, at those addresses.

    Parameters
    ----------
    addresses
        ``host:port`` by job name.
    interval_seconds
        Scrape and evaluation interval of every job; None keeps the file's own.
    rules
        Where Prometheus finds the rule files, as a pattern.
    """
    document: dict[str, Any] = yaml.safe_load(shipped("prometheus/prometheus.yml").read_text())
    document.pop("alerting", None)
    document["rule_files"] = [rules]
    jobs = [job for job in document["scrape_configs"] if job["job_name"] in addresses]
    for job in jobs:
        job["static_configs"][0]["targets"] = [addresses[job["job_name"]]]
    document["scrape_configs"] = jobs
    if interval_seconds is not None:
        every = f"{round(interval_seconds * 1000)}ms"
        for part in (document["global"], *jobs):
            part |= {"scrape_interval": every, "scrape_timeout": every}
        document["global"]["evaluation_interval"] = every
    return yaml.safe_dump(document, sort_keys=False)


def find(kind: Kind) -> Literal["binary", "docker"] | None:
    """Which Prometheus there is: the one on PATH, else one that a Docker engine can run."""
    if kind in ("auto", "binary") and shutil.which("prometheus"):
        return "binary"
    if kind in ("auto", "docker") and _engine_has_image():
        return "docker"
    if kind in ("auto", "none"):
        return None
    wanted = "no prometheus on PATH" if kind == "binary" else f"no Docker engine that could run {IMAGE}"
    raise WorkError(f"--prometheus {kind}: {wanted}")


def _engine_has_image() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    # an engine without the image asks its registry, which answers in its own time
    for command in (["image", "inspect", IMAGE], ["pull", "--quiet", IMAGE]):
        try:
            done = subprocess.run([docker, *command], capture_output=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            return False
        if done.returncode == 0:
            return True
    return False


def service(how: Literal["binary", "docker"], folder: Path, config: str, *, host: str, port: int) -> Service:
    """Write ``config`` under ``folder`` and say how to run Prometheus on it."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    path = folder / "prometheus.yml"
    path.write_text(config)
    argv = [
        "prometheus" if how == "binary" else IMAGE,
        f"--config.file={path}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={authority(host, port)}",
        "--log.level=warn",
    ]
    if how == "docker":
        argv = [
            *("docker", "run", "--rm", "--network=host", f"--user={os.getuid()}:{os.getgid()}"),
            *(f"--name=wattframe-prometheus-{port}", f"--volume={folder}:{folder}"),
            f"--volume={shipped('prometheus')}:{shipped('prometheus')}:ro",
            *argv,
        ]
    return Service("prometheus", tuple(argv), host, port, "/-/ready", "queries over all of it")


def rules_pattern() -> str:
    """The rule files of the project, wherever it lies: Prometheus reads ``[`` in a path as a pattern."""
    folder = glob.escape(str(shipped("prometheus") / "rules"))
    return folder.replace("[*]", "?") + "/*.yml"  # it takes no star but in the last name
