"""What every benchmark has to say, in one shape: a value, beside it the peer's of the same run, and a goal.

A benchmark measures, makes a list of `Figure` and gives it to `report`. With ``--json`` that is one document
on stdout, which ``scripts/bench`` collects; without it, a table.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

__all__ = ["Figure", "cpu_seconds", "quantile", "report", "resident_mib", "shown", "sizes"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Figure(Struct, frozen=True, omit_defaults=True):
    """One measured value.

    ``goal`` is the most that the ratio to the peer may be, or without a peer the value itself; with
    ``at_least`` it is the least. ``size`` is how much was put in (``of`` says what is counted): figures that
    differ in nothing else are drawn over it.
    """

    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    goal: float | None = None
    at_least: bool = False
    size: float | None = None
    of: str = ""

    @property
    def input(self) -> str:
        """How much was put in, as text."""
        if self.size is None:
            return ""
        return f"{self.size:g} {self.of.removesuffix('s') if self.size == 1 else self.of}"

    @property
    def ratio(self) -> float | None:
        """Value over the peer's value."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal."""
        if self.goal is None:
            return None
        judged = self.ratio if self.peer else self.value
        if judged is None:
            return False
        return judged >= self.goal if self.at_least else judged <= self.goal


def shown(number: float | None, unit: str = "") -> str:
    """Three digits that count, and the unit.

    >>> shown(0.012345, "ms"), shown(1234.5), shown(None)
    ('0.0123 ms', '1230', '')
    """
    if number is None:
        return ""
    text = f"{number:.3g}"
    return f"{float(text):.0f} {unit}".strip() if "e+" in text else f"{text} {unit}".strip()


def report(figures: Sequence[Figure], *, as_json: bool) -> int:
    """Print all of it; the exit code of a benchmark that measured, whatever it found."""
    if as_json:
        print(msgspec.json.encode({"figures": figures}).decode())
        return 0
    for figure in figures:
        where = figure.input
        beside = f"{shown(figure.peer_value, figure.unit):>12} {figure.peer}" if figure.peer else ""
        ratio = f"ratio {shown(figure.ratio)}" if figure.ratio is not None else ""
        print(
            f"{figure.what:34} {where:18} {shown(figure.value, figure.unit):>12} {beside:34} {ratio:12}",
            end="",
        )
        print("" if figure.goal is None else f" goal {figure.goal:g} {'met' if figure.met else 'MISSED'}")
    return 0


def quantile(values: Sequence[float], q: float) -> float:
    """The value that a share ``q`` of the others stays below or at."""
    return (
        statistics.median(values) if q == 0.5 else sorted(values)[min(int(len(values) * q), len(values) - 1)]
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, of threads that ended too, by the kernel's own clock of it.

    The number of that clock is what ``clock_getcpuclockid(3)`` makes of a process id.
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def sizes(text: str) -> list[int]:
    """Numbers with commas, for an option."""
    return [int(part) for part in text.split(",")]
