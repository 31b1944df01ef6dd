"""Everything at once: ``python -m tests.torture.everything [--seconds 600]``.

The five exporters run under their supervisor on a machine whose truth is known: energy registers that this
script drives, result files that it writes, containers of a real engine. Every second all five are scraped;
files change, containers come and go, and every 20 seconds one exporter is killed. Each number is compared
with the truth, each series that must be there is looked for, and memory is watched. Prints one JSON document;
ends with 1 when something was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from advisor.results import InputMedia, Output, Power, Quality, Run, Scenario, Vmaf, write_run
from exporters.catalogue import EXPORTERS
from tests.support.docker_engine import DockerEngine, import_base_image, missing_for_engine
from tests.support.exporter_client import samples
from tests.support.powercap_tree import PowercapTree

KILL_ORDER = ("results", "rapl", "qoe", "docker_stats", "cost")
PRICE_PER_KWH = 0.12
RUNS = tuple(f"test_results_20260101_0000{number:02d}" for number in range(8))
MOST_GROWTH_KIB = 4096
_SHARES = ("docker_exited_containers_energy_joules_total", "docker_unattributed_energy_joules_total")


class Times(Struct, frozen=True):
    """How long things may take, in seconds; on a busy machine all of it takes longer."""

    kill: float = 20.0
    """Between two kills."""
    still: float = 5.0
    """Before each kill the registers rest so long, so that counters can be compared to the microjoule."""
    slack: float = 6.0
    """After which a change of a file or a container must show: a poll of two, and a machine that is busy."""
    start: float = 12.0
    """After which an exporter that was killed must show everything again: a pause, a start and a poll."""

    def longer(self, patience: float) -> Times:
        """The same, all of it longer."""
        return Times(*(patience * value for value in (self.kill, self.still, self.slack, self.start)))


def watts_of(serial: int, index: int) -> float:
    """The mean power of a scenario, told by its name alone."""
    return 20.25 + (serial * 7 + index) % 80


def vmaf_of(serial: int, index: int) -> float:
    """Its VMAF."""
    return 50.5 + (serial * 3 + index) % 49


class Registers(threading.Thread):
    """Drives a package and its memory; rests when it is told to."""

    def __init__(self, sysfs: Path, seed: int) -> None:
        super().__init__(name="registers", daemon=True)
        tree = PowercapTree(sysfs)
        self.zones = {
            "package_0": tree.add("intel-rapl:0", "package-0", start_uj=262_143_000_000),  # wraps soon
            "dram_0": tree.add("intel-rapl:0:0", "dram"),
        }
        self.rest, self.stop = threading.Event(), threading.Event()
        self._chance = random.Random(seed)

    def run(self) -> None:
        while not self.stop.wait(0.05):
            if not self.rest.is_set():
                self.zones["package_0"].add(self._chance.uniform(1.0, 5.0))  # 20 to 100 W
                self.zones["dram_0"].add(self._chance.uniform(0.1, 0.5))

    def joules(self) -> dict[str, float]:
        """The truth since the start."""
        return {name: register.joules for name, register in self.zones.items()}


class Files(threading.Thread):
    """Writes, rewrites, tears, renames and deletes result files; knows what each run held at any time."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(name="files", daemon=True)
        self.folder, self.stop = folder, threading.Event()
        self.changes = 0
        self._chance = random.Random(seed)
        self._serial = 0
        self._sizes: dict[int, int] = {}
        # when a run began to hold a serial; None: no readable file
        self._history: dict[str, list[tuple[float, int | None]]] = {run: [(0.0, None)] for run in RUNS}

    def run(self) -> None:
        while not self.stop.wait(self._chance.uniform(0.05, 1.0)):
            self._change(self._chance.choice(RUNS))
            self.changes += 1

    def _change(self, run: str) -> None:
        path, chance = self.folder / f"{run}.json", self._chance.random()
        if chance < 0.55 or not path.exists():
            self._note(run, self._write(path))
        elif chance < 0.65:
            self._note(run, None)
            path.unlink()
        elif chance < 0.75:
            self._note(run, None)
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)
        elif chance < 0.85:
            other = self._chance.choice(RUNS)
            moved = self._history[run][-1][1]
            path.rename(self.folder / f"{other}.json")
            if other != run:
                self._note(run, None)
                self._note(other, moved)
        else:  # as a program writes that does not care: half, a pause, the rest
            self._note(run, None)
            serial = self._write(self.folder / "draft")
            data = (self.folder / "draft").read_bytes()
            with path.open("wb", buffering=0) as file:
                file.write(data[: len(data) // 2])
                time.sleep(0.05)
                file.write(data[len(data) // 2 :])
            self._note(run, serial)

    def _write(self, path: Path) -> int:
        self._serial += 1
        serial, count = self._serial, self._chance.randrange(1, 6)
        self._sizes[serial] = count
        scenarios = tuple(self._scenario(serial, index) for index in range(count))
        write_run(Run(run_id=path.stem, scenarios=scenarios), path)
        return serial

    def _scenario(self, serial: int, index: int) -> Scenario:
        watts = watts_of(serial, index)
        quality = Quality(aligned=True, vmaf=Vmaf(mean=vmaf_of(serial, index), model="vmaf_v0.6.1"))
        return Scenario(
            name=f"{index} of {serial}",
            encoder="libx264",
            duration=10.0,
            start_time=1_767_225_600.0 + serial,
            input=InputMedia(path="clip.mp4"),
            outputs=[Output(resolution="640x360", frames=250, duration=10.0, quality=quality)],
            power=Power(tier="measured", mean_watts=watts, total_energy_joules=10 * watts),
        )

    def _note(self, run: str, serial: int | None) -> None:
        self._history[run].append((time.monotonic(), serial))

    def size(self, serial: int) -> int:
        """How many scenarios a serial has."""
        return self._sizes[serial]

    def held(self, run: str, since: float, until: float) -> set[int | None]:
        """Everything that the run held at some time between the two."""
        history = list(self._history[run])
        ends = [at for at, _ in history[1:]] + [float("inf")]
        return {
            serial for (at, serial), end in zip(history, ends, strict=True) if at <= until and end >= since
        }


class Containers(threading.Thread):
    """Two containers that stay, one of them busy, and others that come and go."""

    def __init__(self, engine: DockerEngine, seed: int) -> None:
        super().__init__(name="containers", daemon=True)
        self.engine, self.stop = engine, threading.Event()
        self.started = 0
        self._chance = random.Random(seed)
        image = import_base_image(engine)
        self._image = image
        engine.run("--name", "idle", image, "sleep", "100000")
        busy = engine.run("--name", "busy", "--cpus", "0.1", image, "sh", "-c", "while :; do :; done")
        self._cpu_file = next(
            Path(folder, name)
            for folder, _, files in os.walk("/sys/fs/cgroup")
            for name in ("cpuacct.usage", "cpu.stat")
            if busy in folder and name in files and ("cpuacct" in folder or name == "cpu.stat")
        )
        # name to when it was removed, infinity while it lives
        self.churned: dict[str, float] = {}

    def busy_seconds(self) -> float:
        """What the kernel says that the busy one used."""
        text = self._cpu_file.read_text()
        return int(text.split()[1]) / 1e6 if "usage_usec" in text else int(text) / 1e9

    def run(self) -> None:
        living: list[str] = []
        while not self.stop.wait(self._chance.uniform(0.1, 1.0)):
            if len(living) < 4 and self._chance.random() < 0.6:
                name = f"churn-{self.started}"
                living.append(name)
                self.churned[name] = float("inf")
                ends = self._chance.random() < 0.3  # at once, by itself
                self.engine.run("--name", name, self._image, *(["true"] if ends else ["sleep", "1000"]))
                self.started += 1
                if ends:
                    self.churned[name] = time.monotonic()
            elif living:
                name = living.pop(self._chance.randrange(len(living)))
                self.engine.docker("rm", "--force", name)
                self.churned[name] = min(self.churned[name], time.monotonic())


class Found:
    """What was checked and what was wrong."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lost: list[str] = []
        self.unanswered: Counter[str] = Counter()
        self.scrapes: Counter[str] = Counter()
        self.begun = time.monotonic()

    def check(self, what: str, right: bool, detail: Callable[[], str]) -> None:
        self.checks[what] += 1
        if not right:
            self.wrong.append(f"{time.monotonic() - self.begun:.1f} s, {what}: {detail()}")

    def present(self, what: str, there: bool, detail: Callable[[], str]) -> None:
        self.checks[what] += 1
        if not there:
            self.lost.append(f"{time.monotonic() - self.begun:.1f} s, {what}: {detail()}")


class Page:
    """One scrape: values by family and labels."""

    def __init__(self, text: str) -> None:
        self._families: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for key, value in samples(text).items():
            name, _, labels = key.partition("{")
            self._families[name].append((json.loads("{" + labels), value))

    def rows(self, family: str) -> list[tuple[dict[str, str], float]]:
        return self._families.get(family, [])

    def one(self, family: str, **labels: str) -> float | None:
        return next((v for found, v in self.rows(family) if labels.items() <= found.items()), None)


class Watch:
    """Scrapes the five and compares."""

    def __init__(
        self,
        ports: dict[str, int],
        registers: Registers,
        files: Files,
        containers: Containers | None,
        times: Times,
    ) -> None:
        self.times = times
        self.found = Found()
        self.killed_at: dict[str, float] = dict.fromkeys(EXPORTERS, time.monotonic())
        self.rss: dict[str, list[tuple[float, int]]] = {name: [] for name in EXPORTERS}
        self._ports, self._registers, self._files, self._containers = ports, registers, files, containers
        self._still: dict[str, tuple[float, dict[str, float], dict[str, float]]] = {}
        self._busy: list[tuple[float, float]] = []

    def young(self, name: str) -> bool:
        """Whether the exporter was killed a moment ago."""
        return time.monotonic() - self.killed_at[name] < self.times.start

    def look(self, *, still: bool) -> None:
        """Scrape all once; ``still`` when the registers have rested long enough."""
        if self._containers is not None:
            self._busy.append((time.monotonic(), self._containers.busy_seconds()))
        for name in EXPORTERS:
            before = time.monotonic()
            page = self._scrape(name)
            if page is not None:
                self._check(name, page, before, time.monotonic(), still)

    def _scrape(self, name: str) -> Page | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[name], timeout=10)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as exc:
            self.found.unanswered[name] += 1
            said = str(exc)
            self.found.present("answers", self.young(name), lambda: f"{name}: {said}")
            return None
        finally:
            connection.close()
        self.found.scrapes[name] += 1
        self.found.check("status", response.status == 200, lambda: f"{name}: {response.status}")
        return Page(text)

    def _check(self, name: str, page: Page, before: float, after: float, still: bool) -> None:
        started = page.one("process_start_time_seconds") or 0.0
        self.rss[name].append((started, int((page.one("process_resident_memory_bytes") or 0) / 1024)))
        if name in ("results", "qoe", "cost"):
            self._check_runs(name, page, before, after)
        elif name == "rapl":
            self._check_rapl(page, started, still)
        elif self._containers is not None:
            self._check_containers(page, before, after, started, still)

    def _check_runs(self, name: str, page: Page, before: float, after: float) -> None:
        family = {
            "results": "results_scenario_mean_power_watts",
            "qoe": "qoe_vmaf_score",
            "cost": "cost_energy",
        }[name]
        shown: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for labels, value in page.rows(family):
            index, serial = map(int, labels["scenario"].split(" of "))
            shown[labels["run_id"]][serial].add(index)
            truth = {
                "results": watts_of(serial, index),
                "qoe": vmaf_of(serial, index),
                "cost": 10 * watts_of(serial, index) / 3.6e6 * PRICE_PER_KWH,
            }[name]
            right = abs(value - truth) <= 1e-9 * truth
            self.found.check(family, right, lambda v=value, t=truth, s=labels: f"{s}: {v}, not {t}")
        for run in RUNS:
            self._check_run(name, run, shown.get(run, {}), before, after)

    def _check_run(
        self, name: str, run: str, shown: dict[int, set[int]], before: float, after: float
    ) -> None:
        """One version of the file and all of it; an old one, or none, only as long as it is news."""
        found = self.found
        found.check("one version", len(shown) < 2, lambda: f"{name} {run}: {sorted(shown)}")
        serial = next(iter(shown), None)
        held = self._files.held(run, before - self.times.slack, after)
        if serial is not None:
            found.check("fresh", serial in held, lambda: f"{name} {run}: {serial}, not of {held}")
            whole = shown[serial] == set(range(self._files.size(serial)))
            found.present("whole run", whole, lambda: f"{name} {run}: {shown}")
        elif not self.young(name):
            found.present("run", None in held, lambda: f"{name} {run}: not there, held {held}")

    def _check_rapl(self, page: Page, started: float, still: bool) -> None:
        counted = {z["zone"]: v for z, v in page.rows("rapl_energy_joules_total")}
        there = counted.keys() == self._registers.zones.keys()
        self.found.present("zones", there or self.young("rapl"), lambda: f"{counted}")
        self._check_still("rapl", started, counted, self._registers.joules(), still)

    def _check_still(
        self, name: str, started: float, counted: dict[str, float], truth: dict[str, float], still: bool
    ) -> None:
        """Between two rests of one life, a counter gained what the registers did, to the microjoule."""
        if not still or counted.keys() != truth.keys():
            return
        if name in self._still and self._still[name][0] == started:
            _, counted_then, truth_then = self._still[name]
            for zone, now in counted.items():
                gained, true = now - counted_then[zone], truth[zone] - truth_then[zone]
                right = abs(gained - true) < 2e-6 + 1e-9 * true
                detail = f"{zone}: {gained}, not {true}"
                self.found.check(f"{name} joules", right, lambda d=detail: d)
        self._still[name] = started, counted, truth

    def _check_containers(self, page: Page, before: float, after: float, started: float, still: bool) -> None:
        assert self._containers is not None
        seconds = {s["container"]: v for s, v in page.rows("docker_container_cpu_seconds_total")}
        young = self.young("docker_stats")
        for name in ("idle", "busy"):
            there = name in seconds or young
            self.found.present("container", there, lambda n=name: f"{n} of {seconds.keys()}")
        for name in seconds.keys() - {"idle", "busy"}:
            gone = self._containers.churned.get(name, 0.0)
            right = gone > before - self.times.slack
            self.found.check("gone container", right, lambda n=name: f"{n} is still there")
        if "busy" in seconds:
            now = self._containers.busy_seconds()
            least = max((s for at, s in self._busy if at < before - self.times.slack), default=0.0)
            right = least <= seconds["busy"] <= now + 1e-6
            self.found.check("CPU seconds", right, lambda: f"{seconds['busy']}, not {least} to {now}")
        self._check_shares(page)
        host = page.one("docker_host_energy_joules_total")
        if host is not None:
            truth = sum(self._registers.joules().values())
            self._check_still("docker_stats", started, {"host": host}, {"host": truth}, still)

    def _check_shares(self, page: Page) -> None:
        """Running, exited and unattributed energy together are the host's."""
        host = page.one("docker_host_energy_joules_total")
        for policy in ("active", "full"):
            parts = [v for s, v in page.rows("docker_container_energy_joules_total") if s["policy"] == policy]
            parts += [page.one(family, policy=policy) or 0.0 for family in _SHARES]
            if host:
                right = abs(sum(parts) - host) <= 1e-6 * host
                self.found.check("shares", right, lambda p=policy, s=parts: f"{p}: {sum(s)}, not {host}")


def growth_kib(rss: list[tuple[float, int]]) -> tuple[int, int]:
    """The most that memory grew within one life after its first third, and the median over all."""
    lives: dict[float, list[int]] = defaultdict(list)
    for started, kib in rss:
        lives[started].append(kib)
    grown = [
        statistics.median(life[-5:]) - statistics.median(life[len(life) // 3 :][:5])
        for life in lives.values()
        if len(life) > 30
    ]
    return int(max(grown, default=0)), int(statistics.median(kib for _, kib in rss)) if rss else 0


@contextlib.contextmanager
def stack(
    folder: Path, sysfs: Path, docker_host: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """``wattframe up`` with the five exporters on free ports."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in EXPORTERS]
        ports = dict(zip(EXPORTERS, (p.getsockname()[1] for p in probes), strict=True))
    command = [sys.executable, "-m", "wattframe", "up", "--json", "--prometheus", "none"]
    command += [f"--results-dir={folder / 'results'}", f"--models-dir={folder / 'models'}"]
    command += [f"--state-dir={folder / 'state'}", *(f"--port={n}={p}" for n, p in ports.items())]
    environment = {
        **os.environ,
        "SYSFS_ROOT": str(sysfs),
        "DOCKER_HOST": docker_host,
        "ENERGY_COST_PER_KWH": str(PRICE_PER_KWH),
        "QOE_CACHE_DIR": str(folder / "cache"),
    }
    with (
        (folder / "up.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError((folder / "up.log").read_text())
            yield process, ports
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def child(supervisor: int, name: str) -> int:
    """The process number of an exporter under the supervisor."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    module = f"exporters.{name}\0".encode()
    return next(int(pid) for pid in children if module in Path(f"/proc/{pid}/cmdline").read_bytes())


def run(
    folder: Path, seconds: float, seed: int, engine: DockerEngine | None, times: Times
) -> dict[str, object]:
    """Everything for ``seconds``; what was found."""
    sysfs, results = folder / "sys", folder / "results"
    results.mkdir()
    registers, files = Registers(sysfs, seed), Files(results, seed)
    containers = None if engine is None else Containers(engine, seed)
    threads = [registers, files, *([containers] if containers is not None else [])]
    registers.start()
    host = engine.host if engine is not None else f"unix://{folder}/nobody.sock"
    with stack(folder, sysfs, host) as (supervisor, ports):
        for thread in threads[1:]:
            thread.start()
        watch = Watch(ports, registers, files, containers, times)
        kills = _watch(watch, registers, supervisor.pid, seconds)
        for thread in threads:
            thread.stop.set()
        for thread in threads:
            thread.join(60)
        alive = supervisor.poll() is None
    return _summary(watch, files, containers, kills, seconds, alive)


def _watch(watch: Watch, registers: Registers, supervisor: int, seconds: float) -> Counter[str]:
    """Scrape every second and kill one exporter every 20; how often each was killed."""
    kills: Counter[str] = Counter()
    times = watch.times
    begun = next_look = time.monotonic()
    next_kill = begun + times.kill
    while (now := time.monotonic()) < begun + seconds:
        resting = now >= next_kill - times.still
        if resting:
            registers.rest.set()
        still = now >= next_kill - 1.5
        watch.look(still=still)
        if time.monotonic() >= next_kill and seconds - (now - begun) > times.start + times.still:
            name = KILL_ORDER[sum(kills.values()) % len(KILL_ORDER)]
            os.kill(child(supervisor, name), signal.SIGKILL)
            watch.killed_at[name] = time.monotonic()
            kills[name] += 1
        if time.monotonic() >= next_kill:
            next_kill += times.kill
            registers.rest.clear()
        next_look = max(next_look + 1.0, time.monotonic())
        time.sleep(max(0.0, next_look - time.monotonic()))
    return kills


def _summary(
    watch: Watch,
    files: Files,
    containers: Containers | None,
    kills: Counter[str],
    seconds: float,
    alive: bool,
) -> dict[str, object]:
    found = watch.found
    memory = {name: growth_kib(rss) for name, rss in watch.rss.items()}
    grown = [f"{name}: {most} KiB" for name, (most, _) in memory.items() if most > MOST_GROWTH_KIB]
    return {
        "seconds": seconds,
        "scrapes": dict(found.scrapes),
        "unanswered": dict(found.unanswered),
        "kills": dict(kills),
        "file_changes": files.changes,
        "containers_started": containers.started if containers is not None else None,
        "checks": dict(found.checks),
        "wrong": found.wrong,
        "lost": found.lost,
        "grown": grown,
        "supervisor_alive": alive,
        "memory_kib": {n: {"most_growth": g, "median": m} for n, (g, m) in memory.items()},
    }


def failed(summary: dict[str, object]) -> bool:
    """Whether something was wrong."""
    return bool(summary["wrong"] or summary["lost"] or summary["grown"] or not summary["supervisor_alive"])


def everything(seconds: float, seed: int = 1, patience: float = 1.0) -> dict[str, object]:
    """Run with a Docker engine where one can be had; ``patience`` stretches every time."""
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="wfe-")))
        engine = None
        if missing_for_engine() is None:
            engine = DockerEngine(folder / "d")
            engine.folder.mkdir()
            held.callback(engine.remove)
            engine.start()
        return run(folder, seconds, seed, engine, Times().longer(patience))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    summary = everything(options.seconds, options.seed)
    sys.stdout.write(json.dumps(summary, indent=1) + "\n")
    return 1 if failed(summary) else 0


if __name__ == "__main__":
    sys.exit(main())
