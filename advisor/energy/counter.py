"""Joules of a register that wraps, leaps, is set back and fails; they only grow.

Pure: raw values and times in, state out. The register is anything that counts microjoules modulo a range.
What its values mean is in `advisor.energy.explanations`; here is what follows of those that are final.
"""

from __future__ import annotations

import math
from collections import Counter, deque

from msgspec import Struct

from advisor.energy.explanations import Bounds, Point, cheapest, explain, near

_MICROJOULES = 1_000_000
_FALSE_COST = {"nothing": 10.0, "rises": 10.0, "everything": 7.0}
_CAUGHT_FALSE_COST, _CAUGHT_SECONDS = 5.0, 600.0
# two reads may see one refresh in the wrong order
_JITTER_MICROJOULES = 1_000_000
# a window of so many samples can be told afterwards
_KEPT_POINTS = 1024
# false values in a row for so long may be one fault; beyond that they are as many a second
_LONGEST_FAULT_SECONDS, _FAULTS_PER_SECOND = 1.0, 10.0
# nonsense may go on for days
_MOST_UNDECIDED = 64
# after so many steps the least power of one is what the part draws at least
_LEAST_STEPS = 3
# values after the final one, beyond which none of the explanations may be right
_MOST_AHEAD = 3


class SavedRegister(Struct, frozen=True):
    """What a counter needs to go on in another process; times are of the same boot."""

    raw: int
    seconds: float
    slept_seconds: float
    microjoules: int
    """Counted until the value."""
    published: int
    """At least that, but where its zone was behind; more where it was shown and denied since, or another
    register brought it."""


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
        self._caught_seconds = -math.inf
        self._steps, self._least_watts = 0, math.inf
        self._restored: Point | None = None
        self._last: Point | None = None
        """The last value, true or not."""
        self._line: deque[Point] = deque()
        """What is final, the newest last."""
        self._ends: list[Point] = []
        """Of the explanations, the cheapest first."""
        self._undecided: deque[Point] = deque()
        """Values after the final one, one point of each."""

    @property
    def joules(self) -> float:
        """Joules until `final_seconds`."""
        return self.microjoules / _MICROJOULES

    @property
    def final_seconds(self) -> float | None:
        """Monotonic time of the newest value that is final; None before the first."""
        return self._line[-1].seconds if self._line else None

    @property
    def ahead_microjoules(self) -> int:
        """What was drawn since `final_seconds` at least, whichever of the near explanations is right.

        One that holds the last values false has its part draw as little since as it ever did.
        """
        last, final = self._last, self._line[-1] if self._line else None
        if last is None or final is None or not 0 < last.number - final.number <= _MOST_AHEAD:
            return 0
        ends = near(self._ends)
        if last.number not in {end.number for end in ends}:
            return 0  # what is false for sure tells nothing
        least = self._least_watts if self._steps >= _LEAST_STEPS else 0.0
        totals = (end.total + int(least * (last.seconds - end.seconds) * _MICROJOULES) for end in ends)
        return max(min(totals) - self.microjoules, 0)

    @property
    def is_resuming(self) -> bool:
        """Whether nothing is final since it was restored: a process that was killed may have shown more."""
        return self._restored is not None and self._line[-1] is self._restored

    @property
    def wrap_seconds(self) -> float | None:
        """The shortest time in which the register can come round, None when it has no known range."""
        if self.range_microjoules is None:
            return None
        return self.range_microjoules / _MICROJOULES / self.bounds.possible_watts

    def settled_joules(self, seconds: float) -> float | None:
        """Joules at a moment; None while it is not final, and for one long ago."""
        later: Point | None = None
        for point in reversed(self._line):
            if point.seconds <= seconds:
                if later is None:
                    return point.total / _MICROJOULES if point.seconds == seconds else None
                share = (seconds - point.seconds) / (later.seconds - point.seconds)
                return (point.total + int((later.total - point.total) * share)) / _MICROJOULES
            later = point
        return None

    def saved(self) -> SavedRegister | None:
        """What another process needs to go on from here; None before the first value."""
        if not self._line:
            return None
        final = self._line[-1]
        return SavedRegister(final.raw, final.seconds, final.slept_seconds, final.total, self.microjoules)

    def restore(self, saved: SavedRegister) -> None:
        """Go on from what another process has counted.

        Where the register was set back meanwhile, counting begins at 0 again: to go on from less than what
        was published last would look as if all of it had been drawn once more.
        """
        self._begin(Point(saved.raw, saved.seconds, saved.slept_seconds, 0, saved.microjoules))
        self.microjoules, self._restored = saved.published, self._last

    def _begin(self, first: Point) -> None:
        first.is_beyond = self._is_out_of_range(first.raw)
        first.usual_watts = 0.0 if self.bounds.doubt == "everything" else None
        self._last, self._ends = first, [first]
        self._line.append(first)

    def _is_out_of_range(self, raw: int) -> bool:
        return self.range_microjoules is not None and raw > self.range_microjoules

    def observe(self, raw_microjoules: int, now_seconds: float, slept_seconds: float = 0.0) -> None:
        """Take one value.

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
        value = Point(raw_microjoules, now_seconds, slept_seconds, number)
        if last is None:
            self._begin(value)
            return
        self._last = value
        if self._line[-1].raw <= raw_microjoules < last.raw - _JITTER_MICROJOULES:
            self._caught_seconds = now_seconds
        false_cost = _FALSE_COST[self.bounds.doubt]
        if now_seconds - self._caught_seconds < _CAUGHT_SECONDS:
            false_cost = _CAUGHT_FALSE_COST
        points = explain(
            self._ends,
            self._line[-1],
            value,
            range_microjoules=self.range_microjoules,
            bounds=self.bounds,
            false_cost=false_cost,
        )
        for point in points:
            if point.way == "set_back" and point.before is self._restored:
                point.total = 0
        for end in self._ends:
            is_first = end.number == last.number
            is_one_fault = now_seconds - end.seconds <= _LONGEST_FAULT_SECONDS
            faults = (now_seconds - last.seconds) * (1.0 if is_one_fault else _FAULTS_PER_SECOND)
            end.cost += false_cost if is_first else false_cost * min(faults, 1.0)
        if points and points[0].has_moved:
            self.moved_seconds = now_seconds
        self._undecided.append(points[0] if points else value)
        if len(self._undecided) > _MOST_UNDECIDED:
            self.rejected[self._undecided.popleft().reason] += 1
        self._ends, final = cheapest(points, self._ends, false_cost)
        if final.number > self._line[-1].number:
            self._finish(final)

    def _finish(self, final: Point) -> None:
        """Everything until then is final now."""
        points: list[Point] = []
        point: Point | None = final
        while point is not None and not (self._line and point is self._line[-1]):
            if self._line and self._line[-1].number >= point.number:
                self._line.pop()
            else:
                points.append(point)
                point = point.before
        for point in reversed(points):
            self._count(point)
            self._line.append(point)
        self.microjoules = max(self.microjoules, final.total)
        while self._undecided and self._undecided[0].number <= final.number:
            value = self._undecided.popleft()
            after = next(point for point in reversed(points) if point.number >= value.number)
            # one that lies between its neighbours may be right
            if value.number != after.number and (value.way != "step" or value.total > after.total):
                self.rejected[value.reason] += 1
        while len(self._line) > _KEPT_POINTS:
            self._line.popleft()
            self._line[0].before = None

    def _count(self, point: Point) -> None:
        before = point.before
        if before is None:
            return
        self.wraps += point.way == "wrap"
        seconds = point.seconds - before.seconds + point.slept_seconds - before.slept_seconds
        if seconds > 0 and point.way in ("step", "wrap"):
            self._steps += 1
            self._least_watts = min(self._least_watts, (point.total - before.total) / _MICROJOULES / seconds)
        wrap_seconds = self.wrap_seconds
        if wrap_seconds is not None and point.seconds - before.seconds > wrap_seconds:
            self.possible_missed_wraps += 1
        if point.lost_seconds is not None:
            self.broken_seconds = point.lost_seconds
            self.rejected[before.reason if before.way == "jump" else point.reason] += 1
        if before.is_beyond and point.has_moved and self._is_out_of_range(point.raw):
            self.range_microjoules = None
            self.rejected["out_of_range"] += 1
        if before is self._restored and point.way == "set_back":
            self.microjoules, self.began_again = 0, True
