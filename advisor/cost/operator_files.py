"""Reading an operator's files: YAML documents and CSV series, with errors that name file, field and need."""

from __future__ import annotations

import contextlib
import csv
import datetime
import difflib
import io
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from advisor.cost.checks import Checker
from advisor.cost.tariffs.schedule import Series
from advisor.errors import PricingError

__all__ = ["check_keys", "near", "read_series", "read_text", "read_yaml"]


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, or a `PricingError` that names it."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise PricingError(f"cannot be read: {exc.strerror or exc}", subject=path) from exc
    except UnicodeDecodeError as exc:
        raise PricingError("expected UTF-8 text", subject=path) from exc


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file whose top level is a mapping."""
    from advisor.common.yaml_text import YamlError, parse_yaml

    text = read_text(path)
    try:
        document = parse_yaml(text)
    except YamlError as exc:
        raise PricingError(f"expected YAML: {exc}", subject=path) from exc
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise PricingError("expected a mapping of names to values at the top level", subject=path)
    return document


def near(name: str, known: Iterable[str], count: int = 5) -> list[str]:
    """Known names that look like ``name``: by beginning, by likeness, by a part."""
    folded = {candidate.casefold(): candidate for candidate in known}
    wanted = name.casefold()
    found = sorted(n for n in folded if wanted and n.startswith(wanted))
    found += difflib.get_close_matches(wanted, folded, count)
    found += sorted(n for n in folded if wanted and wanted in n)
    return [folded[n] for n in list(dict.fromkeys(found))[:count]]


def check_keys(record: Mapping[str, Any], known: Iterable[str], *, subject: object, field: str = "") -> None:
    """Refuse a key that is not known: a misspelt one would be a silent default."""
    known = tuple(known)
    for key in record:
        if key not in known:
            alike = near(str(key), known, 3)
            hint = f"did you mean {' or '.join(alike)}?" if alike else f"expected one of {', '.join(known)}"
            raise PricingError(hint, subject=subject, field=f"{field}{key}")


def read_series(
    path: str | os.PathLike[str],
    column: str,
    *,
    check: Callable[[str, str], float],
    hold_seconds: float | None = None,
) -> Series:
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
        times.append(_moment(row["timestamp"], Checker(path), f"{place}, timestamp"))
        text = (row[column] or "").strip()
        values.append(check(text, f"{place}, {column}") if text else None)
    try:
        return Series.of(times, values, hold_seconds)
    except PricingError as exc:
        raise PricingError(exc.problem, subject=path, field=exc.field) from None


def _moment(text: str | None, check: Checker, field: str) -> float:
    text = (text or "").strip()
    moment: datetime.datetime | None = None
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(text)
    if moment is not None and moment.tzinfo is not None:
        return moment.timestamp()
    try:
        # "20260301" is a date to fromisoformat; without an offset only Unix seconds are left
        return check.amount(text, field)
    except PricingError:
        raise check.error(
            f"expected ISO 8601 with an offset (2026-03-01T00:00:00+01:00) or Unix seconds, found {text!r}",
            field,
        ) from None
