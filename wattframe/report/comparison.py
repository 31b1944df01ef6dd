"""Two runs side by side: what changed between them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from msgspec import Struct

from advisor.results import Run
from wattframe.report.numbers import change, number
from wattframe.report.rows import Row

__all__ = ["Change", "Comparison", "compare"]


class Change(Struct, frozen=True, kw_only=True):
    """One scenario that both runs have: values of the first and the second, and the change, as shown."""

    name: str
    energy: tuple[str, str, str]
    speed: tuple[str, str, str]
    vmaf: tuple[str, str, str]
    cost: tuple[str, str, str]
    remarks: tuple[str, ...]


class Comparison(Struct, frozen=True, kw_only=True):
    """What changed from ``first`` to ``second``."""

    first: str
    second: str
    sentence: str
    conditions: tuple[str, ...]
    """What else differs between the runs: machine, ffmpeg, source of power."""
    changes: tuple[Change, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare(first: Run, second: Run, before: Sequence[Row], after: Sequence[Row]) -> Comparison:
    """Scenarios of one name beside each other; a name that was repeated counts with the mean."""
    groups = [_by_name(rows) for rows in (before, after)]
    shared = [name for name in groups[0] if name in groups[1]]
    return Comparison(
        first=first.run_id,
        second=second.run_id,
        sentence=_sentence([(groups[0][name], groups[1][name]) for name in shared]),
        conditions=tuple(_conditions(first, second, before, after)),
        changes=tuple(_change(name, groups[0][name], groups[1][name]) for name in shared),
        only_first=tuple(name for name in groups[0] if name not in groups[1]),
        only_second=tuple(name for name in groups[1] if name not in groups[0]),
    )


def _by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.is_baseline:
            groups.setdefault(row.name, []).append(row)
    return groups


def _mean(rows: Sequence[Row], field: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, field)) is not None]
    return statistics.fmean(values) if values else None


def _change(name: str, before: Sequence[Row], after: Sequence[Row]) -> Change:
    def both(field: str) -> tuple[str, str, str]:
        ours, theirs = _mean(before, field), _mean(after, field)
        if field == "vmaf" and ours is not None and theirs is not None:
            return number(ours), number(theirs), f"{theirs - ours:+.1f}"
        return number(ours), number(theirs), change(ours, theirs)

    remarks = [remark for rows in (before, after) for row in rows for remark in row.remarks]
    return Change(
        name=name,
        energy=both("joules_per_video_second"),
        speed=both("speed"),
        vmaf=both("vmaf"),
        cost=both("cost_per_video_hour"),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _sentence(pairs: Sequence[tuple[list[Row], list[Row]]]) -> str:
    if not pairs:
        return "The two runs have no scenario in common."
    ratios = []
    for before, after in pairs:
        ours, theirs = _mean(before, "joules_per_video_second"), _mean(after, "joules_per_video_second")
        if ours and theirs:
            ratios.append(theirs / ours)
    count = f"{len(pairs)} scenario{'s' * (len(pairs) > 1)}"
    if not ratios:
        return f"Both runs have {count}; their energy is not known."
    middle = 100 * (statistics.median(ratios) - 1)
    span = f"from {100 * (min(ratios) - 1):+.0f} % to {100 * (max(ratios) - 1):+.0f} %"
    direction = "less" if middle < 0 else "more"
    return f"{count} of both runs take {abs(middle):.0f} % {direction} energy (median; {span})."


def _conditions(first: Run, second: Run, before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    facts = [
        ("machine", *(run.host.hardware_id if run.host else None for run in (first, second))),
        ("ffmpeg", *(run.tool.ffmpeg_version if run.tool else None for run in (first, second))),
        ("power", *(", ".join(sorted({row.tier for row in rows if row.tier})) for rows in (before, after))),
        ("idle power", *(_idle(rows) for rows in (before, after))),
    ]
    return [f"{name}: {a or 'unknown'} → {b or 'unknown'}" for name, a, b in facts if a != b]


def _idle(rows: Sequence[Row]) -> str | None:
    watts = next((row.watts for row in rows if row.is_baseline), None)
    return None if watts is None else f"{number(watts)} W"
