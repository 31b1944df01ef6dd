"""Podman of the tests' own: private storage and socket, served by its Docker-compatible API."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_engine import base_rootfs

__all__ = ["PodmanEngine", "running_podman"]

IMAGE = "wattframe-base"


class PodmanEngine:
    """One ``podman system service``, and the podman command on the same storage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "podman.sock"
        self.host = f"unix://{self.socket}"
        storage = [
            "--root",
            str(folder / "root"),
            "--runroot",
            str(folder / "run"),
            "--tmpdir",
            str(folder / "tmp"),
        ]
        # crun takes no host that has controllers of both versions; cgroupfs needs no systemd
        runtime = ["--runtime", shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin") or "runc"]
        self._command = [
            "podman",
            *storage,
            *runtime,
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve, and wait until the socket is there."""
        service = [*self._command, "system", "service", "--time", "0", self.host]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(service, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"podman does not serve here: {(self.folder / 'log').read_text()[-300:]}")
            time.sleep(0.1)

    def podman(self, *arguments: str) -> str:
        """Run the podman command; its output without the last newline."""
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def run(self, name: str, script: str, *options: str) -> str:
        """Start a container in the background; its full id."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # podman raises both limits, which only a process with CAP_SYS_RESOURCE may
        limits = ["--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096"]
        return self.podman(
            *("run", "--detach", "--network", "none", "--name", name),
            *(*limits, *options, IMAGE, "sh", "-c", script),
        )

    def remove(self) -> None:
        """End all containers and the service."""
        with contextlib.suppress(RuntimeError):
            self.podman("rm", "--all", "--force", "--time", "0")
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running_podman() -> Iterator[PodmanEngine]:
    """A podman with the base image; skips the test where there can be none."""
    if os.geteuid() != 0 or shutil.which("podman") is None:
        pytest.skip("needs podman, as root")
    engine = PodmanEngine(Path(tempfile.mkdtemp(prefix="wfp-")))
    try:
        engine.podman("import", str(base_rootfs()), IMAGE)
        engine.start()
        yield engine
    finally:
        engine.remove()
