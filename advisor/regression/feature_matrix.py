"""From cases to the rows of a matrix, learned from training cases and the same in every process.

It is plain data and a few lines of numpy, so a model file keeps it as JSON. What training never had is named
(`FeatureMatrix.unknowns`), not hashed into a column.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.regression.features import NUMERIC, Case

Floats = NDArray[np.float64]
_FEWEST_CONTENTS = 5
LENGTH = "log_video_seconds"
_SLACK = 0.05
"""How far outside, as a share of the range, a value is still called measured."""
_ANOTHER_LENGTH = math.log(2)
"""Where training had one length only, one of half or twice it is another; targets are per second of video."""


class FeatureMatrix(Struct, frozen=True, kw_only=True):
    """Columns: the numbers that varied, indicators of missing ones, machines and encoders.

    A value outside the range of training is clipped to it; a column that never varied there is left out.
    """

    numeric: tuple[str, ...]
    """Columns that varied."""
    fill: dict[str, float]
    """The median, used where a value is missing."""
    low: dict[str, float]
    high: dict[str, float]
    constant: dict[str, float]
    """Columns that never varied, and their value."""
    with_missing: tuple[str, ...]
    """Columns that were missing in some training cases; each has an indicator column."""
    hardware: tuple[str, ...]
    encoders: tuple[str, ...]

    @classmethod
    def learn(cls, cases: Sequence[Case], without: Collection[str] = ()) -> FeatureMatrix:
        """From training cases; features ``without`` which it does as if no case had them.

        Content features count where at least half of the cases have them, with five values or more: with
        fewer they would only be another name for the video.
        """
        content = {name for c in cases for name in c.numbers if name.startswith("content_")}
        names = [name for name in (*NUMERIC, *sorted(content)) if name not in without]
        columns = {n: [c.numbers[n] for c in cases if n in c.numbers] for n in names}
        columns = {
            n: v
            for n, v in columns.items()
            if v and (n in NUMERIC or (2 * len(v) >= len(cases) and len(set(v)) >= _FEWEST_CONTENTS))
        }
        varied = [n for n, v in columns.items() if max(v) - min(v) > 1e-9]
        return cls(
            numeric=tuple(varied),
            fill={n: float(np.median(columns[n])) for n in varied},
            low={n: min(columns[n]) for n in varied},
            high={n: max(columns[n]) for n in varied},
            constant={n: v[0] for n, v in columns.items() if n not in varied},
            with_missing=tuple(n for n in varied if len(columns[n]) < len(cases)),
            hardware=tuple(sorted({c.hardware for c in cases})),
            encoders=tuple(sorted({c.encoder for c in cases})),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order. Of two categories one column tells both; the first has none."""
        names = (
            *self.numeric,
            *(f"no_{name}" for name in self._indicators),
            *(f"hardware={name}" for name in self.hardware[1:]),
            *(f"encoder={name}" for name in self.encoders[1:]),
        )
        return names or ("nothing_varied",)

    @property
    def _indicators(self) -> tuple[str, ...]:
        # whether there is a bitrate or a quality is said by constant_quality already
        implied = {"quality_level", "log_bitrate_kbps", "log_bits_per_pixel"}
        return tuple(
            n for n in self.with_missing if n not in implied or "constant_quality" not in self.numeric
        )

    def rows(self, cases: Sequence[Case], *, hardware: str | None = None) -> Floats:
        """Shape (cases, columns); ``hardware`` puts all cases on one known machine."""
        names = self.numeric
        values = np.array([[c.numbers.get(n, math.nan) for n in names] for c in cases], dtype=float)
        values = values.reshape(len(cases), len(names))
        missing = np.isnan(values)[:, [names.index(n) for n in self._indicators]]
        values = np.clip(values, [self.low[n] for n in names], [self.high[n] for n in names])
        values = np.where(np.isnan(values), [self.fill[n] for n in names], values)
        machines = np.array([[(hardware or c.hardware) == h for h in self.hardware[1:]] for c in cases])
        encoders = np.array([[c.encoder == e for e in self.encoders[1:]] for c in cases])
        parts = (values, missing, *(p.reshape(len(cases), -1) for p in (machines, encoders) if p.size))
        rows = np.hstack(parts).astype(float)
        return rows if rows.shape[1] else np.zeros((len(cases), 1))

    def beyond(self, c: Case, *, new_machine: bool) -> float | None:
        """How far the case lies outside of training: in ranges of each column, as root of squares.

        A missing value may be anywhere in its range: half of it. None where a column changes that never
        varied: nothing tells what it does. Length is left out, as targets are per second, and on a new
        machine the threads, which are a part of what calibration tells.
        """
        ignored = {LENGTH, *(("log_threads",) if new_machine else ())}
        if any(abs(c.numbers.get(n, v) - v) > 1e-9 for n, v in self.constant.items() if n not in ignored):
            return None
        return math.hypot(*(self._outside(c, n) for n in self.numeric if n not in ignored))

    def _outside(self, c: Case, name: str) -> float:
        value = c.numbers.get(name)
        if value is None:
            return 0.0 if name in self.with_missing else 0.5
        low, high = self.low[name], self.high[name]
        return max(low - value, value - high, 0.0) / (high - low)

    def unknowns(self, c: Case) -> list[str]:
        """What this case has that training did not have, in words."""
        notes = []
        for name in self.numeric:
            if name not in c.numbers and name not in self.with_missing:
                notes.append(f"{_words(name)} unknown")
            elif self._outside(c, name) > _SLACK and name in c.numbers:
                notes.append(f"{_words(name)} outside the training range")
        for name, value in self.constant.items():
            change = abs(c.numbers.get(name, value) - value)
            if name == LENGTH:
                if change > _ANOTHER_LENGTH:
                    notes.append(f"{_words(name)} outside the training range")
            elif change > 1e-9:
                notes.append(f"{_words(name)} never varied in training: its effect is unknown")
        return notes


def _words(name: str) -> str:
    return name.removeprefix("log_").replace("_", " ")
