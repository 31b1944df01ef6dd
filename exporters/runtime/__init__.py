"""The shared runtime of the exporters: collectors in, an HTTP server out.

An exporter is data (`Exporter`): a name, a port, options, and a function that builds its collectors. A
collector is live (reads at the scrape) or a snapshot (publishes when its data change); both yield families,
best filled ones of `Family`. See `exporters.runtime.collector` and `exporters.runtime.families`.
"""

from __future__ import annotations

from collections.abc import Sequence

from exporters.runtime.collector import Collector, Exporter, LiveCollector, Option, Part, SnapshotCollector
from exporters.runtime.families import Family, Filled

__all__ = [
    "Collector",
    "Exporter",
    "Family",
    "Filled",
    "LiveCollector",
    "Option",
    "Part",
    "SnapshotCollector",
    "serve",
]


def serve(exporter: Exporter, argv: Sequence[str] | None = None) -> int:
    """Parse options, serve until SIGTERM or SIGINT, return the exit code.

    0 ended by a signal, 1 the port is taken or a source broke at the start, 2 wrong options.
    """
    from exporters.runtime.server import main

    return main(exporter, argv)
