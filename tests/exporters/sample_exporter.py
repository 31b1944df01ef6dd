"""An exporter for the runtime's tests: collectors that are told by flags how to misbehave."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

from exporters.runtime import Collector, Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.options import number

WATTS = Family("sample_power_watts", 'Power of a zone, "now".', ("zone",))
JOULES = Family("sample_energy_joules_total", "Energy.", ("zone",))
SLOW = Family("sample_slow", "From a slow source.")
ITEMS = Family("sample_item_size_bytes", "Size of an item.", ("item",))


class Quick(Collector):
    """Asked at each scrape; raises while the file named by --fail-file is there."""

    name = "quick"
    poll_seconds = None

    def __init__(self, fail_file: Path) -> None:
        self._fail_file = fail_file

    def parts(self) -> dict[str, Part]:
        if self._fail_file.exists():
            raise OSError(5, "Input/output error")
        return {"": Part(quick_families)}


def quick_families() -> Iterator[Metric]:
    yield WATTS([(("package_0",), 12.5), (("dram_0",), None)])
    yield JOULES([(("package_0",), 1e6 / 3)])


class Slow(Collector):
    """Polled; each look takes as long as it was told, and so does the end."""

    name = "slow"
    poll_seconds = 0.0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def close(self) -> None:
        time.sleep(self._seconds)

    def parts(self) -> dict[str, Part]:
        time.sleep(self._seconds)
        return {"": Part(slow_families)}


def slow_families() -> Iterator[Metric]:
    yield SLOW.one(1)


class Folder(Collector):
    """Polled: the sizes of a folder's files; fails when the folder is a file."""

    name = "folder"
    poll_seconds = 0.05

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def parts(self) -> dict[str, Part]:
        sizes = {path.name: path.stat().st_size for path in sorted(self._folder.iterdir())}
        return {name: Part(item_families, (name, size)) for name, size in sizes.items()}


def item_families(name: str, size: int) -> Iterable[Metric]:
    return [ITEMS([((name,), size)])]


def build(options: Namespace) -> list[Collector]:
    collectors: list[Collector] = [Quick(options.fail_file)]
    if options.slow_seconds is not None:
        collectors.append(Slow(options.slow_seconds))
    if options.folder is not None:
        collectors.append(Folder(options.folder))
    return collectors


EXPORTER = Exporter(
    name="sample",
    title="Sample <exporter>",
    port=9599,
    options=(
        Option("--fail-file", "SAMPLE_FAIL_FILE", Path("/nonexistent"), Path, "fail while this file exists"),
        Option("--slow-seconds", "SAMPLE_SLOW_SECONDS", None, number(0), "how slow the slow source is"),
        Option("--folder", "SAMPLE_FOLDER", None, Path, "folder of items"),
    ),
    build=build,
    families=(WATTS, JOULES, SLOW, ITEMS),
)

if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
