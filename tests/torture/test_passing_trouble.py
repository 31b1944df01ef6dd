"""Trouble that passes: whatever could not be read for a while, the page is then that of a fresh start.

Each exporter of files runs beside a random hand that takes a file's permission, its place, its content or all
descriptors of the process away, or puts a pipe, a device or a file without end there, changes something else
meanwhile, and puts everything back as it was, times included; an engine's socket goes and comes too. Short
by default, long with --long.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from advisor.containers.engine import engine_address
from advisor.cost.price_inputs import PriceOptions
from advisor.energy.meter import Meter
from advisor.errors import EnergyError
from advisor.quality.settings import QualitySettings
from advisor.regression.predictions import Estimate, Prediction
from advisor.regression.service import PredictionAnswer
from advisor.results import read_run
from advisor.results.folder import ResultFolder
from exporters.cost import CostCollector
from exporters.docker_stats import DockerCollector, Settings
from exporters.live import LiveCollector
from exporters.predictions import Predictor
from exporters.qoe import QoeCollector, ScoringWork
from exporters.results import ResultsCollector
from exporters.runtime import Collector, Family, Metric, Part
from exporters.runtime.scrape import PageSource
from exporters.runtime.web_config import Web
from tests.support.cgroup_tree import CgroupTree
from tests.support.engine_fake import FakeEngine
from tests.support.exporter_client import samples
from tests.support.model_folder import put_model
from tests.support.users import nobody, open_folder
from tests.support.waiting import wait_until

Make = Callable[[], Collector]


class World(Struct):
    """How an exporter is made, what it reads beside the results, and what else changes it."""

    make: Make
    sources: list[Path]
    change: Callable[[random.Random], object] = lambda _: None
    renew: Callable[[random.Random], object] = lambda _: None
    """Done again after each trouble: what trouble cut in two."""
    troubles: Sequence[Callable[[Path], Callable[[], None]]] = ()
    """Of its own."""


def put_run(folder: Path, number: int, names: Sequence[str]) -> None:
    power = {"mean_watts": 50, "total_energy_joules": 3000, "tier": "measured"}
    scenarios = [
        {
            "name": name,
            "duration": 60,
            "start_time": 1.7e9 + number,
            "end_time": 1.7e9 + number + 60,
            "power": power,
            "input": {"path": "clip.mp4", "name": "clip.mp4"},
            "outputs": [{"path": "encode.mp4", "frames": 1500, "duration": 60, "resolution": "640x360"}],
        }
        for name in names
    ]
    data = json.dumps({"schema_version": 1, "scenarios": scenarios}).encode()
    rewrite(folder / f"test_results_{number:02d}.json", data)


def rewrite(path: Path, data: bytes) -> None:
    """In place; a pipe that lies there would hold up whoever writes."""
    if path.is_file() or not path.exists():
        path.write_bytes(data)


def oracle(models_dir: Path, files: Sequence[Path]) -> PredictionAnswer:
    """Stands for the child process, and reads what it would read."""
    predictions = [
        Prediction(
            run_id=run.run_id,
            scenario=scenario.name,
            mean_power_watts=Estimate(100.0, 95.0, 105.0),
            total_energy_joules=None,
            confidence=0.9,
            hardware_known=True,
            encoder_known=True,
            tier="measured",
        )
        for run in map(read_run, files)
        for scenario in run.scenarios
    ]
    return PredictionAnswer(predictions=predictions)


def results_world(folder: Path, _: contextlib.ExitStack) -> World:
    results, models = folder / "results", folder / "models"
    put_model(models)

    def make() -> Collector:
        predictor = Predictor(models, results, oracle, retry_seconds=0.01)
        return ResultsCollector(ResultFolder(results, runs=10, max_scenarios=100), predictor)

    home = models / "intel-1"
    inside = [home / "latest", home / "0001", home / "0001" / "manifest.json"]
    return World(make, [models, home, *inside])


def cost_world(folder: Path, _: contextlib.ExitStack) -> World:
    results, prices = folder / "results", folder / "prices"
    prices.mkdir()
    (prices / "tariff.yaml").write_text("series: series.csv\n")
    series = "1600000000,0.1\n1700000010,0.2\n1900000000,0.3\n"
    (prices / "series.csv").write_text(f"timestamp,price_per_kwh\n{series}")
    (prices / "regions.yaml").write_text("regions: {here: {price_per_kwh: 0.1, carbon_grams_per_kwh: 100}}\n")
    (prices / "rates.yaml").write_text("base: EUR\ndate: 2026-01-01\nrates: {USD: 1.1}\n")
    (prices / "carbon.csv").write_text("timestamp,carbon_grams_per_kwh\n1600000000,100\n1700000010,300\n")
    options = PriceOptions(
        region=("here",),
        tariff=prices / "tariff.yaml",
        carbon_series=prices / "carbon.csv",
        regions_file=prices / "regions.yaml",
        exchange_rates=prices / "rates.yaml",
    )

    def make() -> Collector:
        folder = ResultFolder(results, runs=10, max_scenarios=100)
        return CostCollector(folder, options, clock=lambda: 1.8e9)

    return World(make, [prices, *sorted(prices.iterdir())])


def qoe_world(folder: Path, _: contextlib.ExitStack) -> World:
    results = folder / "results"
    pairs = folder / "pairs.yaml"
    for name in ("clip.mp4", "encode.mp4"):
        (results / name).write_bytes(b"video")
    pairs.write_text("- {reference: results/clip.mp4, distorted: results/encode.mp4, name: mine}\n")

    def make() -> Collector:
        listed = ResultFolder(results, runs=10, max_scenarios=100)
        return QoeCollector(
            listed, results, ScoringWork(None, (results.resolve(),), QualitySettings(), pairs)
        )

    return World(make, [pairs, results / "encode.mp4", results / "clip.mp4"])


class WebCollector:
    """The web configuration as a page: who is let in, and with which certificate."""

    name = "web"
    poll_seconds = 1.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._web: Web | None = None

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def parts(self) -> dict[str, Part]:
        self._web = self._web or Web(self._path)
        for _ in range(2):  # what is being written is taken a second later
            self._web.reload()
        names = sorted(self._web.passwords.users)
        assert self._web.tls is not None
        context, _ = self._web.tls
        # what is in force is told by its authority, which is the certificate itself here
        return {"": Part(in_force, (tuple(names), *map(str, context.get_ca_certs())))}


IN_FORCE = Family("web_in_force", "What is in force.", ("what",))


def in_force(names: Sequence[str], *certificates: str) -> list[Metric]:
    return [IN_FORCE([((what,), 1.0) for what in (*names, *certificates)])]


def web_world(folder: Path, _: contextlib.ExitStack) -> World:
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    for number in range(2):
        command = f"{new} -subj /CN=server{number} -keyout {number}.key -out {number}.crt"
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        (folder / f"{number}.key").chmod(0o644)
    tls = "{cert_file: tls.crt, key_file: tls.key, client_ca_file: tls.crt}"
    config = folder / "web.yml"
    config.write_text(
        f"tls_server_config: {tls[:-1]}, client_auth_type: VerifyClientCertIfGiven}}\n"
        f"basic_auth_users: {{alice: '$2b$04${'a' * 53}'}}\n"
    )

    def renew(chance: random.Random) -> None:
        """Written in place, as a careless script does."""
        number = chance.randrange(2)
        for kind in ("crt", "key"):
            rewrite(folder / f"tls.{kind}", (folder / f"{number}.{kind}").read_bytes())

    renew(random.Random(0))
    sources = [config, folder / "tls.crt", folder / "tls.key"]
    return World(lambda: WebCollector(config), sources, change=renew, renew=renew)


class StreamList(LiveCollector):
    """The list of live streams as a page; no window is made."""

    poll_seconds = 1.0

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def parts(self) -> dict[str, Part]:
        self._reread()
        return {"": Part(in_force, (tuple(self._states), self._problem or ""))}


def live_world(folder: Path, _: contextlib.ExitStack) -> World:
    path = folder / "streams.yaml"

    def put(chance: random.Random) -> None:
        name = f"stream {chance.randrange(10)}"
        text = f"streams: [{{name: {name}, reference: a.mp4, renditions: [{{name: b, url: c.mp4}}]}}]\n"
        rewrite(path, text.encode())

    put(random.Random(0))
    return World(lambda: StreamList(path, "ffmpeg"), [path], change=put)


class Names(DockerCollector):
    """The containers that an engine is said to have, as a page."""

    poll_seconds = 1.0

    def parts(self) -> dict[str, Part]:
        assert self._sampler is not None
        snapshot = self._sampler.snapshot()
        views = () if snapshot is None else snapshot.containers
        up = snapshot is not None and snapshot.engine is not None
        return {"": Part(in_force, (tuple(view.container.name for view in views), f"up {up}"))}


def no_meter() -> Meter:
    raise EnergyError("none")


def socket_world(folder: Path, held: contextlib.ExitStack) -> World:
    tree = CgroupTree(folder / "cgroup", "v2")
    engine = FakeEngine(folder)
    engine.start()
    held.callback(engine.stop)
    settings = Settings(
        address=engine_address(engine.host),
        interval_seconds=0.05,
        cgroupfs=str(tree.root),
        procfs=str(folder),
    )

    def change(chance: random.Random) -> None:
        container = f"{chance.randrange(5):064x}"
        if container in engine.containers:
            engine.remove(container, tell=chance.random() < 0.5)
        else:
            tree.add(container)
            engine.add(container, f"name {chance.randrange(10**9)}", tell=chance.random() < 0.5)

    def ended(_: Path) -> Callable[[], None]:
        engine.stop()
        return engine.start

    def silent(_: Path) -> Callable[[], None]:
        engine.hang()
        return engine.resume

    def confused(_: Path) -> Callable[[], None]:
        engine.mode = random.choice(["error", "garbage", "truncated"])
        return engine.resume

    def make() -> Collector:
        return Names(settings, no_meter)

    def renew(_: random.Random) -> None:
        """Another trouble may have put the socket of before in the place of the new one."""
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(engine.socket)):
                engine.stop()
                engine.start()

    sources, troubles = [engine.socket], (ended, silent, confused)
    return World(make, sources, change=change, renew=renew, troubles=troubles)


def forbidden(path: Path) -> Callable[[], None]:
    mode = path.stat().st_mode & 0o777
    path.chmod(0)
    return lambda: path.chmod(mode)


def listed_only(path: Path) -> Callable[[], None]:
    """Mode 0744 of a folder: its names can be read and nothing else."""
    mode = path.stat().st_mode & 0o777
    path.chmod(0o744 if path.is_dir() else 0)
    return lambda: path.chmod(mode)


def away(path: Path) -> Callable[[], None]:
    elsewhere = path.with_name(f".{path.name}.away")
    path.rename(elsewhere)
    return lambda: elsewhere.rename(path) and None


def torn(path: Path) -> Callable[[], None]:
    """Its content is cut off, and written again in place with the same size and times."""
    if path.is_dir():
        return away(path)
    content, info = path.read_bytes(), path.stat()
    path.write_bytes(content[: len(content) // 2])

    def heal() -> None:
        path.write_bytes(content)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    return heal


def in_its_place(make: Callable[[Path], None]) -> Callable[[Path], Callable[[], None]]:
    """Something else lies where the file was: what hangs, never ends, or leads nowhere."""

    def trouble(path: Path) -> Callable[[], None]:
        back = away(path)
        try:
            make(path)
        except OSError:  # the first trouble is in the way
            back()
            raise

        def heal() -> None:
            path.unlink(missing_ok=True)
            back()

        return heal

    return trouble


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


TROUBLES = (
    in_its_place(os.mkfifo),
    in_its_place(sparse),
    in_its_place(lambda path: path.symlink_to("/dev/zero")),
    in_its_place(lambda path: path.symlink_to(path.name)),
)


def no_descriptors(path: Path) -> Callable[[], None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def page(source: PageSource) -> dict[str, float] | None:
    with nobody():
        source.collect()
    shown = source.page()
    return None if shown is None else samples(shown.text(False).decode())


WORLDS = (results_world, cost_world, qoe_world, web_world, live_world, socket_world)


@pytest.fixture
def quick_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds until an engine is asked again."""
    for name, seconds in {
        "ROUND_SECONDS": 0.2,
        "SHORTEST_RETRY_SECONDS": 0.02,
        "LONGEST_RETRY_SECONDS": 0.1,
        "LIST_EVERY_ROUNDS": 1,
    }.items():
        monkeypatch.setattr(f"advisor.containers.watcher.{name}", seconds)


# the SDK leaves the socket of a refused connection to the garbage collector
@pytest.mark.filterwarnings("ignore:.*unclosed.*socket:ResourceWarning")
@pytest.mark.usefixtures("quick_engine")
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_after_trouble_the_page_is_that_of_a_fresh_start(
    request: pytest.FixtureRequest,
    world: Callable[[Path, contextlib.ExitStack], World],
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    chance = random.Random(seed)
    rounds = 250 if request.config.getoption("--long") else 30
    troubles: Counter[str] = Counter()
    with open_folder() as folder, contextlib.ExitStack() as held:
        results = folder / "results"
        results.mkdir()
        for number in range(5):
            put_run(results, number, ["a", "b"])
        here = world(folder, held)
        collector = here.make()
        collector.start()
        source = PageSource(collector, {})
        try:
            for _ in range(rounds):
                troubles.update(disturb(chance, source, results, here))
                change(chance, results, here)
                assert_as_fresh(source, here.make)
        finally:
            collector.close()
        record_property(f"{world.__name__}, {rounds} rounds", dict(troubles))


def disturb(chance: random.Random, source: PageSource, results: Path, here: World) -> list[str]:
    """One trouble or two, some looks while it lasts, and everything put back; what had trouble."""
    runs = sorted(results.glob("*.json"))
    places = [results, *chance.sample(runs, min(1, len(runs))), *here.sources]
    troubles = [forbidden, listed_only, away, torn, no_descriptors, *TROUBLES, *here.troubles]
    chosen = chance.sample(places, chance.choice([1, 1, 2]))
    with contextlib.ExitStack() as heals:
        for place in chosen:
            with contextlib.suppress(OSError):  # the first trouble may be in the second one's way
                heals.callback(healed, chance.choice(troubles)(place))
        for _ in range(chance.randrange(3)):
            change(chance, results, here)
            page(source)
    here.renew(chance)
    return ["a result" if place in runs else place.name for place in chosen]


def healed(heal: Callable[[], None]) -> None:
    """Unless the file is gone in the meantime."""
    with contextlib.suppress(FileNotFoundError):
        heal()


def change(chance: random.Random, results: Path, here: World) -> None:
    """Something else happens meanwhile, where it can."""
    with contextlib.suppress(OSError):
        number = chance.randrange(6)
        if chance.random() < 0.5:
            here.change(chance)
        if chance.random() < 0.4:
            (results / f"test_results_{number:02d}.json").unlink(missing_ok=True)
        else:
            put_run(results, number, chance.sample("abcd", 2))


def assert_as_fresh(source: PageSource, make: Make) -> None:
    """At the first look; what a thread has to predict first comes with it."""
    collector = make()
    collector.start()
    fresh = PageSource(collector, {})
    compared: list[Any] = []

    def same() -> bool:
        compared[:] = [page(source), page(fresh)]
        return source.success and fresh.success and compared[0] == compared[1] and settled(compared[1])

    try:
        wait_until(same)
    except AssertionError:
        now, wanted = (set((shown or {}).items()) for shown in compared)
        pytest.fail(f"{source.error}: shown alone {now - wanted}, missing {wanted - now}")
    finally:
        collector.close()


def settled(shown: dict[str, float]) -> bool:
    """Whether every scenario that will have a prediction has it."""
    if "results_runs" not in {name.partition("{")[0] for name in shown}:
        return True
    scenarios = sum(name.startswith("results_scenario_mean_power_watts{") for name in shown)
    return scenarios == sum(name.startswith("results_scenario_predicted_power_watts{") for name in shown)
