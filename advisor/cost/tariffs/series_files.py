"""Prices or intensities over time from files, as an operator or a provider writes them.

The operator's own CSV has the columns ``timestamp`` and ``price_per_kwh`` or ``carbon_grams_per_kwh``; what
providers give is recognised by `advisor.cost.tariffs.provider_files`. Several files, such as the days or the
pages of an API, are one series.
"""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.cost.checks import Checker, Grams, Number
from advisor.cost.operator_files import read_text
from advisor.cost.tariffs.provider_files import (
    Asked,
    ProviderReadings,
    Reading,
    SeriesKind,
    TableRow,
    from_json,
    from_table,
    from_xml,
    is_hole,
    unix_seconds,
)
from advisor.cost.tariffs.schedule import SourcedSchedule, StepSeries
from advisor.errors import PricingError

SERIES_SUFFIXES = (".csv", ".json", ".xml")
_COLUMNS: dict[SeriesKind, str] = {"price": "price_per_kwh", "carbon": "carbon_grams_per_kwh"}
_BASES = ("direct", "lifecycle")
"""What providers give; a series of the operator's own is of the basis that he says."""
_OWN = ""
"""Provider of the operator's own files."""
_BETWEEN = ",;\t|"
_APART = r"'\u2019\s"
"""What parts thousands beside the mark that is no decimal mark."""
_DECIMALS = re.compile(rf"[-\u2212]?(?:(?:0|\d{{4,}})([.,])\d+|[\d.,{_APART}]*([.,])(?:\d\d?|\d{{4,}}))")
"""A number in which the mark cannot part thousands."""
_NUMBERS = {
    mark: re.compile(rf"([-\u2212]?)(\d+|[1-9]\d?\d?(?:[{apart}{_APART}]\d{{3}})+)(?:[{mark}](\d+))?")
    for mark, apart in ((",", "."), (".", ","))
}
"""Sign, whole and fraction of a number, by its decimal mark."""


def series_paths(folder: Path, names: str | Sequence[str]) -> list[Path]:
    """The files that a document names; one with ``*`` stands for several, in the order of their names."""
    listed = [names] if isinstance(names, str) else list(names)
    paths: list[Path] = []
    for name in listed:
        paths += sorted(folder.glob(name)) if "*" in name else [folder / name]
    if not paths:
        raise PricingError("expected files, found none", subject=folder / ", ".join(listed))
    return paths


def read_series(
    paths: Sequence[Path],
    quantity: SeriesKind,
    check: Checker,
    *,
    hold_seconds: float | None = None,
    zone: str | None = None,
    basis: str | None = None,
    with_vat: bool = True,
    allow_negative: bool = False,
) -> SourcedSchedule:
    """The series in ``paths``, per kWh; in the file's currency where it says one.

    Parameters
    ----------
    check
        Of what names the files: it has the currency of prices that do not say theirs.
    hold_seconds
        How long a value holds at most; else until the file says, else for the usual step.
    zone
        Of files with several zones, the one to read.
    basis
        Of files with intensities of several kinds, the one to read: lifecycle (the default) or direct.
    with_vat
        Whether prices that come both ways are read with VAT.
    allow_negative
        Of the operator's own files; markets pay for taking.

    Raises
    ------
    PricingError
        Names file, line and column of what cannot be used.
    """
    values: list[tuple[Reading, float | None]] = []
    cells = [replace(check, subject=path, lines={}) for path in paths]
    parsed = [
        (cell, _parse(path, quantity, Asked(cell, zone, basis, with_vat)))
        for path, cell in zip(paths, cells, strict=True)
    ]
    # a provider may have had nothing on one of the days that it was asked for
    parsed = [(cell, given) for cell, given in parsed if given.rows]
    subject = paths[0] if len(paths) == 1 else paths[0].parent
    if not parsed:
        raise PricingError("expected values, found none", subject=subject)
    first = parsed[0][1]
    for cell, given in parsed:
        if (given.provider, given.currency, given.zone) != (first.provider, first.currency, first.zone):
            raise cell.error(f"expected provider, currency and zone of {parsed[0][0].subject}")
        cell = replace(cell, currency=given.currency or cell.currency)
        negative = allow_negative or given.provider != _OWN
        values += [(row, _value(row, given, cell, negative)) for row in given.rows]
    if quantity == "carbon":
        # an hour of a grid may be that clean, all of them are not
        highest = max(value or 0.0 for _, value in values)
        replace(check, subject=subject, lines={}).grams(highest, "carbon_grams_per_kwh")
    try:
        series = _steps(
            values, hold_seconds, in_order=first.provider == _OWN, are_revised=quantity == "carbon"
        )
    except PricingError as exc:
        raise PricingError(exc.problem, subject=subject, field=exc.field) from None
    source = ", ".join(filter(None, (first.provider, first.zone))) or str(subject)
    return SourcedSchedule(series, source, first.currency, first.basis)


def _parse(path: Path, quantity: SeriesKind, asked: Asked) -> ProviderReadings:
    text, check, zone, basis = read_text(path), asked.check, asked.zone, asked.basis
    start = text.lstrip()[:1]
    if start == "<":
        readings = from_xml(text, asked)
    elif start in ("{", "["):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise check.error(f"expected JSON: {exc}") from None
        readings = from_json(document, asked)
    else:
        columns, rows = _table(text, check)
        readings = from_table(columns, rows, asked) or _own_table(columns, rows, quantity, check)
    if readings is None:
        raise check.error("expected a supported provider's format, or CSV with timestamp and value")
    if readings.rows and readings.quantity != quantity:
        raise check.error(f"expected a series of {quantity}, found one of {readings.quantity}")
    if readings.rows and zone not in (None, readings.zone):
        raise check.error(f"expected {zone}, found {readings.zone or 'a file without zones'}", "zone")
    if basis in _BASES and readings.basis not in (None, basis):
        raise check.error(f"expected {basis} intensities, found {readings.basis} ones")
    return readings


def _table(text: str, check: Checker) -> tuple[list[str], list[TableRow]]:
    """A CSV file with any of `_BETWEEN` between its cells; every row as long as its header."""
    # Excel may begin with a line that says what parts the cells
    separator_line = re.match(rf"sep=([{_BETWEEN}])\r?\n", text)
    header = text.partition("\n")[0]
    delimiter = separator_line[1] if separator_line else max(_BETWEEN, key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        table = [(lines.line_num, cells) for cells in lines][1 if separator_line else 0 :]
    except csv.Error as exc:
        raise check.error(f"expected CSV: {exc}", f"line {lines.line_num}") from None
    columns = [name.strip() for name in table[0][1]] if table else []
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise check.error(f"expected each column once, found {twice[0]!r} twice", "line 1")
    rows: list[tuple[int, list[str]]] = []
    for line, cells in table[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            problem = f"expected {len(columns)} cells as in the header, found {len(cells)}"
            comma = delimiter == "," and len(cells) > len(columns)
            hint = " (a decimal comma needs a semicolon between the cells)" if comma else ""
            raise check.error(problem + hint, f"line {line}")
        rows.append((line, cells))
    texts = [_plain_numbers(column, delimiter) for column in zip(*(cells for _, cells in rows), strict=True)]
    return columns, [
        TableRow(line, dict(zip(columns, cells, strict=True)))
        for (line, _), cells in zip(rows, zip(*texts, strict=True), strict=True)
    ]


def _plain_numbers(column: Sequence[str], delimiter: str) -> Sequence[str]:
    """The numbers of a column with a decimal point and nothing between thousands; other texts as they are.

    A number in which a mark cannot part thousands tells which is the decimal mark of all. Where none does, a
    comma that does not part the cells is one.

    >>> _plain_numbers(["1.030", "932,5"], ";"), _plain_numbers(["1,030", "932.5"], ",")
    (['1030', '932.5'], ['1030', '932.5'])
    """
    column = [cell.strip() for cell in column]
    told = next(filter(None, map(_DECIMALS.fullmatch, column)), None)
    if told is None and delimiter == ",":
        return column
    if told is None and not any(map(str.isdecimal, column)):
        return [cell.replace(",", ".") for cell in column]
    # beside numbers without any mark, as below 1.000, a point that could part thousands does
    pattern = _NUMBERS[told[1] or told[2] if told else ","]
    return [_plain_number(match) if (match := pattern.fullmatch(cell)) else cell for cell in column]


def _plain_number(match: re.Match[str]) -> str:
    sign, whole, fraction = match.groups()
    return ("-" if sign else "") + re.sub(r"\D", "", whole) + (f".{fraction}" if fraction else "")


def _own_table(
    columns: Sequence[str], rows: Sequence[TableRow], quantity: SeriesKind, check: Checker
) -> ProviderReadings:
    column = _COLUMNS[quantity]
    for needed in ("timestamp", column):
        if needed not in columns:
            raise check.error(f"expected the columns timestamp and {column}", needed)
    readings = [
        Reading(
            unix_seconds(row.cells["timestamp"], check, f"line {row.line}, timestamp"),
            None,
            row.cells[column],
            f"line {row.line}, {column}",
        )
        for row in rows
    ]
    for before, after in itertools.pairwise(readings):
        if after.start <= before.start:
            line = after.place.partition(",")[0]
            raise check.error("expected a time after the one before it", f"{line}, timestamp")
    return ProviderReadings(quantity, _OWN, readings)


def _value(row: Reading, given: ProviderReadings, check: Checker, allow_negative: bool) -> float | None:
    """A value per kWh; None is a hole."""
    value = row.value.strip() if isinstance(row.value, str) else row.value
    if is_hole(value):
        return None
    if given.quantity == "carbon":
        grams: float = check.convert(value, Grams, row.place)
        return grams
    if given.factor != 1.0:
        value = check.convert(value, Number, row.place) * given.factor
    return check.price(value, row.place, allow_negative=allow_negative)


def _steps(
    values: Sequence[tuple[Reading, float | None]],
    hold_seconds: float | None,
    in_order: bool,
    are_revised: bool,
) -> StepSeries:
    """A step for each reading; a hole where one ends before the next begins.

    Of several for one moment what was measured goes before what was not, then the later one where
    ``are_revised``; else they are to be equal.
    """
    if in_order:
        return StepSeries.of([row.start for row, _ in values], [value for _, value in values], hold_seconds)
    # pages of an API overlap
    steps: list[tuple[Reading, float | None]] = []
    for row, value in sorted(values, key=lambda pair: pair[0].start):
        before, former_value = steps[-1] if steps else (row, None)
        if not steps or row.start > before.start:
            steps.append((row, value))
        elif value is None or (row.provisional and former_value is not None and not before.provisional):
            continue
        elif former_value is None or before.provisional or are_revised:
            steps[-1] = (row, value)
        else:
            _check_same(former_value, value, row)
    ends = [row.end for row, _ in steps]
    if not steps or None in (ends[:-1] or ends):
        return StepSeries.of([row.start for row, _ in steps], [value for _, value in steps], hold_seconds)
    times: list[float] = []
    prices: list[float | None] = []
    for (row, value), end, (after, next_value) in zip(steps, ends, [*steps[1:], steps[-1]], strict=True):
        times.append(row.start)
        prices.append(value)
        if end is not None and end < after.start:
            times.append(end)
            prices.append(None)
        elif end is not None and after.start < end < math.inf and not are_revised:
            # what has no end holds until the next begins
            _check_same(value, next_value, after)
    last, end = steps[-1][0].start, ends[-1]
    return StepSeries(tuple(times), tuple(prices), (end - last) if end is not None else hold_seconds or 0.0)


def _check_same(former: float | None, later: float | None, row: Reading) -> None:
    if former is not None and later is not None and former != later:
        moment = datetime.datetime.fromtimestamp(row.start, datetime.UTC).isoformat(timespec="minutes")
        problem = f"expected one value for {moment}, found {former:g} and {later:g}"
        raise PricingError(problem, field=row.place)
