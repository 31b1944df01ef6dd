"""The advisor's answer for one run, as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from advisor.cost import CostModel
from advisor.results import Run
from wattframe.report.markup import Markup, el
from wattframe.report.numbers import number

__all__ = ["Advice", "advice_of", "advice_section"]

_SHOWN = {
    "energy": ("energy_joules_per_video_second", "J a second of video"),
    "cost": ("cost_per_video_hour", "{currency} an hour of video"),
    "carbon": ("carbon_grams_per_video_hour", "g CO2e an hour of video"),
    "bitrate": ("bitrate_kbps", "kbit/s"),
}


class Advice(Struct, frozen=True, kw_only=True):
    """The choice for one objective, or why there is none."""

    objective: str
    constraint: str
    scenario: str | None
    basis: str | None
    """``measured``, ``modelled`` or ``predicted``."""
    values: tuple[tuple[float | None, str], ...]
    """What the choice takes by every measure, with units."""
    probability_best: float | None
    reason: str


def advice_of(run: Run, model: CostModel, min_vmaf: float) -> tuple[Advice, ...]:
    """The choice for each objective among the scenarios of ``run`` with at least this VMAF."""
    # numpy comes with them: a page without advice needs none of it
    from advisor.recommender import Constraints, TranscodingRecommender
    from wattframe.choices import options_of

    options = options_of([run], model, {}).options
    currency = next((o.currency for o in options if o.currency), "")
    found = []
    for objective, (field, _) in _SHOWN.items():
        if all(getattr(option, field) is None for option in options):
            continue
        answer = TranscodingRecommender(objective, Constraints(min_vmaf=min_vmaf)).recommend(options)
        pick = answer.choice
        chosen = next((o for o in options if pick and o.scenario == pick.scenario), None)
        found.append(
            Advice(
                objective=objective,
                constraint=f"VMAF at least {number(min_vmaf)}",
                scenario=chosen.scenario if chosen else None,
                basis=(chosen.tier if chosen.basis == "measured" else chosen.basis) if chosen else None,
                values=tuple(
                    (getattr(chosen, name, None), unit.format(currency=currency))
                    for name, unit in _SHOWN.values()
                ),
                probability_best=pick.probability_best if pick else None,
                reason=answer.reason,
            )
        )
    return tuple(found)


def advice_section(advice: Sequence[Advice]) -> Markup | None:
    """One line an objective; None without advice."""
    if not advice:
        return None
    titles = ("for the least", "choose", "it takes", "why")
    head = [el("th", text, scope="col", class_="text") for text in titles]
    lines = [
        el(
            "tr",
            el("th", a.objective, el("small", a.constraint), scope="row"),
            el("td", a.scenario or "nothing", el("small", a.basis) if a.basis else None, class_="text"),
            el("td", *(_amount(value, unit) for value, unit in a.values), class_="text"),
            el("td", _why(a), class_="text why"),
        )
        for a in advice
    ]
    return el(
        "div",
        el("h3", "The advisor's answer"),
        el("table", el("thead", el("tr", *head)), el("tbody", *lines)),
        class_="advice scroll",
        tabindex=0,
        role="region",
        aria_label="The advisor's answer",
    )


def _amount(value: float | None, unit: str) -> Markup | None:
    return None if value is None else el("span", f"{number(value)} {unit}", class_="amount")


def _why(advice: Advice) -> str:
    if advice.probability_best is None:
        return advice.reason
    return f"Best with a probability of {advice.probability_best:.0%}. {advice.reason}"
