"""A register that wraps, fails and lies, turned into joules that only grow.

Pure: raw values and times in, state out. The register is anything that counts microjoules modulo a range.
"""

from __future__ import annotations

from collections import Counter

__all__ = ["EnergyCounter"]

_MICROJOULES = 1_000_000
# registers are refreshed about every millisecond and tests step by hand: below a second the limit would
# judge the step's timing and not its energy
_SHORTEST_JUDGED_SECONDS = 1.0


class EnergyCounter:
    """Joules so far, from 0, of one register.

    The first value only sets the base. A value below the last one is a wrap when the range explains it with
    a power the part can draw; whatever nothing explains is rejected, counted by cause, and the base stays
    (so a glitch costs nothing). When the next value continues from the rejected one, the register was set
    back: counting goes on from there and only the energy around the set-back is lost.

    Parameters
    ----------
    range_microjoules
        Where the register wraps, in microjoules; None when unknown (then nothing is taken for a wrap).
    max_watts
        What the part cannot exceed on average over a second, in watts, margin included.
    """

    def __init__(self, range_microjoules: int | None, max_watts: float) -> None:
        self.range_microjoules = range_microjoules
        self.max_watts = max_watts
        self.microjoules = 0
        self.wraps = 0
        self.possible_missed_wraps = 0
        self.rejected: Counter[str] = Counter()
        self.last_good_seconds: float | None = None
        self._base: tuple[int, float] | None = None
        self._suspect: tuple[int, float] | None = None

    @property
    def joules(self) -> float:
        """Joules since the first value; never decreases."""
        return self.microjoules / _MICROJOULES

    @property
    def wrap_seconds(self) -> float | None:
        """The shortest time in which the register can come round, None when it has no known range."""
        if self.range_microjoules is None:
            return None
        return self.range_microjoules / _MICROJOULES / self.max_watts

    def forget_base(self) -> None:
        """Another register serves this zone from now on: its next value is a base again."""
        self._base = self._suspect = None

    def observe(self, raw_microjoules: int, now_seconds: float) -> bool:
        """Take one value read at ``now_seconds`` (monotonic); returns whether it was believed."""
        if self.range_microjoules is not None and raw_microjoules > self.range_microjoules:
            self.rejected["out_of_range"] += 1
            return False
        value = (raw_microjoules, now_seconds)
        if self._base is None:
            return self._accept(value)
        step = self._step(self._base, value)
        if step is None and self._suspect is not None:
            step = self._step(self._suspect, value)
            if step is not None:
                self._base = self._suspect
        if step is None:
            self._reject(value)
            return False
        self._count_wraps(self._base, value)
        self.microjoules += step
        return self._accept(value)

    def _accept(self, value: tuple[int, float]) -> bool:
        self._base, self._suspect = value, None
        self.last_good_seconds = value[1]
        return True

    def _step(self, base: tuple[int, float], value: tuple[int, float]) -> int | None:
        """Microjoules from ``base`` to ``value``, None when no power the part can draw explains them."""
        step = value[0] - base[0]
        if step < 0 and self.range_microjoules is not None:
            step += self.range_microjoules
        seconds = max(value[1] - base[1], _SHORTEST_JUDGED_SECONDS)
        possible = 0 <= step <= self.max_watts * seconds * _MICROJOULES
        return step if possible else None

    def _reject(self, value: tuple[int, float]) -> None:
        assert self._base is not None  # noqa: S101 - for the type checker; observe() has set it
        self.rejected["backwards" if value[0] < self._base[0] else "too_fast"] += 1
        self._suspect = value

    def _count_wraps(self, base: tuple[int, float], value: tuple[int, float]) -> None:
        if value[0] < base[0]:
            self.wraps += 1
        wrap_seconds = self.wrap_seconds
        if wrap_seconds is not None and value[1] - base[1] > wrap_seconds:
            self.possible_missed_wraps += 1
