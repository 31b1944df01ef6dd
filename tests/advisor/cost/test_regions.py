"""The region table and the operator's own figures over it."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor import CostModel, RegionalPricing
from advisor.cost.currencies import Rates
from advisor.cost.exchange_rates import read_rates
from advisor.cost.regions.table import table, written_names
from advisor.cost.tariffs.schedule import Flat, Scaled, SourcedSchedule, StepSeries, value_at
from advisor.errors import PricingError, UnknownRegionError

EURO = Rates("EUR", datetime.date(2026, 11, 20), {"USD": 1.25, "GBP": 0.8}, "rates.yaml")


def test_every_region_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "regions.yaml"
    path.write_text("regions:\n  a: {price_per_kwh: -1}\n  b: {pue: 1.2}\n  c: {pue: 0.2}\n")
    with pytest.raises(PricingError) as caught:
        RegionalPricing(path)
    first, second = str(caught.value).split("; ")
    assert first == f"{path}: line 2, regions.a.price_per_kwh: expected a number of 0 or more, found -1"
    assert second == f"{path}: line 4, regions.c.pue: expected a number of 1 or more, found 0.2"


def test_rates_can_be_their_file(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text("base: EUR\ndate: 2026-11-20\nrates: {USD: 1.25}\n")
    assert RegionalPricing(currency="EUR", rates=path).price_per_kwh("eu-north-1") == 0.0682 / 1.25


def test_a_region_in_place_of_the_operators_file_says_where_it_goes() -> None:
    with pytest.raises(PricingError, match=r"operator_file: .* for a region call region\('us-east-1'\)"):
        RegionalPricing("us-east-1")


def test_the_table_holds_every_row_with_its_basis_year_and_source() -> None:
    """154 cloud regions and 213 countries; a figure never stands without where it is from."""
    path = Path(advisor.__file__).parent / "cost" / "regions" / "regions.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table()) == 367
    assert sum(region.provider == "country" for region in table().values()) == 213
    for region in table().values():
        if region.carbon is not None:
            assert region.carbon.basis
            assert region.carbon.source
            assert 2000 < int(region.carbon.period or 0) < 2030
        if region.price is not None:
            assert region.price.source
            assert region.price.basis
            assert region.price.currency == "USD"
        assert region.pue_ratio is None or 1.0 <= region.pue_ratio < 2.0


@pytest.mark.parametrize(
    ("name", "price", "carbon", "pue"),
    [
        ("us-east-1", 0.0899, 284.0, 1.15),
        ("eu-north-1", 0.0682, 35.82, 1.10),
        ("northamerica-northeast1", None, 5.48, 1.10),
        ("DEU", 0.1552, 344.14, None),
        ("ap-southeast-6", None, 120.11, 1.135),
        ("eusc-de-east-1", 0.1552, 344.14, 1.135),
        ("usgovvirginia", 0.0899, 284.0, 1.185),
    ],
)
def test_published_figures(name: str, price: float | None, carbon: float, pue: float | None) -> None:
    """EIA 2024, EPA eGRID2022, Eurostat, Ember 2024 and Google Cloud 2024, as published."""
    regions = RegionalPricing()
    assert regions.carbon_grams_per_kwh(name) == carbon
    assert regions.pue_ratio(name) == pue
    if price is None:
        with pytest.raises(PricingError, match=f"region {name}: price_per_kwh: no citable price"):
            regions.price_per_kwh(name)
    else:
        assert regions.price_per_kwh(name) == price


def test_a_region_is_found_however_it_is_written() -> None:
    regions = RegionalPricing()
    assert regions.region("AWS/US-East-1").name == "us-east-1"
    assert regions.region("deu").name == "DEU"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("us-est-1", "us-east-1"),
        ("westeurop", "westeurope"),
        ("europe-west", "europe-west1"),
        ("germani", "DEU"),
    ],
)
def test_an_unknown_region_lists_what_is_near(name: str, near: str) -> None:
    with pytest.raises(UnknownRegionError, match="similar: ") as caught:
        RegionalPricing().region(name)
    assert near in str(caught.value)


def test_an_unknown_region_without_anything_near_says_how_countries_go() -> None:
    with pytest.raises(UnknownRegionError, match="by its code, such as DEU or DE"):
        RegionalPricing().region("qqqq!")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *(("DE", "DEU"), ("de", "DEU"), ("Germany", "DEU"), ("UK", "GBR"), ("south korea", "KOR")),
        *(
            ("SE3", "SWE"),
            ("DE-LU", "DEU"),
            ("IT_NORD", "ITA"),
            ("SE_3", "SWE"),
            ("US-CAL-CISO", "USA"),
            ("NO2", "NOR"),
        ),
        *(("DK-DK1", "DNK"), ("BZN|NO2", "NOR"), ("IE(SEM)", "IRL"), ("US-MIDA-PJM", "USA")),
        *(("se3", "SWE"), ("BZN|BE", "BEL"), ("aws/us-east-1", "us-east-1"), ("country/FR", "FRA")),
        *(("us-east-1a", "us-east-1"), ("us-central1-b", "us-central1"), ("West Europe", "westeurope")),
    ],
)
def test_what_people_write_finds_its_region(written: str, name: str) -> None:
    """Two letters, English names, bidding zones, zones of a region, names as portals show them."""
    assert RegionalPricing().region(written).name == name


@pytest.mark.parametrize("name", ["America/Jamaica", "US/Georgia", "DE/LU", "us-east", "sa-east"])
def test_half_a_name_is_no_region(name: str) -> None:
    """Georgia of the US is not the country, a time zone holds in several, sa-east is not Saudi Arabia."""
    with pytest.raises(UnknownRegionError):
        RegionalPricing().region(name)


@pytest.mark.parametrize("name", [None, ["DEU", "FRA"], 3])
def test_something_else_than_a_name_is_refused(name: Any) -> None:
    with pytest.raises(PricingError, match="region: expected a text"):
        RegionalPricing().region(name)


def test_a_regions_tariff_has_its_standing_charge(tmp_path: Path) -> None:
    """An hour of 1 kW: (0.10 + 0.05) x 1.2 = 0.18, and 24 a day x 1.2 / 24 hours = 1.2."""
    tariff = "{price_per_kwh: 0.10, fees_per_kwh: 0.05, vat_percent: 20, standing_charge_per_day: 24}"
    path = tmp_path / "regions.yaml"
    path.write_text(f"regions: {{lab: {{tariff: {tariff}}}}}\n")
    model = CostModel(region="lab", regions=RegionalPricing(path))
    assert model.compute_energy_cost({"duration": 3600, "power": {"mean_watts": 1000}}) == pytest.approx(1.38)


def test_every_country_has_two_letters_and_a_name() -> None:
    countries, names = RegionalPricing().names("country"), written_names()
    assert {names[written] for written in names if len(written) == 2} == set(countries)
    assert {names[written] for written in names if len(written) > 3} >= set(countries)


def test_a_region_of_the_operator_may_be_called_as_norway_is(tmp_path: Path) -> None:
    """YAML takes NO for a truth value; what it is like may be written as any region is."""
    path = tmp_path / "regions.yaml"
    path.write_text("regions:\n  NO: {like: norway, price_per_kwh: 0.05}\n")
    region = RegionalPricing(path).region("no")
    assert (region.name, region.price_per_kwh) == ("NO", 0.05)
    assert region.carbon_grams_per_kwh == table()["NOR"].carbon_grams_per_kwh


def test_the_case_of_a_region_that_is_known_does_not_matter_in_the_operators_file(tmp_path: Path) -> None:
    """It stays where it is: PUE and carbon of the table hold beside the operator's price."""
    path = tmp_path / "regions.yaml"
    path.write_text("regions:\n  EU-NORTH-1: {price_per_kwh: 0.3}\n  zone: {like: SE3, pue: 1.5}\n")
    regions = RegionalPricing(path)
    assert (regions.price_per_kwh("eu-north-1"), regions.pue_ratio("eu-north-1")) == (0.3, 1.10)
    assert regions.carbon_grams_per_kwh("eu-north-1") == regions.carbon_grams_per_kwh("zone") == 35.82


def test_a_site_in_small_letters_is_not_the_country_of_that_code(tmp_path: Path) -> None:
    """An operator's Perth is not in Peru; a country itself is in capitals there."""
    path = tmp_path / "regions.yaml"
    path.write_text("regions:\n  per: {price_per_kwh: 0.2}\n  DEU: {price_per_kwh: 0.3}\n")
    regions = RegionalPricing(path)
    assert (regions.region("per").name, regions.region("per").carbon) == ("per", None)
    assert regions.carbon_grams_per_kwh("deu") == 344.14


@pytest.mark.parametrize("entry", ["{price_per_kwh: 0.2}", "{like: DEU}"])
def test_a_region_that_is_there_twice_is_refused(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "regions.yaml"
    path.write_text(f"regions:\n  LAB: {{price_per_kwh: 0.1}}\n  lab: {entry}\n")
    with pytest.raises(PricingError, match=r"line 3, regions.lab: expected each region once"):
        RegionalPricing(path)


def test_a_search_finds_a_country_with_its_regions() -> None:
    found = [region.name for region in RegionalPricing().search("swed")]
    assert found == ["SWE", "eu-north-1", "europe-north2", "swedencentral", "swedensouth"]
    assert [region.name for region in RegionalPricing().search("SE3")] == found


def test_intensities_by_year_price_old_runs(tmp_path: Path) -> None:
    """400 g in 2023, 300 from 2024 on, nothing known of 2022."""
    path = tmp_path / "regions.yaml"
    path.write_text("regions: {here: {price_per_kwh: 0.1, carbon_grams_per_kwh: {2023: 400, 2024: 300}}}")
    carbon = RegionalPricing(path).region("here").carbon
    assert carbon is not None
    moments = [datetime.datetime(y, 6, 1, tzinfo=datetime.UTC).timestamp() for y in (2022, 2023, 2024, 2026)]
    assert [value_at(carbon.schedule, moment) for moment in moments] == [None, 400, 300, 300]
    assert carbon.period == "2023-2024"


@pytest.mark.parametrize("year", ["20240", "0", "x", "99999999999999999999"])
def test_what_is_no_year_is_refused_by_its_field(tmp_path: Path, year: str) -> None:
    path = tmp_path / "regions.yaml"
    path.write_text(f"regions: {{here: {{carbon_grams_per_kwh: {{{year}: 400}}}}}}")
    with pytest.raises(PricingError, match=r"here.carbon_grams_per_kwh: expected a whole number"):
        RegionalPricing(path)


def test_names_by_provider() -> None:
    regions = RegionalPricing()
    assert len(regions.names()) == 367
    assert len(regions.names("aws")) == 39
    assert "westeurope" in regions.names("azure")


OPERATOR = """
currency: EUR
regions:
  eu-north-1:
    price_per_kwh: 0.05
    price_source: contract 2026
    pue: 1.07
  basement:
    like: DEU
    pue: 1.0
    carbon_grams_per_kwh: 0
    carbon_basis: direct
    carbon_year: 2026
    carbon_source: own solar
    tariff:
      time_zone: Europe/Berlin
      periods: [{price_per_kwh: 0.3, hours: "06:00-22:00"}]
      otherwise_per_kwh: 0.2
  shed: {country: NOR, price_per_kwh: 0.01}
"""


def test_the_operator_overrides_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "regions.yaml"
    path.write_text(OPERATOR)
    regions = RegionalPricing(path, currency="EUR")
    north = regions.region("eu-north-1")
    assert (regions.price_per_kwh("eu-north-1"), north.price and north.price.source) == (
        0.05,
        "contract 2026",
    )
    assert north.carbon is not None
    assert (north.pue_ratio, north.carbon_grams_per_kwh, north.carbon.period) == (1.07, 35.82, "2024")
    own = regions.region("basement")
    assert (own.provider, own.country, own.pue_ratio) == ("operator", "DEU", 1.0)
    assert regions.carbon_grams_per_kwh("basement") == 0.0
    assert own.carbon == SourcedSchedule(Flat(0.0), "own solar", None, "direct", "2026")
    with pytest.raises(PricingError, match="price_per_kwh: changes over time"):
        regions.price_per_kwh("basement")
    shed = regions.region("shed")
    assert (shed.country, shed.carbon, shed.pue_ratio) == ("NOR", None, None)
    with pytest.raises(PricingError, match="region shed: carbon_grams_per_kwh: no carbon intensity"):
        regions.carbon_grams_per_kwh("shed")
    assert RegionalPricing().price_per_kwh("eu-north-1") == 0.0682


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regions: []", "regions: expected a mapping"),
        ("region: {}", "region: did you mean regions"),
        ("regions: {here: 5}", "regions.here: expected a mapping"),
        ("regions: {here: {pues: 1}}", "regions.here.pues: did you mean pue"),
        ("regions: {here: {pue: 0.5}}", "regions.here.pue: expected a number of 1 or more, found 0.5"),
        ("regions: {here: {like: DEUX}}", "regions.here.like: no region 'DEUX'; near: DEU"),
        ("regions: {here: {price_per_kwh: -1}}", "regions.here.price_per_kwh: .* found -1"),
        ("regions: {here: {price_per_kwh: 120}}", "is it per MWh"),
        ("regions: {here: {carbon_grams_per_kwh: .nan}}", "carbon_grams_per_kwh: .* found nan"),
        (
            "regions: {here: {carbon_grams_per_kwh: 350000}}",
            "carbon_grams_per_kwh: expected a number of at most 3000, found 350000",
        ),
        ("regions: {here: {tariff: 0.1}}", "regions.here.tariff: expected a mapping"),
        (
            "regions: {here: {tariff: {periods: []}}}",
            "tariff.periods: expected a list that is not empty",
        ),
        (
            "regions: {here: {carbon_series: a.csv, carbon_grams_per_kwh: 1}}",
            "carbon_series: expected a series or one intensity",
        ),
        ("regions: {here: {carbon_series: missing.csv}}", "missing.csv: cannot be read"),
    ],
)
def test_an_operators_file_that_cannot_hold_is_refused_by_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "regions.yaml"
    path.write_text(text)
    with pytest.raises(PricingError, match=said):
        RegionalPricing(path)


def test_a_carbon_series_is_held_and_limited(tmp_path: Path) -> None:
    (tmp_path / "carbon.csv").write_text("timestamp,carbon_grams_per_kwh\n0,10\n3600,0\n")
    path = tmp_path / "regions.yaml"
    path.write_text("regions: {here: {carbon_series: carbon.csv, carbon_hold_seconds: 60}}")
    region = RegionalPricing(path).region("here")
    assert region.carbon is not None
    assert region.carbon.schedule == StepSeries.of([0, 3600], [10, 0], 60)
    assert region.carbon.newest_unix_seconds == 3600
    (tmp_path / "carbon.csv").write_text("timestamp,carbon_grams_per_kwh\n0,10\n3600,35000\n")
    with pytest.raises(PricingError, match="line 3, carbon_grams_per_kwh: expected a number of at most 3000"):
        RegionalPricing(path)


def test_prices_in_another_currency_need_the_operators_rates() -> None:
    """0.0682 USD at 1.25 USD a euro is 0.05456 EUR, and 0.8 of that in pounds' units."""
    with pytest.raises(PricingError, match="its price is in USD: give exchange rates"):
        RegionalPricing(currency="EUR").price_per_kwh("eu-north-1")
    in_euro = RegionalPricing(currency="EUR", rates=EURO)
    assert in_euro.price_per_kwh("eu-north-1") == pytest.approx(0.05456)
    in_pounds = RegionalPricing(currency="GBP", rates=EURO)
    assert in_pounds.price_per_kwh("eu-north-1") == pytest.approx(0.0682 / 1.25 * 0.8)
    with pytest.raises(
        PricingError, match=r"rates\.yaml: rates: expected a rate for CHF, found EUR, GBP, USD"
    ):
        RegionalPricing(currency="CHF", rates=EURO).price_per_kwh("eu-north-1")


def test_a_tariff_in_another_currency_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "regions.yaml"
    path.write_text(OPERATOR)
    schedule = RegionalPricing(path, currency="USD", rates=EURO).price_schedule("basement")
    assert isinstance(schedule, Scaled)
    assert schedule.factor == 1.25
    assert RegionalPricing(path, currency="USD", rates=EURO).price_schedule("eu-north-1") == Flat(0.0625)


def test_rates_far_from_the_usual_are_taken_if_that_is_accepted(tmp_path: Path) -> None:
    """Currencies collapse; of some nothing is known."""
    path = tmp_path / "rates.yaml"
    path.write_text("base: USD\ndate: 2026-11-20\nrates: {TRY: 900, ZWG: 26.9}\n")
    with pytest.raises(PricingError, match=r"rates\.TRY: 900 TRY for one USD, usually about 40"):
        RegionalPricing(rates=path)
    rates = RegionalPricing(rates=path, accept_unusual_prices=True).rates
    assert rates is not None
    assert rates.per_base == {"TRY": 900, "ZWG": 26.9}


def test_rates_have_a_day(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text("base: eur\ndate: 2026-11-20\nrates: {USD: 1.25}\nsource: central bank\n")
    rates = read_rates(path)
    assert rates == Rates("EUR", datetime.date(2026, 11, 20), {"USD": 1.25}, str(path))
    midnight = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC).timestamp()
    assert rates.age_seconds(midnight + 5) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base: EUR\nrates: {USD: 1.25}", "date: expected a value, found none"),
        ("base: EUR\ndate: 2026-11-20T10:00:00Z\nrates: {USD: 1.25}", "line 2, date: expected a date such"),
        ("base: EUR\ndate: 2026-11-20", "rates: expected a value, found none"),
        ("base: EUR\ndate: 2026-11-20\nrates: {USD: 0}", "line 3, rates.USD: expected a number above 0"),
        ("base: EUR\ndate: 2026-11-20\nrates: {EUR: 2, USD: 1}", "line 3, rates.EUR: expected 1, the base's"),
        ("base: EUR\ndate: 2026-11-20\nrates: {usd: 1.08, USD: 1.3}", "line 3, rates: .* each currency once"),
        ("base: USD\ndate: 2026-11-20\nrates: {NGN: 0.00065}", "line 3, rates.NGN: 0.00065 .*then 1.54e.03"),
        ("base: EUR\ndate: 2026-11-20\nrates: {dollar: 1}", "expected a currency code"),
        ("base: JPY\ndate: 2026-11-20\nrates: {USD: 150}", "line 3, rates.USD: .* one USD .then 0.00667"),
        ("base: EUR\ndate: 2026-11-20\nrates: {SEK: 1100}", "line 3, rates.SEK: 1100 SEK for one EUR"),
        ("base: eur\ndate: 2026-11-20\nrates:\n  usd: 0.008", "line 4, rates.usd: 0.008 .* one EUR"),
        ("base: EUR\ndate: 2026-11-20\nrates: {USD: 1}\nas_of: x", "as_of: expected one of"),
        ("date: 2026-11-20\nrates: {USD: 1}", "base: expected a value, found none"),
    ],
)
def test_rates_that_cannot_be_used_are_refused_by_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(text)
    with pytest.raises(PricingError, match=said):
        read_rates(path)
