"""One value of an exporter's page."""

from __future__ import annotations

import re
import urllib.request

__all__ = ["value"]


def value(url: str, series: str) -> float | None:
    """The value of a series, written as on the page; None where it is absent."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310
        page = answer.read().decode()
    match = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return None if match is None else float(match[1])
