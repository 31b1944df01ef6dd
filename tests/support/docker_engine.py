"""A Docker engine of the tests' own: private data, socket and control groups, and a base image for it.

Nothing of it touches an engine that may run on the machine. The image is made by debootstrap, once: the tar
file is kept in a cache folder beside the system's temporary files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

CACHE = Path(tempfile.gettempdir()) / "wattframe-test-cache"
BASE_IMAGE = "wattframe-base"
SUITE = "bookworm"


def missing_for_engine() -> str | None:
    """Why no engine can be had here, None when one can."""
    if os.geteuid() != 0:
        return "a Docker engine of one's own needs root"
    for program in ("dockerd", "containerd", "docker", "debootstrap"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"{program} is not installed"
    return None


class DockerEngine:
    """One dockerd with a folder of its own; `start` and `stop` may be called again and again."""

    def __init__(self, folder: Path, *, network: bool = False, live_restore: bool = False) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.cgroup_parent = f"/wattframe-{uuid.uuid4().hex[:8]}"
        self._network, self._live_restore = network, live_restore
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process number of dockerd."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start dockerd and wait until it answers."""
        # never the default bridge: it has one name for all engines of a machine
        network = ["--bridge", "none"]
        if not self._network:
            network += ["--iptables=false", "--ip6tables=false", "--ip-masq=false"]
        command = ["dockerd", "--host", self.host, "--pidfile", str(self.folder / "pid")]
        command += ["--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")]
        command += ["--cgroup-parent", self.cgroup_parent, *network]
        command += ["--live-restore"] if self._live_restore else []
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while subprocess.run(
            ["docker", "-H", self.host, "version"], capture_output=True, check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / "dockerd.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"dockerd did not start: {tail}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End dockerd as an administrator would; containers end with it, unless it restores them."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(60)
            self._process = None

    def hang(self) -> None:
        """Let dockerd keep its socket open and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End a `hang`."""
        os.kill(self.pid, signal.SIGCONT)

    def docker(self, *arguments: str) -> str:
        """Run the docker command; its output without the last newline."""
        done = subprocess.run(
            ["docker", "-H", self.host, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def run(self, *arguments: str) -> str:
        """Start a container of the base image in the background; its full id."""
        return self.docker("run", "--detach", *arguments)

    def remove(self) -> None:
        """End everything and leave no trace: containers, mounts, control groups, files."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                ids = self.docker("ps", "--all", "--quiet").split()
                if ids:
                    self.docker("rm", "--force", "--volumes", *ids)
        self.stop()
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        root = Path("/sys/fs/cgroup")
        for found in (Path(f"{tree}{self.cgroup_parent}") for tree in (root, *root.iterdir())):
            for group in sorted((p for p in found.rglob("*") if p.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    group.rmdir()
            with contextlib.suppress(OSError):
                found.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running_engine(*, network: bool = False, live_restore: bool = False) -> Iterator[DockerEngine]:
    """A fresh engine without images; removed at the end. Skips the test where there can be none."""
    reason = missing_for_engine()
    if reason is not None:
        pytest.skip(reason)
    # a short path: the address of a unix socket holds 107 characters
    folder = Path(tempfile.mkdtemp(prefix="wfd-"))
    engine = DockerEngine(folder, network=network, live_restore=live_restore)
    try:
        engine.start()
        yield engine
    finally:
        engine.remove()


def base_rootfs(*packages: str) -> Path:
    """A tar file with a minimal Debian and ``packages``, made once by debootstrap (about half a minute)."""
    name = "-".join((SUITE, *sorted(packages)))
    kept = CACHE / f"{name}.tar"
    if kept.is_file():
        return kept
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        root = Path(folder, "root")
        include = [f"--include={','.join(sorted(packages))}"] if packages else []
        command = ["debootstrap", "--variant=minbase", *include, SUITE, str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"debootstrap: {done.stdout.strip().splitlines()[-1:]}")
        shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
        fresh = Path(folder, "root.tar")
        subprocess.run(["tar", "-C", str(root), "-cf", str(fresh), "."], check=True)
        fresh.replace(kept)
    return kept


def import_base_image(engine: DockerEngine, *packages: str, name: str = BASE_IMAGE) -> str:
    """Give the engine the base image; its name."""
    engine.docker("import", str(base_rootfs(*packages)), name)
    return name


@pytest.fixture(scope="module")
def docker_engine() -> Iterator[DockerEngine]:
    """A real engine with the base image, one for all tests of a module."""
    with running_engine() as engine:
        import_base_image(engine)
        yield engine
