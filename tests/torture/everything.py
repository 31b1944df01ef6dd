"""Everything at once: ``python -m tests.torture.everything [--seconds 600]``.

The five exporters run under their supervisor on a machine whose truth is known: energy registers that this
script drives, result files that it writes, containers of a real engine. Every second all five are scraped;
files change, vanish, and are pipes and devices for a while, and containers come and go. Every 20 seconds one
trouble comes for three: an exporter has no descriptors, files or registers may not be read, the disk is full,
the network between an exporter and its scraper or the engine cuts, says nothing or is slow. Then all of it
rests until each page says what is true, and one exporter is killed. Each number is compared with the truth,
each series that must be there is looked for, and memory is watched. Prints one JSON document; ends with 1
when something was wrong.

No check depends on how fast the machine is: between rests a page may lag behind, but it never goes back to
what it had left behind; at a rest it has to arrive at the truth, however long that takes.

A real Prometheus, where one is installed, scrapes the five over the same networks. At a rest all five are up
again for it, and at the end no sample of it is wrong and no counter gained more than the truth.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from advisor.prometheus.client import PrometheusClient, QueryResult
from advisor.results import InputMedia, Output, Power, Quality, Run, Scenario, Vmaf, write_run
from exporters.catalogue import EXPORTERS
from tests.support.docker_engine import DockerEngine, import_base_image, missing_for_engine
from tests.support.exporter_client import samples
from tests.support.powercap_tree import PowercapTree
from tests.support.prometheus_server import prometheus_server
from tests.support.proxy import Mode, Proxy
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.users import OBEYING
from wattframe.stack.prometheus import configuration

KILL_ORDER = ("results", "rapl", "qoe", "docker_stats", "cost")
PRICE_PER_KWH = 0.12
TROUBLE_SECONDS = 3.0
ROUND_SECONDS = 20.0
"""From one rest to the next."""
SETTLE_SECONDS = 120.0
"""At a rest; what has not come by then never comes."""
FROZEN_SECONDS = 20.0
"""Registers that stand for longer look as if they had stopped to count."""
SCRAPE_SECONDS = 60.0
RUNS = tuple(f"test_results_20260101_0000{number:02d}" for number in range(8))
MOST_GROWTH_KIB = 4096
_RUN_FAMILIES = {
    "results": "results_scenario_mean_power_watts",
    "qoe": "qoe_vmaf_score",
    "cost": "cost_energy",
}
PROMETHEUS_SECONDS = 2.0
"""From one scrape of Prometheus to the next."""
_SHARES = ("docker_exited_containers_energy_joules_total", "docker_unattributed_energy_joules_total")


def watts_of(serial: int, index: int) -> float:
    """The mean power of a scenario, told by its name alone."""
    return 20.25 + (serial * 7 + index) % 80


def vmaf_of(serial: int, index: int) -> float:
    """Its VMAF."""
    return 50.5 + (serial * 3 + index) % 49


class Actor(threading.Thread):
    """Does something now and then; nothing while another holds its ``turn``."""

    def __init__(self, name: str, seed: int, pause_seconds: tuple[float, float]) -> None:
        super().__init__(name=name, daemon=True)
        self.turn, self.stop = threading.Lock(), threading.Event()
        self.chance = random.Random(seed)
        self._pause_seconds = pause_seconds

    def run(self) -> None:
        while not self.stop.wait(self.chance.uniform(*self._pause_seconds)):
            with self.turn:
                self.act()

    def act(self) -> None:
        raise NotImplementedError


class Registers(Actor):
    """Drives a package and its memory."""

    def __init__(self, sysfs: Path, seed: int) -> None:
        super().__init__("registers", seed, (0.05, 0.05))
        tree = PowercapTree(sysfs)
        self.zones = {
            "package_0": tree.add("intel-rapl:0", "package-0", start_uj=262_143_000_000),  # wraps soon
            "dram_0": tree.add("intel-rapl:0:0", "dram"),
        }

    def act(self) -> None:
        self.zones["package_0"].add(self.chance.uniform(1.0, 5.0))  # 20 to 100 W
        self.zones["dram_0"].add(self.chance.uniform(0.1, 0.5))

    def joules(self) -> dict[str, float]:
        """The truth since the start."""
        return {name: register.joules for name, register in self.zones.items()}


class Files(Actor):
    """Writes, rewrites, tears, renames and deletes result files; knows what each run held, one after another.

    What a run will hold is noted before it is done: a page may show it before the write has returned.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__("files", seed, (0.05, 1.0))
        self.folder = folder
        self.changes = 0
        self._serial = 0
        self._sizes: dict[int, int] = {}
        # None: no readable file
        self._versions: dict[str, list[int | None]] = {run: [None] for run in RUNS}

    def act(self) -> None:
        run, other, chance = self.chance.choice(RUNS), self.chance.choice(RUNS), self.chance.random()
        path, versions = self.folder / f"{run}.json", self._versions[run]
        if chance < 0.55 or not path.is_file():
            versions.append(self._new())
            write_run(self._content(self._serial), path)
        elif chance < 0.65:
            versions.append(None)
            path.unlink()
            if chance < 0.58:  # whoever opens it waits for ever
                os.mkfifo(path)
            elif chance < 0.6:
                path.symlink_to("/dev/zero")
        elif chance < 0.75:
            versions.append(None)
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)
        elif chance < 0.85:
            if other != run:
                self._versions[other].append(versions[-1])
                versions.append(None)
            path.rename(self.folder / f"{other}.json")
        else:  # as a program writes that does not care: half, a pause, the rest
            write_run(self._content(self._new()), self.folder / "draft")
            data = (self.folder / "draft").read_bytes()
            versions.append(None)
            with path.open("wb", buffering=0) as file:
                file.write(data[: len(data) // 2])
                time.sleep(0.05)
                versions.append(self._serial)
                file.write(data[len(data) // 2 :])
        self.changes += 1

    def _new(self) -> int:
        self._serial += 1
        self._sizes[self._serial] = self.chance.randrange(1, 6)
        return self._serial

    def _content(self, serial: int) -> Run:
        scenarios = tuple(self._scenario(serial, index) for index in range(self._sizes[serial]))
        return Run(run_id="", scenarios=scenarios)

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

    def size(self, serial: int) -> int:
        """How many scenarios a serial has."""
        return self._sizes[serial]

    def versions(self, run: str) -> list[int | None]:
        """Everything that the run held until now, and the next thing if it is being done."""
        return list(self._versions[run])


class Containers(Actor):
    """Two containers that stay, one of them busy, and others that come and go."""

    def __init__(self, engine: DockerEngine, seed: int) -> None:
        super().__init__("containers", seed, (0.1, 1.0))
        self.engine = engine
        self.started = 0
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
        self.living = ["idle", "busy"]

    def busy_seconds(self) -> float:
        """What the kernel says that the busy one used."""
        text = self._cpu_file.read_text()
        return int(text.split()[1]) / 1e6 if "usage_usec" in text else int(text) / 1e9

    def act(self) -> None:
        if len(self.living) < 6 and self.chance.random() < 0.6:
            name, ends_at_once = f"churn-{self.started}", self.chance.random() < 0.3
            self.started += 1
            self.engine.run("--name", name, self._image, *(["true"] if ends_at_once else ["sleep", "1000"]))
            if not ends_at_once:
                self.living.append(name)
        elif len(self.living) > 2:
            self.engine.docker("rm", "--force", self.living.pop(self.chance.randrange(2, len(self.living))))


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


Labels = dict[str, str]


class Watch:
    """Scrapes the five and compares."""

    def __init__(
        self,
        ports: dict[str, int],
        registers: Registers,
        files: Files,
        containers: Containers | None,
        prometheus: PrometheusClient | None,
    ) -> None:
        self.found = Found()
        self.begun = time.time()
        self._prometheus = prometheus
        self.rss: dict[str, list[tuple[float, int]]] = {name: [] for name in EXPORTERS}
        self._ports, self._registers, self._files, self._containers = ports, registers, files, containers
        self._starting = set(EXPORTERS)
        self._troubled: set[str] = set()
        self._place: Counter[tuple[str, str]] = Counter()
        """Which of a run's versions an exporter showed last."""
        self._busy_seconds = 0.0
        self._still: dict[str, tuple[float, dict[str, float], dict[str, float]]] = {}

    def killed(self, name: str) -> None:
        """From now on the exporter may be silent until it has shown everything once."""
        self._starting.add(name)

    @contextlib.contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """These are not looked at in the block, and afterwards are as after a kill."""
        self._troubled.update(names)
        try:
            yield
        finally:
            self._troubled.difference_update(names)
            self._starting.update(names)

    def look(self) -> dict[str, Page]:
        """Scrape all once; the pages of those that answered."""
        asked = [name for name in EXPORTERS if name not in self._troubled]
        pages = {name: page for name in asked if (page := self._scrape(name)) is not None}
        for name, page in pages.items():
            self._check(name, page)
        return pages

    def pass_time(self, seconds: float) -> None:
        """Scrape every second."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.look()
            time.sleep(max(0.0, now + 1.0 - time.monotonic()))

    def settle(self) -> None:
        """While files and containers rest: every page arrives at the truth; then the joules are compared."""
        pages, missing = self._arrived(SETTLE_SECONDS)
        end = time.monotonic() + SETTLE_SECONDS
        while not missing:
            with self._registers.turn:
                pages, missing = self._arrived(FROZEN_SECONDS, frozen=True)
                joules = self._registers.joules()
            if not missing:
                self._check_joules(pages, "rapl", "rapl_energy_joules_total", joules)
                host = {"": sum(joules.values())}
                self._check_joules(pages, "docker_stats", "docker_host_energy_joules_total", host)
                break
            if time.monotonic() < end:
                missing = []
                time.sleep(1.0)
        self.found.present("truth", not missing, lambda: "; ".join(missing))

    def _arrived(self, seconds: float, *, frozen: bool = False) -> tuple[dict[str, Page], list[str]]:
        """The first pages that say what is true since this was called; what they do not say in this time."""
        end, begun = time.monotonic() + seconds, time.time()
        busy_seconds = 0.0 if self._containers is None else self._containers.busy_seconds()
        while True:
            pages = self.look()
            missing = [*self._missing(pages, busy_seconds, frozen), *sorted(self._starting)]
            if not (missing or frozen):
                missing = self._down_since(begun)
            if not missing or time.monotonic() > end:
                return pages, missing
            time.sleep(0.2)

    def _missing(self, pages: dict[str, Page], busy_seconds: float, frozen: bool) -> list[str]:
        """What the pages do not say yet of a machine that rests."""
        missing = [f"{name} does not answer" for name in EXPORTERS if name not in pages]
        for name, family in _RUN_FAMILIES.items():
            shown = _serials(pages[name], family) if name in pages else {}
            truth = {run: self._files.versions(run)[-1] for run in RUNS}
            missing += [
                f"{name} {run}: {sorted(shown.get(run, ()))}, not {serial}"
                for run, serial in truth.items()
                if set(shown.get(run, ())) != ({serial} - {None})
            ]
        if frozen and "rapl" in pages:
            watts = {labels["zone"]: value for labels, value in pages["rapl"].rows("rapl_power_watts")}
            missing += [f"rapl: {watts} W" for zone in self._registers.zones if watts.get(zone) != 0.0]
        if self._containers is not None and "docker_stats" in pages:
            seconds = _cpu_seconds(pages["docker_stats"])
            if seconds.keys() != set(self._containers.living) or seconds["busy"] < busy_seconds:
                missing.append(f"docker_stats: {seconds}, not {self._containers.living}, {busy_seconds} s")
        return missing

    def _down_since(self, unix_seconds: float) -> list[str]:
        """What Prometheus has not scraped since then, or in vain."""
        if self._prometheus is None:
            return []
        series = self._prometheus.samples("up", unix_seconds, time.time())
        up = {one.metric["job"] for one in series if one.values[-1:] == [1.0]}
        return [f"{name} is not up for Prometheus" for name in EXPORTERS if name not in up]

    def check_prometheus(self) -> Counter[str]:
        """Compare all that Prometheus has; how often each exporter was down for it. Everything rests."""
        down: Counter[str] = Counter()
        if self._prometheus is None:
            return down
        for series in self._samples("up"):
            down[series.metric["job"]] += series.values.count(0.0)
        for name, family in _RUN_FAMILIES.items():
            for series in self._samples(family):
                for value in series.values:
                    self._check_value(f"Prometheus {family}", name, series.metric, value)
        joules = self._registers.joules()
        most = {f'rapl_energy_joules_total{{zone="{zone}"}}': gained for zone, gained in joules.items()}
        if self._containers is not None:
            most["docker_host_energy_joules_total"] = sum(joules.values())
            for policy in ("active", "full"):
                parts = (
                    f'{{__name__=~"docker_(container|unattributed)_energy_joules_total",policy="{policy}"}}'
                )
                most[parts] = sum(joules.values())
            most['docker_container_cpu_seconds_total{container="busy"}'] = self._containers.busy_seconds()
        for selector, truth in most.items():
            gained = sum(increase(series.values) for series in self._samples(selector))
            detail = f"{gained}, not {truth} at most"
            self.found.check(f"Prometheus {selector}", 0 < gained <= truth + 1e-5, lambda d=detail: d)
        return down

    def _samples(self, selector: str) -> list[QueryResult]:
        assert self._prometheus is not None
        return self._prometheus.samples(selector, self.begun, time.time())

    def _scrape(self, name: str) -> Page | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[name], timeout=SCRAPE_SECONDS)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as exc:
            self.found.unanswered[name] += 1
            said = str(exc)
            self.found.present("answers", name in self._starting, lambda: f"{name}: {said}")
            return None
        finally:
            connection.close()
        self.found.scrapes[name] += 1
        self.found.check("status", response.status == 200, lambda: f"{name}: {response.status}")
        return Page(text)

    def _check(self, name: str, page: Page) -> None:
        started = page.one("process_start_time_seconds") or 0.0
        self.rss[name].append((started, int((page.one("process_resident_memory_bytes") or 0) / 1024)))
        absent = [c["collector"] for c, v in page.rows(f"{name}_exporter_collector_success") if v != 1]
        if name == "rapl":
            counted = {labels["zone"] for labels, _ in page.rows("rapl_energy_joules_total")}
            absent += self._registers.zones.keys() - counted
        elif name == "docker_stats":
            absent = self._check_containers(page) if self._containers is not None else []
        if not absent:
            self._starting.discard(name)
        self.found.present("everything", name in self._starting or not absent, lambda: f"{name}: {absent}")
        if name in _RUN_FAMILIES and name not in self._starting:
            self._check_runs(name, page)

    def _check_runs(self, name: str, page: Page) -> None:
        family = _RUN_FAMILIES[name]
        for labels, value in page.rows(family):
            self._check_value(family, name, labels, value)
        shown = _serials(page, family)
        for run in RUNS:
            self._check_run(name, run, shown.get(run, {}))

    def _check_value(self, what: str, name: str, labels: Labels, value: float) -> None:
        index, serial = map(int, labels["scenario"].split(" of "))
        truth = {
            "results": watts_of(serial, index),
            "qoe": vmaf_of(serial, index),
            "cost": 10 * watts_of(serial, index) / 3.6e6 * PRICE_PER_KWH,
        }[name]
        self.found.check(what, abs(value - truth) <= 1e-9 * truth, lambda: f"{labels}: {value}, not {truth}")

    def _check_run(self, name: str, run: str, shown: dict[int, set[int]]) -> None:
        """One version of the file and all of it, none that is older than what was shown before."""
        found, place = self.found, self._place[name, run]
        found.check("one version", len(shown) < 2, lambda: f"{name} {run}: {sorted(shown)}")
        serial = next(iter(shown), None)
        since = self._files.versions(run)[place:]
        found.check("in order", serial in since, lambda: f"{name} {run}: {serial}, not of {since}")
        if serial in since:
            self._place[name, run] = place + since.index(serial)
        if serial is not None:
            whole = shown[serial] == set(range(self._files.size(serial)))
            found.present("whole run", whole, lambda: f"{name} {run}: {shown}")

    def _check_joules(self, pages: dict[str, Page], name: str, family: str, truth: dict[str, float]) -> None:
        """Between two rests of one life, a counter gained what the registers did, to the microjoule."""
        page = pages[name]
        started = page.one("process_start_time_seconds") or 0.0
        counted = {labels.get("zone", ""): value for labels, value in page.rows(family)}
        former, counted_then, truth_then = self._still.get(name, (None, {}, {}))
        if former == started:
            for zone, now in counted.items():
                gained, true = now - counted_then[zone], truth[zone] - truth_then[zone]
                right = abs(gained - true) < 2e-6 + 1e-9 * true
                detail = f"{zone}: {gained}, not {true}"
                self.found.check(f"{name} joules", right, lambda d=detail: d)
        self._still[name] = started, counted, truth

    def _check_containers(self, page: Page) -> list[str]:
        """Compare, and say which of those that stay are not there."""
        assert self._containers is not None
        seconds = _cpu_seconds(page)
        known = {"idle", "busy", *(f"churn-{number}" for number in range(self._containers.started))}
        invented = seconds.keys() - known
        self.found.check("containers", not invented, lambda: f"{invented}")
        if "busy" in seconds:
            least, most = self._busy_seconds, self._containers.busy_seconds()
            right = least <= seconds["busy"] <= most + 1e-6
            self.found.check("CPU seconds", right, lambda: f"{seconds['busy']}, not {least} to {most}")
            self._busy_seconds = seconds["busy"]
        host = page.one("docker_host_energy_joules_total")
        for policy in ("active", "full") if host else ():
            parts = [v for s, v in page.rows("docker_container_energy_joules_total") if s["policy"] == policy]
            parts += [page.one(family, policy=policy) or 0.0 for family in _SHARES]
            right = host is not None and abs(sum(parts) - host) <= 1e-6 * host
            self.found.check("shares", right, lambda p=policy, s=parts: f"{p}: {sum(s)}, not {host}")
        return sorted({"idle", "busy"} - seconds.keys())


def _serials(page: Page, family: str) -> dict[str, dict[int, set[int]]]:
    """The versions that a page shows, by run, and the scenarios of each."""
    shown: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for labels, _ in page.rows(family):
        index, serial = map(int, labels["scenario"].split(" of "))
        shown[labels["run_id"]][serial].add(index)
    return shown


def _cpu_seconds(page: Page) -> dict[str, float]:
    return {s["container"]: v for s, v in page.rows("docker_container_cpu_seconds_total")}


def increase(values: Sequence[float]) -> float:
    """What a counter gained as Prometheus counts it: one that falls has begun again at 0."""
    return sum(now - before if now >= before else now for before, now in itertools.pairwise(values))


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
    command += [f"--state-dir={folder / 'disk/state'}", *(f"--port={n}={p}" for n, p in ports.items())]
    command = [*OBEYING, *command]
    environment = {
        **os.environ,
        "SYSFS_ROOT": str(sysfs),
        "DOCKER_HOST": docker_host,
        "ENERGY_COST_PER_KWH": str(PRICE_PER_KWH),
        "QOE_CACHE_DIR": str(folder / "disk/cache"),
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
            process.wait(60)


def child(supervisor: int, name: str) -> int:
    """The process number of an exporter under the supervisor."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    module = f"exporters.{name}\0".encode()
    return next(int(pid) for pid in children if module in Path(f"/proc/{pid}/cmdline").read_bytes())


def run(folder: Path, seconds: float, seed: int, engine: DockerEngine | None) -> dict[str, object]:
    """Everything for ``seconds``; what was found."""
    sysfs, results = folder / "sys", folder / "results"
    results.mkdir()
    (folder / "disk").mkdir()
    registers, files = Registers(sysfs, seed), Files(results, seed)
    containers = None if engine is None else Containers(engine, seed)
    actors: list[Actor] = [registers, files, *([containers] if containers is not None else [])]
    registers.start()
    with contextlib.ExitStack() as held:
        engines = []
        if engine is not None:
            engines.append(Proxy(socket.AF_UNIX, str(folder / "engine.sock"), str(engine.socket)))
            held.callback(engines[0].close)
        disk = held.enter_context(small_disk(folder / "disk"))
        host = f"unix://{folder}/engine.sock"
        supervisor, ports = held.enter_context(stack(folder, sysfs, host))
        for actor in actors[1:]:
            actor.start()
        networks = {
            name: Proxy(socket.AF_INET, ("127.0.0.1", 0), ("127.0.0.1", port)) for name, port in ports.items()
        }
        for network in networks.values():
            held.callback(network.close)
        addresses = {name: "{}:{}".format(*network.address) for name, network in networks.items()}
        prometheus = None
        if shutil.which("prometheus") is not None:
            no_rules = f"{folder}/none.yml"
            config = configuration(addresses, interval_seconds=PROMETHEUS_SECONDS, rules=no_rules)
            prometheus = held.enter_context(prometheus_server(folder, config))
        reached = {name: network.address[1] for name, network in networks.items()}
        watch = Watch(reached, registers, files, containers, prometheus)
        world = World(watch, folder, supervisor.pid, networks, engines, disk)
        kills = _watch(world, actors[1:], max(1, round(seconds / ROUND_SECONDS)))
        for actor in actors:
            actor.stop.set()
        for actor in actors:
            actor.join(60)
        alive = supervisor.poll() is None
        down = watch.check_prometheus()
    summary = _summary(watch, files, containers, kills, seconds, alive)
    return {**summary, "troubles": dict(world.troubles), "down_for_prometheus": dict(down)}


class World:
    """What troubles can be made of."""

    def __init__(
        self,
        watch: Watch,
        folder: Path,
        supervisor: int,
        networks: dict[str, Proxy],
        engines: Sequence[Proxy],
        disk: SmallDisk | None,
    ) -> None:
        self.watch, self.folder, self.supervisor, self.disk = watch, folder, supervisor, disk
        self.networks, self.engines = networks, engines
        self.troubles: Counter[str] = Counter()


Trouble = Callable[[World, str], contextlib.AbstractContextManager[None]]
"""For a block; the name is that of the exporter whose turn it is."""


@contextlib.contextmanager
def no_descriptors(world: World, name: str) -> Iterator[None]:
    pid = child(world.supervisor, name)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with world.watch.without(name):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def forbidden_results(world: World, _: str) -> Iterator[None]:
    with world.watch.without(*_RUN_FAMILIES):
        (world.folder / "results").chmod(0)
        try:
            yield
        finally:
            (world.folder / "results").chmod(0o755)


@contextlib.contextmanager
def forbidden_registers(world: World, _: str) -> Iterator[None]:
    files = list((world.folder / "sys").rglob("energy_uj"))
    with world.watch.without("rapl", "docker_stats"):
        for file in files:
            file.chmod(0)
        try:
            yield
        finally:
            for file in files:
                file.chmod(0o644)


@contextlib.contextmanager
def full_disk(world: World, _: str) -> Iterator[None]:
    """Nothing is lost: what is kept there is for the next start."""
    if world.disk is not None:
        world.disk.fill()
    try:
        yield
    finally:
        if world.disk is not None:
            world.disk.free()


def scraper_network(mode: Mode) -> Trouble:
    """Ten requests, each exporter's share of them, come or go badly."""

    @contextlib.contextmanager
    def trouble(world: World, _: str) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            for proxy in world.networks.values():
                for _ in range(10):
                    client = held.enter_context(socket.create_connection(proxy.address))
                    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                held.enter_context(proxy.network(mode))
            held.enter_context(world.watch.without(*EXPORTERS))
            yield

    trouble.__name__ = f"scraper_{mode}"
    return trouble


def engine_network(mode: Mode) -> Trouble:
    @contextlib.contextmanager
    def trouble(world: World, _: str) -> Iterator[None]:
        with world.watch.without("docker_stats"), world.engines[0].network(mode):
            yield

    trouble.__name__ = f"engine_{mode}"
    return trouble


TROUBLES: Sequence[Trouble] = (
    no_descriptors,
    forbidden_results,
    engine_network("cut"),
    full_disk,
    scraper_network("cut"),
    no_descriptors,
    forbidden_registers,
    engine_network("silent"),
    scraper_network("silent"),
    no_descriptors,
    engine_network("slow"),
    scraper_network("slow"),
)


def _watch(world: World, resting: Sequence[Actor], rounds: int) -> Counter[str]:
    """Scrape every second, let ``resting`` rest at the end of each round, and kill one exporter between two.

    Returns how often each was killed.
    """
    kills: Counter[str] = Counter()
    watch = world.watch
    troubles = [trouble for trouble in TROUBLES if world.engines or not trouble.__name__.startswith("engine")]
    for number in range(rounds):
        if number:
            name = KILL_ORDER[number % len(KILL_ORDER) - 1]
            os.kill(child(world.supervisor, name), signal.SIGKILL)
            watch.killed(name)
            kills[name] += 1
        end = time.monotonic() + ROUND_SECONDS
        trouble = troubles[number % len(troubles)]
        with trouble(world, (*KILL_ORDER[2:], *KILL_ORDER[:2])[number % len(KILL_ORDER)]):
            watch.pass_time(TROUBLE_SECONDS)
        world.troubles[trouble.__name__] += 1
        watch.pass_time(end - time.monotonic())
        with contextlib.ExitStack() as turns:
            for actor in resting:
                turns.enter_context(actor.turn)
            watch.settle()
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


def everything(seconds: float, seed: int = 1) -> dict[str, object]:
    """Run with a Docker engine where one can be had."""
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="wfe-")))
        engine = None
        if missing_for_engine() is None:
            engine = DockerEngine(folder / "d")
            engine.folder.mkdir()
            held.callback(engine.remove)
            engine.start()
        return run(folder, seconds, seed, engine)


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
