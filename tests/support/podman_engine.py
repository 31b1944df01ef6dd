"""Podman of the tests' own: private storage and socket, served by its Docker-compatible API."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_engine import base_rootfs

__all__ = ["IMAGE", "PodmanEngine", "RootlessPodman", "running_podman"]

IMAGE = "wattframe-base"


class PodmanEngine:
    """One ``podman system service``, and the podman command on the same storage."""

    image: tuple[str, ...] = (IMAGE,)
    prefix: tuple[str, ...] = ()
    """What podman is started by."""

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
            *self.prefix,
            "podman",
            *storage,
            *runtime,
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The environment of podman."""
        return dict(os.environ)

    def start(self) -> None:
        """Serve, and wait until the socket is there."""
        service = [*self._command, "system", "service", "--time", "0", self.host]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(service, stdout=log, stderr=log, env=self.environ)
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"podman does not serve here: {(self.folder / 'log').read_text()[-300:]}")
            time.sleep(0.1)

    def podman(self, *arguments: str) -> str:
        """Run the podman command; its output without the last newline."""
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, check=False, env=self.environ
        )
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
            *(*limits, *options, *self.image, "sh", "-c", script),
        )

    def remove(self) -> None:
        """End all containers, the service, and what podman leaves in the background for either."""
        with contextlib.suppress(RuntimeError):
            self.podman("rm", "--all", "--force", "--time", "0")
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        # conmon starts a podman after each container: it may wait for a lock that nobody gives back, and
        # where podman has no rights each may start a process that holds the user's namespace for ever
        deadline = time.monotonic() + 10
        while any(self._is_mine(pid, "cmdline") for pid in _processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in [pid for pid in _processes() if self._is_mine(pid, "environ", "cmdline")]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_mine(self, pid: int, *told_by: str) -> bool:
        try:
            texts = [Path(f"/proc/{pid}/{name}").read_bytes() for name in told_by]
        except OSError:
            return False  # ended since
        return any(str(self.folder).encode() in text for text in texts)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


class RootlessPodman(PodmanEngine):
    """Podman of ``nobody``: without rights, control groups or ids of others."""

    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        rootfs = folder / "rootfs"
        shell = shutil.which("sh") or "/bin/sh"
        linked = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
        for path in (shell, *re.findall(r"/\S+", linked)):
            inside = rootfs / ("bin/sh" if path == shell else path.lstrip("/"))
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, inside)
        for name in ("proc", "dev", "sys", "tmp", "etc", "run"):
            (rootfs / name).mkdir()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534)
        self.image = ("--rootfs", str(rootfs))

    @property
    def environ(self) -> dict[str, str]:
        """Folders of the user's own."""
        return {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}


@contextlib.contextmanager
def running_podman(kind: type[PodmanEngine] = PodmanEngine) -> Iterator[PodmanEngine]:
    """A podman with something to run; skips the test where there can be none."""
    if os.geteuid() != 0 or shutil.which("podman") is None:
        pytest.skip("needs podman, as root")
    engine = kind(Path(tempfile.mkdtemp(prefix="wfp-")))
    try:
        if engine.image == (IMAGE,):
            engine.podman("import", str(base_rootfs()), IMAGE)
        engine.start()
        yield engine
    finally:
        engine.remove()
