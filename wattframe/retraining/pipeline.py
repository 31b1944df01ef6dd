"""One retraining from result files to a model in service, and one whenever there are new results."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from advisor.common.atomic import write_atomically
from advisor.errors import ModelError, NotEnoughDataError, PrometheusError, WattframeError
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import Progress
from advisor.regression import registry
from advisor.regression.registry import Manifest, TargetReport
from advisor.results import RESULT_GLOB
from wattframe.retraining.account import LeftOut, RetrainOptions, RetrainReport
from wattframe.retraining.judge import held_out, judged
from wattframe.retraining.load import Note, load, why_nothing
from wattframe.retraining.summary import not_valid_sentence

_MOST_LOOKS_BETWEEN = 64
"""Between two tries of what failed."""
_MOST_OF_A_VIDEO = 200
_NORMAL_DIFFERENCE = 1.0483
"""Standard deviations of a normal distribution to the median absolute difference of two draws of it."""


def retrain(options: RetrainOptions, note: Note, progress: Progress | None = None) -> RetrainReport:
    """Do it once. ``progress`` is called with (windows answered, windows in all) while Prometheus is asked.

    Raises
    ------
    NotEnoughDataError
        Nothing could be trained; the message says why.
    InputError
        A folder or an option is wrong.
    """
    began = time.monotonic()
    report = RetrainReport()
    cases, hardware = load(options, report, note, progress)
    home = options.hardware_id or hardware
    if not cases:
        raise NotEnoughDataError(f"nothing could be trained: {why_nothing(options, report)}")
    note(f"training on {len(cases)} scenarios")
    from advisor.regression.fitting import train

    trained = train(cases)
    report.noted += _outliers(trained)
    manifest = _manifest(trained, home, report)
    with contextlib.suppress(ModelError):
        report.former = registry.latest_manifest(options.models_dir, home).version
    better, reason = judged(options, trained, manifest, report)
    reason = f"forced, although {reason}" if options.force and not better else reason
    manifest = registry.save(options.models_dir, trained, msgspec.structs.replace(manifest, reason=reason))
    if better or options.force:
        manifest = registry.promote(options.models_dir, home, manifest.version, reason=reason)
    report.manifest = manifest
    report.card = _card(trained, manifest, options, report.drift_ratio)
    report.deleted = registry.prune(options.models_dir, home, options.keep)
    report.seconds = time.monotonic() - began
    return report


def _card(trained: Any, manifest: Manifest, options: RetrainOptions, drift_ratio: float | None) -> str | None:
    """Write the model's page; None where the extra ``report``, which draws it, is not installed."""
    try:
        from wattframe.retraining.card import model_card
    except ModuleNotFoundError as exc:
        if exc.name not in ("jinja2", "markupsafe", "matplotlib"):
            raise
        return None
    card = options.models_dir / manifest.hardware_id / manifest.version / "card.html"
    write_atomically(card, model_card(trained, manifest, drift_ratio).encode())
    return str(card)


def _outliers(trained: Any) -> list[LeftOut]:
    """Rows whose held-out error is far beyond that of the others."""
    outliers = []
    for name in trained.targets:
        errors = held_out(trained, name)
        typical = statistics.median(abs(error) for _, error in errors) if errors else 0.0
        if len(errors) < 20 or typical <= 0:
            continue
        for case, error in errors:
            if abs(error) > max(10 * typical, 0.2):
                ratio, side = math.expm1(error), "above" if error > 0 else "below"
                reason = f"outlier: {name} is {abs(ratio):.0%} {side} similar runs"
                outliers.append(LeftOut(case.run_id, case.scenario, reason))
    return outliers


def _manifest(trained: Any, home: str, report: RetrainReport) -> Manifest:
    from advisor.regression.model_file import library_versions

    now = datetime.datetime.now().astimezone()
    rows = sorted(msgspec.json.encode(c) for c in trained.training)
    targets = {
        name: TargetReport(
            model=model.predictor.chosen_,
            candidate_error_ratios=model.predictor.errors_,
            error_ratios={kind: b.error_ratio for kind, b in model.bins.items()},
            coverage_ratios={
                kind: b.coverage_ratio for kind, b in model.bins.items() if b.coverage_ratio is not None
            },
            rows=len(model.residuals),
            own_error_ratio=_own_error(trained, name),
        )
        for name, model in trained.targets.items()
    }
    return Manifest(
        version="",
        created=now.isoformat(timespec="seconds"),
        created_unix_seconds=now.timestamp(),
        hardware_id=home,
        hardware_known=trained.matrix.hardware,
        encoders_known=trained.matrix.encoders,
        feature_names=trained.matrix.columns,
        tier=trained.tier,
        training_scenarios=trained.cases,
        training_configurations=trained.rows,
        training_data_sha256=hashlib.sha256(b"\n".join(rows)).hexdigest(),
        grouped_by=trained.grouped_by,
        targets=targets,
        library_versions=library_versions(),
        files_sha256={},
        notes=(*trained.notes, *([not_valid_sentence(report.not_valid)] if report.not_valid else [])),
        runs=tuple(sorted({c.run_id for c in trained.training})),
    )


def _own_error(trained: Any, name: str) -> float | None:
    """Standard deviation of held-out errors that configurations of one video do not have in common.

    By the differences of every two of a video (the estimator of Shamos, which outliers hardly move); None
    where no video has two.
    """
    errors: dict[str, list[float]] = {}
    for case, error in held_out(trained, name):
        if case.video is not None:
            errors.setdefault(case.video, []).append(error)
    groups = [group[:_MOST_OF_A_VIDEO] for group in errors.values()]
    differences = [abs(a - b) for group in groups for a, b in itertools.combinations(group, 2)]
    return _NORMAL_DIFFERENCE * statistics.median(differences) if differences else None


def watch(
    options: RetrainOptions,
    every_seconds: float,
    note: Note,
    tell: Callable[[RetrainReport], None],
    progress: Progress | None = None,
) -> None:
    """Retrain whenever result files appear or change, until interrupted; failures are noted and outlived.

    What failed is tried again, ever more seldom: trouble passes, as that of a full disk. A Prometheus that is
    away is waited for.
    """
    before: object = None
    failures = rest = 0
    while True:
        stamp = _stamp(options.results_dir)
        if stamp != before:
            before, failures, due = stamp, 0, True
        else:
            due = failures > 0 and rest == 0 and _prometheus_answers(options)
        rest = max(0, rest - 1)
        if due:
            failures = 0 if _succeeds(options, note, tell, progress) else failures + 1
            rest = min(2**failures, _MOST_LOOKS_BETWEEN)
        time.sleep(every_seconds)


def _succeeds(
    options: RetrainOptions, note: Note, tell: Callable[[RetrainReport], None], progress: Progress | None
) -> bool:
    try:
        report = retrain(options, note, progress)
    except (WattframeError, OSError) as exc:
        note(str(exc))
        return False
    tell(report)
    return report.unanswered is None


def _prometheus_answers(options: RetrainOptions) -> bool:
    """Whether it does, or nobody has to ask it."""
    if options.prometheus is not None:
        try:
            with PrometheusClient(options.prometheus) as client:
                client.query("vector(1)")
        except PrometheusError:
            return False
    return True


def _stamp(folder: Path) -> object:
    stamps = []
    for path in folder.glob(RESULT_GLOB):
        with contextlib.suppress(OSError):  # renamed or deleted between listing and looking
            info = path.stat()
            stamps.append((path.name, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    return sorted(stamps)
