"""A register that wraps, leaps, is set back and fails, turned into joules that only grow.

Pure: raw values and times in, state out. The register is anything that counts microjoules modulo a range.

Each value either continues the line that is counted or is doubtful. A doubtful value adds nothing: it is held
until later values say which line is the register's. When they go on from the line before it, it was false and
is left out, and nothing is lost. When they go on from it for long enough, it becomes the line, and what lay
between the two is counted where the part can have drawn it, else lost and counted as lost.

A false value may be one that its part could have drawn. Where registers are known to leap, a value is
published when those that follow for some seconds did not deny it; at once only as far as its power was
steady, and, after the first that was denied, as far as it never drew less. Of other registers the same holds
for a step above what was drawn just before.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, deque
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, structs

_MICROJOULES = 1_000_000
# registers are refreshed about every millisecond and tests step by hand: below a second the limit would
# judge the step's timing and not its energy
_SHORTEST_JUDGED_SECONDS = 1.0
# some registers show a false value for a whole second: what is seen on both sides of it is no such value
_CONFIRM_SECONDS = 1.5
# of a value that the part can hardly have drawn, and of a register that was caught with a false value
_CONFIRM_DOUBTFUL_SECONDS = 5.0
# a register that leaps is judged by what it drew lately, with room for a rise
_RECENT_STEPS = 10
_RECENT_MARGIN = 1.5
_LEAST_ALLOWED_WATTS = 5.0
# a doubtful rise is real when what follows it draws at least this share of it
_SUSTAINED = 0.5
# nothing that is held for so long is decided any more
_LONGEST_HELD_SECONDS = 60.0
# false values in a row that a doubtful line may have before it is given up
_MOST_IGNORED = 3
# a power that was proven gives room for one a little above it
_PROVEN_MARGIN = 1.25
# for how long, and how far, power is expected to be like it was, where a register seems to come round
_LONGEST_STEADY_SECONDS, _STEADY_MARGIN, _STEADY_WATTS = 10.0, 1.5, 10.0
# how far back the counted line is kept to return to, and how long one that was given up
_LINE_SECONDS, _FORMER_SECONDS = 5.0, 60.0
# a rise by less is none
_RISE_WATTS = 5.0
# steps of about one power, after which one more of it is no leap, and what is about one
_STEADY_STEPS, _ORDINARY_MARGIN = 3, 1.1
# two reads may see one refresh in the wrong order
_JITTER_MICROJOULES = 1_000_000
# how long a register is judged strictly after a false value
_LEAPER_SECONDS = 600.0
# a window of so many samples can be told afterwards
_KEPT_TOTALS = 1024


class _Point(Struct, frozen=True):
    """One value that lies on a line, and the microjoules counted until then."""

    raw: int
    seconds: float
    slept_seconds: float
    total: int


class _Held(Struct):
    """Values beside the counted line, which may turn out to be the register's."""

    kind: str
    jump: int
    """Microjoules from the counted line to the first value; below 0 for a value that went backwards."""
    jump_watts: float
    points: list[_Point]
    """The first has the total of the counted line, without the jump."""
    came_round: bool = False
    """Whether it came round while the machine slept: it shows more than was drawn awake since."""
    ignored: list[_Point] = []
    """Values in a row that were ahead of these."""

    @property
    def seconds(self) -> float:
        return self.points[-1].seconds - self.points[0].seconds

    @property
    def is_moving(self) -> bool:
        return self.points[-1].raw != self.points[0].raw

    def steps_watts(self) -> list[float]:
        """Power from value to value."""
        return [_watts(b.total - a.total, a, b) for a, b in itertools.pairwise(self.points)]


Doubt = Literal["nothing", "rises", "everything"]
"""Steps that wait for the values that follow them: those above what was drawn lately, or all of them, where
registers of the kind are known to show false values."""


class Bounds(Struct, frozen=True):
    """Power of one zone in watts, on average over a second."""

    ordinary_watts: float
    """Believed at once."""
    possible_watts: float
    """Believed when the values that follow confirm it."""
    most_watts: float = math.inf
    """What no part of the domain draws, whatever values say: their unit is another one."""
    doubt: Doubt = "rises"
    """Which values within these watts may be false."""


class SavedRegister(Struct, frozen=True):
    """What a counter needs to go on in another process; times are of the same boot."""

    raw: int
    seconds: float
    slept_seconds: float
    microjoules: int
    """Counted until the value."""
    published: int
    """More than that where it was published before those that follow the value, or is owed."""
    proven_watts: float


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
        wrong, but for its ``most_watts``. Of a register that was caught, every value may be false.
    """

    def __init__(self, range_microjoules: int | None, bounds: Bounds) -> None:
        self.range_microjoules = range_microjoules
        self.bounds = bounds
        self.wraps = 0
        self.possible_missed_wraps = 0
        self.rejected: Counter[str] = Counter()
        """Values left out, by reason: ``backwards``, ``too_fast`` and ``out_of_range``."""
        self.last_good_seconds: float | None = None
        """Monotonic time of the last value on the counted line."""
        self.moved_seconds: float | None = None
        """Monotonic time of the last value that was another one, on the line or beyond the range; None when
        none ever was."""
        self.broken_seconds: float | None = None
        """Since when the energy is known without a break: what was drawn just before is lost."""
        self.began_again = False
        """Whether what was restored could not be gone on from."""
        self._proven_watts = 0.0
        self._restored_seconds: float | None = None
        self._published = 0
        self._base: _Point | None = None
        self._line: deque[_Point] = deque()
        """Points of the counted line before the base, a few seconds of them."""
        self._sure: _Point | None = None
        """The newest point that no later value can deny."""
        self._sure_published = 0
        self._least_watts = math.inf
        self._former: _Point | None = None
        self._held: _Held | None = None
        self._leapt_seconds: float | None = None
        self._rise_seconds: float | None = None
        """Time of the last value that drew more than was drawn lately, until it is sure."""
        self._recent: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._settled: dict[float, int] = {}

    @property
    def max_watts(self) -> float:
        """What the part cannot exceed, as far as is known by now."""
        return max(self.bounds.possible_watts, self._proven_watts * _PROVEN_MARGIN)

    @property
    def microjoules(self) -> int:
        """Microjoules since the first value; never decreases."""
        return self._published

    @property
    def joules(self) -> float:
        """Joules since the first value; never decreases."""
        return self._published / _MICROJOULES

    @property
    def is_holding(self) -> bool:
        """Whether the last values are beside the counted line."""
        return self._held is not None

    @property
    def is_resuming(self) -> bool:
        """Whether nothing is sure since it was restored: a process that was killed may have shown more."""
        return self._sure is not None and self._sure.seconds == self._restored_seconds

    @property
    def pending_microjoules(self) -> int:
        """Counted and not yet published; below 0 for what is owed."""
        return 0 if self._base is None else self._base.total - self._published

    @property
    def sure_seconds(self) -> float | None:
        """Monotonic time of the newest value that no later one can deny; None before the first."""
        return None if self._sure is None else self._sure.seconds

    @property
    def sure_joules(self) -> float:
        """Joules at `sure_seconds`; never decreases."""
        return self._sure_published / _MICROJOULES

    @property
    def wrap_seconds(self) -> float | None:
        """The shortest time in which the register can come round, None when it has no known range."""
        if self.range_microjoules is None:
            return None
        return self.range_microjoules / _MICROJOULES / self.max_watts

    def settled_joules(self, seconds: float) -> float | None:
        """Joules at the time of a value that was doubtful then; None for another time, or while it is."""
        total = self._settled.get(seconds)
        return None if total is None else total / _MICROJOULES

    def saved(self) -> SavedRegister | None:
        """What another process needs to go on from here; None before the first value."""
        sure = self._sure
        if sure is None:
            return None
        return SavedRegister(
            sure.raw, sure.seconds, sure.slept_seconds, sure.total, self._published, self._proven_watts
        )

    def restore(self, saved: SavedRegister) -> None:
        """Go on from what another process has counted.

        Where the register was set back meanwhile, counting begins at 0 again: to go on from less than what
        was published last would look as if all of it had been drawn once more.
        """
        self._base = self._sure = _Point(saved.raw, saved.seconds, saved.slept_seconds, saved.microjoules)
        self._published = self._sure_published = saved.published
        self._proven_watts, self._restored_seconds = saved.proven_watts, saved.seconds

    def observe(self, raw_microjoules: int, now_seconds: float, slept_seconds: float = 0.0) -> bool:
        """Take one value; returns whether it was counted.

        Parameters
        ----------
        raw_microjoules
            The register.
        now_seconds
            Monotonic time of the read, without the time that the machine was suspended.
        slept_seconds
            How long the machine was suspended since it booted.
        """
        value = _Point(raw_microjoules, now_seconds, slept_seconds, 0)
        if self._base is None:
            self._sure = structs.replace(value, total=self._published)
            self._take(self._sure)
            return True
        if not (self._continue_held(value) or self._continue_line(value)):
            self._hold(value)
        return self._held is None

    @property
    def _is_doubted(self) -> bool:
        is_open = self._rise_seconds is not None
        return self.bounds.doubt == "everything" or self._leapt_seconds is not None or is_open

    def _allowed_watts(self) -> float:
        if self._leapt_seconds is None or not self._recent:
            return max(self.bounds.ordinary_watts, self._proven_watts * _PROVEN_MARGIN)
        return max(max(self._recent) * _RECENT_MARGIN, _LEAST_ALLOWED_WATTS)

    def _continue_held(self, value: _Point) -> bool:
        """Whether the value goes on from those that are held, which may confirm them."""
        held, base = self._held, self._base
        if held is None or base is None:
            return False
        last = held.points[-1]
        if held.kind == "out_of_range" and value.raw < last.raw:
            return False
        if last.raw == 0 and value.raw > base.raw:  # a read that failed, and not a set-back
            return False
        # what follows a set-back may be of any power: whether it goes on is what counts
        watts = max(2 * self.max_watts, held.jump_watts * _RECENT_MARGIN)
        behind = held.points if value.raw < last.raw else [last]
        steps = ((point, self._step(point, value, watts)) for point in reversed(behind))
        point, step = next(((point, step) for point, step in steps if step is not None), (last, None))
        if step is None and held.is_moving and value.raw > last.raw and len(held.ignored) < _MOST_IGNORED:
            # a line that was set back may leap as well
            held.ignored.append(value)
            self.rejected["too_fast"] += 1
            return True
        # where the last value was false, or one alone is below, the counted line comes first
        is_weak = value.raw < last.raw or (held.kind == "backwards" and not held.is_moving)
        if step is None or (is_weak and self._step(base, value, self._allowed_watts()) is not None):
            return False
        while held.points[-1] is not point:
            self._reject_held_point(held.points.pop(), point)
        # at the times of those that were ahead the register was between its neighbours
        span = value.seconds - point.seconds
        for ahead in held.ignored:
            share = (ahead.seconds - point.seconds) / span if span > 0 else 0.0
            gained = int(step * share)
            held.points.append(structs.replace(ahead, raw=point.raw + gained, total=point.total + gained))
        held.ignored = []
        held.points.append(structs.replace(value, total=point.total + step))
        if held.kind == "out_of_range" and held.is_moving:
            self.moved_seconds = value.seconds
        if self._is_confirmed(held):
            self._adopt(held, base)
        elif held.seconds > _LONGEST_HELD_SECONDS and held.is_moving:
            self.rejected[held.kind] += len(held.points)
            self._held = None
        elif held.seconds > _LONGEST_HELD_SECONDS:
            del held.points[1]
        return True

    def _reject_held_point(self, false: _Point, before: _Point) -> None:
        self.rejected["too_fast"] += 1
        self._settle(false.seconds, before.total)

    def _is_confirmed(self, held: _Held) -> bool:
        """Whether the values were there for long enough, moved, and do not end with a leap."""
        is_impossible = held.jump_watts > self.max_watts
        if not held.is_moving or (held.kind == "out_of_range" and is_impossible):
            return False
        strict = is_impossible or held.kind == "out_of_range" or self._leapt_seconds is not None
        # three leaps in a row look like a rise: a register that may leap has to have a past before that
        strict = strict or (self.bounds.doubt == "everything" and len(self._recent) < _RECENT_STEPS)
        if held.seconds < (_CONFIRM_DOUBTFUL_SECONDS if strict else _CONFIRM_SECONDS):
            return False
        first, end = held.points[0], held.points[-1]
        if _watts(end.total - first.total, first, end) > self.bounds.most_watts:
            return False
        *former, last = held.steps_watts()
        usual = statistics.median([held.jump_watts, *former]) * _RECENT_MARGIN
        return last <= max(self._allowed_watts(), usual)

    def _continue_line(self, value: _Point) -> bool:
        """Whether the value goes on from the counted line, or from where it was before a false step."""
        base = self._base
        if base is None or self._is_out_of_range(value):
            return False
        step = self._step(base, value, self._allowed_watts())
        if step is None:
            earlier = self._earlier_point(base, value)
            if earlier is None:
                return False
            self.rejected["too_fast"] += 1
            if base.raw - value.raw > _JITTER_MICROJOULES:
                self._leapt_seconds = value.seconds
            step = value.raw - earlier.raw
            denied = [point for point in (*self._line, base) if point.seconds > earlier.seconds]
            for _ in denied[: len(self._recent)]:
                self._recent.pop()
            self._spread(denied, earlier, value, step)
            base = earlier
            self._line = deque(point for point in self._line if point.seconds < base.seconds)
        self._deny(base, value, step)
        self._advance(base, structs.replace(value, total=base.total + step))
        return True

    def _earlier_point(self, base: _Point, value: _Point) -> _Point | None:
        """The newest point that a value below the base goes on from: what was counted since was false.

        Of several false values in a row the first may fit too, at a power that is none: what was leapt to is
        the last to be taken.
        """
        if value.raw == 0:  # a read that failed, and not a register just where it once was set back to
            return None
        former = self._former
        if former is not None and value.seconds - former.seconds > _FORMER_SECONDS:
            self._former = former = None
        points = [*([former] if former else []), *self._line]
        usual = statistics.median(self._recent) if self._recent else 0.0
        leapt_to = None
        for before, point in reversed(list(zip([None, *points], points, strict=False))):
            step = value.raw - point.raw
            # the false step may have come round the end of the range
            is_behind = value.raw < base.raw or point.raw > base.raw
            if is_behind and 0 <= step <= self._allowed_watts() * _seconds(point, value) * _MICROJOULES:
                watts = max(usual, _watts(step, point, value)) * _RECENT_MARGIN
                if before is None or _watts(point.total - before.total, before, point) <= watts:
                    return point
                leapt_to = leapt_to or point
        return leapt_to

    def _deny(self, base: _Point, value: _Point, step: int) -> None:
        """What was held was false."""
        held, self._held = self._held, None
        if held is None:
            return
        self.rejected[held.kind] += len(held.points)
        if held.kind == "too_fast":
            self._leapt_seconds = value.seconds
        self._spread([*held.points, *held.ignored], base, value, step)

    def _settle(self, seconds: float, total: int) -> None:
        self._settled.setdefault(seconds, total)
        if len(self._settled) > _KEPT_TOTALS:
            del self._settled[next(iter(self._settled))]

    def _spread(self, false: Iterable[_Point], base: _Point, value: _Point, step: int) -> None:
        """The times of false values lie on the line from ``base`` to ``value``."""
        span = value.seconds - base.seconds
        for point in false:
            share = (point.seconds - base.seconds) / span if span > 0 else 0.0
            self._settled.pop(point.seconds, None)  # it may have been believed
            self._settle(point.seconds, base.total + int(step * share))

    def _hold(self, value: _Point) -> None:
        base, former = self._base, self._held
        assert base is not None  # noqa: S101 - for the type checker; observe() has set it
        jump, came_round = value.raw - base.raw, False
        if jump < 0 and self.range_microjoules is not None:
            wrapped = jump + self.range_microjoules
            # a power a little beyond the bound may meet the end of the range
            awake = structs.replace(value, slept_seconds=base.slept_seconds)
            came_round = self._came_round(wrapped, base, value)
            jump = wrapped if came_round or _watts(wrapped, base, awake) <= 2 * self.max_watts else jump
        kind = "backwards" if jump < 0 else "too_fast"
        if self._is_out_of_range(value):
            kind = "out_of_range"
        if former is not None:
            for point in former.points:
                self._settle(point.seconds, base.total)
            if not former.kind == kind == "too_fast":
                self.rejected[former.kind] += len(former.points)
        first = structs.replace(value, total=base.total)
        self._held = _Held(kind, jump, _watts(jump, base, value), [first], came_round)

    def _came_round(self, wrapped: int, base: _Point, value: _Point) -> bool:
        """Whether a register that is lower after a sleep was not set back by it."""
        awake_seconds = max(value.seconds - base.seconds, _SHORTEST_JUDGED_SECONDS)
        is_more = value.raw > self.max_watts * awake_seconds * _MICROJOULES
        has_slept = value.slept_seconds > base.slept_seconds
        return has_slept and is_more and _watts(wrapped, base, value) <= self._allowed_watts()

    def _adopt(self, held: _Held, base: _Point) -> None:
        """The values that were held are the register's: go on from them."""
        steps = sorted(held.steps_watts(), reverse=True)
        # one false value cannot make a jump look like power that stays: it takes two such steps
        steady_watts = steps[min(1, len(steps) - 1)]
        is_sustained = steady_watts >= _SUSTAINED * held.jump_watts
        may_be_set_back = held.points[0].raw < base.raw
        is_possible = held.jump_watts <= self.max_watts and not may_be_set_back
        is_counted = held.jump >= 0 and (is_possible or is_sustained or held.came_round)
        if held.kind == "out_of_range":
            self.range_microjoules = None
        if is_counted:
            self._proven_watts = max(self._proven_watts, min(held.jump_watts, steady_watts))
            self._count_wraps(base, held.points[0])
        else:
            self.broken_seconds = held.points[0].seconds
        if not is_counted or held.kind == "out_of_range":
            self.rejected[held.kind] += 1
        jump = held.jump if is_counted else -self._unsure(base)
        if not is_counted and self.last_good_seconds is None:
            jump, self._published, self._sure_published, self.began_again = -base.total, 0, 0, True
        for point in (*self._line, base):
            self._settle(point.seconds, point.total)
        self._held = None
        self._recent.append(steady_watts)
        *line, last = (structs.replace(point, total=point.total + jump) for point in held.points)
        self._line = deque(line)
        self._sure = structs.replace(base, total=base.total + min(jump, 0))
        if is_counted and self.bounds.doubt == "rises":
            self._rise_seconds = last.seconds
        self._take(last)
        self._former = base if held.kind == "too_fast" else None

    def _unsure(self, base: _Point) -> int:
        """Microjoules of the last values before a set-back, which no later one can confirm."""
        sure = base if self._sure is None else self._sure
        return max(base.total - max(sure.total, self._published), 0)

    def _advance(self, base: _Point, value: _Point) -> None:
        self._count_wraps(base, value)
        seconds = value.seconds - base.seconds
        if self.bounds.doubt == "rises" and self._is_rise(
            _watts(value.total - base.total, base, value), seconds
        ):
            self._rise_seconds = value.seconds
        if seconds >= _SHORTEST_JUDGED_SECONDS / 2:
            seconds += value.slept_seconds - base.slept_seconds
            watts = (value.total - base.total) / _MICROJOULES / seconds
            self._recent.append(watts)
            self._least_watts = min(self._least_watts, watts)
        if self._leapt_seconds is not None and value.seconds - self._leapt_seconds > _LEAPER_SECONDS:
            self._leapt_seconds = None
        self._line.append(base)
        self._take(value)
        # the sure point stays, however old it is: after a gap it is all there is to return to
        oldest = min(
            value.seconds - _LINE_SECONDS, value.seconds if self._sure is None else self._sure.seconds
        )
        while len(self._line) > 1 and self._line[0].seconds < oldest:
            self._line.popleft()

    def _take(self, value: _Point) -> None:
        if self._base is not None and value.raw != self._base.raw:
            self.moved_seconds = value.seconds
        self._base, self.last_good_seconds = value, value.seconds
        self._publish(value)

    def _publish(self, base: _Point) -> None:
        """What no later value can deny, and what a part draws at least."""
        sure = self._make_sure(base)
        self._sure_published = max(self._sure_published, sure.total)
        pending = base.total - sure.total
        if pending > 0:
            # the sure point may have been false at its own time: later ones say less then
            points = (sure, *(point for point in self._line if point.seconds > sure.seconds))
            watts = self._steady_watts() * _MICROJOULES
            least = min(point.total + int(watts * _seconds(point, base)) for point in points) - sure.total
            is_steady = self._leapt_seconds is not None or pending <= least * _ORDINARY_MARGIN
            pending = min(pending, max(least, 0)) if is_steady else 0
        self._published = max(self._published, sure.total + pending)

    def _steady_watts(self) -> float:
        """What the part draws at least: of late; ever, where the register was caught with a false value."""
        recent = list(self._recent)[-_STEADY_STEPS:]
        if len(recent) < _STEADY_STEPS:
            return 0.0
        return min(recent) if self._leapt_seconds is None else self._least_watts

    def _make_sure(self, base: _Point) -> _Point:
        """The newest point of the line that was followed by values for long enough."""
        sure = self._sure or base
        wait_seconds = 0.0
        if self._is_doubted:
            wait_seconds = _CONFIRM_SECONDS if self._leapt_seconds is None else _CONFIRM_DOUBTFUL_SECONDS
        for point in (*self._line, base):
            if point.seconds > base.seconds - wait_seconds:
                break
            if point.seconds > sure.seconds:
                self._settle(point.seconds, point.total)
                sure = point
        if self._rise_seconds is not None and sure.seconds >= self._rise_seconds:
            self._rise_seconds = None
            return self._make_sure(base)
        self._sure = sure if self._is_doubted else base
        return self._sure

    def _is_rise(self, watts: float, seconds: float) -> bool:
        """Whether so much was not drawn lately; after a gap nobody knows what was."""
        if not self._recent or seconds > _LONGEST_STEADY_SECONDS:
            return False
        return watts > self._recent[-1] * _ORDINARY_MARGIN + _RISE_WATTS

    def _is_out_of_range(self, value: _Point) -> bool:
        return self.range_microjoules is not None and value.raw > self.range_microjoules

    def _step(self, base: _Point, value: _Point, watts: float) -> int | None:
        """Microjoules from ``base`` to ``value``, None when a power within ``watts`` does not explain them.

        A suspended machine draws little and may set its registers back: the time counts for what was drawn
        and not for coming round.
        """
        step = value.raw - base.raw
        if step < 0 and self.range_microjoules is not None:
            step += self.range_microjoules
            seconds = max(value.seconds - base.seconds, _SHORTEST_JUDGED_SECONDS)
            return step if step <= self._wrap_watts(watts, seconds) * seconds * _MICROJOULES else None
        return step if 0 <= step <= watts * _seconds(base, value) * _MICROJOULES else None

    def _wrap_watts(self, watts: float, seconds: float) -> float:
        """A register set back from near its end looks as if it had come round at some other power."""
        if not self._recent or seconds > _LONGEST_STEADY_SECONDS:
            return watts
        return min(watts, _STEADY_MARGIN * max(self._recent) + _STEADY_WATTS)

    def _count_wraps(self, base: _Point, value: _Point) -> None:
        if value.raw < base.raw:
            self.wraps += 1
        wrap_seconds = self.wrap_seconds
        if wrap_seconds is not None and value.seconds - base.seconds > wrap_seconds:
            self.possible_missed_wraps += 1


def _seconds(base: _Point, value: _Point) -> float:
    seconds = value.seconds - base.seconds + value.slept_seconds - base.slept_seconds
    return max(seconds, _SHORTEST_JUDGED_SECONDS)


def _watts(microjoules: int, base: _Point, value: _Point) -> float:
    return max(microjoules, 0) / _MICROJOULES / _seconds(base, value)
