"""The advisor's answer for one run, as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from advisor.cost.model import CostModel
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
    from advisor.advice.from_results import options_of
    from advisor.advice.recommender import Constraints, TranscodingRecommender

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
    """One block a choice, with the objectives that it serves; None without advice."""
    if not advice:
        return None
    by_choice: dict[str | None, list[Advice]] = {}
    for one in advice:
        by_choice.setdefault(one.scenario, []).append(one)
    return el(
        "section",
        el("h3", "The advisor's answer"),
        el("p", f"Among this run's scenarios with {advice[0].constraint}.", class_="soft"),
        el("div", *(_choice(name, served) for name, served in by_choice.items()), class_="picks"),
        class_="advice",
    )


def _choice(name: str | None, served: Sequence[Advice]) -> Markup:
    first = served[0]
    amounts = [f"{number(value)} {unit}" for value, unit in first.values if value is not None]
    return el(
        "div",
        el("p", f"least {_listed([a.objective for a in served])}", class_="soft"),
        el("p", name or "no choice", " ", el("small", first.basis) if first.basis else None, class_="pick"),
        el("ul", *(el("li", amount) for amount in amounts)) if amounts else None,
        *(el("p", text, class_="soft") for text in dict.fromkeys(_why(a) for a in served)),
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _why(advice: Advice) -> str:
    sure = advice.probability_best
    best = "" if sure is None else f"; best with a probability of {sure:.0%}"
    return f"{advice.reason[:1].upper()}{advice.reason[1:]}{best}."
