"""What a register may have done, by its values: explanations, and what is unlikely in them.

An *explanation* says which of the values so far the register had, which were false, and how it came from each
value that it had to the next. Its cost is the sum of what is unlikely in it; the rest costs nothing.

- A **false value** costs 10; 7 where registers of the kind leap; 5 after this one was caught. Values in a row
  may be one fault: after the first they cost that a second, and beyond a second ten times as much.
- A **rise**, more power than was just drawn, costs 6, and a **new high**, far more than in the last seconds,
  16. A leap looks like that, and so does a load that begins.
- A **break**, to a lower value or one that the part cannot have drawn, costs 5 and two false values. Single
  values may be false; it takes three to five that go on from there.

With each value every explanation goes on in two ways: the value is false, or the register had it. Of those
that end with the same value the cheapest is kept, and a dearer one that had more power: to that, what follows
is no rise. Those that can no longer win are given up. What all have in common whose cost is less than 6 above
the cheapest is *final*: that is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Literal

from msgspec import Struct

_MICROJOULES = 1_000_000
_NEAR = 6.0
# what costs more than a false value and this above the cheapest is given up: a break and a new high still win
_TOO_DEAR = 24.0
_RISE_COST, _HIGH_COST, _BREAK_COST = 6.0, 16.0, 5.0
# power scatters: by this share and these watts more is a rise, and a new high
_RISE, _HIGH = (0.1, 5.0), (0.25, 15.0)
# what is left of the highest power after a second
_HIGH_KEPT = 0.9
# registers are refreshed about every millisecond and tests step by hand: below a second a limit would judge
# the step's timing and not its energy
_SHORTEST_JUDGED_SECONDS = 1.0
# over less, a first step tells no power, as registers are refreshed every millisecond
_SHORTEST_POWER_SECONDS = 0.005
# a value so soon after one that it goes on from, at no cost, takes its place
_SOON_SECONDS = 0.5
# a jump was drawn when what follows it draws at least this share, and gives room for that much more
_SUSTAINED, _JUMP_MARGIN = 0.5, 1.5
# nonsense may go on for days
_MOST_ENDS = 40

Doubt = Literal["nothing", "rises", "everything"]
"""How much a value of the register may be doubted: not for its power; where that rises; at any time, and from
the first value on, as registers of the kind are known to leap."""


class Bounds(Struct, frozen=True):
    """Power of one zone in watts, on average over a second."""

    possible_watts: float
    """What the part can draw."""
    most_watts: float = math.inf
    """What no part of the domain draws, whatever values say: their unit is another one."""
    doubt: Doubt = "rises"


class Point(Struct, eq=False):
    """A value that the register had, as the end of an explanation of all values until then."""

    raw: int
    seconds: float
    slept_seconds: float
    number: int
    """Of the value, from 0."""
    total: int = 0
    """Microjoules until then."""
    cost: float = 0.0
    """Above that of the cheapest explanation, false values after the point included."""
    before: Point | None = None
    way: Literal["step", "wrap", "set_back", "jump"] = "step"
    """How the register came here from the point before."""
    usual_watts: float | None = None
    """What was drawn in the last second; None while nobody knows."""
    high_watts: float = 0.0
    """The most that was drawn in the last seconds."""
    is_beyond: bool = False
    """Whether the register counts on beyond its range."""
    jump: int = 0
    """Microjoules of a jump, which the next point counts if power stays."""
    lost_seconds: float | None = None
    """Since when the energy is known again, where some was lost on the way here."""

    @property
    def has_moved(self) -> bool:
        """Whether the register counted on to come here."""
        return self.way in ("step", "wrap") and self.before is not None and self.raw != self.before.raw

    @property
    def reason(self) -> str:
        """Why it is left out, should it be false."""
        if self.is_beyond:
            return "out_of_range"
        return "backwards" if self.way == "set_back" else "too_fast"


def explain(
    ends: Sequence[Point],
    final: Point,
    value: Point,
    *,
    range_microjoules: int | None,
    bounds: Bounds,
    false_cost: float,
) -> list[Point]:
    """The explanations that hold the value true, the cheapest first.

    Parameters
    ----------
    ends
        Those of the values before it, the cheapest first.
    final
        What all that are near have in common.
    value
        The newest, which may be false.
    false_cost
        Of a false value.
    """
    points: list[Point] = []
    least = break_cost = 2 * false_cost + _BREAK_COST
    for end in ends:
        if end.cost >= least + _HIGH_COST:
            break
        if (point := _step(end, value, range_microjoules, bounds)) is not None:
            points.append(point)
            least = min(least, point.cost)
    is_beyond = range_microjoules is not None and value.raw > range_microjoules
    if least == break_cost and (point := _break(final, value, is_beyond, bounds, least)) is not None:
        points.append(point)
    points.sort(key=_cost)
    kept = points[:1]
    for point in points[1:]:
        watts, most = point.usual_watts, kept[-1].usual_watts
        if watts is not None and most is not None and _is_above(watts, most, 1.0, *_RISE):
            kept.append(point)
    return kept


def cheapest(points: Sequence[Point], ends: Iterable[Point], false_cost: float) -> tuple[list[Point], Point]:
    """Of new explanations and those before, the ones that can still win, the cheapest first.

    The second is what those near the cheapest have in common.
    """
    replaced = [
        point.before
        for point in points
        if point.before is not None
        and point.seconds - point.before.seconds < _SOON_SECONDS
        and point.before.cost - point.cost >= false_cost
    ]
    ends = sorted((*points, *(end for end in ends if end not in replaced)), key=_cost)[:_MOST_ENDS]
    least = ends[0].cost
    for end in ends:
        end.cost -= least
    return [end for end in ends if end.cost < false_cost + _TOO_DEAR], _common(near(ends))


def near(ends: Iterable[Point]) -> list[Point]:
    """Those that may well be right."""
    return [end for end in ends if end.cost < _NEAR]


def _step(end: Point, value: Point, range_microjoules: int | None, bounds: Bounds) -> Point | None:
    """The value as one to which the register counted on from ``end``; None where it cannot have."""
    step, seconds, wraps = value.raw - end.raw, _seconds(end, value), False
    if range_microjoules is not None and not end.is_beyond:
        if value.raw > range_microjoules:
            return None
        if step < 0:
            step, wraps = step + range_microjoules, True
            # sleep may set a register back: it came round where it shows more than was drawn awake since
            awake_seconds = value.seconds - end.seconds
            if value.raw <= bounds.possible_watts * _judged(awake_seconds) * _MICROJOULES:
                seconds = awake_seconds
    joules = step / _MICROJOULES
    watts = joules / _judged(seconds)
    limit_watts = min(max(bounds.possible_watts, _JUMP_MARGIN * end.high_watts), bounds.most_watts)
    # after a break only one that moves goes on
    if step < 0 or watts > limit_watts or (step == 0 and end.way in ("set_back", "jump")):
        return None
    point = Point(value.raw, value.seconds, value.slept_seconds, value.number, end.total + step)
    point.before, point.way, point.is_beyond = end, "wrap" if wraps else "step", end.is_beyond
    point.usual_watts, point.high_watts = end.usual_watts, end.high_watts
    point.cost = end.cost
    if bounds.doubt != "nothing":
        point.cost += _power_cost(point, end, joules, seconds, bounds)
        if value.slept_seconds == end.slept_seconds:
            _draw(point, joules, seconds)
    else:
        point.high_watts = max(watts, end.high_watts * _HIGH_KEPT**seconds)
    if end.way == "jump":
        is_sustained = watts >= _SUSTAINED * end.high_watts
        point.total += end.jump if is_sustained else 0
        point.lost_seconds = None if is_sustained else end.seconds
    return point


def _power_cost(point: Point, end: Point, joules: float, seconds: float, bounds: Bounds) -> float:
    if end.usual_watts is None:
        # leaving a value out would make anything usual
        return 0.0 if point.number == end.number + 1 else 2 * _RISE_COST
    if point.way == "wrap" and end.before is not None:
        # a leap just before a set-back looks like that, the more so the more power
        if _is_above(joules, min(end.high_watts, end.before.high_watts), seconds, *_HIGH):
            return _HIGH_COST * (1.0 + 2.0 * joules / _judged(seconds) / bounds.possible_watts)
    elif _is_above(joules, end.high_watts, seconds, *_HIGH):
        return _HIGH_COST
    return _RISE_COST if _is_above(joules, end.usual_watts, seconds, *_RISE) else 0.0


def _draw(point: Point, joules: float, seconds: float) -> None:
    """What is known of the power after a step."""
    usual = point.usual_watts
    if usual is None:
        if seconds >= _SHORTEST_POWER_SECONDS:
            point.usual_watts = point.high_watts = joules / seconds
        return
    # all of what is more than before may have been drawn in the last second
    last_second = joules - usual * (seconds - 1.0)
    point.usual_watts = joules / seconds if seconds >= 1.0 else last_second
    point.high_watts = max(last_second, point.usual_watts, point.high_watts * _HIGH_KEPT**seconds)


def _break(final: Point, value: Point, is_beyond: bool, bounds: Bounds, cost: float) -> Point | None:
    """The value as one to which the register was set back, or jumped; None where it counted on.

    It goes on from what is final, as no later value can tell what was drawn since.
    """
    step = value.raw - final.raw
    watts = step / _MICROJOULES / _judged(_seconds(final, value))
    if 0 <= watts <= bounds.possible_watts and not is_beyond:
        return None
    point = Point(value.raw, value.seconds, value.slept_seconds, value.number, final.total, cost, final)
    if step >= 0:
        point.way, point.jump, point.is_beyond = "jump", step, is_beyond
        point.usual_watts = point.high_watts = watts
    else:
        point.way, point.lost_seconds = "set_back", value.seconds
        point.usual_watts, point.high_watts = final.usual_watts, final.high_watts
    return point


def _common(ends: Sequence[Point]) -> Point:
    """The newest point that is on the lines to all of these ends."""
    common: Point | None = ends[0]
    for end in ends[1:]:
        other: Point | None = end
        while common is not None and other is not None and common is not other:
            if common.number >= other.number:
                common = common.before
            else:
                other = other.before
    return common or ends[0]


_cost = attrgetter("cost")


def _judged(seconds: float) -> float:
    return max(seconds, _SHORTEST_JUDGED_SECONDS)


def _seconds(before: Point, after: Point) -> float:
    return after.seconds - before.seconds + after.slept_seconds - before.slept_seconds


def _is_above(joules: float, watts: float, seconds: float, share: float, more_watts: float) -> bool:
    return joules - watts * seconds > (watts * share + more_watts) * _judged(seconds)
