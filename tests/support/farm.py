"""A real cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from farm.cluster import Cluster
from tests.support.ports import free_port
from tests.support.waiting import wait_until

__all__ = ["cluster", "running", "scheduler", "worker"]

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this project that is ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def scheduler(*options: str, host: str = "127.0.0.1", scheme: str = "tcp") -> Iterator[str]:
    """The address of a scheduler that answers."""
    port = free_port()
    pages = ("--dashboard-address", "127.0.0.1:0")
    with running("distributed.cli.dask_scheduler", "--host", host, "--port", str(port), *pages, *options):

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((host, port)) == 0

        wait_until(answers)
        yield f"{scheme}://{host}:{port}"


@contextmanager
def worker(address: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``wattframe worker``."""
    with running("wattframe", "worker", address, *options) as process:
        yield process


@contextmanager
def cluster(names: Sequence[str] = ("a", "b")) -> Iterator[str]:
    """A scheduler and a worker for each host."""
    with ExitStack() as stack:
        address = stack.enter_context(scheduler())
        for name in names:
            stack.enter_context(worker(address, "--name", name))
        with Cluster(address) as workers:
            wait_until(lambda: len(workers.resources()) == len(names))
        yield address
