"""Prices by the clock of a place: weekdays, holidays, months, and the days of 23 and 25 hours."""

from __future__ import annotations

import contextlib
import datetime
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from advisor.cost.checks import Checker, gather
from advisor.cost.operator_files import check_keys, near
from advisor.cost.tariffs.schedule import Piece

__all__ = ["DAY_TYPES", "TimeOfUse", "time_of_use"]

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
        for since, until, offset in _constant_offsets(self.zone, start, end):
            at = since
            while at < until:
                day = int((at + offset) // _DAY_SECONDS)
                midnight = day * _DAY_SECONDS - offset
                for _, edge, value in self._plan(day):
                    if midnight + edge > at:
                        stop = min(midnight + edge, until)
                        yield at, stop, value
                        at = stop
                        if at >= until:
                            break

    def _plan(self, day: int) -> tuple[tuple[int, int, float], ...]:
        date = datetime.date.fromordinal(_EPOCH_ORDINAL + day)
        kind = "holiday" if date in self.holidays else DAY_TYPES[date.weekday()]
        return self.plans[date.month, kind]


def _constant_offsets(zone: ZoneInfo, start: float, end: float) -> Iterator[tuple[float, float, int]]:
    """Cut the window where the zone's offset from UTC changes: (start, end, offset in seconds)."""
    since, offset = start, _offset(zone, start)
    at = start
    while at < end:
        probe = min(at + _DAY_SECONDS, end)
        if _offset(zone, probe) != offset:
            change = _change_between(zone, at, probe)
            if change < end:
                yield since, change, offset
                since, offset = change, _offset(zone, change)
                probe = change
        at = probe
    if since < end:
        yield since, end, offset


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


def time_of_use(document: Mapping[str, Any], check: Checker | None = None, field: str = "") -> TimeOfUse:
    """Check a time-of-use document (see `advisor.cost.tariffs.files`) and build its schedule.

    Where holidays are listed and no period names ``holidays``, they count as Sundays.

    Raises
    ------
    PricingError
        A minute without a price, or with two; an unknown time zone, day or hour.
    """
    check = check or Checker()
    otherwise = document.get("otherwise_per_kwh")
    steps: tuple[Callable[[], Any], ...] = (
        lambda: _zone(document.get("time_zone"), check, f"{field}time_zone"),
        lambda: _holidays(document.get("holidays", ()), check, f"{field}holidays"),
        lambda: None if otherwise is None else check.price(otherwise, f"{field}otherwise_per_kwh"),
        lambda: _periods(document["periods"], check, f"{field}periods"),
    )
    zone, holidays, otherwise, parsed = gather(*steps)
    holidays_own = any("holiday" in period.days for period in parsed)
    plans = {}
    for month in range(1, 13):
        for day in DAY_TYPES:
            like = "sun" if day == "holiday" and not holidays_own else day
            covering = [p for p in parsed if month in p.months and like in p.days]
            spans = [(start, end, p.value) for p in covering for start, end in p.minutes]
            plan = _whole_day(spans, otherwise)
            if isinstance(plan, str):
                raise check.error(f"{plan} (month {month}, {day})", f"{field}periods")
            plans[month, day] = plan
    return TimeOfUse(zone, plans, holidays)


class _Period(Struct, frozen=True):
    value: float
    days: frozenset[str]
    months: frozenset[int]
    minutes: tuple[tuple[int, int], ...]


def _periods(records: Any, check: Checker, field: str) -> list[_Period]:
    if not isinstance(records, list) or not records:
        raise check.error("expected a list of periods", field)
    return gather(*(partial(_period, record, check, f"{field}[{i}]") for i, record in enumerate(records)))


def _period(record: Any, check: Checker, field: str) -> _Period:
    if not isinstance(record, dict):
        raise check.error("expected a mapping", field)
    known = ("name", "price_per_kwh", "days", "hours", "months")
    check_keys(record, known, subject=check.subject, field=f"{field}.")
    value = check.price(record.get("price_per_kwh"), f"{field}.price_per_kwh")
    months = record.get("months", list(range(1, 13)))
    if not isinstance(months, list) or any(type(m) is not int or not 1 <= m <= 12 for m in months):
        raise check.error("expected a list of months 1 to 12", f"{field}.months")
    days = [day for word in _listed(record.get("days", "all")) for day in _days(word, check, f"{field}.days")]
    hours = _listed(record.get("hours", "00:00-24:00"))
    minutes = [span for text in hours for span in _minutes(text, check, f"{field}.hours")]
    return _Period(value, frozenset(days), frozenset(months), tuple(minutes))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _days(word: Any, check: Checker, field: str) -> tuple[str, ...]:
    key = str(word).strip().lower()
    group = _DAY_GROUPS.get(key) or _DAY_GROUPS.get(key[:3] if key.endswith("day") else "")
    if group is None:
        raise check.error(f"expected {', '.join(_DAY_GROUPS)}, found {word!r}", field)
    return group


def _minutes(text: Any, check: Checker, field: str) -> list[tuple[int, int]]:
    """``22:00-06:00`` as minutes of the local day; a range over midnight is two of the same day."""
    try:
        start, end = (_clock(part) for part in str(text).split("-"))
    except ValueError:
        raise check.error(f'expected hours such as "08:00-20:00" in quotes, found {text!r}', field) from None
    if start in (end, _DAY_MINUTES):
        raise check.error(f"expected two different times, found {text!r}", field)
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


def _zone(name: Any, check: Checker, field: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        alike = near(str(name), zoneinfo.available_timezones(), 3)
        hint = f"; near: {', '.join(alike)}" if alike else ""
        problem = f"expected a time zone such as Europe/Berlin, found {name!r}{hint}"
        raise check.error(problem, field) from None


def _holidays(values: Any, check: Checker, field: str) -> frozenset[datetime.date]:
    found = set()
    for index, value in enumerate(_listed(values) if not isinstance(values, tuple) else values):
        date = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                date = datetime.date.fromisoformat(value)
        if type(date) is not datetime.date:
            raise check.error(f"expected a date such as 2026-12-25, found {value!r}", f"{field}[{index}]")
        found.add(date)
    return frozenset(found)
