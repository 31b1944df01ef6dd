"""The docker_stats exporter beside a real dockerd with real containers.

What the kernel says is read here by other means than the exporter's: ``cpu.stat`` of the unified hierarchy or
``cpuacct.usage``, at the path that the container's own process has in ``/proc``.
"""

from __future__ import annotations

import contextlib
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.docker_engine import BASE_IMAGE, DockerEngine, docker_engine
from tests.support.exporter_client import Served, served

__all__ = ["docker_engine"]
pytestmark = pytest.mark.docker

BURN = "while :; do :; done"
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
Page = dict[tuple[str, str], float]


def page(served: Served) -> Page:
    """Every series by name and labels as written."""
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=60) as answer:  # noqa: S310
        text = answer.read().decode()
    rows = (SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    return {(row[1], row[2] or ""): float(row[3]) for row in rows if row}


def wait_until(
    served: Served, is_true: Callable[[Page], bool], seconds: float = 120.0, what: str = ""
) -> Page:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = page(served)
        with contextlib.suppress(KeyError):  # a series may be absent for a moment
            if is_true(now):
                return now
        time.sleep(0.2)
    errors = {k: v for k, v in now.items() if "error" in k[0] or k[0] == "docker_engine_up"}
    pytest.fail(f"never true: {what} {errors}")


def of(page: Page, name: str, container: str) -> float:
    return page[f"docker_container_{name}", f'container="{container}"']


def energy(page: Page, policy: str) -> tuple[float, float]:
    """The sum over containers, exited ones and nobody, and the host's total."""
    parts = [
        value
        for (name, labels), value in page.items()
        if name.startswith("docker_") and "energy_joules_total" in name and f'policy="{policy}"' in labels
    ]
    return sum(parts), page["docker_host_energy_joules_total", ""]


def kernel_group(engine: DockerEngine, container: str, controller: str) -> Path:
    """The folder of a container's first process in the hierarchy of a controller."""
    pid = engine.docker("inspect", "--format", "{{.State.Pid}}", container)
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    v1 = [path for _, controllers, path in groups if controller in controllers.split(",")]
    unified = [path for _, controllers, path in groups if controllers == ""]
    return Path(f"/sys/fs/cgroup/{controller}{v1[0]}" if v1 else f"/sys/fs/cgroup{unified[0]}")


def kernel_cpu_seconds(engine: DockerEngine, container: str) -> float:
    """The kernel's own count of CPU time."""
    return cpu_seconds_of(kernel_group(engine, container, "cpuacct"))


def cpu_seconds_of_all(engine: DockerEngine) -> float:
    """The kernel's own count for the group of all containers of the engine, also of those that ended."""
    root = Path("/sys/fs/cgroup")
    tree = root / "cpuacct" if (root / "cpuacct").is_dir() else root
    parent = Path(f"{tree}{engine.cgroup_parent}")
    return cpu_seconds_of(parent) if parent.is_dir() else 0.0


def cpu_seconds_of(folder: Path) -> float:
    """The kernel's own count for a control group."""
    if (folder / "cpuacct.usage").exists():
        return int((folder / "cpuacct.usage").read_text()) / 1e9
    return int((folder / "cpu.stat").read_text().split()[1]) / 1e6


def kernel_throttled_seconds(engine: DockerEngine, container: str) -> float:
    """The kernel's own count of throttled time."""
    words = (kernel_group(engine, container, "cpu") / "cpu.stat").read_text().split()
    values = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    return values["throttled_time"] / 1e9 if "throttled_time" in values else values["throttled_usec"] / 1e6


def prefer(engine: DockerEngine, container: str) -> None:
    """Give the engine's containers the CPUs before all others, so that a busy machine is no other limit."""
    parent = kernel_group(engine, container, "cpu").parent
    for name, weight in (("cpu.shares", 262144), ("cpu.weight", 10000)):
        if (parent / name).exists():
            (parent / name).write_text(str(weight))


@pytest.fixture(scope="module")
def exporter(docker_engine: DockerEngine) -> Iterator[Served]:
    with served("exporters.docker_stats", "--docker-host", docker_engine.host) as running:
        yield running


@pytest.fixture
def burned(docker_engine: DockerEngine) -> Iterator[list[str]]:
    """Names to be removed at the end, so that nothing burns on."""
    names: list[str] = []
    yield names
    for name in names:
        docker_engine.docker("rm", "--force", name)


def test_busy_limited_and_idle_containers_agree_with_the_kernel(
    docker_engine: DockerEngine, exporter: Served, burned: list[str]
) -> None:
    """CPU seconds within 2 % of the kernel's, throttling seen where there is a limit, and idle is idle."""
    burned += ["idle", "busy", "limited"]
    docker_engine.run("--name", "idle", "--memory", "64m", BASE_IMAGE, "sleep", "1000")
    prefer(docker_engine, "idle")
    burn = f"for i in 1 2; do timeout 4 sh -c '{BURN}' & done; wait; sleep 1000"
    docker_engine.run("--name", "busy", BASE_IMAGE, "sh", "-c", burn)
    docker_engine.run("--name", "limited", "--cpus", "0.1", BASE_IMAGE, "sh", "-c", burn)
    time.sleep(2)
    for name in ("busy", "limited"):
        before = kernel_cpu_seconds(docker_engine, name)
        seen = of(page(exporter), "cpu_seconds_total", name)
        # the exporter's number is up to one interval (1 s) old, and two processes burn at most two cores
        assert before * 0.98 - 2.5 <= seen <= kernel_cpu_seconds(docker_engine, name)
    time.sleep(8)  # the kernel's counts stand still, and the slow files were read once more
    now = page(exporter)
    for name in ("busy", "limited", "idle"):
        kernel = kernel_cpu_seconds(docker_engine, name)
        assert of(now, "cpu_seconds_total", name) == pytest.approx(kernel, rel=0.02)
        throttled = kernel_throttled_seconds(docker_engine, name)
        assert of(now, "cpu_throttled_seconds_total", name) == pytest.approx(throttled, rel=0.02)
    assert of(now, "cpu_throttled_seconds_total", "limited") > 0
    assert of(now, "cpu_throttled_seconds_total", "busy") == 0
    assert of(now, "cpu_seconds_total", "limited") > 0.1
    assert of(now, "cpu_seconds_total", "idle") < 1
    assert of(now, "memory_limit_bytes", "idle") == 64 * 1024 * 1024
    assert of(now, "memory_working_set_bytes", "idle") > 0
    assert ("docker_container_memory_limit_bytes", 'container="busy"') not in now


@pytest.mark.parametrize("policy", ["active", "full"])
def test_shares_and_the_rest_are_the_host(
    docker_engine: DockerEngine, exporter: Served, burned: list[str], policy: str
) -> None:
    """Within 0.1 %, and a container that burned has more than one that slept."""
    burned += [f"burn-{policy}", f"sleep-{policy}"]
    docker_engine.run("--name", f"burn-{policy}", BASE_IMAGE, "sh", "-c", BURN)
    docker_engine.run("--name", f"sleep-{policy}", BASE_IMAGE, "sleep", "1000")
    time.sleep(4)
    now = page(exporter)
    parts, total = energy(now, policy)
    assert parts == pytest.approx(total, rel=0.001)
    shares = [
        now["docker_container_energy_joules_total", f'container="{name}-{policy}",policy="{policy}"']
        for name in ("burn", "sleep")
    ]
    assert shares[0] > 10 * shares[1]
    assert shares[0] > 0


@pytest.mark.parametrize("burn_seconds", ["0.2", "0.3"])
def test_a_short_container_is_accounted_and_gone(
    docker_engine: DockerEngine, exporter: Served, burn_seconds: str
) -> None:
    """Its CPU time is in the sum of the exited, at least what its own shell told; its series are gone."""
    count, seconds = (
        ("docker_exited_containers_total", ""),
        ("docker_exited_containers_cpu_seconds_total", ""),
    )
    before = wait_until(exporter, lambda now: now["docker_containers_running", ""] == 0)
    kernel_before = cpu_seconds_of_all(docker_engine)
    told = 0.0
    for number in range(5):
        script = f"timeout {burn_seconds} sh -c '{BURN}'; "
        script += "cat /sys/fs/cgroup/cpuacct/cpuacct.usage /sys/fs/cgroup/cpu.stat"
        out = docker_engine.docker(
            "run", "--rm", "--name", f"short-{number}", BASE_IMAGE, "sh", "-c", f"{script} 2>/dev/null; true"
        )
        first = out.split()
        told += int(first[1]) / 1e6 if first[0] == "usage_usec" else int(first[0]) / 1e9
    after = wait_until(exporter, lambda now: now[count] >= before[count] + 5, what="five ended")
    accounted = after[seconds] - before[seconds]
    # a shell that ends uses some more after it told
    assert told * 0.98 <= accounted
    assert accounted == pytest.approx(cpu_seconds_of_all(docker_engine) - kernel_before, rel=0.02)
    assert not [labels for _, labels in after if "short-" in labels]
    parts, total = energy(after, "active")
    assert parts == pytest.approx(total, rel=0.001)


def test_a_restarted_container_counts_its_restarts(
    docker_engine: DockerEngine, exporter: Served, burned: list[str]
) -> None:
    burned.append("again")
    docker_engine.run(
        "--name",
        "again",
        "--restart",
        "on-failure",
        BASE_IMAGE,
        "sh",
        "-c",
        "test -f /mark || exec false > /mark; sleep 1000",
    )
    wait_until(
        exporter,
        lambda now: now.get(("docker_container_restarts_total", 'container="again"'), 0) >= 1,
        what="a restart is seen",
    )


def test_a_renamed_container_has_its_new_name(
    docker_engine: DockerEngine, exporter: Served, burned: list[str]
) -> None:
    burned.append("after")
    docker_engine.run("--name", "before", BASE_IMAGE, "sleep", "1000")
    up = ("docker_container_cpu_seconds_total", 'container="before"')
    wait_until(exporter, lambda now: up in now, what="it runs")
    docker_engine.docker("rename", "before", "after")
    now = wait_until(exporter, lambda now: ("docker_container_cpu_seconds_total", 'container="after"') in now)
    assert up not in now


def test_without_the_files_the_engine_tells_the_numbers(
    docker_engine: DockerEngine, burned: list[str], tmp_path: Path
) -> None:
    """An exporter that sees no control groups asks the engine, and agrees with the kernel."""
    burned.append("asked")
    docker_engine.run("--name", "asked", BASE_IMAGE, "sh", "-c", f"timeout 1 sh -c '{BURN}'; sleep 1000")
    time.sleep(2.5)
    arguments = ["--docker-host", docker_engine.host, "--cgroupfs", str(tmp_path)]
    with served("exporters.docker_stats", *arguments) as blind:
        key = ("docker_container_cpu_seconds_total", 'container="asked"')
        now = wait_until(blind, lambda now: key in now, what="the engine told")
        assert now[key] == pytest.approx(kernel_cpu_seconds(docker_engine, "asked"), rel=0.02)
        assert of(now, "memory_working_set_bytes", "asked") > 0
        assert ("docker_container_memory_limit_bytes", 'container="asked"') not in now
        wait_until(blind, lambda now: ("docker_container_cpu_percent", 'container="asked"') in now)


def test_dockerd_may_hang_stop_and_start_under_the_exporter(
    docker_engine: DockerEngine, exporter: Served, burned: list[str]
) -> None:
    """Down is seen and counted, the page stays up, and new containers are seen once it is back."""
    up = ("docker_engine_up", "")
    host = ("docker_host_energy_joules_total", "")
    wait_until(exporter, lambda now: now[up] == 1)
    docker_engine.hang()
    try:
        wait_until(exporter, lambda now: now[up] == 0, what="the hang is seen")
    finally:
        docker_engine.resume()
    before = wait_until(exporter, lambda now: now[up] == 1, what="it answers again")
    docker_engine.stop()
    down = wait_until(exporter, lambda now: now[up] == 0, what="the stop is seen")
    assert any(k[0] == "docker_read_errors_total" and 'source="engine"' in k[1] for k in down)
    assert not [k for k in down if k[0] == "docker_container_cpu_seconds_total"]
    docker_engine.start()
    burned.append("later")
    docker_engine.run("--name", "later", BASE_IMAGE, "sleep", "1000")
    after = wait_until(
        exporter,
        lambda now: ("docker_container_cpu_seconds_total", 'container="later"') in now,
        what="a container of the restarted engine",
    )
    assert after[host] > before[host]
    for policy in ("active", "full"):
        parts, total = energy(after, policy)
        assert parts == pytest.approx(total, rel=0.001)
