"""The cost exporter with 10 000 scenarios: start, rebuild after one new file, scrape beside nginx.

One exporter of what `benchmarks.snapshots` (start, memory, scrapes of the very bytes that nginx serves) and
`benchmarks.rebuild` (one new file of ten scenarios, both pages made ready) measure of all. Needs ``nginx``.

    python -m benchmarks.cost_exporter [--scenarios 10000] [--scrapes 200] [--json]
"""

from __future__ import annotations

import argparse
import shutil
import sys

from benchmarks import rebuild, snapshots
from benchmarks.figures import report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--scrapes", type=int, default=200, help="scrapes of each server and encoding")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.stderr.write("nginx is not installed: nothing to compare with\n")
        return 1
    figures = [
        *snapshots.measure("cost", options.scenarios, options.scrapes),
        *rebuild.measure("cost", options.scenarios),
    ]
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
