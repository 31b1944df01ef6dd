"""Prices or intensities over time from files, as an operator or a provider writes them.

The operator's own CSV has the columns ``timestamp`` and ``price_per_kwh`` or ``carbon_grams_per_kwh``; what
providers give is recognised by `advisor.cost.tariffs.provider_files`. Several files, such as the days or the
pages of an API, are one series.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.cost.checks import Checker, Grams, Number
from advisor.cost.operator_files import read_text
from advisor.cost.tariffs.provider_files import (
    OWN,
    Asked,
    SeriesKind,
    Statement,
    read_statements,
)
from advisor.cost.tariffs.rows import read_rows
from advisor.cost.tariffs.schedule import SourcedSchedule, StepSeries
from advisor.errors import PricingError

SERIES_SUFFIXES = (".csv", ".json", ".xml")
_BASES = ("direct", "lifecycle")
"""What providers give; a series of the operator's own is of the basis that he says."""


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
        How long a value holds at most in files that give no ends; else for the usual step.
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
    subject = paths[0] if len(paths) == 1 else paths[0].parent
    statements: list[Statement] = []
    first, first_path = None, None
    for path in paths:
        cell = replace(check, subject=path, lines={})
        given = read_statements(
            *read_rows(read_text(path), cell), quantity, Asked(cell, zone, basis, with_vat)
        )
        if not given.statements:
            # a provider may have had nothing on one of the days that it was asked for
            continue
        if basis in _BASES and given.basis not in (None, basis):
            raise cell.error(f"expected {basis} intensities, found {given.basis} ones")
        if first is None:
            first, first_path = given, path
        if (given.provider, given.currency, given.zone) != (first.provider, first.currency, first.zone):
            raise cell.error(f"expected provider, currency and zone of {first_path}")
        cell = replace(cell, currency=given.currency or cell.currency)
        negative = allow_negative or given.provider != OWN
        file_name = f"{path.name}, " if len(paths) > 1 else ""
        for statement in given.statements:
            value, place = statement.value, statement.place
            if value is not None and quantity == "carbon":
                value = cell.convert(value, Grams, place)
            elif value is not None:
                value = value if given.factor == 1.0 else cell.convert(value, Number, place) * given.factor
                value = cell.price(value, place, "kWh at a moment", allow_negative=negative)
            statements.append(statement._replace(value=value, place=f"{file_name}{place}"))
    if first is None:
        raise PricingError("expected values, found none", subject=subject)
    # an hour of a grid may be that clean or cheap, all of them are not
    values = [statement.value for statement in statements if statement.value is not None]
    whole = replace(check, subject=subject, lines={})
    if values and quantity == "carbon":
        whole.grams(max(values), "carbon_grams_per_kwh")
    elif values and first.provider == OWN:
        whole.price_level(values, "price_per_kwh")
    try:
        series = _steps(statements, hold_seconds, are_revised=quantity == "carbon" and first.provider != OWN)
    except PricingError as exc:
        raise PricingError(exc.problem, subject=subject, field=exc.field) from None
    source = ", ".join(filter(None, (first.provider, first.zone))) or str(subject)
    return SourcedSchedule(series, source, first.currency, first.basis)


def _steps(statements: Sequence[Statement], hold_seconds: float | None, are_revised: bool) -> StepSeries:
    """A step for each statement; a hole where one ends before the next begins.

    Of several for one moment what was measured goes before what was not, then the later one where
    ``are_revised``; else they are to be equal.
    """
    by_start: dict[float, Statement] = {}
    for later in statements:
        # pages of an API overlap
        former = by_start.setdefault(later.start, later)
        if later.value is None or (later.provisional and former.value is not None and not former.provisional):
            continue
        if former.value is None or former.provisional or are_revised:
            by_start[later.start] = later
        else:
            _check_same(former, later)
            by_start[later.start] = max(former, later, key=lambda statement: statement.end or -math.inf)
    steps = [by_start[start] for start in sorted(by_start)]
    if any(step.end is None for step in steps):
        return StepSeries.of([step.start for step in steps], [step.value for step in steps], hold_seconds)
    times: list[float] = []
    values: list[float | None] = []
    before, until = steps[0], math.inf
    for step in steps:
        # what has no end holds until the next begins
        overlaps = step.start < until < math.inf
        if overlaps and step.value is None:
            continue
        if overlaps and not are_revised:
            _check_same(before, step)
        if until < step.start:
            times.append(until)
            values.append(None)
        times.append(step.start)
        values.append(step.value)
        # an hour goes on behind a quarter of the same value
        until = max(step.end or 0.0, until if overlaps and before.value == step.value else -math.inf)
        before = step
    return StepSeries(tuple(times), tuple(values), until - times[-1])


def _check_same(former: Statement, later: Statement) -> None:
    if former.value is not None and former.value != later.value:
        moment = datetime.datetime.fromtimestamp(later.start, datetime.UTC).isoformat(timespec="minutes")
        problem = f"expected one value for {moment}, found {former.value:g} and {later.value:g}"
        raise PricingError(problem, field=later.place)
