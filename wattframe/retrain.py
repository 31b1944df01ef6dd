"""Retraining: load, enrich, check, fit, compare with the model in service, promote.

`retrain` does the work once and returns an account of it; what it says to people is `summary`.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from advisor.enrichment import Enrichment, ObservationCache, enrich, lacks_power
from advisor.errors import (
    InputError,
    ModelError,
    NotEnoughDataError,
    ResultFileError,
    WattframeError,
)
from advisor.prometheus import Connection, PrometheusClient
from advisor.regression import registry
from advisor.regression.features import Case, case
from advisor.regression.registry import Manifest, TargetReport
from advisor.results import RESULT_GLOB, Run, Scenario, read_run
from advisor.scenario import duration_seconds, energy, mean_watts

__all__ = ["Left", "Options", "Report", "retrain", "summary", "watch"]

_FILES_AT_ONCE = 200
_MOST_WATTS = 100_000.0
_PROMOTION_MARGIN = 0.05
_FEWEST_NEW = 5
Note = Callable[[str], None]


class Options(Struct, frozen=True, kw_only=True):
    """What a retraining is asked to do."""

    results_dir: Path
    models_dir: Path
    prometheus: Connection | None = None
    selector: str = ""
    hardware_id: str | None = None
    keep: int = 5
    margin: float = _PROMOTION_MARGIN
    force: bool = False
    """Promote whatever the comparison says."""


class Left(Struct, frozen=True):
    """A scenario or file that was not trained on, and why."""

    run_id: str
    scenario: str | None
    reason: str


class EnrichedRow(Struct, frozen=True, kw_only=True):
    """A scenario whose power came from Prometheus."""

    run_id: str
    scenario: str
    mean_power_watts: float
    total_energy_joules: float
    tier: str | None
    notes: tuple[str, ...]


class Report(Struct, kw_only=True):
    """The account of one retraining."""

    files: int = 0
    scenarios: int = 0
    baselines: int = 0
    enriched: list[EnrichedRow] = []
    requests: int = 0
    from_cache: int = 0
    skipped: list[Left] = []
    noted: list[Left] = []
    """Scenarios that were trained on with less weight, or that look odd."""
    manifest: Manifest | None = None
    former: str | None = None
    """The version in service before."""
    drift_ratio: float | None = None
    """How much more new scenarios draw than the former model says (median); None for fewer than five."""
    card: str | None = None
    """The page that shows the model."""
    deleted: list[str] = []
    seconds: float = 0.0


def retrain(options: Options, note: Note) -> Report:
    """Do it once.

    Raises
    ------
    NotEnoughDataError
        Nothing could be trained; the message says why.
    InputError
        A folder or an option is wrong.
    """
    began = time.monotonic()
    report = Report()
    cases, hardware = _load(options, report, note)
    home = options.hardware_id or hardware or "unknown"
    cases = _of_one_tier(cases, report)
    if not cases:
        raise NotEnoughDataError(f"nothing could be trained: {_why_nothing(options, report)}")
    note(f"training on {len(cases)} scenarios")
    from advisor.regression.training import train

    trained = train(cases)
    report.noted += _outliers(trained)
    manifest = _manifest(trained, home)
    report.former = _former_version(options.models_dir, home)
    manifest = registry.save(options.models_dir, trained, manifest)
    better, reason = _judged(options, trained, manifest, report)
    if better or options.force:
        reason = reason if better else f"forced, although {reason}"
        manifest = registry.promote(options.models_dir, home, manifest.version, reason=reason)
    else:
        manifest = msgspec.structs.replace(manifest, reason=reason)
        registry.note(options.models_dir, manifest)
    report.manifest = manifest
    from wattframe.card import model_card

    card = options.models_dir / home / manifest.version / "card.html"
    card.write_text(model_card(trained, manifest), encoding="utf-8")
    report.card = str(card)
    report.deleted = registry.prune(options.models_dir, home, options.keep)
    report.seconds = time.monotonic() - began
    return report


def _load(options: Options, report: Report, note: Note) -> tuple[list[Case], str | None]:
    """Every usable scenario as a case, and the newest run's machine; runs are read and dropped in groups."""
    if not options.results_dir.is_dir():
        raise InputError("expected a folder of result files", subject=options.results_dir)
    cases: list[Case] = []
    seen: set[str] = set()
    newest: tuple[float, str | None] = (-1.0, None)
    cache = ObservationCache(options.models_dir / ".observed.sqlite") if options.prometheus else None
    for runs in _runs(options.results_dir, report):
        for run in _with_power(options, runs, cache, report, note):
            report.files += 1
            named = run.host.hardware_id if run.host else None
            newest = max(newest, (run.start_time or 0.0, named), key=lambda pair: pair[0])
            cases += _cases(run, report, seen)
    return cases, newest[1]


def _runs(folder: Path, report: Report) -> Iterator[list[Run]]:
    group: list[Run] = []
    for path in sorted(folder.glob(RESULT_GLOB)):
        try:
            run = read_run(path)
        except ResultFileError as exc:
            report.skipped.append(Left(path.stem, None, str(exc)))
            continue
        report.skipped += [Left(run.run_id, r.name, r.reason) for r in run.refused]
        group.append(run)
        if len(group) == _FILES_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _with_power(
    options: Options, runs: list[Run], cache: ObservationCache | None, report: Report, note: Note
) -> Sequence[Run]:
    lacking = sum(lacks_power(s) for run in runs for s in run.scenarios)
    if not lacking or options.prometheus is None:
        return runs
    note(f"asking {options.prometheus.shown_url} for {lacking} scenarios without power")
    with PrometheusClient(options.prometheus) as client:
        done = enrich(runs, client, selector=options.selector, cache=cache)
    if done.failure is not None:
        # what was measured by the runner itself is still worth training on
        note(f"not enriched: {done.failure}")
    _account(done, report)
    return done.runs


def _account(done: Enrichment, report: Report) -> None:
    report.requests += done.requests
    report.from_cache += done.from_cache
    report.skipped += [Left(s.run_id, s.scenario, s.reason) for s in done.skipped]
    report.enriched += [
        EnrichedRow(
            run_id=e.run_id,
            scenario=e.scenario.name,
            mean_power_watts=power.mean_watts or 0.0,
            total_energy_joules=power.total_energy_joules or 0.0,
            tier=power.tier,
            notes=e.observed.notes,
        )
        for e in done.enriched
        if (power := e.scenario.power)
    ]


def _cases(run: Run, report: Report, seen: set[str]) -> Iterator[Case]:
    told = {(left.run_id, left.scenario) for left in report.skipped if left.run_id == run.run_id}
    for scenario in run.scenarios:
        report.scenarios += 1
        if scenario.type == "baseline":
            report.baselines += 1
            continue
        reason = _unusable(scenario, seen)
        if reason is not None:
            if (run.run_id, scenario.name) not in told:
                report.skipped.append(Left(run.run_id, scenario.name, reason))
            continue
        made = case(scenario, run)
        if scenario.validity:
            made = msgspec.structs.replace(made, weight=made.weight / 4)
            report.noted.append(
                Left(run.run_id, scenario.name, f"weighs a quarter: {', '.join(scenario.validity)}")
            )
        yield made


def _unusable(scenario: Scenario, seen: set[str]) -> str | None:
    """Why a scenario cannot be trained on, None when it can."""
    if scenario.status != "ok":
        return f"the scenario {scenario.status}" + (f": {scenario.error}" if scenario.error else "")
    watts, joules, seconds = mean_watts(scenario), energy(scenario), duration_seconds(scenario)
    if watts is None:
        return "no power"
    if not 0 < watts < _MOST_WATTS:
        return f"impossible mean power: {watts:g} W"
    if (
        joules
        and seconds
        and joules.basis == "counter"
        and not 0.8 < joules.joules / (watts * seconds) < 1.25
    ):
        return f"contradicts itself: {joules.joules:g} J in {seconds:g} s are not {watts:g} W on the average"
    if scenario.encoder is None and scenario.bitrate is None and scenario.resolution is None:
        return "nothing says what was encoded"
    digest = hashlib.sha256(msgspec.json.encode(scenario)).hexdigest()[:16]
    if scenario.start_time is not None and digest in seen:
        return "a copy of a scenario that was read before"
    seen.add(digest)
    return None


def _of_one_tier(cases: Sequence[Case], report: Report) -> list[Case]:
    """The tier that most cases have, measured before modelled: a model mixes neither."""
    count = Counter(c.tier for c in cases)
    if len(count) < 2:
        return list(cases)
    rank = {"measured": 0, "modelled": 1, None: 2}
    chosen = min(count, key=lambda tier: (-count[tier], rank[tier]))
    named = {None: "power of unknown origin", "measured": "measured power", "modelled": "modelled power"}
    report.skipped += [
        Left(c.run_id, c.scenario, f"{named[c.tier]}; the others have {named[chosen]}")
        for c in cases
        if c.tier != chosen
    ]
    return [c for c in cases if c.tier == chosen]


def _why_nothing(options: Options, report: Report) -> str:
    if not report.files and not report.skipped:
        return f"{options.results_dir} holds no {RESULT_GLOB}"
    if not report.skipped:
        return "there is no scenario but baselines"
    reason, count = Counter(left.reason for left in report.skipped).most_common(1)[0]
    hint = "; give --prometheus-url" if reason == "no power" and options.prometheus is None else ""
    return f"{len(report.skipped)} skipped, {count} because: {reason}{hint}"


def _outliers(trained: Any) -> list[Left]:
    """Rows whose held-out error is far beyond that of the others."""
    import numpy as np

    found = []
    for name, model in trained.targets.items():
        errors, kept = model.predictor.residuals_, model.predictor.validated_
        typical = float(np.median(np.abs(errors)))
        if len(errors) < 20 or typical <= 0:
            continue
        rows = [c for c in trained.training if name in c.targets]
        for i in np.flatnonzero(np.abs(errors) > max(10 * typical, 0.2)):
            c, ratio = rows[kept[i]], float(np.expm1(errors[i]))
            found.append(
                Left(c.run_id, c.scenario, f"outlier: {name} is {ratio:+.0%} off what its like draw")
            )
    return found


def _manifest(trained: Any, home: str) -> Manifest:
    from advisor.regression.files import library_versions

    now = datetime.datetime.now().astimezone()
    rows = sorted(msgspec.json.encode(c) for c in trained.training)
    targets = {
        name: TargetReport(
            model=model.predictor.chosen_,
            candidate_error_ratios=model.predictor.errors_,
            error_ratios=model.errors,
            coverage_ratios=model.coverage,
            rows=len(model.predictor.residuals_),
        )
        for name, model in trained.targets.items()
    }
    return Manifest(
        version="",
        created=now.isoformat(timespec="seconds"),
        created_unix_seconds=now.timestamp(),
        hardware_id=home,
        hardware_known=trained.encoding.hardware,
        encoders_known=trained.encoding.encoders,
        feature_names=trained.encoding.columns,
        tier=trained.tier,
        training_scenarios=trained.cases,
        training_configurations=trained.rows,
        training_data_sha256=hashlib.sha256(b"\n".join(rows)).hexdigest(),
        grouped_by=trained.grouped_by,
        targets=targets,
        library_versions=library_versions(),
        files_sha256={},
        notes=tuple(trained.notes),
        runs=tuple(sorted({c.run_id for c in trained.training})),
    )


def _former_version(models_dir: Path, home: str) -> str | None:
    try:
        return registry.latest_manifest(models_dir, home).version
    except ModelError:
        return None


def _judged(options: Options, trained: Any, challenger: Manifest, report: Report) -> tuple[bool, str]:
    """Whether the new model is not worse than the one in service, and why."""
    home = challenger.hardware_id
    if not (options.models_dir / home / registry.LATEST).is_symlink():
        return True, "the first model of this machine"
    try:
        former, manifest = registry.load(options.models_dir, home)
    except ModelError as exc:
        return True, f"the former model cannot be used: {exc}"
    if manifest.tier != challenger.tier:
        better = challenger.tier == "measured"
        return better, f"{challenger.tier or 'unknown'} power in place of {manifest.tier or 'unknown'}"
    return _compared(former, manifest, trained, challenger, options.margin, report)


def _compared(
    former: Any, manifest: Manifest, trained: Any, challenger: Manifest, margin: float, report: Report
) -> tuple[bool, str]:
    """On scenarios that are new to the former model where there are some, else by both's own errors."""
    ours, theirs, count, report.drift_ratio = _on_new_rows(former, manifest, trained)
    what = f"on {count} new scenarios"
    if count < _FEWEST_NEW:
        ours, theirs = challenger.error_ratio, manifest.error_ratio
        what = "in grouped cross-validation"
    if theirs is None:
        return True, f"version {manifest.version} had no error that could be known"
    if ours is None:
        return False, f"its error cannot be known, version {manifest.version} has {theirs:.1%}"
    said = f"power error {ours:.1%} against {theirs:.1%} of version {manifest.version} {what}"
    return ours <= theirs * (1 + margin), said


def _on_new_rows(
    former: Any, manifest: Manifest, trained: Any
) -> tuple[float | None, float | None, int, float | None]:
    """Errors of the new and the former model on scenarios that the former never saw, and its drift there."""
    import numpy as np

    from advisor.regression.validation import mean_ratio_error

    name = "mean_power_watts"
    model = trained.targets.get(name)
    if model is None or not model.predictor.errors_:
        return None, None, 0, None
    rows = [c for c in trained.training if name in c.targets]
    held = [(rows[k], e) for k, e in zip(model.predictor.validated_, model.predictor.residuals_, strict=True)]
    new = [(c, e) for c, e in held if c.run_id not in manifest.runs]
    predicted = former.predict([c for c, _ in new]) if new else []
    pairs = [
        (e, np.log(c.targets[name] / p.mean_power_watts.mean))
        for (c, e), p in zip(new, predicted, strict=True)
        if p.mean_power_watts is not None
    ]
    if len(pairs) < _FEWEST_NEW:
        return None, None, len(pairs), None
    ours, theirs = np.array(pairs).T
    drift = float(np.expm1(np.median(theirs)))
    return mean_ratio_error(ours), mean_ratio_error(theirs), len(pairs), drift


def summary(report: Report) -> str:
    """The account in words."""
    lines = [
        f"Loaded {report.scenarios} scenarios of {report.files} files ({report.baselines} baselines)",
        f"Enriched {len(report.enriched)} from Prometheus"
        + (f" ({report.requests} requests, {report.from_cache} known before)" if report.enriched else ""),
        *_listed(
            [
                "; ".join([f"{e.scenario}: {_watts(e)}, {e.tier or 'tier unknown'}", *e.notes])
                for e in report.enriched
            ]
        ),
        f"Skipped {len(report.skipped)}",
        *_listed([_left(left) for left in report.skipped]),
    ]
    if report.noted:
        lines += [f"Noted {len(report.noted)}", *_listed([_left(left) for left in report.noted])]
    manifest = report.manifest
    if manifest is not None:
        lines += _model_lines(manifest, report)
    return "\n".join(lines) + "\n"


def _watts(row: EnrichedRow) -> str:
    return f"{row.mean_power_watts:.2f} W, {row.total_energy_joules:.1f} J"


def _model_lines(manifest: Manifest, report: Report) -> list[str]:
    lines = [
        f"Trained version {manifest.version} for {manifest.hardware_id} on "
        f"{manifest.training_configurations} configurations ({manifest.tier or 'unknown'} power), "
        f"held out by {manifest.grouped_by}"
    ]
    for name, target in manifest.targets.items():
        error, coverage = target.error_ratios.get("plain"), target.coverage_ratios.get("plain")
        said = "error unknown" if error is None else f"error {error:.1%}"
        if coverage is not None:
            said += f", 90 % intervals hold {coverage:.0%}"
        lines.append(f"  {name}: {' + '.join(target.model)}, {said}")
    lines += [f"  {note}" for note in manifest.notes]
    state = "In service" if manifest.promoted else f"Not promoted, version {report.former} stays"
    lines.append(f"{state}: {manifest.reason}")
    if report.drift_ratio is not None:
        lines.append(f"Drift: the new scenarios draw {report.drift_ratio:+.1%} against the former model")
    if report.card:
        lines.append(f"Card: {report.card}")
    if report.deleted:
        lines.append(f"Deleted {len(report.deleted)} old versions")
    return lines


def _left(left: Left) -> str:
    return f"{left.run_id}, {left.scenario}: {left.reason}" if left.scenario else left.reason


def _listed(lines: Sequence[str], most: int = 20) -> list[str]:
    shown = [f"  {line}" for line in lines[:most]]
    return shown if len(lines) <= most else [*shown, f"  and {len(lines) - most} more (all with --json)"]


def watch(options: Options, every_seconds: float, note: Note, tell: Callable[[Report], None]) -> None:
    """Retrain whenever result files appear or change, until interrupted; failures are noted and outlived."""
    before: object = None
    while True:
        stamp = _stamp(options.results_dir)
        if stamp != before:
            before = stamp
            try:
                tell(retrain(options, note))
            except WattframeError as exc:
                note(str(exc))
        time.sleep(every_seconds)


def _stamp(folder: Path) -> object:
    found = []
    for path in folder.glob(RESULT_GLOB):
        with contextlib.suppress(OSError):  # renamed or deleted between listing and looking
            info = path.stat()
            found.append((path.name, info.st_size, info.st_mtime_ns))
    return sorted(found)
