"""What a run says: which scenario to use, what it saves against the one in use, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from advisor.advice.configuration import Constraints, Option, Recommendation
from advisor.advice.from_results import options_of
from advisor.advice.recommender import TranscodingRecommender
from advisor.common.near import near
from advisor.cost.model import CostModel
from advisor.errors import InputError, NotEnoughDataError
from advisor.results import Run
from wattframe.report.command import reusable_command
from wattframe.report.numbers import number
from wattframe.report.rows import doubts

_CLEAR = 1.645
"""Standard deviations beyond which two energies differ (95 %, one side)."""


VALUES = (
    ("energy", "J per second of video", "energy_joules_per_video_second"),
    ("cost", "{currency} per hour of video", "cost_per_video_hour"),
    ("carbon", "g CO₂e per hour of video", "carbon_grams_per_video_hour"),
    ("bitrate", "kbit/s", "bitrate_kbps"),
    ("speed", "x real time", "encode_speed_ratio"),
    ("VMAF", "0 to 100", "vmaf"),
)
"""What a choice is compared by: name, unit, field of an option."""


class RunChoice(Struct, frozen=True, kw_only=True):
    """The first thing of a page. ``choice`` is None where nothing can be chosen; the sentence says why."""

    sentence: str
    basis: str
    """What the choice rests on: the condition and the probability."""
    doubts: tuple[str, ...] = ()
    """Why not to rely on the chosen scenario's figures."""
    choice: Option | None = None
    reference: Option | None = None
    command: str | None = None
    front: tuple[str, ...] = ()
    """Names of the scenarios that no other clearly beats."""
    others: dict[str, Option] = {}
    """The choice where something else than energy is to be least, by what that is."""
    is_tuned: bool = False
    """Whether `wattframe tune` made the choice."""


class Tuned(Struct, frozen=True, kw_only=True):
    """What `wattframe tune` chose in a run."""

    scenario: str
    baseline: str | None
    basis: str
    min_vmaf: float
    objective: str = "energy"


def choice_of(
    run: Run,
    model: CostModel,
    min_vmaf: float,
    reference: str | None = None,
    tuned: Tuned | None = None,
) -> RunChoice:
    """The scenario of least energy that holds the floor of VMAF, beside ``reference``.

    Without ``reference`` it is compared with ffmpeg's default, libx264 at its preset medium, else with the
    scenario that takes the most energy. Scenarios whose figures are not reliable take part only where all
    of them are so, and the sentence says it. Where ``tuned`` says what a search of this run chose, that is
    the choice.

    Raises
    ------
    InputError
        No scenario is called ``reference``.
    """
    try:
        option_set = options_of([run], model, {})
    except NotEnoughDataError as exc:
        return RunChoice(sentence=f"No choice: {exc}.", basis="")
    options = option_set.options
    names = {option.scenario for option in options}
    if tuned is not None and tuned.scenario in names:
        reference = tuned.baseline if reference is None and tuned.baseline in names else reference
        min_vmaf = tuned.min_vmaf
    else:
        tuned = None
    valid = [option for option in options if not option.validity]
    constraints = Constraints(min_vmaf=min_vmaf)
    recommend = partial(_recommend, valid or options, constraints)
    result = recommend("energy")
    # the table says in words why a scenario is not reliable
    counts = {"not reliable": len(options) - len(valid) if valid else 0, **result.left_out}
    left_out = [f"left out {count}: {why}" for why, count in counts.items() if count]
    objective = "energy" if tuned is None else tuned.objective
    front = tuple(point.scenario for point in result.front)
    named = _named(options, reference) if reference is not None else None
    choice = _chosen(options, result) if tuned is None else _named(options, tuned.scenario)
    if choice is None or (result.choice is None and tuned is None):
        reasons = "; ".join([result.reason, *left_out])
        return RunChoice(sentence=f"No choice: {reasons}.", basis="", front=front)
    against = named or _default(run, options, choice)
    if against is choice:
        against = None
    scenario = next(s for s in run.scenarios if s.name == choice.scenario)
    # beside a choice that is not valid, what else is least is asked of all as well
    recommend = partial(_recommend, options if choice.validity else valid, constraints)
    basis = [f"{result.reason[:1].upper()}{result.reason[1:]} (VMAF at least {number(min_vmaf)})"]
    if tuned is not None:
        basis = [tuned.basis]
    elif result.choice is not None and result.choice.probability_best is not None:
        basis.append(f"the best with a probability of {result.choice.probability_best:.0%}")
    notes = [*option_set.notes, *(text for text, _ in option_set.invalid_repeats), *left_out]
    return RunChoice(
        sentence="Not reliable: " * bool(choice.validity) + _sentence(choice, against, objective),
        basis=f"{'; '.join([', '.join(basis), *notes])}.",
        doubts=tuple(doubts(choice.validity)),
        choice=choice,
        is_tuned=tuned is not None,
        reference=against,
        command=reusable_command(scenario.command) if scenario.command else None,
        front=front,
        others={
            other: option
            for other in ("energy", "cost", "carbon", "bitrate")
            if other != objective and (option := _chosen(options, recommend(other))) is not None
        },
    )


def _recommend(options: Sequence[Option], constraints: Constraints, objective: str) -> Recommendation:
    return TranscodingRecommender(objective, constraints, accept_invalid=True).recommend(options)


def _chosen(options: Sequence[Option], result: Recommendation) -> Option | None:
    return next((o for o in options if result.choice and o.scenario == result.choice.scenario), None)


def _named(options: Sequence[Option], name: str) -> Option:
    option = next((o for o in options if o.scenario == name), None)
    if option is None:
        names = [o.scenario for o in options]
        expected = ", ".join(near(name, names) or names)
        raise InputError(f"expected one of {expected}; found {name!r}", subject="--baseline")
    return option


def _default(run: Run, options: Sequence[Option], choice: Option) -> Option | None:
    """ffmpeg's own default, the one nearest in quality where there are several; else the most energy."""
    others = [o for o in options if o is not choice and o.energy_joules_per_video_second]
    usual = {s.name for s in run.scenarios if s.encoder == "libx264" and s.preset == "medium"}
    defaults = [o for o in others if o.scenario in usual]
    if defaults:
        return min(defaults, key=lambda o: abs((o.vmaf or 0.0) - (choice.vmaf or 0.0)))
    return max(others, key=lambda o: o.energy_joules_per_video_second or 0.0, default=None)


def _sentence(choice: Option, against: Option | None, objective: str) -> str:
    unit, field = next((unit, field) for name, unit, field in VALUES if name == objective)
    ours = getattr(choice, field)
    theirs = None if against is None else getattr(against, field)
    if ours is None:
        return f"{choice.scenario}."
    if against is None or not theirs:
        least = (
            f"is the fastest: {number(ours)}"
            if objective == "speed"
            else f"takes the least {objective}: {number(ours)}"
        )
        return f"{choice.scenario} {least} {unit.format(currency=choice.currency)}."
    ratio = theirs / ours if objective == "speed" else ours / theirs
    quality = _quality(choice.vmaf, against.vmaf)
    what = "time" if objective == "speed" else objective
    doubt = 0.0 if objective == "bitrate" else _CLEAR * math.hypot(choice.noise_ratio, against.noise_ratio)
    percent = f"{100 * abs(1 - ratio):.0f}\u00a0%"
    if abs(math.log(ratio)) < doubt or percent.startswith("0"):
        return f"{choice.scenario} and {against.scenario} take about the same {what}{quality}."
    saved = f"saves {percent} of the {what}" if ratio < 1 else f"takes {percent} more {what}"
    return f"{choice.scenario} instead of {against.scenario} {saved}{quality}."


def _quality(ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None:
        return ""
    if abs(ours - theirs) < 0.05:
        return " at the same VMAF"
    return f" at {abs(ours - theirs):.1f} VMAF {'more' if ours > theirs else 'less'}"
