"""What is known before the first encode: earlier encodes of other videos, and what trained models predict."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.advice.curves import Configuration, Place
from advisor.advice.from_results import options_of
from advisor.advice.search import Evidence
from advisor.cost.model import CostModel
from advisor.errors import WattframeError
from advisor.results import Host, Run, Scenario, read_folder
from advisor.results.derived import machine_of, parse_resolution
from advisor.video.encoders import ENCODERS
from runner.source import Source
from wattframe.planned import planned_scenario
from wattframe.tuning.clip import Video, whole
from wattframe.tuning.encodes import job_of

_MOST_ENCODES = 300
"""What more would tell is little, and every judgement takes longer."""
_LEAST_NOISE_RATIO = 0.05
"""Of a prediction, whatever the model says of itself."""


def earlier_encodes(folder: Path, machine: Host, model: CostModel, *, but: str) -> list[Evidence]:
    """Encodes at constant quality that this machine made and scored before, the newest ones.

    ``but`` is the run that is going on.
    """
    try:
        runs = [
            run for run in read_folder(folder) if machine_of(run) == machine.hardware_id and run.run_id != but
        ]
    except (WattframeError, OSError):
        return []
    runs.sort(key=lambda run: run.start_time or 0.0, reverse=True)
    encodes = (e for run in runs for s in run.scenarios if (e := _evidence(run, s, model)) is not None)
    return list(itertools.islice(encodes, _MOST_ENCODES))


def _evidence(run: Run, scenario: Scenario, model: CostModel) -> Evidence | None:
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
    if not (option.vmaf and option.bitrate_kbps and option.encode_speed_ratio):
        return None
    video = scenario.input.name if scenario.input else None
    place = Place(
        f"earlier {video} {scenario.resolution}",
        Configuration(scenario.encoder, scenario.preset, scenario.crf),
        size[0] * size[1] * (scenario.fps or 25.0) / 1e6,
    )
    return Evidence(place, option)


def forecasts(
    models_dir: Path,
    machine: Host,
    video: Video,
    options: Sequence[Configuration],
    model: CostModel,
    sources: Mapping[str, Source],
) -> list[Evidence]:
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
    places = {scenario.name: Place(video.name, c, video.megapixels) for c, scenario in planned.items()}
    return [
        Evidence(places[o.scenario], replace(o, noise_ratio=max(_LEAST_NOISE_RATIO, o.noise_ratio)))
        for o in options_of([run], model, models_dir=models_dir).options
        if o.basis == "predicted"
    ]


def _from_middle(option: Configuration) -> float:
    best, worst = ENCODERS[option.encoder].quality_range
    return abs(option.crf - (best + worst) / 2)
