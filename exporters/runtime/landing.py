"""The small page at ``/``."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from html import escape
from importlib.metadata import version

from exporters.runtime.collector import Exporter
from exporters.runtime.scrape import Report

__all__ = ["landing_page"]

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:1rem/1.5 sans-serif;margin:2rem auto;max-width:48rem;padding:0 1rem}}
td,th{{text-align:left;padding:.1rem 1rem .1rem 0}}</style></head>
<body><h1>{title}</h1>
<p>Wattframe {version}</p>
<ul><li><a href="/metrics">Metrics</a></li><li><a href="/health">Health</a></li></ul>
<table><tr><th>Collector</th><th>Last collection</th><th>Took</th><th>State</th></tr>
{rows}</table></body></html>
"""


def landing_page(exporter: Exporter, reports: Iterable[Report]) -> bytes:
    """Name, version, links and how each collector did last; everything is escaped."""
    rows = "".join(
        f"<tr><td>{escape(r.name)}</td><td>{_when(r.at)}</td><td>{r.seconds * 1000:.1f} ms</td>"
        f"<td>{escape(r.error or ('ok' if r.at else 'not yet'))}</td></tr>\n"
        for r in reports
    )
    page = _PAGE.format(title=escape(exporter.title), version=escape(version("wattframe")), rows=rows)
    return page.encode()


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")
