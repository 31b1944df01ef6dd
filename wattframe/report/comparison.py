"""Two runs side by side: what changed between them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from msgspec import Struct

from advisor.results import Run
from wattframe.report.numbers import number
from wattframe.report.rows import Row, shared

FIELDS = ("joules_per_video_second", "speed", "vmaf", "cost_per_video_hour")
"""Values of a row that are compared, in the order of `Change.values`."""
BeforeAfter = tuple[float | None, float | None]


class Change(Struct, frozen=True, kw_only=True):
    """One scenario that both runs have; ``values`` are those of the first and of the second."""

    name: str
    values: tuple[BeforeAfter, ...]
    remarks: tuple[str, ...]


class Comparison(Struct, frozen=True, kw_only=True):
    """What changed from ``first`` to ``second``."""

    first: str
    second: str
    sentence: str
    conditions: tuple[str, ...]
    """What else differs between the runs: machine, ffmpeg, source of power."""
    changes: tuple[Change, ...]
    shared_remarks: tuple[str, ...]
    """What is said of every scenario, and so said once."""
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare(first: Run, second: Run, before: Sequence[Row], after: Sequence[Row]) -> Comparison:
    """Scenarios of one name beside each other; a name that was repeated counts with the mean."""
    old, new = _by_name(before), _by_name(after)
    changes = tuple(_change(name, old[name], new[name]) for name in old if name in new)
    return Comparison(
        first=first.run_id,
        second=second.run_id,
        sentence=_sentence(changes),
        conditions=tuple(_conditions(first, second, before, after)),
        changes=changes,
        shared_remarks=shared([change.remarks for change in changes]),
        only_first=tuple(name for name in old if name not in new),
        only_second=tuple(name for name in new if name not in old),
    )


def _by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.is_baseline:
            groups.setdefault(row.name, []).append(row)
    return groups


def _change(name: str, before: Sequence[Row], after: Sequence[Row]) -> Change:
    return Change(
        name=name,
        values=tuple((_mean(before, field), _mean(after, field)) for field in FIELDS),
        remarks=tuple(dict.fromkeys(remark for row in (*before, *after) for remark in row.remarks)),
    )


def _mean(rows: Sequence[Row], field: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, field)) is not None]
    return statistics.fmean(values) if values else None


def _sentence(changes: Sequence[Change]) -> str:
    if not changes:
        return "The two runs have no scenario in common."
    count = "one scenario" if len(changes) == 1 else f"{len(changes)} scenarios"
    energies = [change.values[0] for change in changes]
    percents = [100 * (new / old - 1) for old, new in energies if old and new]
    if not percents:
        return f"Both runs have {count}, whose energy is unknown."
    middle = statistics.median(percents)
    direction = "less" if middle < 0 else "more"
    span = f"; from {min(percents):+.0f} % to {max(percents):+.0f} %" if len(percents) > 1 else ""
    return f"The second run takes {abs(middle):.0f}\u00a0% {direction} energy (median of {count}{span})."


def _conditions(first: Run, second: Run, before: Sequence[Row], after: Sequence[Row]) -> Iterator[str]:
    for name, old, new in (
        ("machine", *(run.host.hardware_id if run.host else None for run in (first, second))),
        ("ffmpeg", *(run.tool.ffmpeg_version if run.tool else None for run in (first, second))),
        ("power", *(", ".join(sorted({row.tier for row in rows if row.tier})) for rows in (before, after))),
        ("idle power", *(_idle(rows) for rows in (before, after))),
    ):
        if old != new:
            yield f"{name}: {old or 'unknown'} → {new or 'unknown'}"


def _idle(rows: Sequence[Row]) -> str | None:
    watts = next((row.watts for row in rows if row.is_baseline), None)
    return None if watts is None else f"{number(watts)} W"
