"""Prices and intensities as providers and operators write them: a value holds from one moment to another.

A `Format` names the cells of a row that hold the start, the end and the value. Zone, currency, unit and basis
of a value come from a cell beside it, else from the name of its column, else from the format. Of several the
one that is asked for is read. `FORMATS` is all that is known of providers: a new one is one more entry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from advisor.cost.checks import Checker, Number
from advisor.cost.tariffs.clocks import NO_SECONDS, on_the_wall, unix_seconds
from advisor.cost.tariffs.rows import Row, is_hole
from advisor.errors import PricingError

SeriesKind = Literal["price", "carbon"]
_CLOCKS = {"UTC": "UTC", "CET": "Europe/Brussels", "WET": "Europe/Lisbon", "EET": "Europe/Athens"}
"""What the columns of providers call UTC, and the clocks on the walls of Europe, summer time included."""
_PER = {"k": 1.0, "m": 1e-3}
_MOST_NAMES = 1000
"""Of cells; the whole of Europe has some hundred zones."""
OWN = ""
"""Provider of the operator's own files."""


class Statement(NamedTuple):
    """That a value holds from one moment to another."""

    start: float
    """Unix seconds."""
    end: float | None
    """None is unknown, infinite is until the next one starts."""
    value: Any
    """As it is written, or per kWh; None is a hole."""
    place: str
    provisional: bool = False
    """A forecast or an estimate: what was measured goes before it, and so does a later one."""


class ProviderReadings(Struct, frozen=True):
    """The values of a file and what they are."""

    provider: str
    statements: list[Statement]
    zone: str | None = None
    basis: str | None = None
    currency: str | None = None
    factor: float = 1.0
    """What a value is multiplied by to be per kWh, in whole units of the currency."""


class Format(Struct, frozen=True):
    """How a provider writes: patterns of the names of cells, in which small letters and capitals are one."""

    provider: str
    value: str
    """Its groups are facts about the value; one with the group ``forecast`` is a forecast."""
    cells: dict[str, str]
    """``start`` and ``end``, facts about the value, ``estimated`` and ``market``. The start's group ``clock``
    names the clock of its times; without it they have offsets."""
    facts: dict[str, str] = {}
    """About all: ``zone``, ``basis``, ``clock``, and ``unit``, a template of other facts; none is per kWh."""
    other_market: str = ""
    """Pattern of ``market`` in rows that are not read."""
    others_alone: bool = False
    """Whether rows of another market are read if there are no others."""
    ticks_per_second: int = 1
    """Of times that are numbers."""


_OF_PRICES = (
    Format(OWN, "price_per_kwh", {"start": "timestamp"}),
    Format(
        "ENTSO-E",
        r"price\.amount|Day-ahead Price(?: [\[(](?P<currency>\w+)/(?P<per>\w+)[\])])?",
        {
            "start": r"Point\.start|MTU \((?P<clock>[^/)]+).*",
            "end": r"Point\.end",
            "zone": r"out_Domain\.mRID|Area",
            "currency": r"currency(?:_Unit\.name)?",
            "per": r"price_Measure_Unit\.name",
            "market": r"Sequence|classificationSequence_AttributeInstanceComponent\.position",
        },
        {"unit": "{currency}/{per}"},
        other_market=".*[2-9]",
    ),
    Format(
        "Nord Pool",
        r"entryPerArea\.(?P<zone>.+)",
        {"start": "deliveryStart", "end": "deliveryEnd", "currency": "currency"},
        {"unit": "{currency}/MWh"},
    ),
    Format(
        "Nord Pool",
        r"(?P<zone>\S+)(?: Price)? \((?P<currency>(?!UTC|CET)[A-Z]{3})\)",
        {"start": r"Delivery Start \((?P<clock>[^/)]+).*"},
        {"unit": "{currency}/MWh"},
    ),
    # its ends are by the clock alone, also in the hour that comes twice
    Format(
        "SMARD",
        r"(?P<zone>[^∅].*?) ?\[€/MWh\].*",
        {"start": "Datum von|Start date"},
        {"unit": "EUR/MWh", "clock": "CET"},
    ),
    Format(
        "aWATTar",
        "marketprice",
        {"start": "start_timestamp", "end": "end_timestamp", "unit": "unit"},
        ticks_per_second=1000,
    ),
    Format("Energy-Charts", "price", {"start": "unix_seconds", "unit": "unit"}),
    Format(
        "Octopus Energy",
        "value_(?P<vat>inc|exc)_vat",
        {"start": "valid_from", "end": "valid_to", "market": "payment_method"},
        {"unit": "GBp/kWh"},
        other_market="NON_DIRECT_DEBIT",
        others_alone=True,
    ),
    # the data sets Elspotprices, and DayAheadPrices since quarters of an hour have prices of their own
    Format(
        "Energi Data Service",
        "(?:Spot|DayAhead)Price(?P<currency>[A-Z]{3})",
        {"start": "(?:Hour|Time)(?P<clock>UTC)", "zone": "PriceArea"},
        {"unit": "{currency}/MWh"},
    ),
    # a day of one zone, which the file does not name; hvakosterstrommen.no has the same
    Format(
        "elprisetjustnu.se",
        "(?P<currency>[A-Z]{3})_per_kWh",
        {"start": "time_start", "end": "time_end"},
        {"unit": "{currency}/kWh"},
    ),
)
_OF_INTENSITIES = (
    Format(OWN, "carbon_grams_per_kwh", {"start": "timestamp"}),
    Format(
        "Electricity Maps",
        r"carbon ?intensity(?:.*\((?:(?P<basis>direct)|lca|life).*)?",
        {
            "start": r"datetime(?: \((?P<clock>[^/)]+).*)?",
            "zone": "zone|zone id",
            "basis": "emissionFactorType",
            "estimated": "isEstimated|Data estimated",
        },
        {"basis": "lifecycle"},
    ),
    # regions have forecasts alone
    Format(
        "UK Carbon Intensity",
        r"(?:intensity\.)?(?:actual|(?P<forecast>forecast))(?: carbon intensity.*)?",
        {"start": r"from|datetime \((?P<clock>[^/)]+).*", "end": "to", "zone": "shortname"},
        {"zone": "GB", "basis": "direct"},
    ),
)
FORMATS: Mapping[SeriesKind, tuple[Format, ...]] = {"price": _OF_PRICES, "carbon": _OF_INTENSITIES}


class _Column(NamedTuple):
    """Cells of one name, and what the name itself says of them."""

    name: str
    facts: dict[str, str]


class Asked(Struct, frozen=True):
    """What is read of a file that may hold more, and what checks it."""

    check: Checker
    zone: str | None = None
    basis: str | None = None
    with_vat: bool = True
    """Of prices that come both ways."""

    def chosen(self, zones: Sequence[str]) -> str | None:
        """The zone to read of those in the file; None of a file without zones."""
        if self.zone in zones or (self.zone is None and len(zones) < 2):
            return self.zone or next(iter(zones), None)
        if not zones:
            raise self.check.error(f"expected {self.zone}, found a file without zones", "zone")
        asked_for = "" if self.zone is None else f", found {self.zone!r}"
        raise self.check.error(f"expected one of {', '.join(sorted(zones))}{asked_for}", "zone")

    def fits(self, value: _Column) -> int:
        """In how much a value is what is asked for."""
        wanted = {
            "currency": self.check.currency,
            "vat": "inc" if self.with_vat else "exc",
            "basis": "direct" if self.basis == "direct" else "lifecycle",
            "forecast": "",
        }
        return sum(value.facts.get(of, "").casefold() == what.casefold() for of, what in wanted.items())


def _columns(pattern: str | None, names: Sequence[str]) -> list[_Column]:
    matches = (re.fullmatch(pattern, name, re.IGNORECASE) for name in names if pattern)
    return [_Column(m[0], {k: v for k, v in m.groupdict().items() if v}) for m in matches if m]


def read_statements(
    names: Sequence[str], rows: Sequence[Row], quantity: SeriesKind, asked: Asked
) -> ProviderReadings:
    """The statements of a file, whose cells have the ``names``; an answer without data has none."""
    if not names:
        return ProviderReadings(OWN, [])
    if len(names) > _MOST_NAMES:
        raise asked.check.error(f"expected at most {_MOST_NAMES} names of cells, found {len(names)}")
    forms = {kind: [form for form in FORMATS[kind] if _columns(form.value, names)] for kind in FORMATS}
    if not forms[quantity]:
        columns = f"timestamp and {FORMATS[quantity][0].value}"
        problem = f"expected a supported provider's format, or CSV with the columns {columns}"
        for other in filter(forms.get, forms):
            problem = f"expected a series of {quantity}, found one of {other}"
        raise asked.check.error(problem)
    try:
        return _read(forms[quantity][0], names, rows, asked)
    except PricingError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise asked.check.error(f"expected the provider's fields: {exc}") from None


def _read(form: Format, names: Sequence[str], rows: Sequence[Row], asked: Asked) -> ProviderReadings:
    cells = {of: column for of, name in form.cells.items() for column in _columns(name, names)[:1]}
    rows = _of_first_market(form, cells, rows)
    if not rows:
        return ProviderReadings(form.provider, [])
    values = [_Column(name, {**form.facts, **facts}) for name, facts in _columns(form.value, names)]
    zones = [value.facts.get("zone") for value in values]
    if "zone" in cells:
        zones = [row.cell(cells["zone"].name) for row in rows]
    zone = asked.chosen(list(dict.fromkeys(filter(None, zones))))
    if "zone" not in cells:
        values = [value for value in values if value.facts.get("zone") == zone]
    elif zone is not None:
        rows = [row for row in rows if row.cell(cells["zone"].name) == zone]
    value = max(values, key=asked.fits)
    facts = value.facts
    for of in {"basis", "currency", "per", "unit"} & cells.keys():
        texts = list(dict.fromkeys(filter(None, (row.get(cells[of].name) for row in rows))))
        if len(texts) > 1:
            raise asked.check.error(f"expected one {of}, found {', '.join(map(str, texts))}", of)
        facts = {**facts, of: texts[0]} if texts else facts
    unit = facts["unit"] if "unit" in form.cells else form.facts.get("unit", "").format(**facts)
    currency, factor = _unit(str(unit), asked.check) if unit else (None, 1.0)
    if "start" not in cells:
        raise asked.check.error(f"expected {form.cells['start']} beside it", value.name)
    forecasts = [value.name for value in values if "forecast" in value.facts]
    statements = list(_statements(form, cells, rows, (value.name, *forecasts), asked.check))
    basis = facts["basis"].casefold() if "basis" in facts else None
    return ProviderReadings(form.provider, statements, zone, basis, currency, factor)


def _of_first_market(form: Format, cells: Mapping[str, _Column], rows: Sequence[Row]) -> Sequence[Row]:
    if "market" not in cells:
        return rows
    other, market = re.compile(form.other_market), cells["market"].name
    first = [row for row in rows if not other.fullmatch(str(row.get(market)))]
    return first if first or not form.others_alone else rows


def _unit(unit: str, check: Checker) -> tuple[str, float]:
    """The currency of a file, and what its values are multiplied by to be per kWh."""
    # where Energy-Charts says none, its documentation does
    unit = unit.replace("No Unit", "EUR/MWh")
    match = re.fullmatch(r"\s*([a-z]{3})\s*/\s*([mk])Wh\s*", unit, re.IGNORECASE)
    if match is None:
        raise check.error(f"expected a price per MWh or kWh such as EUR/MWh, found {unit!r}", "unit")
    factor = _PER[match[2].casefold()]
    return ("GBP", factor / 100) if match[1] == "GBp" else (match[1].upper(), factor)


def _statements(
    form: Format, cells: Mapping[str, _Column], rows: Sequence[Row], values: Sequence[str], check: Checker
) -> Iterator[Statement]:
    """A statement for each row: the first of ``values`` that it has; those after the first are forecasts."""
    clock = _CLOCKS.get({**form.facts, **cells["start"].facts}.get("clock", "").strip().upper())
    # by any other clock, a time needs its offset
    zone = ZoneInfo(clock) if clock else None
    dates = all(NO_SECONDS.fullmatch(str(row.cell(cells["start"].name)).strip()) for row in rows)

    def moments(row: Row, of: str) -> list[float]:
        cell, place = row.cell(cells[of].name), row.place.format(cells[of].name)
        if zone is not None:
            return on_the_wall(cell.partition(" - ")[0], zone, check, place)
        if form.ticks_per_second != 1:
            cell = check.convert(cell, Number, place) / form.ticks_per_second
        return [unix_seconds(str(cell), check, place, dates)]

    for row, start in zip(rows, _one_after_another([moments(row, "start") for row in rows]), strict=True):
        name = next((name for name in values if not is_hole(row.get(name))), values[-1])
        # an answer may leave out a zone at times; what the operator writes has its value
        told = row.cell(name) if form.provider == OWN else row.get(name)
        value = None if is_hole(told) else told
        place, shown = row.place.format(name), row.cell(cells["start"].name)
        if start is None and value is None:
            # the hour that is skipped in spring, which some list without a value
            continue
        if start is None:
            raise check.error(f"expected a time that clocks show, found {shown!r}", place)
        end = None
        if "end" in cells:
            shown = row.cell(cells["end"].name)
            end = math.inf if shown is None else moments(row, "end")[0]
        elif zone is not None and " - " in shown:
            end = _end_of_span(shown, start, zone, check, place)
        if end is not None and end <= start:
            raise check.error(f"expected an end after the start, found {shown!r}", place)
        estimated = "estimated" in cells and str(row.get(cells["estimated"].name)).casefold() == "true"
        provisional = estimated or name in values[1:] or row.place.startswith("forecast[")
        yield Statement(start, end, value, place, provisional)


def _one_after_another(moments: Sequence[list[float]]) -> list[float | None]:
    """The moment of each row that may be two, in the hour that comes twice, or none."""
    oldest_first = not any(len(either) > 1 for either in moments) or moments[0] <= moments[-1]
    starts: list[float | None] = []
    before = -math.inf
    for either in moments if oldest_first else reversed(moments):
        before = next((moment for moment in either if moment > before), either[-1] if either else before)
        starts.append(before if either else None)
    return starts if oldest_first else starts[::-1]


def _end_of_span(text: str, start: float, zone: ZoneInfo, check: Checker, place: str) -> float:
    """The end of ``01:45 - 02:00``, whose start is known; clocks may change at it, or before."""
    parts = text.split(" - ")
    first, last = (on_the_wall(part, ZoneInfo("UTC"), check, place)[0] for part in parts)
    ends = on_the_wall(parts[1], zone, check, place)
    if not ends or len(on_the_wall(parts[0].partition(" (")[0], zone, check, place)) > 1:
        # a clock that shows the end later may have been set back before
        ends.append(start + last - first)
    return min((moment for moment in ends if moment > start), default=start)
