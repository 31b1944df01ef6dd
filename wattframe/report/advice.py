"""The advisor's answer as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from wattframe.report.markup import Markup, el
from wattframe.report.numbers import number

__all__ = ["Advice", "advice_section"]


class Advice(Struct, frozen=True, kw_only=True):
    """The choice for one objective, or why there is none."""

    objective: str
    constraint: str
    run_id: str | None
    scenario: str | None
    basis: str | None
    """``measured`` or ``predicted``."""
    value: float | None
    unit: str
    probability_best: float | None
    reason: str


def advice_section(advice: Sequence[Advice]) -> Markup | None:
    """One line an objective; None without advice."""
    if not advice:
        return None
    head = [
        el("th", text, scope="col", class_="text") for text in ("for the least", "choose", "value", "why")
    ]
    lines = [
        el(
            "tr",
            el("th", a.objective, el("small", a.constraint), scope="row"),
            el("td", a.scenario or "nothing", el("small", a.basis) if a.basis else None, class_="text"),
            el("td", number(a.value), el("small", a.unit), class_="text"),
            el("td", _confidence(a), class_="text why"),
        )
        for a in advice
    ]
    return el(
        "div",
        el("h3", "The advisor's answer"),
        el("table", el("thead", el("tr", *head)), el("tbody", *lines)),
        class_="advice scroll",
    )


def _confidence(advice: Advice) -> str:
    if advice.probability_best is None:
        return advice.reason
    return f"best with a probability of {advice.probability_best:.0%}; {advice.reason}"
