"""The shared runtime of the exporters: collectors in, an HTTP server out.

An exporter is data (`Exporter`): a name, a port, options, and a function that builds its collectors. A
collector gives families by part (`Collector`, `Part`); a `Family` is declared once and filled with values.
`prometheus_client` writes them, `uvicorn` serves them.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import Metric

from exporters.runtime.collector import Collector, Exporter, Option, Part
from exporters.runtime.families import Family

__all__ = ["Collector", "Exporter", "Family", "Metric", "Option", "Part", "serve"]


def serve(exporter: Exporter, argv: Sequence[str] | None = None) -> int:
    """Parse options, serve until SIGTERM or SIGINT, return the exit code.

    0 ended by a signal, 1 the port is taken or a source broke at the start, 2 wrong options.
    """
    from exporters.runtime.server import main

    return main(exporter, argv)
