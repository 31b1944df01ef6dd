"""Prices and intensities in the formats that providers give, each recognised by its shape.

Prices: ENTSO-E (XML, CSV), Nord Pool (JSON, CSV), aWATTar, Energy-Charts, Octopus, Energi Data Service and
elprisetjustnu.se (JSON). Intensities: Electricity Maps and UK Carbon Intensity (JSON, CSV). A function here
turns a document into `ProviderReadings`, or returns None where the document has another shape.
"""

from __future__ import annotations

import datetime
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from advisor.cost.checks import Checker, require_number
from advisor.errors import PricingError

SeriesKind = Literal["price", "carbon"]
_PER_MWH, _PENCE = 1e-3, 1e-2
_LISTS = ("history", "data", "forecast", "multiAreaEntries", "results", "unix_seconds", "records")
"""Where the documents of providers have their values."""
_CLOCKS = {"UTC": "UTC", "CET": "Europe/Brussels", "WET": "Europe/Lisbon", "EET": "Europe/Athens"}
"""What the columns of European providers call the clock on the wall, summer time included."""


class Reading(NamedTuple):
    """One value of a file, not yet checked."""

    start: float
    """Unix seconds."""
    end: float | None
    value: object
    place: str
    provisional: bool = False
    """A forecast or an estimate: what was measured goes before it, and so does a later one."""


class ProviderReadings(Struct, frozen=True):
    """The values of a file and what they are."""

    quantity: SeriesKind
    provider: str
    rows: list[Reading]
    zone: str | None = None
    basis: str | None = None
    currency: str | None = None
    factor: float = 1.0
    """What a value is multiplied by to be per kWh, in whole units of the currency."""


def _prices(
    provider: str,
    rows: Iterable[Reading],
    currency: str | None,
    zone: str | None = None,
    factor: float = _PER_MWH,
) -> ProviderReadings:
    return ProviderReadings("price", provider, list(rows), zone, currency=currency, factor=factor)


def is_hole(text: object) -> bool:
    """Whether a cell says that there is no value."""
    return text is None or str(text).strip(" -").casefold() in ("", "n/e", "n/a", "nan", "null", "none")


class TableRow(NamedTuple):
    """A row of a CSV file."""

    line: int
    cells: dict[str, str]


def unix_seconds(text: str, check: Checker, field: str) -> float:
    """The moment of an ISO 8601 text with an offset, or of Unix seconds."""
    text = text.strip()
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
    except ValueError:
        pass
    # "20260301" is a date to fromisoformat; without an offset only Unix seconds are left
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        problem = "expected ISO 8601 with an offset (2026-03-01T00:00:00+01:00) or Unix seconds"
        raise check.error(f"{problem}, found {text!r}", field)
    seconds = require_number(text, float, field=field, subject=check.subject)
    if abs(seconds) >= 1e11:
        raise check.error(f"expected Unix seconds, found {text}: are these milliseconds?", field)
    return seconds


class Asked(Struct, frozen=True):
    """What is read of a file that may hold more, and what checks it."""

    check: Checker
    zone: str | None = None
    basis: str | None = None
    with_vat: bool = True
    """Of prices that come both ways."""

    def moment(self, text: Any, place: str) -> float:
        """See `unix_seconds`."""
        return unix_seconds(str(text), self.check, place)

    def priced(self, columns: Iterable[re.Match[str] | None]) -> tuple[str, str]:
        """Currency and column of prices that come in several: the one that is asked for, else the first."""
        by_currency = {match["currency"]: match[0] for match in columns if match}
        currency = self.check.currency if self.check.currency in by_currency else next(iter(by_currency))
        return currency, by_currency[currency]

    def chosen(self, zones: Sequence[str]) -> str:
        """The zone to read of those in the file."""
        if self.zone is None and len(zones) == 1:
            return zones[0]
        if self.zone is None or self.zone not in zones:
            found = "" if self.zone is None else f", found {self.zone!r}"
            raise self.check.error(f"expected one of {', '.join(sorted(zones))}{found}", "zone")
        return self.zone


def from_json(document: Any, asked: Asked) -> ProviderReadings | None:
    """What a JSON document of a provider says; of an answer without a value its rows are empty."""
    if document in ({}, []) or (isinstance(document, dict) and [] in map(document.get, _LISTS)):
        return ProviderReadings("price", "", [])
    shapes = (
        *(_electricity_maps, _uk_carbon_intensity, _nord_pool, _awattar, _energy_charts, _octopus),
        *(_energi_data_service, _elprisetjustnu),
    )
    try:
        return next(filter(None, (shape(document, asked) for shape in shapes)), None)
    except PricingError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as exc:
        raise asked.check.error(f"expected the provider's fields: {exc}") from None


def _entries(document: Any, *names: str) -> list[Any]:
    """The list under the first of ``names``; empty for another shape."""
    if isinstance(document, dict):
        for name in names:
            if isinstance(document.get(name), list) and document[name]:
                return list(document[name])
    return []


def _electricity_maps(document: Any, asked: Asked) -> ProviderReadings | None:
    entries = _entries(document, "history", "data", "forecast")
    if not entries or "carbonIntensity" not in entries[0]:
        return None
    forecast, rows = "forecast" in document, []
    for i, entry in enumerate(entries):
        moment = asked.moment(entry["datetime"], f"[{i}].datetime")
        provisional = forecast or entry.get("isEstimated") is True
        rows.append(Reading(moment, None, entry["carbonIntensity"], f"[{i}]", provisional))
    first = entries[0]
    zone, basis = document.get("zone") or first.get("zone"), first.get("emissionFactorType", "lifecycle")
    return ProviderReadings("carbon", "Electricity Maps", rows, zone, basis)


def _uk_carbon_intensity(document: Any, asked: Asked) -> ProviderReadings | None:
    region = document.get("data") if isinstance(document, dict) else None
    entries = _entries(document, "data")
    if entries and "shortname" in entries[0]:
        region = _region(entries, asked)
    elif entries and "regions" in entries[0]:
        entries = [{**entry, **_region(entry["regions"], asked)} for entry in entries]
        region = entries[0]
    entries = _entries(region, "data") or entries
    if not entries or "intensity" not in entries[0]:
        return None
    rows = []
    for i, entry in enumerate(entries):
        intensity = entry["intensity"]
        # regions have forecasts alone
        forecast = intensity.get("actual") is None
        value = intensity["forecast" if forecast else "actual"]
        start, end = (asked.moment(entry[name], f"[{i}].{name}") for name in ("from", "to"))
        rows.append(Reading(start, end, value, f"[{i}].intensity", forecast))
    name = region.get("shortname") if isinstance(region, dict) else None
    return ProviderReadings("carbon", "UK Carbon Intensity", rows, name or "GB", "direct")


def _region(regions: Sequence[Any], asked: Asked) -> Any:
    name = asked.chosen([region["shortname"] for region in regions])
    return next(region for region in regions if region["shortname"] == name)


def _nord_pool(document: Any, asked: Asked) -> ProviderReadings | None:
    entries = _entries(document, "multiAreaEntries")
    if not entries:
        return None
    zone = asked.chosen(list(entries[0]["entryPerArea"]))
    rows = []
    for i, entry in enumerate(entries):
        start, end = (asked.moment(entry[f"delivery{name}"], f"[{i}]") for name in ("Start", "End"))
        rows.append(Reading(start, end, entry["entryPerArea"][zone], f"[{i}].{zone}"))
    return _prices("Nord Pool", rows, document["currency"], zone)


def _awattar(document: Any, asked: Asked) -> ProviderReadings | None:
    entries = _entries(document, "data")
    if not entries or "marketprice" not in entries[0]:
        return None
    rows, currency = [], _per_mwh(entries[0]["unit"], asked.check)
    for i, entry in enumerate(entries):
        start, end = (
            asked.moment(entry[name] / 1000, f"data[{i}].{name}")
            for name in ("start_timestamp", "end_timestamp")
        )
        rows.append(Reading(start, end, entry["marketprice"], f"data[{i}].marketprice"))
    return _prices("aWATTar", rows, currency)


def _energy_charts(document: Any, asked: Asked) -> ProviderReadings | None:
    times = _entries(document, "unix_seconds")
    if not times or "price" not in document:
        return None
    rows = [
        Reading(asked.moment(moment, f"unix_seconds[{i}]"), None, value, f"price[{i}]")
        for i, (moment, value) in enumerate(zip(times, document["price"], strict=True))
    ]
    # where it says none, its documentation does: all its prices are EUR/MWh
    currency = "EUR" if document["unit"] == "No Unit" else _per_mwh(document["unit"], asked.check)
    return _prices("Energy-Charts", rows, currency)


def _octopus(document: Any, asked: Asked) -> ProviderReadings | None:
    entries = _entries(document, "results")
    if not entries or "valid_from" not in entries[0]:
        return None
    column = "value_inc_vat" if asked.with_vat else "value_exc_vat"
    methods = {entry.get("payment_method") for entry in entries}
    rows = []
    for i, entry in enumerate(entries):
        if entry.get("payment_method") == "NON_DIRECT_DEBIT" and len(methods) > 1:
            continue
        start = asked.moment(entry["valid_from"], f"results[{i}].valid_from")
        # the rate in force has no end yet
        until = entry["valid_to"]
        end = math.inf if until is None else asked.moment(until, f"results[{i}].valid_to")
        rows.append(Reading(start, end, entry[column], f"results[{i}].{column}"))
    return _prices("Octopus Energy", rows, "GBP", factor=_PENCE)


def _energi_data_service(document: Any, asked: Asked) -> ProviderReadings | None:
    """The data sets Elspotprices, and DayAheadPrices since quarters of an hour have prices of their own."""
    entries = _entries(document, "records")
    first = entries[0] if entries else {}
    columns = [re.fullmatch(r"(Spot|DayAhead)Price(?P<currency>[A-Z]{3})", name) for name in first]
    if not any(columns):
        return None
    zone = asked.chosen(list(dict.fromkeys(entry["PriceArea"] for entry in entries)))
    currency, column = asked.priced(columns)
    time = "HourUTC" if "HourUTC" in first else "TimeUTC"
    rows = [
        # in UTC by its name, without an offset
        Reading(asked.moment(f"{entry[time]}Z", f"records[{i}].{time}"), None, entry[column], f"records[{i}]")
        for i, entry in enumerate(entries)
        if entry["PriceArea"] == zone
    ]
    return _prices("Energi Data Service", rows, currency, zone)


def _elprisetjustnu(document: Any, asked: Asked) -> ProviderReadings | None:
    """A day of one zone, which the file does not name; hvakosterstrommen.no has the same."""
    first = document[0] if isinstance(document, list) and isinstance(document[0], dict) else {}
    columns = [re.fullmatch(r"(?P<currency>[A-Z]{3})_per_kWh", name) for name in first]
    if not any(columns):
        return None
    currency, column = asked.priced(columns)
    rows = []
    for i, entry in enumerate(document):
        start, end = (asked.moment(entry[f"time_{name}"], f"[{i}].time_{name}") for name in ("start", "end"))
        rows.append(Reading(start, end, entry[column], f"[{i}].{column}"))
    return _prices("elprisetjustnu.se", rows, currency, factor=1.0)


def _per_mwh(unit: str, check: Checker) -> str:
    """The currency of ``EUR/MWh``, however it is written."""
    match = re.fullmatch(r"\s*([A-Za-z]{3})\s*/\s*MWh\s*", unit, re.IGNORECASE)
    if match is None:
        raise check.error(f"expected a price per MWh such as EUR/MWh, found {unit!r}", "unit")
    return match[1].upper()


def from_xml(text: str, asked: Asked) -> ProviderReadings | None:
    """What an XML document of ENTSO-E's transparency platform says (Publication_MarketDocument)."""
    from xml.etree import ElementTree

    check = asked.check
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise check.error("expected XML without a document type")
    try:
        root = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text, count=1))  # noqa: S314 - without a document type
    except ElementTree.ParseError as exc:
        raise check.error(f"expected XML: {exc}") from None
    if root.tag == "Acknowledgement_MarketDocument":
        raise check.error(f"expected prices, found ENTSO-E's answer: {root.findtext('Reason/text')}")
    if root.tag != "Publication_MarketDocument":
        return None
    order = "classificationSequence_AttributeInstanceComponent.position"
    # a document may hold intraday auctions too
    series = [
        s for s in root.findall("TimeSeries") if s.findtext("contract_MarketAgreement.type") in (None, "A01")
    ]
    domain = "out_Domain.mRID"
    zones = list(dict.fromkeys(s.findtext(domain, "") for s in series))
    zone = asked.chosen(zones) if any(zones) else None
    # the second auction of a day, where there is one, is another market
    first = min((s.findtext(order) or "1" for s in series), default="1")
    rows: list[Reading] = []
    currencies: dict[str, None] = {}
    for number, one in enumerate(series, 1):
        if (one.findtext(order) or "1") != first or zone not in (None, one.findtext(domain)):
            continue
        unit = f"{one.findtext('currency_Unit.name')}/{one.findtext('price_Measure_Unit.name')}"
        currencies[_per_mwh(unit, check)] = None
        repeated = one.findtext("curveType") != "A01"
        for period in one.findall("Period"):
            rows += _period(period, repeated, f"TimeSeries {number}", asked)
    if len(currencies) > 1:
        raise check.error(f"expected one currency, found {', '.join(currencies)}", "currency_Unit.name")
    return _prices("ENTSO-E", rows, next(iter(currencies), None), zone)


def _period(period: Any, repeated: bool, place: str, asked: Asked) -> Iterator[Reading]:
    """A position that is left out has the price of the one before it (curve type A03), where ``repeated``."""
    start, end = (
        asked.moment(period.findtext(f"timeInterval/{name}"), f"{place}, {name}") for name in ("start", "end")
    )
    resolution = re.fullmatch(r"PT(\d+)(M|H)", period.findtext("resolution") or "")
    if resolution is None:
        raise asked.check.error("expected a resolution such as PT15M", place)
    step = int(resolution[1]) * (60 if resolution[2] == "M" else 3600)
    try:
        points = sorted(
            (int(p.findtext("position")), p.findtext("price.amount", "")) for p in period.findall("Point")
        )
    except (TypeError, ValueError):
        raise asked.check.error("expected a whole number as position of each Point", place) from None
    edges = [start + (position - 1) * step for position, _ in points] + [end]
    for (position, amount), (since, until) in zip(points, itertools.pairwise(edges), strict=True):
        point = f"{place}, Point {position}"
        if not start <= since < until:
            raise asked.check.error("expected each position once and within the period", point)
        yield Reading(since, until if repeated else since + step, amount, point)


def from_table(columns: Sequence[str], rows: Sequence[TableRow], asked: Asked) -> ProviderReadings | None:
    """What a CSV file of a provider says."""
    lowered = {column.casefold(): column for column in columns}

    def column(pattern: str) -> str | None:
        return next((name for low, name in lowered.items() if re.search(pattern, low)), None)

    time = column(r"^(mtu|delivery start|datetime) \(")
    if time is None:
        return None
    clock = re.search(r"\((\w+)", time)
    local = _LocalClock(ZoneInfo(_CLOCKS.get(clock[1].upper() if clock else "", "UTC")), asked.check)
    if time.startswith("MTU"):
        return _entsoe_table(column, time, rows, local, asked)
    if time.startswith("Delivery"):
        areas = {
            match[1]: match[0]
            for name in columns
            if (match := re.fullmatch(r"(\S+)(?: Price)? \([A-Z]{3}\)", name))
        }
        if not areas:
            return None
        zone = asked.chosen(list(areas))
        return _prices("Nord Pool", local.readings(rows, time, areas[zone]), areas[zone][-4:-1], zone)
    actual = column(r"^actual carbon intensity")
    if actual is not None:
        readings = list(local.readings(rows, time, actual, column(r"^forecast carbon intensity")))
        return ProviderReadings("carbon", "UK Carbon Intensity", readings, "GB", "direct")
    basis = "direct" if asked.basis == "direct" else "lifecycle"
    intensity = column(
        r"^carbon intensity.*\(direct" if basis == "direct" else r"^carbon intensity.*\((lca|life)"
    )
    if intensity is None:
        return None
    rows, place = _of_one_zone(rows, column("^zone id"), asked)
    readings = list(local.readings(rows, time, intensity, estimated=column("^data estimated")))
    return ProviderReadings("carbon", "Electricity Maps", readings, place, basis)


def _of_one_zone(
    rows: Sequence[TableRow], column: str | None, asked: Asked
) -> tuple[Sequence[TableRow], str | None]:
    """The rows of the zone that is asked for, by the column that names it."""
    zones = list(dict.fromkeys(row.cells[column] for row in rows)) if column else []
    if column is None or not zones:
        return rows, None
    zone = asked.chosen(zones)
    return [row for row in rows if row.cells[column] == zone], zone


def _entsoe_table(
    column: Callable[[str], str | None],
    time: str,
    rows: Sequence[TableRow],
    local: _LocalClock,
    asked: Asked,
) -> ProviderReadings | None:
    price, sequence = column(r"day-ahead price"), column("^sequence$")
    if price is None:
        return None
    unit = re.search(r"[\[(](.*)[\])]", price)
    code = column("^currency$")
    written = unit[1] if unit else ""
    if code and rows and "/" in written:
        written = f"{rows[0].cells[code]}/{written.partition('/')[2]}"
    rows, zone = _of_one_zone(rows, column("^area$"), asked)
    if sequence:
        # the second auction of a day, where there is one, is another market
        rows = [row for row in rows if not re.search(r"[2-9]$", row.cells[sequence])]
    return _prices("ENTSO-E", local.readings(rows, time, price), _per_mwh(written, asked.check), zone)


class _LocalClock:
    """Times as a clock on the wall shows them, in the order of time: the hour that comes twice is two."""

    def __init__(self, zone: ZoneInfo, check: Checker) -> None:
        self._zone, self._check = zone, check

    def readings(
        self,
        rows: Sequence[TableRow],
        time: str,
        value: str,
        otherwise: str | None = None,
        estimated: str | None = None,
    ) -> Iterator[Reading]:
        """A reading for each row; ``time`` may hold a span, ``otherwise`` fills an empty ``value``.

        ``estimated`` is the column that says ``true`` of an estimate.
        """
        before = float("-inf")
        for row in rows:
            place = f"line {row.line}, {value}"
            start, _, end = row.cells[time].partition(" - ")
            clock, fold = self._parsed(start, f"line {row.line}, {time}")
            provisional = otherwise is not None and not row.cells[value]
            text = row.cells[otherwise if otherwise is not None and provisional else value]
            provisional |= estimated is not None and row.cells[estimated].casefold() == "true"
            moment = self._unix(clock, fold or 0)
            if moment <= before and fold is None:
                moment = self._unix(clock, 1)
            shown = datetime.datetime.fromtimestamp(moment, self._zone).replace(tzinfo=None)
            if shown != clock and is_hole(text):
                # the hour that is skipped in spring, which some list without a value
                continue
            if moment <= before or shown != clock:
                raise self._check.error(f"expected a time after the one before it, found {start!r}", place)
            before = moment
            if not end:
                yield Reading(moment, None, text, place, provisional)
                continue
            end_clock = self._parsed(end, place)[0]
            length = (end_clock - clock).total_seconds()
            # the last quarter before clocks change ends an hour earlier or later on the wall
            ends = moment + (length if length > 0 else length + 3600), self._unix(end_clock, 0)
            until = min((at for at in ends if at > moment), default=None)
            if until is None:
                raise self._check.error(f"expected an end after the start, found {row.cells[time]!r}", place)
            yield Reading(moment, until, text, place, provisional)

    def _unix(self, clock: datetime.datetime, fold: int) -> float:
        return clock.replace(tzinfo=self._zone, fold=fold).timestamp()

    def _parsed(self, text: str, field: str) -> tuple[datetime.datetime, int | None]:
        """The time, and which of two it is where the file says so: ``02:00:00 (CEST)`` comes first."""
        text, _, season = text.strip().partition(" (")
        fold = {"": None, "CEST)": 0, "WEST)": 0, "EEST)": 0}.get(season, 1)
        match = re.fullmatch(r"(\d\d)[./](\d\d)[./](\d{4}) (\d\d):(\d\d)(?::\d\d)?", text)
        try:
            if match:
                day, month, year, hour, minute = map(int, match.groups())
                return datetime.datetime(year, month, day, hour, minute), fold  # noqa: DTZ001 - a wall clock's
            return datetime.datetime.fromisoformat(text).replace(tzinfo=None), fold
        except ValueError:
            raise self._check.error(f"expected a date and a time, found {text!r}", field) from None
