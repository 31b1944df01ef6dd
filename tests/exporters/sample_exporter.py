"""An exporter for the runtime's tests: one collector of each kind, told by flags how to misbehave."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from exporters.runtime import Collector, Exporter, Family, Filled, Option, Part, serve
from exporters.runtime.options import number

WATTS = Family("sample_power_watts", "gauge", 'Power of a zone, "now".', ("zone",))
JOULES = Family("sample_energy_joules_total", "counter", "Energy.", ("zone",))
SLOW = Family("sample_slow", "gauge", "From a slow source.")
ITEMS = Family("sample_item_size_bytes", "gauge", "Size of an item.", ("item",))


class Quick:
    """Inline; raises while the file named by --fail-file is there."""

    name = "quick"
    blocking = False

    def __init__(self, fail_file: Path) -> None:
        self._fail_file = fail_file

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def collect(self) -> Iterable[Filled]:
        yield WATTS([(("package_0",), 12.5), (("dram_0",), None)])
        if self._fail_file.exists():
            raise OSError(5, "Input/output error")
        yield JOULES([(("package_0",), 1e6 / 3)])


class Slow:
    """Blocking: takes as long as it was told."""

    name = "slow"
    blocking = True

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def collect(self) -> Iterable[Filled]:
        time.sleep(self._seconds)
        yield SLOW.one(1)


class Folder:
    """Snapshot: the sizes of a folder's files; fails when the folder is a file."""

    name = "folder"
    poll_seconds = 0.05

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, int] | None = None
        self._parts: dict[str, list[Filled]] = {}

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def refresh(self) -> dict[str, Part] | None:
        sizes = {path.name: path.stat().st_size for path in sorted(self._folder.iterdir())}
        if sizes == self._seen:
            return None
        former, self._seen = self._seen or {}, sizes
        self._parts = {
            name: self._parts[name] if former.get(name) == size else [ITEMS([((name,), size)])]
            for name, size in sizes.items()
        }
        return dict(self._parts)


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
