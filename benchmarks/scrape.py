"""One scrape of the RAPL exporter beside node_exporter's rapl collector and prometheus_client's server.

All serve the same zones to the same client on kept connections and take turns in short rounds, so that
whatever else the machine does falls on all. The counters move between the rounds. prometheus_client serves
the families that our exporter served. Needs ``prometheus-node-exporter`` on the PATH.

    python -m benchmarks.scrape [--zones 4,16,64] [--rounds 40] [--scrapes 100] [--json]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, report, sizes
from benchmarks.peers import LIBRARY, NODE_EXPORTER, Client, Peer, beside, client_library, node_exporter, race
from tests.support.exporter_client import served
from tests.support.powercap_tree import PowercapTree

GOAL, GOAL_ZONES = 0.5, 4


def tree_of(sysfs: Path, zones: int) -> PowercapTree:
    """Sockets with a dram each: four zones are what a server of two sockets without psys shows."""
    tree = PowercapTree(sysfs)
    for number in range(zones // 2):
        tree.add(f"intel-rapl:{number}", f"package-{number}", start_uj=number * 10**9)
        tree.add(f"intel-rapl:{number}:0", "dram", start_uj=number * 10**9)
    return tree


def measure(zones: int, rounds: int, scrapes: int) -> Iterator[Figure]:
    """Latency, CPU time and memory at one number of zones."""
    with tempfile.TemporaryDirectory() as name:
        tree = tree_of(Path(name), zones)

        def move() -> None:
            for register in tree.registers.values():
                register.add(25.0)

        with served("exporters.rapl", "--sysfs", name) as ours, node_exporter(Path(name)) as node:
            client = Client(ours.port)
            page = client.scrape()
            client.close()
            with client_library(page) as library:
                servers = {"rapl": Peer(ours.port, ours.process.pid), NODE_EXPORTER: node, LIBRARY: library}
                taken = race(servers, rounds=rounds, scrapes=scrapes, before_round=move)
    goals = {NODE_EXPORTER: GOAL} if zones == GOAL_ZONES else {}
    yield from beside("rapl", taken, goals, size=zones, of="zones")
    for peer in (NODE_EXPORTER, LIBRARY):
        memory = taken["rapl"].resident_mib, taken[peer].resident_mib
        yield Figure("memory of rapl", memory[0], "MiB", peer, memory[1], size=zones, of="zones")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--zones", type=sizes, default=[4, 16, 64], help="even numbers, with commas")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--scrapes", type=int, default=100, help="scrapes a round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which(NODE_EXPORTER) is None:
        sys.stderr.write(f"{NODE_EXPORTER} is not installed: nothing to compare with\n")
        return 1
    found = [f for zones in options.zones for f in measure(zones, options.rounds, options.scrapes)]
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
