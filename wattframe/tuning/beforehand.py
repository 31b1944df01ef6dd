"""What is known before the first encode: earlier encodes of other videos, and what trained models predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.advice.configuration import OBJECTIVES, Option
from advisor.advice.curves import Configuration, Place
from advisor.advice.from_results import options_of
from advisor.advice.search import PredictedTrial, Trial
from advisor.cost.model import CostModel
from advisor.errors import WattframeError
from advisor.results import Host, Run, Scenario, read_folder
from advisor.results.derived import machine_of, parse_resolution
from advisor.video.encoders import ENCODERS
from runner.source import Source
from wattframe.planned import planned_scenario
from wattframe.tuning.clip import Video, whole
from wattframe.tuning.encodes import job_of

_MOST_TRIALS = 300
"""The newest ones: what more would tell is little, and every judgement takes longer."""


def objective_of(objective: str, option: Option, kbps: float | None) -> float | None:
    """The figure that is to be least, in its own unit; of ``speed`` seconds for a second of video."""
    if objective == "bitrate":
        return kbps
    if objective == "speed":
        return 1 / option.encode_speed_ratio if option.encode_speed_ratio else None
    value: float | None = getattr(option, OBJECTIVES[objective])
    return value


def earlier_trials(folder: Path, machine: Host, objective: str, model: CostModel, *, but: str) -> list[Trial]:
    """Encodes at constant quality that this machine made and scored before, the newest first.

    ``but`` is the run that is going on.
    """
    try:
        runs = [
            run for run in read_folder(folder) if machine_of(run) == machine.hardware_id and run.run_id != but
        ]
    except (WattframeError, OSError):
        return []
    trials: list[Trial] = []
    for run in sorted(runs, key=lambda run: run.start_time or 0.0, reverse=True):
        for scenario in run.scenarios:
            trial = _trial(run, scenario, objective, model)
            if trial is not None:
                trials.append(trial)
    return trials[:_MOST_TRIALS]


def _trial(run: Run, scenario: Scenario, objective: str, model: CostModel) -> Trial | None:
    size = parse_resolution(scenario.resolution)
    if (
        scenario.status != "ok"
        or scenario.type != "single"
        or scenario.encoder not in ENCODERS
        or scenario.preset is None
        or scenario.crf is None
        or len(scenario.outputs) != 1
        or size is None
    ):
        return None
    (option,) = options_of([replace(run, scenarios=(scenario,))], model, {}).options
    value = objective_of(objective, option, option.bitrate_kbps)
    if not (value and option.vmaf and option.bitrate_kbps and option.encode_speed_ratio):
        return None
    video = scenario.input.name if scenario.input else None
    return Trial(
        place=Place(
            f"earlier {video} {scenario.resolution}",
            Configuration(scenario.encoder, scenario.preset, scenario.crf),
            size[0] * size[1] * (scenario.fps or 25.0) / 1e6,
        ),
        vmaf=option.vmaf,
        kbps=option.bitrate_kbps,
        seconds=1 / option.encode_speed_ratio,
        objective=value,
    )


def forecasts(
    models_dir: Path,
    machine: Host,
    video: Video,
    options: Sequence[Configuration],
    objective: str,
    model: CostModel,
    sources: Mapping[str, Source],
) -> list[PredictedTrial]:
    """What the models of this machine predict of one CRF of every family; nothing where there are none."""
    if not any(models_dir.glob("*/latest")):
        return []
    families = {option.family: option for option in sorted(options, key=_from_middle, reverse=True)}
    clip = whole(video)
    planned = {
        option: planned_scenario(job_of(clip, option), sources[video.name], video.seconds)
        for option in families.values()
    }
    run = Run(run_id="planned", scenarios=tuple(planned.values()), host=machine)
    predicted = {o.scenario: o for o in options_of([run], model, models_dir=models_dir).options}
    return [
        PredictedTrial(
            place=Place(video.name, option, video.megapixels),
            seconds=1 / found.encode_speed_ratio if found.encode_speed_ratio else None,
            objective=None if objective == "bitrate" else objective_of(objective, found, None),
            noise_ratio=max(0.05, found.noise_ratio),
        )
        for option, scenario in planned.items()
        if (found := predicted.get(scenario.name)) is not None and found.basis == "predicted"
    ]


def _from_middle(option: Configuration) -> float:
    best, worst = ENCODERS[option.encoder].quality_range
    return abs(option.crf - (best + worst) / 2)
