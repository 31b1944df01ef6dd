"""Scrapes of the exporters of result files, beside nginx and prometheus_client's server, by size.

nginx sends the very bytes that the exporter sent from files in the page cache, the compressed ones as they
are (``gzip_static``), so both only send; prometheus_client's server renders (and compresses) the same
families at each scrape. All are asked in turn by one client.

    python -m benchmarks.snapshots [--exporters results,qoe,cost] [--scenarios 10,1000,10000]
                                   [--scrapes 200] [--json]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, report, sizes
from benchmarks.peers import LIBRARY, Client, Peer, beside, client_library, nginx, race
from benchmarks.result_files import EXPORTERS, options_of, put_files
from tests.support.exporter_client import served

GOAL, GOAL_SCENARIOS = 1.5, 10_000
_ROUNDS = 10
_OF = "scenarios"


def measure(name: str, scenarios: int, scrapes: int) -> Iterator[Figure]:
    """All figures of one exporter at one size."""
    with tempfile.TemporaryDirectory() as folder:
        put_files(Path(folder), scenarios)
        start = time.perf_counter()
        with served(f"exporters.{name}", *options_of(name, Path(folder))) as ours:
            _until_ready(ours.port)
            ready_seconds = time.perf_counter() - start
            page, packed = (_page(ours.port, gzip) for gzip in (False, True))
            with nginx(page, packed) as web, client_library(page) as library:
                servers = {name: Peer(ours.port, ours.process.pid), "nginx": web, LIBRARY: library}
                for gzip in (True, False):
                    taken = race(servers, rounds=_ROUNDS, scrapes=max(scrapes // _ROUNDS, 1), gzip=gzip)
                    kind = "gzip" if gzip else "plain"
                    goals = {"nginx": GOAL} if scenarios == GOAL_SCENARIOS else {}
                    yield from beside(name, taken, goals, size=scenarios, of=_OF, kind=kind)
    for kind, size in (("plain", len(page)), ("gzip", len(packed))):
        yield Figure(f"page of {name}, {kind}", size / 1e6, "MB", size=scenarios, of=_OF)
    yield Figure(f"start to ready of {name}", ready_seconds, "s", size=scenarios, of=_OF)
    memory = taken[name].resident_mib, taken[LIBRARY].resident_mib
    yield Figure(f"memory of {name}", memory[0], "MiB", LIBRARY, memory[1], size=scenarios, of=_OF)


def _until_ready(port: int) -> None:
    client = Client(port, "/-/ready", buffer_bytes=1 << 16)
    while client.scrape() != b"OK":
        time.sleep(0.01)
    client.close()


def _page(port: int, gzip: bool) -> bytes:
    client = Client(port, gzip=gzip)
    page = client.scrape()
    client.close()
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--exporters", default=",".join(EXPORTERS), help="names, with commas")
    parser.add_argument("--scenarios", type=sizes, default=[10, 1000, 10_000], help="sizes, with commas")
    parser.add_argument("--scrapes", type=int, default=200, help="scrapes of each server and encoding")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.stderr.write("nginx is not installed: nothing to compare with\n")
        return 1
    names = options.exporters.split(",")
    found = [f for name in names for size in options.scenarios for f in measure(name, size, options.scrapes)]
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
