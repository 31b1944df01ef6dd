"""What the tests of exporters share: rendering a page, and serving for real on a free port."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from exporters.runtime.collector import Collector, LiveCollector
from exporters.runtime.families import Block
from exporters.runtime.families import render as render_family
from exporters.runtime.snapshot import PageBuilder

__all__ = ["Served", "render", "served"]


def render(collectors: Sequence[Collector], *, openmetrics: bool = False) -> bytes:
    """The families of ``collectors`` as ``/metrics`` has them, without what the runtime adds.

    The collectors are started, asked once, and closed. Whatever one raises is raised here.
    """
    page = b""
    for collector in collectors:
        collector.start()
        try:
            page += _page(collector, openmetrics)
        finally:
            collector.close()
    return page + b"# EOF\n" if openmetrics else page


def _page(collector: Collector, openmetrics: bool) -> bytes:
    if isinstance(collector, LiveCollector):
        return Block(map(render_family, collector.collect())).text(openmetrics).encode()
    builder = PageBuilder()
    page = builder.build(collector.refresh() or {})
    if builder.refused:
        raise ValueError(str(builder.refused))
    return page.plain(openmetrics)


class Served(Struct, frozen=True):
    """A running exporter."""

    url: str
    port: int
    process: subprocess.Popen[str]


@contextlib.contextmanager
def served(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Served]:
    """Run ``python -m module --port 0 ...`` (or a script's path) as a process until the block ends."""
    target = [module] if module.endswith(".py") else ["-m", module]
    command = [sys.executable, *target, "--port", "0", *arguments]
    environment = {**os.environ, **(env or {}), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=cwd) as process:
        try:
            yield _listening(process)
        finally:
            process.terminate()
            process.communicate(timeout=10)


def _listening(process: subprocess.Popen[str]) -> Served:
    assert process.stdout is not None  # noqa: S101  (asked for above)
    seen = []
    for line in process.stdout:
        seen.append(line)
        match = re.search(r"(https?://\S+:(\d+))", line)
        if "listening" in line and match:
            return Served(match[1].rstrip('",'), int(match[2]), process)
    raise RuntimeError(f"the exporter did not start: {''.join(seen)}")
