"""A register that wraps, leaps, is set back and fails, turned into joules that only grow.

Pure: raw values and times in, state out. The register is anything that counts microjoules modulo a range.

An *explanation* says which of the values so far the register had, which were false, and how it came from each
value it had to the next. It has a cost, the sum of what is unlikely in it; what is likely costs nothing.

- A **false value** costs 10; 7 where registers of the kind leap; 5 after this one was caught. Values in a row
  may be one fault: after the first they cost that a second.
- A **rise**, more power than was just drawn, costs 6, and a **new high**, far more than in the last seconds,
  15.5. A leap looks like that, and so does a load that begins.
- A **set-back** costs 4, and a **jump**, more than the part can draw, or beyond the range, 8, both beside two
  false values: single values may be false, and it takes three to five that go on to say otherwise.

With each value every explanation goes on in two ways: the value is false, or the register had it. Of those
that end with the same value the cheapest is kept (and a dearer one that had more power: what follows is no
rise to it), and none that is too dear to win again. Those that cost less than 6 above the cheapest are *near*.
What all near ones have in common is *final*: it alone is counted, shown, saved, and returned to.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Literal

from msgspec import Struct

_MICROJOULES = 1_000_000
_NEAR = 6.0
# beside a false value
_TOO_DEAR = 24.0
_FALSE_COST = {"nothing": 10.0, "rises": 10.0, "everything": 7.0}
_CAUGHT_FALSE_COST, _CAUGHT_SECONDS = 5.0, 600.0
_RISE_COST, _HIGH_COST = 6.0, 16.0
_BREAK_COST = 5.0
# power scatters: by this share and these watts more is a rise, and a new high
_RISE_SHARE, _RISE_WATTS = 0.1, 5.0
_HIGH_SHARE, _HIGH_WATTS = 0.25, 15.0
# what is left of the highest power after a second
_HIGH_KEPT = 0.9
# registers are refreshed about every millisecond and tests step by hand: below a second a limit would judge
# the step's timing and not its energy
_SHORTEST_JUDGED_SECONDS = 1.0
# over less, a first step tells no power; after more, nobody knows what was drawn
_SHORTEST_POWER_SECONDS, _LONGEST_POWER_SECONDS = 0.5, 10.0
# a jump was drawn when what follows it draws at least this share
_SUSTAINED = 0.5
# a power that was drawn, and one that seems to be, give room for more
_PROVEN_MARGIN, _JUMP_MARGIN = 1.25, 1.5
# two reads may see one refresh in the wrong order
_JITTER_MICROJOULES = 1_000_000
# a window of so many samples can be told afterwards
_KEPT_TOTALS = 1024
# nonsense may go on for days
_MOST_ENDS, _MOST_UNDECIDED = 40, 64

Doubt = Literal["nothing", "rises", "everything"]
"""How much a value of the register may be doubted: not for its power; where that rises; at any time, and from
the first value on, as registers of the kind are known to leap."""
_Reason = Literal["backwards", "too_fast", "out_of_range"]


class Bounds(Struct, frozen=True):
    """Power of one zone in watts, on average over a second."""

    possible_watts: float
    """What the part can draw."""
    most_watts: float = math.inf
    """What no part of the domain draws, whatever values say: their unit is another one."""
    doubt: Doubt = "rises"


class SavedRegister(Struct, frozen=True):
    """What a counter needs to go on in another process; times are of the same boot."""

    raw: int
    seconds: float
    slept_seconds: float
    microjoules: int
    """Counted until the value."""
    published: int
    """At least that; more where it was shown and denied since."""
    proven_watts: float


class _Point(Struct, eq=False):
    """A value that the register had, as the end of the cheapest explanation of all values until then."""

    raw: int
    seconds: float
    slept_seconds: float
    number: int
    """Of the value, from 0."""
    total: int
    """Microjoules until then."""
    cost: float = 0.0
    """Above that of the cheapest explanation, false values after the point included."""
    before: _Point | None = None
    way: Literal["step", "wrap", "set_back", "jump"] = "step"
    """How the register came here from the point before."""
    usual_watts: float | None = None
    """What it drew in the last second; None while nobody knows."""
    high_watts: float = 0.0
    """The most that it drew in the last seconds."""
    jump: int = 0
    """Microjoules of a jump, which the next point counts if power stays."""
    is_beyond: bool = False
    """Whether the register counts on beyond its range."""
    lost_seconds: float | None = None
    """Since when the energy is known again, where some was lost on the way here."""

    @property
    def has_moved(self) -> bool:
        """Whether the register counted on to come here."""
        return self.way in ("step", "wrap") and self.before is not None and self.raw != self.before.raw

    @property
    def reason(self) -> _Reason:
        """Why it is left out, should it be false."""
        if self.is_beyond:
            return "out_of_range"
        return "backwards" if self.way == "set_back" else "too_fast"


class EnergyCounter:
    """Joules so far, from 0, of one register.

    The first value only sets the base. A value below the last one is a wrap when the range explains it with
    a power the part can draw.

    Parameters
    ----------
    range_microjoules
        Where the register wraps, in microjoules; None when unknown (then nothing is taken for a wrap).
    bounds
        What the part can draw; may be replaced when it is known better. Values that stay above it prove it
        wrong, but for its ``most_watts``.
    """

    def __init__(self, range_microjoules: int | None, bounds: Bounds) -> None:
        self.range_microjoules = range_microjoules
        self.bounds = bounds
        self.wraps = 0
        self.possible_missed_wraps = 0
        self.rejected: Counter[str] = Counter()
        """Values left out, by reason: ``backwards``, ``too_fast`` and ``out_of_range``."""
        self.moved_seconds: float | None = None
        """Monotonic time of the last value to which the register could have counted on; None for none."""
        self.broken_seconds: float | None = None
        """Since when the energy is known without a break: what was drawn just before is lost."""
        self.microjoules = 0
        """Microjoules until `final_seconds`; never decreases, but where it `began_again`."""
        self.began_again = False
        """Whether what was restored could not be gone on from."""
        self._proven_watts = 0.0
        self._caught_seconds = -math.inf
        self._restored: _Point | None = None
        self._last: _Point | None = None
        """The last value, as if the register had had it."""
        self._ends: list[_Point] = []
        """Of the explanations, the cheapest first."""
        self._final: _Point | None = None
        self._undecided: deque[_Point] = deque()
        """Values after the final one, one point of each."""
        self._past: deque[tuple[float, int]] = deque(maxlen=_KEPT_TOTALS)
        """Seconds and total of what all explanations have in common, and not only the near ones."""

    @property
    def max_watts(self) -> float:
        """What the part cannot exceed, as far as is known by now."""
        return max(self.bounds.possible_watts, self._proven_watts * _PROVEN_MARGIN)

    @property
    def joules(self) -> float:
        """Joules until `final_seconds`."""
        return self.microjoules / _MICROJOULES

    @property
    def final_seconds(self) -> float | None:
        """Monotonic time of the newest value that is final; None before the first."""
        return None if self._final is None else self._final.seconds

    @property
    def is_resuming(self) -> bool:
        """Whether nothing is final since it was restored: a process that was killed may have shown more."""
        return self._final is not None and self._final is self._restored

    @property
    def wrap_seconds(self) -> float | None:
        """The shortest time in which the register can come round, None when it has no known range."""
        if self.range_microjoules is None:
            return None
        return self.range_microjoules / _MICROJOULES / self.max_watts

    def settled_joules(self, seconds: float) -> float | None:
        """Joules at a moment; None while it is not final, and for one long ago."""
        later: tuple[float, int] | None = None
        for then, total in self._final_line():
            if then <= seconds:
                if later is None:
                    return total / _MICROJOULES if then == seconds else None
                share = (seconds - then) / (later[0] - then)
                return (total + int((later[1] - total) * share)) / _MICROJOULES
            later = then, total
        return None

    def _final_line(self) -> Iterator[tuple[float, int]]:
        """Seconds and total of the final points, the newest first."""
        point = self._final
        while point is not None:
            yield point.seconds, point.total
            point = point.before
        yield from reversed(self._past)

    def saved(self) -> SavedRegister | None:
        """What another process needs to go on from here; None before the first value."""
        final = self._final
        if final is None:
            return None
        place = final.raw, final.seconds, final.slept_seconds
        return SavedRegister(*place, final.total, self.microjoules, self._proven_watts)

    def restore(self, saved: SavedRegister) -> None:
        """Go on from what another process has counted.

        Where the register was set back meanwhile, counting begins at 0 again: to go on from less than what
        was published last would look as if all of it had been drawn once more.
        """
        self._begin(_Point(saved.raw, saved.seconds, saved.slept_seconds, 0, saved.microjoules))
        self.microjoules, self._proven_watts = saved.published, saved.proven_watts
        self._restored = self._final

    def _begin(self, first: _Point) -> None:
        first.is_beyond = self._is_out_of_range(first.raw)
        first.usual_watts = 0.0 if self.bounds.doubt == "everything" else None
        self._last = self._final = first
        self._ends = [first]

    def _is_out_of_range(self, raw: int) -> bool:
        return self.range_microjoules is not None and raw > self.range_microjoules

    def observe(self, raw_microjoules: int, now_seconds: float, slept_seconds: float = 0.0) -> bool:
        """Take one value; returns whether the cheapest explanation holds it true.

        Parameters
        ----------
        raw_microjoules
            The register.
        now_seconds
            Monotonic time of the read, without the time that the machine was suspended.
        slept_seconds
            How long the machine was suspended since it booted.
        """
        last = self._last
        number = 0 if last is None else last.number + 1
        value = _Point(raw_microjoules, now_seconds, slept_seconds, number, 0)
        if last is None:
            self._begin(value)
            return True
        if self._final.raw <= raw_microjoules < last.raw - _JITTER_MICROJOULES:
            self._caught_seconds = now_seconds
        false_cost = _FALSE_COST[self.bounds.doubt]
        if now_seconds - self._caught_seconds < _CAUGHT_SECONDS:
            false_cost = min(false_cost, _CAUGHT_FALSE_COST)
        points = self._true(value, false_cost)
        repeated_cost = false_cost * min(now_seconds - last.seconds, 1.0)
        for end in self._ends:
            end.cost += false_cost if end.number == last.number else repeated_cost
        self._last = value
        if points and points[0].has_moved:
            self.moved_seconds = now_seconds
        self._keep([*points, *self._ends], false_cost + _TOO_DEAR)
        self._undecided.append(points[0] if points else value)
        if len(self._undecided) > _MOST_UNDECIDED:
            self.rejected[self._undecided.popleft().reason] += 1
        near = [end for end in self._ends if end.cost < _NEAR]
        final = _common(near)
        if final is not self._final:
            self._finish(final)
        return self._ends[0].number == number

    def _keep(self, ends: list[_Point], too_dear: float) -> None:
        ends.sort(key=_cost)
        least = ends[0].cost
        for end in ends:
            end.cost -= least
        self._ends = [end for end in ends[:_MOST_ENDS] if end.cost < too_dear]

    def _true(self, value: _Point, false_cost: float) -> list[_Point]:
        """The explanations that hold the value true, the cheapest first."""
        points: list[_Point] = []
        for end in self._ends:
            if points and end.cost >= points[0].cost + _HIGH_COST:
                break
            point = self._step(end, value, false_cost)
            if point is not None:
                points.append(point)
                points.sort(key=_cost)
        if not points or points[0].cost > 2 * false_cost + _BREAK_COST:
            broken = self._break(value, false_cost)
            points += [] if broken is None else [broken]
            points.sort(key=_cost)
        kept = points[:1]
        for point in points[1:]:
            if _is_above(point.usual_watts, kept[-1].usual_watts):
                kept.append(point)
        return kept

    def _step(self, end: _Point, value: _Point, false_cost: float) -> _Point | None:
        """The value as one to which the register counted on from ``end``; None where it cannot have."""
        step, awake_seconds = value.raw - end.raw, value.seconds - end.seconds
        seconds = _seconds(end, value)
        is_beyond = end.is_beyond or self._is_out_of_range(value.raw)
        wraps = step < 0 and self.range_microjoules is not None and not is_beyond
        if wraps and self.range_microjoules is not None:
            step += self.range_microjoules
            # sleep may set a register back: it came round where it shows more than was drawn awake since
            if value.raw <= self.max_watts * _judged(awake_seconds) * _MICROJOULES:
                seconds = awake_seconds
        joules, judged = step / _MICROJOULES, _judged(seconds)
        limit = min(max(self.max_watts, _JUMP_MARGIN * end.high_watts), self.bounds.most_watts)
        # after a break only one that moves goes on
        if step < 0 or joules > limit * judged or (step == 0 and end.way in ("set_back", "jump")):
            return None
        cost = end.cost + self._power_cost(end, value.number, joules, seconds, wraps)
        if is_beyond and not end.is_beyond:
            cost += 2 * false_cost + _BREAK_COST
        point = _Point(
            value.raw, value.seconds, value.slept_seconds, value.number, end.total + step, cost, end,
            "wrap" if wraps else "step", end.usual_watts, end.high_watts, 0, is_beyond,
        )  # fmt: skip
        if end.way == "jump":
            if joules >= _SUSTAINED * end.high_watts * judged:
                point.total += end.jump
            else:
                point.lost_seconds = end.seconds
        if self.bounds.doubt != "nothing" and value.slept_seconds == end.slept_seconds:
            _draw(point, joules, seconds)
        return point

    def _power_cost(self, end: _Point, number: int, joules: float, seconds: float, wraps: bool) -> float:
        usual, high = end.usual_watts, end.high_watts
        if usual is None:
            is_free = number == end.number + 1 or self.bounds.doubt == "nothing"
            return 0.0 if is_free else 2 * _RISE_COST
        judged = _judged(seconds)
        if wraps and end.before is not None:
            high = min(high, end.before.high_watts)  # a leap that is set back looks as if it had come round
        if joules - high * seconds > (high * _HIGH_SHARE + _HIGH_WATTS) * judged:
            if wraps and seconds <= _LONGEST_POWER_SECONDS:
                return _HIGH_COST * (1.0 + 2.0 * joules / judged / self.max_watts)
            return _HIGH_COST
        is_rise = joules - usual * seconds > (usual * _RISE_SHARE + _RISE_WATTS) * judged
        return _RISE_COST if is_rise else 0.0

    def _break(self, value: _Point, false_cost: float) -> _Point | None:
        """The value as one to which the register was set back, or jumped; None where it counted on.

        It goes on from what is final, as no later value can tell what was drawn since.
        """
        final = self._final
        assert final is not None  # noqa: S101 - for the type checker; observe() has set it
        step, seconds = value.raw - final.raw, _seconds(final, value)
        watts, is_beyond = step / _MICROJOULES / _judged(seconds), self._is_out_of_range(value.raw)
        if 0 <= watts <= self.max_watts and not is_beyond:
            return None
        point = _Point(
            value.raw, value.seconds, value.slept_seconds, value.number, final.total,
            2 * false_cost + _BREAK_COST, final, "jump", watts, watts, step, is_beyond,
        )  # fmt: skip
        if step < 0:
            point.way, point.lost_seconds, point.jump = "set_back", value.seconds, 0
            point.usual_watts, point.high_watts = final.usual_watts, final.high_watts
            if final is self._restored:
                point.total = 0
        return point

    def _finish(self, final: _Point) -> None:
        """Everything until then is final now."""
        former, self._final = self._final, final
        line = [final, *_line_before(final, former)]
        for point in reversed(line):
            self._count(point)
        self.microjoules = max(self.microjoules, final.total)
        numbers = {point.number: point for point in line}
        while self._undecided and self._undecided[0].number <= final.number:
            value = self._undecided.popleft()
            if value.number not in numbers:
                self._reject(value, next(point for point in reversed(line) if point.number > value.number))
        root = _common(self._ends)
        self._past.extend(reversed([(point.seconds, point.total) for point in _line_before(root, None)]))
        root.before = None

    def _count(self, point: _Point) -> None:
        before = point.before
        if before is None:
            return
        self.wraps += point.way == "wrap"
        wrap_seconds = self.wrap_seconds
        if wrap_seconds is not None and point.seconds - before.seconds > wrap_seconds:
            self.possible_missed_wraps += 1
        if point.lost_seconds is not None:
            self.broken_seconds = point.lost_seconds
            self.rejected[before.reason if before.way == "jump" else point.reason] += 1
        elif before.way == "jump":
            self._proven_watts = max(self._proven_watts, min(before.high_watts, point.usual_watts or 0.0))
        if before.is_beyond and point.has_moved and self._is_out_of_range(point.raw):
            self.range_microjoules = None
            self.rejected["out_of_range"] += 1
        if before is self._restored and point.way == "set_back":
            self.microjoules, self.began_again = 0, True

    def _reject(self, value: _Point, after: _Point) -> None:
        """Count a value that is left out, where the next one denies it: one in between may be right."""
        if value.way != "step" or value.total > after.total:
            self.rejected[value.reason] += 1


_cost = attrgetter("cost")


def _judged(seconds: float) -> float:
    return max(seconds, _SHORTEST_JUDGED_SECONDS)


def _seconds(before: _Point, after: _Point) -> float:
    return after.seconds - before.seconds + after.slept_seconds - before.slept_seconds


def _is_above(watts: float | None, other: float | None) -> bool:
    return watts is not None and other is not None and watts > other * (1 + _RISE_SHARE) + _RISE_WATTS


def _draw(point: _Point, joules: float, seconds: float) -> None:
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


def _line_before(point: _Point, until: _Point | None) -> list[_Point]:
    """The points before ``point``, the newest first, as far as ``until``."""
    line = []
    while (before := point.before) is not None and (until is None or before.number > until.number):
        line.append(before)
        point = before
    return line


def _common(ends: Sequence[_Point]) -> _Point:
    """The newest point that is on all lines to these ends."""
    common = ends[0]
    for end in ends[1:]:
        while common is not end:
            if common.number >= end.number:
                assert common.before is not None  # noqa: S101 - all lines begin at one point
                common = common.before
            else:
                assert end.before is not None  # noqa: S101
                end = end.before
    return common
