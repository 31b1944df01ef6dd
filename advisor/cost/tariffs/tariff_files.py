"""Tariffs as an operator writes them: flat, by tiers, by the clock, or a series from a file.

::

    currency: EUR
    price_per_kwh: 0.21              # flat; or

    tiers: [{up_to_kwh: 1000, price_per_kwh: 0.10}, {price_per_kwh: 0.14}]
    kwh_per_month: 4000              # what the site uses: the next kilowatt-hour costs 0.14; or

    time_zone: Europe/Berlin         # time of use; or
    holidays: [2026-01-01, 2026-12-25]
    periods:
      - {name: day, price_per_kwh: 0.28, days: weekdays, hours: "06:00-22:00"}
    otherwise_per_kwh: 0.19          # everything that no period names

    series: day_ahead.csv            # timestamp,price_per_kwh, or what a provider gives
    hold_seconds: 3600               # how long a value holds at most
    zone: SE3                        # of a file with several

    surcharge_percent: 3             # of each of the four: on top of every price,
    fees_per_kwh: 0.09               # beside that, in the tariff's currency,
    vat_percent: 19                  # and on top of all
    standing_charge_per_day: 0.50    # whatever is used
    allow_negative: true             # a market may pay for taking

Exactly one of the four. Every minute of every kind of day must have exactly one price.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from advisor.common.near import did_you_mean
from advisor.cost.checks import Checker, Positive, Quantity
from advisor.cost.currencies import currency_code
from advisor.cost.exchange_rates import converted
from advisor.cost.operator_files import read_yaml
from advisor.cost.tariffs.schedule import Flat, SourcedSchedule, scaled
from advisor.cost.tariffs.series_files import SERIES_SUFFIXES, read_series, series_paths
from advisor.cost.tariffs.time_of_use import TariffSpec, TimeOfUseSpec, time_of_use
from advisor.errors import PricingError


class FlatSpec(TariffSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One price, as written."""

    price_per_kwh: Any


class Tier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One price up to a month's consumption; the last one has no end."""

    price_per_kwh: Any
    up_to_kwh: Positive = math.inf


class TiersSpec(TariffSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices by the site's consumption of a month, as written."""

    tiers: Annotated[list[Tier], Meta(min_length=1)]
    kwh_per_month: Quantity


class SeriesSpec(TariffSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files of prices over time, as written."""

    series: str | list[str]
    hold_seconds: Positive | None = None
    zone: str | None = None


_SPECS: dict[str, type[TariffSpec]] = {
    "price_per_kwh": FlatSpec,
    "tiers": TiersSpec,
    "periods": TimeOfUseSpec,
    "series": SeriesSpec,
}
"""The key that says which kind of tariff a document is."""


def read_tariff(path: str | os.PathLike[str], check: Checker | None = None) -> SourcedSchedule:
    """Read a tariff from ``.yaml``/``.yml``, or a series from ``.csv``, ``.json`` or ``.xml``.

    ``check`` has the currency that a tariff without its own is in.
    """
    path, options = Path(path), check or Checker()
    if path.suffix.lower() in SERIES_SUFFIXES:
        return parse_tariff({"series": path.name}, replace(options, subject=path), folder=path.parent)
    if path.suffix.lower() in (".yaml", ".yml"):
        document, cells = read_yaml(path, options)
        return parse_tariff(document, cells, folder=path.parent)
    raise PricingError("expected a file that ends in .yaml, .yml, .csv, .json or .xml", subject=path)


def parse_tariff(
    document: Mapping[str, Any], check: Checker, *, folder: Path, field: str = ""
) -> SourcedSchedule:
    """Read the document of a tariff; ``folder`` is where its series lies."""
    dotted = f"{field}." if field else ""
    names = {name for kind in _SPECS.values() for name in kind.__struct_fields__}
    for name in document:
        if name not in names:
            raise check.error(did_you_mean(name, names), f"{dotted}{name}")
    kinds = [key for key in _SPECS if key in document]
    if len(kinds) != 1:
        problem = f"expected one of {', '.join(_SPECS)}, found {' and '.join(kinds) or 'none'}"
        raise check.error(problem, field or None)
    spec: TariffSpec = check.convert(document, _SPECS[kinds[0]], field)
    code = spec.currency
    if code is not None:
        code = currency_code(code, subject=check.subject, field=f"{dotted}currency")
        check = replace(check, currency=code)
    price = SourcedSchedule(Flat(0.0), spec.source or str(check.subject), code)
    if isinstance(spec, SeriesSpec):
        series = read_series(
            series_paths(folder, spec.series),
            "price",
            check,
            hold_seconds=spec.hold_seconds,
            zone=spec.zone,
            with_vat=spec.vat_percent == 0,
            allow_negative=spec.allow_negative,
        )
        if code is not None and series.currency not in (None, code):
            raise check.error(f"its file is in {series.currency}", f"{dotted}currency")
        price = replace(series, source=spec.source or series.source, currency=series.currency or code)
        if spec.fees_per_kwh or spec.standing_charge_per_day:
            # they are in the tariff's currency, whatever its file is in
            price = converted(price, check.currency, check.rates, check.subject)
    elif isinstance(spec, TimeOfUseSpec):
        price = replace(price, schedule=time_of_use(spec, check, dotted))
    elif isinstance(spec, TiersSpec):
        price = replace(price, schedule=Flat(_marginal(spec, check, dotted)))
    elif isinstance(spec, FlatSpec):
        flat = check.price(spec.price_per_kwh, f"{dotted}price_per_kwh", allow_negative=spec.allow_negative)
        price = replace(price, schedule=Flat(flat))
    return _with_fees(price, spec, check, dotted)


def _marginal(spec: TiersSpec, check: Checker, dotted: str) -> float:
    """What the next kilowatt-hour costs at the site's consumption."""
    limits = [tier.up_to_kwh for tier in spec.tiers]
    if any(after <= before for before, after in itertools.pairwise(limits)):
        raise check.error("expected each up_to_kwh above the one before it", f"{dotted}tiers")
    for index, tier in enumerate(spec.tiers):
        field = f"{dotted}tiers[{index}].price_per_kwh"
        price = check.price(tier.price_per_kwh, field, allow_negative=spec.allow_negative)
        if spec.kwh_per_month < tier.up_to_kwh:
            return price
    raise check.error("expected a last tier without up_to_kwh", f"{dotted}tiers")


def _with_fees(price: SourcedSchedule, spec: TariffSpec, check: Checker, dotted: str) -> SourcedSchedule:
    for name, least in (("surcharge_percent", 1), ("vat_percent", 1.28)):
        percent = getattr(spec, name)
        if 0 < percent < least and percent != 1 and not check.accept_unusual:
            problem = f"{percent:g} % is little: is it a share (then {100 * (percent % 1):g})?"
            raise check.doubt(problem, f"{dotted}{name}")
    fees = check.price(spec.fees_per_kwh, f"{dotted}fees_per_kwh", allow_negative=True)
    vat, surcharge = 1 + spec.vat_percent / 100, 1 + spec.surcharge_percent / 100
    if fees or vat * surcharge != 1:
        price = replace(price, schedule=scaled(price.schedule, surcharge * vat, fees * vat))
    return replace(price, per_hour=spec.standing_charge_per_day * vat / 24)
