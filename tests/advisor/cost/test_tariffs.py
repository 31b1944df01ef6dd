"""Schedules: exact over time and over clock changes, strict about what is wrong."""

from __future__ import annotations

import datetime
import itertools
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor import CostModel
from advisor.cost.power_curve import LoadCurve, weighted_total
from advisor.cost.tariffs.schedule import Flat, Scaled, StepSeries, average, value_at
from advisor.cost.tariffs.tariff_files import read_tariff
from advisor.cost.tariffs.time_of_use import time_of_use
from advisor.errors import PricingError

BERLIN = ZoneInfo("Europe/Berlin")
DAY_AND_NIGHT = {
    "time_zone": "Europe/Berlin",
    "holidays": ["2026-12-25"],
    "periods": [{"price_per_kwh": 0.3, "days": "weekdays", "hours": "06:00-22:00"}],
    "otherwise_per_kwh": 0.2,
}
TOU = time_of_use(DAY_AND_NIGHT)


def berlin(text: str, fold: int = 0) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("moment", "price"),
    [
        ("2026-03-02T05:59:59", 0.2),
        ("2026-03-02T06:00:00", 0.3),
        ("2026-03-02T21:59:59", 0.3),
        ("2026-03-02T22:00:00", 0.2),
        ("2026-07-01T06:00:00", 0.3),
        ("2026-03-07T12:00:00", 0.2),
        # a Friday, and a holiday that counts as a Sunday
        ("2026-12-25T12:00:00", 0.2),
    ],
)
def test_the_price_follows_the_local_clock(moment: str, price: float) -> None:
    assert value_at(TOU, berlin(moment)) == price


def test_a_day_is_as_long_as_the_clocks_make_it() -> None:
    """A plan by the hour: 23 hours of it in spring, 25 in autumn, 24 otherwise."""
    hourly = time_of_use(
        {
            "time_zone": "Europe/Berlin",
            "periods": [
                {"price_per_kwh": hour / 100, "hours": f"{hour:02d}:00-{hour + 1:02d}:00"}
                for hour in range(24)
            ],
        }
    )
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)):
        start = berlin(f"{day}T00:00:00")
        end = berlin((datetime.date.fromisoformat(day) + datetime.timedelta(1)).isoformat() + "T00:00:00")
        pieces = list(hourly.pieces(start, end))
        assert end - start == hours * 3600
        assert sum(b - a for a, b, _ in pieces) == hours * 3600
        prices = [value for a, b, value in pieces for _ in range(round((b - a) / 3600))]
        skipped = [h for h in range(24) if h / 100 not in prices]
        twice = [h for h in range(24) if prices.count(h / 100) == 2]
        assert (skipped, twice) == {23: ([2], []), 25: ([], [2]), 24: ([], [])}[hours]


def test_an_edge_inside_the_hour_that_comes_twice_is_passed_twice() -> None:
    """Local 02:30 on the day that clocks go back: dear, cheap again when 02:00 comes again, then dear."""
    tariff = time_of_use(
        {
            "time_zone": "Europe/Berlin",
            "periods": [
                {"price_per_kwh": 0.1, "hours": "00:00-02:30"},
                {"price_per_kwh": 0.4, "hours": "02:30-24:00"},
            ],
        }
    )
    first, second = berlin("2026-10-25T02:30:00"), berlin("2026-10-25T02:30:00", fold=1)
    assert second - first == 3600
    pieces = list(tariff.pieces(berlin("2026-10-25T00:00:00"), berlin("2026-10-25T04:00:00")))
    assert [(b - a, value) for a, b, value in pieces] == [(9000, 0.1), (1800, 0.4), (1800, 0.1), (5400, 0.4)]


def test_an_edge_inside_the_hour_that_is_skipped_takes_effect_at_the_jump() -> None:
    tariff = time_of_use(
        {
            "time_zone": "Europe/Berlin",
            "periods": [
                {"price_per_kwh": 0.1, "hours": "00:00-02:30"},
                {"price_per_kwh": 0.4, "hours": "02:30-24:00"},
            ],
        }
    )
    pieces = list(tariff.pieces(berlin("2026-03-29T00:00:00"), berlin("2026-03-29T04:00:00")))
    assert [(b - a, value) for a, b, value in pieces] == [(7200, 0.1), (3600, 0.4)]


def test_a_night_over_midnight_belongs_to_both_its_days() -> None:
    tariff = time_of_use(
        {
            "time_zone": "UTC",
            "periods": [
                {"price_per_kwh": 0.1, "hours": "22:00-06:00"},
                {"price_per_kwh": 0.2, "hours": "06:00\u201322:00"},
            ],
        }
    )
    assert [value_at(tariff, hour * 3600.0) for hour in (0, 5, 6, 21, 22, 23)] == [
        0.1,
        0.1,
        0.2,
        0.2,
        0.1,
        0.1,
    ]


@pytest.mark.parametrize(
    ("own", "price"), [([], 0.15), ([{"price_per_kwh": 0.05, "days": "holidays"}], 0.05)]
)
def test_a_holiday_is_a_sunday_unless_it_has_its_own_price(
    own: list[dict[str, object]], price: float
) -> None:
    """Christmas of 2026 is a Friday."""
    sunday = {"price_per_kwh": 0.15, "days": "sun"}
    tariff = time_of_use(
        {
            "time_zone": "Europe/Berlin",
            "holidays": ["2026-12-25"],
            "periods": [sunday, *own],
            "otherwise_per_kwh": 0.3,
        }
    )
    noon = berlin("2026-12-25T12:00:00")
    assert value_at(tariff, noon) == price
    assert value_at(tariff, noon + 2 * 86400) == 0.15
    assert value_at(tariff, noon - 86400) == 0.3


def test_seasons_and_days_by_name() -> None:
    tariff = time_of_use(
        {
            "time_zone": "America/New_York",
            "periods": [
                {
                    "price_per_kwh": 0.5,
                    "months": [6, 7, 8],
                    "days": ["Monday", "tue"],
                    "hours": ["12:00-13:00"],
                },
            ],
            "otherwise_per_kwh": 0.25,
        }
    )
    zone = ZoneInfo("America/New_York")
    monday = datetime.datetime(2026, 7, 6, 12, 30, tzinfo=zone)
    assert value_at(tariff, monday.timestamp()) == 0.5
    assert value_at(tariff, monday.replace(month=5, day=4).timestamp()) == 0.25
    assert value_at(tariff, monday.replace(day=8).timestamp()) == 0.25


def _reference_price(moment: int) -> int:
    """The plan of `TOU` by the standard library alone, in cents."""
    local = datetime.datetime.fromtimestamp(moment, BERLIN)
    holiday = local.date() == datetime.date(2026, 12, 25)
    return 30 if local.weekday() < 5 and not holiday and 6 <= local.hour < 22 else 20


def test_a_year_of_quarter_hours_is_exact() -> None:
    """35 040 steps with both clock changes, beside sums of integers and fractions.

    All watts, seconds and cents are whole, so joules are halves of integers and exact in floating point; the
    one rounding is in the product with the price.
    """
    start, step = round(berlin("2026-01-01T00:00:00")), 900
    count = (round(berlin("2027-01-01T00:00:00")) - start) // step
    watts = [100 + (index * 7919) % 211 for index in range(count + 1)]
    curve = LoadCurve.from_samples([float(start + i * step) for i in range(count + 1)], watts)
    cents_half_joules = {20: 0, 30: 0}
    for index in range(count):
        price = _reference_price(start + index * step)
        cents_half_joules[price] += step * (watts[index] + watts[index + 1])
    assert count == 35_040
    totals = curve.totals_by_value(TOU)
    assert totals == {0.2: cents_half_joules[20] / 2, 0.3: cents_half_joules[30] / 2}
    exact = sum(Fraction(price, 100) * halves / 2 for price, halves in cents_half_joules.items())
    assert weighted_total(totals) == pytest.approx(float(exact), rel=1e-15)
    stamps = [start + i * step for i in range(count + 1)]
    cost = CostModel(tariff=TOU).compute_energy_cost(
        {"samples": {"timestamps": stamps, "power_watts": watts}, "duration": step * count}
    )
    assert cost == pytest.approx(float(exact / 3_600_000), rel=1e-15)


moments = st.integers(
    min_value=round(berlin("2026-01-01T00:00:00")), max_value=round(berlin("2026-12-31T00:00:00"))
)


@given(start=moments, length=st.integers(1, 40 * 86400), cut=st.floats(0.0, 1.0))
def test_pieces_cover_a_window_without_holes_and_agree_with_the_clock(
    start: int, length: int, cut: float
) -> None:
    pieces = list(TOU.pieces(start, start + length))
    assert pieces[0][0] == start
    assert pieces[-1][1] == start + length
    assert all(before[1] == after[0] for before, after in itertools.pairwise(pieces))
    for since, until, value in pieces:
        inside = since + cut * (until - since)
        assert until > since
        assert value == _reference_price(int(min(inside, until - 1e-3))) / 100


@given(start=moments, hours=st.integers(1, 60), data=st.data())
def test_splitting_a_window_anywhere_keeps_the_cost(start: int, hours: int, data: st.DataObject) -> None:
    """Also at an edge of the tariff and in the hour of a clock change."""
    end, watts = float(start + 3600 * hours), float(data.draw(st.integers(0, 500)))
    edges = [piece[1] for piece in TOU.pieces(start, end)]
    at = data.draw(st.sampled_from(edges) | st.floats(start, end))
    whole = weighted_total(LoadCurve(((start, end, watts, watts),)).totals_by_value(TOU))
    parts = [LoadCurve(((start, at, watts, watts),)), LoadCurve(((at, end, watts, watts),))]
    split = sum(weighted_total(part.totals_by_value(TOU)) or 0.0 for part in parts)
    assert split == pytest.approx(whole, rel=1e-9, abs=1e-6)


CLOCK_CHANGES = [berlin("2026-03-29T03:00:00"), berlin("2026-10-25T02:00:00", fold=1)]


def electricity(model: CostModel, points: dict[float, float]) -> float:
    """What a scenario with these samples, an hour apart, pays for electricity."""
    start, hours = min(points), len(points) - 1
    scenario = {"start_time": start, "duration": 3600 * hours, "step_seconds": 3600}
    cost = model.price({**scenario, "power_watts": list(points.values())}).cost_energy
    assert cost is not None
    return cost


@given(
    change=st.sampled_from(CLOCK_CHANGES),
    hours_before=st.integers(2, 30),
    watts=st.lists(st.integers(0, 500), min_size=40, max_size=40),
    cut=st.integers(1, 38) | st.sampled_from(["change", "edge"]),
)
def test_what_is_measured_in_two_parts_costs_what_the_whole_does(
    change: float, hours_before: int, watts: list[int], cut: int | str
) -> None:
    """Two scenarios, cut at a sample, a tariff edge or a change of the clocks; all are on the hour."""
    model = CostModel(tariff=TOU, pue=1.2)
    start = change - 3600 * hours_before
    points = {start + 3600 * i: float(w) for i, w in enumerate(watts)}
    edge = next(until for _, until, _ in TOU.pieces(start, start + 38 * 3600))
    at = start + 3600 * cut if isinstance(cut, int) else {"change": change, "edge": edge}[cut]
    before = {moment: w for moment, w in points.items() if moment <= at}
    after = {moment: w for moment, w in points.items() if moment >= at}
    assert len(before) + len(after) == len(points) + 1
    parts = electricity(model, before) + electricity(model, after)
    assert parts == pytest.approx(electricity(model, points), rel=1e-12, abs=1e-15)


def test_a_series_holds_each_value_and_knows_nothing_beyond() -> None:
    series = StepSeries.of([0, 300, 600, 900], [10, 20, None, 40])
    assert list(series.pieces(-100, 1500)) == [
        (-100, 0, None),
        (0, 300, 10),
        (300, 600, 20),
        (600, 900, None),
        (900, 1200, 40),
        (1200, 1500, None),
    ]
    assert average(series, 0, 900) is None


def test_a_hole_makes_the_whole_sum_unknown() -> None:
    """A part of the energy without a price is never left out in silence."""
    series = StepSeries.of([0, 300, 600], [0.1, None, 0.2])
    assert weighted_total(LoadCurve(((0, 900, 50.0, 50.0),)).totals_by_value(series)) is None


def test_scaling_changes_values_and_not_times() -> None:
    assert list(Scaled(StepSeries.of([0, 10], [1, None]), 2.5).pieces(0, 20)) == [
        (0, 10, 2.5),
        (10, 20, None),
    ]
    assert list(Scaled(Flat(2.0), 0.5).pieces(3, 4)) == [(3, 4, 1.0)]


def broken(**changes: object) -> dict[str, object]:
    return {**DAY_AND_NIGHT, **changes}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (broken(time_zone="Europe/Berln"), "time_zone: expected a time zone.*near: Europe/Berlin"),
        (broken(time_zone=None), "time_zone"),
        (broken(otherwise_per_kwh=None), r"periods: no price from 00:00 to 06:00, .* \(month 1, mon\)"),
        (
            broken(periods=[{"price_per_kwh": 0.1}, {"price_per_kwh": 0.2, "hours": "08:00-09:00"}]),
            "two prices from 08:00 to 09:00",
        ),
        (broken(periods=[]), "periods: expected a list that is not empty"),
        (broken(periods=["day"]), r"periods\[0\]: expected a mapping"),
        (broken(periods=[{"hours": "06:00-22:00"}]), r"periods\[0\].price_per_kwh: .* found None"),
        (
            broken(periods=[{"price_per_kwh": -0.1}]),
            "price_per_kwh: expected a number of 0 or more, found -0.1",
        ),
        (broken(periods=[{"price_per_kwh": float("nan")}]), "found nan"),
        (broken(periods=[{"price_per_kwh": 120}]), "is it per MWh"),
        (broken(periods=[{"price_per_kwh": 0.1, "hours": "6-22"}]), "hours: expected hours such as"),
        (broken(periods=[{"price_per_kwh": 0.1, "hours": "06:00-06:00"}]), "two different times"),
        (broken(periods=[{"price_per_kwh": 0.1, "hours": "06:75-25:00"}]), "hours: expected hours such as"),
        (broken(periods=[{"price_per_kwh": 0.1, "days": "workdays"}]), "days: expected weekdays"),
        (broken(periods=[{"price_per_kwh": 0.1, "days": "monkeyday"}]), "found 'monkeyday'"),
        (
            broken(periods=[{"price_per_kwh": 0.1, "months": [13]}]),
            r"periods\[0\].months\[0\]: expected a whole number of at most 12, found 13",
        ),
        (broken(periods=[{"price": 0.1}]), r"periods\[0\].price: did you mean price_per_kwh"),
        (broken(holidays=["2026-02-30"]), r"holidays\[0\]: expected a date"),
    ],
)
def test_a_time_of_use_that_cannot_hold_is_refused_by_field(document: dict[str, object], said: str) -> None:
    with pytest.raises(PricingError, match=said):
        time_of_use(document)


def test_all_that_is_wrong_with_a_tariff_is_named_at_once() -> None:
    periods = [{"price_per_kwh": -1}, {"price_per_kwh": 0.1}, {"price_per_kwh": 0.1, "hours": "6-22"}]
    with pytest.raises(PricingError) as caught:
        time_of_use({"time_zone": "Mars", "periods": periods, "otherwise_per_kwh": "dear"})
    fields = [part.partition(":")[0] for part in str(caught.value).split("; ") if ": expected" in part]
    assert fields == ["time_zone", "otherwise_per_kwh", "periods[0].price_per_kwh", "periods[2].hours"]


def test_files_of_the_three_kinds(tmp_path: Path) -> None:
    flat, tou, series = tmp_path / "flat.yaml", tmp_path / "tou.yml", tmp_path / "series.csv"
    flat.write_text("currency: EUR\nprice_per_kwh: 0.21\nsource: contract 2026\n")
    tou.write_text(
        "time_zone: Europe/Berlin\nholidays: [2026-12-25]\nperiods:\n"
        '  - {price_per_kwh: 0.3, days: weekdays, hours: "06:00-22:00"}\notherwise_per_kwh: 0.2\n'
    )
    series.write_text("timestamp,price_per_kwh\n2026-03-01T00:00:00+01:00,0.10\n1772323200,0.2\n")
    read = read_tariff(flat)
    assert (read.schedule, read.currency, read.source) == (Flat(0.21), "EUR", "contract 2026")
    assert read_tariff(tou).schedule == TOU
    held = read_tariff(series)
    # midnight in Berlin is 23:00 UTC of the day before
    assert held.schedule == StepSeries.of([1772319600, 1772323200], [0.1, 0.2])
    assert held.newest_unix_seconds == 1772323200


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.yaml", "", "expected a mapping"),
        ("t.yaml", "price_per_kwh: [", "expected YAML"),
        ("t.yaml", "prize_per_kwh: 1", "prize_per_kwh: did you mean price_per_kwh"),
        ("t.yaml", "price_per_kwh: 0.1\nseries: a.csv", "expected one of .* found price_per_kwh and series"),
        ("t.yaml", "source: x", "found none"),
        ("t.yaml", "price_per_kwh: .inf", "found inf"),
        ("t.yaml", "price_per_kwh: yes", "found True"),
        ("t.yaml", "price_per_kwh: 0.1\nvat_percent: 025", "line 2, vat_percent: .* number, found '025'"),
        ("t.yaml", "price_per_kwh: 1:05", "price_per_kwh: expected a number, found '1:05'"),
        ("t.yaml", "currency: dollars\nprice_per_kwh: 0.1", "currency: expected a currency code"),
        ("t.yaml", "series: missing.csv", "missing.csv: cannot be read: No such file"),
        ("t.yaml", "series: 5", "line 1, series: expected a text or a list, found 5"),
        ("t.yaml", "series: t.yaml\nhold_seconds: 0", "hold_seconds: expected a number above 0"),
        ("t.yaml", "series: t.yaml\nallow_negative: maybe", "allow_negative: expected true or false"),
        ("t.csv", "when,price_per_kwh\n1,1\n", "price_per_kwh: expected timestamp beside it"),
        ("t.csv", "timestamp,price_per_kwh\n1,0.1\n", "expected two rows or more"),
        (
            "t.csv",
            "timestamp,price_per_kwh\n1,0.1\n1,0.2\n",
            "line 3, price_per_kwh: expected one value for 1970",
        ),
        ("t.csv", "timestamp,price_per_kwh\n1,0.1\n2,-0.2\n", "line 3, price_per_kwh: .* found '-0.2'"),
        (
            "t.csv",
            "timestamp,price_per_kwh\n2026-01-01T00:00:00,0.1\n",
            "line 2, timestamp: expected ISO 8601",
        ),
        ("t.csv", "timestamp,price_per_kwh\n", "expected values, found none"),
        ("t.csv", f"timestamp,price_per_kwh\n1,{'0' * 200_000}\n", "line 2: expected CSV: field larger"),
        ("t.yaml", "price_per_kwh: 0.1\nsurcharge_percent: 0.03", "line 2, surcharge_percent: .*then 3"),
        ("t.yaml", "price_per_kwh: 0.1\nvat_percent: 0.19", "line 2, vat_percent: .* a share .then 19"),
        ("t.yaml", "price_per_kwh: 0.1\nvat_percent: 1.19", "line 2, vat_percent: .* a share .then 19"),
        ("t.yaml", "price_per_kwh: 0.1\nvat_percent: 190", "line 2, vat_percent: .* of at most 100"),
        (
            "t.yaml",
            "price_per_kwh: 0.1\nfees_per_kwh: 9",
            "line 2, fees_per_kwh: .* in hundredths .then 0.09",
        ),
        (
            "t.yaml",
            "kwh_per_month: 7\ntiers: [{up_to_kwh: 9, price_per_kwh: 1}, {up_to_kwh: 5, price_per_kwh: 2}]",
            "line 2, tiers: expected each up_to_kwh above the one before it",
        ),
        (
            "t.yaml",
            "kwh_per_month: 7\ntiers: [{price_per_kwh: 1}, {up_to_kwh: 5, price_per_kwh: 2}]",
            "line 2, tiers: expected each up_to_kwh above the one before it",
        ),
        ("t.txt", "{}", r"ends in .yaml, .yml, .csv, .json or .xml"),
        ("t.json", "[1]", "expected a supported provider's format"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PricingError, match=said) as caught:
        read_tariff(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_takes_a_file_a_document_or_a_schedule(tmp_path: Path) -> None:
    """A kilowatt-hour at noon of a Monday, at 0.3."""
    path = tmp_path / "tariff.yaml"
    path.write_text('time_zone: Europe/Berlin\nperiods: [{price_per_kwh: 0.3, hours: "06:00-22:00"}]\n')
    with pytest.raises(PricingError, match=r"tariff.yaml: line 2, periods: no price from 00:00 to 06:00"):
        CostModel(tariff=path)
    path.write_text(path.read_text() + "otherwise_per_kwh: 0.2\n")
    noon = {
        "power": {"total_energy_joules": 3.6e6},
        "duration": 60,
        "start_time": berlin("2026-03-02T12:00:00"),
    }
    for tariff in (path, str(path), DAY_AND_NIGHT, TOU):
        assert CostModel(tariff=tariff).compute_energy_cost(noon) == pytest.approx(0.3)
    with pytest.raises(PricingError, match=r"tariff.periods: two prices from 00:00"):
        CostModel(tariff={"time_zone": "UTC", "periods": [{"price_per_kwh": 1}, {"price_per_kwh": 1}]})
    with pytest.raises(PricingError, match=r"tariff: expected a tariff's file"):
        CostModel(tariff=0.3)  # type: ignore[arg-type]


def test_an_intensity_can_change_over_time() -> None:
    """100 g/kWh for the first hour and 300 for the second: a kilowatt-hour in each is 0.4 kg."""
    model = CostModel(carbon_grams_per_kwh=StepSeries.of([0, 3600], [100, 300]))
    samples = {"power_watts": [1000] * 3, "step_seconds": 3600, "start_time": 2e8, "duration": 7200}
    assert model.price(samples).missing.count("outside_carbon_series") == 1
    later = CostModel(carbon_grams_per_kwh=StepSeries.of([2e8, 2e8 + 3600], [100, 300]))
    assert later.price(samples).co2_operational_kg == pytest.approx(0.4)


def test_a_market_with_negative_prices_says_so(tmp_path: Path) -> None:
    (tmp_path / "market.csv").write_text("timestamp,price_per_kwh\n0,0.1\n3600,-0.05\n")
    path = tmp_path / "market.yaml"
    path.write_text("series: market.csv\nallow_negative: true\n")
    assert value_at(read_tariff(path).schedule, 3600.0) == -0.05


@pytest.mark.parametrize("start", [0, 2_001_009_600, 2_020_009_500])
def test_seconds_that_look_like_dates_are_seconds(tmp_path: Path, start: int) -> None:
    """Among those of two days are 32400, which could be a spreadsheet's day, 2001010500 and 2020010400."""
    times = range(start, start + 172_800, 900)
    (tmp_path / "prices.csv").write_text("timestamp,price_per_kwh\n" + "".join(f"{t},0.1\n" for t in times))
    assert value_at(read_tariff(tmp_path / "prices.csv").schedule, start + 86_400) == 0.1


@pytest.mark.parametrize("percent", [1, 1.5])
def test_a_low_tax_is_no_share(percent: float) -> None:
    """1.5 % is what some states of the US take of a factory's electricity."""
    assert CostModel(tariff={"price_per_kwh": 0.1, "vat_percent": percent}).compute_energy_cost(
        {"duration": 3600, "power": {"mean_watts": 1000}}
    ) == pytest.approx(0.1 * (1 + percent / 100))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "timestamp,price_per_kwh\n2026-03-01T00:00Z,0,2875\n",
            "line 2: expected 2 cells .*, found 3 .a decimal",
        ),
        (
            "timestamp,price_per_kwh\n2026-03-01T00:00Z\n",
            "line 2: expected 2 cells as in the header, found 1",
        ),
        (
            "timestamp,price_per_kwh,price_per_kwh\n1,1,2\n",
            "line 1: expected each column once, found 'price_per",
        ),
        ("timestamp,price_per_kwh\n1761429600000,0.1\n", "line 2, timestamp: .*are these milliseconds"),
        ("timestamp,price_per_kwh\n20260301,0.1\n", "line 2, timestamp: expected ISO 8601 with an offset"),
        (
            "timestamp,price_per_kwh\n2026-03-01T00:00Z,3\n2026-03-01T01:00Z,4.5\n2026-03-01T02:00Z,21.5\n",
            "price_per_kwh: 21.5 USD per kWh at a moment is above the plausible 5",
        ),
        ("timestamp,price_per_kwh\n2026030123,0.1\n", "line 2, timestamp: expected ISO 8601 with an offset"),
        ("timestamp,price_per_kwh\n46082,0.1\n", "line 2, timestamp: expected ISO 8601 with an offset"),
        ("timestamp,price_per_kwh\n46082.0417,0.1\n", "line 2, timestamp: expected ISO 8601"),
        ("timestamp,price_per_kwh\n1_0,0.1\n", "line 2, timestamp: expected ISO 8601"),
        ("timestamp,price_per_kwh\n1,0.1\n9999-12-31T00:00Z,0.1\n", "line 3, timestamp: expected ISO 8601"),
        ("timestamp,price_per_kwh\n1,E5\n2,1\n", "line 2, price_per_kwh: expected a number, found 'E5'"),
        ("timestamp,price_per_kwh\n1,1_0\n2,1\n", "line 2, price_per_kwh: expected a number, found '1_0'"),
    ],
)
def test_a_table_that_is_misread_easily_is_refused_by_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(PricingError, match=problem):
        read_tariff(path)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("timestamp\tprice_per_kwh\r\n0\t0,25\r\n3600\t0,3\r\n", "utf-16"),
        ("sep=;\r\ntimestamp;price_per_kwh\r\n0;0,25\r\n3600;0,3\r\n", "utf-8-sig"),
        ("sep=,\ntimestamp,price_per_kwh\n0,0.25\n3600,0.3\n", "utf-8"),
        ('"SEP=;"\ntimestamp;price_per_kwh\n0;0,25\n3600;0,3\n', "utf-8"),
    ],
)
def test_what_excel_writes_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    """Unicode text is UTF-16 with tabs; the other forms may begin with the mark between their cells."""
    path = tmp_path / "prices.csv"
    path.write_bytes(text.encode(encoding))
    prices = read_tariff(path).schedule
    assert [value_at(prices, moment) for moment in (0, 3600)] == [0.25, 0.3]


def test_decimal_commas_between_semicolons_are_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("timestamp;price_per_kwh\n0;0,2875\n3600;0,3102\n")
    assert read_tariff(path).schedule == StepSeries.of([0, 3600], [0.2875, 0.3102])


def test_a_hole_is_not_bridged_by_the_last_value() -> None:
    """Hours, then ten days without a row: the value before them holds for its hour.

    A run in them has no cost; what a month of it costs is known all the same, and lacks no reason.
    """
    series = StepSeries.of([0, 3600, 7200, 867_600, 871_200], [1, 2, 3, 4, 5])
    moments = (7200, 10_799, 10_800, 867_599, 867_600)
    assert [value_at(series, moment) for moment in moments] == [3, 3, None, None, 4]
    hour = {"start_time": 10_800.0, "duration": 3600.0, "power": {"mean_watts": 1000}}
    cost = CostModel(tariff=series, cpu_cost_per_hour=0).price(hour)
    assert cost.missing_by_figure["cost_total"] == ["outside_tariff"]
    assert cost.monthly_projection == pytest.approx(730 * (1 + 2 + 3 + 4 + 5) / 5)
    assert "monthly_projection" not in cost.missing_by_figure


def test_months_and_years_of_their_own_length_are_no_holes() -> None:
    starts = [datetime.datetime(2024, month, 1, tzinfo=datetime.UTC).timestamp() for month in range(1, 13)]
    series = StepSeries.of(starts, list(range(12)))
    assert None not in series.values


def test_a_value_holds_for_as_long_as_its_file_says() -> None:
    """Prices at the moments of their change are a series too, where somebody says so."""
    changes = StepSeries.of([0, 3600, 90_000], [1, 2, 3], hold_seconds=1e6)
    assert value_at(changes, 80_000) == 2


def test_what_comes_on_top_of_each_price(tmp_path: Path) -> None:
    """(0.10 x 1.03 + 0.047) x 1.2 a kWh, and 2.40 x 1.2 a day: a surcharge is not on the fees."""
    path = tmp_path / "tariff.yaml"
    path.write_text(
        "price_per_kwh: 0.10\nsurcharge_percent: 3\nfees_per_kwh: 0.047\nvat_percent: 20\n"
        "standing_charge_per_day: 2.4\n"
    )
    hour = {"power": {"mean_watts": 1000}, "duration": 3600}
    assert CostModel(tariff=path).compute_energy_cost(hour) == pytest.approx(0.18 + 0.12)


@pytest.mark.parametrize(("kwh", "price"), [(0, 0.10), (999, 0.10), (1000, 0.14), (9e9, 0.14)])
def test_tiers_price_the_next_kilowatt_hour(tmp_path: Path, kwh: float, price: float) -> None:
    path = tmp_path / "tariff.yaml"
    tiers = "tiers: [{up_to_kwh: 1000, price_per_kwh: 0.10}, {price_per_kwh: 0.14}]"
    path.write_text(f"{tiers}\nkwh_per_month: {kwh}\n")
    assert read_tariff(path).schedule == Flat(price)


def test_keys_of_another_kind_of_tariff_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tariff.yaml"
    path.write_text("price_per_kwh: 0.1\nhold_seconds: 60\n")
    with pytest.raises(PricingError, match="line 2, hold_seconds: expected one of"):
        read_tariff(path)


def test_a_market_that_pays_says_so_in_every_kind_of_tariff() -> None:
    periods = [{"price_per_kwh": -0.01, "hours": "10:00-14:00"}]
    tariff = time_of_use(broken(periods=periods, allow_negative=True))
    assert value_at(tariff, berlin("2026-03-02T12:00:00")) == -0.01


def test_a_night_of_some_days_is_questioned() -> None:
    """Does the night of a Friday end on it or on the Saturday?"""
    periods = [{"price_per_kwh": 0.05, "days": "weekdays", "hours": "22:00-06:00"}]
    with pytest.raises(PricingError, match=r'periods\[0\].hours: expected "22:00-24:00" and "00:00-06:00"'):
        time_of_use(broken(periods=periods))


@given(
    values=st.lists(st.integers(-50, 500) | st.none(), min_size=2, max_size=30),
    hours=st.integers(1, 40),
    watts=st.integers(1, 500),
)
def test_any_series_is_priced_as_fractions_say(values: list[int | None], hours: int, watts: int) -> None:
    """Half an hour into the series, at constant power: known where every hour that it touches is."""
    series = StepSeries.of(
        [3e8 + 3600 * i for i in range(len(values))], [v and v / 100 if v else v for v in values]
    )
    scenario = {"power": {"mean_watts": watts}, "start_time": 3e8 + 1800, "duration": 3600 * hours}
    touched = [*values, *[None] * 50][: hours + 1]
    exact = None
    if None not in touched:
        halves = [
            Fraction(v or 0, 100) * (1 if 0 < i < hours else Fraction(1, 2)) for i, v in enumerate(touched)
        ]
        exact = float(sum(halves) * watts / 1000)
    cost = CostModel(tariff=series).price(scenario).cost_energy
    assert cost == (None if exact is None else pytest.approx(exact, rel=1e-12, abs=1e-12))
