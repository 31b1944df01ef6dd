"""What the RAPL exporter costs: CPU and memory with a sample a second, a scrape every 5 s and eight zones.

node_exporter's rapl collector serves the same tree to the same client beside it; between scrapes it rests.

    python benchmarks/rapl_cpu.py [--minutes 10] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import cpu_seconds
from benchmarks.peers import NODE_EXPORTER, Client, node_exporter
from exporters.runtime.testing import served
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


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tree = eight_zones(folder)
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
            for register in tree.registers.values():
                register.add(100.0)
            for client in clients.values():
                client.scrape(1)
        seconds = time.monotonic() - start
        figures = {
            name: {
                "core_share": (cpu_seconds(pid) - before[name]) / seconds,
                "resident_bytes": resident_bytes(pid),
            }
            for name, pid in pids.items()
        }
        for client in clients.values():
            client.close()
    if options.json:
        print(json.dumps({"seconds": seconds, "figures": figures}))
        return 0
    for name, row in figures.items():
        print(
            f"{name:26} {row['core_share']:.3%} of a core, {row['resident_bytes'] / 2**20:.1f} MiB resident"
        )
    print(f"over {seconds:.0f} s; goal of rapl: at most {GOAL:.1%} of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
