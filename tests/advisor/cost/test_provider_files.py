"""A year in each provider's format, priced, beside sums of fractions that never see the format."""

from __future__ import annotations

import datetime
import json
import random
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from advisor import CostModel, RegionalPricing
from advisor.cost.checks import Checker
from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PriceOptions
from advisor.cost.tariffs.schedule import SourcedSchedule, value_at
from advisor.cost.tariffs.series_files import read_series
from advisor.cost.tariffs.tariff_files import read_tariff
from advisor.errors import PricingError

UTC = datetime.UTC
BRUSSELS = ZoneInfo("Europe/Brussels")
# a year by the clock on the wall in Brussels: both clock changes are in it
START = int(datetime.datetime(2025, 1, 1, tzinfo=BRUSSELS).timestamp())
END = int(datetime.datetime(2026, 1, 1, tzinfo=BRUSSELS).timestamp())


class Step(NamedTuple):
    """A value that holds from ``start`` for ``seconds``."""

    start: int
    seconds: int
    value: Fraction


def year(seconds: int, lowest: int, highest: int, hundredths: int = 100) -> list[Step]:
    """Steps of one length with values of two decimals."""
    draw = random.Random(seconds + highest)
    return [
        Step(start, seconds, Fraction(draw.randint(lowest, highest), hundredths))
        for start in range(START, END, seconds)
    ]


def exact(steps: list[Step], watts: list[int], per_kwh: Fraction) -> Fraction:
    """The sum over all steps of energy times value."""
    total = Fraction(0)
    for step, before, after in zip(steps, watts, watts[1:], strict=False):
        total += step.seconds * Fraction(before + after, 2) * step.value
    return total * per_kwh / 3_600_000


def iso(moment: int, zone: ZoneInfo | datetime.timezone = UTC) -> str:
    return datetime.datetime.fromtimestamp(moment, zone).strftime("%Y-%m-%dT%H:%M:%SZ")


def wall(moment: int, form: str) -> str:
    return datetime.datetime.fromtimestamp(moment, BRUSSELS).strftime(form)


def decimal(value: Fraction, mark: str = ".") -> str:
    return f"{float(value):.2f}".replace(".", mark)


def entsoe_xml(folder: Path, steps: list[Step]) -> None:
    """A series a day; a position whose price is that of the one before is left out."""
    series = []
    for day in days(steps):
        points, before = [], None
        for position, step in enumerate(day, 1):
            if step.value != before:
                price = f"<price.amount>{decimal(step.value)}</price.amount>"
                points.append(f"<Point><position>{position}</position>{price}</Point>")
            before = step.value
        start, end = (iso(m)[:16] + "Z" for m in (day[0].start, day[-1].start + day[-1].seconds))
        series.append(
            "<TimeSeries><currency_Unit.name>EUR</currency_Unit.name>"
            "<price_Measure_Unit.name>MWH</price_Measure_Unit.name><curveType>A03</curveType><Period>"
            f"<timeInterval><start>{start}</start><end>{end}</end></timeInterval>"
            f"<resolution>PT{day[0].seconds // 60}M</resolution>{''.join(points)}</Period></TimeSeries>"
        )
    space = "urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"
    text = f'<?xml version="1.0"?><Publication_MarketDocument xmlns="{space}">{"".join(series)}'
    (folder / "prices.xml").write_text(f"{text}</Publication_MarketDocument>")


def days(steps: list[Step]) -> Iterator[list[Step]]:
    day: list[Step] = []
    for step in steps:
        if day and wall(step.start, "%j") != wall(day[0].start, "%j"):
            yield day
            day = []
        day.append(step)
    yield day


def entsoe_csv(folder: Path, steps: list[Step]) -> None:
    """The hour that is skipped in spring is listed without a price."""
    lines = ['"MTU (CET/CEST)","Day-ahead Price [EUR/MWh]","Currency","BZN|BE"']
    for step in steps:
        form = "%d.%m.%Y %H:%M"
        start = wall(step.start, form)
        # as it is shown: an hour later, whatever clocks do
        end = datetime.datetime.fromtimestamp(step.start, BRUSSELS) + datetime.timedelta(seconds=step.seconds)
        lines.append(f'"{start} - {end:{form}}","{decimal(step.value)}","EUR",""')
        if start == "30.03.2025 01:00":
            lines.append('"30.03.2025 02:00 - 30.03.2025 03:00","","EUR",""')
    (folder / "prices.csv").write_text("\n".join(lines) + "\n")


def entsoe_csv_of_areas(folder: Path, steps: list[Step]) -> None:
    """Two areas and two auctions; one of each is asked for."""
    lines = ['"MTU (CET/CEST)","Area","Sequence","Day-ahead Price (EUR/MWh)"']
    for area, sequence, extra in (("BZN|BE", 1, 0), ("BZN|BE", 2, 1), ("BZN|FR", 1, 2)):
        for step in steps:
            form = "%d/%m/%Y %H:%M:%S"
            span = f"{wall(step.start, form)} - {wall(step.start + step.seconds, form)}"
            value = decimal(step.value + extra)
            lines.append(f'"{span}","{area}","Sequence Sequence {sequence}","{value}"')
    (folder / "prices.csv").write_text("\n".join(lines) + "\n")
    (folder / "tariff.yaml").write_text("series: prices.csv\nzone: BZN|BE\n")


def nord_pool_json(folder: Path, steps: list[Step]) -> None:
    """A file a day, two areas."""
    for number, day in enumerate(days(steps)):
        entries = [
            {
                "deliveryStart": iso(s.start),
                "deliveryEnd": iso(s.start + s.seconds),
                "entryPerArea": {"SE3": float(s.value), "SE4": 1.0},
            }
            for s in day
        ]
        document = {"currency": "SEK", "market": "DayAhead", "multiAreaEntries": entries}
        (folder / f"day-{number:03d}.json").write_text(json.dumps(document))
    (folder / "tariff.yaml").write_text("series: day-*.json\nzone: SE3\n")


def nord_pool_csv(folder: Path, steps: list[Step]) -> None:
    """Semicolons and decimal commas, by the clock on the wall."""
    lines = ["Delivery Start (CET);Delivery End (CET);SE3 Price (SEK)"]
    for s in steps:
        start, end = (wall(m, "%d.%m.%Y %H:%M:%S") for m in (s.start, s.start + s.seconds))
        # as the Swedish and the Slovene locale write it, beyond a thousand in groups
        value = f"{float(s.value):,.2f}".translate(str.maketrans(",.-", ".,\u2212"))
        lines.append(f"{start};{end};{value}")
    (folder / "prices.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", newline="")


def awattar(folder: Path, steps: list[Step]) -> None:
    entries = [
        {
            "start_timestamp": s.start * 1000,
            "end_timestamp": (s.start + s.seconds) * 1000,
            "marketprice": float(s.value),
            "unit": "Eur/MWh",
        }
        for s in steps
    ]
    (folder / "prices.json").write_text(json.dumps({"object": "list", "data": entries, "url": "/at"}))


def energy_charts(folder: Path, steps: list[Step]) -> None:
    document = {"unix_seconds": [s.start for s in steps], "price": [float(s.value) for s in steps]}
    (folder / "prices.json").write_text(json.dumps({**document, "unit": "EUR / MWh", "deprecated": False}))


def octopus(folder: Path, steps: list[Step]) -> None:
    """Newest first, in pages that overlap, in pence, VAT of 5 % beside."""
    entries = [
        {
            "value_exc_vat": float(s.value),
            "value_inc_vat": float(s.value) * 1.05,
            "valid_from": iso(s.start),
            "valid_to": iso(s.start + s.seconds),
            "payment_method": None,
        }
        for s in reversed(steps)
    ]
    for page, first in enumerate(range(0, len(entries), 1400)):
        results = entries[first : first + 1500]
        document = {"count": len(entries), "next": None, "previous": None, "results": results}
        (folder / f"page{page}.json").write_text(json.dumps(document))
    (folder / "tariff.yaml").write_text("series: page*.json\nvat_percent: 5\nfees_per_kwh: 0.01\n")


def energi_data_service(folder: Path, steps: list[Step]) -> None:
    """The newest first, as the service answers; two areas, two currencies, times without offsets."""
    records = [
        {
            "TimeUTC": iso(s.start).rstrip("Z"),
            "TimeDK": wall(s.start, "%Y-%m-%dT%H:%M:%S"),
            "PriceArea": area,
            "DayAheadPriceEUR": 1.0,
            "DayAheadPriceDKK": float(s.value) + extra,
        }
        for s in reversed(steps)
        for area, extra in (("DK2", 5), ("DK1", 0))
    ]
    document = {"total": len(records), "dataset": "DayAheadPrices", "records": records}
    (folder / "prices.json").write_text(json.dumps(document))
    (folder / "tariff.yaml").write_text("series: prices.json\nzone: DK1\n")


def elprisetjustnu(folder: Path, steps: list[Step]) -> None:
    """A file a day, with offsets, per kWh."""
    for number, day in enumerate(days(steps)):
        entries = [
            {
                "SEK_per_kWh": float(s.value / 1000),
                "EUR_per_kWh": 1.0,
                "EXR": 11.0,
                "time_start": datetime.datetime.fromtimestamp(s.start, BRUSSELS).isoformat(),
                "time_end": datetime.datetime.fromtimestamp(s.start + s.seconds, BRUSSELS).isoformat(),
            }
            for s in day
        ]
        (folder / f"day-{number:03d}.json").write_text(json.dumps(entries))
    (folder / "tariff.yaml").write_text("series: day-*.json\n")


PER_MWH = Fraction(1, 1000)
PRICES: dict[str, tuple[Callable[[Path, list[Step]], None], int, str, Fraction]] = {
    "ENTSO-E XML": (entsoe_xml, 900, "EUR", PER_MWH),
    "ENTSO-E CSV": (entsoe_csv, 3600, "EUR", PER_MWH),
    "ENTSO-E CSV of areas": (entsoe_csv_of_areas, 3600, "EUR", PER_MWH),
    "Nord Pool JSON": (nord_pool_json, 900, "SEK", PER_MWH),
    "Nord Pool CSV": (nord_pool_csv, 3600, "SEK", PER_MWH),
    "aWATTar": (awattar, 3600, "EUR", PER_MWH),
    "Energy-Charts": (energy_charts, 3600, "EUR", PER_MWH),
    "Energi Data Service": (energi_data_service, 900, "DKK", PER_MWH),
    "elprisetjustnu.se": (elprisetjustnu, 900, "SEK", PER_MWH),
}


def used(steps: list[Step]) -> tuple[dict[str, Any], list[int]]:
    """A scenario with a sample at each step, and its watts."""
    draw = random.Random(7)
    watts = [draw.randint(0, 500) for _ in range(len(steps) + 1)]
    stamps = [*(s.start for s in steps), END]
    samples = {"timestamps": stamps, "power_watts": watts}
    return {"start_time": START, "duration": END - START, "samples": samples}, watts


def tariff_of(folder: Path) -> Path:
    return next(path for name in ("tariff.yaml", "prices.*") for path in folder.glob(name))


@pytest.mark.parametrize("provider", PRICES)
def test_a_year_of_prices(tmp_path: Path, provider: str) -> None:
    write, seconds, currency, per_kwh = PRICES[provider]
    steps = year(seconds, -20_000, 190_000)
    write(tmp_path, steps)
    scenario, watts = used(steps)
    cost = CostModel(tariff=tariff_of(tmp_path), currency=currency).price(scenario)
    assert cost.cost_energy == pytest.approx(float(exact(steps, watts, per_kwh)), rel=1e-12)
    assert (cost.inputs.price_source or "").startswith(
        provider.split(" CSV")[0].split(" JSON")[0].split(" XML")[0]
    )


def test_a_year_of_octopus_with_vat_and_fees(tmp_path: Path) -> None:
    """Pence without VAT, a penny of fees, and 5 % on both."""
    steps = year(1800, -2_000, 9_000)
    octopus(tmp_path, steps)
    scenario, watts = used(steps)
    paid = [Step(s.start, s.seconds, (s.value / 100 + Fraction(1, 100)) * Fraction(105, 100)) for s in steps]
    cost = CostModel(tariff=tmp_path / "tariff.yaml", currency="GBP").price(scenario)
    assert cost.cost_energy == pytest.approx(float(exact(paid, watts, Fraction(1))), rel=1e-12)


def test_octopus_alone_is_read_with_its_vat(tmp_path: Path) -> None:
    octopus(tmp_path, year(1800, 100, 100))
    tariff = read_tariff(tmp_path / "page0.json", Checker(currency="GBP"))
    assert value_at(tariff.schedule, END - 1800) == pytest.approx(0.0105)
    assert tariff.currency == "GBP"


def electricity_maps_csv(folder: Path, steps: list[Step]) -> None:
    lines = [
        "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
        "Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),Data source"
    ]
    for s in steps:
        time = iso(s.start).replace("T", " ").rstrip("Z")
        lines.append(f"{time},Belgium,Belgium,BE,{decimal(s.value / 2)},{decimal(s.value)},50,x")
    (folder / "carbon.csv").write_text("\n".join(lines) + "\n")


def electricity_maps_json(folder: Path, steps: list[Step]) -> None:
    entries = [{"zone": "BE", "carbonIntensity": float(s.value), "datetime": iso(s.start)} for s in steps]
    (folder / "carbon.json").write_text(json.dumps({"zone": "BE", "data": entries}))


def uk_json(folder: Path, steps: list[Step]) -> None:
    """What was measured goes before what was forecast."""
    entries = []
    for i, s in enumerate(steps):
        intensity = {
            "forecast": float(s.value),
            "actual": None if i % 5 == 0 else float(s.value),
            "index": "x",
        }
        if i % 5:
            intensity["forecast"] = 1.0
        start, end = (iso(m)[:16] + "Z" for m in (s.start, s.start + s.seconds))
        entries.append({"from": start, "to": end, "intensity": intensity})
    (folder / "carbon.json").write_text(json.dumps({"data": entries}))


def uk_csv(folder: Path, steps: list[Step]) -> None:
    lines = ["Datetime (UTC),Actual Carbon Intensity (gCO2/kWh),Forecast Carbon Intensity (gCO2/kWh),Index"]
    lines += [f"{iso(s.start)[:16]}Z,{decimal(s.value)},1,low" for s in steps]
    (folder / "carbon.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("write", "seconds", "basis"),
    [
        (electricity_maps_csv, 3600, "lifecycle"),
        (electricity_maps_json, 3600, "lifecycle"),
        (uk_json, 1800, "direct"),
        (uk_csv, 1800, "direct"),
    ],
)
def test_a_year_of_intensities(tmp_path: Path, write: Any, seconds: int, basis: str) -> None:
    steps = year(seconds, 0, 90_000)
    write(tmp_path, steps)
    scenario, watts = used(steps)
    carbon = read_series(list(tmp_path.iterdir()), "carbon", Checker())
    cost = CostModel(carbon_grams_per_kwh=carbon).price(scenario)
    grams = exact(steps, watts, Fraction(1))
    assert cost.co2_operational_kg == pytest.approx(float(grams / 1000), rel=1e-12)
    assert cost.inputs.carbon_basis == basis


def test_the_kind_of_intensity_is_the_one_asked_for(tmp_path: Path) -> None:
    electricity_maps_csv(tmp_path, year(3600, 20_000, 20_000))
    direct = read_series([tmp_path / "carbon.csv"], "carbon", Checker(), basis="direct")
    assert value_at(direct.schedule, START) == 100.0


def test_a_market_that_changes_to_quarters_of_an_hour_has_no_hole(tmp_path: Path) -> None:
    """As European markets did on 1 October 2025."""
    change = int(datetime.datetime(2025, 10, 1, tzinfo=BRUSSELS).timestamp())
    steps = [s for s in year(3600, 0, 9_000) if s.start < change]
    steps += [s for s in year(900, 0, 9_000) if s.start >= change]
    energy_charts(tmp_path, steps)
    quarters = [Step(at, 900, s.value) for s in steps for at in range(s.start, s.start + s.seconds, 900)]
    scenario, watts = used(quarters)
    cost = CostModel(tariff=tmp_path / "prices.json", currency="EUR").price(scenario)
    assert cost.cost_energy == pytest.approx(float(exact(quarters, watts, PER_MWH)), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"data": 1}', "expected a supported provider's format"),
        ("[1, 2]", "expected a supported provider's format"),
        ("{", "expected JSON"),
        ('{"data": [{"marketprice": 1, "unit": "Eur/GWh"}]}', "unit: expected a price per MWh"),
        (
            '{"data": [{"marketprice": 1, "unit": "Eur/MWh"}]}',
            "marketprice: expected start_timestamp beside it",
        ),
        ('{"data": [{"carbonIntensity": 1, "datetime": "2025-01-01T00:00Z"}]}', "expected a series of price"),
        (
            '{"results": [{"value_inc_vat": 1, "valid_from": "yesterday", "valid_to": null}]}',
            r"results\[0\].valid_from: expected ISO 8601",
        ),
        ('{"multiAreaEntries": [{"entryPerArea": {"SE3": 1, "SE4": 2}}]}', "zone: expected one of SE3, SE4"),
        (
            '{"unix_seconds": [0, 900], "price": [1], "unit": "EUR/MWh"}',
            "expected lists of one length as unix_seconds and price",
        ),
        ('{"unix_seconds": [-9e10], "price": [1], "unit": "EUR/MWh"}', "expected Unix seconds"),
        ('{"unix_seconds": ["x"], "price": [1], "unit": "EUR/MWh"}', r"unix_seconds\[0\]: expected ISO"),
        (
            '{"data": [{"marketprice": 1, "unit": "EUR/MWh", "start_timestamp": 1e300, "end_timestamp": 1}]}',
            r"data\[0\].start_timestamp: expected",
        ),
        (
            '{"results": [{"value_inc_vat": 1, "valid_from": "2025-01-01T00:00Z", "valid_to": "0"}]}',
            r"results\[0\].value_inc_vat: expected an end after the start, found '0'",
        ),
        (
            '{"data": [{"marketprice": 4.5, "start_timestamp": 0, "end_timestamp": 3600000}]}',
            "expected the provider's fields: 'unit'",
        ),
        (
            f'{{"data": [{{"marketprice": 1, "unit": "EUR/MWh", "start_timestamp": {10**400}}}]}}',
            r"data\[0\].start_timestamp: expected a number that is finite",
        ),
        (json.dumps(dict.fromkeys(map(str, range(1001)), 1)), "expected at most 1000 names of cells"),
        (
            '{"data": [{"marketprice": 1, "marketprice": 2, "unit": "EUR/MWh", "start_timestamp": 0}]}',
            r"data\[0\].marketprice: expected each name once, found it twice",
        ),
        (
            '[{"timestamp": 0, "price_per_kwh": 0.2}, {"timestamp": 3600, "price_perkwh": 0.3}]',
            "expected the provider's fields: 'price_per_kwh'",
        ),
        ("<Publication_MarketDocument/>", "expected values, found none"),
        ("<a/>", "expected a supported provider's format"),
        ("<a", "expected XML"),
        (
            "<Acknowledgement_MarketDocument><Reason><text>No matching data found</text></Reason>"
            "</Acknowledgement_MarketDocument>",
            "found ENTSO-E's answer: No matching data found",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "without a document type"),
    ],
)
def test_what_no_provider_writes_is_refused_in_a_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(PricingError, match=problem) as caught:
        read_tariff(path)
    assert str(path) in str(caught.value)


def test_two_values_for_a_moment_in_two_files_name_the_later_one(tmp_path: Path) -> None:
    for number in (1, 2):
        awattar(tmp_path, [Step(START, 3600, Fraction(number))])
        (tmp_path / "prices.json").rename(tmp_path / f"{number}.json")
    (tmp_path / "tariff.yaml").write_text("series: '*.json'\n")
    with pytest.raises(PricingError, match=r"2\.json, data\[0\].marketprice: expected one value for 2024-12"):
        read_tariff(tmp_path / "tariff.yaml")


def test_two_values_for_a_moment_are_refused(tmp_path: Path) -> None:
    awattar(tmp_path, [Step(START, 3600, Fraction(1)), Step(START, 3600, Fraction(2))])
    with pytest.raises(PricingError, match=r"data\[1\].marketprice: expected one value for 2024-12-31T23:00"):
        read_tariff(tmp_path / "prices.json")


@pytest.mark.parametrize("first", [0, 1])
def test_an_hour_goes_on_behind_a_quarter_of_its_price(tmp_path: Path, first: int) -> None:
    hour, quarter = Step(START, 3600, Fraction(20)), Step(START + 900 * first, 900, Fraction(20))
    for steps in ([hour, quarter], [quarter, hour]):
        awattar(tmp_path, steps)
        prices = read_tariff(tmp_path / "prices.json", Checker(currency="EUR")).schedule
        assert [value_at(prices, START + at) for at in (0, 1800, 3599, 3600)] == [0.02, 0.02, 0.02, None]


def test_an_hour_and_a_quarter_within_it_of_another_price_are_refused(tmp_path: Path) -> None:
    awattar(tmp_path, [Step(START, 3600, Fraction(20)), Step(START + 900, 900, Fraction(24))])
    with pytest.raises(PricingError, match=r"one value for 2024-12-31T23:15\+00:00, found 0.02 and 0.024"):
        read_tariff(tmp_path / "prices.json")


def test_the_quarter_before_the_hour_that_is_skipped_ends_with_it(tmp_path: Path) -> None:
    """01:45 to 03:00 on the wall are 15 minutes; what comes then is not known."""
    (tmp_path / "prices.csv").write_text(
        "MTU (CET),Day-ahead Price (EUR/MWh)\n"
        "30.03.2025 01:30 - 30.03.2025 01:45,10\n30.03.2025 01:45 - 30.03.2025 03:00,20\n"
        "30.03.2025 04:00 - 30.03.2025 04:15,30\n"
    )
    schedule = read_tariff(tmp_path / "prices.csv", Checker(currency="EUR")).schedule
    skipped = datetime.datetime(2025, 3, 30, 1, tzinfo=UTC).timestamp()
    assert [value_at(schedule, skipped + at) for at in (-1, 0, 3599, 3600)] == [0.02, None, None, 0.03]


@pytest.mark.parametrize(
    ("last", "next_day", "hours"), [("26", "27", 25), ("25", "26", 24), ("27", "28", 24)]
)
@pytest.mark.parametrize("season", ["", " (CEST)"])
def test_a_day_of_25_hours_has_them_all(
    tmp_path: Path, last: str, next_day: str, hours: int, season: str
) -> None:
    end = " (CEST)" if season and next_day == "26" else " (CET)" if season else ""
    season = "" if last == "27" else season
    (tmp_path / "prices.csv").write_text(
        "MTU (CET/CEST),Day-ahead Price (EUR/MWh)\n"
        f"{last}/10/2025 00:00{season} - {next_day}/10/2025 00:00{end},10\n"
    )
    schedule = read_tariff(tmp_path / "prices.csv", Checker(currency="EUR")).schedule
    start = datetime.datetime(2025, 10, int(last), tzinfo=ZoneInfo("Europe/Brussels")).timestamp()
    assert [value_at(schedule, start + at) for at in (0, hours * 3600 - 1, hours * 3600)] == [
        0.01,
        0.01,
        None,
    ]


def test_a_span_that_ends_before_it_starts_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(
        "MTU (UTC),Day-ahead Price (EUR/MWh)\n"
        "01.01.2026 00:00 - 01.01.2026 01:00,10\n01.01.2026 01:00 - 31.12.2025 02:00,20\n"
    )
    with pytest.raises(PricingError, match=r"line 3, .*: expected an end after the start, found"):
        read_tariff(tmp_path / "prices.csv", Checker(currency="EUR"))


@pytest.mark.parametrize("clock", ["TRT", "GMT/BST", "EST", "UTC+3", "UTC +01:00"])
def test_times_by_a_clock_that_is_not_known_are_not_taken_for_utc(tmp_path: Path, clock: str) -> None:
    """Turkey's is three hours ahead of it, London's one in summer."""
    (tmp_path / "prices.csv").write_text(
        f"MTU ({clock}),Day-ahead Price (EUR/MWh)\n01.07.2026 00:00 - 01.07.2026 01:00,10\n"
    )
    with pytest.raises(PricingError, match=rf"line 2, MTU \({re.escape(clock)}\): .* with an offset"):
        read_tariff(tmp_path / "prices.csv", Checker(currency="EUR"))
    (tmp_path / "carbon.csv").write_text(
        f"Datetime ({clock}),Carbon intensity (direct)\n2026-07-01T03:00+03:00,300\n2026-07-01T01:00Z,400\n"
    )
    schedule = read_series([tmp_path / "carbon.csv"], "carbon", Checker()).schedule
    assert list(schedule.pieces(1_782_864_000, 1_782_871_200)) == [
        (1_782_864_000, 1_782_867_600, 300),
        (1_782_867_600, 1_782_871_200, 400),
    ]


def test_hours_that_a_provider_left_out_are_holes(tmp_path: Path) -> None:
    steps = year(3600, 100, 200)[:10]
    awattar(tmp_path, steps[:4] + steps[6:])
    tariff: SourcedSchedule = read_tariff(tmp_path / "prices.json", Checker(currency="EUR"))
    assert value_at(tariff.schedule, steps[4].start) is None
    assert value_at(tariff.schedule, steps[6].start) == pytest.approx(float(steps[6].value) / 1000)


def test_the_hour_that_comes_twice_is_told_apart_where_the_file_says_which(tmp_path: Path) -> None:
    """As ENTSO-E writes quarters around a change of the clocks; the first of the two hours is not there."""
    path = tmp_path / "prices.csv"
    path.write_text(
        '"MTU (CET/CEST)","Area","Sequence","Day-ahead Price (EUR/MWh)"\n'
        '"27/10/2024 01:45:00 - 27/10/2024 02:00:00 (CEST)","BZN|BE","Without sequence","10"\n'
        '"27/10/2024 02:00:00 (CET) - 27/10/2024 02:15:00 (CET)","BZN|BE","Without sequence","20"\n'
        '"27/10/2024 02:15:00 (CET) - 27/10/2024 02:30:00 (CET)","BZN|BE","Sequence Sequence 1","30"\n'
        '"27/10/2024 02:15:00 (CET) - 27/10/2024 02:30:00 (CET)","BZN|BE","Sequence Sequence 2","90"\n'
    )
    prices = read_tariff(path, Checker(currency="EUR")).schedule
    clocks = [(23, 45, 26), (0, 0, 27), (1, 0, 27), (1, 15, 27)]
    moments = [datetime.datetime(2024, 10, d, h, m, tzinfo=UTC).timestamp() for h, m, d in clocks]
    assert [value_at(prices, moment) for moment in moments] == [0.01, None, 0.02, 0.03]


def test_an_hour_without_an_intensity_is_a_hole(tmp_path: Path) -> None:
    """Electricity Maps answers null for what it does not know; that is neither 0 nor -1."""
    path = tmp_path / "carbon.json"
    values = [300, None, 200]
    entries = [{"carbonIntensity": v, "datetime": iso(START + 3600 * i)} for i, v in enumerate(values)]
    path.write_text(json.dumps({"zone": "BE", "history": entries}))
    carbon = read_series([path], "carbon", Checker()).schedule
    assert [value_at(carbon, START + 3600 * i) for i in range(3)] == values


def test_one_row_of_a_year_holds_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    """Electricity Maps' yearly tables have one row, which says nothing of its end."""
    electricity_maps_csv(tmp_path, [Step(START, 0, Fraction(200))])
    with pytest.raises(PricingError, match="expected two rows or more, or hold_seconds"):
        read_series([tmp_path / "carbon.csv"], "carbon", Checker())
    carbon = read_series([tmp_path / "carbon.csv"], "carbon", Checker(), hold_seconds=365 * 86400).schedule
    assert [value_at(carbon, START + day * 86400) for day in (0, 364, 365)] == [200, 200, None]


@pytest.mark.parametrize("empty", ["{}", '{"data": []}', '{"count": 0, "next": null, "results": []}'])
def test_a_page_without_data_takes_nothing_from_the_others(tmp_path: Path, empty: str) -> None:
    """UK Carbon Intensity answers so with success past its forecast; alone it is no series."""
    pages = [tmp_path / "0.json", tmp_path / "1.json"]
    pages[0].write_text(empty)
    uk_json(tmp_path, [Step(START, 1800, Fraction(90))])
    (tmp_path / "carbon.json").rename(pages[1])
    assert value_at(read_series(pages, "carbon", Checker()).schedule, START) == 90
    with pytest.raises(PricingError, match=r"0\.json: expected values, found none"):
        read_series(pages[:1], "carbon", Checker())


def test_a_page_that_knows_more_fills_what_another_left_open(tmp_path: Path) -> None:
    """The same hours asked for twice: first not known, then known."""
    for number, values in enumerate(([300, None], [None, 200])):
        entries = [{"carbonIntensity": v, "datetime": iso(START + 3600 * i)} for i, v in enumerate(values)]
        (tmp_path / f"{number}.json").write_text(json.dumps({"zone": "BE", "history": entries}))
    carbon = read_series(sorted(tmp_path.iterdir()), "carbon", Checker()).schedule
    assert [value_at(carbon, START + 3600 * i) for i in range(2)] == [300, 200]


NUMBERS: list[tuple[str, list[float | None]]] = [
    # the decimal mark is told by another number of the column
    ("timestamp;price_per_kwh\n0;1.030\n3600;932,5\n", [1030, 932.5]),
    ("timestamp;price_per_kwh\n0;1\u202f030,25\n3600;1'030,5\n", [1030.25, 1030.5]),
    ("timestamp\tprice_per_kwh\n0\t1,030\n3600\t932.5\n", [1030, 932.5]),
    ('timestamp,price_per_kwh\n0,"1,030.25"\n3600,932\n', [1030.25, 932]),
    ('timestamp,price_per_kwh\n0,"0,310"\n3600,"1,31"\n', [0.31, 1.31]),
    # or by a number of another column
    ('timestamp,price_per_kwh,degrees\n0,"1,030",12.5\n3600,932,3\n', [1030, 932]),
    # where none tells it, a point is one, and so is a comma that does not part the cells
    ("timestamp;price_per_kwh\n0;1.030\n3600;9.325\n", [1.03, 9.325]),
    ("timestamp;price_per_kwh\n0;1,030\n3600;9,325\n", [1.03, 9.325]),
    ("timestamp|price_per_kwh\n0|0,1\n3600|0,2\n", [0.1, 0.2]),
    # spreadsheets leave empty columns behind, and lines in front
    ("\r\n\ntimestamp;price_per_kwh;;\n0;0,1;;\n3600;0,2;;\n", [0.1, 0.2]),
    # of whole numbers those from a thousand on have a mark, those below none
    ("timestamp;price_per_kwh\n0;1.030\n3600;932\n", [1030.0, 932.0]),
    ("timestamp\tprice_per_kwh\n0\t1,030\n3600\t932\n", [1030.0, 932.0]),
    # one without would have it too
    ("timestamp;price_per_kwh\n0;1,030\n3600;1932\n", [1.03, 1932]),
    ("timestamp;price_per_kwh\n0;0,1\n3600;\u22120,05\n", [0.1, -0.05]),
    ("timestamp,price_per_kwh\n0,0.1\n3600,NaN\n", [0.1, None]),
    # what a point and a comma leave as it is needs none
    ("timestamp,price_per_kwh\n0,\u22125\n3600,1'030\n", [-5, 1030]),
    # R writes NA; Oracle no zero before the point; Excel an exponent below a ten-thousandth
    ("timestamp,price_per_kwh\n0,.25\n3600,NA\n", [0.25, None]),
    ("timestamp,price_per_kwh\n0,+0.1\n3600,-.5\n", [0.1, -0.5]),
    ("timestamp;price_per_kwh\n0;1,2E-05\n3600;0,3\n", [1.2e-05, 0.3]),
    ("timestamp;price_per_kwh\n0;,2\n3600;1.030,\n", [0.2, 1030]),
    # a comma beside semicolons is a decimal one, and beside hours that are free
    ("timestamp;price_per_kwh\n0;28,125\n3600;30\n", [28.125, 30]),
    ("timestamp\tprice_per_kwh\n0\t28,125\n3600\t0\n", [28.125, 0]),
    # so is a point beside hours that are free
    ("timestamp;price_per_kwh\n0;54.921\n3600;0\n", [54.921, 0]),
    ("timestamp\tprice_per_kwh\n0\t54.921\n3600\t0\n", [54.921, 0]),
    # thousands are parted by one thing, and not in front of an exponent
    ("timestamp;price_per_kwh\n0;1.234E-5\n3600;3\n", [1.234e-5, 3]),
    ("timestamp\tprice_per_kwh\n0\t2\u202f806,975\n3600\t53\n", [2806.975, 53]),
    ("timestamp;price_per_kwh;No\n0;28,125;1.\n3600;31,375;2.\n", [28.125, 31.375]),
]


@pytest.mark.parametrize(("text", "prices"), NUMBERS)
def test_numbers_of_any_locale_are_read_as_they_are_meant(
    tmp_path: Path, text: str, prices: list[float | None]
) -> None:
    (tmp_path / "prices.csv").write_text(text, encoding="utf-8")
    (tmp_path / "tariff.yaml").write_text("{series: prices.csv, allow_negative: true}")
    schedule = read_tariff(tmp_path / "tariff.yaml", Checker(accept_unusual=True)).schedule
    assert [value_at(schedule, 0), value_at(schedule, 3600)] == prices


@pytest.mark.parametrize(("currency", "plausible"), [("EUR", True), ("VND", False), ("IDR", False)])
def test_thousands_that_read_as_decimals_are_questioned_where_they_are_next_to_nothing(
    tmp_path: Path, currency: str, plausible: bool
) -> None:
    """A kilowatt-hour costs 1 806 to 2 729 VND, and nowhere 2.729."""
    (tmp_path / "prices.csv").write_text("timestamp;price_per_kwh\n0;1.806\n3600;2.729\n")
    if plausible:
        schedule = read_tariff(tmp_path / "prices.csv", Checker(currency=currency)).schedule
        assert value_at(schedule, 0) == 1.806
    else:
        with pytest.raises(PricingError, match=r"no price is above 2.729 .* part thousands \(then 2729\)"):
            read_tariff(tmp_path / "prices.csv", Checker(currency=currency))


def test_a_series_in_hundredths_is_questioned_also_in_a_cheap_week(tmp_path: Path) -> None:
    """12 to 45 öre, which are no kronor: half of the prices are above two dollars."""
    (tmp_path / "prices.csv").write_text("timestamp,price_per_kwh\n0,12\n3600,45\n7200,33\n")
    with pytest.raises(PricingError, match=r"33.0 SEK per kWh is above the plausible 20: .* \(then 0.33\)"):
        read_tariff(tmp_path / "prices.csv", Checker(currency="SEK"))


def test_a_comma_that_may_part_thousands_or_decimals_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text('timestamp,price_per_kwh\n0,"1,030"\n3600,932\n')
    with pytest.raises(PricingError, match="line 2, price_per_kwh: expected a number, found '1,030'"):
        read_tariff(tmp_path / "prices.csv")


@pytest.mark.parametrize(
    ("curve", "positions", "prices"),
    [("A01", (1, 2, 4), [0.01, 0.02, None, 0.04]), ("A03", (1, 2, 4), [0.01, 0.02, 0.02, 0.04])],
)
def test_a_position_that_is_left_out_is_a_hole_unless_the_curve_repeats(
    tmp_path: Path, curve: str, positions: tuple[int, ...], prices: list[float | None]
) -> None:
    """Before October 2024 all were of blocks of one size (A01), and what was missing was missing."""
    points = "".join(
        f"<Point><position>{p}</position><price.amount>{10 * p}</price.amount></Point>" for p in positions
    )
    series = entsoe_series(0, "EUR", "BG", 1, 1, 1, 1)
    series = re.sub("<Point>.*</Point>", points, series).replace(
        "<Period>", f"<curveType>{curve}</curveType><Period>"
    )
    (tmp_path / "prices.xml").write_text(entsoe_document(series))
    schedule = read_tariff(tmp_path / "prices.xml", Checker(currency="EUR")).schedule
    start = datetime.datetime(2025, 10, 1, 22, tzinfo=UTC).timestamp()
    assert [value_at(schedule, start + 3600 * hour) for hour in range(4)] == prices


@pytest.mark.parametrize("position", [1, 3])
def test_a_position_given_twice_or_beyond_its_period_is_refused(tmp_path: Path, position: int) -> None:
    series = entsoe_series(0, "EUR", "BG", 10, 20).replace("<position>2<", f"<position>{position}<")
    (tmp_path / "prices.xml").write_text(entsoe_document(series))
    with pytest.raises(PricingError, match=f"Point {position}: expected each position once and within"):
        read_tariff(tmp_path / "prices.xml", Checker(currency="EUR"))
    (tmp_path / "prices.xml").write_text(entsoe_document(series.replace("<position>1</position>", "")))
    with pytest.raises(PricingError, match="TimeSeries 1: expected a whole number as position"):
        read_tariff(tmp_path / "prices.xml", Checker(currency="EUR"))


@pytest.mark.parametrize("digits", ["9" * 400, "9" * 5000])
def test_a_position_or_resolution_beyond_measure_is_refused(tmp_path: Path, digits: str) -> None:
    series = entsoe_series(0, "EUR", "BG", 10, 20)
    for before, after in (("<position>2<", f"<position>{digits}<"), ("PT60M", f"PT{digits}M")):
        (tmp_path / "prices.xml").write_text(entsoe_document(series.replace(before, after)))
        with pytest.raises(PricingError, match=r"TimeSeries 1: expected a (whole number|resolution)"):
            read_tariff(tmp_path / "prices.xml", Checker(currency="EUR"))


@pytest.mark.parametrize("prefix", ["", "ns0:"])
def test_a_document_may_name_its_namespace_in_any_way(tmp_path: Path, prefix: str) -> None:
    """With apostrophes, or as libraries write again what they have read: with a prefix at each name."""
    document = entsoe_document(entsoe_series(0, "EUR", "BE", 100))
    document = re.sub(r"<(/?)(?=\w)", rf"<\1{prefix}", document)
    xmlns = f"xmlns{prefix and ':ns0'}='urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3'"
    (tmp_path / "prices.xml").write_text(document.replace("MarketDocument>", f"MarketDocument {xmlns}>", 1))
    schedule = read_tariff(tmp_path / "prices.xml", Checker(currency="EUR")).schedule
    assert value_at(schedule, datetime.datetime(2025, 10, 1, 22, tzinfo=UTC).timestamp()) == 0.1


def test_intraday_auctions_are_another_market(tmp_path: Path) -> None:
    """ENTSO-E answers for Spain with both; 40 is the day-ahead price."""
    series = [
        f"<TimeSeries><contract_MarketAgreement.type>{kind}</contract_MarketAgreement.type>"
        "<currency_Unit.name>EUR</currency_Unit.name><price_Measure_Unit.name>MWH</price_Measure_Unit.name>"
        "<Period><timeInterval><start>2025-10-01T22:00Z</start><end>2025-10-01T23:00Z</end></timeInterval>"
        f"<resolution>PT60M</resolution><Point><position>1</position><price.amount>{price}</price.amount>"
        "</Point></Period></TimeSeries>"
        for kind, price in (("A07", 55), ("A01", 40))
    ]
    path = tmp_path / "prices.xml"
    path.write_text(f"<Publication_MarketDocument>{''.join(series)}</Publication_MarketDocument>")
    prices = read_tariff(path, Checker(currency="EUR")).schedule
    assert value_at(prices, datetime.datetime(2025, 10, 1, 22, 30, tzinfo=UTC).timestamp()) == 0.04


@pytest.mark.parametrize("form", ["xml", "csv"])
def test_the_second_auction_of_a_day_is_another_market(tmp_path: Path, form: str) -> None:
    """Germany's of 10:15, EXAA's, is there hours before the first one's prices are."""
    position = "classificationSequence_AttributeInstanceComponent.position"
    text = entsoe_document(
        entsoe_series(0, "EUR", "DE", 50).replace("<Period>", f"<{position}>2</{position}><Period>")
    )
    if form == "csv":
        text = 'MTU (UTC),Sequence,Day-ahead Price (EUR/MWh)\n01/10/2025 22:00:00,"Sequence Sequence 2",50\n'
    (tmp_path / f"prices.{form}").write_text(text)
    with pytest.raises(PricingError, match="expected values, found none"):
        read_tariff(tmp_path / f"prices.{form}", Checker(currency="EUR"))


@pytest.mark.parametrize(
    ("name", "form", "decimals"),
    [("Datum von;Datum bis", "%d.%m.%Y %H:%M", ",."), ("Start date;End date", "%b %d, %Y %I:%M %p", ".,")],
)
def test_quarters_of_smard_by_the_german_clock(tmp_path: Path, name: str, form: str, decimals: str) -> None:
    """The last quarter of summer time and the first of winter time; the mean of the neighbours is no zone."""
    first = int(datetime.datetime(2025, 10, 25, 23, 45, tzinfo=UTC).timestamp())
    lines = [f"\ufeff{name};Deutschland/Luxemburg [€/MWh] Originalauflösungen;∅ Anrainer DE/LU [€/MWh]"]
    for quarter, price in enumerate(["1.087,56", "3,5", "0", "12", "-7,5", "-", "4", "5", "6,25", "12,25"]):
        since, until = (wall(first + 900 * q, form) for q in (quarter, quarter + 1))
        lines.append(f"{since};{until};{price.translate(str.maketrans(',.', decimals))};70")
    path = tmp_path / "Day-ahead_Preise.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    tariff = read_tariff(path, Checker(currency="EUR"))
    prices = [value_at(tariff.schedule, first + 900 * i) for i in (0, 4, 5, 9)]
    assert prices == [pytest.approx(1.08756), pytest.approx(-0.0075), None, pytest.approx(0.01225)]
    assert (tariff.source, tariff.currency) == ("SMARD, Deutschland/Luxemburg", "EUR")


def test_a_zone_that_an_entry_lacks_is_a_hole(tmp_path: Path) -> None:
    entries = [
        {"deliveryStart": iso(START + at), "deliveryEnd": iso(START + at + 900), "entryPerArea": areas}
        for at, areas in ((0, {"FI": 30.5}), (900, {}), (1800, {"FI": 20}))
    ]
    (tmp_path / "prices.json").write_text(json.dumps({"multiAreaEntries": entries, "currency": "EUR"}))
    schedule = read_tariff(tmp_path / "prices.json", Checker(currency="EUR")).schedule
    assert [value_at(schedule, START + at) for at in (0, 900, 1800)] == [0.0305, None, 0.02]


def test_the_danish_table_is_read_as_the_danish_answer_is(tmp_path: Path) -> None:
    """As the site gives it to download: newest first, UTC by its name, decimal commas."""
    (tmp_path / "prices.csv").write_text(
        "HourUTC;HourDK;PriceArea;SpotPriceDKK;SpotPriceEUR\n"
        "2024-10-27 01:00;2024-10-27 02:00;DK1;1.123,40;150,6\n"
        "2024-10-27 00:00;2024-10-27 02:00;DK1;99,00;13,27\n"
    )
    tariff = read_tariff(tmp_path / "prices.csv", Checker(currency="DKK"))
    start = datetime.datetime(2024, 10, 27, tzinfo=UTC).timestamp()
    prices = [value_at(tariff.schedule, start + 3600 * hour) for hour in range(2)]
    assert (tariff.currency, prices) == ("DKK", pytest.approx([0.099, 1.1234]))


def test_prices_of_energy_charts_without_a_unit_are_per_megawatt_hour(tmp_path: Path) -> None:
    """As its documentation says of all; the answer of December 2024 had "No Unit"."""
    path = tmp_path / "prices.json"
    document = {"unix_seconds": [1733612400, 1733616000], "price": [93.91, 86.83], "unit": "No Unit"}
    path.write_text(json.dumps(document))
    tariff = read_tariff(path, Checker(currency="EUR"))
    assert (tariff.currency, value_at(tariff.schedule, 1733616000)) == ("EUR", pytest.approx(0.08683))


def test_the_rate_in_force_holds_on(tmp_path: Path) -> None:
    """Octopus gives the current rate of a standard tariff no end; who pays otherwise has another."""
    rows = [
        ("2026-01-01", None, "DIRECT_DEBIT", 26.0),
        ("2026-01-01", None, "NON_DIRECT_DEBIT", 28.0),
        ("2025-10-01", "2026-01-01", "DIRECT_DEBIT", 24.0),
    ]
    results = [
        {
            "value_inc_vat": pence,
            "value_exc_vat": pence,
            "valid_from": f"{since}T00:00:00Z",
            "valid_to": until and f"{until}T00:00:00Z",
            "payment_method": method,
        }
        for since, until, method, pence in rows
    ]
    (tmp_path / "prices.json").write_text(json.dumps({"results": results}))
    prices = read_tariff(tmp_path / "prices.json", Checker(currency="GBP")).schedule
    moments = [
        datetime.datetime(y, m, 1, tzinfo=UTC).timestamp() for y, m in ((2025, 9), (2025, 12), (2027, 6))
    ]
    assert [value_at(prices, moment) for moment in moments] == [None, 0.24, 0.26]


@pytest.mark.parametrize(("currency", "price"), [("DKK", None), ("EUR", 0.0873), ("USD", None)])
def test_of_several_currencies_the_one_asked_for_is_read(
    tmp_path: Path, currency: str, price: float | None
) -> None:
    """Danish prices in kroner come a day later than those in euro; who asks for neither gets the first."""
    record = {
        "HourUTC": "2025-01-01T00:00:00",
        "PriceArea": "DK1",
        "SpotPriceDKK": None,
        "SpotPriceEUR": 87.3,
    }
    records = [record, {**record, "HourUTC": "2025-01-01T01:00:00"}]
    (tmp_path / "prices.json").write_text(json.dumps({"records": records}))
    tariff = read_tariff(tmp_path / "prices.json", Checker(currency=currency))
    assert tariff.currency == ("EUR" if currency == "EUR" else "DKK")
    moment = datetime.datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    assert value_at(tariff.schedule, moment) == (None if price is None else pytest.approx(price))


@pytest.mark.parametrize("zone", ["London", "North Scotland"])
def test_one_region_of_the_uk_is_the_one_asked_for(tmp_path: Path, zone: str) -> None:
    """Regions have forecasts alone; some answers list a region's times, others the regions of each time."""
    grams = {"London": [116, 110], "North Scotland": [0, 5]}
    spans = [{"from": f"2025-07-01T0{h}:00Z", "to": f"2025-07-01T0{h + 1}:00Z"} for h in range(2)]
    by_region = [
        {
            "shortname": n,
            "data": [{**s, "intensity": {"forecast": g}} for s, g in zip(spans, of, strict=True)],
        }
        for n, of in grams.items()
    ]
    by_time = [
        {**s, "regions": [{"shortname": n, "intensity": {"forecast": of[h]}} for n, of in grams.items()]}
        for h, s in enumerate(spans)
    ]
    path = tmp_path / "carbon.json"
    for data in (by_region, by_time):
        path.write_text(json.dumps({"data": data}))
        carbon = read_series([path], "carbon", Checker(), zone=zone)
        start = datetime.datetime(2025, 7, 1, tzinfo=UTC).timestamp()
        assert [value_at(carbon.schedule, start + 3600 * h) for h in range(2)] == grams[zone]
        assert carbon.source == f"UK Carbon Intensity, {zone}"


def entsoe_series(hours: int, currency: str, zone: str, *prices: float) -> str:
    """Hourly prices from so many hours after 2025-10-01T22:00Z on, as one TimeSeries."""
    start = datetime.datetime(2025, 10, 1, 22, tzinfo=UTC) + datetime.timedelta(hours=hours)
    ends = (start, start + datetime.timedelta(hours=len(prices)))
    since, until = (moment.strftime("%Y-%m-%dT%H:%MZ") for moment in ends)
    points = "".join(
        f"<Point><position>{i}</position><price.amount>{price}</price.amount></Point>"
        for i, price in enumerate(prices, 1)
    )
    return (
        f"<TimeSeries><out_Domain.mRID>{zone}</out_Domain.mRID><currency_Unit.name>{currency}"
        "</currency_Unit.name><price_Measure_Unit.name>MWH</price_Measure_Unit.name><Period><timeInterval>"
        f"<start>{since}</start><end>{until}</end></timeInterval><resolution>PT60M</resolution>{points}"
        "</Period></TimeSeries>"
    )


def entsoe_document(*series: str) -> str:
    return f"<Publication_MarketDocument>{''.join(series)}</Publication_MarketDocument>"


def test_a_market_that_changed_its_currency_is_not_read_in_the_newer_one(tmp_path: Path) -> None:
    """As Bulgaria's did on 1 January 2026; 100 BGN are not 100 EUR."""
    path = tmp_path / "prices.xml"
    path.write_text(entsoe_document(entsoe_series(0, "BGN", "BG", 100), entsoe_series(1, "EUR", "BG", 50)))
    with pytest.raises(PricingError, match="expected one currency, found BGN, EUR"):
        read_tariff(path)


@pytest.mark.parametrize(("zone", "price"), [("BE", 0.1), ("FR", 0.05)])
def test_one_zone_of_a_document_is_the_one_asked_for(tmp_path: Path, zone: str, price: float) -> None:
    (tmp_path / "prices.xml").write_text(
        entsoe_document(entsoe_series(0, "EUR", "BE", 100), entsoe_series(0, "EUR", "FR", 50))
    )
    (tmp_path / "tariff.yaml").write_text(f"series: prices.xml\nzone: {zone}\n")
    tariff = read_tariff(tmp_path / "tariff.yaml", Checker(currency="EUR"))
    start = datetime.datetime(2025, 10, 1, 22, tzinfo=UTC).timestamp()
    assert (tariff.source, value_at(tariff.schedule, start)) == (f"ENTSO-E, {zone}", pytest.approx(price))


@pytest.mark.parametrize("in_a_region", [False, True])
def test_fees_are_in_the_currency_of_the_tariff_and_not_of_the_market(
    tmp_path: Path, in_a_region: bool
) -> None:
    """0.27 EUR at 11.6 SEK are 3.132 SEK; with 0.74 SEK of fees and 25 % VAT 4.84 a kWh, 1 SEK an hour."""
    (tmp_path / "prices.xml").write_text(entsoe_document(entsoe_series(0, "EUR", "SE4", 270)))
    tariff = "{series: prices.xml, fees_per_kwh: 0.74, vat_percent: 25, standing_charge_per_day: 19.2}"
    (tmp_path / "tariff.yaml").write_text(tariff)
    (tmp_path / "regions.yaml").write_text(f"regions: {{lab: {{tariff: {tariff}}}}}")
    (tmp_path / "rates.yaml").write_text("{base: EUR, date: 2025-10-01, rates: {SEK: 11.6}}")
    files = {"regions_file": tmp_path / "regions.yaml", "region": "lab"} if in_a_region else {}
    files = files or {"tariff": tmp_path / "tariff.yaml"}
    options = PriceOptions(
        **files, currency="SEK", cpu_cost_per_hour=0, exchange_rates=tmp_path / "rates.yaml"
    )
    model = RegionalModels.load(options).models[0]
    start = datetime.datetime(2025, 10, 1, 22, tzinfo=UTC).timestamp()
    hour = {"start_time": start, "duration": 3600, "power": {"mean_watts": 1000}}
    assert model.compute_energy_cost(hour) == pytest.approx(4.84 + 1)
    with pytest.raises(PricingError, match="its price is in EUR: give exchange rates"):
        RegionalModels.load(replace(options, exchange_rates=None))


OTHER_ZONES: list[tuple[str, str, str]] = [
    ("p.xml", entsoe_document(entsoe_series(0, "EUR", "BE", 100)), "expected one of BE, found 'FR'"),
    (
        "p.json",
        '{"zone": "DE", "history": [{"carbonIntensity": 300, "datetime": "2025-01-01T00:00Z"}]}',
        "expected one of DE, found 'FR'",
    ),
    (
        "p.json",
        '{"data": [{"from": "2025-01-01T00:00Z", "to": "2025-01-01T00:30Z", "intensity": {"forecast": 1}}]}',
        "expected one of GB, found 'FR'",
    ),
    (
        "p.json",
        '{"data": [{"start_timestamp": 0, "end_timestamp": 3600000, "marketprice": 1, "unit": "EUR/MWh"}]}',
        "found a file without zones",
    ),
    (
        "p.csv",
        "Datetime (UTC),Zone id,Carbon intensity gCO2eq/kWh (direct)\n2025-01-01 00:00,DE,5\n",
        "of DE",
    ),
    ("p.csv", "timestamp,price_per_kwh\n0,1\n3600,1\n", "found a file without zones"),
]


@pytest.mark.parametrize(("name", "text", "problem"), OTHER_ZONES)
def test_a_file_of_another_zone_is_not_taken_for_the_one_asked_for(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    quantity: Literal["price", "carbon"] = "carbon" if "arbon" in text or "intensity" in text else "price"
    with pytest.raises(PricingError, match=f"zone: .*{problem}"):
        read_series(
            [path], quantity, Checker(currency="EUR"), zone="FR", basis="direct" if name == "p.csv" else None
        )


def test_life_cycle_intensities_are_not_called_direct(tmp_path: Path) -> None:
    """Gas emits about 490 g/kWh over its life cycle and 370 at the stack."""
    entry = {"datetime": "2025-01-01T00:00Z", "carbonIntensity": 490, "emissionFactorType": "lifecycle"}
    (tmp_path / "carbon.json").write_text(json.dumps({"zone": "DE", "history": [entry]}))
    regions = tmp_path / "regions.yaml"
    regions.write_text("regions: {lab: {carbon_series: carbon.json, carbon_basis: direct}}\n")
    with pytest.raises(PricingError, match="expected direct intensities, found lifecycle ones"):
        RegionalPricing(regions)


@pytest.mark.parametrize("measured_first", [True, False])
def test_what_was_measured_goes_before_its_forecast(tmp_path: Path, measured_first: bool) -> None:
    """Pages asked for day by day overlap: a forecast of 120 for an hour that came to 95, then one of 80."""

    def page(*grams: tuple[int | None, int]) -> str:
        spans = [
            {
                "from": f"2025-07-01T0{hour}:00Z",
                "to": f"2025-07-01T0{hour + 1}:00Z",
                "intensity": {"actual": actual, "forecast": forecast},
            }
            for hour, (actual, forecast) in enumerate(grams)
        ]
        return json.dumps({"data": spans})

    pages = [page((None, 120), (None, 70)), page((95, 110), (None, 80))]
    for number, text in enumerate(reversed(pages) if measured_first else pages):
        (tmp_path / f"{number}.json").write_text(text)
    carbon = read_series(sorted(tmp_path.iterdir()), "carbon", Checker()).schedule
    start = datetime.datetime(2025, 7, 1, tzinfo=UTC).timestamp()
    later = 70 if measured_first else 80
    assert [value_at(carbon, start + 3600 * hour) for hour in range(2)] == [95, later]


def test_an_intensity_that_was_revised_is_the_later_one(tmp_path: Path) -> None:
    """UK Carbon Intensity lists 19 April 2021, 19:00 twice, and revises for a day what was measured."""
    uk_json(
        tmp_path,
        [Step(START, 1800, Fraction(1)), *(Step(START + 1800, 1800, Fraction(g)) for g in (210, 220))],
    )
    carbon = read_series([tmp_path / "carbon.json"], "carbon", Checker()).schedule
    assert value_at(carbon, START + 1800) == 220


@pytest.mark.parametrize("form", ["json", "csv"])
def test_an_estimate_gives_way_to_what_was_measured(tmp_path: Path, form: str) -> None:
    entry = {"datetime": "2025-01-01T00:00Z", "zone": "FR"}
    for number, (grams, estimated) in enumerate(((60, True), (48, False), (61, True))):
        text = "Datetime (UTC),Zone id,Carbon intensity gCO₂eq/kWh (Life cycle),Data estimated\n"
        text += f"2025-01-01 00:00:00,FR,{grams},{str(estimated).lower()}\n"
        if form == "json":
            entries = [{**entry, "carbonIntensity": grams, "isEstimated": estimated}]
            text = json.dumps({"zone": "FR", "history": entries})
        (tmp_path / f"{number}.{form}").write_text(text)
    carbon = read_series(sorted(tmp_path.iterdir()), "carbon", Checker(), hold_seconds=3600).schedule
    assert value_at(carbon, datetime.datetime(2025, 1, 1, tzinfo=UTC).timestamp()) == 48


def test_the_only_way_of_paying_is_read(tmp_path: Path) -> None:
    """A page that was filtered holds the rates of those who do not pay by direct debit alone."""
    entry = {"value_exc_vat": 20.0, "value_inc_vat": 21.0, "valid_from": iso(START), "valid_to": None}
    document = {"results": [{**entry, "payment_method": "NON_DIRECT_DEBIT"}]}
    (tmp_path / "prices.json").write_text(json.dumps(document))
    prices = read_tariff(tmp_path / "prices.json", Checker(currency="GBP")).schedule
    assert value_at(prices, START) == pytest.approx(0.21)


ZONES = {"CET": "Europe/Brussels", "WET": "Europe/Lisbon", "EET": "Europe/Athens", "UTC": "UTC"}
# a day and a half before and after the clocks change in Europe
CHANGES = [
    int(datetime.datetime(2025, month, day, 1, tzinfo=UTC).timestamp()) for month, day in ((3, 30), (10, 26))
]
LOCAL_TABLES = st.fixed_dictionaries(
    {
        "clock": st.sampled_from(sorted(ZONES)),
        "around": st.sampled_from(CHANGES),
        "minutes": st.sampled_from([15, 30, 60]),
        "semicolons": st.booleans(),
        "nord_pool": st.booleans(),
        "newest_first": st.booleans(),
        "absent": st.sets(st.integers(0, 71), max_size=3),
        "empty": st.sets(st.integers(0, 71), max_size=3),
        "seed": st.integers(0, 999),
    }
)


@settings(max_examples=60)
@given(table=LOCAL_TABLES, begin=st.integers(0, 70 * 60), minutes=st.integers(1, 300))
def test_any_table_by_the_clock_on_the_wall_is_priced_as_its_steps_are(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any], begin: int, minutes: int
) -> None:
    """72 hours about a change of the clocks, in either order; rows and prices are missing, of any locale.

    Hours that are absent keep out of the hour that comes twice: by the clock alone nobody could tell which.
    """
    zone, step = ZoneInfo(ZONES[table["clock"]]), table["minutes"] * 60
    first, draw = table["around"] - 36 * 3600, random.Random(table["seed"])
    absent = table["absent"] - set(range(34, 40))
    steps = [
        (at, Fraction(draw.randint(-5_000, 90_000), 100)) for at in range(first, first + 72 * 3600, step)
    ]
    known = {at: price for at, price in steps if (at - first) // 3600 not in absent | table["empty"]}
    mark, between = (",", ";") if table["semicolons"] else (".", ",")
    name, form = "SE3 (EUR)" if table["nord_pool"] else "Day-ahead Price (EUR/MWh)", "%d.%m.%Y %H:%M"
    lines = [between.join((f"{'Delivery Start' if table['nord_pool'] else 'MTU'} ({table['clock']})", name))]
    for at, price in steps:
        if (at - first) // 3600 not in absent:
            start, end = (datetime.datetime.fromtimestamp(m, zone).strftime(form) for m in (at, at + step))
            span = start if table["nord_pool"] else f"{start} - {end}"
            lines.append(between.join((span, decimal(price, mark) if at in known else "n/e")))
    if table["newest_first"]:
        lines[1:] = reversed(lines[1:])
    path = tmp_path_factory.mktemp("tables") / "prices.csv"
    path.write_text("\n".join(lines), encoding=draw.choice(["utf-8", "utf-8-sig"]))
    since = first + begin * 60
    until = min(since + minutes * 60, first + 72 * 3600)
    pieces = [
        (max(at, since), min(at + step, until), at) for at, _ in steps if at < until and at + step > since
    ]
    exact = None
    if all(at in known for _, _, at in pieces):
        exact = sum(((end - start) * known[at] for start, end, at in pieces), Fraction(0)) / 3_600_000
    scenario = {"power": {"mean_watts": 1000}, "start_time": since, "duration": until - since}
    cost = CostModel(tariff=path, currency="EUR").price(scenario).cost_energy
    assert cost == (None if exact is None else pytest.approx(float(exact), rel=1e-9, abs=1e-12))
