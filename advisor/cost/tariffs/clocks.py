"""The moments that a text stands for: of a clock with an offset, of one on the wall, or Unix seconds."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo

from advisor.cost.checks import Checker, require_number

_OF_THE_DAY_FIRST = re.compile(r"(\d\d)[./-](\d\d)[./-](\d{4}) (\d\d:\d\d(?::\d\d)?)")

NO_SECONDS = re.compile(r"20[0-3]\d[01]\d[0-3]\d([0-2]\d)?|[345]\d{4}(\.\d+)?")
"""A date without an offset, with its hour or not, and the days since 1900 of a spreadsheet. Some seconds of
1970 and 2033 look so, but not all of a column."""


def unix_seconds(text: str, check: Checker, field: str, dates: bool = False) -> float:
    """The moment of an ISO 8601 text with an offset, until the year 8999, or of seconds, not ``dates``."""
    text = text.strip()
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None and 1 < moment.year < 9000:
            return moment.timestamp()
    except ValueError:
        pass
    if dates or not re.fullmatch(r"-?\d+(\.\d+)?", text) or re.fullmatch(r"(19|20)\d{6}", text):
        problem = "expected ISO 8601 with an offset (2026-03-01T00:00:00+01:00) or Unix seconds"
        raise check.error(f"{problem}, found {text!r}", field)
    seconds = require_number(text, float, field=field, subject=check.subject)
    if abs(seconds) >= 6e10:  # dates go back to the year 1
        raise check.error(f"expected Unix seconds, found {text}: are these milliseconds?", field)
    return seconds


def on_the_wall(text: str, zone: ZoneInfo, check: Checker, field: str) -> list[float]:
    """The moments (Unix seconds) at which a clock in ``zone`` shows ``text``.

    Two in the hour that comes twice, if the text does not say which (``02:00:00 (CEST)`` is the first), none
    in the hour that is skipped.

    >>> on_the_wall("26.10.2025 02:00", ZoneInfo("Europe/Brussels"), Checker(), "")
    [1761436800.0, 1761440400.0]
    >>> on_the_wall("26-10-2025 03:00", ZoneInfo("Europe/Brussels"), Checker(), "")
    [1761444000.0]
    >>> on_the_wall("Oct 26, 2025 12:15 AM", ZoneInfo("Europe/Brussels"), Checker(), "")
    [1761430500.0]
    """
    shown, _, season = text.strip().partition(" (")
    try:
        if shown.endswith("M"):
            clock = datetime.datetime.strptime(shown, "%b %d, %Y %I:%M %p")  # noqa: DTZ007 - on the wall
        else:
            clock = datetime.datetime.fromisoformat(_OF_THE_DAY_FIRST.sub(r"\3-\2-\1 \4", shown))
    except ValueError:
        raise check.error(f"expected a date and a time, found {text!r}", field) from None
    if clock.tzinfo is not None:
        return [clock.timestamp()]
    first, second = (clock.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first > second:
        # by the offset before the skipped hour it is later than by the one behind
        return []
    if not season:
        return [first] if first == second else [first, second]
    return [first] if season in ("CEST)", "WEST)", "EEST)") else [second]
