"""Prices by the clock of a place: weekdays, holidays, months, and the days of 23 and 25 hours."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from advisor.common.near import near
from advisor.cost.checks import Checker, Number, Percent, Quantity, gather
from advisor.cost.tariffs.schedule import Piece

DAY_TYPES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")
"""A holiday is its own kind of day, whatever weekday it falls on."""

_DAY_MINUTES = 24 * 60
_DAY_SECONDS = 86_400
_EPOCH_ORDINAL = datetime.date(1970, 1, 1).toordinal()
_DAY_GROUPS: dict[str, tuple[str, ...]] = {
    "weekdays": DAY_TYPES[:5],
    "weekends": DAY_TYPES[5:7],
    "holidays": DAY_TYPES[7:],
    "all": DAY_TYPES,
    **{day: (day,) for day in DAY_TYPES},
    **{f"{stem}day": (stem[:3],) for stem in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")},
}


class TimeOfUse(Struct, frozen=True):
    """Values by the local clock; `time_of_use` builds it and refuses holes and overlaps.

    At any instant the value is the plan's at the local time that a clock on the wall shows: an hour that is
    skipped in spring costs nothing, the one that comes twice in autumn is charged twice by the same rule.
    """

    zone: ZoneInfo
    plans: dict[tuple[int, str], tuple[tuple[int, int, float], ...]]
    """By month (1-12) and day type: (start, end, value) in seconds of the local day, covering all of it."""
    holidays: frozenset[datetime.date] = frozenset()

    def pieces(self, start: float, end: float) -> Iterator[Piece]:
        """One piece for each stretch between two edges of the plan, clock changes included."""
        while start < end:
            offset = _offset(self.zone, start)
            day = int((start + offset) // _DAY_SECONDS)
            midnight = day * _DAY_SECONDS - offset
            edge, value = next((edge, value) for _, edge, value in self._plan(day) if midnight + edge > start)
            until = min(midnight + edge, end)
            if _offset(self.zone, until) != offset:
                until = min(_change_between(self.zone, start, until), end)
            yield start, until, value
            start = until

    def _plan(self, day: int) -> tuple[tuple[int, int, float], ...]:
        date = datetime.date.fromordinal(_EPOCH_ORDINAL + day)
        kind = "holiday" if date in self.holidays else DAY_TYPES[date.weekday()]
        return self.plans[date.month, kind]


def _change_between(zone: ZoneInfo, low: float, high: float) -> float:
    """The first whole second after ``low`` with another offset; clocks change on whole seconds."""
    before, first, last = _offset(zone, low), int(low // 1), -int(-high // 1)
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(zone, middle) == before:
            first = middle
        else:
            last = middle
    return float(last)


def _offset(zone: ZoneInfo, moment: float) -> int:
    offset = datetime.datetime.fromtimestamp(moment, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


class TariffSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every kind of tariff may say, as written."""

    currency: str | None = None
    source: str | None = None
    allow_negative: bool = False
    """A market may pay for taking."""
    surcharge_percent: Percent = 0.0
    """What the supplier adds to each price, negative ones too."""
    fees_per_kwh: Number = 0.0
    """Network, levies and taxes on top of each price."""
    vat_percent: Percent = 0.0
    """On top of prices and fees."""
    standing_charge_per_day: Quantity = 0.0
    """What the connection costs whatever is used, VAT on top."""


class TimeOfUseSpec(TariffSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices by the clock, as written."""

    time_zone: str
    periods: Annotated[list[Any], Meta(min_length=1)]
    holidays: list[datetime.date] = []
    otherwise_per_kwh: Any = None


class PeriodSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of some days with one price, as written."""

    price_per_kwh: Any = None
    name: str | None = None
    days: str | list[str] = "all"
    hours: str | list[str] = "00:00-24:00"
    months: frozenset[Annotated[int, Meta(ge=1, le=12)]] = frozenset(range(1, 13))


class _Period(Struct, frozen=True):
    value: float
    days: frozenset[str]
    months: frozenset[int]
    minutes: tuple[tuple[int, int], ...]


def time_of_use(
    document: TimeOfUseSpec | Mapping[str, Any], check: Checker | None = None, field: str = ""
) -> TimeOfUse:
    """Check a time-of-use document (see `advisor.cost.tariffs.tariff_files`) and build its schedule.

    ``field`` is where the document lies, for errors: empty, or with a dot at its end. Where holidays are
    listed and no period names ``holidays``, they count as Sundays.

    Raises
    ------
    PricingError
        A minute without a price, or with two; an unknown time zone, day or hour.
    """
    check = check or Checker()
    spec: TimeOfUseSpec = check.convert(document, TimeOfUseSpec, field.rstrip("."))
    price = partial(check.price, allow_negative=spec.allow_negative)
    given, otherwise_field = spec.otherwise_per_kwh, f"{field}otherwise_per_kwh"
    steps: list[Callable[[], Any]] = [
        partial(_zone, spec.time_zone, check, f"{field}time_zone"),
        lambda: None if given is None else price(given, otherwise_field),
    ]
    for index, period in enumerate(spec.periods):
        steps.append(partial(_period, period, price, check, f"{field}periods[{index}]"))
    zone, otherwise, *periods = gather(*steps)
    holidays_apart = any("holiday" in period.days for period in periods)
    plans = {}
    for month in range(1, 13):
        for day in DAY_TYPES:
            like = "sun" if day == "holiday" and not holidays_apart else day
            covering = [p for p in periods if month in p.months and like in p.days]
            spans = [(start, end, p.value) for p in covering for start, end in p.minutes]
            plan = _whole_day(spans, otherwise)
            if isinstance(plan, str):
                raise check.error(f"{plan} (month {month}, {day})", f"{field}periods")
            plans[month, day] = plan
    return TimeOfUse(zone, plans, frozenset(spec.holidays))


def _period(record: Any, price: Callable[[Any, str], float], check: Checker, field: str) -> _Period:
    spec: PeriodSpec = check.convert(record, PeriodSpec, field)
    value = price(spec.price_per_kwh, f"{field}.price_per_kwh")
    days = [day for word in _listed(spec.days) for day in _days(word, check, f"{field}.days")]
    every_day = set(days) >= set(DAY_TYPES[:7])
    hours = f"{field}.hours"
    minutes = [span for text in _listed(spec.hours) for span in _minutes(text, every_day, check, hours)]
    return _Period(value, frozenset(days), spec.months, tuple(minutes))


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _days(word: str, check: Checker, field: str) -> tuple[str, ...]:
    group = _DAY_GROUPS.get(word.strip().lower())
    if group is None:
        raise check.error(f"expected {', '.join(_DAY_GROUPS)}, found {word!r}", field)
    return group


def _minutes(text: str, every_day: bool, check: Checker, field: str) -> list[tuple[int, int]]:
    """``08:00-20:00`` as minutes of the local day; a range over midnight is two, on all days alone.

    On some days it could mean the night that begins on them or the two ends of each.
    """
    try:
        start, end = (_clock(part) for part in text.replace("\u2013", "-").split("-"))
    except ValueError:
        raise check.error(f'expected hours such as "08:00-20:00" in quotes, found {text!r}', field) from None
    if start in (end, _DAY_MINUTES):
        raise check.error(f"expected two different times, found {text!r}", field)
    if start > end > 0 and not every_day:
        parts = f'"{_hhmm(start)}-24:00" and "00:00-{_hhmm(end)}"'
        raise check.error(f"expected {parts} with the days of each, found {text!r} on some days", field)
    spans = [(start, end)] if start < end else [(start, _DAY_MINUTES), (0, end)]
    return [(a, b) for a, b in spans if a < b]


def _clock(text: str) -> int:
    hours, minutes = text.strip().split(":")
    total = int(hours) * 60 + int(minutes)
    if not (hours.isdigit() and minutes.isdigit() and int(minutes) < 60 and total <= _DAY_MINUTES):
        raise ValueError(text)
    return total


def _whole_day(
    spans: list[tuple[int, int, float]], otherwise: float | None
) -> tuple[tuple[int, int, float], ...] | str:
    """The spans in order and in seconds, holes filled with ``otherwise``; or what is wrong with them."""
    plan: list[tuple[int, int, float]] = []
    at = 0
    for start, end, value in [*sorted(spans), (_DAY_MINUTES, _DAY_MINUTES, 0.0)]:
        if start < at:
            return f"two prices from {_hhmm(start)} to {_hhmm(min(at, end))}"
        if start > at:
            if otherwise is None:
                return f"no price from {_hhmm(at)} to {_hhmm(start)}, and no otherwise_per_kwh"
            plan.append((at, start, otherwise))
        plan.append((start, end, value))
        at = end
    return tuple((start * 60, end * 60, value) for start, end, value in plan[:-1])


def _hhmm(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _zone(name: str, check: Checker, field: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        alike = near(name, zoneinfo.available_timezones())
        hint = f"; near: {', '.join(alike)}" if alike else ""
        problem = f"expected a time zone such as Europe/Berlin, found {name!r}{hint}"
        raise check.error(problem, field) from None
