"""Stand-ins for the images of `docker-compose.yml` that a machine without a registry cannot pull.

The bases that the Dockerfiles name become a Debian of the same Python; Prometheus, Alertmanager and the node
exporter become the binaries of Debian's packages on such a base, started as the official images start theirs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.docker_engine import DockerEngine, import_base_image

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PYTHON_IMAGE = "standin-python:3.11-slim"
DEBIAN_IMAGE = "standin-debian:bookworm-slim"
# image, its programs (name there, name here), and what it starts
_BINARIES = {
    "standin-prometheus": ({"prometheus": "prometheus", "promtool": "promtool"}, "prometheus"),
    "standin-alertmanager": ({"alertmanager": "prometheus-alertmanager", "amtool": "amtool"}, "alertmanager"),
    "standin-node-exporter": ({"node_exporter": "prometheus-node-exporter"}, "node_exporter"),
}
# where Debian's Alertmanager has the templates that the official one carries inside
_SHARE = Path("/usr/share/prometheus/alertmanager")
_PYTHON = """
FROM {base}
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
COPY apt /etc/apt
RUN ln -s /usr/bin/python3 /usr/local/bin/python
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
"""
_DEBIAN = """
FROM {base}
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY apt /etc/apt
"""
_HAPROXY = """
FROM {base}
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy wget
ENTRYPOINT ["/usr/bin/env"]
"""
_PROGRAMS = """
FROM {base}
COPY bin /bin/
COPY share /usr/share/prometheus/alertmanager
RUN mkdir /prometheus /alertmanager && chown 65534:65534 /prometheus /alertmanager
USER 65534:65534
WORKDIR /prometheus
ENTRYPOINT ["/bin/{start}"]
"""


def settings() -> dict[str, str]:
    """Variables for the compose file that name the stand-ins."""
    return {
        "PYTHON_IMAGE": PYTHON_IMAGE,
        "DEBIAN_IMAGE": DEBIAN_IMAGE,
        "PROMETHEUS_IMAGE": "standin-prometheus",
        "ALERTMANAGER_IMAGE": "standin-alertmanager",
        "NODE_EXPORTER_IMAGE": "standin-node-exporter",
        "SOCKET_PROXY_IMAGE": "standin-haproxy",
    }


def make_standins(engine: DockerEngine) -> None:
    """Build all of them; skips where a program of theirs is not installed."""
    for programs, _ in _BINARIES.values():
        for program in programs.values():
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
    base = import_base_image(engine, "ca-certificates", "python3", "python3-venv", "wget")
    _build(
        engine, PYTHON_IMAGE, _PYTHON.format(base=base), {"pip.conf": _pip_conf()}, {"apt": Path("/etc/apt")}
    )
    _build(engine, DEBIAN_IMAGE, _DEBIAN.format(base=base), {}, {"apt": Path("/etc/apt")})
    _build(engine, "standin-haproxy", _HAPROXY.format(base=DEBIAN_IMAGE), {})
    for image, (programs, start) in _BINARIES.items():
        with tempfile.TemporaryDirectory() as folder:
            for there, here in programs.items():
                shutil.copy2(str(shutil.which(here)), Path(folder, there))
            folders = {"bin": Path(folder), "share": _SHARE}
            _build(engine, image, _PROGRAMS.format(base=base, start=start), {}, folders)


def _pip_conf() -> str:
    """The index that this machine uses, for pip in the build."""
    index = os.environ.get("PIP_INDEX_URL")
    return f"[global]\nindex-url = {index}\n" if index else "[global]\n"


def _build(
    engine: DockerEngine,
    image: str,
    dockerfile: str,
    texts: dict[str, str],
    folders: dict[str, Path] | None = None,
) -> None:
    with tempfile.TemporaryDirectory() as context:
        for name, text in texts.items():
            Path(context, name).write_text(text)
        for name, folder in (folders or {}).items():
            shutil.copytree(folder, Path(context, name), symlinks=False, ignore_dangling_symlinks=True)
        shutil.copy2(CERTIFICATES, Path(context, "ca-certificates.crt"))
        Path(context, "Dockerfile").write_text(dockerfile)
        # the engine of the tests has no default bridge
        engine.docker("build", "--quiet", "--network", "host", "--tag", image, context)
