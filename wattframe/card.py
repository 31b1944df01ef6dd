"""The model card: what a stored model is good for, with its held-out errors drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from advisor.regression.registry import Manifest, TargetReport
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
_SITUATIONS = {
    "plain": "a video that was never run",
    "familiar": "a video that training knows",
    "probed": "with {} of the same video",
    "calibrated": "a new machine, with {} on it",
}
_RUNS = {"1": "one run", "2": "two runs", "3": "three runs"}
_ROW, _NAME = 26.0, 232.0
Points = list[tuple[float, float]]


def model_card(trained: Trained, manifest: Manifest, drift_ratio: float | None = None) -> str:
    """One self-contained page: facts, errors and coverage, predicted against measured, residuals.

    ``drift_ratio`` is how much more new scenarios draw than the former model expected, None where unknown.
    """
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
        _facts(manifest, drift_ratio),
        el("h2", "Errors on rows that were held out"),
        el("p", "Mean absolute errors, and how many rows fell inside their 90 % prediction interval."),
        _errors(manifest),
        _coverage(manifest),
        *charts,
    )
    return f"<!doctype html>{el('html', head, el('body', body), lang='en')}\n"


def _facts(manifest: Manifest, drift_ratio: float | None) -> Markup:
    facts = {
        "Power": manifest.tier or "of unknown origin",
        "Machines": ", ".join(manifest.hardware_known),
        "Encoders": ", ".join(manifest.encoders_known),
        "Configurations": str(manifest.training_configurations),
        "Held out by": manifest.grouped_by,
        "Features": ", ".join(manifest.feature_names),
        "Training data": f"SHA-256 {manifest.training_data_sha256[:16]}...",
        "Libraries": ", ".join(f"{k} {v}" for k, v in manifest.library_versions.items()),
    }
    if drift_ratio is not None:
        facts["Drift"] = f"new scenarios draw {drift_ratio:+.1%} against the former model"
    if manifest.notes:
        facts["Mind"] = "; ".join(manifest.notes)
    return el(
        "dl",
        *(el(tag, text) for k, v in facts.items() for tag, text in (("dt", k), ("dd", v))),
        class_="terms",
    )


def _errors(manifest: Manifest) -> Markup:
    """Mean absolute error and the share inside 90 % intervals: a row a situation, a column a target."""
    reports = manifest.targets.values()
    situations = list(dict.fromkeys(name for report in reports for name in report.error_ratios))
    if not situations:
        return el("p", "Nothing could be held out: no error is known.")
    head = [el("th", "when predicting", scope="col", class_="text")]
    head += [
        el("th", _NAMES[name], el("small", " + ".join(r.model)), scope="col")
        for name, r in manifest.targets.items()
    ]
    rows = [
        el("tr", el("th", _situation(name), scope="row"), *(_error(report, name) for report in reports))
        for name in situations
    ]
    return el("div", el("table", el("thead", el("tr", *head)), el("tbody", *rows)), class_="scroll")


def _error(report: TargetReport, situation: str) -> Markup:
    error = report.error_ratios.get(situation)
    if error is None:
        return el("td", "unknown")
    inside = report.coverage_ratios.get(situation)
    said = "coverage unknown" if inside is None else f"{inside:.1%} inside"
    return el("td", f"{error:.1%}", el("small", said))


def _situation(name: str) -> str:
    """What was known, in words.

    >>> _situation("probed_2")
    'with two runs of the same video'
    """
    kind, _, count = name.partition("_")
    return _SITUATIONS.get(kind, name).format(_RUNS.get(count, count))


def _coverage(manifest: Manifest) -> Markup | None:
    """How many of the held-out rows 90 % intervals hold, by situation: a mark a target."""
    found = [
        (situation, series, name, ratio)
        for series, (name, report) in enumerate(manifest.targets.items())
        for situation, ratio in report.coverage_ratios.items()
    ]
    if not found:
        return None
    names = list(dict.fromkeys(situation for situation, *_ in found))
    low = min(0.8, *(ratio for *_, ratio in found))

    def draw(canvas: Canvas) -> Markup:
        across = linear((100 * low - 1, 100.0), (canvas.left + (0 if canvas.narrow else _NAME), canvas.x[1]))
        wanted = el("line", x1=across(90), x2=across(90), y1=0, y2=canvas.y[0], class_="idle-line")
        rows = [_coverage_row(canvas, i, name, found, across) for i, name in enumerate(names)]
        axis = bottom_axis(canvas, ticks(100 * low, 100.0, 4), across, "% of held-out rows inside")
        return join([wanted, *rows, axis])

    title = "Coverage of 90 % intervals"
    caption = "On the dashed line as many values fall inside their interval as it says."
    keys = [(_NAMES[name], mark(i, 8, 8, 5)) for i, name in enumerate(manifest.targets)]
    return figure("coverage", title, caption, draw, lambda narrow: len(names) * _row(narrow) + 44, keys)


def _row(narrow: bool) -> float:
    return _ROW + 14 if narrow else _ROW


def _coverage_row(
    canvas: Canvas,
    index: int,
    situation: str,
    found: Sequence[tuple[str, int, str, float]],
    across: Callable[[float], float],
) -> Markup:
    """One situation: its name beside the marks, above them on narrow pages."""
    height = _row(canvas.narrow)
    y = index * height + height / 2 + (7 if canvas.narrow else 0)
    place = {"x": 0, "y": y - 12} if canvas.narrow else {"x": 0, "y": y + 4}
    rule = el("line", x1=across(100.0), x2=canvas.left if canvas.narrow else _NAME, y1=y, y2=y, class_="grid")
    marks = [
        mark(series, across(100 * ratio), y, 4.5, f"{_NAMES[name]}: {ratio:.1%}")
        for one, series, name, ratio in found
        if one == situation
    ]
    return el("g", rule, el("text", _situation(situation), **place, class_="tick"), *marks)


def _points(trained: Trained, name: str) -> Points:
    """Held-out prediction and measured value of each row, thinned for the eye."""
    model = trained.targets[name]
    rows = [c for c in trained.training if name in c.targets]
    measured = np.array([rows[i].targets[name] for i in model.predictor.validated_])
    predicted = measured * np.exp(-model.residuals)
    step = -(-len(measured) // _MOST_POINTS)
    return [(float(p), float(m)) for p, m in zip(predicted[::step], measured[::step], strict=True)]


def _against(name: str, points: Points) -> Markup:
    low, high = min(map(min, points)) * 0.95, max(map(max, points)) * 1.05

    def draw(canvas: Canvas) -> Markup:
        across, up = logarithmic((low, high), canvas.x), logarithmic((low, high), canvas.y)
        values = _round_values(low, high, 4 if canvas.narrow else 7)
        ideal = el("line", x1=across(low), y1=up(low), x2=across(high), y2=up(high), class_="axis")
        marks = [mark(0, across(p), up(m), 2.5) for p, m in points]
        axes = left_axis(canvas, values, up, "measured"), bottom_axis(canvas, values, across, "predicted")
        return join([*axes, ideal, *marks])

    title = f"{_NAMES[name]}: predicted against measured"
    caption = "Each point was predicted by a model that had not seen its group; on the line both agree."
    return figure(f"against-{name}", title, caption, draw, lambda narrow: 320 if narrow else 420)


def _round_values(low: float, high: float, most: int) -> list[float]:
    """Of a logarithmic axis; less than a decade has too few powers and their halves and fifths."""
    return logarithmic_ticks(low, high, most) if high > 5 * low else ticks(low, high, most)


def _residuals(name: str, points: Points) -> Markup:
    errors = [(p, 100 * (m / p - 1)) for p, m in points]
    low, high = min(p for p, _ in points) * 0.95, max(p for p, _ in points) * 1.05
    span = bounds([e for _, e in errors] + [0.0])

    def draw(canvas: Canvas) -> Markup:
        across, up = logarithmic((low, high), canvas.x), linear(span, canvas.y)
        axes = (
            left_axis(canvas, ticks(*span, 5), up, "measured over predicted, % off"),
            bottom_axis(canvas, _round_values(low, high, 4 if canvas.narrow else 7), across, "predicted"),
        )
        return join([*axes, *(mark(1, across(p), up(e), 2.5) for p, e in errors)])

    caption = "Errors should lie about zero at every size; a slope or a funnel says where the model is weak."
    title = f"{_NAMES[name]}: residuals"
    return figure(f"residuals-{name}", title, caption, draw, lambda narrow: 260 if narrow else 300)
