"""One new result file of ten scenarios among many: until the page that Prometheus asks for is ready again.

Each exporter's collector refreshes in a process of its own, as in the exporter's thread; both the compressed
and the plain page are made ready, as for clients that ask for either. Beside it, in the same process,
`prometheus_client.generate_latest` renders the same families, which is what its server does at each scrape.

    python -m benchmarks.rebuild [--exporters results,qoe,cost] [--scenarios 10,1000,10000] [--json]
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, quantile, report, sizes
from benchmarks.peers import LIBRARY
from benchmarks.result_files import EXPORTERS, options_of, put_file, put_files
from exporters.runtime.options import read_options
from exporters.runtime.scrape import PageSource

GOAL_MS = 500
_TURNS = 9


def turns(name: str, folder: Path, files: int) -> tuple[float, list[tuple[float, float]], float]:
    """Seconds of the first build, wall and CPU of each rebuild, and those of the library's rendering."""
    exporter = importlib.import_module(f"exporters.{name}").EXPORTER
    options, _ = read_options(exporter, options_of(name, folder), {})
    (collector,) = exporter.build(options)
    source = PageSource(collector, {})
    start = time.perf_counter()
    source.collect()
    page = source.page()
    assert page is not None
    page.packed(True)
    plain = page.text(False)
    first, rebuilds = time.perf_counter() - start, []
    for number in range(files, files + _TURNS):
        path = put_file(folder, number)
        start, busy = time.perf_counter(), time.thread_time()
        source.collect()
        rebuilds.append((time.perf_counter() - start, time.thread_time() - busy))
        assert source.page() is not page
        path.unlink()
        source.collect()
        page = source.page()
    return first, rebuilds, _library_seconds(plain)


def _library_seconds(page: bytes) -> float:
    from prometheus_client import generate_latest
    from prometheus_client.metrics_core import Metric
    from prometheus_client.parser import text_string_to_metric_families
    from prometheus_client.registry import CollectorRegistry

    families = list(text_string_to_metric_families(page.decode()))

    class Fixed:
        def collect(self) -> list[Metric]:
            return families

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fixed())
    start = time.perf_counter()
    generate_latest(registry)
    return time.perf_counter() - start


def measure(name: str, scenarios: int) -> Iterator[Figure]:
    """One exporter at one size, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
        files = put_files(Path(folder), scenarios)
        first, rebuilds, library = pool.apply(turns, (name, Path(folder), files))
    wall, cpu = (quantile(column, 0.5) * 1e3 for column in zip(*rebuilds, strict=True))
    goal = GOAL_MS if scenarios == 10_000 else None
    yield Figure(f"rebuild of {name}, one new file", wall, "ms", goal=goal, size=scenarios, of="scenarios")
    yield Figure(
        f"CPU of a rebuild of {name}", cpu, "ms", LIBRARY, library * 1e3, size=scenarios, of="scenarios"
    )
    yield Figure(
        f"first build of {name}", first * 1e3, "ms", LIBRARY, library * 1e3, size=scenarios, of="scenarios"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--exporters", default=",".join(EXPORTERS), help="names, with commas")
    parser.add_argument("--scenarios", type=sizes, default=[10, 1000, 10_000], help="sizes, with commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.exporters.split(",")
    found = [f for name in names for size in options.scenarios for f in measure(name, size)]
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
