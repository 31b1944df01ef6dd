"""The model card: what a stored model is good for, with its held-out errors drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advisor.regression.registry import Manifest
from advisor.regression.training import Trained
from wattframe.report.chart import Canvas, bottom_axis, figure, left_axis, mark
from wattframe.report.markup import Markup, el, join
from wattframe.report.numbers import bounds, linear, logarithmic, logarithmic_ticks, ticks

__all__ = ["model_card"]

_MOST_POINTS = 600
_STYLE = Path(__file__).with_name("report") / "page.css"
_NAMES = {
    "mean_power_watts": "Mean power (W)",
    "energy_joules_per_video_second": "Energy (J per second of video)",
    "encode_speed_ratio": "Encode speed (1 is real time)",
}
Points = list[tuple[float, float]]


def model_card(trained: Trained, manifest: Manifest) -> str:
    """One self-contained page: facts, errors and coverage, predicted against measured, residuals."""
    charts: list[Markup] = []
    for name, model in trained.targets.items():
        if not model.predictor.errors_:
            continue
        points = _points(trained, name)
        charts += [_against(name, points), _residuals(name, points)]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"Model {manifest.version} of {manifest.hardware_id}"),
        el("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    body = el(
        "main",
        el("h1", f"Model {manifest.version} of {manifest.hardware_id}"),
        el("p", f"Trained {manifest.created} on {manifest.training_scenarios} scenarios: {manifest.reason}."),
        _facts(manifest),
        el("h2", "Errors on rows that were held out"),
        _errors(manifest),
        *charts,
    )
    return f"<!doctype html>{el('html', head, el('body', body), lang='en')}\n"


def _facts(manifest: Manifest) -> Markup:
    facts = {
        "Power": manifest.tier or "of unknown origin",
        "Machines": ", ".join(manifest.hardware_known),
        "Encoders": ", ".join(manifest.encoders_known),
        "Configurations": str(manifest.training_configurations),
        "Held out by": manifest.grouped_by,
        "Features": ", ".join(manifest.feature_names),
        "Training data (SHA-256)": manifest.training_data_sha256,
        "Libraries": ", ".join(f"{k} {v}" for k, v in manifest.library_versions.items()),
    }
    if manifest.notes:
        facts["Mind"] = "; ".join(manifest.notes)
    rows = [el("tr", el("th", k, scope="row"), el("td", v, class_="text")) for k, v in facts.items()]
    return el("div", el("table", el("tbody", *rows)), class_="scroll")


def _errors(manifest: Manifest) -> Markup:
    """Mean absolute error and the share inside 90 % intervals, by target and situation."""
    cells = ("target", "model", "situation", "error", "inside 90 % intervals")
    rows = [
        el(
            "tr",
            el("th", _NAMES[name], scope="row"),
            el("td", " + ".join(report.model), class_="text"),
            el("td", situation, class_="text"),
            el("td", f"{error:.1%}"),
            el("td", _share(report.coverage_ratios.get(situation))),
        )
        for name, report in manifest.targets.items()
        for situation, error in report.error_ratios.items()
    ]
    if not rows:
        return el("p", "Nothing could be held out: no error is known.")
    head = el("thead", el("tr", *(el("th", c, scope="col") for c in cells)))
    return el("div", el("table", head, el("tbody", *rows)), class_="scroll")


def _share(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.1%}"


def _points(trained: Trained, name: str) -> Points:
    """Held-out prediction and measured value of each row, thinned for the eye."""
    predictor = trained.targets[name].predictor
    rows = [c for c in trained.training if name in c.targets]
    measured = np.array([rows[i].targets[name] for i in predictor.validated_])
    predicted = measured * np.exp(-predictor.residuals_)
    step = -(-len(measured) // _MOST_POINTS)
    return [(float(p), float(m)) for p, m in zip(predicted[::step], measured[::step], strict=True)]


def _against(name: str, points: Points) -> Markup:
    low, high = min(map(min, points)) * 0.95, max(map(max, points)) * 1.05

    def draw(canvas: Canvas) -> Markup:
        across, up = logarithmic((low, high), canvas.x), logarithmic((low, high), canvas.y)
        values = logarithmic_ticks(low, high, 4 if canvas.narrow else 7)
        ideal = el("line", x1=across(low), y1=up(low), x2=across(high), y2=up(high), class_="axis")
        marks = [mark(0, across(p), up(m), 2.5) for p, m in points]
        axes = left_axis(canvas, values, up, "measured"), bottom_axis(canvas, values, across, "predicted")
        return join([*axes, ideal, *marks])

    title = f"{_NAMES[name]}: predicted against measured"
    caption = "Each point was predicted by a model that had not seen its group; on the line both agree."
    return figure(f"against-{name}", title, caption, draw, lambda narrow: 320 if narrow else 420)


def _residuals(name: str, points: Points) -> Markup:
    errors = [(p, 100 * (m / p - 1)) for p, m in points]
    low, high = min(p for p, _ in points) * 0.95, max(p for p, _ in points) * 1.05
    span = bounds([e for _, e in errors] + [0.0])

    def draw(canvas: Canvas) -> Markup:
        across, up = logarithmic((low, high), canvas.x), linear(span, canvas.y)
        axes = (
            left_axis(canvas, ticks(*span, 5), up, "measured over predicted, % off"),
            bottom_axis(canvas, logarithmic_ticks(low, high, 4 if canvas.narrow else 7), across, "predicted"),
        )
        return join([*axes, *(mark(1, across(p), up(e), 2.5) for p, e in errors)])

    caption = "Errors should lie about zero at every size; a slope or a funnel says where the model is weak."
    title = f"{_NAMES[name]}: residuals"
    return figure(f"residuals-{name}", title, caption, draw, lambda narrow: 260 if narrow else 300)
