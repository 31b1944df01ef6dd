"""The summary table of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from wattframe.report.markup import Markup, el
from wattframe.report.numbers import number
from wattframe.report.rows import Row

__all__ = ["summary"]


class _Column(Struct, frozen=True):
    title: str
    unit: str
    cell: Callable[[Row], str | Markup]


def _columns(currency: str | None) -> list[_Column]:
    columns = [
        _Column("bitrate", "kbit/s", lambda r: _two(r.reached_kbps, _asked(r))),
        _Column("speed", "\u00d7 real time", lambda r: number(r.speed)),
        _Column("power", "W mean", lambda r: number(r.watts)),
        _Column("energy", "J in all", lambda r: _two(r.joules, _net(r))),
        _Column("energy", "J a second of video", lambda r: number(r.joules_per_video_second)),
        _Column("VMAF", "0 to 100", lambda r: number(r.vmaf)),
        _Column("PSNR", "dB", lambda r: number(r.psnr)),
    ]
    if currency is not None:
        columns += [
            _Column(
                "cost",
                f"{currency} an hour of video",
                lambda r: number(r.bill.total if r.bill else None),
            ),
            _Column(
                "carbon",
                "g CO₂e an hour of video",
                lambda r: number(r.bill.carbon_grams if r.bill else None),
            ),
        ]
    return columns


def summary(rows: Sequence[Row], currency: str | None, chosen: str | None) -> Markup:
    """One line a scenario; it scrolls sideways on a phone, with the names staying in place."""
    columns = _columns(currency)
    head = el(
        "tr",
        el("th", "scenario", scope="col", class_="text"),
        *(el("th", c.title, el("small", c.unit), scope="col") for c in columns),
    )
    body = [
        el(
            "tr",
            _name(row),
            *(el("td", c.cell(row)) for c in columns),
            class_="chosen" if row.name == chosen else None,
        )
        for row in rows
    ]
    return el(
        "div",
        el("table", el("thead", head), el("tbody", *body)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="Summary of the scenarios",
    )


def _name(row: Row) -> Markup:
    detail = ", ".join(part for part in (row.encoder, row.setting, row.size) if part and part != "idle")
    mark = None if row.is_baseline else el("span", str(row.number), class_="n")
    warning = el("span", " ⚠", title="; ".join(row.remarks), class_="warn") if row.remarks else None
    return el("th", mark, row.name, warning, el("small", detail), scope="row")


def _two(value: float | None, below: str | None) -> Markup:
    return el("span", number(value), el("small", below) if below else None)


def _asked(row: Row) -> str | None:
    return f"asked {number(sum(row.target_kbps))}" if row.target_kbps else None


def _net(row: Row) -> str | None:
    return f"net {number(row.net_joules)}" if row.net_joules is not None else None
