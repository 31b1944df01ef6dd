"""Results exporter, port 9502: what the test runs measured, by run and scenario.

Series carry ``run_id`` and ``scenario``; what follows from power also says its ``tier``, so that a measured
watt is never mistaken for a modelled one. The rest of what describes a scenario is on
``results_scenario_info``, once.
"""

from __future__ import annotations

import statistics
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from advisor.regression.registry import Manifest
from advisor.results import RESULT_GLOB, Run, Scenario
from advisor.results.derived import (
    delivered_frames,
    delivered_pixels,
    duration_seconds,
    machine_of,
    mean_watts,
    net_energy_joules,
    net_watts,
    output_ladder,
    output_seconds,
    window_energy_joules,
)
from advisor.results.folder import Broken, ResultFolder, Shown
from advisor.results.records import stream_count
from advisor.scoring import scores
from exporters.predictions import Predicted, Predictor
from exporters.runtime import Collector, Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.families import IDENTITY, Row, declared
from exporters.runtime.logs import logger, warn_of
from exporters.runtime.options import RESULT_OPTIONS, folder

_TIERED = (*IDENTITY, "tier")
_POLL_SECONDS = 0.5
_MOST_REFUSED_NAMED = 100
"""Refused files that are named in a series of their own; all are counted."""


UP = Family("results_exporter_up", "1 while the results exporter is running.")
RUNS = Family("results_runs", "Published runs.")
DROPPED = Family("results_scenarios_dropped", "Scenarios of the newest runs left out by --max-scenarios.")
FILES_REFUSED = Family("results_files_refused", "Result files that are not readable.")
FILE_REFUSED = Family(
    "results_file_refused_info", "A result file that is not readable, with the reason.", ("run_id", "reason")
)
REFUSED = Family("results_scenarios_refused", "Scenarios left out of readable files, by reason.", ("reason",))
INFO = Family(
    "results_scenario_info",
    "Descriptive labels of a scenario; join on run_id and scenario.",
    (
        *IDENTITY,
        "bitrate",
        "resolution",
        "fps",
        "streams",
        "output_ladder",
        "codec",
        "encoder",
        "preset",
        "hardware",
        "type",
        "tier",
    ),
)
VALID = Family(
    "results_scenario_valid",
    "1 if the scenario finished and its figures are reliable, 0 if not.",
    IDENTITY,
)
INVALID = Family("results_scenario_invalid_info", "Why a scenario is not valid.", (*IDENTITY, "reason"))
START = Family("results_scenario_start_timestamp_seconds", "Start of the scenario, Unix time.", IDENTITY)
DURATION = Family("results_scenario_duration_seconds", "Measured wall time of the scenario.", IDENTITY)
REPEATS = Family(
    "results_scenario_repeats", "Finished repeats; the one with median energy is published.", IDENTITY
)
REPEAT_STDEV = Family(
    "results_scenario_repeat_energy_stdev_joules", "Standard deviation of energy over the repeats.", _TIERED
)
SCORE = Family(
    "results_scenario_efficiency_score",
    "Efficiency, higher is better; each algorithm has its own unit.",
    (*_TIERED, "algorithm"),
)
PREDICTED_WATTS = Family(
    "results_scenario_predicted_power_watts", "Mean power predicted by the model.", _TIERED
)
LOW_WATTS = Family(
    "results_scenario_prediction_low_watts", "Lower end of the 90 % prediction interval.", _TIERED
)
HIGH_WATTS = Family(
    "results_scenario_prediction_high_watts", "Upper end of the 90 % prediction interval.", _TIERED
)
PREDICTED_JOULES = Family(
    "results_scenario_predicted_energy_joules", "Energy predicted by the model.", _TIERED
)
MODEL = Family("results_model_info", "Models in service, by hardware.", ("model", "version", "hardware"))
MODEL_ERROR = Family(
    "results_model_error_ratio", "Mean absolute error on rows held out in validation.", ("hardware", "target")
)
MODEL_TRAINED = Family("results_model_trained_timestamp_seconds", "Unix time of the training.", ("hardware",))
PREDICTION_PROBLEMS = Family(
    "results_prediction_problems", "Files and models that the last prediction run could not use."
)
MEAN_WATTS = Family(
    "results_scenario_mean_power_watts", "Mean power of the host and its GPUs during the scenario.", _TIERED
)
STDEV_WATTS = Family(
    "results_scenario_power_stdev_watts",
    "Standard deviation of the host's power during the scenario.",
    _TIERED,
)
TOTAL_JOULES = Family(
    "results_scenario_total_energy_joules", "Energy of the host and its GPUs over the scenario.", _TIERED
)
NET_JOULES = Family("results_scenario_net_energy_joules", "Energy above idle over the scenario.", _TIERED)
NET_WATTS = Family("results_scenario_net_power_watts", "Mean power above idle.", _TIERED)
INCREASE = Family(
    "results_scenario_power_increase_ratio",
    "Mean power relative to the run's baseline, minus 1 (0.5 means 50 % more).",
    _TIERED,
)
JOULES_PER_FRAME = Family(
    "results_scenario_energy_joules_per_frame", "Energy per frame delivered, over all outputs.", _TIERED
)
JOULES_PER_SECOND = Family(
    "results_scenario_energy_joules_per_output_second", "Energy per second of video delivered.", _TIERED
)
JOULES_PER_MEGAPIXEL = Family(
    "results_scenario_energy_joules_per_megapixel", "Energy per million pixels delivered.", _TIERED
)
PIXELS = Family(
    "results_scenario_total_pixels", "Pixels delivered, over all outputs, streams and frames.", IDENTITY
)
CPU_SECONDS = Family("results_scenario_cpu_seconds", "CPU time of ffmpeg and its children.", IDENTITY)
SPEED = Family(
    "results_scenario_encode_speed_ratio", "Seconds of video encoded per second; 1 is real time.", IDENTITY
)
DROPPED_FRAMES = Family("results_scenario_dropped_frames", "Frames that ffmpeg dropped.", IDENTITY)

Quantity = Callable[[Scenario, Run], float | None]


def _per(amount: Callable[[Scenario], float | None], scale: float = 1.0) -> Quantity:
    """Joules per ``scale`` units of what was delivered."""

    def ratio(scenario: Scenario, run: Run) -> float | None:
        joules, units = window_energy_joules(scenario), amount(scenario)
        return joules * scale / units if joules is not None and units else None

    return ratio


def _power_increase_ratio(scenario: Scenario, run: Run) -> float | None:
    if run.baseline is None or scenario.type == "baseline" or not _comparable(run.baseline, scenario):
        return None
    baseline, watts = mean_watts(run.baseline), mean_watts(scenario)
    return watts / baseline - 1 if watts is not None and baseline else None


def _comparable(one: Scenario, other: Scenario) -> bool:
    """Of one tier, and both with their GPUs or both without."""
    return _tier(one) == _tier(other) and (one.gpu_power is None) == (other.gpu_power is None)


def _net(quantity: Quantity) -> Quantity:
    """A baseline has nothing above idle by definition, so it has no such series."""
    return lambda scenario, run: None if scenario.type == "baseline" else quantity(scenario, run)


_OF_POWER: tuple[tuple[Family, Quantity], ...] = (
    (MEAN_WATTS, lambda s, _: mean_watts(s)),
    (STDEV_WATTS, lambda s, _: s.power.stdev_watts if s.power else None),
    (TOTAL_JOULES, lambda s, _: window_energy_joules(s)),
    (NET_JOULES, _net(net_energy_joules)),
    (NET_WATTS, _net(net_watts)),
    (INCREASE, _power_increase_ratio),
    (JOULES_PER_FRAME, _per(delivered_frames)),
    (JOULES_PER_SECOND, _per(output_seconds)),
    (JOULES_PER_MEGAPIXEL, _per(delivered_pixels, 1e6)),
)
_OF_WORK: tuple[tuple[Family, Quantity], ...] = (
    (PIXELS, lambda s, _: delivered_pixels(s)),
    (CPU_SECONDS, lambda s, _: s.cpu_seconds),
    (SPEED, lambda s, _: s.encode.speed if s.encode else None),
    (DROPPED_FRAMES, lambda s, _: s.encode.dropped_frames if s.encode else None),
)


class ResultsCollector(Collector):
    """Publishes a folder of result files, and what a model predicts for them."""

    name = "results"
    poll_seconds = _POLL_SECONDS

    def __init__(self, results: ResultFolder, predictor: Predictor) -> None:
        self._results = results
        self._predictor = predictor
        self._told: set[str] = set()

    def parts(self) -> dict[str, Part]:
        """One part for the folder and one a run."""
        results, predictor = self._results, self._predictor
        results.refresh()
        shown = results.shown
        predictor.want({run_id: one.run for run_id, one in shown.items()})
        self._tell()
        facts = len(shown), results.dropped, results.broken, _refused_scenarios(shown.values())
        runs = {run_id: Part(run_part, (one, predictor.of(one.run))) for run_id, one in shown.items()}
        return {
            "": Part(_folder, facts),
            "models": Part(_models, (predictor.manifests, predictor.problems)),
            **runs,
        }

    def _tell(self) -> None:
        """Log what was refused, once, and that there is nothing."""
        results = self._results
        reasons = {why.reason for why in results.broken.values()}
        for run_id, one in results.shown.items():
            reasons |= {f"{run_id}: {refused.reason}" for refused in one.run.refused}
        warn_of("result refused", reasons - self._told)
        if not reasons and not results.shown:
            reasons = {"no results yet"}
            if reasons != self._told:
                logger().info("no results yet", folder=results.folder, expected=RESULT_GLOB)
        self._told = reasons


def _folder(
    runs: int, dropped: int, broken: Mapping[str, Broken], refused: Mapping[str, int]
) -> Iterator[Metric]:
    """The families of the folder as a whole."""
    named = sorted(broken.items())[:_MOST_REFUSED_NAMED]
    yield UP.one(1)
    yield RUNS.one(runs)
    yield DROPPED.one(dropped)
    yield FILES_REFUSED.one(len(broken))
    yield FILE_REFUSED([((run_id, why.reason.removeprefix(f"{why.path}: ")), 1) for run_id, why in named])
    yield REFUSED([((reason,), count) for reason, count in refused.items()])


def _refused_scenarios(shown: Iterable[Shown]) -> dict[str, int]:
    return {
        "malformed": sum(len(s.run.refused) for s in shown),
        "duplicate_name": sum(len(s.run.scenarios) - sum(map(len, s.repeats.values())) for s in shown),
    }


def _models(manifests: Sequence[Manifest], problems: int) -> Iterator[Metric]:
    errors = [
        ((m.hardware_id, target), report.error_ratios.get("plain"))
        for m in manifests
        for target, report in m.targets.items()
    ]
    yield MODEL([((_model_name(m), m.version, m.hardware_id), 1) for m in manifests])
    yield MODEL_ERROR(errors)
    yield MODEL_TRAINED([((m.hardware_id,), m.created_unix_seconds) for m in manifests])
    yield PREDICTION_PROBLEMS.one(problems)


def _model_name(manifest: Manifest) -> str:
    report = manifest.targets.get("mean_power_watts")
    return "+".join(report.model) if report is not None else ""


def run_part(shown: Shown, predicted: Predicted | None = None) -> list[Metric]:
    """Every family of one run."""
    run, scenarios = shown.run, shown.scenarios
    finished = [s for s in scenarios if s.status == "ok"]
    families = [
        INFO([(_description(run, s), 1) for s in scenarios]),
        VALID([(_identity(run, s), int(not _faults(s))) for s in scenarios]),
        INVALID([((*_identity(run, s), fault), 1) for s in scenarios for fault in _faults(s)]),
        START([(_identity(run, s), s.start_time) for s in scenarios]),
        DURATION([(_identity(run, s), duration_seconds(s)) for s in scenarios]),
        REPEATS([(_identity(run, s), len(_finished(shown, s))) for s in scenarios]),
        REPEAT_STDEV([(_tiered(run, s), _repeat_stdev(shown, s)) for s in finished]),
        SCORE(list(_scores(run, finished))),
    ]
    families += [family([(_tiered(run, s), of(s, run)) for s in finished]) for family, of in _OF_POWER]
    families += [family([(_identity(run, s), of(s, run)) for s in finished]) for family, of in _OF_WORK]
    return families + (_predictions(shown, predicted) if predicted is not None else [])


def _predictions(shown: Shown, predicted: Predicted) -> list[Metric]:
    """Of a scenario that was repeated, the prediction for the repeat that is published."""
    chosen = {id(s) for s in shown.scenarios if s.status == "ok"}
    pairs = zip(shown.run.scenarios, predicted.scenarios, strict=False)
    labelled = [((p.run_id, p.scenario, p.tier or "unknown"), p) for s, p in pairs if id(s) in chosen]
    watts = [(labels, p.mean_power_watts) for labels, p in labelled if p.mean_power_watts is not None]
    joules = [(labels, p.total_energy_joules) for labels, p in labelled if p.total_energy_joules is not None]
    return [
        PREDICTED_WATTS([(labels, estimate.mean) for labels, estimate in watts]),
        LOW_WATTS([(labels, estimate.low) for labels, estimate in watts]),
        HIGH_WATTS([(labels, estimate.high) for labels, estimate in watts]),
        PREDICTED_JOULES([(labels, estimate.mean) for labels, estimate in joules]),
    ]


def _identity(run: Run, scenario: Scenario) -> tuple[str, str]:
    return run.run_id, scenario.name


def _tiered(run: Run, scenario: Scenario) -> tuple[str, str, str]:
    return run.run_id, scenario.name, _tier(scenario)


def _tier(scenario: Scenario) -> str:
    return (scenario.power.tier if scenario.power else None) or "unknown"


def _description(run: Run, s: Scenario) -> tuple[str, ...]:
    fps = "" if s.fps is None else f"{s.fps:g}"
    return (
        *_identity(run, s),
        s.bitrate or "",
        s.resolution or "",
        fps,
        str(stream_count(s)),
        output_ladder(s),
        s.encoder or "",
        s.encoder_type,
        s.preset or "",
        machine_of(run),
        s.type,
        _tier(s),
    )


def _faults(scenario: Scenario) -> list[str]:
    """Why the figures are not valid; a scenario that did not finish has that as its first reason."""
    unfinished = [] if scenario.status == "ok" else [scenario.status]
    return list(dict.fromkeys(unfinished + scenario.validity))


def _finished(shown: Shown, scenario: Scenario) -> list[Scenario]:
    return [s for s in shown.repeats[scenario.name] if s.status == "ok"]


def _repeat_stdev(shown: Shown, scenario: Scenario) -> float | None:
    energies = [j for s in _finished(shown, scenario) if (j := window_energy_joules(s)) is not None]
    return statistics.stdev(energies) if len(energies) > 1 else None


def _scores(run: Run, scenarios: Sequence[Scenario]) -> Iterator[Row]:
    for scenario in scenarios:
        for algorithm, value in scores(scenario, run).items():
            yield (*_tiered(run, scenario), algorithm), value


def _build(options: Namespace) -> list[ResultsCollector]:
    results = ResultFolder(
        options.results_dir, runs=options.runs, max_scenarios=options.max_scenarios, keep_samples=False
    )
    return [ResultsCollector(results, Predictor(options.models_dir, options.results_dir))]


EXPORTER = Exporter(
    name="results",
    title="Wattframe results exporter",
    port=9502,
    options=(
        *RESULT_OPTIONS,
        Option("--models-dir", "MODELS_DIR", Path("models"), folder, "folder of trained models"),
    ),
    build=_build,
    families=declared(globals()),
)

if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
