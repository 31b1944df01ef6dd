"""What a run says: which scenario to use, what it saves against the one in use, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from advisor.advice.configuration import Constraints, FrontPoint, Option
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
    """Why not to rely on the chosen scenario's figures, or on those that it is compared with."""
    choice: Option | None = None
    reference: Option | None = None
    command: str | None = None
    front: tuple[FrontPoint, ...] = ()
    """Of energy and VMAF."""
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
    options = {option.scenario: option for option in reversed(option_set.options)}
    choice = options.get(tuned.scenario) if tuned is not None else None
    objective = "energy"
    if tuned is not None and choice is not None:
        min_vmaf, objective = tuned.min_vmaf, tuned.objective
        reference = tuned.baseline if reference is None and tuned.baseline in options else reference
    named = None if reference is None else _named(options, reference)
    compared = [option for option in option_set.options if not option.validity]
    if not compared or (choice is not None and choice.validity):
        compared = option_set.options
    results = {
        name: TranscodingRecommender(name, Constraints(min_vmaf=min_vmaf), accept_invalid=True).recommend(
            compared
        )
        for name in ("energy", "cost", "carbon", "bitrate")
    }
    least = {name: options[result.choice.scenario] for name, result in results.items() if result.choice}
    energy = results["energy"]
    # the table says in words why a scenario is not reliable
    counts = {"not reliable": len(option_set.options) - len(compared), **energy.left_out}
    left_out = [f"left out {count}: {why}" for why, count in counts.items() if count]
    basis = f"{energy.reason[:1].upper()}{energy.reason[1:]} (VMAF at least {number(min_vmaf)})"
    if tuned is not None and choice is not None:
        basis = tuned.basis
    elif energy.choice is None:
        reasons = "; ".join([energy.reason, *left_out])
        return RunChoice(sentence=f"No choice: {reasons}.", basis="", front=energy.front)
    else:
        tuned, choice = None, least["energy"]
        basis += f", the best with a probability of {energy.choice.probability_best or 0:.0%}"
    against = named or _default(run, compared, choice)
    if against is choice:
        against = None
    scenario = next(s for s in run.scenarios if s.name == choice.scenario)
    notes = [*option_set.notes, *(text for text, _ in option_set.invalid_repeats), *left_out]
    return RunChoice(
        sentence=choice_sentence(choice, against, objective),
        basis=f"{'; '.join([basis, *notes])}.",
        doubts=tuple(doubts(choice.validity or (against.validity if against is not None else ()))),
        choice=choice,
        is_tuned=tuned is not None,
        reference=against,
        command=reusable_command(scenario.command) if scenario.command else None,
        front=energy.front,
        others={name: option for name, option in least.items() if name != objective},
    )


def _named(options: Mapping[str, Option], name: str) -> Option:
    if name not in options:
        expected = ", ".join(near(name, options) or options)
        raise InputError(f"expected one of {expected}; found {name!r}", subject="--baseline")
    return options[name]


def _default(run: Run, options: Sequence[Option], choice: Option) -> Option | None:
    """ffmpeg's own default, the one nearest in quality where there are several; else the most energy."""
    others = [o for o in options if o is not choice and o.energy_joules_per_video_second]
    usual = {s.name for s in run.scenarios if s.encoder == "libx264" and s.preset == "medium"}
    defaults = [o for o in others if o.scenario in usual]
    if defaults:
        return min(defaults, key=lambda o: abs((o.vmaf or 0.0) - (choice.vmaf or 0.0)))
    return max(others, key=lambda o: o.energy_joules_per_video_second or 0.0, default=None)


def choice_sentence(choice: Option, against: Option | None, objective: str) -> str:
    """What a choice saves against another configuration, or what it takes where there is none."""
    unsure = "Not reliable: " if choice.validity or (against is not None and against.validity) else ""
    return f"{unsure}{choice.scenario}{_saving(choice, against, objective)}."


def _saving(choice: Option, against: Option | None, objective: str) -> str:
    ours = choice.objective(objective)
    theirs = None if against is None else against.objective(objective)
    if ours is None:
        return ""
    if against is None or not theirs or ours / theirs <= 0:  # who is paid for energy saves no share of it
        unit, field = next((unit, field) for name, unit, field in VALUES if name == objective)
        least = "is the fastest" if objective == "speed" else f"takes the least {objective}"
        return f" {least}: {number(getattr(choice, field))} {unit.format(currency=choice.currency)}"
    ratio = ours / theirs
    quality = _quality(choice.vmaf, against.vmaf)
    what = "time" if objective == "speed" else objective
    doubt = 0.0 if objective == "bitrate" else _CLEAR * math.hypot(choice.noise_ratio, against.noise_ratio)
    percent = f"{100 * abs(1 - ratio):.0f}\u00a0%"
    if abs(math.log(ratio)) < doubt or percent.startswith("0"):
        return f" and {against.scenario} take about the same {what}{quality}"
    saved = f"saves {percent} of the {what}" if ratio < 1 else f"takes {percent} more {what}"
    return f" instead of {against.scenario} {saved}{quality}"


def _quality(ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None:
        return ""
    if abs(ours - theirs) < 0.05:
        return " at the same VMAF"
    return f" at {abs(ours - theirs):.1f} VMAF {'more' if ours > theirs else 'less'}"
