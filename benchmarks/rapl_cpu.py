"""What the RAPL exporter costs: CPU and memory with a sample a second, a scrape every 5 s and eight zones.

node_exporter's rapl collector serves the same tree to the same client beside it; between scrapes it rests.

    python benchmarks/rapl_cpu.py [--minutes 10] [--json]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import Figure, cpu_seconds, report, resident_mib
from benchmarks.peers import NODE_EXPORTER, Client, node_exporter
from tests.support.exporter_client import served
from tests.support.moving import moving
from tests.support.powercap_tree import PowercapTree

SCRAPE_SECONDS = 5.0
GOAL = 0.003


def eight_zones(sysfs: Path) -> PowercapTree:
    """Two sockets with core, uncore and dram."""
    tree = PowercapTree(sysfs)
    for number in range(2):
        tree.add(f"intel-rapl:{number}", f"package-{number}", start_uj=number * 10**9)
        for place, domain in enumerate(("core", "uncore", "dram")):
            tree.add(f"intel-rapl:{number}:{place}", domain, start_uj=number * 10**9)
    return tree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tree = eight_zones(folder)
        stack.enter_context(moving(tree, watts=20.0, every_seconds=0.1))
        ours = stack.enter_context(served("exporters.rapl", "--sysfs", str(folder)))
        clients, pids = {"rapl": Client(ours.port)}, {"rapl": ours.process.pid}
        if shutil.which(NODE_EXPORTER):
            peer = stack.enter_context(node_exporter(folder))
            clients[NODE_EXPORTER], pids[NODE_EXPORTER] = Client(peer.port), peer.pid
        for client in clients.values():
            client.scrape(1)
        before, start = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
        scrapes = round(options.minutes * 60 / SCRAPE_SECONDS)
        for number in range(1, scrapes + 1):
            time.sleep(max(start + number * SCRAPE_SECONDS - time.monotonic(), 0.0))
            for client in clients.values():
                client.scrape(1)
        seconds = time.monotonic() - start
        figures = {
            name: {
                "core_share": (cpu_seconds(pid) - before[name]) / seconds,
                "resident_mib": resident_mib(pid),
            }
            for name, pid in pids.items()
        }
        for client in clients.values():
            client.close()
    own, length = figures.pop("rapl"), f"over {seconds / 60:.3g} min, sampled every second"
    percent = own["core_share"] * 100
    found = [Figure(f"CPU of rapl, 8 zones {length}", percent, "% of a core", goal=GOAL * 100)]
    for peer, theirs in figures.items():
        cpu = theirs["core_share"] * 100
        found.append(Figure(f"CPU of rapl, 8 zones {length}", percent, "% of a core", peer, cpu))
        memory = own["resident_mib"], theirs["resident_mib"]
        found.append(Figure("memory of rapl, 8 zones", memory[0], "MiB", peer, memory[1]))
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
