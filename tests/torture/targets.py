"""The readers of everything that comes from outside, each as a function of bytes.

A target hands the bytes to a reader as a file, an answer or a kernel tree would, and goes on with what the
reader made of them as far as the program does. The project's own errors are an answer. Whatever else leaves
the function, a wait without end and memory without bound are defects.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import requests
import urllib3
from msgspec import structs

from advisor.common.control_group import machine_memory_bytes
from advisor.containers.cgroups import Cgroups
from advisor.containers.counts import Counts
from advisor.containers.engine import Engine, EngineAddress
from advisor.containers.processes import EngineProcesses, network_bytes
from advisor.containers.records import EngineInfo
from advisor.cost.checks import Checker
from advisor.cost.exchange_rates import read_rates
from advisor.cost.regions.region_files import read_regions
from advisor.cost.tariffs.schedule import value_at
from advisor.cost.tariffs.tariff_files import read_tariff
from advisor.energy.calibration import load_calibration
from advisor.energy.powercap import PowercapSource, describe
from advisor.errors import WattframeError
from advisor.prometheus.client import PrometheusClient
from advisor.quality.pairs import read_pairs
from advisor.quality.settings import QualitySettings
from advisor.regression.registry import FEATURES_VERSION, Manifest, latest_manifests
from advisor.results import Run, parse_run
from exporters.runtime import web_config as exporters_web_config
from runner.batch import read_batch
from tests.support.cgroup_tree import cpu_seconds

if TYPE_CHECKING:
    from advisor.regression.model import TrainedModel

__all__ = ["CORPUS", "TARGETS", "seeds", "stored_model", "survive"]

CORPUS = Path(__file__).parent / "corpus"
ID = "a" * 64
_SEPARATOR = b"\n=====\n"
"""Between the files of a target that reads several."""


@functools.cache
def _folder() -> Path:
    """A folder of this process, in memory where there is such a place."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="wattframe-fuzz-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _parts(data: bytes, count: int) -> list[bytes]:
    """``count`` pieces, empty where there are fewer."""
    found = data.split(_SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def result_file(data: bytes) -> None:
    """A result file, and what the advisor makes of its scenarios."""
    run = parse_run(data, run_id="test_results_fuzz")
    assert run.start_time is None or math.isfinite(run.start_time)
    _advised(run)


def _advised(run: Run) -> None:
    from advisor.results.derived import published, repeats
    from advisor.scoring import scores

    repeats(run)
    for scenario in published(run):
        scores(scenario, run)


def result_pages(data: bytes) -> None:
    """A result file under the three exporters that publish it: each page is whole, whatever the file says."""
    from advisor.results.folder import ResultFolder
    from exporters.cost import CostCollector
    from exporters.predictions import Predictor
    from exporters.qoe import QoeCollector, ScoringWork
    from exporters.results import ResultsCollector
    from tests.support.exporter_client import page_of

    path = _file("pages/test_results_fuzz.json", data)
    folder = path.parent

    def results() -> ResultFolder:
        return ResultFolder(folder, runs=10, max_scenarios=10_000)

    for collector in (
        ResultsCollector(results(), Predictor(folder / "none", folder)),
        QoeCollector(results(), folder, ScoringWork(None, (folder.resolve(),))),
        CostCollector(results(), _priced(), clock=lambda: 1.8e9),
    ):
        _check_page(page_of(collector).decode())


@functools.cache
def _priced() -> Any:
    from advisor.cost.price_inputs import PriceOptions

    return PriceOptions(region=("eu-north-1",), cpu_cost_per_hour=0.5, gpu_cost_per_hour=1.0)


def _check_page(page: str) -> None:
    """Every line is a comment or a series with a number; no series is there twice."""
    seen = set()
    for line in page.split("\n"):
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            assert math.isfinite(float(value)), line
            assert series not in seen, line
            seen.add(series)


def web_config(data: bytes) -> None:
    """The web configuration, with certificate files beside it that are none."""
    for name in ("a.crt", "a.key"):
        _file(f"web/{name}", b"no certificate")
    config = exporters_web_config.web_config(_file("web/web.yml", data), data)
    if config.tls is not None:
        exporters_web_config.ssl_context(config.tls)


def powercap(data: bytes) -> None:
    """A zone whose files hold anything, sampled over ten minutes."""
    name, largest, limit, *registers = _parts(data, 6)
    zone = "sys/class/powercap/intel-rapl:0"
    for file, content in (("name", name), ("max_energy_range_uj", largest), ("energy_uj", registers[0])):
        _file(f"{zone}/{file}", content)
    _file(f"{zone}/constraint_0_max_power_uw", limit)
    source = PowercapSource(str(_folder() / "sys"))
    moments = iter(range(0, 6000))
    for register in (*registers, registers[0]):
        _file(f"{zone}/energy_uj", register)
        source.sample(lambda: float(next(moments)))
        for one in source.report():
            assert 0 <= one.joules < math.inf
    source.longest_interval_seconds()
    describe(str(_folder() / "sys"))


def cgroup(data: bytes) -> None:
    """The control group and process files of one container, v1 and v2."""
    cpu, memory, number, io, network, stat = _parts(data, 6)
    for root, files in (("v2", _v2), ("v1", _v1)):
        for name, content in files(cpu, memory, number, io):
            _file(f"{root}/{name}", content)
        where = (str(_folder() / name) for name in (root, "proc", "sys"))
        groups = Cgroups(*where, counts=Counts())
        location = groups.locate(ID)
        assert location is not None
        groups.details(location)
        with contextlib.suppress(OSError, ValueError):  # as documented
            assert math.isfinite(cpu_seconds(groups, location))
    _file("proc/7/net/dev", network)
    _file("proc/7/stat", stat)
    _file("proc/7/comm", b"dockerd\n")
    _file("proc/meminfo", number)
    _file("proc/7/cgroup", cpu)
    with contextlib.suppress(OSError, ValueError):
        network_bytes(str(_folder() / "proc"), 7)
    machine_memory_bytes(str(_folder() / "proc"))
    processes = EngineProcesses(str(_folder() / "proc"))
    for now in (1.0, 2.0):
        processes.look(now, EngineInfo("27.1.0", "1.46", 0.0), [ID])


def _v2(cpu: bytes, memory: bytes, number: bytes, io: bytes) -> Iterator[tuple[str, bytes]]:
    yield "cgroup.controllers", b"cpu io memory\n"
    yield f"docker/{ID}/cpu.stat", cpu
    yield f"docker/{ID}/memory.stat", memory
    yield f"docker/{ID}/memory.current", number
    yield f"docker/{ID}/memory.max", number
    yield f"docker/{ID}/io.stat", io


def _v1(cpu: bytes, memory: bytes, number: bytes, io: bytes) -> Iterator[tuple[str, bytes]]:
    yield f"cpu,cpuacct/docker/{ID}/cpuacct.usage", number
    yield f"cpu,cpuacct/docker/{ID}/cpu.stat", cpu
    yield f"memory/docker/{ID}/memory.stat", memory
    yield f"memory/docker/{ID}/memory.usage_in_bytes", number
    yield f"memory/docker/{ID}/memory.limit_in_bytes", number
    yield f"blkio/docker/{ID}/blkio.throttle.io_service_bytes_recursive", io


_DAY = b"timestamp,price_per_kwh,carbon_grams_per_kwh\n1000,0.1,300\n4600,0.2,250\n"


class _Sdk:
    """Stands for the SDK's client: every call gives the same document, as ``json`` reads it."""

    api_version = "1.41"
    base_url = "http://localhost"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _document(self, *_: object, **__: object) -> Any:
        return json.loads(self._data)

    containers = inspect_container = stats = info = _document

    def get(self, *_: object, **__: object) -> Any:
        return _Lines(self._data.splitlines())


class _Lines:
    """A streamed answer of the engine."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.iter_lines = lambda: iter(lines)

    def raise_for_status(self) -> None: ...

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None: ...


def engine(data: bytes) -> None:
    """An answer of the Docker engine to each of the calls that are made."""
    from advisor.containers import records
    from advisor.containers.engine import _translated

    one = Engine(EngineAddress())
    one._client = _Sdk(data)
    calls = (one.containers, lambda: one.inspect(ID), lambda: one.usage(ID), lambda: list(one.events(0, 1)))
    for call in calls:
        with contextlib.suppress(WattframeError):
            call()
    with contextlib.suppress(WattframeError), _translated():
        records.from_info(json.loads(data), "1.41")


class _Answer:
    """A response of requests with ``data`` as its body."""

    ok = True
    status_code = 200
    reason = "OK"

    def __init__(self, data: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.raw = urllib3.HTTPResponse(io.BytesIO(data), preload_content=False)

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None: ...


class _Adapter(requests.adapters.BaseAdapter):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def send(self, *_: object, **__: object) -> _Answer:  # type: ignore[override]
        return _Answer(self._data)

    def close(self) -> None: ...


def prometheus(data: bytes) -> None:
    """An answer of Prometheus to queries, and to the enrichment of a scenario."""
    from advisor.prometheus.power_in_windows import ask_power
    from advisor.prometheus.window_statistics import TimeSpan

    client = PrometheusClient("http://localhost:9090", retries=0)
    client._session.mount("http://", _Adapter(data))
    with contextlib.suppress(WattframeError):
        client.query_range("up", 0, 60, 15)
    with contextlib.suppress(WattframeError):
        for seen in ask_power([TimeSpan(1000.0, 1060.0)], client).values():
            power = seen.power
            assert power is None or power.mean_watts is None or math.isfinite(power.mean_watts)


def tariff(data: bytes) -> None:
    """A tariff of the operator, and its prices over a week in which clocks change."""
    csv, document = (data, b"") if data.startswith(b"timestamp") else (b"", data)
    _file("prices/day.csv", csv or _DAY)
    path = _file("prices/tariff.csv", csv) if csv else _file("prices/tariff.yaml", document)
    schedule = read_tariff(path, Checker(accept_unusual=True)).schedule
    for moment in (0.0, 1_774_745_999.0, 1_774_746_000.0):
        value = value_at(schedule, moment)
        assert value is None or math.isfinite(value)


def regions(data: bytes) -> None:
    """A file of the operator's own regions."""
    _file("prices/day.csv", _DAY)
    for region in read_regions(_file("prices/regions.yaml", data)).values():
        for given in (region.price, region.carbon):
            if given is not None:
                value_at(given.schedule, 0.0)


def rates(data: bytes) -> None:
    """Exchange rates."""
    found = read_rates(_file("prices/rates.yaml", data))
    assert math.isfinite(found.age_seconds(0.0))
    for code in found.per_base:
        found.factor(code, found.base)


def batch(data: bytes) -> None:
    """A batch file of the runner, as YAML and as JSON."""
    for name in ("batch.yaml", "batch.json"):
        with contextlib.suppress(WattframeError):
            read_batch(_file(name, data))


def pairs(data: bytes) -> None:
    """A list of pairs to score."""
    read_pairs(_file("pairs.yaml", data), QualitySettings())


def manifest(data: bytes) -> None:
    """The manifest of a model, and a calibration, which lies beside it."""
    path = _file("models/host/0001/manifest.json", data)
    link = path.parents[1] / "latest"
    if not link.is_symlink():
        link.symlink_to("0001")
    for one in latest_manifests(path.parents[2])[0]:
        assert one.error_ratio is None or math.isfinite(one.error_ratio)
    _file("models/host/calibration.json", data)
    load_calibration(path.parents[2], "host")  # lies in the same folder


def model(data: bytes) -> None:
    """A model file."""
    from advisor.regression.model_file import loads

    loads(data, Path("model.skops"))


def model_schema(data: bytes) -> None:
    """A model file whose archive is whole and whose schema, which says what is built, is anything."""
    from advisor.regression.model_file import loads

    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_model())) as base, zipfile.ZipFile(made, "w") as archive:
        for name in base.namelist():
            archive.writestr(name, data if name == "schema.json" else base.read(name))
    loads(made.getvalue(), Path("model.skops"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        result_file,
        result_pages,
        web_config,
        powercap,
        cgroup,
        engine,
        prometheus,
        tariff,
        regions,
        rates,
        batch,
        pairs,
        manifest,
        model,
        model_schema,
    )
}


def survive(target: str, data: bytes) -> None:
    """Run a target; its own errors are an answer."""
    with contextlib.suppress(WattframeError):
        TARGETS[target](data)


def seeds(target: str) -> list[bytes]:
    """The kept inputs of a target: what is usual, and everything that once broke it."""
    folder = CORPUS / target
    kept = [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
    if target == "model":
        return [*kept, _model()]
    if target == "model_schema":
        return [*kept, zipfile.ZipFile(io.BytesIO(_model())).read("schema.json")]
    return kept


@functools.cache
def _trained() -> TrainedModel:
    """A model of ten runs, made here: a kept one would fit one version of scikit-learn alone."""
    from advisor.regression.features import Case
    from advisor.regression.fitting import train

    cases = [
        Case(
            run_id="r",
            scenario=f"s{row}",
            hardware="host",
            encoder="libx264",
            video="clip",
            numbers={"log_bitrate_kbps": 6 + row / 3},
            streams=1,
            video_seconds=10.0,
            tier="measured",
            targets={"mean_power_watts": 10 * 2 ** (row / 3)},
        )
        for row in range(10)
    ]
    return train(cases)


@functools.cache
def _model() -> bytes:
    from advisor.regression.model_file import dumps

    return dumps(_trained())


def stored_model() -> tuple[TrainedModel, Manifest]:
    """A model and its manifest, as `advisor.regression.registry.save` takes them."""
    from advisor.regression.model_file import library_versions

    kept = msgspec.json.decode((CORPUS / "manifest" / "full.json").read_bytes(), type=Manifest)
    manifest = structs.replace(
        kept,
        feature_names=_trained().matrix.columns,
        features_version=FEATURES_VERSION,
        library_versions=library_versions(),
    )
    return _trained(), manifest
