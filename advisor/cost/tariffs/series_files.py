"""Prices or intensities over time from a file."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import os
from collections.abc import Callable

from advisor.cost.checks import require_number
from advisor.cost.operator_files import read_text
from advisor.cost.tariffs.schedule import StepSeries
from advisor.errors import PricingError

__all__ = ["read_series"]


def read_series(
    path: str | os.PathLike[str],
    column: str,
    *,
    check: Callable[[str, str], float],
    hold_seconds: float | None = None,
) -> StepSeries:
    """A CSV with the columns ``timestamp`` and ``column``, one row a step, in the order of time.

    ``timestamp`` is ISO 8601 with an offset, or Unix seconds. An empty value is a hole: nothing is known
    until the next row. ``check`` turns a cell's text and its place into a number, or raises.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
    for needed in ("timestamp", column):
        if needed not in (rows.fieldnames or ()):
            raise PricingError(f"expected the columns timestamp and {column}", subject=path, field=needed)
    times: list[float] = []
    values: list[float | None] = []
    for row in rows:
        place = f"line {rows.line_num}"
        times.append(_moment(row["timestamp"] or "", f"{place}, timestamp", path))
        text = (row[column] or "").strip()
        values.append(check(text, f"{place}, {column}") if text else None)
    try:
        return StepSeries.of(times, values, hold_seconds)
    except PricingError as exc:
        raise PricingError(exc.problem, subject=path, field=exc.field) from None


def _moment(text: str, field: str, path: object) -> float:
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(text.strip())
        if moment.tzinfo is not None:
            return moment.timestamp()
    try:
        # "20260301" is a date to fromisoformat; without an offset only Unix seconds are left
        return require_number(text.strip(), field=field)
    except PricingError:
        problem = "expected ISO 8601 with an offset (2026-03-01T00:00:00+01:00) or Unix seconds"
        raise PricingError(f"{problem}, found {text!r}", subject=path, field=field) from None
