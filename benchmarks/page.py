"""docs/benchmarks.md from the figures that were kept: the tables between its marks, and its plots."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Figure, shown
from benchmarks.plots import PLOTS, draw
from benchmarks.record import ROOT, Record

__all__ = ["refresh", "section", "table"]

PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
_MODULES = {"runner_matrix": "runner_overhead", "live_transports": "live"}
"""Benchmarks that are another one's module with other arguments."""


def refresh(records: Mapping[str, Record], order: Sequence[str]) -> None:
    """Fill every mark ``<!-- figures NAME -->`` of the page, and draw the plots."""
    text = PAGE.read_text()
    for name in order:
        found = section(records[name]) if name in records else missing(name)
        text = _filled(text, f"figures {name}", found)
    PAGE.write_text(_filled(text, "goals", goals(records, order)))
    for plot in PLOTS:
        if plot.benchmark in records:
            _write(IMAGES / f"{plot.name}.svg", draw(plot, records[plot.benchmark].figures))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")


def _filled(page: str, mark: str, text: str) -> str:
    """The page with ``text`` between ``<!-- mark -->`` and ``<!-- end -->``."""
    pattern = re.compile(rf"(<!-- {re.escape(mark)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"docs/benchmarks.md: expected the mark <!-- {mark} -->")
    return pattern.sub(lambda found: f"{found[1]}{text}{found[2]}", page)


def missing(name: str) -> str:
    """In place of figures that nobody has taken yet."""
    return f"Not recorded yet: `scripts/bench {name} --full --record`.\n"


def section(record: Record) -> str:
    """When and where, and the table."""
    machine = record.machine
    module = _MODULES.get(record.benchmark, record.benchmark)
    command = f"python -m benchmarks.{module} {record.arguments}".strip()
    where = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, Linux {machine.kernel}"
    peers = ", ".join(f"{name} {version}" for name, version in machine.peers.items())
    return (
        f"`{command}`, {record.date}, {record.seconds:.0f} s, load {record.load_before:g} before and"
        f" {record.load_after:g} after.\n{where}, Python {machine.python}, Wattframe {machine.wattframe},"
        f" {peers}.\n\n{table(record.figures)}"
    )


def table(figures: Sequence[Figure]) -> str:
    """One row a value; every peer of it in that row."""
    rows: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        rows.setdefault((figure.what, figure.input, figure.unit), []).append(figure)
    lines = ["| what | input | value | beside it (ratio) | goal |", "|---|---|---|---|---|"]
    for (what, size, unit), same in rows.items():
        beside = "; ".join(_beside(figure) for figure in same if figure.peer)
        judged = ", ".join(goal_text(figure) for figure in same if figure.goal is not None)
        lines.append(f"| {what} | {size} | {shown(same[0].value, unit)} | {beside} | {judged} |")
    return "\n".join(lines) + "\n"


def _beside(figure: Figure) -> str:
    return f"{figure.peer} {shown(figure.peer_value, figure.unit)} ({shown(figure.ratio) or '-'})"


def goal_text(figure: Figure) -> str:
    """The goal and whether it was met."""
    bound = "at least" if figure.at_least else "at most"
    limit = f"{figure.goal:g} of {figure.peer}" if figure.peer else shown(figure.goal, figure.unit)
    return f"{bound} {limit}: {'met' if figure.met else '**missed**'}"


def goals(records: Mapping[str, Record], order: Sequence[str]) -> str:
    """Every figure that has a goal."""
    lines = ["| benchmark | what | input | value | ratio | goal |", "|---|---|---|---|---|---|"]
    for name in order:
        for f in records[name].figures if name in records else ():
            if f.goal is not None:
                value, ratio = shown(f.value, f.unit), shown(f.ratio)
                lines.append(f"| {name} | {f.what} | {f.input} | {value} | {ratio} | {goal_text(f)} |")
    return "\n".join(lines) + "\n"
