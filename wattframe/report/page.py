"""The page around the charts."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from importlib import resources

from msgspec import Struct

from advisor.cost.model import CostModel
from advisor.results import Run
from wattframe.report.advice import Advice, advice_section
from wattframe.report.bars import Bar, stacked_bars
from wattframe.report.markup import Markup, el, join
from wattframe.report.money import explanation
from wattframe.report.numbers import UNKNOWN, number
from wattframe.report.power import power_over_time
from wattframe.report.quality import quality_against_energy
from wattframe.report.rows import Row, rows_of
from wattframe.report.table import summary

__all__ = ["RunView", "page"]


class RunView(Struct, frozen=True, kw_only=True):
    """One run with what the other rooms said of it."""

    run: Run
    model: CostModel | None = None
    """What prices the run; None leaves money and carbon out."""
    advice: tuple[Advice, ...] = ()
    """The first one is ringed in the chart and marked in the table."""
    notes: tuple[str, ...] = ()


def page(views: Sequence[RunView], made: datetime.datetime, version: str) -> str:
    """The whole document; it loads nothing and runs no script."""
    title = f"Wattframe: {views[0].run.run_id}" if len(views) == 1 else f"Wattframe: {len(views)} runs"
    css = resources.files(__package__).joinpath("page.css").read_text()
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # a page that is mailed around must not load anything, whatever ends up in it
        el(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'",
        ),
        el("title", title),
        el("style", Markup(css)),
    )
    body = el(
        "body",
        el("header", el("h1", "What a transcoded frame costs"), _contents(views)),
        el("main", *(_run_section(view, f"run{i}") for i, view in enumerate(views, 1))),
        _terms(),
        el("footer", f"Made {made:%Y-%m-%d %H:%M %Z} by Wattframe {version}."),
    )
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def _contents(views: Sequence[RunView]) -> Markup | None:
    if len(views) < 2:
        return None
    links = [el("a", view.run.run_id, href=f"#run{i}") for i, view in enumerate(views, 1)]
    return el("nav", el("ul", *(el("li", link) for link in links)))


def _run_section(view: RunView, identity: str) -> Markup:
    rows = rows_of(view.run, view.model)
    chosen = next((a.scenario for a in view.advice), None)
    currency = next((row.bill.currency for row in rows if row.bill), None)
    return el(
        "section",
        el("h2", f"Run {view.run.run_id}"),
        _facts(view.run, rows),
        _cards(rows),
        advice_section(view.advice),
        summary(rows, currency, chosen),
        quality_against_energy(rows, f"{identity}-quality", chosen),
        power_over_time(rows, f"{identity}-power"),
        _cost_split(rows, identity),
        _remarks(rows, view),
        id=identity,
    )


def _facts(run: Run, rows: Sequence[Row]) -> Markup:
    host, tool = run.host, run.tool
    start = run.start_time
    facts = [
        datetime.datetime.fromtimestamp(start, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        if start
        else None,
        host.cpu_model if host else None,
        f"{host.threads} threads" if host and host.threads else None,
        "virtual machine" if host and host.virtual else None,
        f"ffmpeg {tool.ffmpeg_version}" if tool and tool.ffmpeg_version else None,
        next((row.scenario.input.name for row in rows if row.scenario.input), None),
    ]
    spans = [el("span", fact) for fact in facts if fact]
    return el("p", *spans, " ", _tier(rows), class_="facts")


def _tier(rows: Sequence[Row]) -> Markup | None:
    """Whether watts were measured or modelled: the first thing a reader must know of them."""
    tiers = sorted({row.tier for row in rows if row.tier})
    if not tiers:
        return el("span", "power unknown", class_="badge modelled")
    text = {
        "measured": "power measured",
        "modelled": "power modelled from CPU utilisation",
    }
    label = ", ".join(text.get(tier, tier) for tier in tiers)
    widths = [r.scenario.power.uncertainty_ratio for r in rows if r.scenario.power]
    widest = max((w for w in widths if w is not None), default=None)
    if widest is not None and "modelled" in tiers:
        label += f", ±{widest * 100:.0f} %"
    return el("span", label, class_="badge modelled" if "modelled" in tiers else "badge")


def _cards(rows: Sequence[Row]) -> Markup | None:
    cards = list(_card_contents([row for row in rows if not row.is_baseline], rows))
    return el("dl", *cards, class_="cards") if cards else None


def _card_contents(real: Sequence[Row], rows: Sequence[Row]) -> Iterator[Markup]:
    yield _card("scenarios", str(len(real)), "", _failed(real))
    idle = next((row for row in rows if row.is_baseline and row.watts is not None), None)
    if idle is not None:
        yield _card("idle power", number(idle.watts), "W", "subtracted for net figures")
    frugal = min(
        (r for r in real if r.joules_per_video_second is not None),
        key=lambda r: r.joules_per_video_second or 0.0,
        default=None,
    )
    if frugal is not None:
        joules = number(frugal.joules_per_video_second)
        yield _card("least energy", joules, "J", f"a second of video: {frugal.name}")
    best = max((r for r in real if r.vmaf is not None), key=lambda r: r.vmaf or 0.0, default=None)
    if best is not None:
        yield _card("best quality", number(best.vmaf), "VMAF", best.name)
    cheap = min(
        ((r.bill.total, r) for r in real if r.bill and r.bill.total is not None),
        key=lambda pair: pair[0],
        default=None,
    )
    if cheap is not None and cheap[1].bill:
        cost, row = cheap
        yield _card("cheapest", number(cost), cheap[1].bill.currency, f"an hour of video: {row.name}")


def _failed(real: Sequence[Row]) -> str:
    failed = sum(row.scenario.status != "ok" for row in real)
    return f"{failed} did not finish" if failed else "all finished"


def _card(name: str, value: str, unit: str, detail: str) -> Markup:
    return el(
        "div",
        el("dt", name),
        el("dd", value, " ", el("small", unit) if unit else None),
        el("p", detail),
        class_="card",
    )


def _cost_split(rows: Sequence[Row], identity: str) -> Markup | None:
    bars = []
    for row in rows:
        bill = row.bill
        if bill is None or bill.energy is None or bill.compute is None:
            continue
        parts = {"energy": bill.energy, "compute": bill.compute}
        what = ", ".join(f"{name} {number(amount)}" for name, amount in parts.items())
        bars.append(Bar(str(row.number), tuple(parts.values()), f"{row.name}: {what} {bill.currency}"))
    first = next((row.bill for row in rows if row.bill and row.bill.total is not None), None)
    if first is None:
        return None
    return stacked_bars(
        f"{identity}-cost",
        "Cost of an hour of video",
        explanation(first),
        f"{first.currency} an hour of video",
        ("energy", "compute"),
        bars,
    )


def _remarks(rows: Sequence[Row], view: RunView) -> Markup | None:
    lines = [f"{row.name}: {remark}" for row in rows for remark in row.remarks]
    lines += [f"left out: {refused.reason}" for refused in view.run.refused]
    lines += view.notes
    if not lines:
        return None
    return join(
        [el("h3", "Remarks"), el("ul", *(el("li", line) for line in dict.fromkeys(lines)), class_="remarks")]
    )


_TERMS = {
    "power": (
        "Mean of the host over the scenario's window: CPU packages plus memory, each once, idle included. "
        "Measured comes from energy counters; modelled comes from CPU utilisation."
    ),
    "energy": "Power over the window. Net is what remains above the idle run.",
    "second of video": "One second of what was delivered; the rungs of a ladder are the same second once.",
    "VMAF, PSNR": (
        "Against the source, with the output scaled up to it where it is smaller. VMAF is the mean over "
        "frames; PSNR is that of the mean squared error."
    ),
    "cost": "Electricity plus processor time, at the rates under the chart, per hour of video delivered.",
    "carbon": "Emissions of the electricity used, at the grid's intensity named under the chart.",
    UNKNOWN: "Unknown; never zero.",
}


def _terms() -> Markup:
    entries = [x for name, text in _TERMS.items() for x in (el("dt", name), el("dd", text))]
    return el("section", el("h2", "What the figures mean"), el("dl", *entries, class_="terms"))
