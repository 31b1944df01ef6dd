"""Random tariffs, places and runs, priced as the commands do, beside fractions summed minute by minute.

The reference never sees the code: it looks at a clock on the wall for each minute of a run, and takes the
price of the first period that names it. Prices and watts are whole numbers of small units.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PriceOptions

Price = Callable[[int], Fraction | None]
"""What a kilowatt-hour costs in the minute that begins then (Unix seconds), before fees and taxes."""

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe"),
    *("Asia/Kathmandu", "Africa/Casablanca", "Pacific/Chatham"),
    # by two hours; in the evening and at midnight
    *("Antarctica/Troll", "America/Nuuk", "Asia/Beirut"),
)
# near these the clocks of some of the places change, or a month, a year or a week does
MOMENTS = [
    int(datetime.datetime(*day, tzinfo=datetime.UTC).timestamp())
    for day in (
        *((2026, 3, 29, 0), (2026, 10, 25, 0), (2026, 3, 8, 6), (2026, 11, 1, 5), (2026, 4, 4, 14)),
        *((2026, 10, 3, 15), (2026, 9, 26, 13), (2027, 1, 1, 0), (2026, 6, 30, 20), (2026, 2, 15, 1)),
    )
]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_GROUPS = {"weekdays": DAYS[:5], "weekends": DAYS[5:], "all": (*DAYS, "holiday"), "holidays": ("holiday",)}
CENTS = st.integers(0, 60)


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


@st.composite
def flat(draw: st.DrawFn) -> tuple[dict[str, Any], Price]:
    cents = draw(CENTS)
    return {"price_per_kwh": cents / 100}, lambda moment: Fraction(cents, 100)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[dict[str, Any], Price]:
    """The price of the next kilowatt-hour at the site's consumption."""
    limits = sorted(draw(st.sets(st.integers(1, 5_000), max_size=3)))
    cents = [draw(CENTS) for _ in range(len(limits) + 1)]
    used = draw(st.integers(0, 6_000) | st.sampled_from([*limits, 0]))
    listed = [{"up_to_kwh": limit, "price_per_kwh": c / 100} for limit, c in zip(limits, cents, strict=False)]
    document = {"tiers": [*listed, {"price_per_kwh": cents[-1] / 100}], "kwh_per_month": used}
    holds = sum(limit <= used for limit in limits)
    return document, lambda moment: Fraction(cents[holds], 100)


@st.composite
def time_of_use(draw: st.DrawFn) -> tuple[dict[str, Any], Price]:
    """Every kind of day of every season is cut into hours of its own, some left to the rest."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    first = draw(st.integers(1, 12))
    summer = sorted({(first + i - 1) % 12 + 1 for i in range(draw(st.integers(1, 11)))})
    winter = [month for month in range(1, 13) if month not in summer]
    groups = draw(st.sampled_from([("all",), ("weekdays", "weekends"), ("weekdays", "weekends", "holidays")]))
    around = datetime.date(2026, 3, 29)
    holidays = draw(
        st.sets(st.sampled_from([around, datetime.date(2027, 1, 1), datetime.date(2026, 10, 25)]))
    )
    rest = draw(CENTS)
    periods: list[dict[str, Any]] = []
    prices: dict[tuple[int, str], list[tuple[int, int, int]]] = {}
    for months in (summer, winter):
        for group in groups:
            edges = sorted(draw(st.sets(st.integers(1, 95), max_size=3)))
            for start, end in zip([0, *edges], [*edges, 96], strict=True):
                if draw(st.booleans()):
                    continue
                cents = draw(CENTS)
                hours = f"{clock(15 * start)}-{clock(15 * end)}"
                periods.append(
                    {"price_per_kwh": cents / 100, "days": group, "hours": hours, "months": months}
                )
                for month in months:
                    for day in DAY_GROUPS[group]:
                        prices.setdefault((month, day), []).append((15 * start, 15 * end, cents))
    if not periods:
        periods.append({"price_per_kwh": rest / 100, "hours": "00:00-24:00"})
    apart = any(p.get("days") in ("holidays", "all", None) for p in periods)

    def price(moment: int) -> Fraction:
        local = datetime.datetime.fromtimestamp(moment, zone)
        day = DAYS[local.weekday()]
        if local.date() in holidays:
            day = "holiday" if apart else "sun"
        minute = local.hour * 60 + local.minute
        spans = prices.get((local.month, day), [])
        return Fraction(next((c for start, end, c in spans if start <= minute < end), rest), 100)

    document = {
        "time_zone": zone.key,
        "holidays": [day.isoformat() for day in sorted(holidays)],
        "periods": periods,
        "otherwise_per_kwh": rest / 100,
    }
    return document, price


@st.composite
def series(draw: st.DrawFn) -> tuple[dict[str, Any], Price]:
    """A CSV around one of the moments; some values are not there."""
    step = draw(st.sampled_from([900, 1800, 3600]))
    first = draw(st.sampled_from(MOMENTS)) - draw(st.integers(0, 30)) * 3600
    cents = draw(st.lists(st.integers(-30, 60) | st.none(), min_size=4, max_size=200))
    mark, between = draw(st.sampled_from([(".", ","), (",", ";"), (",", "\t")]))
    rows = [f"timestamp{between}price_per_kwh"]
    for i, value in enumerate(cents):
        text = "" if value is None else f"{value / 100:.2f}".replace(".", mark)
        rows.append(f"{first + step * i}{between}{text}")
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))

    def price(moment: int) -> Fraction | None:
        index = (moment - first) // step
        value = cents[index] if 0 <= index < len(cents) else None
        return None if value is None else Fraction(value, 100)

    return {"series": "\r\n".join(rows).encode(encoding), "allow_negative": True}, price


@st.composite
def use(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[int, Fraction]]]:
    """A scenario, and the watts of each of its minutes on the mean."""
    start = draw(st.sampled_from(MOMENTS)) + 60 * draw(st.integers(-1500, 1500))
    minutes = draw(st.integers(1, 600))
    scenario: dict[str, Any] = {"start_time": start, "duration": 60 * minutes, "encoder_type": "cpu"}
    if draw(st.booleans()):
        watts = draw(st.integers(1, 900))
        scenario["power"] = {"mean_watts": watts, "tier": "measured"}
        return scenario, [(start + 60 * i, Fraction(watts)) for i in range(minutes)]
    few = draw(st.lists(st.integers(0, 900), min_size=2, max_size=9))
    samples = [few[i % len(few)] for i in range(minutes + 1)]
    scenario["samples"] = {"timestamps": [start + 60 * i for i in range(minutes + 1)], "power_watts": samples}
    return scenario, [(start + 60 * i, Fraction(samples[i] + samples[i + 1], 2)) for i in range(minutes)]


@settings(max_examples=60)
@given(
    tariff=flat() | tiers() | time_of_use() | series(),
    used=use(),
    surcharge=st.integers(0, 12),
    fees=st.integers(-5, 20),
    vat=st.integers(0, 27),
    standing=st.sampled_from([0, 48]),
    pue=st.integers(100, 200),
    dollars=st.booleans(),
    in_a_region=st.booleans(),
    grams=st.integers(1, 900),
    streams=st.integers(1, 3),
    viewers=st.integers(0, 50),
    cpu_cents=st.integers(0, 99),
)
def test_any_run_under_any_tariff_costs_what_fractions_say(
    tmp_path_factory: pytest.TempPathFactory,
    tariff: tuple[dict[str, Any], Price],
    used: tuple[dict[str, Any], list[tuple[int, Fraction]]],
    surcharge: int,
    fees: int,
    vat: int,
    standing: int,
    pue: int,
    dollars: bool,
    in_a_region: bool,
    grams: int,
    streams: int,
    viewers: int,
    cpu_cents: int,
) -> None:
    """Four kinds of tariff, eleven places, the currency of the process or another, alone or in a region."""
    folder = tmp_path_factory.mktemp("prices")
    document, price_at = tariff
    if "series" in document:
        (folder / "series.csv").write_bytes(document["series"])
        document = {**document, "series": "series.csv"}
    document = {
        **document,
        **{"surcharge_percent": surcharge, "fees_per_kwh": fees / 100, "vat_percent": vat},
        "standing_charge_per_day": standing,
        "currency": "USD" if dollars else "EUR",
    }
    options: dict[str, Any] = {"tariff": folder / "tariff.yaml", "carbon_grams_per_kwh": grams}
    (folder / "tariff.yaml").write_text(json.dumps(document))
    if in_a_region:
        region = {"tariff": document, "carbon_grams_per_kwh": grams, "pue": pue / 100}
        (folder / "regions.yaml").write_text(json.dumps({"regions": {"lab": region}}))
        options = {"regions_file": folder / "regions.yaml", "region": "lab"}
    (folder / "rates.yaml").write_text('{"base": "EUR", "date": 2026-01-02, "rates": {"USD": 1.25}}')
    models = RegionalModels.load(
        PriceOptions(
            **options,
            pue=None if in_a_region else pue / 100,
            currency="EUR",
            exchange_rates=folder / "rates.yaml",
            cpu_cost_per_hour=cpu_cents / 100,
        )
    ).models
    scenario, watts = used
    video = scenario["duration"] // 2
    outputs = [{"resolution": "1280x720", "fps": 25, "frames": 25 * video, "duration": video}]
    cost = models[0].price({**scenario, "streams": streams, "outputs": outputs}, viewers=viewers)

    hours = Fraction(scenario["duration"], 3600)
    kwh = sum(w for _, w in watts) * 60 * Fraction(pue, 100) / 3_600_000
    prices = [(price_at(moment), w) for moment, w in watts]
    electricity = None
    if all(price is not None for price, _ in prices):
        rate = Fraction(100 + vat, 100) / (Fraction(5, 4) if dollars else 1)
        taken = sum(((p or 0) * Fraction(100 + surcharge, 100) + Fraction(fees, 100)) * w for p, w in prices)
        electricity = taken * 60 * Fraction(pue, 100) / 3_600_000 * rate + standing * hours / 24 * rate

    def close(exact: Fraction | None) -> Any:
        return None if exact is None else pytest.approx(float(exact), rel=1e-9, abs=1e-12)

    total = None if electricity is None else electricity + hours * Fraction(cpu_cents, 100)
    made = Fraction(video, 3600) * streams
    assert cost.cost_energy == close(electricity)
    assert ("outside_tariff" in cost.missing) == (electricity is None)
    assert cost.cost_total == close(total)
    assert cost.cost_per_stream_hour == close(total / made if total is not None and made else None)
    watched = Fraction(video, 3600) * viewers
    assert cost.cost_per_watch_hour == close(total / watched if total is not None and watched else None)
    assert cost.co2_operational_kg == close(kwh * grams / 1000)
    assert cost.facility_kwh_per_stream_hour == close(kwh / made if made else None)
