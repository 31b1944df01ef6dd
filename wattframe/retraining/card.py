"""The model card: what a stored model is good for, with its held-out errors drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from advisor.regression.model import TrainedModel
from advisor.regression.registry import Manifest
from wattframe.report.drawing import COLOURS, SOFT, Chart, chart, scale
from wattframe.report.page import render

_MOST_POINTS = 600
_NAMES = {
    "mean_power_watts": "Mean power (W)",
    "energy_joules_per_video_second": "Energy (J per second of video)",
    "encode_speed_ratio": "Encode speed (1 is real time)",
}
_SITUATIONS = {
    "plain": "a video that was never run",
    "familiar": "a video known from training",
    "probed": "with {} of the same video",
    "calibrated": "a new machine, with {} on it",
}
_RUNS = {"1": "one run", "2": "two runs", "3": "three runs"}
_AGREE = "Each point was predicted by a model that had not seen its group; on the line both agree."
_ABOUT_ZERO = "Errors should lie about zero at every size; a slope or a funnel shows where the model is weak."
Points = list[tuple[float, float]]


def model_card(trained: TrainedModel, manifest: Manifest, drift_ratio: float | None = None) -> str:
    """One self-contained page: facts, errors and coverage, predicted against measured, residuals.

    ``drift_ratio`` is how much more new scenarios draw than the former model expected, None where unknown.
    """
    charts: list[Chart] = []
    for name, model in trained.targets.items():
        if model.predictor.errors_:
            points = _points(trained, name)
            charts += [_against(name, points), _residuals(name, points)]
    reports = manifest.targets.values()
    return render(
        "card.html",
        title=f"Model {manifest.version} of {manifest.hardware_id}",
        manifest=manifest,
        facts=_facts(manifest, drift_ratio),
        names=_NAMES,
        situations={key: _situation(key) for report in reports for key in report.error_ratios},
        charts=charts,
    )


def _facts(manifest: Manifest, drift_ratio: float | None) -> dict[str, str]:
    facts = {
        "Power": manifest.tier or "of unknown origin",
        "Machines": ", ".join(manifest.hardware_known),
        "Encoders": ", ".join(manifest.encoders_known),
        "Configurations": str(manifest.training_configurations),
        "Held out by": manifest.grouped_by,
        "Features": ", ".join(manifest.feature_names),
        "Training data": f"SHA-256 {manifest.training_data_sha256[:16]}...",
        "Libraries": ", ".join(f"{name} {version}" for name, version in manifest.library_versions.items()),
    }
    if drift_ratio is not None:
        facts["Drift"] = f"new scenarios draw {drift_ratio:+.1%} over the prediction of the previous model"
    if manifest.notes:
        facts["Notes"] = "; ".join(manifest.notes)
    return facts


def _situation(name: str) -> str:
    """What was known, in words.

    >>> _situation("probed_2")
    'with two runs of the same video'
    """
    kind, _, count = name.partition("_")
    return _SITUATIONS.get(kind, name).format(_RUNS.get(count, count))


def _points(trained: TrainedModel, name: str) -> Points:
    """Held-out prediction and measured value of each row, thinned for the eye."""
    model = trained.targets[name]
    rows = [c for c in trained.training if name in c.targets]
    measured = np.array([rows[i].targets[name] for i in model.predictor.validated_])
    predicted = measured * np.exp(-model.residuals)
    step = -(-len(measured) // _MOST_POINTS)
    return [(float(p), float(m)) for p, m in zip(predicted[::step], measured[::step], strict=True)]


def _against(name: str, points: Points) -> Chart:
    span = (min(map(min, points)) * 0.95, max(map(max, points)) * 1.05)

    def draw(axes: Axes, narrow: bool) -> None:
        axes.set(xscale="log", yscale="log", xlim=span, ylim=span)
        axes.plot(span, span, color=SOFT, linewidth=1)
        predicted, measured = zip(*points, strict=True)
        axes.scatter(predicted, measured, s=28, color=COLOURS[0], linewidths=0)
        scale(axes, x="predicted", y="measured", most=(4 if narrow else 8, 6))

    title = f"{_NAMES[name]}: predicted against measured"
    return chart(f"against-{name}", title, _AGREE, draw, lambda narrow: 330 if narrow else 430)


def _residuals(name: str, points: Points) -> Chart:
    errors = [(p, 100 * (m / p - 1)) for p, m in points]

    def draw(axes: Axes, narrow: bool) -> None:
        axes.set_xscale("log")
        axes.axhline(0, color=SOFT, linewidth=1)
        predicted, percent = zip(*errors, strict=True)
        axes.scatter(predicted, percent, s=28, color=COLOURS[1], linewidths=0)
        scale(axes, x="predicted", y="measured over predicted, % off", most=(4 if narrow else 8, 5))

    title = f"{_NAMES[name]}: residuals"
    return chart(f"residuals-{name}", title, _ABOUT_ZERO, draw, lambda narrow: 270 if narrow else 310)
